//! Directories of the file system as the right side of a comparison.

use std::sync::Mutex;

use super::Item;
use super::listing::{Found, Listing};
use crate::archive::attributes::AttributesRef;
use crate::archive::content::{Content, ContentItem, DirectoryRef};
use crate::archive::entry::Entry;
use crate::archive::metadata::FileType;
use crate::archive::record::ArchiveRecord;
use crate::archive::stat::StatRow;
use crate::chunker::{Buffer, ChunkStream, Chunker, ChunkerParams, Input, Piece};
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::attributes::AttributeOptions;
use crate::fs::source::{Names, SourceDirectory};
use crate::fs::stat::{MetadataOptions, Stat, metadata};
use crate::fs::users::Users;
use crate::repository::{ChunkSink as _, Namer, Repository};
use crate::segment::Class;

/// Cuts files as an archive did, and names what it cut.
pub(super) struct Cutter {
    chunker: Chunker,
    exact: bool,
    namer: Namer,
    buffer: Mutex<Buffer>,
}

impl Cutter {
    pub fn new(repository: &Repository, record: &ArchiveRecord) -> Result<Self> {
        let told = record.chunker.parse::<ChunkerParams>().ok();
        let chunker = Chunker::new(&told.unwrap_or_default(), repository.chunker_key()?);
        let (namer, buffer) = (repository.namer(), Mutex::default());
        Ok(Self { chunker, exact: told.is_some(), namer, buffer })
    }

    /// Whether it is known how the archive was cut.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// What names pieces.
    pub fn namer(&self) -> &Namer {
        &self.namer
    }

    fn pieces(&self, input: Box<dyn Input + '_>) -> Result<Vec<ContentItem>> {
        let mut buffer = self.buffer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut stream = ChunkStream::new(&self.chunker, Boxed(input), &mut buffer);
        let mut pieces = Vec::new();
        while let Some(piece) = stream.next()? {
            pieces.push(match piece {
                Piece::Hole(bytes) => ContentItem::Hole { bytes },
                Piece::Data(plain) => {
                    ContentItem::Chunk { id: self.namer.store(Class::Data, &plain)?, bytes: plain.len() as u32 }
                }
            });
        }
        Ok(pieces)
    }
}

struct Boxed<'a>(Box<dyn Input + 'a>);

impl Input for Boxed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<crate::chunker::Read> {
        self.0.read(buffer)
    }
}

/// A directory of the file system.
pub(super) struct Live<'a> {
    cutter: &'a Cutter,
    directory: SourceDirectory,
    names: Names,
    next: usize,
    /// The entry that was told last.
    last: Option<Stat>,
}

impl<'a> Live<'a> {
    pub fn open(directory: SourceDirectory, cutter: &'a Cutter) -> Result<Self> {
        let names = directory.names()?;
        Ok(Self { cutter, directory, names, next: 0, last: None })
    }

    fn item(&self, name: &[u8], stat: &Stat, file_type: FileType) -> Result<Item> {
        let attributes = self.directory.attributes(name, stat, AttributeOptions::default())?;
        let content = match file_type {
            FileType::Directory => Content::Directory(DirectoryRef::unknown()),
            FileType::Symlink => Content::Target(self.directory.read_link(name)?),
            FileType::BlockDevice | FileType::CharacterDevice => {
                Content::Device { major: stat.rdev.0, minor: stat.rdev.1 }
            }
            FileType::File | FileType::Fifo => Content::None,
        };
        let entry = Entry {
            name: name.to_vec(),
            file_type,
            metadata: metadata(stat, Users::system(), &MetadataOptions::default()),
            size: if file_type == FileType::File { stat.size } else { 0 },
            hard_link: None,
            attributes: AttributesRef::store(attributes, &self.cutter.namer)?,
            content,
            extensions: Extensions::none(),
        };
        Ok(Item { entry, row: Some(StatRow::File { inode: stat.inode, changed: stat.changed }) })
    }

    fn last(&self) -> Result<&Stat> {
        let missing = || Error::new(ErrorKind::System, "compare files").with("reason", "asked for no entry");
        self.last.as_ref().ok_or_else(missing)
    }
}

impl<'a> Listing<'a> for Live<'a> {
    fn next(&mut self) -> Option<Result<Found>> {
        loop {
            let name = self.names.get(self.next)?.to_vec();
            self.next += 1;
            let stat = match self.directory.stat(&name) {
                Ok(stat) => stat,
                // It went since the directory was read.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Some(Ok(Found { name, item: Err(error) })),
            };
            // What no archive has, such as sockets.
            let Some(file_type) = stat.file_type.stored() else { continue };
            let item = self.item(&name, &stat, file_type);
            self.last = Some(stat);
            return Some(Ok(Found { name, item }));
        }
    }

    fn enter(&self, directory: &Item) -> Result<Box<dyn Listing<'a> + 'a>> {
        let below = self.directory.open_directory(&directory.entry.name, self.last()?)?;
        Ok(Box::new(Self::open(below, self.cutter)?))
    }

    fn pieces(&self, file: &Item) -> Result<Vec<ContentItem>> {
        self.cutter.pieces(self.bytes(file)?)
    }

    fn bytes(&self, file: &Item) -> Result<Box<dyn Input + 'a>> {
        Ok(Box::new(self.directory.open_file(&file.entry.name, self.last()?)?))
    }

    fn is_surely(&self, file: &Item, archived: &Item) -> bool {
        // A file that could change without a new time has none in its archive.
        archived.changed().is_some_and(|changed| file.changed() == Some(changed))
            && file.entry.metadata.modified == archived.entry.metadata.modified
    }
}
