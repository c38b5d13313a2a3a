//! The content of an archived file, piece by piece, or as a stream to be compared or cut anew.

use bytes::Bytes;

use crate::archive::content::{Content, ContentItem};
use crate::archive::content_tree::ContentReader;
use crate::archive::entry::Entry;
use crate::chunker::{Input, Read};
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::repository::{ChunkSource, Reader};
use crate::segment::Class;

/// A chunk of a file that says how long it is.
///
/// # Errors
/// `Damaged` if it has another length.
pub(super) fn fetch_piece(reader: &Reader, id: &ChunkId, bytes: u32) -> Result<Bytes> {
    let piece = reader.fetch(Class::Data, id)?;
    if piece.len() != bytes as usize {
        return Err(Error::damaged("read content", "not as long as the file says").with("chunk", id));
    }
    Ok(piece)
}

/// A regular file of an archive, read from front to end, with its holes.
pub(super) struct ArchivedInput<'a> {
    reader: &'a Reader,
    items: Option<ContentReader<'a>>,
    chunk: Bytes,
    used: usize,
}

impl<'a> ArchivedInput<'a> {
    /// Nothing is read yet. What is no regular file is `InvalidInput`.
    pub fn open(reader: &'a Reader, entry: &Entry) -> Result<Self> {
        let (items, chunk) = match &entry.content {
            Content::Inline(bytes) => (None, Bytes::from(bytes.clone())),
            content => (Some(ContentReader::open(reader, content, entry.size)?), Bytes::new()),
        };
        Ok(Self { reader, items, chunk, used: 0 })
    }
}

impl Input for ArchivedInput<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        while self.used == self.chunk.len() {
            match self.items.as_mut().and_then(Iterator::next).transpose()? {
                None => return Ok(Read::End),
                Some(ContentItem::Hole { bytes }) => return Ok(Read::Hole(bytes)),
                Some(ContentItem::Chunk { id, bytes }) => {
                    (self.chunk, self.used) = (fetch_piece(self.reader, &id, bytes)?, 0);
                }
            }
        }
        let rest = &self.chunk[self.used..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.used += count;
        Ok(Read::Data(count))
    }
}
