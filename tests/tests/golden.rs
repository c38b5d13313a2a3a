//! Repositories that earlier versions made are read for ever. They are never edited: a change that makes these tests
//! fail is a change of the format.

use std::path::{Path, PathBuf};

use gabion_backends::{Access, Location, OpenOptions};
use gabion_core::archive::catalog::Catalog;
use gabion_core::backend::Store;
use gabion_core::crypto::secret::Passphrase;
use gabion_core::error::ErrorKind;
use gabion_core::ops::extract::{ExtractOptions, extract};
use gabion_core::repository::{Client, Repository};
use gabion_tests::golden::{ARCHIVES, PASSPHRASE, make_source};
use gabion_tests::{Aspects, Notes, compare};

use crate::engine::copied;

fn reads(repository: PathBuf, passphrase: Option<&str>) {
    let backend =
        gabion_backends::open(&Location::Local(repository), Access::Existing, &OpenOptions::default()).unwrap();
    let mut ask = |attempt| Ok(passphrase.filter(|_| attempt == 0).map(|text| Passphrase::new(text.into())));
    let repository = Repository::open(Store::new(backend).unwrap(), Client::default(), &mut ask).unwrap();
    let catalog = Catalog::load(&repository).unwrap();
    let names: Vec<&str> = catalog.archives.iter().map(|archive| archive.record.name.as_str()).collect();
    assert_eq!((names, catalog.unreadable.len()), (ARCHIVES.to_vec(), 0));
    for archive in &catalog.archives {
        let place = tempfile::tempdir().unwrap();
        let (source, target) = (place.path().join("tree"), place.path().join("target"));
        make_source(&source, &archive.record.name).unwrap();
        let notes = Notes::new();
        let reader = repository.session().unwrap().reader();
        let options = ExtractOptions { workers: 0, ..ExtractOptions::default() };
        extract(&reader, &archive.record, &target, &options, &notes).unwrap();
        assert_eq!(notes.complaints(), Vec::<String>::new());
        // Directories and links are as young as this test, and everything belongs to whoever runs it.
        let aspects = Aspects { owners: false, times: false, modes: false, ..Aspects::default() };
        assert_eq!(compare(&source, &target.join("tree"), &aspects).unwrap(), Vec::<String>::new());
        let modified = |root: &Path| root.join("folder/text").metadata().unwrap().modified().unwrap();
        assert_eq!(modified(&source), modified(&target.join("tree")));
        assert_eq!(archive.record.comment, "made once, read for ever");
    }
}

/// A copy of an old repository, because opening one might write.
fn old(name: &str) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    let copy = copied(&data, &place.path().join("repository"));
    (place, copy)
}

#[test]
fn version_1_without_encryption_is_read() {
    let (_place, repository) = old("v1/plain");
    reads(repository, None);
}

#[test]
fn version_1_under_a_passphrase_is_read() {
    let (_place, repository) = old("v1/sealed");
    reads(repository, Some(PASSPHRASE));
}

#[test]
fn version_1_does_not_open_with_another_passphrase() {
    let (_place, repository) = old("v1/sealed");
    let backend =
        gabion_backends::open(&Location::Local(repository), Access::Existing, &OpenOptions::default()).unwrap();
    let mut ask = |attempt| Ok((attempt == 0).then(|| Passphrase::new(b"Golden".to_vec())));
    let error = Repository::open(Store::new(backend).unwrap(), Client::default(), &mut ask).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PassphraseWrong);
}
