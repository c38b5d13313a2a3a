//! Reading directories: order, look-ups, damage.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::archive::builder::DirectoryBuilder;
use crate::archive::testing::{MemoryChunks, file_entry, key, stat_row};
use crate::error::ErrorKind;

type Model = BTreeMap<Vec<u8>, u32>;

fn build(chunks: &MemoryChunks, model: &Model) -> (DirectoryRef, StatRef) {
    let mut builder = DirectoryBuilder::new(key());
    for (name, size) in model {
        builder.push(file_entry(name, *size), stat_row(u64::from(*size)), chunks).unwrap();
    }
    builder.finish(chunks).unwrap()
}

fn numbered(count: u32) -> Model {
    (0..count).map(|number| (format!("{number:06}").into_bytes(), number + 1)).collect()
}

/// The nodes of `kind`, by name.
fn nodes(chunks: &MemoryChunks, kind: u8) -> Vec<(ChunkId, Vec<u8>)> {
    chunks.all().into_iter().filter(|(_, plain)| plain[0] == kind).map(|(id, plain)| (id, plain.to_vec())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn reads_what_a_map_holds(
        model in prop::collection::btree_map(
            prop::collection::vec((1..=255u8).prop_filter("slash", |byte| !b"/.".contains(byte)), 1..6), 1..1000u32, 0..3000),
        probes in prop::collection::vec(prop::collection::vec(1..=255u8, 0..5), 20),
    ) {
        let chunks = MemoryChunks::new();
        let (directory, stat) = build(&chunks, &model);
        prop_assert_eq!(directory.entries, model.len() as u64);
        let mut reader = DirectoryReader::open(&chunks, &directory, Some(&stat));
        for (name, size) in &model {
            let (entry, row) = reader.next().unwrap().unwrap();
            prop_assert_eq!((&entry.name, entry.size, row), (name, u64::from(*size), Some(stat_row(u64::from(*size)))));
        }
        prop_assert!(reader.next().is_none());
        let known = model.keys().step_by(97).cloned();
        for probe in probes.into_iter().chain(known) {
            let found = reader.find(&probe).unwrap().map(|(entry, _)| entry.size);
            prop_assert_eq!(found, model.get(&probe).map(|size| u64::from(*size)));
            reader.seek(&probe).unwrap();
            let next = reader.next().map(|found| found.unwrap().0.name);
            prop_assert_eq!(next.as_ref(), model.range(probe..).next().map(|(name, _)| name));
        }
    }
}

#[test]
fn a_name_costs_one_fetch_per_level() {
    struct Counting<'a>(&'a MemoryChunks, std::cell::Cell<usize>);
    impl ChunkSource for Counting<'_> {
        fn fetch(&self, class: crate::segment::Class, id: &ChunkId) -> Result<bytes::Bytes> {
            self.1.set(self.1.get() + 1);
            self.0.fetch(class, id)
        }
    }
    let chunks = MemoryChunks::new();
    let (directory, _) = build(&chunks, &numbered(50_000));
    let counting = Counting(&chunks, Default::default());
    let mut reader = DirectoryReader::open(&counting, &directory, None);
    assert_eq!(counting.1.get(), 0);
    assert_eq!(reader.find(b"031234").unwrap().unwrap().0.size, 31_235);
    assert_eq!(counting.1.get(), usize::from(directory.depth) + 1);
    assert_eq!(reader.next().unwrap().unwrap().0.size, 31_236);
}

#[test]
fn a_damaged_leaf_costs_its_own_entries() {
    let chunks = MemoryChunks::new();
    let (directory, stat) = build(&chunks, &numbered(5000));
    let (id, plain) = nodes(&chunks, 1).swap_remove(3);
    let Node::DirectoryLeaf(lost) = Node::decode(&plain).unwrap() else { panic!("not a leaf") };
    for replacement in [None, Some(&plain[..plain.len() - 1])] {
        match replacement {
            Some(plain) => chunks.replace(&id, plain),
            None => chunks.remove(&id),
        }
        let mut reader = DirectoryReader::open(&chunks, &directory, Some(&stat));
        let (good, bad): (Vec<_>, Vec<_>) = reader.by_ref().partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (5000 - lost.len(), 1));
        assert!(bad[0].as_ref().unwrap_err().context("chunk").is_some());
        // A search that ends in the gap fails, and the rest is still there.
        assert!(reader.find(&lost[1].name).is_err());
        let behind = reader.next().unwrap().unwrap().0.name;
        assert!(behind > lost.last().unwrap().name);
        assert_eq!(reader.find(&behind).unwrap().unwrap().0.name, behind);
    }
}

