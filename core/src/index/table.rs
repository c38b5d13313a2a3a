//! The table in memory: chunk keys to (segment, ordinal), several entries per key allowed.
//!
//! Open addressing with linear probing, kept *sorted*: the home of a key is
//! proportional to the key, so a table is one sorted array with gaps. A search
//! ends at the first greater key, which keeps misses as cheap as hits at nine
//! tenths load, and growing is one sequential pass that merges new entries in.
//! Keys are keyed hashes, so their own bits spread them evenly; who can choose
//! them already holds the keys of the repository.
//!
//! Memory: an entry takes 24 bytes, a partition is between 78 % and 90 % full, so
//! an entry costs 26.7 to 30.8 bytes plus at most some hundred bytes of tail per
//! partition: at most 32 bytes per chunk from about a hundred thousand chunks
//! on. There are 256 partitions and only one grows at a time, so growth needs one
//! 256th of the table beside the table, never a second table.

use crate::id::ChunkId;

const PARTITIONS: usize = 256;
const PARTITION_BITS: u32 = 8;
/// Load in percent above which a partition grows, and the load it then has.
const LOAD_MAX: usize = 90;
const LOAD_NEW: usize = 78;
const HOMES_MIN: usize = 16;
/// Slots by which the end of a partition is extended when its last run spills over: so many, or one in so many.
const TAIL_SLOTS: usize = 8;
const TAIL_ONE_IN: usize = 128;
/// A run of new entries is merged in one pass if it is at least one in this many of the partition.
const MERGE_ONE_IN: usize = 16;

/// The first 16 bytes of a chunk's id; ordered like the bytes.
///
/// Among 10^9 chunks two share a key with a probability of 10^-21; readers compare the whole id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    high: u64,
    low: u64,
}

impl ChunkKey {
    /// Bytes of a key.
    pub const BYTES: usize = 16;

    /// The key of a chunk.
    pub fn of(id: &ChunkId) -> Self {
        let mut key = [0; Self::BYTES];
        key.copy_from_slice(&id.as_bytes()[..Self::BYTES]);
        Self::from_bytes(key)
    }

    /// Takes the raw bytes.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { high: (both >> 64) as u64, low: both as u64 }
    }

    /// The raw bytes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        (u128::from(self.high) << 64 | u128::from(self.low)).to_be_bytes()
    }

    fn partition(self) -> usize {
        (self.high >> (u64::BITS - PARTITION_BITS)) as usize
    }
}

/// One copy of a chunk: its key, the number of its segment in the structure at hand, and its ordinal there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyEntry {
    /// Which chunk.
    pub key: ChunkKey,
    /// The number of the segment.
    pub segment: u32,
    /// The position among all chunks of the segment.
    pub ordinal: u32,
}

impl KeyEntry {
    /// Bytes of an entry, in memory as in a fragment.
    pub const BYTES: usize = 24;
}

const _: () = assert!(size_of::<KeyEntry>() == KeyEntry::BYTES);

/// A slot without an entry; no segment has this number.
const EMPTY: KeyEntry = KeyEntry { key: ChunkKey { high: u64::MAX, low: u64::MAX }, segment: NO_SEGMENT, ordinal: 0 };

/// The number no segment has.
pub(super) const NO_SEGMENT: u32 = u32::MAX;

/// All entries. Entries are never removed: who withdraws a segment filters what is found.
#[derive(Clone, Debug)]
pub(super) struct Table {
    partitions: Vec<Partition>,
    entries: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { partitions: vec![Partition::default(); PARTITIONS], entries: 0 }
    }

    /// The entries of `key`, in the order they came. Allocates nothing.
    pub(super) fn find(&self, key: ChunkKey) -> impl Iterator<Item = &KeyEntry> {
        self.partitions[key.partition()].find(key)
    }

    pub(super) fn insert(&mut self, entry: KeyEntry) {
        self.partitions[entry.key.partition()].insert(entry);
        self.entries += 1;
    }

    /// Inserts entries that are sorted by key.
    pub(super) fn insert_sorted(&mut self, entries: &[KeyEntry]) {
        debug_assert!(entries.is_sorted_by_key(|entry| entry.key));
        for run in entries.chunk_by(|a, b| a.key.partition() == b.key.partition()) {
            self.partitions[run[0].key.partition()].insert_sorted(run);
        }
        self.entries += entries.len();
    }

    /// Bytes allocated for slots.
    pub(super) fn bytes(&self) -> usize {
        let slots: usize = self.partitions.iter().map(|partition| partition.slots.capacity()).sum();
        slots * KeyEntry::BYTES + self.partitions.capacity() * size_of::<Partition>()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries
    }
}

