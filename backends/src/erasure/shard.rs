//! What one store holds of an object: a shard of it, or a copy of a small one. The byte tables are in
//! `docs/erasure.md`.

use bytes::Bytes;
use gabion_core::backend::{ObjectName, Payload};
use gabion_core::limits::{KIB, OBJECT_BYTES_MAX};

use super::{Split, Splits};
use crate::reed_solomon::UNIT_BYTES;

/// Bytes of a header; it stands before and behind what it describes.
pub(super) const HEADER_BYTES: usize = 128;
/// Bytes of a checksum.
const CHECK_BYTES: usize = 16;
/// Bytes of a shard that one checksum covers, and that are rebuilt together.
pub(super) const BLOCK_BYTES: usize = 8 * KIB;
/// Smaller objects are copied whole to all stores.
const COPIED_BYTES: u64 = 64 * KIB as u64;
const MAGIC: [u8; 4] = *b"GABE";
const VERSION: u8 = 1;
const COVERED: usize = HEADER_BYTES - CHECK_BYTES;

/// Which content of a name it is: the hash of the whole object. Shards of different ones are never put together.
pub(super) type Generation = [u8; 32];

/// What parts have in common that can be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub generation: Generation,
    pub split: Split,
}

/// What is said of an object before and behind every part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub split: Split,
    /// The number of the store, from 0.
    pub store: u8,
    pub object_bytes: u64,
    pub generation: Generation,
}

impl Header {
    pub fn content(&self) -> Content {
        Content { generation: self.generation, split: self.split }
    }

    /// Whether it is of a store of this number, in a set of one of these splits.
    pub fn belongs(&self, splits: Splits, store: usize) -> bool {
        splits.each().any(|split| split == self.split) && usize::from(self.store) == store
    }

    /// Whether every store has all of the object.
    pub fn is_copy(&self) -> bool {
        self.object_bytes < COPIED_BYTES
    }

    /// Bytes of the object, or of its shard, that a store holds: padded to what the code needs.
    pub fn part_bytes(&self) -> usize {
        let object = self.object_bytes as usize;
        match self.is_copy() {
            true => object,
            false => object.div_ceil(usize::from(self.split.needed)).next_multiple_of(UNIT_BYTES),
        }
    }

    /// Blocks with checksums of their own; a copy has none, its checksum is the generation.
    pub fn blocks(&self) -> usize {
        if self.is_copy() { 0 } else { self.part_bytes().div_ceil(BLOCK_BYTES) }
    }

    /// Bytes that the store holds in all.
    pub fn stored_bytes(&self) -> usize {
        HEADER_BYTES + self.part_bytes() + self.blocks() * CHECK_BYTES + HEADER_BYTES
    }

    pub fn encode(&self, name: &ObjectName) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = self.split.needed;
        bytes[6] = self.split.spare;
        bytes[7] = self.store;
        bytes[8..16].copy_from_slice(&self.object_bytes.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.generation);
        let check = header_check(name, &bytes[..COVERED]);
        bytes[COVERED..].copy_from_slice(&check);
        bytes
    }

    /// Reads a header; `None` if these bytes are none, or damaged, or of an object of another name.
    pub fn decode(name: &ObjectName, bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        if !bytes.starts_with(&MAGIC) || header_check(name, &bytes[..COVERED]) != bytes[COVERED..] {
            return None;
        }
        let header = Self {
            split: Split::new(bytes[5], bytes[6])?,
            store: bytes[7],
            object_bytes: u64::from_le_bytes(bytes[8..16].try_into().ok()?),
            generation: bytes[16..48].try_into().ok()?,
        };
        let possible = header.object_bytes <= OBJECT_BYTES_MAX as u64 && header.store < header.split.stores();
        // What this version does not write it does not read either.
        (possible && header.encode(name) == *bytes).then_some(header)
    }
}

fn header_check(name: &ObjectName, bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let key = blake3::derive_key("gabion 1 erasure", name.as_str().as_bytes());
    truncated(&blake3::keyed_hash(&key, bytes))
}

fn truncated(hash: &blake3::Hash) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hash.as_bytes()[..CHECK_BYTES]);
    check
}

/// Makes the checksums of the blocks of one shard: they hold for its name, generation and number only.
struct Blocks([u8; 32]);

