//! From a file, with its holes, to a sequence of chunks.
//!
//! Content is read a block at a time and searched while it is still in the cache,
//! so the buffer holds little more than the chunk in the making. It is copied once,
//! into the chunk; what is left of a block moves only when the buffer is full.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::MIB;

use super::{Chunker, Scan};

/// Bytes asked for at once.
const READ_BYTES: usize = MIB;

/// Where content comes from.
pub trait Input {
    /// Reads the next content into the start of `buffer`, as much as is at hand, or reports a hole
    /// or the end. `buffer` is 1 MiB. After the end it is not called again.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read>;

    /// Goes to this offset: others have read all before it. What several read in turns is there already.
    fn move_to(&mut self, offset: u64) {
        let _ = offset;
    }
}

impl<I: Input + ?Sized> Input for Box<I> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        (**self).read(buffer)
    }

    fn move_to(&mut self, offset: u64) {
        (**self).move_to(offset);
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes of content, one at least, at the start of the buffer.
    Data(usize),
    /// So many bytes that read as zeros and are not stored.
    Hole(u64),
    /// Nothing more.
    End,
}

/// A part of a file.
#[derive(Clone, PartialEq, Eq)]
pub enum Piece {
    /// A chunk, never empty.
    Data(Vec<u8>),
    /// So many bytes of zeros, never none; no other hole follows directly.
    Hole(u64),
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(bytes) => write!(f, "Data({} bytes)", bytes.len()),
            Self::Hole(bytes) => write!(f, "Hole({bytes} bytes)"),
        }
    }
}

/// The memory of a [`ChunkStream`]: the longest chunk and 1 MiB. A thread hands one on from file to
/// file; small files touch little of it.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer; it grows at its first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets its content and makes room for chunks of `max_bytes`.
    fn prepare(&mut self, max_bytes: usize) {
        (self.start, self.end) = (0, 0);
        if self.bytes.len() < max_bytes + READ_BYTES {
            // Fresh zeroed memory, not a longer vector: the system gives pages only when touched.
            self.bytes = vec![0; max_bytes + READ_BYTES];
        }
    }

    fn content(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Room for one read behind the content, which is never longer than the longest chunk here.
    fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.bytes.len() - self.end < READ_BYTES {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..self.end + READ_BYTES]
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.content()[..count].to_vec();
        self.start += count;
        taken
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Cuts what an [`Input`] yields. Chunks never span holes.
pub struct ChunkStream<'a, I> {
    chunker: &'a Chunker,
    buffer: &'a mut Buffer,
    input: I,
    scan: Scan,
    /// Bytes of a hole that lies behind the buffered content.
    hole: u64,
    ended: bool,
}

impl<'a, I: Input> ChunkStream<'a, I> {
    /// Starts at the beginning of `input`; what `buffer` held is forgotten.
    pub fn new(chunker: &'a Chunker, input: I, buffer: &'a mut Buffer) -> Self {
        buffer.prepare(chunker.max_bytes());
        Self { chunker, buffer, input, scan: Scan::at(0), hole: 0, ended: false }
    }

    /// Starts anew with another input, and gives back the one before.
    pub fn reset(&mut self, input: I) -> I {
        self.buffer.prepare(self.chunker.max_bytes());
        (self.scan, self.hole, self.ended) = (Scan::at(0), 0, false);
        std::mem::replace(&mut self.input, input)
    }

    /// The next piece, or nothing at the end. Pieces in order make up the file.
    #[expect(clippy::should_implement_trait, reason = "an iterator can not stop at an error and be asked again")]
    pub fn next(&mut self) -> Result<Option<Piece>> {
        loop {
            let content = self.buffer.content();
            if !content.is_empty() {
                if let Some(length) = self.chunker.scan(&mut self.scan, content) {
                    return Ok(Some(self.take(length)));
                }
                if self.hole > 0 || self.ended {
                    let rest = content.len();
                    return Ok(Some(self.take(rest)));
                }
            } else if self.ended {
                return Ok(self.take_hole());
            }
            let reached_data = self.read()?;
            if reached_data && let Some(hole) = self.take_hole() {
                return Ok(Some(hole));
            }
        }
    }

    /// The input, for instance to ask it what it has seen.
    pub fn input(&mut self) -> &mut I {
        &mut self.input
    }

    /// Reads once; says whether that was content.
    fn read(&mut self) -> Result<bool> {
        let room = self.buffer.room();
        let found = self.input.read(room)?;
        match found {
            Read::Data(count) if count == 0 || count > READ_BYTES => {
                return Err(Error::new(ErrorKind::InvalidInput, "read content").with("bytes", count));
            }
            Read::Data(count) => self.buffer.end += count,
            Read::Hole(count) => self.hole = self.hole.saturating_add(count),
            Read::End => self.ended = true,
        }
        Ok(matches!(found, Read::Data(_)))
    }

    fn take(&mut self, count: usize) -> Piece {
        self.scan = Scan::at(self.scan.offset.saturating_add(count as u64));
        Piece::Data(self.buffer.take(count))
    }

    fn take_hole(&mut self) -> Option<Piece> {
        if self.hole == 0 {
            return None;
        }
        let hole = std::mem::take(&mut self.hole);
        self.scan = Scan::at(self.scan.offset.saturating_add(hole));
        Some(Piece::Hole(hole))
    }
}

impl<I> fmt::Debug for ChunkStream<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkStream").field("offset", &self.scan.offset).finish_non_exhaustive()
    }
}
