//! The plaintext of a fragment's sections, and what makes it valid.
//!
//! All integers are little-endian.
//!
//! ```text
//! table      32 B  info bytes u32 | segments u32 | places bytes u32 | keys u32 | 16 zero bytes
//! info             record: [level u8, replaces [id 16], segments u32, keys u32, extensions]
//! segments  141 B  per segment: id 16 | class u8 | stored bytes u64 | content hash 32 | header 72 |
//!                  frames u32 | chunks u32 | places bytes u32
//! fence      16 B  per block of keys: its first key
//! places           per segment: its encoded places (see `places`)
//! keys       24 B  per chunk: key 16 | segment u32 | ordinal u32, ascending; 2730 entries (64 KiB) per
//!                  block, the last one shorter
//! ```
//!
//! A valid fragment names each segment once and has exactly one key for each chunk
//! of each segment, so that nobody can hide a chunk of a segment he names.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::codec::{Cursor, Extensions, padme};
use crate::crypto::aead::TAG_BYTES;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IndexId, SegmentId};
use crate::limits::{
    INDEX_BYTES_MAX, INDEX_ENTRIES_MAX, INDEX_SEGMENTS_MAX, KIB, RECORD_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
};
use crate::seal::TAIL_BYTES;
use crate::segment::{Class, HEADER_BYTES, SegmentRecord};

use super::fragment::SegmentEntry;
use super::places::Places;
use super::table::{ChunkKey, KeyEntry};

/// Fragments one fragment may replace.
pub(super) const REPLACES_MAX: usize = 1024;
/// Entries of a block of keys.
pub(super) const BLOCK_KEYS: usize = 64 * KIB / KeyEntry::BYTES;
/// Bytes of the table.
pub(super) const TABLE_BYTES: usize = 32;

const SEGMENT_ROW_BYTES: usize = 16 + 1 + 8 + 32 + HEADER_BYTES + 12;

const _: () = assert!(REPLACES_MAX * 18 + 64 <= RECORD_BYTES_MAX / 2);

/// Stored bytes of a fragment, padding included.
pub(super) fn stored_bytes(info_bytes: usize, segments: usize, keys: usize, places_bytes: usize) -> usize {
    SectionTable { info_bytes, segments, places_bytes, keys }.stored_bytes()
}

/// How long the sections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SectionTable {
    pub(super) info_bytes: usize,
    pub(super) segments: usize,
    pub(super) places_bytes: usize,
    pub(super) keys: usize,
}

impl SectionTable {
    pub(super) fn encode(&self) -> [u8; TABLE_BYTES] {
        let mut bytes = [0; TABLE_BYTES];
        let fields = [self.info_bytes, self.segments, self.places_bytes, self.keys];
        for (field, value) in bytes.chunks_exact_mut(4).zip(fields) {
            field.copy_from_slice(&(value as u32).to_le_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes);
        let mut field = || cursor.u32().map(|value| value as usize);
        let table = Self { info_bytes: field()?, segments: field()?, places_bytes: field()?, keys: field()? };
        if cursor.array()? != [0; 16] {
            return Err(wrong("unknown sections"));
        }
        cursor.finish()?;
        table.check()?;
        Ok(table)
    }

    /// Refuses what exceeds a limit of the format.
    pub(super) fn check(&self) -> Result<()> {
        let Self { info_bytes, segments, places_bytes, keys } = *self;
        for (what, count, limit) in [
            ("info bytes", info_bytes, RECORD_BYTES_MAX),
            ("segments", segments, INDEX_SEGMENTS_MAX),
            ("places bytes", places_bytes, INDEX_BYTES_MAX),
            ("keys", keys, INDEX_ENTRIES_MAX),
        ] {
            if count > limit {
                return Err(Error::new(ErrorKind::LimitExceeded, OPERATION).with(what, count).with("limit", limit));
            }
        }
        Ok(())
    }

    /// Bytes of the whole object: header, sealed sections, padding, tail.
    pub(super) fn stored_bytes(&self) -> usize {
        let sealed: usize = self.section_bytes().map(|bytes| bytes + TAG_BYTES).sum();
        padme((HEADER_BYTES + sealed + TAIL_BYTES) as u64) as usize
    }

    /// Plaintext bytes of all sections in order: table, info, segments, fence, places, blocks of keys.
    pub(super) fn section_bytes(&self) -> impl Iterator<Item = usize> {
        let blocks = self.keys.div_ceil(BLOCK_KEYS);
        let keys = self.keys;
        let first = [
            TABLE_BYTES,
            self.info_bytes,
            self.segments * SEGMENT_ROW_BYTES,
            blocks * ChunkKey::BYTES,
            self.places_bytes,
        ];
        let block = move |number: usize| (keys - number * BLOCK_KEYS).min(BLOCK_KEYS) * KeyEntry::BYTES;
        first.into_iter().chain((0..blocks).map(block))
    }
}

/// The record of a fragment about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Info {
    pub(super) level: u8,
    pub(super) replaces: Vec<IndexId>,
    pub(super) segments: u32,
    pub(super) keys: u32,
    pub(super) extensions: Extensions,
}

