//! Where the chunks of one segment lie, in the few bytes per chunk that stay in memory.
//!
//! Byte layout, per frame: stored bytes varint | plain bytes varint | codec u8 |
//! chunks - 1 varint | plain bytes of each chunk but the last, varint. Offsets are
//! sums, the last length is what remains of the frame. A group of small chunks
//! takes about two bytes per chunk, a large chunk with a frame of its own eight to
//! ten.
//!
//! The form is checked whole when it is taken in; every 32nd chunk leaves a
//! checkpoint, so that finding a chunk decodes at most 32 lengths wherever it is.

use crate::codec::put_varint;
use crate::error::{Error, Result};
use crate::limits::{CHUNK_BYTES_MAX, FRAME_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_CHUNKS_MAX};
use crate::segment::{Directory, HEADER_BYTES};

const CHECKPOINT_CHUNKS: usize = 32;

/// Where a frame lies in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePlace {
    /// Its number; the first frame is 0.
    pub number: u32,
    /// The first byte in the segment.
    pub offset: u64,
    /// Stored bytes, tag included.
    pub stored_bytes: u32,
    /// Bytes of all its chunks after decompression.
    pub plain_bytes: u32,
    /// How it is compressed.
    pub codec: u8,
}

/// Where a chunk lies in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkPlace {
    /// The frame that holds it.
    pub frame: FramePlace,
    /// Its first byte in the plaintext of the frame.
    pub offset: u32,
    /// Its plaintext bytes.
    pub bytes: u32,
}

/// The places of all chunks of a segment, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    encoded: Box<[u8]>,
    /// The state before chunk 32, 64, ...
    checkpoints: Box<[Walk]>,
    frames: u32,
    chunks: u32,
    frames_end: u64,
}

impl Places {
    /// Encodes the places a directory states; refuses one whose counts or lengths do not add up.
    pub fn of(directory: &Directory) -> Result<Self> {
        let mut encoded = Vec::with_capacity(directory.frames.len() * 10 + directory.chunks.len() * 2);
        let mut rest = directory.chunks.as_slice();
        for frame in &directory.frames {
            let (own, others) =
                rest.split_at_checked(frame.chunks as usize).ok_or_else(|| wrong("a frame lacks chunks"))?;
            let (last, first) = own.split_last().ok_or_else(|| wrong("a frame without chunks"))?;
            put_varint(&mut encoded, u64::from(frame.stored_bytes));
            put_varint(&mut encoded, u64::from(frame.plain_bytes));
            encoded.push(frame.codec);
            put_varint(&mut encoded, first.len() as u64);
            first.iter().for_each(|chunk| put_varint(&mut encoded, u64::from(chunk.bytes)));
            let plain = own.iter().map(|chunk| u64::from(chunk.bytes)).sum::<u64>();
            if plain != u64::from(frame.plain_bytes) || last.bytes as usize > CHUNK_BYTES_MAX {
                return Err(wrong("chunk lengths do not fill their frame"));
            }
            rest = others;
        }
        Self::decode(&encoded, count(directory.frames.len())?, count(directory.chunks.len())?)
    }

    /// Takes the encoded places of `frames` frames with `chunks` chunks; refuses what does not add up.
    pub fn decode(encoded: &[u8], frames: u32, chunks: u32) -> Result<Self> {
        // a chunk takes a byte or is the last of its frame, which takes four
        if chunks as usize > SEGMENT_CHUNKS_MAX.min(encoded.len()) || u32::try_from(encoded.len()).is_err() {
            return Err(wrong("more chunks than fit"));
        }
        let mut checkpoints = Vec::with_capacity((chunks as usize).saturating_sub(1) / CHECKPOINT_CHUNKS);
        let mut walk = Walk::start();
        for ordinal in 0..chunks as usize {
            if ordinal > 0 && ordinal % CHECKPOINT_CHUNKS == 0 {
                checkpoints.push(walk);
            }
            walk.step(encoded).ok_or_else(|| wrong("lengths do not add up"))?;
        }
        if walk.position as usize != encoded.len() || walk.chunks_left != 0 || walk.frames != frames {
            return Err(wrong("counts do not fit the places"));
        }
        let frames_end = walk.frame_offset + u64::from(walk.stored_bytes);
        Ok(Self { encoded: encoded.into(), checkpoints: checkpoints.into(), frames, chunks, frames_end })
    }

    /// The encoded form.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// How many frames the segment has.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// How many chunks the segment has.
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// The first byte of the segment behind its last frame.
    pub fn frames_end(&self) -> u64 {
        self.frames_end
    }

