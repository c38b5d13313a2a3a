//! What becomes of the content of files in a new tree.

use std::collections::HashMap;

use crate::archive::content::{Content, ContentItem};
use crate::archive::content_tree::{ContentBuilder, ContentReader};
use crate::archive::cut::CutKey;
use crate::archive::entry::Entry;
use crate::chunker::{Chunker, ChunkerParams};
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::monitor::{FileStatus, Monitor};
use crate::ops::archived_input::{ArchivedInput, fetch_piece};
use crate::ops::create::content::ContentReader as Cutter;
use crate::repository::{ChunkSink, Reader, Repository, Writer};
use crate::segment::Class;

/// A chunker of the repository, if content is to be cut anew.
pub(in crate::ops) fn chunker(repository: &Repository, params: Option<&ChunkerParams>) -> Result<Option<Chunker>> {
    match params {
        Some(params) => Ok(Some(Chunker::new(params, repository.chunker_key()?))),
        None => Ok(None),
    }
}

/// What becomes of content.
pub(in crate::ops) enum Carry<'a> {
    /// It stays as it is, where it is.
    Keep,
    /// Its chunks are stored in another repository.
    Copy(Copied<'a>),
    /// It is cut anew.
    Cut(Cut<'a>),
}

impl Carry<'_> {
    /// The content of a regular file in the new tree.
    pub fn content(&mut self, reader: &Reader, entry: &Entry, monitor: &dyn Monitor) -> Result<(Content, FileStatus)> {
        match self {
            Self::Keep => Ok((entry.content.clone(), FileStatus::Unchanged)),
            Self::Copy(copied) => Ok((copied.content(reader, entry, monitor)?, FileStatus::Added)),
            Self::Cut(cut) => Ok((cut.content(reader, entry, monitor)?, FileStatus::Modified)),
        }
    }
}

/// Chunks on their way into another repository.
pub(in crate::ops) struct Copied<'a> {
    pub writer: &'a Writer,
    pub cut_key: CutKey,
    /// Whether both repositories give a chunk the same name.
    pub same_ids: bool,
    /// What chunks are called there, as far as it was found out.
    pub names: &'a mut HashMap<ChunkId, ChunkId>,
    /// Called after each chunk.
    pub between: &'a mut dyn FnMut() -> Result<()>,
}

impl Copied<'_> {
    fn content(&mut self, reader: &Reader, entry: &Entry, monitor: &dyn Monitor) -> Result<Content> {
        if matches!(entry.content, Content::Inline(_) | Content::None) {
            return Ok(entry.content.clone());
        }
        let mut builder = ContentBuilder::new(self.cut_key.clone());
        for item in ContentReader::open(reader, &entry.content, entry.size)? {
            monitor.stop_if_asked("rewrite archive")?;
            let item = match item? {
                ContentItem::Chunk { id, bytes } => ContentItem::Chunk { id: self.chunk(reader, &id, bytes)?, bytes },
                hole @ ContentItem::Hole { .. } => hole,
            };
            builder.push(item, self.writer)?;
        }
        Ok(builder.finish(self.writer)?.0)
    }

    /// The name of a chunk there. It is read and stored only if it is not there yet.
    fn chunk(&mut self, reader: &Reader, id: &ChunkId, bytes: u32) -> Result<ChunkId> {
        let expected = if self.same_ids { Some(*id) } else { self.names.get(id).copied() };
        if let Some(there) = expected.filter(|there| self.writer.knows(there)) {
            return Ok(there);
        }
        let plain = fetch_piece(reader, id, bytes)?;
        let there = self.writer.store(Class::Data, &plain)?;
        if !self.same_ids {
            self.names.insert(*id, there);
        }
        (self.between)()?;
        Ok(there)
    }
}

/// Content that is cut anew, each only once.
pub(in crate::ops) struct Cut<'a> {
    pub writer: &'a Writer,
    pub cutter: Cutter<'a>,
    /// What content became, by a hash of what it was.
    pub known: HashMap<[u8; 16], Content>,
    /// Called after each chunk.
    pub between: &'a mut dyn FnMut() -> Result<()>,
}

impl Cut<'_> {
    fn content(&mut self, reader: &Reader, entry: &Entry, monitor: &dyn Monitor) -> Result<Content> {
        if entry.content == Content::None {
            return Ok(Content::None);
        }
        let key = key(&entry.content);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let (mut input, between) = (ArchivedInput::open(reader, entry)?, &mut self.between);
        let holes = !matches!(&entry.content, Content::Inline(_)) && has_holes(reader, entry)?;
        let expected = (!holes).then_some(entry.size);
        let (content, size) = self.cutter.store(&mut input, expected, self.writer, &mut |_| {
            monitor.stop_if_asked("rewrite archive")?;
            (**between)()
        })?;
        if size != entry.size {
            return Err(Error::damaged("cut content", "not as long as the file says"));
        }
        if !matches!(content, Content::Inline(_)) {
            self.known.insert(key, content.clone());
        }
        Ok(content)
    }
}

fn has_holes(reader: &Reader, entry: &Entry) -> Result<bool> {
    for item in ContentReader::open(reader, &entry.content, entry.size)? {
        if matches!(item?, ContentItem::Hole { .. }) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What tells content apart from all other.
fn key(content: &Content) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    match content {
        Content::List(items) => items.iter().for_each(|item| match item {
            ContentItem::Chunk { id, bytes } => {
                hasher.update(id.as_bytes()).update(&u64::from(*bytes).to_le_bytes());
            }
            ContentItem::Hole { bytes } => {
                hasher.update(&[0; 32]).update(&bytes.to_le_bytes());
            }
        }),
        Content::Tree(tree) => {
            hasher.update(b"tree").update(tree.root.as_bytes());
        }
        Content::Inline(bytes) => {
            hasher.update(b"inline").update(bytes);
        }
        _ => {}
    }
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    key
}