impl Info {
    pub(super) fn check(&self, level: u8, table: &SectionTable) -> Result<()> {
        self.extensions.check_critical()?;
        if self.replaces.len() > REPLACES_MAX {
            return Err(Error::new(ErrorKind::LimitExceeded, OPERATION).with("replaced", self.replaces.len()));
        }
        if self.level != level || self.segments as usize != table.segments || self.keys as usize != table.keys {
            return Err(wrong("level or counts differ from name or section table"));
        }
        Ok(())
    }
}

/// The sections `segments` and `places`.
pub(super) fn encode_segments(segments: &[SegmentEntry]) -> (Vec<u8>, Vec<u8>) {
    let mut rows = Vec::with_capacity(segments.len() * SEGMENT_ROW_BYTES);
    let mut all_places = Vec::with_capacity(segments.iter().map(|entry| entry.places.encoded().len()).sum());
    for SegmentEntry { record, places } in segments {
        rows.extend_from_slice(record.id.as_bytes());
        rows.push(record.class.into());
        rows.extend_from_slice(&record.bytes.to_le_bytes());
        rows.extend_from_slice(&record.content_hash);
        rows.extend_from_slice(&record.header);
        for count in [places.frames(), places.chunks(), places.encoded().len() as u32] {
            rows.extend_from_slice(&count.to_le_bytes());
        }
        all_places.extend_from_slice(places.encoded());
    }
    (rows, all_places)
}

/// Reads the sections `segments` and `places` of a fragment with `keys` keys.
pub(super) fn decode_segments(rows: &[u8], all_places: &[u8], keys: usize) -> Result<Vec<SegmentEntry>> {
    let mut segments = Vec::with_capacity(rows.len() / SEGMENT_ROW_BYTES);
    let mut seen = HashSet::with_capacity(segments.capacity());
    let (mut rows, mut all_places) = (Cursor::new(rows), Cursor::new(all_places));
    let mut chunks = 0;
    while rows.remaining() > 0 {
        let entry = decode_segment(&mut rows, &mut all_places)?;
        if !seen.insert(entry.record.id) {
            return Err(wrong("a segment twice"));
        }
        chunks += entry.places.chunks() as usize;
        segments.push(entry);
    }
    all_places.finish()?;
    if chunks == keys { Ok(segments) } else { Err(wrong("not as many keys as chunks")) }
}

fn decode_segment(rows: &mut Cursor<'_>, all_places: &mut Cursor<'_>) -> Result<SegmentEntry> {
    let record = SegmentRecord {
        id: SegmentId::from_bytes(rows.array()?),
        class: Class::try_from(rows.u8()?).map_err(wrong)?,
        bytes: rows.u64()?,
        content_hash: rows.array()?,
        header: rows.array()?,
    };
    let (frames, chunks, places_bytes) = (rows.u32()?, rows.u32()?, rows.u32()? as usize);
    let places = Places::decode(all_places.take(places_bytes)?, frames, chunks)?;
    let sizes = SEGMENT_BYTES_MIN as u64..=SEGMENT_BYTES_MAX as u64;
    if !sizes.contains(&record.bytes) || places.frames_end() > record.bytes {
        return Err(wrong("size of a segment").with("segment", record.id));
    }
    Ok(SegmentEntry { record, places })
}

/// The section `fence`.
pub(super) fn encode_fence(keys: &[KeyEntry]) -> Vec<u8> {
    keys.chunks(BLOCK_KEYS).flat_map(|block| block[0].key.to_bytes()).collect()
}

