//! Runs of a writer while a collector is at work.

use std::sync::Arc;

use super::super::{ChunkSource, Client, NewRepository, Repository, WriterOptions};
use super::*;
use crate::backend::{MemoryBackend, Prefix, Store};
use crate::clock::SystemClock;
use crate::segment::Class;

fn writer(repository: &Repository) -> Writer {
    let options = WriterOptions { workers: 0, ..WriterOptions::default() };
    repository.session().unwrap().into_writer(&options).unwrap()
}

/// A collector that is through: the segments are gone, the epoch has moved, the doom record is gone too.
fn collect_everything(store: &Store) {
    for segment in store.list(&Prefix::of("segments")).unwrap() {
        store.delete(&segment.name).unwrap();
    }
    store.put(&ObjectName::new("gc/epoch/next").unwrap(), Payload::from(vec![1])).unwrap();
}

#[test]
fn segments_deleted_before_an_adopted_epoch_are_not_relied_on() {
    let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
    let repository =
        Repository::create(store.clone(), Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
    let first = writer(&repository);
    first.store(Class::Data, b"a chunk nobody needs").unwrap();
    first.checkpoint(b"pending").unwrap();

    let second = writer(&repository);
    collect_everything(&store);
    // adopts the new epoch: nothing was relied on yet
    second.checkpoint(b"pending").unwrap();
    let id = second.store(Class::Data, b"a chunk nobody needs").unwrap();
    let archive = NewArchive { record: b"record", resolve: &|_| Ok(()), removal: &|_| Ok(b"removal".to_vec()) };
    second.commit(b"pending", &archive).unwrap();

    let reader = repository.session().unwrap().reader();
    assert_eq!(reader.fetch(Class::Data, &id).unwrap().as_ref(), b"a chunk nobody needs");
}

#[test]
fn totals_are_exact_once_settled() {
    let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
    let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
    let writer = writer(&repository);
    writer.store(Class::Data, &[7; 1000]).unwrap();
    writer.settle().unwrap();
    assert_eq!(writer.totals().new_bytes, 1000);
}
