//! Builds a segment: frames are gathered compressed, and sealed in place all
//! together when the segment is full and its salt is drawn.

use super::format::SegmentKeys;
use super::{ChunkEntry, Class, Directory, Frame, HEADER_BYTES, SegmentRecord};
use crate::crypto::aead::TAG_BYTES;
use crate::crypto::envelope::TAIL_BYTES;
use crate::crypto::random;
use crate::error::Result;
use crate::id::SALT_BYTES;
use crate::limits::SEGMENT_CHUNKS_MAX;
use crate::seal::Sealer;

/// A segment in the making.
#[derive(Debug)]
pub struct SegmentBuilder {
    class: Class,
    bytes: Vec<u8>,
    directory: Directory,
}

/// A segment ready to be put.
#[derive(Debug)]
pub struct FinishedSegment {
    /// What the index keeps of it.
    pub record: SegmentRecord,
    /// Its frames and chunks.
    pub directory: Directory,
    /// The whole object.
    pub bytes: Vec<u8>,
}

impl SegmentBuilder {
    /// An empty segment of `class`.
    pub fn new(class: Class) -> Self {
        Self::in_buffer(class, Vec::new())
    }

    /// An empty segment of `class` that is built in `bytes`, whatever they were.
    pub fn in_buffer(class: Class, mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(HEADER_BYTES, 0);
        Self { class, bytes, directory: Directory::default() }
    }

    /// Appends a frame: `compressed` by `codec`, holding `chunks` one after the other.
    pub fn append(&mut self, codec: u8, compressed: &[u8], chunks: &[ChunkEntry]) {
        self.bytes.extend_from_slice(compressed);
        self.bytes.extend_from_slice(&[0; TAG_BYTES]);
        self.directory.frames.push(Frame {
            stored_bytes: (compressed.len() + TAG_BYTES) as u32,
            plain_bytes: chunks.iter().map(|chunk| chunk.bytes).sum(),
            codec,
            chunks: chunks.len() as u32,
        });
        self.directory.chunks.extend_from_slice(chunks);
    }

    /// Bytes the segment will have at least.
    pub fn stored_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds as many chunks as a writer lets a segment have.
    pub fn is_crowded(&self) -> bool {
        self.directory.chunks.len() >= SEGMENT_CHUNKS_MAX / 2
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.directory.frames.is_empty()
    }

    /// Draws the salt, seals everything, and names the segment.
    pub fn finish(self, sealer: &Sealer<'_>) -> Result<FinishedSegment> {
        self.finish_with_salt(sealer, random::salt()?)
    }

    /// As [`SegmentBuilder::finish`] with a given draw: golden bytes need one, nobody else does.
    pub(crate) fn finish_with_salt(mut self, sealer: &Sealer<'_>, salt: [u8; SALT_BYTES]) -> Result<FinishedSegment> {
        let (keys, header) = SegmentKeys::draw(sealer, self.class, salt)?;
        self.bytes[..HEADER_BYTES].copy_from_slice(&header);
        let mut offset = HEADER_BYTES;
        for (number, frame) in self.directory.frames.iter().enumerate() {
            let end = offset + frame.stored_bytes as usize;
            let (text, tag) = self.bytes[offset..end].split_at_mut(frame.stored_bytes as usize - TAG_BYTES);
            tag.copy_from_slice(&keys.seal_frame(number, text)?);
            offset = end;
        }
        keys.close(&mut self.bytes, &self.directory.encode())?;
        let mut content_hash = [0; 32];
        let hash_at = self.bytes.len() - TAIL_BYTES;
        content_hash.copy_from_slice(&self.bytes[hash_at..hash_at + 32]);
        let record =
            SegmentRecord { id: keys.id, class: self.class, bytes: self.bytes.len() as u64, content_hash, header };
        Ok(FinishedSegment { record, directory: self.directory, bytes: self.bytes })
    }
}
