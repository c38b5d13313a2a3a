//! Long content lists: equal lists give equal trees, and seeking finds the right piece.

use proptest::prelude::*;

use super::*;
use crate::archive::testing::{MemoryChunks, chunk_id, key};
use crate::error::ErrorKind;
use crate::limits::{CHUNK_BYTES_MAX, NODE_ENTRIES_MAX};

fn chunk(number: u64, bytes: u32) -> ContentItem {
    ContentItem::Chunk { id: chunk_id(number), bytes }
}

fn build(chunks: &MemoryChunks, items: &[ContentItem]) -> (Content, u64) {
    let mut builder = ContentBuilder::new(key());
    items.iter().for_each(|item| builder.push(*item, chunks).unwrap());
    builder.finish(chunks).unwrap()
}

fn read(chunks: &MemoryChunks, (content, size): &(Content, u64)) -> Vec<ContentItem> {
    ContentReader::open(chunks, content, *size).unwrap().map(Result::unwrap).collect()
}

fn any_items(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<ContentItem>> {
    // Few different chunks, so that some lists repeat one that ends a node, and never two holes in a row.
    let item = (0..40u64, 1..5000u32, prop::option::weighted(0.2, 1..10_000u64));
    prop::collection::vec(item, count).prop_map(|items| {
        let pieces = items
            .into_iter()
            .map(|(number, bytes, hole)| [hole.map(|bytes| ContentItem::Hole { bytes }), Some(chunk(number, bytes))]);
        pieces.flatten().flatten().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn lists_come_back_and_every_byte_is_found(
        items in any_items(0..3000), offsets in prop::collection::vec(0.0..1.1f64, 20)
    ) {
        let chunks = MemoryChunks::new();
        let built = build(&chunks, &items);
        let (content, size) = &built;
        prop_assert_eq!(*size, items.iter().map(ContentItem::bytes).sum::<u64>());
        prop_assert_eq!(matches!(content, Content::Tree(_)), items.len() > INLINE_CONTENT_ITEMS_MAX);
        prop_assert_eq!(&read(&chunks, &built), &items);
        let mut reader = ContentReader::open(&chunks, content, *size).unwrap();
        for offset in offsets {
            let offset = (offset * *size as f64) as u64;
            reader.seek(offset).unwrap();
            let mut start = 0;
            let expected = items.iter().find(|item| {
                start += item.bytes();
                start > offset
            });
            prop_assert_eq!(reader.position(), expected.map_or(*size, |item| start - item.bytes()));
            prop_assert_eq!(reader.next().map(Result::unwrap), expected.copied());
            prop_assert_eq!(reader.position(), if expected.is_some() { start } else { *size });
        }
    }
}

#[test]
fn short_lists_stay_in_the_entry() {
    let chunks = MemoryChunks::new();
    assert_eq!(build(&chunks, &[]), (Content::None, 0));
    let items: Vec<_> = (0..16).map(|number| chunk(number, 1)).collect();
    assert_eq!(build(&chunks, &items), (Content::List(items.clone()), 16));
    assert_eq!(chunks.count(), 0);
    let longer = build(&chunks, &[items.as_slice(), &[chunk(99, 1)]].concat());
    assert_eq!(chunks.count(), 1);
    assert_eq!(read(&chunks, &longer).len(), 17);
}

#[test]
fn holes_join_and_have_no_bounds_of_their_own() {
    let chunks = MemoryChunks::new();
    let hole = |bytes| ContentItem::Hole { bytes };
    let (content, size) = build(&chunks, &[hole(5), hole(1 << 44), chunk(1, 7), hole(3)]);
    assert_eq!(content, Content::List(vec![hole((1 << 44) + 5), chunk(1, 7), hole(3)]));
    assert_eq!(size, (1 << 44) + 15);
    let mut builder = ContentBuilder::new(key());
    builder.push(hole(u64::MAX), &chunks).unwrap();
    for wrong in [hole(1), hole(0), chunk(1, 0), chunk(1, CHUNK_BYTES_MAX as u32 + 1)] {
        assert_eq!(builder.push(wrong, &chunks).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn nodes_of_holes_and_chunks_that_never_cut_are_full_not_overfull() {
    let chunks = MemoryChunks::new();
    let dull = (0..).find(|number| !key().ends(Cut::Content, 0, chunk_id(*number).as_bytes(), 511)).unwrap();
    for start in [0, 1] {
        let pieces = [ContentItem::Hole { bytes: 1 }, chunk(dull, 1)];
        let items: Vec<_> = pieces.into_iter().cycle().skip(start).take(3 * NODE_ENTRIES_MAX).collect();
        let built = build(&chunks, &items);
        assert_eq!(read(&chunks, &built), items);
    }
}

#[test]
fn a_change_in_the_middle_keeps_most_nodes() {
    let chunks = MemoryChunks::new();
    let items: Vec<_> = (0..100_000).map(|number| chunk(number, 1000)).collect();
    let (content, size) = build(&chunks, &items);
    let Content::Tree(tree) = &content else { panic!("not a tree") };
    assert_eq!((tree.items, size, tree.depth), (100_000, 100_000_000, 2));
    let before = chunks.count();
    let mut changed = items.clone();
    changed.insert(50_000, chunk(1 << 40, 3));
    build(&chunks, &changed);
    assert!((3..=8).contains(&(chunks.count() - before)), "{} new nodes", chunks.count() - before);
    let again = chunks.count();
    assert_eq!(build(&chunks, &items).0, content);
    assert_eq!(chunks.count(), again);
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let chunks = MemoryChunks::new();
    let mut builder = ContentBuilder::new(key());
    let mut most = 0;
    for number in 0..200_000 {
        builder.push(chunk(number, 1 << 24), &chunks).unwrap();
        most = most.max(builder.held());
    }
    assert!((NODE_ENTRIES_MAX / 2..=NODE_ENTRIES_MAX * 3).contains(&most), "{most} items held");
    assert_eq!(builder.finish(&chunks).unwrap().1, 200_000 << 24);
}

#[test]
fn a_damaged_node_costs_its_own_bytes() {
    let chunks = MemoryChunks::new();
    let items: Vec<_> = (0..2000).map(|number| chunk(number, 1000)).collect();
    let (content, size) = build(&chunks, &items);
    let Content::Tree(tree) = &content else { panic!("not a tree") };
    let Node::ContentInterior(children) = Node::fetch(&chunks, &tree.root).unwrap() else { panic!("not interior") };
    let (lost, start) = (children[1], children[0].bytes);
    let other = Node::fetch(&chunks, &children[0].id).unwrap().encode().unwrap();
    for replacement in [None, Some(other), Some(Node::StatLeaf(Vec::new()).encode().unwrap())] {
        match replacement {
            Some(plain) => chunks.replace(&lost.id, &plain),
            None => chunks.remove(&lost.id),
        }
        let mut reader = ContentReader::open(&chunks, &content, size).unwrap();
        let before = reader.by_ref().take_while(Result::is_ok).count() as u64;
        assert_eq!((before, reader.position()), (children[0].items, start + lost.bytes));
        assert_eq!(reader.filter(Result::is_ok).count() as u64, 2000 - before - lost.items);
        let mut reader = ContentReader::open(&chunks, &content, size).unwrap();
        assert!(reader.seek(start).is_err());
        assert_eq!(reader.position(), start + lost.bytes);
        assert_eq!(reader.next().unwrap().unwrap(), items[(children[0].items + lost.items) as usize]);
        reader.seek(start + lost.bytes + 1).unwrap();
        assert_eq!(reader.position(), start + lost.bytes);
    }
}

#[test]
fn a_list_that_contains_itself_ends() {
    let chunks = MemoryChunks::new();
    let items: Vec<_> = (0..2000).map(|number| chunk(number, 1000)).collect();
    let (content, size) = build(&chunks, &items);
    let Content::Tree(tree) = content else { panic!("not a tree") };
    let knot = Node::ContentInterior(vec![ContentChild { id: tree.root, items: tree.items, bytes: size }]);
    chunks.replace(&tree.root, &knot.encode().unwrap());
    for depth in [0, 11, 12, 255] {
        let content = Content::Tree(ContentTree { depth, ..tree });
        let found: Vec<_> = ContentReader::open(&chunks, &content, size).unwrap().collect();
        assert_eq!(found.len(), 1, "one error and the end");
        assert_eq!(found[0].as_ref().unwrap_err().kind(), ErrorKind::Damaged);
    }
}

#[test]
fn other_content_is_no_list() {
    let chunks = MemoryChunks::new();
    for content in [Content::Inline(vec![1]), Content::Target(vec![1]), Content::Device { major: 1, minor: 1 }] {
        assert_eq!(ContentReader::open(&chunks, &content, 1).err().unwrap().kind(), ErrorKind::InvalidInput);
    }
}
