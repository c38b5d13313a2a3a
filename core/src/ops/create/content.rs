//! Reads one file's content into chunks.

use std::collections::VecDeque;

use crate::archive::CutKey;
use crate::archive::{Content, ContentBuilder, ContentItem};
use crate::chunker::Chunker;
use crate::chunker::{Buffer, ChunkStream, Input, Piece, Read};
use crate::error::Result;
use crate::limits::INLINE_CONTENT_BYTES_MAX;
use crate::repository::{ChunkSink, ChunkTicket, Writer};
use crate::segment::Class;

/// Chunks on their way before the oldest is waited for.
const TICKETS_MAX: usize = 16;

/// Turns content into chunks; buffers are kept from file to file.
pub(in crate::ops) struct ContentReader<'a> {
    chunker: &'a Chunker,
    cut_key: &'a CutKey,
    buffer: Buffer,
    small: Vec<u8>,
}

/// A piece of the file whose name may not be known yet.
enum Coming {
    Chunk(ChunkTicket, u32),
    Hole(u64),
}

impl<'a> ContentReader<'a> {
    pub fn new(chunker: &'a Chunker, cut_key: &'a CutKey) -> Self {
        Self { chunker, cut_key, buffer: Buffer::new(), small: Vec::new() }
    }

    /// Stores what `input` yields; `expected` is its size if that is known and there are no holes. What states no size
    /// may have content all the same.
    ///
    /// Returns the content and its exact length. `between` is called between chunks.
    pub fn store(
        &mut self,
        input: &mut dyn Input,
        expected: Option<u64>,
        writer: &Writer,
        between: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<(Content, u64)> {
        match expected.filter(|size| (1..=self.chunker.min_bytes() as u64).contains(size)) {
            Some(size) => {
                let done = self.store_small(input, size as usize, writer)?;
                between(done.1)?;
                Ok(done)
            }
            None => self.store_stream(input, writer, between),
        }
    }

    /// One chunk at most: a file of no more than `size` bytes and without holes.
    fn store_small(&mut self, input: &mut dyn Input, size: usize, writer: &Writer) -> Result<(Content, u64)> {
        self.small.clear();
        self.small.resize(size, 0);
        let mut filled = 0;
        while filled < size {
            match input.read(&mut self.small[filled..])? {
                Read::Data(bytes) => filled += bytes,
                // A hole dug just now; it reads as the zeros that are there already.
                Read::Hole(bytes) => filled = size.min(filled.saturating_add(usize::try_from(bytes).unwrap_or(size))),
                Read::End => break,
            }
        }
        let plain = &self.small[..filled];
        let content = match filled {
            0 => Content::None,
            1..=INLINE_CONTENT_BYTES_MAX => Content::Inline(plain.to_vec()),
            _ => {
                let id = writer.store(Class::Data, plain)?;
                Content::List(vec![ContentItem::Chunk { id, bytes: filled as u32 }])
            }
        };
        Ok((content, filled as u64))
    }

    fn store_stream(
        &mut self,
        input: &mut dyn Input,
        writer: &Writer,
        between: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<(Content, u64)> {
        let mut stream = ChunkStream::new(self.chunker, Forward(input), &mut self.buffer);
        let mut builder = ContentBuilder::new(self.cut_key.clone());
        let mut coming = VecDeque::new();
        while let Some(piece) = stream.next()? {
            let bytes = match piece {
                Piece::Data(plain) => {
                    let bytes = plain.len();
                    coming.push_back(Coming::Chunk(writer.store_later(Class::Data, plain)?, bytes as u32));
                    bytes as u64
                }
                Piece::Hole(bytes) => {
                    coming.push_back(Coming::Hole(bytes));
                    bytes
                }
            };
            between(bytes)?;
            if coming.len() >= TICKETS_MAX {
                settle(&mut coming, &mut builder, writer)?;
            }
        }
        while !coming.is_empty() {
            settle(&mut coming, &mut builder, writer)?;
        }
        builder.finish(writer)
    }
}

/// Lends an input to a stream.
struct Forward<'a>(&'a mut dyn Input);

impl Input for Forward<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        self.0.read(buffer)
    }
}

fn settle(coming: &mut VecDeque<Coming>, builder: &mut ContentBuilder, writer: &Writer) -> Result<()> {
    let item = match coming.pop_front() {
        None => return Ok(()),
        Some(Coming::Hole(bytes)) => ContentItem::Hole { bytes },
        Some(Coming::Chunk(ticket, bytes)) => ContentItem::Chunk { id: writer.wait(ticket)?, bytes },
    };
    builder.push(item, writer)
}
