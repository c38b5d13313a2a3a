//! An encrypted repository in a directory: two archives of a folder, a list, a restore.
//!
//! `cargo run -p gabion-examples --example local_backup`

use std::fs;
use std::path::Path;
use std::sync::Arc;

use gabion_backends::LocalBackend;
use gabion_core::archive::catalog::Catalog;
use gabion_core::backend::Store;
use gabion_core::clock::SystemClock;
use gabion_core::crypto::aead::Suite;
use gabion_core::crypto::id_hash::IdHash;
use gabion_core::crypto::kdf::KdfParams;
use gabion_core::crypto::secret::Passphrase;
use gabion_core::monitor::Silent;
use gabion_core::ops::create::{CreateOptions, Created, Input, Plan, Wanted, create};
use gabion_core::ops::extract::{ExtractOptions, extract};
use gabion_core::ops::list::list;
use gabion_core::pattern::Matcher;
use gabion_core::repository::{Client, KeyLocation, NewRepository, NewSlot, Repository};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

pub(crate) fn main() -> Outcome<()> {
    let place = tempfile::tempdir()?;
    let (source, target) = (place.path().join("source"), place.path().join("target"));
    fs::create_dir(&source)?;
    fs::write(source.join("letter.txt"), "Dear Alice,\n".repeat(1000))?;
    make_repository(&place.path().join("repository"))?;

    let repository = open_repository(&place.path().join("repository"))?;
    // What stands before `/./` is not archived: the archive begins with `source`.
    let folder = place.path().join("./source");
    let first = back_up(&repository, &folder)?;
    fs::write(source.join("answer.txt"), "Dear Bob,\n")?;
    let second = back_up(&repository, &folder)?;
    println!("the second archive added {} bytes to {}", second.record.statistics.new_bytes, first.record.root.bytes);

    let session = repository.session()?;
    for archive in Catalog::load(&repository)?.archives {
        println!("{} {}", archive.id, archive.record.name);
        list(&session.reader(), &archive.record, &Matcher::default(), &Silent::new(), &mut |item| {
            println!("    {:8} {}", item.entry.size, item.path.escape_ascii());
            Ok(())
        })?;
    }

    extract(&session.reader(), &second.record, &target, &ExtractOptions::default(), &Silent::new())?;
    for name in ["letter.txt", "answer.txt"] {
        let restored = fs::read(target.join("source").join(name))?;
        if restored != fs::read(source.join(name))? {
            return Err(format!("{name} came back differently").into());
        }
    }
    println!("restored equal");
    Ok(())
}

fn passphrase() -> Passphrase {
    Passphrase::from("correct horse battery staple".to_owned())
}

fn make_repository(path: &Path) -> Outcome<()> {
    let store = Store::new(Arc::new(LocalBackend::create(path)?))?;
    let passphrase = passphrase();
    let slot = NewSlot {
        passphrase: Some(&passphrase),
        kdf: KdfParams::default(),
        label: "example".into(),
        location: KeyLocation::Repository,
    };
    let new = NewRepository { suite: Suite::fastest(), id_hash: IdHash::default(), slot };
    Repository::create(store, Client::default(), &new, &SystemClock)?;
    Ok(())
}

fn open_repository(path: &Path) -> Outcome<Repository> {
    let store = Store::new(Arc::new(LocalBackend::open(path)?))?;
    // Asked again until a slot opens or there is no answer: one attempt here.
    let mut ask = |attempt| Ok((attempt == 0).then(passphrase));
    Ok(Repository::open(store, Client::default(), &mut ask)?)
}

fn back_up(repository: &Repository, folder: &Path) -> Outcome<Created> {
    let plan = Plan::new([folder], Wanted::All);
    let options = CreateOptions { name: "letters".into(), ..CreateOptions::default() };
    Ok(create(repository, Input::Files(&plan), &options, &SystemClock, &Silent::new())?)
}