impl Blocks {
    fn of(name: &ObjectName, header: &Header) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("gabion 1 erasure block");
        hasher.update(&header.generation).update(&[header.store]).update(name.as_str().as_bytes());
        Self(hasher.finalize().into())
    }

    /// The number goes into the key, so that the hash works on whole blocks only.
    fn check(&self, number: usize, bytes: &[u8]) -> [u8; CHECK_BYTES] {
        let mut key = self.0;
        for (byte, number) in key.iter_mut().zip((number as u64).to_le_bytes()) {
            *byte ^= number;
        }
        truncated(&blake3::keyed_hash(&key, bytes))
    }
}

/// The most bytes that a store holds of an object of at most `limit` bytes.
pub(super) fn stored_limit(limit: u64) -> u64 {
    limit.saturating_add(limit / (BLOCK_BYTES / CHECK_BYTES) as u64).saturating_add(KIB as u64)
}

/// Makes what a store holds. `part` are the bytes of the copy or shard without the padding, which are not copied.
pub(super) fn encode(name: &ObjectName, header: &Header, part: Bytes) -> Payload {
    let frame = header.encode(name);
    let mut tail = vec![0; header.part_bytes() - part.len()];
    let padding = tail.len();
    if !header.is_copy() {
        let blocks = Blocks::of(name, header);
        let whole = part.len() / BLOCK_BYTES * BLOCK_BYTES;
        for (number, block) in part[..whole].chunks_exact(BLOCK_BYTES).enumerate() {
            tail.extend_from_slice(&blocks.check(number, block));
        }
        // The rest: the end of the part and the padding, in blocks as well.
        let rest = [&part[whole..], &tail[..padding]].concat();
        for (number, block) in (whole / BLOCK_BYTES..).zip(rest.chunks(BLOCK_BYTES)) {
            tail.extend_from_slice(&blocks.check(number, block));
        }
    }
    tail.extend_from_slice(&frame);
    Payload::from_pieces(vec![frame.to_vec().into(), part, tail.into()])
}

impl AsRef<Header> for Header {
    fn as_ref(&self) -> &Header {
        self
    }
}

impl AsRef<Header> for Part {
    fn as_ref(&self) -> &Header {
        &self.header
    }
}

/// What a store holds of an object, as far as it is good.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub header: Header,
    stored: Bytes,
    /// Whether each block is what was written; of a copy, whether it is, as the only entry.
    good: Vec<bool>,
    /// Whether nothing at all is wrong, headers and length included.
    pub is_intact: bool,
}

impl Part {
    /// Reads what the store of number `store` gave. `None` if it is nothing of this object in this set.
    pub fn decode(name: &ObjectName, splits: Splits, store: usize, stored: Bytes) -> Option<Self> {
        let first = Header::decode(name, &stored);
        let last = stored.len().checked_sub(HEADER_BYTES).and_then(|at| Header::decode(name, &stored[at..]));
        let header = first.or(last).filter(|header| header.belongs(splits, store))?;
        let good = match header.is_copy() {
            true => vec![whole_copy(&header, &stored)],
            false => good_blocks(name, &header, &stored),
        };
        let is_intact = first == last && stored.len() == header.stored_bytes() && good.iter().all(|good| *good);
        Some(Self { header, stored, good, is_intact })
    }

    /// The bytes of a good block.
    pub fn block(&self, number: usize) -> Option<&[u8]> {
        if self.good.get(number) != Some(&true) {
            return None;
        }
        let start = number * BLOCK_BYTES;
        let end = self.header.part_bytes().min(start + BLOCK_BYTES);
        self.stored.get(HEADER_BYTES + start..HEADER_BYTES + end)
    }

    /// All bytes of the shard or copy, if all are good.
    pub fn whole(&self) -> Option<Bytes> {
        let bytes = HEADER_BYTES..HEADER_BYTES + self.header.part_bytes();
        self.good.iter().all(|good| *good).then(|| self.stored.slice(bytes))
    }

    /// Bytes that the store gave.
    pub fn stored_bytes(&self) -> usize {
        self.stored.len()
    }

    /// Blocks that are not what was written.
    pub fn bad_blocks(&self) -> usize {
        self.good.iter().filter(|good| !**good).count()
    }
}

/// Whether these bytes are just what a store of some set holds under this name.
pub(crate) fn is_part(name: &ObjectName, stored: &Bytes) -> bool {
    let part = Header::decode(name, stored)
        .and_then(|header| Part::decode(name, header.split.into(), usize::from(header.store), stored.clone()));
    part.is_some_and(|part| part.is_intact)
}

