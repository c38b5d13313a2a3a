//! Which chunks are needed: one bit per chunk of every segment on offer.
//!
//! Of several copies of a chunk one is marked, always the one that became known first, so that the others turn
//! into waste instead of each keeping a part. Memory is a bit per chunk, whatever the number of archives.

use super::{ChunkPlace, Index, Segment};
use crate::id::{ChunkId, SegmentId};
use crate::segment::SegmentRecord;

/// The chunks that were marked.
#[derive(Clone, Debug)]
pub struct Marks {
    /// Per segment number; empty for segments that are not on offer.
    bits: Vec<Box<[u64]>>,
}

/// What marking a chunk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It was not marked before.
    New,
    /// It was.
    Known,
    /// There is no copy to mark.
    Missing,
}

/// How much some chunks are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkSizes {
    /// How many chunks.
    pub chunks: u64,
    /// Their bytes.
    pub plain_bytes: u64,
    /// Stored bytes: of a frame with several chunks the share of their plaintext.
    pub stored_bytes: u64,
}

/// How much of a segment is marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentUse {
    /// The segment.
    pub record: SegmentRecord,
    /// Chunks it has.
    pub chunks: u32,
    /// Chunks of it that are marked.
    pub needed_chunks: u32,
    /// Stored bytes of these: of a frame with several chunks the share of their plaintext.
    pub needed_bytes: u64,
}

impl Marks {
    /// No chunk of `index` is marked.
    pub fn of(index: &Index) -> Self {
        let words = |segment: &Segment| (segment.places.chunks() as usize).div_ceil(64);
        let bits = index.segments.iter().zip(&index.offered);
        Self {
            bits: bits.map(|(segment, offered)| vec![0; if *offered { words(segment) } else { 0 }].into()).collect(),
        }
    }

    /// Marks a copy of the chunk. `index` must be the one the marks were made of, and offer no new segments.
    pub fn mark(&mut self, index: &Index, id: &ChunkId) -> Mark {
        let Some(entry) = index.entries(id).min_by_key(|entry| entry.segment) else { return Mark::Missing };
        let Some(word) =
            self.bits.get_mut(entry.segment as usize).and_then(|bits| bits.get_mut(entry.ordinal as usize / 64))
        else {
            return Mark::Missing;
        };
        let bit = 1 << (entry.ordinal % 64);
        if *word & bit != 0 {
            return Mark::Known;
        }
        *word |= bit;
        Mark::New
    }

    /// Marks every chunk, of several copies all.
    pub fn mark_everything(&mut self, index: &Index) {
        for (bits, segment) in self.bits.iter_mut().zip(&index.segments) {
            for ordinal in 0..segment.places.chunks() {
                if let Some(word) = bits.get_mut(ordinal as usize / 64) {
                    *word |= 1 << (ordinal % 64);
                }
            }
        }
    }

    /// Marks what `other` marks, too. Both must have been made of the same index.
    pub fn add_all(&mut self, other: &Self) {
        self.combine(other, |own, other| own | other);
    }

    /// Keeps only what `other` marks, too.
    pub fn keep_all(&mut self, other: &Self) {
        self.combine(other, |own, other| own & other);
    }

    /// Unmarks what `other` marks.
    pub fn remove_all(&mut self, other: &Self) {
        self.combine(other, |own, other| own & !other);
    }

    fn combine(&mut self, other: &Self, of: impl Fn(u64, u64) -> u64) {
        for (own, other) in self.bits.iter_mut().zip(&other.bits) {
            own.iter_mut().zip(other.iter()).for_each(|(own, other)| *own = of(*own, *other));
        }
    }

    /// How much is marked.
    pub fn sizes(&self, index: &Index) -> ChunkSizes {
        let mut sizes = ChunkSizes::default();
        for (number, segment) in index.segments.iter().enumerate() {
            let places = (0u32..).zip(segment.places.iter());
            for (_, place) in places.filter(|(ordinal, _)| self.has(number, *ordinal)) {
                sizes.chunks += 1;
                sizes.plain_bytes += u64::from(place.bytes);
                sizes.stored_bytes += share(&place);
            }
        }
        sizes
    }

    /// The marked chunks of a segment, by ordinal.
    pub fn of_segment(&self, index: &Index, id: &SegmentId) -> Vec<bool> {
        let Some(number) = index.numbers.get(id).map(|number| *number as usize) else { return Vec::new() };
        let Some(segment) = index.segments.get(number) else { return Vec::new() };
        (0..segment.places.chunks()).map(|ordinal| self.has(number, ordinal)).collect()
    }

