//! How much of a file's content differs.

use std::collections::HashSet;

use crate::archive::content::ContentItem;
use crate::chunker::{Input, Read};
use crate::error::Result;
use crate::id::ChunkId;
use crate::limits::MIB;

/// Bytes of new pieces that the old content lacks, and the other way round.
pub(super) fn sizes(old: &[ContentItem], new: &[ContentItem]) -> (u64, u64) {
    (missing(new, old), missing(old, new))
}

/// Bytes of those of `pieces` that are not among `others`. Holes are nobody's bytes.
fn missing(pieces: &[ContentItem], others: &[ContentItem]) -> u64 {
    let known: HashSet<&ChunkId> = others.iter().filter_map(id).collect();
    let new = pieces.iter().filter(|piece| id(piece).is_some_and(|id| !known.contains(id)));
    new.map(ContentItem::bytes).sum()
}

/// Whether two lists of pieces that differ could still be the same bytes, cut at other places: they are as long as
/// each other, one of them has several pieces, and they have nothing in common.
pub(super) fn may_be_cut_otherwise(old: &[ContentItem], new: &[ContentItem]) -> bool {
    let bytes = |pieces: &[ContentItem]| pieces.iter().map(ContentItem::bytes).sum::<u64>();
    let known: HashSet<&ChunkId> = old.iter().filter_map(id).collect();
    old.len().max(new.len()) > 1
        && bytes(old) == bytes(new)
        && !new.iter().filter_map(id).any(|piece| known.contains(piece))
}

fn id(piece: &ContentItem) -> Option<&ChunkId> {
    match piece {
        ContentItem::Chunk { id, .. } => Some(id),
        ContentItem::Hole { .. } => None,
    }
}

/// Whether both yield the same bytes; holes are zeros.
pub(super) fn is_equal(old: &mut dyn Input, new: &mut dyn Input) -> Result<bool> {
    let (mut old, mut new) = (Stream::of(old), Stream::of(new));
    loop {
        let count = old.fill()?.min(new.fill()?);
        if count == 0 {
            return Ok(old.fill()? == new.fill()?);
        }
        // never more than a buffer has, but for two holes
        let count = if old.hole > 0 && new.hole > 0 { count } else { count.min(MIB as u64) };
        if !old.begins_as(&new, count) {
            return Ok(false);
        }
        old.drop_front(count);
        new.drop_front(count);
    }
}

/// Content at hand: a hole, or bytes.
struct Stream<'a> {
    input: &'a mut dyn Input,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    hole: u64,
    ended: bool,
}

impl<'a> Stream<'a> {
    fn of(input: &'a mut dyn Input) -> Self {
        Self { input, buffer: vec![0; MIB], start: 0, end: 0, hole: 0, ended: false }
    }

    /// How many bytes are at hand; 0 at the end only.
    fn fill(&mut self) -> Result<u64> {
        if self.start == self.end && self.hole == 0 && !self.ended {
            match self.input.read(&mut self.buffer)? {
                Read::Data(bytes) => (self.start, self.end) = (0, bytes),
                Read::Hole(bytes) => self.hole = bytes,
                Read::End => self.ended = true,
            }
        }
        Ok(if self.hole > 0 { self.hole } else { (self.end - self.start) as u64 })
    }

    fn begins_as(&self, other: &Self, count: u64) -> bool {
        let part = |stream: &Self| stream.start..stream.start + count as usize;
        let zeros = |stream: &Self| stream.buffer[part(stream)].iter().all(|byte| *byte == 0);
        match (self.hole > 0, other.hole > 0) {
            (true, true) => true,
            (true, false) => zeros(other),
            (false, true) => zeros(self),
            (false, false) => self.buffer[part(self)] == other.buffer[part(other)],
        }
    }

    fn drop_front(&mut self, count: u64) {
        if self.hole > 0 {
            self.hole -= count;
        } else {
            self.start += count as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Script(Vec<Result<Vec<u8>, u64>>);

    impl Input for Script {
        fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
            if self.0.is_empty() {
                return Ok(Read::End);
            }
            match self.0.remove(0) {
                Ok(bytes) => {
                    buffer[..bytes.len()].copy_from_slice(&bytes);
                    Ok(Read::Data(bytes.len()))
                }
                Err(hole) => Ok(Read::Hole(hole)),
            }
        }
    }

    fn equal(old: &[Result<&[u8], u64>], new: &[Result<&[u8], u64>]) -> bool {
        let script = |parts: &[Result<&[u8], u64>]| Script(parts.iter().map(|part| part.map(<[u8]>::to_vec)).collect());
        let answers = [(old, new), (new, old)].map(|(old, new)| is_equal(&mut script(old), &mut script(new)).unwrap());
        assert_eq!(answers[0], answers[1]);
        answers[0]
    }

    #[test]
    fn bytes_count_not_how_they_come() {
        assert!(equal(&[], &[]));
        assert!(equal(&[Ok(b"abc"), Ok(b"d")], &[Ok(b"a"), Ok(b"bcd")]));
        assert!(equal(&[Err(5), Ok(b"x")], &[Ok(b"\0\0"), Err(1), Ok(b"\0\0x")]));
        assert!(equal(&[Err(1 << 40), Ok(b"x")], &[Err(1 << 39), Err(1 << 39), Ok(b"x")]));
        for other in [&[Ok(&b"abx"[..])][..], &[Ok(b"ab")], &[Ok(b"abcd")], &[Err(3)], &[], &[Ok(b"abc"), Err(1)]] {
            assert!(!equal(&[Ok(b"abc")], other), "{other:?}");
        }
    }

    #[test]
    fn sizes_are_of_what_the_other_side_lacks() {
        let chunk = |number: u8, bytes| ContentItem::Chunk { id: ChunkId::from_bytes([number; 32]), bytes };
        let (old, new) = ([chunk(1, 10), chunk(2, 20), chunk(1, 10)], [chunk(2, 20), ContentItem::Hole { bytes: 20 }]);
        assert_eq!(sizes(&old, &new), (0, 20));
        assert_eq!(sizes(&new, &old), (20, 0));
        assert!(!may_be_cut_otherwise(&old, &new), "they share a piece");
        assert!(may_be_cut_otherwise(&old[..2], &[chunk(3, 30)]));
        assert!(!may_be_cut_otherwise(&old[..1], &[chunk(3, 10)]), "one piece each");
    }
}