/// The entries whose keys start with one byte.
///
/// Invariant: occupied slots are sorted by key, every entry lies at or behind its home, and no slot between
/// the two is empty.
#[derive(Clone, Debug, Default)]
struct Partition {
    /// `homes` slots and a tail for what spills over the end.
    slots: Vec<KeyEntry>,
    homes: usize,
    entries: usize,
}

impl Partition {
    fn home(&self, key: ChunkKey) -> usize {
        home(key, self.homes)
    }

    fn find(&self, key: ChunkKey) -> impl Iterator<Item = &KeyEntry> {
        let from = self.home(key).min(self.slots.len());
        self.slots[from..]
            .iter()
            .take_while(move |slot| slot.segment != NO_SEGMENT && slot.key <= key)
            .filter(move |slot| slot.key == key)
    }

    fn insert(&mut self, entry: KeyEntry) {
        if self.entries >= entries_max(self.homes) {
            return self.rebuild(&[entry]);
        }
        let mut at = self.home(entry.key);
        while self.slots.get(at).is_some_and(|slot| slot.segment != NO_SEGMENT && slot.key <= entry.key) {
            at += 1;
        }
        let mut end = at;
        while self.slots.get(end).is_some_and(|slot| slot.segment != NO_SEGMENT) {
            end += 1;
        }
        self.extend_to(end + 1);
        self.slots.copy_within(at..end, at + 1);
        self.slots[at] = entry;
        self.entries += 1;
    }

    fn insert_sorted(&mut self, new: &[KeyEntry]) {
        if new.len() >= self.entries / MERGE_ONE_IN {
            self.rebuild(new);
        } else {
            new.iter().for_each(|entry| self.insert(*entry));
        }
    }

    /// Lays all entries and `new` ones, sorted, out again; with more homes if they do not fit.
    fn rebuild(&mut self, new: &[KeyEntry]) {
        let entries = self.entries + new.len();
        let homes = if entries > entries_max(self.homes) {
            (entries.saturating_mul(100) / LOAD_NEW).max(HOMES_MIN)
        } else {
            self.homes
        };
        let mut grown = Self { slots: vec![EMPTY; homes], homes, entries };
        let mut next = 0;
        let mut old = self.slots.iter().filter(|slot| slot.segment != NO_SEGMENT).peekable();
        let mut new = new.iter().peekable();
        while let Some(entry) = match (old.peek(), new.peek()) {
            (Some(known), Some(fresh)) if fresh.key < known.key => new.next(),
            (Some(_), _) => old.next(),
            (None, _) => new.next(),
        } {
            let at = next.max(home(entry.key, homes));
            grown.extend_to(at + 1);
            grown.slots[at] = *entry;
            next = at + 1;
        }
        *self = grown;
    }

    fn extend_to(&mut self, slots: usize) {
        if slots > self.slots.len() {
            let slots = slots + TAIL_SLOTS.max(self.slots.len() / TAIL_ONE_IN);
            self.slots.reserve_exact(slots - self.slots.len());
            self.slots.resize(slots, EMPTY);
        }
    }
}

fn home(key: ChunkKey, homes: usize) -> usize {
    ((u128::from(key.high << PARTITION_BITS) * homes as u128) >> u64::BITS) as usize
}

