//! The index: chunk to place.
//!
//! It is derived data, the union of what index fragments say about existing
//! segments, without reference counts: a missing entry costs a duplicate chunk, a
//! duplicate is legal, and an entry whose segment is gone is withdrawn with the
//! segment. Nothing here asks a store; which segments may be relied on is the
//! caller's knowledge (see [`Index::add_fragment`]).
//!
//! Memory per chunk: at most 32 bytes of `table`, the encoded `places` (about
//! two bytes in a group of small chunks, nine alone in a frame) and their
//! checkpoints (little more than one); per segment about 300 bytes.

mod fragment;
mod load;
mod marks;
mod merge;
mod places;
#[cfg(test)]
mod samples;
mod sealed;
mod sections;
mod table;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::error::{Error, ErrorKind, Result};
use crate::id::{ChunkId, SegmentId};
use crate::segment::{Class, Directory, HEADER_BYTES, SegmentRecord};

use table::{NO_SEGMENT, Table};

pub use fragment::{Fragment, SegmentEntry, fragment_name, parse_name};
pub use load::{Loaded, load, merge_stored, read};
pub use marks::{ChunkSizes, Mark, Marks, SegmentUse};
pub use merge::{merge, to_merge};
pub use places::{ChunkPlace, FramePlace, Places};
pub use sealed::FRAGMENT_HEAD_BYTES;
pub use table::{ChunkKey, KeyEntry};

/// Where one copy of a chunk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment that holds it.
    pub segment: SegmentId,
    /// What the chunks of the segment are made of.
    pub class: Class,
    /// The first bytes of the segment.
    pub header: [u8; HEADER_BYTES],
    /// Stored bytes of the whole segment.
    pub segment_bytes: u64,
    /// The position among all chunks of the segment.
    pub ordinal: u32,
    /// The frame that holds it.
    pub frame: FramePlace,
    /// Its first byte in the plaintext of the frame.
    pub offset: u32,
    /// Its plaintext bytes.
    pub bytes: u32,
}

/// What became of the segments of a fragment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Segments the index offers from now on.
    pub new: usize,
    /// Segments it knew, offered or withdrawn.
    pub known: usize,
    /// Segments the caller did not want.
    pub skipped: usize,
}

/// Which chunks are stored, and where. Chunks are told apart by the first 16 bytes of
/// their ids; a reader compares the whole id.
#[derive(Clone, Debug)]
pub struct Index {
    table: Table,
    segments: Vec<Segment>,
    /// Per segment; apart from it because every look-up asks.
    offered: Vec<bool>,
    numbers: HashMap<SegmentId, u32>,
    withdrawn: HashSet<SegmentId>,
    /// Segments of which fragments say different things.
    disputed: BTreeSet<SegmentId>,
    /// Single copies that are no good.
    spoilt: HashSet<(ChunkKey, SegmentId)>,
    offered_segments: usize,
    offered_chunks: usize,
}

#[derive(Clone, Debug)]
struct Segment {
    record: SegmentRecord,
    places: Places,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// An index of nothing.
    pub fn new() -> Self {
        Self {
            table: Table::new(),
            segments: Vec::new(),
            offered: Vec::new(),
            numbers: HashMap::new(),
            withdrawn: HashSet::new(),
            disputed: BTreeSet::new(),
            spoilt: HashSet::new(),
            offered_segments: 0,
            offered_chunks: 0,
        }
    }

    /// Where a copy of the chunk is, if there is one.
    pub fn locate(&self, id: &ChunkId) -> Option<Place> {
        self.places(id).next()
    }

    /// The segment that holds a copy of the chunk, if there is one. Allocates nothing.
    pub fn segment_of(&self, id: &ChunkId) -> Option<SegmentId> {
        let entry = self.entries(id).next()?;
        Some(self.segments.get(entry.segment as usize)?.record.id)
    }

    /// Whether there is a copy of the chunk. Allocates nothing.
    pub fn contains(&self, id: &ChunkId) -> bool {
        self.entries(id).next().is_some()
    }

    /// All copies of the chunk, in the order in which they became known.
    pub fn copies(&self, id: &ChunkId) -> Vec<Place> {
        self.places(id).collect()
    }

    /// The copy that [`Marks`] mark: the one that became known first.
    pub fn marked_copy(&self, id: &ChunkId) -> Option<Place> {
        self.entries(id).min_by_key(|entry| entry.segment).and_then(|entry| self.place(entry))
    }