#[test]
fn a_lost_stat_node_loses_change_detection_only() {
    let (whole, model) = (MemoryChunks::new(), numbered(5000));
    let (directory, stat) = build(&whole, &model);
    let all = |chunks: &MemoryChunks, stat: Option<&StatRef>| {
        let rows: Vec<_> = DirectoryReader::open(chunks, &directory, stat).map(|found| found.unwrap().1).collect();
        assert_eq!(rows.len(), 5000);
        rows.iter().filter(|row| row.is_some()).count()
    };
    assert_eq!(all(&whole, Some(&stat)), 5000);
    assert_eq!(all(&whole, None), 0);
    assert_eq!(all(&whole, Some(&StatRef { depth: stat.depth + 1, ..stat })), 0);
    assert_eq!(all(&whole, Some(&StatRef { root: directory.root, ..stat })), 0);
    let (leaf, plain) = nodes(&whole, 5).swap_remove(2);
    let Node::StatLeaf(mut rows) = Node::decode(&plain).unwrap() else { panic!("not a stat leaf") };
    let left = 5000 - rows.len();
    rows.pop();
    whole.replace(&leaf, &Node::StatLeaf(rows).encode().unwrap());
    assert_eq!(all(&whole, Some(&stat)), left);
    whole.remove(&leaf);
    assert_eq!(all(&whole, Some(&stat)), left);
    let Node::StatInterior(mut children) = Node::fetch(&whole, &stat.root).unwrap() else { panic!("not interior") };
    children.pop();
    whole.replace(&stat.root, &Node::StatInterior(children).encode().unwrap());
    assert_eq!(all(&whole, Some(&stat)), 0);
    whole.remove(&stat.root);
    assert_eq!(all(&whole, Some(&stat)), 0);
}

/// Reads a directory after `change` of its root node, which has more than one leaf.
fn with_root(change: impl FnOnce(&mut Vec<DirectoryChild>)) -> Vec<Result<(Entry, Option<StatRow>)>> {
    let chunks = MemoryChunks::new();
    let (directory, _) = build(&chunks, &numbered(1000));
    assert_eq!(directory.depth, 1);
    let Node::DirectoryInterior(mut children) = Node::fetch(&chunks, &directory.root).unwrap() else {
        panic!("not an interior node")
    };
    change(&mut children);
    chunks.replace(&directory.root, &Node::DirectoryInterior(children).encode().unwrap());
    DirectoryReader::open(&chunks, &directory, None).collect()
}

#[test]
fn nodes_that_are_not_what_their_parent_says_are_refused() {
    assert_eq!(with_root(|_| {}).len(), 1000);
    let reasons = |found: Vec<Result<(Entry, Option<StatRow>)>>| -> Vec<String> {
        let errors = found.into_iter().filter_map(Result::err);
        errors.map(|error| error.context("reason").unwrap().to_owned()).collect()
    };
    let count = "not as many entries as its parent says";
    assert_eq!(reasons(with_root(|children| drop(children.pop()))), [count]);
    assert_eq!(reasons(with_root(|children| children[0].entries = u64::MAX)), [count]);
    let moved = with_root(|children| {
        children[0].entries += 1;
        children[1].entries -= 1;
    });
    assert_eq!(reasons(moved), [count, count]);
    let first = "not the first name its parent says";
    assert_eq!(reasons(with_root(|children| children[0].first = b"!".to_vec())), [first]);
    let twice = with_root(|children| children[1].id = children[0].id);
    assert!([count, first].contains(&reasons(twice)[0].as_str()));
}

#[test]
fn leaves_that_overlap_are_refused() {
    let chunks = MemoryChunks::new();
    let leaf = |names: [&[u8]; 2]| {
        let entries: Vec<_> = names.iter().map(|name| file_entry(name, 1)).collect();
        let plain = Node::DirectoryLeaf(entries).encode().unwrap();
        let id = crate::repository::ChunkSink::store(&chunks, crate::segment::Class::Tree, &plain).unwrap();
        DirectoryChild { first: names[0].to_vec(), id, entries: 2 }
    };
    let root = Node::DirectoryInterior(vec![leaf([b"a", b"c"]), leaf([b"b", b"d"])]).encode().unwrap();
    let root = crate::repository::ChunkSink::store(&chunks, crate::segment::Class::Tree, &root).unwrap();
    let directory = DirectoryRef { root, depth: 1, entries: 4, files: 4, bytes: 4 };
    let found: Vec<_> = DirectoryReader::open(&chunks, &directory, None).collect();
    assert_eq!(found.len(), 3);
    assert_eq!(found[2].as_ref().unwrap_err().context("reason"), Some("names not in order"));
}

#[test]
fn a_tree_that_contains_itself_ends() {
    let chunks = MemoryChunks::new();
    let (directory, _) = build(&chunks, &numbered(1000));
    let knot =
        Node::DirectoryInterior(vec![DirectoryChild { first: b"000000".to_vec(), id: directory.root, entries: 1000 }]);
    chunks.replace(&directory.root, &knot.encode().unwrap());
    for depth in [0, 1, 11, 12, 255] {
        let directory = DirectoryRef { depth, ..directory };
        let found: Vec<_> = DirectoryReader::open(&chunks, &directory, None).collect();
        assert_eq!(found.len(), 1, "one error and the end");
        assert_eq!(found[0].as_ref().unwrap_err().kind(), ErrorKind::Damaged);
    }
}
