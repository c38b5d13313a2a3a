//! Archive and pending records: golden bytes, bounds, and cuts.

use std::collections::BTreeMap;

use super::*;
use crate::id::ChunkId;

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    crate::id::write_hex(&mut text, bytes).unwrap();
    text
}

fn directory() -> DirectoryRef {
    DirectoryRef { root: ChunkId::from_bytes([0x11; 32]), depth: 1, entries: 3, files: 1000, bytes: 70_000 }
}

fn record() -> ArchiveRecord {
    let client = ClientId::from_bytes([0xcc; 16]);
    let archive = ArchiveId::from_bytes([0xaa; 16]);
    ArchiveRecord {
        name: "docs".into(),
        start: Timestamp::new(1_700_000_000, 1),
        end: Timestamp::new(1_700_000_060, 0),
        host: "box".into(),
        user: "joe".into(),
        command_line: vec!["gabion".into(), "create".into()],
        comment: "hi\n".into(),
        tags: ["weekly".to_owned(), "a".to_owned()].into(),
        root: directory(),
        stat_root: Some(StatRef { root: ChunkId::from_bytes([0x11; 32]), depth: 1 }),
        top: None,
        working_directory: Some(ByteBuf::from("/home")),
        paths: vec![ByteBuf::from("docs"), ByteBuf::from(b"\xff".to_vec())],
        base: Some(archive),
        statistics: Statistics { files: 1000, bytes: 70_000, new_bytes: 500, stored_bytes: 300, errors: 0 },
        chunker: "fastcdc,19,23,21".into(),
        client: Some(ClientMark { id: client, sequence: 7, previous: Some(archive) }),
        heads: vec![Head { client, archive, sequence: 6 }],
        extensions: Extensions::none(),
    }
}

const RECORD: &str = "dc0013 a4646f6373 92ce6553f10001 92ce6553f13c00 a3626f78 a36a6f65 92a6676162696f6ea6637265617465 \
    a368690a 92a161a67765656b6c79 95c420_0103cd03e8ce00011170 92c420_01 c0 c4052f686f6d65 92c404646f6373c401ff \
    c410A 95cd03e8ce00011170cd01f4cd012c00 b0666173746364632c31392c32332c3231 93c410C07c410A 9193c410Cc410A06 80";

fn golden(expected: &str) -> String {
    let expected = expected.replace('_', &"11".repeat(32)).replace('A', &"aa".repeat(16));
    expected.replace('C', &"cc".repeat(16)).replace(' ', "")
}

#[test]
fn golden_bytes_of_an_archive() {
    let bytes = record().encode().unwrap();
    assert_eq!(hex(&bytes), golden(RECORD));
    assert_eq!(ArchiveRecord::decode(&bytes).unwrap(), record());
}

#[test]
fn golden_bytes_of_an_archive_in_the_making() {
    let started = Timestamp::new(1_700_000_000, 0);
    let mut pending =
        PendingRecord { started, base: None, record: None, complete: false, extensions: Extensions::none() };
    let bytes = pending.encode().unwrap();
    assert_eq!(hex(&bytes), golden("95 92ce6553f10000 c0 c0 c2 80"));
    assert_eq!(PendingRecord::decode(&bytes).unwrap(), pending);
    let archive = Some(ArchiveId::from_bytes([0xaa; 16]));
    pending.base = Some(BaseRef { archive, root: directory(), stat_root: None });
    pending.record = Some(record());
    pending.complete = true;
    let bytes = pending.encode().unwrap();
    let base = "93 c410A 95c420_0103cd03e8ce00011170 c0";
    assert_eq!(hex(&bytes), golden(&format!("95 92ce6553f10000 {base} {RECORD} c3 80")));
    assert_eq!(PendingRecord::decode(&bytes).unwrap(), pending);
}

#[test]
fn long_lists_are_cut_with_a_mark() {
    let mut long = record();
    long.command_line = (0..30_000).map(|number| format!("{number:05}")).collect();
    long.paths = (0..1000).map(|number| ByteBuf::from(format!("{number:05}"))).collect();
    let bytes = long.encode().unwrap();
    let cut = ArchiveRecord::decode(&bytes).unwrap();
    assert_eq!(cut.paths, long.paths);
    let (mark, kept) = cut.command_line.split_last().unwrap();
    assert_eq!((mark.as_str(), kept), (CUT_MARK, &long.command_line[..kept.len()]));
    assert!((ARCHIVE_RECORD_BYTES_MAX - 100..=ARCHIVE_RECORD_BYTES_MAX).contains(&bytes.len()), "{}", bytes.len());

    long.paths = (0..30_000).map(|number| ByteBuf::from(format!("{number:05}"))).collect();
    let cut = ArchiveRecord::decode(&long.encode().unwrap()).unwrap();
    let (mark, kept) = cut.command_line.split_last().unwrap();
    assert_eq!((mark.as_str(), kept), (CUT_MARK, &long.command_line[..kept.len()]));
    assert!((1000..2000).contains(&kept.len()), "{}", kept.len());
    let (mark, kept) = cut.paths.split_last().unwrap();
    assert_eq!((mark.as_slice(), kept), (&b""[..], &long.paths[..kept.len()]));

    let started = record().start;
    let pending = |record| PendingRecord {
        started,
        base: Some(BaseRef { archive: None, root: directory(), stat_root: None }),
        record: Some(record),
        complete: true,
        extensions: Extensions::none(),
    };
    assert_eq!(PendingRecord::decode(&pending(long).encode().unwrap()).unwrap(), pending(cut));
}