    /// The place of the chunk with this ordinal.
    pub fn locate(&self, ordinal: u32) -> Option<ChunkPlace> {
        if ordinal >= self.chunks {
            return None;
        }
        let group = ordinal as usize / CHECKPOINT_CHUNKS;
        let mut walk = match group.checked_sub(1) {
            None => Walk::start(),
            Some(checkpoint) => *self.checkpoints.get(checkpoint)?,
        };
        walk.skip(&self.encoded, ordinal % CHECKPOINT_CHUNKS as u32)?;
        walk.step(&self.encoded)
    }

    /// The places of all chunks in order.
    pub fn iter(&self) -> impl Iterator<Item = ChunkPlace> + '_ {
        let mut walk = Walk::start();
        (0..self.chunks).map_while(move |_| walk.step(&self.encoded))
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.encoded.len() + self.checkpoints.len() * size_of::<Walk>()
    }
}

/// The state of a decoder between two chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Walk {
    frame_offset: u64,
    /// Next byte of the encoded form.
    position: u32,
    /// Frames begun.
    frames: u32,
    stored_bytes: u32,
    plain_bytes: u32,
    /// Chunks of the frame not passed yet, and plaintext bytes of it that are.
    chunks_left: u32,
    passed: u32,
    codec: u8,
}

impl Walk {
    fn start() -> Self {
        Self {
            frame_offset: HEADER_BYTES as u64,
            position: 0,
            frames: 0,
            stored_bytes: 0,
            plain_bytes: 0,
            chunks_left: 0,
            passed: 0,
            codec: 0,
        }
    }

    /// Passes one chunk and tells where it lies; nothing if the encoded form does not add up.
    fn step(&mut self, encoded: &[u8]) -> Option<ChunkPlace> {
        if self.chunks_left == 0 {
            self.enter_frame(encoded)?;
        }
        let offset = self.passed;
        self.pass_chunks(encoded, 1)?;
        let frame = FramePlace {
            number: self.frames - 1,
            offset: self.frame_offset,
            stored_bytes: self.stored_bytes,
            plain_bytes: self.plain_bytes,
            codec: self.codec,
        };
        Some(ChunkPlace { frame, offset, bytes: self.passed - offset })
    }

    /// Passes `chunks` chunks.
    fn skip(&mut self, encoded: &[u8], mut chunks: u32) -> Option<()> {
        while chunks > 0 {
            if self.chunks_left == 0 {
                self.enter_frame(encoded)?;
            }
            let own = chunks.min(self.chunks_left);
            self.pass_chunks(encoded, own)?;
            chunks -= own;
        }
        Some(())
    }

    fn enter_frame(&mut self, encoded: &[u8]) -> Option<()> {
        self.frame_offset += u64::from(self.stored_bytes);
        self.stored_bytes = self.varint(encoded)?;
        self.plain_bytes = self.varint(encoded)?;
        self.codec = *encoded.get(self.position as usize)?;
        self.position += 1;
        self.chunks_left = self.varint(encoded)?.checked_add(1)?;
        self.passed = 0;
        self.frames = self.frames.checked_add(1)?;
        let end = self.frame_offset + u64::from(self.stored_bytes);
        (self.plain_bytes as usize <= FRAME_BYTES_MAX && end <= SEGMENT_BYTES_MAX as u64).then_some(())
    }

    /// Passes `chunks` of the `chunks_left` chunks of the frame.
    fn pass_chunks(&mut self, encoded: &[u8], chunks: u32) -> Option<()> {
        for _ in 0..chunks {
            let room = self.plain_bytes - self.passed;
            let bytes = if self.chunks_left == 1 { room } else { self.varint(encoded)? };
            if bytes > room || bytes as usize > CHUNK_BYTES_MAX {
                return None;
            }
            self.passed += bytes;
            self.chunks_left -= 1;
        }
        Some(())
    }

    /// The next integer; it must be in its shortest form.
    #[inline]
    fn varint(&mut self, encoded: &[u8]) -> Option<u32> {
        let mut value = 0;
        for shift in (0..u32::BITS).step_by(7) {
            let byte = *encoded.get(self.position as usize)?;
            self.position += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let shortest = byte != 0 || shift == 0;
                return u32::try_from(value).ok().filter(|_| shortest);
            }
        }
        None
    }
}

fn count(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| wrong("a count is too large"))
}

