//! An archive of a folder in a directory of another machine, which needs nothing but an SFTP server.
//!
//! `cargo run -p gabion-examples --example sftp_backup sftp://me@host/./backup ~/Documents`
//!
//! The connection is made by your own `ssh`. If the directory does not exist, a repository is made in it.

use std::path::Path;

use gabion_backends::ssh::SshOptions;
use gabion_backends::{Access, Location, OpenOptions, open};
use gabion_core::archive::catalog::Catalog;
use gabion_core::backend::Store;
use gabion_core::clock::SystemClock;
use gabion_core::crypto::secret::Passphrase;
use gabion_core::error::ErrorKind;
use gabion_core::monitor::Silent;
use gabion_core::ops::create::{CreateOptions, Input, Plan, Wanted, create};
use gabion_core::repository::{Client, NewRepository, NewSlot, Repository};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[cfg_attr(test, expect(dead_code, reason = "the test brings its own server"))]
pub(crate) fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, folder] = arguments.as_slice() else {
        return Err("usage: sftp_backup sftp://[user@]host[:port]/path FOLDER".into());
    };
    for line in back_up(url, Path::new(folder), SshOptions::default())? {
        println!("{line}");
    }
    Ok(())
}

/// Backs up `folder` and tells which archives there are.
pub(crate) fn back_up(url: &str, folder: &Path, ssh: SshOptions) -> Outcome<Vec<String>> {
    let location = Location::parse(url)?;
    let options = OpenOptions { ssh, ..OpenOptions::default() };
    let repository = match open(&location, Access::Existing, &options) {
        Ok(backend) => Repository::open(Store::new(backend)?, Client::default(), &mut |attempt| {
            Ok((attempt == 0).then(passphrase))
        })?,
        Err(error) if error.kind() == ErrorKind::RepositoryNotFound => {
            let passphrase = passphrase();
            let slot = NewSlot { passphrase: Some(&passphrase), ..NewRepository::plain().slot };
            let new =
                NewRepository { suite: gabion_core::crypto::aead::Suite::fastest(), slot, ..NewRepository::plain() };
            let store = Store::new(open(&location, Access::Create, &options)?)?;
            Repository::create(store, Client::default(), &new, &SystemClock)?
        }
        Err(error) => return Err(error.into()),
    };
    let plan = Plan::new([folder], Wanted::All);
    let options = CreateOptions { name: "documents".into(), ..CreateOptions::default() };
    create(&repository, Input::Files(&plan), &options, &SystemClock, &Silent::new())?;
    let told = |archive: &gabion_core::archive::catalog::Archive| {
        let statistics = &archive.record.statistics;
        format!("{} {}: {} files, {} bytes", archive.id, archive.record.name, statistics.files, statistics.bytes)
    };
    Ok(Catalog::load(&repository)?.archives.iter().map(told).collect())
}

fn passphrase() -> Passphrase {
    Passphrase::from("correct horse battery staple".to_owned())
}