#[test]
fn what_is_as_large_as_it_may_be_fits() {
    let mut large = record();
    large.comment = "x".repeat(COMMENT_BYTES_MAX);
    large.tags = (0..TAGS_MAX).map(|number| format!("{number:0255}")).collect();
    for text in [&mut large.name, &mut large.host, &mut large.user, &mut large.chunker] {
        *text = "y".repeat(255);
    }
    large.working_directory = Some(ByteBuf::from(vec![b'/'; 4096]));
    let id = |number: u128| number.to_be_bytes();
    let head = |number| Head {
        client: ClientId::from_bytes(id(number)),
        archive: ArchiveId::from_bytes(id(number)),
        sequence: u64::MAX,
    };
    large.heads = (0..HEADS_MAX as u128).map(head).collect();
    large.command_line = vec!["z".repeat(100_000)];
    let decoded = ArchiveRecord::decode(&large.encode().unwrap()).unwrap();
    assert_eq!(decoded, ArchiveRecord { command_line: vec![CUT_MARK.into()], ..large.clone() });
}

#[test]
fn bounds_hold_in_both_directions() {
    let wrong: [fn(&mut ArchiveRecord); 14] = [
        |record| record.name.clear(),
        |record| record.name = "a\nb".into(),
        |record| record.name = "a\u{85}b".into(),
        |record| record.name = "x".repeat(256),
        |record| record.host = "x".repeat(256),
        |record| record.comment = "x".repeat(COMMENT_BYTES_MAX + 1),
        |record| record.tags = ["\x1b[31m".to_owned()].into(),
        |record| record.tags = (0..65).map(|number| number.to_string()).collect(),
        |record| record.heads.push(record.heads[0]),
        |record| record.start.nanoseconds = 1_000_000_000,
        |record| record.end.nanoseconds = u32::MAX,
        |record| record.root.depth = 12,
        |record| record.working_directory = Some(ByteBuf::from(vec![0; 4097])),
        |record| record.chunker = "x".repeat(256),
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        let mut record = record();
        change(&mut record);
        assert_eq!(record.encode().unwrap_err().kind(), ErrorKind::InvalidInput, "{number}");
        let bytes = codec::encode(&record, RECORD_BYTES_MAX).unwrap();
        assert_eq!(ArchiveRecord::decode(&bytes).unwrap_err().kind(), ErrorKind::Damaged, "{number}");
    }
    check_archive_name("dócs {now}").unwrap();
    assert_eq!(check_archive_name("a\tb").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn additions_of_later_versions_are_kept_and_critical_ones_refused() {
    let extensions = |number: u16| -> Extensions {
        let map = BTreeMap::from([(number, ByteBuf::from("new"))]);
        rmp_serde::from_slice(&rmp_serde::to_vec(&map).unwrap()).unwrap()
    };
    let mut record = record();
    record.extensions = extensions(2);
    assert_eq!(ArchiveRecord::decode(&record.encode().unwrap()).unwrap(), record);
    record.extensions = extensions(3);
    let bytes = record.encode().unwrap();
    assert_eq!(ArchiveRecord::decode(&bytes).unwrap_err().kind(), ErrorKind::Unsupported);
    let pending = PendingRecord {
        started: record.start,
        base: None,
        record: Some(record),
        complete: false,
        extensions: Extensions::none(),
    };
    assert_eq!(PendingRecord::decode(&pending.encode().unwrap()).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn damaged_records_are_refused_or_canonical() {
    let bytes = record().encode().unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(record) = ArchiveRecord::decode(&flipped) {
            assert_eq!(record.encode().unwrap(), flipped);
        }
    }
    for length in 0..bytes.len() {
        assert!(ArchiveRecord::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
}

#[test]
fn a_top_directory_has_metadata_and_few_attributes() {
    let metadata = crate::archive::testing::file_entry(b"x", 1).metadata;
    let mut record = record();
    let mut attributes = Attributes::default();
    attributes.0.insert(ByteBuf::from("user.a"), ByteBuf::from(vec![0; 100]));
    record.top = Some(TopDirectory { metadata: metadata.clone(), attributes: attributes.clone() });
    assert_eq!(ArchiveRecord::decode(&record.encode().unwrap()).unwrap(), record);
    attributes.0.insert(ByteBuf::from("user.b"), ByteBuf::from(vec![0; INLINE_ATTRIBUTES_BYTES_MAX]));
    record.top = Some(TopDirectory { metadata, attributes });
    assert_eq!(record.encode().unwrap_err().kind(), ErrorKind::InvalidInput);
}
