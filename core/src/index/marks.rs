//! Which chunks are needed: one bit per chunk of every segment on offer.
//!
//! Of several copies of a chunk one is marked, always the one that became known first, so that the others turn
//! into waste instead of each keeping a part. Memory is a bit per chunk, whatever the number of archives.

use super::{Index, Segment};
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
                let share = u128::from(place.frame.stored_bytes) * u128::from(place.bytes);
                needed_bytes += share / u128::from(place.frame.plain_bytes.max(1));
            }
        }
        SegmentUse {
            record: segment.record.clone(),
            chunks: segment.places.chunks(),
            needed_chunks,
            needed_bytes: u64::try_from(needed_bytes).unwrap_or(u64::MAX),
        }
    }

    fn has(&self, segment: usize, ordinal: u32) -> bool {
        let word = self.bits.get(segment).and_then(|bits| bits.get(ordinal as usize / 64));
        word.is_some_and(|word| word & 1 << (ordinal % 64) != 0)
    }
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