/// One block of section `keys`.
pub(super) fn encode_block(block: &[KeyEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(block.len() * KeyEntry::BYTES);
    for entry in block {
        bytes.extend_from_slice(&entry.key.to_bytes());
        bytes.extend_from_slice(&entry.segment.to_le_bytes());
        bytes.extend_from_slice(&entry.ordinal.to_le_bytes());
    }
    bytes
}

/// Appends the entries of one block of section `keys`.
pub(super) fn decode_block(bytes: &[u8], keys: &mut Vec<KeyEntry>) -> Result<()> {
    let mut cursor = Cursor::new(bytes);
    while cursor.remaining() > 0 {
        let key = ChunkKey::from_bytes(cursor.array()?);
        keys.push(KeyEntry { key, segment: cursor.u32()?, ordinal: cursor.u32()? });
    }
    Ok(())
}

/// Refuses keys that are not sorted or do not name each chunk of each segment exactly once.
pub(super) fn check_keys(keys: &[KeyEntry], segments: &[SegmentEntry]) -> Result<()> {
    let mut firsts = Vec::with_capacity(segments.len());
    let mut chunks = 0;
    for entry in segments {
        firsts.push(chunks);
        chunks += entry.places.chunks() as usize;
    }
    if keys.len() != chunks {
        return Err(wrong("not as many keys as chunks"));
    }
    if !keys.is_sorted() {
        return Err(wrong("keys are not sorted"));
    }
    let mut seen = vec![false; chunks];
    for entry in keys {
        let number = entry.segment as usize;
        let known = segments.get(number).is_some_and(|segment| entry.ordinal < segment.places.chunks());
        if !known || std::mem::replace(&mut seen[firsts[number] + entry.ordinal as usize], true) {
            return Err(wrong("a key names no chunk of its own"));
        }
    }
    Ok(())
}

const OPERATION: &str = "read index fragment";

fn wrong(what: &'static str) -> Error {
    Error::damaged(OPERATION, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::{Fragment, samples};

    fn fragment() -> Fragment {
        let segments: Vec<_> = (0..3).map(|number| samples::segment(number, 5)).collect();
        Fragment::from_segments(0, &segments).unwrap().remove(0)
    }

    #[test]
    fn keys_that_do_not_name_each_chunk_once_are_refused() {
        let good = fragment();
        check_keys(&good.keys, &good.segments).unwrap();
        let mut refused = 0;
        let mut refuse = |change: &dyn Fn(&mut Vec<KeyEntry>)| {
            let mut keys = good.keys.clone();
            change(&mut keys);
            assert_eq!(check_keys(&keys, &good.segments).unwrap_err().kind(), ErrorKind::Damaged);
            refused += 1;
        };
        refuse(&|keys| keys.swap(3, 4));
        refuse(&|keys| keys[3] = keys[4]);
        refuse(&|keys| keys[3].ordinal = 5);
        refuse(&|keys| keys[3].segment = 3);
        refuse(&|keys| keys[3].segment = u32::MAX);
        refuse(&|keys| keys.truncate(14));
        refuse(&|keys| keys.push(*keys.last().unwrap()));
        assert_eq!(refused, 7);
    }

    #[test]
    fn segments_that_can_not_be_are_refused() {
        let good = fragment();
        let (rows, places) = encode_segments(&good.segments);
        assert_eq!(decode_segments(&rows, &places, 15).unwrap(), good.segments);
        let refused = |rows: &[u8], places: &[u8], keys| decode_segments(rows, places, keys).unwrap_err().kind();
        assert_eq!(refused(&rows, &places, 14), ErrorKind::Damaged);
        assert_eq!(refused(&rows[1..], &places, 15), ErrorKind::Damaged);
        assert_eq!(refused(&rows, &places[..places.len() - 1], 15), ErrorKind::Damaged);
        assert_eq!(refused(&rows, &[&places[..], &[0]].concat(), 15), ErrorKind::Damaged);
        // class, stored bytes (to 2^56 and to 0), frame count, chunk count, places bytes
        for (at, value) in [(16, 3), (24, 1), (18, 0), (129, 9), (133, 9), (137, 99)] {
            let mut bad = rows.clone();
            bad[at] = value;
            bad[17] = if at == 18 { 0 } else { bad[17] };
            assert_eq!(refused(&bad, &places, 15), ErrorKind::Damaged, "{at}");
        }
        let twice = [good.segments[0].clone(), good.segments[0].clone()];
        let (rows, places) = encode_segments(&twice);
        assert_eq!(refused(&rows, &places, 10), ErrorKind::Damaged);
    }

    #[test]
    fn section_table_is_bounded() {
        let table = SectionTable { info_bytes: 40, segments: 3, places_bytes: 70, keys: 2 * BLOCK_KEYS + 1 };
        assert_eq!(SectionTable::decode(&table.encode()).unwrap(), table);
        let sizes: Vec<_> = table.section_bytes().collect();
        assert_eq!(sizes, [32, 40, 423, 48, 70, 65520, 65520, 24]);
        for at in [2, 6, 11, 15, 16, 31] {
            let mut bytes = table.encode();
            bytes[at] = 0xff;
            SectionTable::decode(&bytes).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn arbitrary_sections_never_panic(
            rows in prop::collection::vec(any::<u8>(), 0..500), places in prop::collection::vec(any::<u8>(), 0..100),
            table in any::<[u8; 16]>(), keys in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let _ = decode_segments(&rows, &places, 3);
            if let Ok(table) = SectionTable::decode(&[table, [0; 16]].concat()) {
                prop_assert!(table.section_bytes().count() >= 5);
            }
            let mut entries = Vec::new();
            if decode_block(&keys, &mut entries).is_ok() {
                prop_assert_eq!(encode_block(&entries), keys);
                prop_assert!(entries.is_empty() || check_keys(&entries, &[]).is_err());
            }
        }
    }
}
