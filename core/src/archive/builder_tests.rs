//! Directories: order, cuts, snapshots, and how much is held in memory.

use std::collections::BTreeSet;

use super::*;
use crate::archive::testing::{MemoryChunks, directory_entry, file_entry, key, special_entries, stat_row};
use crate::archive::tree::DirectoryReader;
use crate::error::ErrorKind;
use crate::limits::NODE_ENTRIES_MAX;

fn name(number: u32) -> Vec<u8> {
    format!("file-{number:07}").into_bytes()
}

/// A directory of files; `size` gives the size of each, `None` leaves it out.
fn build(chunks: &MemoryChunks, count: u32, size: impl Fn(u32) -> Option<u32>) -> (DirectoryRef, StatRef) {
    let mut builder = DirectoryBuilder::new(key());
    for number in 0..count {
        if let Some(size) = size(number) {
            builder.push(file_entry(&name(number), size), stat_row(u64::from(number)), chunks).unwrap();
        }
    }
    builder.finish(chunks).unwrap()
}

fn new_chunks(before: &BTreeSet<ChunkId>, chunks: &MemoryChunks) -> usize {
    chunks.all().keys().filter(|id| !before.contains(id)).count()
}

fn names_of(chunks: &MemoryChunks) -> BTreeSet<ChunkId> {
    chunks.all().into_keys().collect()
}

#[test]
fn a_small_directory_is_one_node_and_its_stat_node() {
    let chunks = MemoryChunks::new();
    let (directory, stat) = build(&chunks, 63, |_| Some(10));
    assert_eq!((directory.depth, directory.entries, directory.files, directory.bytes), (0, 63, 63, 630));
    assert_eq!((stat.depth, chunks.count()), (0, 2));
    let (empty, _) = DirectoryBuilder::new(key()).finish(&chunks).unwrap();
    assert_eq!((empty.depth, empty.entries, empty.files, empty.bytes, chunks.count()), (0, 0, 0, 0, 4));
}

#[test]
fn totals_count_files_below() {
    let chunks = MemoryChunks::new();
    let mut builder = DirectoryBuilder::new(key());
    builder.push(directory_entry(b"a", 1), StatRow::None, &chunks).unwrap();
    for entry in special_entries() {
        builder.push(entry, StatRow::None, &chunks).unwrap();
    }
    let (directory, _) = builder.finish(&chunks).unwrap();
    assert_eq!((directory.entries, directory.files, directory.bytes), (7, 3, 14));
}

#[test]
fn names_out_of_order_are_refused_and_nothing_is_lost() {
    let chunks = MemoryChunks::new();
    let mut builder = DirectoryBuilder::new(key());
    builder.push(file_entry(b"b", 1), StatRow::None, &chunks).unwrap();
    for wrong in [&b"b"[..], b"a", b"B", b"", b"c/d", b"c\0"] {
        let error = builder.push(file_entry(wrong, 1), StatRow::None, &chunks).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    builder.push(file_entry(b"b\xff", 1), StatRow::None, &chunks).unwrap();
    let (directory, stat) = builder.finish(&chunks).unwrap();
    let names: Vec<_> =
        DirectoryReader::open(&chunks, &directory, Some(&stat)).map(|entry| entry.unwrap().0.name).collect();
    assert_eq!(names, [&b"b"[..], b"b\xff"]);
}

#[test]
fn a_changed_file_changes_one_leaf_and_its_path() {
    let chunks = MemoryChunks::new();
    let (before, stat) = build(&chunks, 100_000, |_| Some(10));
    assert_eq!(before.depth, 2);
    let known = names_of(&chunks);
    let (after, same_stat) = build(&chunks, 100_000, |number| Some(if number == 54_321 { 11 } else { 10 }));
    assert_ne!(before.root, after.root);
    assert_eq!(same_stat, stat);
    assert_eq!(new_chunks(&known, &chunks), 1 + usize::from(after.depth));
}

#[test]
fn an_added_name_changes_few_nodes() {
    let chunks = MemoryChunks::new();
    let mut worst = 0;
    let all_but = |left_out: u32| move |number: u32| (number != left_out).then_some(10);
    let (whole, _) = build(&chunks, 100_000, |_| Some(10));
    let known = names_of(&chunks);
    for left_out in [0, 1, 777, 33_333, 54_321, 77_777, 99_999] {
        let others = MemoryChunks::new();
        build(&others, 100_000, all_but(left_out));
        let known_to_others = names_of(&others);
        let new = known.difference(&known_to_others).count();
        // Half of the new nodes belong to the stat tree.
        assert!(new <= 2 * (usize::from(whole.depth) + 2), "{left_out}: {new} new nodes");
        worst = worst.max(new);
    }
    assert!(worst >= 2 * (usize::from(whole.depth) + 1), "an addition that changes no path is none: {worst}");
}

#[test]
fn memory_does_not_grow_with_the_directory() {
    let chunks = MemoryChunks::new();
    let mut builder = DirectoryBuilder::new(key());
    let mut most = 0;
    for number in 0..200_000 {
        builder.push(file_entry(&name(number), 1), StatRow::None, &chunks).unwrap();
        most = most.max(builder.held());
    }
    let (directory, _) = builder.finish(&chunks).unwrap();
    assert_eq!((directory.entries, directory.depth), (200_000, 2));
    assert!((NODE_ENTRIES_MAX / 2..=NODE_ENTRIES_MAX * 3).contains(&most), "{most} entries held");
}

#[test]
fn a_snapshot_disturbs_nothing() {
    let chunks = MemoryChunks::new();
    let (undisturbed, undisturbed_stat) = build(&chunks, 3000, |_| Some(10));
    let known = names_of(&chunks);
    let mut builder = DirectoryBuilder::new(key());
    for number in 0..3000 {
        let ahead = file_entry(&name(number), 10);
        if number % 500 == 0 {
            let others = MemoryChunks::new();
            let (so_far, _) = builder.snapshot(None, &others).unwrap();
            assert_eq!(so_far.entries, u64::from(number));
            let (with_next, _) = builder.snapshot(Some((ahead.clone(), stat_row(u64::from(number)))), &others).unwrap();
            assert_eq!((with_next.entries, builder.entries()), (u64::from(number) + 1, u64::from(number)));
        }
        builder.push(ahead, stat_row(u64::from(number)), &chunks).unwrap();
    }
    assert_eq!(builder.snapshot(None, &chunks).unwrap(), (undisturbed, undisturbed_stat));
    assert_eq!(builder.finish(&chunks).unwrap(), (undisturbed, undisturbed_stat));
    assert_eq!(new_chunks(&known, &chunks), 0);
}

#[test]
fn a_failing_sink_fails_the_build() {
    struct Full;
    impl ChunkSink for Full {
        fn store(&self, _: crate::segment::Class, _: &[u8]) -> Result<ChunkId> {
            Err(Error::new(ErrorKind::NoSpace, "put chunk"))
        }
    }
    let mut builder = DirectoryBuilder::new(key());
    let failed = (0..513).find_map(|number| builder.push(file_entry(&name(number), 1), StatRow::None, &Full).err());
    assert_eq!(failed.unwrap().kind(), ErrorKind::NoSpace);
}
