//! Nodes: golden bytes, and what an enemy may have made of them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_bytes::ByteBuf;

use super::*;
use crate::archive::content::{ContentTree, DirectoryRef};
use crate::archive::metadata::{FileType, Metadata};
use crate::archive::stat::StatRef;
use crate::archive::testing::{chunk_id, directory_entry, file_entry, metadata, special_entries, stat_row};
use crate::clock::Timestamp;
use crate::codec::Extensions;
use crate::error::ErrorKind;

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    crate::id::write_hex(&mut text, bytes).unwrap();
    text
}

fn id(byte: u8) -> ChunkId {
    ChunkId::from_bytes([byte; 32])
}

/// The node must have exactly these bytes (`_` stands for the id 0x11 * 32), and they must give the node.
fn golden(node: &Node, expected: &str) {
    let expected = expected.replace('_', &"11".repeat(32)).replace(' ', "");
    let bytes = node.encode().unwrap();
    assert_eq!(hex(&bytes), expected);
    assert_eq!(Node::decode(&bytes).unwrap(), *node);
}

#[test]
fn golden_bytes_of_directories() {
    let mut file = file_entry(b"a", 300);
    file.content = Content::List(vec![ContentItem::Chunk { id: id(0x11), bytes: 300 }]);
    file.hard_link = Some(7);
    file.attributes =
        AttributesRef::Inline(Attributes(BTreeMap::from([(ByteBuf::from("user.x"), ByteBuf::from("y"))])));
    golden(
        &Node::DirectoryLeaf(vec![file]),
        "01 91 98 c40161 01 99cd01a4cd03e864c4036a6f65c405757365727392ce6553f100ce075bcd1592ff05c000 \
         cd012c 07 920181c406757365722e78c40179 92029193 01c420_cd012c 80",
    );
    let directory = DirectoryRef { root: id(0x11), depth: 1, entries: 700, files: 9, bytes: 1 << 40 };
    let mut entry = directory_entry(b"d", 1);
    entry.content = Content::Directory(directory);
    entry.metadata = Metadata { user: None, group: None, born: None, ..metadata() };
    entry.attributes = AttributesRef::Chunk(id(0x11));
    golden(
        &Node::DirectoryLeaf(vec![entry]),
        "01 91 98 c40164 02 99cd01a4cd03e864c0c092ce6553f100ce075bcd15c0c000 00 c0 9202c420_ \
         920495c420_01cd02bc09cf0000010000000000 80",
    );
    golden(
        &Node::DirectoryInterior(vec![DirectoryChild { first: b"a".to_vec(), id: id(0x11), entries: 512 }]),
        "02 91 93 c40161 c420_ cd0200",
    );
}

#[test]
fn golden_bytes_of_other_entries() {
    let mut entries = special_entries();
    let tree = ContentTree { root: id(0x11), depth: 1, items: 17 };
    entries.push(Entry { size: 1 << 30, content: Content::Tree(tree), ..file_entry(b"u", 1) });
    let metadata = "99cd01a4cd03e864c4036a6f65c405757365727392ce6553f100ce075bcd1592ff05c000";
    let expected = "01 97 \
        98 c407732d626c6f636b 04 M 00 c0 c0 93060801 80 \
        98 c406732d63686172 05 M 00 c0 c0 930601cd0103 80 \
        98 c406732d6669666f 06 M 00 c0 c0 c0 80 \
        98 c406732d6c696e6b 03 M 00 c0 c0 9205c40c2e2e2f656c73657768657265 80 \
        98 c407742d656d707479 01 M 00 c0 c0 c0 80 \
        98 c408742d696e6c696e65 01 M 05 c0 c0 9201c40568656c6c6f 80 \
        98 c40175 01 M ce40000000 c0 c0 9403c420_0111 80";
    golden(&Node::DirectoryLeaf(entries), &expected.replace('M', metadata));
}

