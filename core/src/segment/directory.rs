//! Which chunks a segment holds, and in which frame each of them lies.

use crate::error::Result;
use crate::id::ChunkId;

/// The frames of a segment in order, and their chunks in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Frames; they lie one after the other behind the header.
    pub frames: Vec<Frame>,
    /// The chunks of all frames, in order; the position is the chunk's ordinal.
    pub chunks: Vec<ChunkEntry>,
}

/// One compressed and sealed run of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Stored bytes, tag included.
    pub stored_bytes: u32,
    /// Bytes of all its chunks after decompression.
    pub plain_bytes: u32,
    /// How it is compressed.
    pub codec: u8,
    /// How many chunks it holds.
    pub chunks: u32,
}

/// One chunk of a frame; chunks lie one after the other in the frame's plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkEntry {
    /// Its name.
    pub id: ChunkId,
    /// Plaintext bytes.
    pub bytes: u32,
}

impl Directory {
    /// Byte layout: frame count u32, chunk count u32; per frame stored bytes u32, plain bytes u32,
    /// codec u8, chunks u32; per chunk id 32, bytes u32.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.frames.len() * 13 + self.chunks.len() * 36);
        out.extend_from_slice(&(self.frames.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.chunks.len() as u32).to_le_bytes());
        for frame in &self.frames {
            out.extend_from_slice(&frame.stored_bytes.to_le_bytes());
            out.extend_from_slice(&frame.plain_bytes.to_le_bytes());
            out.push(frame.codec);
            out.extend_from_slice(&frame.chunks.to_le_bytes());
        }
        for chunk in &self.chunks {
            out.extend_from_slice(chunk.id.as_bytes());
            out.extend_from_slice(&chunk.bytes.to_le_bytes());
        }
        out
    }

    /// Reads what [`Directory::encode`] wrote; refuses counts and lengths that do not add up.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        use crate::codec::Cursor;
        use crate::error::Error;
        use crate::limits::{CHUNK_BYTES_MAX, FRAME_BYTES_MAX, SEGMENT_CHUNKS_MAX};

        let wrong = |what: &str| Error::damaged("decode segment directory", what);
        let mut cursor = Cursor::new(bytes);
        let (frame_count, chunk_count) = (cursor.u32()? as usize, cursor.u32()? as usize);
        let expected = frame_count.saturating_mul(13).saturating_add(chunk_count.saturating_mul(36));
        if expected != cursor.remaining() || chunk_count > SEGMENT_CHUNKS_MAX || frame_count > chunk_count {
            return Err(wrong("counts do not fit the length"));
        }
        let mut directory = Self { frames: Vec::with_capacity(frame_count), chunks: Vec::with_capacity(chunk_count) };
        for _ in 0..frame_count {
            directory.frames.push(Frame {
                stored_bytes: cursor.u32()?,
                plain_bytes: cursor.u32()?,
                codec: cursor.u8()?,
                chunks: cursor.u32()?,
            });
        }
        for _ in 0..chunk_count {
            directory.chunks.push(ChunkEntry { id: ChunkId::from_bytes(cursor.array()?), bytes: cursor.u32()? });
        }
        cursor.finish()?;
        let mut rest = directory.chunks.as_slice();
        for frame in &directory.frames {
            let (own, others) =
                rest.split_at_checked(frame.chunks as usize).ok_or_else(|| wrong("a frame lacks chunks"))?;
            let plain: u64 = own.iter().map(|chunk| u64::from(chunk.bytes)).sum();
            if plain != u64::from(frame.plain_bytes) || plain > FRAME_BYTES_MAX as u64 || own.is_empty() {
                return Err(wrong("chunk lengths do not fill their frame"));
            }
            if own.iter().any(|chunk| chunk.bytes as usize > CHUNK_BYTES_MAX) {
                return Err(wrong("a chunk is too long"));
            }
            rest = others;
        }
        if rest.is_empty() { Ok(directory) } else { Err(wrong("chunks without a frame")) }
    }
}
