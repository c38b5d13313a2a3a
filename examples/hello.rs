//! Backs a folder up into memory and restores it: the engine in twenty lines.
//!
//! `cargo run -p gabion-examples --example hello`

use std::path::Path;
use std::sync::Arc;

use gabion_core::backend::{MemoryBackend, Store};
use gabion_core::clock::SystemClock;
use gabion_core::monitor::Silent;
use gabion_core::ops::create::{CreateOptions, Input, Plan, Wanted, create};
use gabion_core::ops::extract::{ExtractOptions, extract};
use gabion_core::repository::{Client, NewRepository, Repository};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = tempfile::tempdir()?;
    let store = Store::new(Arc::new(MemoryBackend::new()))?;
    let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock)?;

    let plan = Plan::new([Path::new(env!("CARGO_MANIFEST_DIR"))], Wanted::All);
    let options = CreateOptions { name: "hello".into(), ..CreateOptions::default() };
    let created = create(&repository, Input::Files(&plan), &options, &SystemClock, &Silent::new())?;
    println!("stored {} files as {}", created.record.statistics.files, created.id);

    let reader = repository.session()?.reader();
    extract(&reader, &created.record, target.path(), &ExtractOptions::default(), &Silent::new())?;
    println!("restored them below {}", target.path().display());
    Ok(())
}