    /// Copies of the chunk that are no longer on offer, or whose segments are not. They may still exist: a doomed
    /// segment holds its chunks until it is deleted. To be read only where there is nothing else, and never to be
    /// relied on.
    pub fn withdrawn_copies(&self, id: &ChunkId) -> Vec<Place> {
        let found = self.table.find(ChunkKey::of(id)).filter(|entry| !self.is_on_offer(entry));
        found.filter_map(|entry| self.place(entry)).collect()
    }

    /// No longer offers the copy of a chunk in this segment, now or when the segment is added later.
    pub fn spoil(&mut self, id: &ChunkId, segment: &SegmentId) {
        self.spoilt.insert((ChunkKey::of(id), *segment));
    }

    /// Whether this segment is known to hold this chunk at this place, on offer or not.
    pub fn holds(&self, id: &ChunkId, segment: &SegmentId, ordinal: u32) -> bool {
        let Some(number) = self.numbers.get(segment) else { return false };
        self.table.find(ChunkKey::of(id)).any(|entry| entry.segment == *number && entry.ordinal == ordinal)
    }

    /// What is known of a segment, on offer or not.
    pub fn layout(&self, segment: &SegmentId) -> Option<(&SegmentRecord, &Places)> {
        let segment = self.segments.get(*self.numbers.get(segment)? as usize)?;
        Some((&segment.record, &segment.places))
    }

    /// Takes in a segment this session wrote. A segment that is known stays as it is.
    ///
    /// # Errors
    /// `Damaged` if the counts and lengths of the directory do not add up.
    pub fn add_segment(&mut self, record: SegmentRecord, directory: &Directory) -> Result<()> {
        let places = Places::of(directory)?;
        if let Some(segment) = self.add(record, places)? {
            for (ordinal, chunk) in (0u32..).zip(&directory.chunks) {
                self.table.insert(KeyEntry { key: ChunkKey::of(&chunk.id), segment, ordinal });
            }
        }
        Ok(())
    }

    /// Takes in the segments of a fragment that are `usable`: those which exist and are not
    /// doomed, as the caller saw. The index offers all of these and no others, and a segment
    /// that several fragments name counts once. Of a segment about which they differ, the first counts until it is
    /// [learned anew](Index::relearn).
    pub fn add_fragment(&mut self, fragment: &Fragment, usable: &dyn Fn(&SegmentId) -> bool) -> Result<Added> {
        let mut added = Added::default();
        let mut numbers = Vec::with_capacity(fragment.segments.len());
        for segment in &fragment.segments {
            let number = if usable(&segment.record.id) {
                let number = self.add(segment.record.clone(), segment.places.clone())?;
                *if number.is_some() { &mut added.new } else { &mut added.known } += 1;
                if number.is_none() {
                    self.compare(segment);
                }
                number
            } else {
                added.skipped += 1;
                None
            };
            numbers.push(number);
        }
        if added.known > 0 {
            self.compare_keys(fragment, &numbers, usable);
        }
        if added.new == 0 {
            return Ok(added);
        }
        for keys in fragment.keys.chunks(KEYS_AT_ONCE) {
            let entries: Vec<_> = keys.iter().filter_map(|entry| renumber(entry, &numbers)).collect();
            self.table.insert_sorted(&entries);
        }
        Ok(added)
    }

    /// Segments of which fragments say different things: one of them lies, or is damaged in a way no seal shows.
    pub fn disputed(&self) -> &BTreeSet<SegmentId> {
        &self.disputed
    }

    /// Takes in what a disputed segment says of itself, in place of what fragments say.
    ///
    /// # Errors
    /// `Damaged` if the counts and lengths of the directory do not add up.
    pub fn relearn(&mut self, record: SegmentRecord, directory: &Directory) -> Result<()> {
        let places = Places::of(directory)?;
        if let Some(number) = self.numbers.remove(&record.id).map(|number| number as usize)
            && let (Some(offered), Some(segment)) = (self.offered.get_mut(number), self.segments.get(number))
            && std::mem::take(offered)
        {
            self.offered_segments -= 1;
            self.offered_chunks -= segment.places.chunks() as usize;
        }
        self.disputed.remove(&record.id);
        if let Some(segment) = self.add(record, places)? {
            for (ordinal, chunk) in (0u32..).zip(&directory.chunks) {
                self.table.insert(KeyEntry { key: ChunkKey::of(&chunk.id), segment, ordinal });
            }
        }
        Ok(())
    }