#[test]
fn golden_bytes_of_contents_stats_and_attributes() {
    golden(
        &Node::ContentLeaf(vec![
            ContentItem::Chunk { id: id(0x11), bytes: 1 << 24 },
            ContentItem::Hole { bytes: 1 << 44 },
        ]),
        "03 92 9301c420_ce01000000 9202cf0000100000000000",
    );
    golden(
        &Node::ContentInterior(vec![ContentChild { id: id(0x11), items: 64, bytes: 65536 }]),
        "04 91 93c420_40ce00010000",
    );
    golden(
        &Node::StatLeaf(vec![
            StatRow::None,
            StatRow::File { inode: 4711, changed: Timestamp::new(-40, 1) },
            StatRow::Directory(StatRef { root: id(0x11), depth: 2 }),
        ]),
        "05 93 c0 9301cd126792d0d801 9302c420_02",
    );
    golden(&Node::StatInterior(vec![StatChild { id: id(0x11), rows: 64 }]), "06 91 92c420_40");
    let attributes = [("user.a", "1"), ("user.b", "")].map(|(name, value)| (ByteBuf::from(name), ByteBuf::from(value)));
    golden(&Node::Attributes(Attributes(attributes.into())), "07 82 c406757365722e61c40131 c406757365722e62c400");
    golden(&Node::DirectoryLeaf(Vec::new()), "01 90");
}

fn bytes(length: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), length)
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanoseconds)| Timestamp::new(seconds, nanoseconds))
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let owner = || prop::option::of(bytes(0..300).prop_map(ByteBuf::from));
    let times = (any_time(), prop::option::of(any_time()), prop::option::of(any_time()));
    (0..=0o7777u32, any::<[u32; 3]>(), owner(), owner(), times).prop_map(|(mode, numbers, user, group, times)| {
        let ([uid, gid, flags], (modified, born, accessed)) = (numbers, times);
        Metadata { mode, uid, gid, user, group, modified, born, accessed, flags }
    })
}

fn any_content() -> impl Strategy<Value = (FileType, u64, Content)> {
    let item = prop_oneof![
        (any::<u64>(), 1..=1u32 << 24).prop_map(|(number, bytes)| ContentItem::Chunk { id: chunk_id(number), bytes }),
        (1..1u64 << 50).prop_map(|bytes| ContentItem::Hole { bytes }),
    ];
    prop_oneof![
        bytes(1..=512).prop_map(|bytes| (FileType::File, bytes.len() as u64, Content::Inline(bytes))),
        prop::collection::vec(item, 1..=16).prop_map(|items| (
            FileType::File,
            items.iter().map(ContentItem::bytes).sum(),
            Content::List(items)
        )),
        (any::<u64>(), 0..12u8, 17..u64::MAX).prop_map(|(number, depth, items)| {
            (FileType::File, u64::MAX, Content::Tree(ContentTree { root: chunk_id(number), depth, items }))
        }),
        (any::<u64>(), 0..12u8, any::<[u64; 3]>()).prop_map(|(number, depth, [entries, files, bytes])| {
            let directory = DirectoryRef { root: chunk_id(number), depth, entries, files, bytes };
            (FileType::Directory, 0, Content::Directory(directory))
        }),
        prop::collection::vec(1..=255u8, 1..=4096).prop_map(|target| (FileType::Symlink, 0, Content::Target(target))),
        any::<(u32, u32)>().prop_map(|(major, minor)| (FileType::BlockDevice, 0, Content::Device { major, minor })),
        Just((FileType::Fifo, 0, Content::None)),
    ]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let name = prop::collection::vec((1..=255u8).prop_filter("slash", |byte| *byte != b'/'), 3..=1024);
    let attribute = (prop::collection::vec(1..=255u8, 1..100), bytes(0..300));
    let attributes = prop_oneof![
        Just(AttributesRef::None),
        any::<u64>().prop_map(|number| AttributesRef::Chunk(chunk_id(number))),
        prop::collection::btree_map(attribute.0, attribute.1, 1..3).prop_map(|map| {
            let pairs = map.into_iter().map(|(name, value)| (ByteBuf::from(name), ByteBuf::from(value)));
            AttributesRef::Inline(Attributes(pairs.collect()))
        }),
    ];
    let extensions = prop::collection::btree_map((0..9u16).prop_map(|number| number * 2), bytes(0..20), 0..3);
    let extensions = extensions.prop_map(|map| {
        let map: BTreeMap<_, _> = map.into_iter().map(|(number, value)| (number, ByteBuf::from(value))).collect();
        rmp_serde::from_slice::<Extensions>(&rmp_serde::to_vec(&map).unwrap()).unwrap()
    });
    let link = prop::option::of(any::<u64>());
    (name, any_metadata(), link, attributes, any_content(), extensions).prop_map(
        |(name, metadata, link, attributes, (file_type, size, content), extensions)| {
            let hard_link = link.filter(|_| file_type != FileType::Directory);
            Entry { name, file_type, metadata, size, hard_link, attributes, content, extensions }
        },
    )
}

