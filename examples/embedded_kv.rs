//! A repository inside a program's own key/value database: here a redb file; any `KvStore` would do.
//!
//! `cargo run -p gabion-examples --example embedded_kv`

use std::path::Path;
use std::sync::Arc;

use gabion_backends::kv::{KvBackend, RedbStore};
use gabion_core::archive::catalog::Catalog;
use gabion_core::backend::Store;
use gabion_core::clock::SystemClock;
use gabion_core::monitor::Silent;
use gabion_core::ops::create::{CreateOptions, Input, Plan, Wanted, create};
use gabion_core::repository::{Client, NewRepository, Repository};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let file = place.path().join("program.redb");
    {
        let store = Store::new(Arc::new(KvBackend::new(RedbStore::open(&file, true)?)))?;
        let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock)?;
        let plan = Plan::new([Path::new(env!("CARGO_MANIFEST_DIR"))], Wanted::All);
        let options = CreateOptions { name: "documents".into(), ..CreateOptions::default() };
        create(&repository, Input::Files(&plan), &options, &SystemClock, &Silent::new())?;
    }
    // The file is closed and opened again, as by the program's next run.
    let store = Store::new(Arc::new(KvBackend::new(RedbStore::open(&file, false)?)))?;
    let repository = Repository::open(store, Client::default(), &mut |_| Ok(None))?;
    for archive in Catalog::load(&repository)?.archives {
        println!("{}: {} files in {}", archive.record.name, archive.record.statistics.files, file.display());
    }
    Ok(())
}