fn whole_copy(header: &Header, stored: &[u8]) -> bool {
    let part = stored.get(HEADER_BYTES..HEADER_BYTES + header.part_bytes());
    part.is_some_and(|part| blake3::hash(part) == header.generation)
}

fn good_blocks(name: &ObjectName, header: &Header, stored: &[u8]) -> Vec<bool> {
    let blocks = Blocks::of(name, header);
    let (bytes, checks) = (header.part_bytes(), HEADER_BYTES + header.part_bytes());
    let is_good = |number: usize| {
        let start = number * BLOCK_BYTES;
        let block = stored.get(HEADER_BYTES + start..HEADER_BYTES + bytes.min(start + BLOCK_BYTES))?;
        let check = stored.get(checks + number * CHECK_BYTES..)?.get(..CHECK_BYTES)?;
        Some(blocks.check(number, block) == *check)
    };
    (0..header.blocks()).map(|number| is_good(number).unwrap_or(false)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> ObjectName {
        ObjectName::new("segments/ab").unwrap()
    }

    fn header(object_bytes: u64) -> Header {
        Header { split: Split::new(4, 2).unwrap(), store: 3, object_bytes, generation: [5; 32] }
    }

    #[test]
    fn headers_go_both_ways_and_belong_to_a_name() {
        let bytes = header(100_000).encode(&name());
        assert_eq!(Header::decode(&name(), &bytes), Some(header(100_000)));
        assert_eq!(Header::decode(&ObjectName::new("segments/ac").unwrap(), &bytes), None);
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&name(), &bad), None, "bit {bit}");
        }
        assert_eq!(Header::decode(&name(), &header(u64::MAX).encode(&name())), None);
        let beyond = Header { store: 6, ..header(1) };
        assert_eq!(Header::decode(&name(), &beyond.encode(&name())), None);
    }

    #[test]
    fn parts_say_which_blocks_are_good() {
        let part: Vec<u8> = (0..100_000).map(|at| (at * 7 + at / 256) as u8).collect();
        let header = header(400_000);
        let stored = encode(&name(), &header, part.clone().into()).into_bytes();
        assert_eq!(stored.len(), header.stored_bytes());
        let decode = |stored: Vec<u8>| Part::decode(&name(), header.split.into(), 3, stored.into());
        let good = decode(stored.to_vec()).unwrap();
        assert!(good.is_intact && good.bad_blocks() == 0);
        assert_eq!(good.whole().unwrap()[..100_000], part);
        for at in (0..stored.len()).step_by(97).chain([stored.len() - 1]) {
            let mut bad = stored.to_vec();
            bad[at] ^= 0x10;
            let read = decode(bad).unwrap();
            let in_header = at < HEADER_BYTES || at >= stored.len() - HEADER_BYTES;
            assert!(!read.is_intact && read.bad_blocks() == usize::from(!in_header), "byte {at}");
        }
        for length in [0, 100, HEADER_BYTES, 50_000, stored.len() - 1] {
            assert!(decode(stored[..length].to_vec()).is_none_or(|read| !read.is_intact), "{length}");
        }
        assert!(!decode([&stored[..], &[1]].concat()).unwrap().is_intact);
        assert!(Part::decode(&name(), header.split.into(), 2, stored.clone()).is_none(), "of another store");
        let other = Split::new(3, 2).unwrap();
        assert!(Part::decode(&name(), other.into(), 3, stored.clone()).is_none(), "of another split");
        let earlier = Splits { now: other, earlier: Some(header.split) };
        assert!(Part::decode(&name(), earlier, 3, stored).unwrap().is_intact);
    }

    #[test]
    fn copies_are_compared_with_their_generation() {
        let data = b"small".to_vec();
        let header = Header { generation: blake3::hash(&data).into(), ..header(5) };
        let stored = encode(&name(), &header, data.clone().into()).into_bytes();
        let read = Part::decode(&name(), header.split.into(), 3, stored.clone()).unwrap();
        assert!(read.is_intact);
        assert_eq!(read.whole().unwrap(), data);
        let mut bad = stored.to_vec();
        bad[HEADER_BYTES] ^= 1;
        assert!(Part::decode(&name(), header.split.into(), 3, bad.into()).unwrap().whole().is_none());
    }
}
