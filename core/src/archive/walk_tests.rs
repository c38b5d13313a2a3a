//! Walks: order, depth, and going on after damage.

use super::*;
use crate::archive::builder::DirectoryBuilder;
use crate::archive::content::DirectoryRef;
use crate::archive::testing::{MemoryChunks, directory_entry, file_entry, key, stat_row, stored_directory};
use crate::error::ErrorKind;

fn build(chunks: &MemoryChunks, entries: Vec<(Entry, StatRow)>) -> (DirectoryRef, StatRef) {
    let mut builder = DirectoryBuilder::new(key());
    entries.into_iter().for_each(|(entry, stat)| builder.push(entry, stat, chunks).unwrap());
    builder.finish(chunks).unwrap()
}

fn file(name: &[u8]) -> (Entry, StatRow) {
    (file_entry(name, 1), stat_row(1))
}

fn directory(name: &[u8], below: (DirectoryRef, StatRef)) -> (Entry, StatRow) {
    (stored_directory(name, below.0), StatRow::Directory(below.1))
}

/// a/{b/{c}, d}, e/, f
fn sample(chunks: &MemoryChunks) -> (DirectoryRef, StatRef) {
    let b = build(chunks, vec![file(b"c")]);
    let a = build(chunks, vec![directory(b"b", b), file(b"d")]);
    let e = build(chunks, vec![]);
    build(chunks, vec![directory(b"a", a), directory(b"e", e), file(b"f")])
}

/// `path` for an entry, `path/` for the end of a directory, `!path` for an error.
fn steps<F: FnMut(&WalkItem) -> bool>(walk: Walk<'_, F>) -> Vec<String> {
    walk.map(|step| match step {
        Ok(WalkEvent::Entry(item)) => {
            assert_eq!(item.depth, item.path.split(|byte| *byte == b'/').count());
            assert!(item.path.ends_with(&item.entry.name));
            String::from_utf8(item.path).unwrap()
        }
        Ok(WalkEvent::Leave(item)) => {
            assert_eq!(item.depth, item.path.split(|byte| *byte == b'/').count());
            assert!(item.path.ends_with(&item.entry.name));
            String::from_utf8(item.path).unwrap() + "/"
        }
        Err(WalkError { path, .. }) => format!("!{}", String::from_utf8(path).unwrap()),
    })
    .collect()
}

#[test]
fn directories_come_before_and_after_their_entries() {
    let chunks = MemoryChunks::new();
    let (root, stat) = sample(&chunks);
    let expected = ["a", "a/b", "a/b/c", "a/b/", "a/d", "a/", "e", "e/", "f"];
    assert_eq!(steps(Walk::new(&chunks, &root, Some(&stat), |_| true)), expected);
    let rows = |stat: Option<&StatRef>| {
        let files = Walk::new(&chunks, &root, stat, |_| true).filter_map(|step| match step.unwrap() {
            WalkEvent::Entry(item) if item.entry.size > 0 => Some(item.stat),
            _ => None,
        });
        files.collect::<Vec<_>>()
    };
    assert_eq!(rows(Some(&stat)), [Some(stat_row(1)); 3]);
    assert_eq!(rows(None), [None; 3]);
}

#[test]
fn only_chosen_directories_are_entered() {
    let chunks = MemoryChunks::new();
    let (root, _) = sample(&chunks);
    let mut asked = Vec::new();
    let walk = Walk::new(&chunks, &root, None, |item| {
        asked.push(item.path.clone());
        item.path != b"a/b" && item.path != b"e"
    });
    assert_eq!(steps(walk), ["a", "a/b", "a/d", "a/", "e", "f"]);
    assert_eq!(asked, [&b"a"[..], b"a/b", b"e"]);
}

#[test]
fn damage_costs_what_lies_below_it() {
    let chunks = MemoryChunks::new();
    let (root, _) = sample(&chunks);
    let a = find_path(&chunks, &root, b"a").unwrap().unwrap();
    let b = find_path(&chunks, &root, b"a/b").unwrap().unwrap();
    let id = |entry: &Entry| match &entry.content {
        Content::Directory(directory) => directory.root,
        _ => panic!("not a directory"),
    };
    chunks.remove(&id(&b));
    let walk = || steps(Walk::new(&chunks, &root, None, |_| true));
    assert_eq!(walk(), ["a", "a/b", "!a/b", "a/b/", "a/d", "a/", "e", "e/", "f"]);
    chunks.replace(&id(&a), b"\x01\x91\x00");
    assert_eq!(walk(), ["a", "!a", "a/", "e", "e/", "f"]);
    chunks.remove(&root.root);
    assert_eq!(walk(), ["!"]);
}

#[test]
fn a_directory_that_contains_itself_ends_at_the_limit() {
    let chunks = MemoryChunks::new();
    let below = build(&chunks, vec![(directory_entry(b"d", 1), StatRow::None), file(b"f")]).0;
    let knot = DirectoryRef { entries: 2, ..below };
    let node = super::super::node::Node::DirectoryLeaf(vec![stored_directory(b"d", knot), file_entry(b"f", 1)]);
    chunks.replace(&below.root, &node.encode().unwrap());
    let (mut entries, mut leaves, mut errors) = (0, 0, Vec::new());
    for step in Walk::new(&chunks, &below, None, |_| true) {
        match step {
            Ok(WalkEvent::Entry(_)) => entries += 1,
            Ok(WalkEvent::Leave(item)) => {
                leaves += 1;
                assert_eq!(item.path.len(), 2 * item.depth - 1);
            }
            Err(error) => errors.push(error),
        }
    }
    assert_eq!((entries, leaves, errors.len()), (2 * DIRECTORY_DEPTH_MAX + 2, DIRECTORY_DEPTH_MAX, 1));
    assert_eq!(errors[0].error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(errors[0].path.len(), 2 * DIRECTORY_DEPTH_MAX + 1);
}

#[test]
fn paths_are_found() {
    let chunks = MemoryChunks::new();
    let (root, _) = sample(&chunks);
    for (path, name) in [("a", "a"), ("a/b", "b"), ("a/b/c", "c"), ("a/d", "d"), ("e", "e"), ("f", "f")] {
        assert_eq!(find_path(&chunks, &root, path.as_bytes()).unwrap().unwrap().name, name.as_bytes());
    }
    for path in ["", "/a", "a/", "a//b", "b", "a/c", "f/a", "../a", "."] {
        assert_eq!(find_path(&chunks, &root, path.as_bytes()).unwrap(), None, "{path}");
    }
    chunks.remove(&root.root);
    assert_eq!(find_path(&chunks, &root, b"a").unwrap_err().kind(), ErrorKind::NotFound);
}