/// Whatever the bytes are: no panic, and what is accepted has no other form.
fn hold_or_refuse(bytes: &[u8]) {
    if let Ok(node) = Node::decode(bytes) {
        assert_eq!(node.encode().unwrap(), bytes);
    }
}

proptest! {
    #[test]
    fn entries_go_both_ways(entries in prop::collection::btree_map(bytes(1..4), any_entry(), 0..5)) {
        let mut entries: Vec<_> = entries.into_values().collect();
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        entries.dedup_by(|left, right| left.name == right.name);
        let node = Node::DirectoryLeaf(entries);
        prop_assert_eq!(Node::decode(&node.encode().unwrap()).unwrap(), node);
    }

    #[test]
    fn metadata_is_what_the_record_codec_writes(metadata in any_metadata()) {
        let mut out = Vec::new();
        metadata.put(&mut out);
        prop_assert_eq!(out, rmp_serde::to_vec(&metadata).unwrap());
    }

    #[test]
    fn hostile_bytes_are_refused_or_canonical(kind in 0..9u8, body in bytes(0..200)) {
        hold_or_refuse(&[&[kind], body.as_slice()].concat());
    }

    #[test]
    fn hostile_arrays_are_refused_or_canonical(kind in 1..7u8, count in 0..4u8, body in bytes(0..100)) {
        hold_or_refuse(&[&[kind, 0x90 | count], body.as_slice()].concat());
    }
}

fn samples() -> Vec<Node> {
    let mut entries = special_entries();
    entries.insert(0, file_entry(b"a", 70_000));
    entries.insert(1, directory_entry(b"b", 2));
    entries[0].attributes =
        AttributesRef::Inline(Attributes(BTreeMap::from([(ByteBuf::from("user.x"), ByteBuf::from("y"))])));
    let child = |name: &[u8]| DirectoryChild { first: name.to_vec(), id: chunk_id(3), entries: 300 };
    vec![
        Node::DirectoryLeaf(entries),
        Node::DirectoryInterior(vec![child(b"a"), child(b"b")]),
        Node::ContentLeaf(vec![ContentItem::Hole { bytes: 5 }, ContentItem::Chunk { id: chunk_id(1), bytes: 9 }]),
        Node::ContentInterior(vec![ContentChild { id: chunk_id(1), items: 3, bytes: 300 }]),
        Node::StatLeaf(vec![StatRow::None, stat_row(77)]),
        Node::StatInterior(vec![StatChild { id: chunk_id(1), rows: 3 }]),
        Node::Attributes(Attributes(BTreeMap::from([(ByteBuf::from("user.x"), ByteBuf::from("y"))]))),
    ]
}

#[test]
fn flipped_and_missing_bits_are_refused_or_canonical() {
    for node in samples() {
        let bytes = node.encode().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            hold_or_refuse(&flipped);
        }
        for length in 0..bytes.len() {
            assert!(Node::decode(&bytes[..length]).is_err(), "{:?} cut to {length} bytes", node.kind());
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Node::decode(&longer).unwrap_err().kind(), ErrorKind::Damaged);
    }
}

