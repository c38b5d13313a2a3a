//! The entries of a directory, wherever it lies.

use super::Item;
use crate::archive::content::{Content, ContentItem};
use crate::archive::content_tree::ContentReader;
use crate::archive::record::ArchiveRecord;
use crate::archive::stat::StatRow;
use crate::archive::tree::DirectoryReader;
use crate::chunker::Input;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::archived_input::ArchivedInput;
use crate::repository::{ChunkSink as _, Namer, Reader};
use crate::segment::Class;

/// A name, and what it is, if that can be told.
pub(super) struct Found {
    pub name: Vec<u8>,
    pub item: Result<Item>,
}

/// A directory that is read in order of names.
pub(super) trait Listing<'a> {
    /// The next entry. After an error nothing more is asked.
    fn next(&mut self) -> Option<Result<Found>>;
    /// The entries of a directory that [`Listing::next`] told last.
    fn enter(&self, directory: &Item) -> Result<Box<dyn Listing<'a> + 'a>>;
    /// The pieces of a regular file that [`Listing::next`] told last, content of any kind as chunks and holes.
    fn pieces(&self, file: &Item) -> Result<Vec<ContentItem>>;
    /// Its bytes.
    fn bytes(&self, file: &Item) -> Result<Box<dyn Input + 'a>>;
    /// Whether a file has the content that `archived` had, as far as can be told without reading it.
    fn is_surely(&self, _file: &Item, _archived: &Item) -> bool {
        false
    }
}

/// No directory.
pub(super) struct Nothing;

fn nothing<T>() -> Result<T> {
    Err(Error::new(ErrorKind::System, "compare archives").with("reason", "asked for an entry of nothing"))
}

impl<'a> Listing<'a> for Nothing {
    fn next(&mut self) -> Option<Result<Found>> {
        None
    }

    fn enter(&self, _: &Item) -> Result<Box<dyn Listing<'a> + 'a>> {
        nothing()
    }

    fn pieces(&self, _: &Item) -> Result<Vec<ContentItem>> {
        nothing()
    }

    fn bytes(&self, _: &Item) -> Result<Box<dyn Input + 'a>> {
        nothing()
    }
}

/// A directory of an archive.
pub(super) struct Archived<'a> {
    reader: &'a Reader,
    namer: &'a Namer,
    entries: DirectoryReader<'a>,
}

impl<'a> Archived<'a> {
    /// The top directory.
    pub fn of(reader: &'a Reader, namer: &'a Namer, record: &ArchiveRecord) -> Self {
        let entries = DirectoryReader::open(reader, &record.root, record.stat_root.as_ref());
        Self { reader, namer, entries }
    }
}

impl<'a> Listing<'a> for Archived<'a> {
    fn next(&mut self) -> Option<Result<Found>> {
        let next = self.entries.next()?;
        Some(next.map(|(entry, row)| Found { name: entry.name.clone(), item: Ok(Item { entry, row }) }))
    }

    fn enter(&self, directory: &Item) -> Result<Box<dyn Listing<'a> + 'a>> {
        let Content::Directory(below) = &directory.entry.content else { return nothing() };
        let stat = match &directory.row {
            Some(StatRow::Directory(stat)) => Some(stat),
            _ => None,
        };
        let entries = DirectoryReader::open(self.reader, below, stat);
        Ok(Box::new(Self { reader: self.reader, namer: self.namer, entries }))
    }

    fn pieces(&self, file: &Item) -> Result<Vec<ContentItem>> {
        match &file.entry.content {
            Content::Inline(bytes) => {
                let id = self.namer.store(Class::Data, bytes)?;
                Ok(vec![ContentItem::Chunk { id, bytes: bytes.len() as u32 }])
            }
            content => ContentReader::open(self.reader, content, file.entry.size)?.collect(),
        }
    }

    fn bytes(&self, file: &Item) -> Result<Box<dyn Input + 'a>> {
        Ok(Box::new(ArchivedInput::open(self.reader, &file.entry)?))
    }
}