    /// Notes whether a fragment says of a known segment what was said before.
    fn compare(&mut self, entry: &SegmentEntry) {
        let known = self.numbers.get(&entry.record.id).and_then(|number| self.segments.get(*number as usize));
        if known.is_some_and(|known| known.record != entry.record || known.places != entry.places) {
            self.disputed.insert(entry.record.id);
        }
    }

    /// The same for its chunks. The places were compared, so the count of chunks is the same.
    fn compare_keys(&mut self, fragment: &Fragment, new: &[Option<u32>], usable: &dyn Fn(&SegmentId) -> bool) {
        let known = |(segment, new): (&SegmentEntry, &Option<u32>)| {
            let number = self.numbers.get(&segment.record.id).filter(|_| new.is_none() && usable(&segment.record.id));
            number.copied()
        };
        let numbers: Vec<Option<u32>> = fragment.segments.iter().zip(new).map(known).collect();
        for key in &fragment.keys {
            let position = key.segment as usize;
            let Some(number) = numbers.get(position).copied().flatten() else { continue };
            let mut copies = self.table.find(key.key);
            if !copies.any(|entry| entry.segment == number && entry.ordinal == key.ordinal) {
                self.disputed.extend(fragment.segments.get(position).map(|segment| segment.record.id));
            }
        }
    }

    /// No longer offers a segment, now or when it is added later.
    pub fn withdraw(&mut self, id: &SegmentId) {
        self.withdrawn.insert(*id);
        let Some(number) = self.numbers.get(id).map(|number| *number as usize) else { return };
        if let (Some(offered), Some(segment)) = (self.offered.get_mut(number), self.segments.get(number))
            && std::mem::take(offered)
        {
            self.offered_segments -= 1;
            self.offered_chunks -= segment.places.chunks() as usize;
        }
    }

    /// The segments on offer, in the order in which they became known.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentRecord> {
        let offered = self.segments.iter().zip(&self.offered).filter(|(_, offered)| **offered);
        offered.map(|(segment, _)| &segment.record)
    }

    /// The record of a segment on offer.
    pub fn segment(&self, id: &SegmentId) -> Option<&SegmentRecord> {
        let number = *self.numbers.get(id)?;
        self.offers(number).then(|| self.segments.get(number as usize).map(|segment| &segment.record))?
    }

    /// How many segments are on offer.
    pub fn segment_count(&self) -> usize {
        self.offered_segments
    }

    /// How many chunks are on offer; every copy counts.
    pub fn chunk_count(&self) -> usize {
        self.offered_chunks
    }

    /// Bytes allocated by the table and the encoded places; the per-segment bytes come on top.
    pub fn memory_bytes(&self) -> usize {
        self.table.bytes() + self.segments.iter().map(|segment| segment.places.bytes()).sum::<usize>()
    }

    /// The number of a segment that is new, after it was taken in.
    fn add(&mut self, record: SegmentRecord, places: Places) -> Result<Option<u32>> {
        let Entry::Vacant(vacant) = self.numbers.entry(record.id) else { return Ok(None) };
        let number = u32::try_from(self.segments.len()).ok().filter(|number| *number != NO_SEGMENT);
        let number = number.ok_or_else(|| Error::new(ErrorKind::LimitExceeded, "add segment to index"))?;
        vacant.insert(number);
        let offered = !self.withdrawn.contains(&record.id);
        if offered {
            self.offered_segments += 1;
            self.offered_chunks += places.chunks() as usize;
        }
        self.segments.push(Segment { record, places });
        self.offered.push(offered);
        Ok(Some(number))
    }

    fn offers(&self, number: u32) -> bool {
        self.offered.get(number as usize).is_some_and(|offered| *offered)
    }

    fn is_on_offer(&self, entry: &KeyEntry) -> bool {
        let spoilt = |segment: &Segment| self.spoilt.contains(&(entry.key, segment.record.id));
        self.offers(entry.segment)
            && (self.spoilt.is_empty() || !self.segments.get(entry.segment as usize).is_some_and(spoilt))
    }

    fn entries(&self, id: &ChunkId) -> impl Iterator<Item = &KeyEntry> {
        self.table.find(ChunkKey::of(id)).filter(|entry| self.is_on_offer(entry))
    }

    fn places(&self, id: &ChunkId) -> impl Iterator<Item = Place> {
        self.entries(id).filter_map(|entry| self.place(entry))
    }

    fn place(&self, entry: &KeyEntry) -> Option<Place> {
        let (segment, ordinal) = (self.segments.get(entry.segment as usize)?, entry.ordinal);
        let ChunkPlace { frame, offset, bytes } = segment.places.locate(ordinal)?;
        let SegmentRecord { id, class, header, bytes: segment_bytes, .. } = segment.record;
        Some(Place { segment: id, class, header, segment_bytes, ordinal, frame, offset, bytes })
    }
}