#[test]
fn nodes_that_are_not_consistent_are_neither_written_nor_read() {
    let (left, right) = (file_entry(b"a", 1), file_entry(b"b", 1));
    let wrong = [
        Node::DirectoryLeaf(vec![right.clone(), left.clone()]),
        Node::DirectoryLeaf(vec![left.clone(), left.clone()]),
        Node::DirectoryInterior(Vec::new()),
        Node::ContentLeaf(Vec::new()),
        Node::ContentInterior(Vec::new()),
        Node::StatInterior(Vec::new()),
        Node::StatLeaf(vec![StatRow::None; NODE_ENTRIES_MAX + 1]),
    ];
    for node in wrong {
        assert_eq!(node.encode().unwrap_err().kind(), ErrorKind::InvalidInput, "{:?}", node.kind());
    }
    let leaf = |entries: [&Entry; 2]| {
        let mut buffer = NodeBuffer::default();
        entries.iter().for_each(|entry| buffer.append(|out| entry.put(out)).unwrap());
        buffer.close(NodeKind::DirectoryLeaf).to_vec()
    };
    Node::decode(&leaf([&left, &right])).unwrap();
    for bytes in [leaf([&right, &left]), leaf([&left, &left])] {
        assert_eq!(Node::decode(&bytes).unwrap_err().context("reason"), Some("names not in order"));
    }
    for kind in [2, 3, 4, 6] {
        assert_eq!(Node::decode(&[kind, 0x90]).unwrap_err().context("reason"), Some("a node without elements"));
    }
    for bytes in [&b"\x07\x82\xc4\x01b\xc4\x00\xc4\x01a\xc4\x00"[..], b"\x07\x82\xc4\x01a\xc4\x00\xc4\x01a\xc4\x00"] {
        assert_eq!(Node::decode(bytes).unwrap_err().context("reason"), Some("attributes not in order"));
    }
    let child = DirectoryChild { first: b"a".to_vec(), id: chunk_id(1), entries: 0 };
    let bytes = Node::DirectoryInterior(vec![child]).encode().unwrap();
    assert_eq!(Node::decode(&bytes).unwrap_err().context("reason"), Some("a node without entries"));
    for (items, bytes) in [(0, 0), (0, 9), (10, 9)] {
        let bytes = Node::ContentInterior(vec![ContentChild { id: chunk_id(1), items, bytes }]).encode().unwrap();
        assert_eq!(Node::decode(&bytes).unwrap_err().context("reason"), Some("items do not fit their bytes"));
    }
    let many = [&[5, 0xdc, 2, 1][..], &[0xc0; 513]].concat();
    assert_eq!(Node::decode(&many).unwrap_err().context("reason"), Some("too many elements"));
}

#[test]
fn an_entry_has_room_for_its_parts_and_no_more() {
    let mut entry = special_entries().swap_remove(3);
    entry.name = vec![b'n'; 1024];
    entry.content = Content::Target(vec![b't'; 4096]);
    entry.metadata.user = Some(vec![b'u'; 512].into());
    entry.metadata.group = Some(vec![b'g'; 512].into());
    entry.attributes =
        AttributesRef::Inline(Attributes(BTreeMap::from([(vec![b'a'; 9].into(), vec![0; 1008].into())])));
    let node = Node::DirectoryLeaf(vec![entry.clone()]);
    assert_eq!(Node::decode(&node.encode().unwrap()).unwrap(), node);
    let map = BTreeMap::from([(2u16, ByteBuf::from(vec![0; 1000]))]);
    entry.extensions = rmp_serde::from_slice(&rmp_serde::to_vec(&map).unwrap()).unwrap();
    assert_eq!(Node::DirectoryLeaf(vec![entry]).encode().unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn every_chunk_a_node_names_is_visited() {
    let chunks = |node: Node| {
        let mut chunks = Vec::new();
        node.for_each_chunk(&mut |class, id| chunks.push((class, id)));
        chunks
    };
    let (tree, data) = ((Class::Tree, chunk_id(1)), (Class::Data, chunk_id(1)));
    let mut with_attributes = directory_entry(b"b", 2);
    with_attributes.attributes = AttributesRef::Chunk(chunk_id(1));
    let long = ContentTree { root: chunk_id(1), depth: 0, items: 17 };
    let long = Entry { size: 99, content: Content::Tree(long), ..file_entry(b"c", 1) };
    let leaf = Node::DirectoryLeaf(vec![file_entry(b"a", 1), with_attributes, long]);
    assert_eq!(chunks(leaf), [data, tree, (Class::Tree, chunk_id(2)), tree]);
    let child = DirectoryChild { first: b"a".to_vec(), id: chunk_id(1), entries: 1 };
    assert_eq!(chunks(Node::DirectoryInterior(vec![child])), [tree]);
    assert_eq!(chunks(Node::ContentLeaf(vec![ContentItem::Chunk { id: chunk_id(1), bytes: 1 }])), [data]);
    assert_eq!(chunks(Node::ContentInterior(vec![ContentChild { id: chunk_id(1), items: 1, bytes: 1 }])), [tree]);
    assert_eq!(chunks(Node::StatLeaf(vec![StatRow::Directory(StatRef { root: chunk_id(1), depth: 0 })])), [tree]);
    assert_eq!(chunks(Node::StatInterior(vec![StatChild { id: chunk_id(1), rows: 1 }])), [tree]);
}