fn wrong(what: &'static str) -> Error {
    Error::damaged("read places of segment", what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;
    use crate::id::ChunkId;
    use crate::segment::{ChunkEntry, Frame};

    fn directory(frames: &[(u32, u8, Vec<u32>)]) -> Directory {
        let mut directory = Directory::default();
        for (stored_bytes, codec, chunks) in frames {
            directory.frames.push(Frame {
                stored_bytes: *stored_bytes,
                plain_bytes: chunks.iter().sum(),
                codec: *codec,
                chunks: chunks.len() as u32,
            });
            let id = ChunkId::from_bytes([7; 32]);
            directory.chunks.extend(chunks.iter().map(|bytes| ChunkEntry { id, bytes: *bytes }));
        }
        directory
    }

    #[test]
    fn encoded_form_is_pinned() {
        let places = Places::of(&directory(&[(300, 2, vec![5, 0, 1000]), (16, 0, vec![0])])).unwrap();
        assert_eq!(places.encoded(), [0xac, 2, 0xed, 7, 2, 2, 5, 0, 16, 0, 0, 0]);
        let frame = FramePlace { number: 0, offset: 72, stored_bytes: 300, plain_bytes: 1005, codec: 2 };
        assert_eq!(places.locate(2), Some(ChunkPlace { frame, offset: 5, bytes: 1000 }));
        let frame = FramePlace { number: 1, offset: 372, stored_bytes: 16, plain_bytes: 0, codec: 0 };
        assert_eq!(places.locate(3), Some(ChunkPlace { frame, offset: 0, bytes: 0 }));
        assert_eq!(places.locate(4), None);
        assert_eq!((places.frames(), places.chunks(), places.frames_end()), (2, 4, 388));
    }

    #[test]
    fn counts_and_lengths_that_do_not_add_up_are_refused() {
        let good = Places::of(&directory(&[(300, 2, vec![5, 0, 1000]), (16, 0, vec![0])])).unwrap();
        for (frames, chunks) in [(1, 4), (3, 4), (2, 3), (2, 5), (2, u32::MAX), (0, 0)] {
            let error = Places::decode(good.encoded(), frames, chunks).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged);
        }
        for cut in 0..good.encoded().len() {
            assert!(Places::decode(&good.encoded()[..cut], 2, 4).is_err(), "{cut}");
        }
        // 5 in two bytes, a number above 2^32, a number without end
        for bad in [&[16u8, 0x85, 0, 0, 0][..], &[0xff, 0xff, 0xff, 0xff, 0x1f, 5, 0, 0], &[0xff; 8]] {
            Places::decode(bad, 1, 1).unwrap_err();
        }
        Places::decode(&[16, 5, 0, 0], 1, 1).unwrap();
        let mut lying = directory(&[(300, 2, vec![5, 6])]);
        lying.frames[0].plain_bytes = 10;
        Places::of(&lying).unwrap_err();
        lying.frames[0].plain_bytes = 12;
        Places::of(&lying).unwrap_err();
        lying.frames[0] = Frame { plain_bytes: 5, chunks: 1, ..lying.frames[0] };
        Places::of(&lying).unwrap_err();
        let long = directory(&[(1 << 30, 0, vec![1]), (1, 0, vec![1])]);
        Places::of(&long).unwrap_err();
        let chunk = directory(&[(300, 0, vec![CHUNK_BYTES_MAX as u32 + 1])]);
        Places::of(&chunk).unwrap_err();
    }

    proptest! {
        #[test]
        fn every_chunk_is_found_where_the_directory_says(
            frames in prop::collection::vec(
                (1u32..100_000, any::<u8>(), prop::collection::vec(0u32..5000, 1..200)), 0..20,
            ),
        ) {
            let directory = directory(&frames);
            let places = Places::of(&directory).unwrap();
            let again = Places::decode(places.encoded(), places.frames(), places.chunks()).unwrap();
            prop_assert_eq!(&again, &places);
            let (mut ordinal, mut offset) = (0, HEADER_BYTES as u64);
            let mut walked = places.iter();
            for (number, (stored_bytes, codec, chunks)) in frames.iter().enumerate() {
                let mut passed = 0;
                for bytes in chunks {
                    let frame = FramePlace {
                        number: number as u32,
                        offset,
                        stored_bytes: *stored_bytes,
                        plain_bytes: chunks.iter().sum(),
                        codec: *codec,
                    };
                    let expected = ChunkPlace { frame, offset: passed, bytes: *bytes };
                    prop_assert_eq!(places.locate(ordinal), Some(expected));
                    prop_assert_eq!(walked.next(), Some(expected));
                    ordinal += 1;
                    passed += bytes;
                }
                offset += u64::from(*stored_bytes);
            }
            prop_assert_eq!(places.frames_end(), offset);
            prop_assert_eq!(places.locate(ordinal), None);
            prop_assert_eq!(walked.next(), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200), frames in 0u32..20, chunks in 0u32..200,
        ) {
            if let Ok(places) = Places::decode(&bytes, frames, chunks) {
                prop_assert_eq!(places.iter().count(), chunks as usize);
                prop_assert_eq!(places.encoded(), bytes);
            }
        }
    }
}