/// Keys of a fragment that are renumbered in one go: enough to merge whole partitions, little to hold.
const KEYS_AT_ONCE: usize = 128 * 1024;

fn renumber(entry: &KeyEntry, numbers: &[Option<u32>]) -> Option<KeyEntry> {
    let segment = numbers.get(entry.segment as usize).copied().flatten()?;
    Some(KeyEntry { segment, ..*entry })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What an index should be, slow and plain.
    #[derive(Default)]
    struct Model {
        segments: Vec<(SegmentRecord, Directory)>,
        withdrawn: BTreeSet<SegmentId>,
    }

    impl Model {
        fn add(&mut self, segment: &(SegmentRecord, Directory)) {
            if self.segments.iter().all(|(record, _)| record.id != segment.0.id) {
                self.segments.push(segment.clone());
            }
        }

        fn offered(&self) -> impl Iterator<Item = &(SegmentRecord, Directory)> {
            self.segments.iter().filter(|(record, _)| !self.withdrawn.contains(&record.id))
        }

        fn places(&self) -> BTreeMap<ChunkId, Vec<Place>> {
            let mut places = BTreeMap::<ChunkId, Vec<Place>>::new();
            for (record, directory) in self.offered() {
                let (mut chunks, mut at) = (directory.chunks.iter(), HEADER_BYTES as u64);
                let mut ordinal = 0;
                for (number, frame) in directory.frames.iter().enumerate() {
                    let mut offset = 0;
                    for chunk in chunks.by_ref().take(frame.chunks as usize) {
                        places.entry(chunk.id).or_default().push(Place {
                            segment: record.id,
                            class: record.class,
                            header: record.header,
                            segment_bytes: record.bytes,
                            ordinal,
                            frame: FramePlace {
                                number: number as u32,
                                offset: at,
                                stored_bytes: frame.stored_bytes,
                                plain_bytes: frame.plain_bytes,
                                codec: frame.codec,
                            },
                            offset,
                            bytes: chunk.bytes,
                        });
                        ordinal += 1;
                        offset += chunk.bytes;
                    }
                    at += u64::from(frame.stored_bytes);
                }
            }
            places
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Segment(u32),
        Fragment(BTreeSet<u32>, BTreeSet<u32>),
        Withdraw(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let numbers = || prop::collection::btree_set(0u32..20, 0..10);
        prop_oneof![
            (0u32..20).prop_map(Step::Segment),
            (numbers(), numbers()).prop_map(|(named, unusable)| Step::Fragment(named, unusable)),
            (0u32..20).prop_map(Step::Withdraw),
        ]
    }

    fn run(steps: &[Step], pool: &[(SegmentRecord, Directory)]) -> (Index, Model) {
        let (mut index, mut model) = (Index::new(), Model::default());
        for step in steps {
            match step {
                Step::Segment(number) => {
                    let segment = &pool[*number as usize];
                    index.add_segment(segment.0.clone(), &segment.1).unwrap();
                    model.add(segment);
                }
                Step::Fragment(named, unusable) => {
                    let segments: Vec<_> = named.iter().map(|number| pool[*number as usize].clone()).collect();
                    let unusable: Vec<_> = unusable.iter().map(|number| pool[*number as usize].0.id).collect();
                    for fragment in Fragment::from_segments(0, &segments).unwrap() {
                        let added = index.add_fragment(&fragment, &|id| !unusable.contains(id)).unwrap();
                        let skipped = segments.iter().filter(|(record, _)| unusable.contains(&record.id)).count();
                        assert_eq!((added.skipped, added.new + added.known), (skipped, segments.len() - skipped));
                    }
                    segments.iter().filter(|(record, _)| !unusable.contains(&record.id)).for_each(|all| model.add(all));
                }
                Step::Withdraw(number) => {
                    index.withdraw(&pool[*number as usize].0.id);
                    model.withdrawn.insert(pool[*number as usize].0.id);
                }
            }
        }
        (index, model)
    }

    proptest! {
        #[test]
        fn index_offers_what_a_plain_map_offers(
            steps in prop::collection::vec(step(), 0..30),
            // the same chunks in several segments, and twice in one
            pool in prop::collection::vec(prop::collection::vec(0u64..200, 0..150), 20),
        ) {
            let pool: Vec<_> = (0u32..).zip(&pool).map(|(number, chunks)| samples::segment_of(number, chunks)).collect();
            let (index, model) = run(&steps, &pool);
            let places = model.places();
            for id in (0..200).map(samples::chunk) {
                // several copies of a chunk within one fragment come in the order of its segments, as in the model
                let expected = places.get(&id).cloned().unwrap_or_default();
                prop_assert_eq!(index.contains(&id), !expected.is_empty());
                prop_assert_eq!(index.locate(&id), expected.first().cloned());
                prop_assert_eq!(index.copies(&id), expected);
                let withdrawn = index.withdrawn_copies(&id);
                prop_assert!(withdrawn.iter().all(|place| model.withdrawn.contains(&place.segment)));
            }
            prop_assert!(index.segments().eq(model.offered().map(|(record, _)| record)));
            prop_assert_eq!(index.segment_count(), model.offered().count());
            prop_assert_eq!(index.chunk_count(), places.values().map(Vec::len).sum::<usize>());
            for (record, _) in &pool {
                let offered = model.offered().any(|(own, _)| own.id == record.id);
                prop_assert_eq!(index.segment(&record.id), offered.then_some(record));
            }
        }
    }

    #[test]
    fn what_fragments_differ_about_is_noted_and_learned_anew() {
        let truth = samples::segment_of(1, &[1, 2, 3]);
        let fragment = |segments: &[_]| Fragment::from_segments(0, segments).unwrap().pop().unwrap();
        let (other_count, other_chunks) = (samples::segment_of(1, &[1]), samples::segment_of(1, &[1, 2, 9]));
        let mut other_record = truth.clone();
        other_record.0.content_hash[0] ^= 1;
        for lie in [other_count, other_chunks, other_record] {
            for order in [[&lie, &truth], [&truth, &lie]] {
                let mut index = Index::new();
                for segment in order {
                    // Besides the truth about another segment.
                    let fragment = fragment(&[segment.clone(), samples::segment_of(2, &[7, 8])]);
                    index.add_fragment(&fragment, &|_| true).unwrap();
                }
                assert_eq!(index.disputed().iter().collect::<Vec<_>>(), [&truth.0.id]);
                index.relearn(truth.0.clone(), &truth.1).unwrap();
                assert!(index.disputed().is_empty());
                assert_eq!(
                    [1, 2, 3, 9, 7].map(|chunk| index.contains(&samples::chunk(chunk))),
                    [true, true, true, false, true]
                );
                assert_eq!((index.segment_count(), index.chunk_count()), (2, 5));
                assert_eq!(index.segment(&truth.0.id), Some(&truth.0));
            }
        }
        let mut index = Index::new();
        for _ in 0..2 {
            index.add_fragment(&fragment(std::slice::from_ref(&truth)), &|_| true).unwrap();
        }
        assert!(index.disputed().is_empty());
    }

    #[test]
    fn a_spoilt_copy_is_not_offered_and_others_are() {
        let mut index = Index::new();
        let (one, two) = (samples::segment_of(1, &[1, 2]), samples::segment_of(2, &[2, 3]));
        // also before its segment is known
        index.spoil(&samples::chunk(2), &one.0.id);
        for (record, directory) in [&one, &two] {
            index.add_segment(record.clone(), directory).unwrap();
        }
        index.spoil(&samples::chunk(3), &two.0.id);
        assert_eq!([1, 2, 3].map(|chunk| index.contains(&samples::chunk(chunk))), [true, true, false]);
        assert_eq!(index.segment_of(&samples::chunk(2)), Some(two.0.id));
        let withdrawn = |chunk| index.withdrawn_copies(&samples::chunk(chunk));
        assert_eq!([1, 2, 3].map(|chunk| withdrawn(chunk).len()), [0, 1, 1]);
        assert_eq!(withdrawn(2)[0].segment, one.0.id);
        assert!(index.holds(&samples::chunk(2), &one.0.id, 1) && !index.holds(&samples::chunk(2), &one.0.id, 0));
        assert_eq!(index.layout(&two.0.id).map(|(record, places)| (record, places.chunks())), Some((&two.0, 2)));
    }

    #[test]
    fn directory_that_does_not_add_up_changes_nothing() {
        let mut index = Index::new();
        let (record, mut directory) = samples::segment(1, 10);
        directory.frames[0].plain_bytes += 1;
        assert_eq!(index.add_segment(record, &directory).unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!((index.segment_count(), index.chunk_count()), (0, 0));
        assert!(!index.contains(&directory.chunks[0].id));
    }
}