fn entries_max(homes: usize) -> usize {
    homes / 100 * LOAD_MAX + homes % 100 * LOAD_MAX / 100
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entry(number: u64, segment: u32, ordinal: u32) -> KeyEntry {
        let hash = blake3::hash(&number.to_le_bytes());
        KeyEntry { key: ChunkKey::of(&ChunkId::from_bytes(*hash.as_bytes())), segment, ordinal }
    }

    fn found(table: &Table, key: ChunkKey) -> Vec<(u32, u32)> {
        table.find(key).map(|entry| (entry.segment, entry.ordinal)).collect()
    }

    fn check_invariant(table: &Table) {
        for partition in &table.partitions {
            let mut last = None;
            for (at, slot) in partition.slots.iter().enumerate().filter(|(_, slot)| slot.segment != NO_SEGMENT) {
                let home = partition.home(slot.key);
                assert!(home <= at && partition.slots[home..at].iter().all(|slot| slot.segment != NO_SEGMENT));
                assert!(last <= Some(slot.key));
                last = Some(slot.key);
            }
        }
    }

    #[test]
    fn keys_are_ordered_like_their_bytes() {
        let mut bytes = [0x10; 16];
        let key = ChunkKey::from_bytes(bytes);
        assert_eq!(key.to_bytes(), bytes);
        bytes[15] += 1;
        assert!(ChunkKey::from_bytes(bytes) > key);
        bytes[0] -= 1;
        assert!(ChunkKey::from_bytes(bytes) < key);
    }

    #[test]
    fn greatest_key_is_an_entry_like_any_other() {
        let mut table = Table::new();
        let key = ChunkKey::from_bytes([0xff; 16]);
        assert_eq!(found(&table, key), []);
        for segment in 0..100 {
            table.insert(KeyEntry { key, segment, ordinal: 7 });
        }
        assert_eq!(found(&table, key), (0..100).map(|segment| (segment, 7)).collect::<Vec<_>>());
        check_invariant(&table);
    }

    #[test]
    fn memory_stays_below_32_bytes_per_chunk_however_the_table_grew() {
        let (mut single, mut bulk) = (Table::new(), Table::new());
        for round in 0..60u64 {
            let mut new: Vec<_> = (0..5000).map(|i| entry(round * 5000 + i, round as u32, i as u32)).collect();
            new.iter().for_each(|entry| single.insert(*entry));
            new.sort_unstable();
            bulk.insert_sorted(&new);
            for table in [&single, &bulk] {
                let chunks = (round as usize + 1) * 5000;
                assert_eq!(table.len(), chunks);
                assert!(chunks < 100_000 || table.bytes() <= 32 * chunks, "{chunks} take {}", table.bytes());
            }
        }
        check_invariant(&single);
        check_invariant(&bulk);
        for number in 0..300_000 {
            let wanted = [((number / 5000) as u32, (number % 5000) as u32)];
            assert_eq!(found(&single, entry(number, 0, 0).key), wanted);
            assert_eq!(found(&bulk, entry(number, 0, 0).key), wanted);
        }
    }

    proptest! {
        #[test]
        fn table_finds_what_a_map_finds(
            // few distinct keys, crowded into few homes, so that runs, ties and tails happen
            rounds in prop::collection::vec(
                (any::<bool>(), prop::collection::vec((prop::sample::select(vec![0u8, 1, 254, 255]), 0u8..40), 0..60)),
                0..8,
            ),
        ) {
            let (mut table, mut model) = (Table::new(), BTreeMap::<ChunkKey, Vec<(u32, u32)>>::new());
            for (round, (bulk, keys)) in rounds.iter().enumerate() {
                let mut new: Vec<_> = keys.iter().enumerate().map(|(ordinal, (first, second))| {
                    let mut bytes = [*first; 16];
                    bytes[1] = second.wrapping_mul(7);
                    bytes[15] = *second;
                    KeyEntry { key: ChunkKey::from_bytes(bytes), segment: round as u32, ordinal: ordinal as u32 }
                }).collect();
                if *bulk {
                    new.sort_unstable();
                    table.insert_sorted(&new);
                } else {
                    new.iter().for_each(|entry| table.insert(*entry));
                }
                for entry in &new {
                    model.entry(entry.key).or_default().push((entry.segment, entry.ordinal));
                }
            }
            check_invariant(&table);
            for (key, places) in &model {
                prop_assert_eq!(&found(&table, *key), places);
                let mut other = key.to_bytes();
                other[9] ^= 1;
                prop_assert_eq!(found(&table, ChunkKey::from_bytes(other)), []);
            }
        }
    }
}