    /// What is marked of every segment on offer, in the order in which these became known.
    pub fn census(&self, index: &Index) -> Vec<SegmentUse> {
        let offered = index.segments.iter().zip(&index.offered).enumerate().filter(|(_, (_, offered))| **offered);
        offered.map(|(number, (segment, _))| self.use_of(number, segment)).collect()
    }

    fn use_of(&self, number: usize, segment: &Segment) -> SegmentUse {
        let (mut needed_chunks, mut needed_bytes) = (0, 0);
        for (ordinal, place) in (0u32..).zip(segment.places.iter()) {
            if self.has(number, ordinal) {
                needed_chunks += 1;
                needed_bytes += share(&place);
            }
        }
        SegmentUse { record: segment.record.clone(), chunks: segment.places.chunks(), needed_chunks, needed_bytes }
    }

    fn has(&self, segment: usize, ordinal: u32) -> bool {
        let word = self.bits.get(segment).and_then(|bits| bits.get(ordinal as usize / 64));
        word.is_some_and(|word| word & 1 << (ordinal % 64) != 0)
    }
}

/// The stored bytes of a chunk: of a frame with several the share of its plaintext.
fn share(place: &ChunkPlace) -> u64 {
    u64::from(place.frame.stored_bytes) * u64::from(place.bytes) / u64::from(place.frame.plain_bytes.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::samples;

    #[test]
    fn one_copy_is_marked_and_counted_once() {
        let mut index = Index::new();
        for (number, chunks) in [(1, vec![1, 2, 3]), (2, vec![3, 4])] {
            let (record, directory) = samples::segment_of(number, &chunks);
            index.add_segment(record, &directory).unwrap();
        }
        let mut marks = Marks::of(&index);
        let found = [3, 3, 4, 9].map(|chunk| marks.mark(&index, &samples::chunk(chunk)));
        assert_eq!(found, [Mark::New, Mark::Known, Mark::New, Mark::Missing]);
        let census = marks.census(&index);
        assert_eq!(
            census.iter().map(|found| (found.chunks, found.needed_chunks)).collect::<Vec<_>>(),
            [(3, 1), (2, 1)]
        );
        assert!(census.iter().all(|found| 0 < found.needed_bytes && found.needed_bytes < found.record.bytes));
        assert_eq!(marks.of_segment(&index, &census[0].record.id), [false, false, true]);
        assert_eq!(marks.of_segment(&index, &census[1].record.id), [false, true]);
    }

    #[test]
    fn marks_are_sets() {
        let mut index = Index::new();
        for (number, chunks) in [(1, vec![1, 2, 3]), (2, vec![3, 4])] {
            let (record, directory) = samples::segment_of(number, &chunks);
            index.add_segment(record, &directory).unwrap();
        }
        let of = |chunks: &[u64]| {
            let mut marks = Marks::of(&index);
            let found = chunks.iter().map(|chunk| marks.mark(&index, &samples::chunk(*chunk)));
            assert!(found.into_iter().all(|mark| mark == Mark::New));
            marks
        };
        let count = |marks: &Marks| marks.sizes(&index).chunks;
        let (left, right) = (of(&[1, 2, 3]), of(&[3, 4]));
        let combined = |combine: fn(&mut Marks, &Marks)| {
            let mut marks = left.clone();
            combine(&mut marks, &right);
            count(&marks)
        };
        assert_eq!([Marks::add_all, Marks::keep_all, Marks::remove_all].map(combined), [4, 1, 2]);
        let mut all = Marks::of(&index);
        all.mark_everything(&index);
        assert_eq!(count(&all), 5, "a chunk with two copies counts twice");
        let (sizes, census) = (left.sizes(&index), left.census(&index));
        assert_eq!(sizes.stored_bytes, census.iter().map(|found| found.needed_bytes).sum::<u64>());
        assert!(sizes.plain_bytes > 0);
    }

    #[test]
    fn withdrawn_segments_are_neither_marked_nor_counted() {
        let mut index = Index::new();
        let (record, directory) = samples::segment_of(1, &[1]);
        index.add_segment(record.clone(), &directory).unwrap();
        index.withdraw(&record.id);
        let mut marks = Marks::of(&index);
        assert_eq!(marks.mark(&index, &samples::chunk(1)), Mark::Missing);
        assert_eq!(marks.census(&index), []);
    }
}
