//! From an item of Borg to an entry of an archive.

use super::memo::Memo;
use super::warn;
use crate::archive::assembly::Assembly;
use crate::archive::attributes::AttributesRef;
use crate::archive::content::Content;
use crate::archive::cut::CutKey;
use crate::archive::entry::Entry;
use crate::archive::metadata::{Attributes, FileType, Metadata, flag};
use crate::archive::record::Statistics;
use crate::borg1::{Borg1Chunk, Borg1Item, Borg1Repository};
use crate::chunker::{Chunker, Input, Read};
use crate::clock::Timestamp;
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::monitor::{Counters, Event, FileStatus, Monitor};
use crate::ops::create::{ContentReader, is_whole};
use crate::repository::{Reader, Writer};

/// One archive on its way.
pub(super) struct Import<'a> {
    source: &'a Borg1Repository,
    writer: &'a Writer,
    reader: Reader,
    monitor: &'a dyn Monitor,
    memo: &'a mut Memo,
    content: ContentReader<'a>,
    link_key: [u8; 32],
    assembly: Assembly,
    statistics: Statistics,
}

impl<'a> Import<'a> {
    pub fn new(
        source: &'a Borg1Repository,
        writer: &'a Writer,
        monitor: &'a dyn Monitor,
        memo: &'a mut Memo,
        (chunker, cut_key): (&'a Chunker, &'a CutKey),
        link_key: [u8; 32],
    ) -> Self {
        let (assembly, statistics) = Default::default();
        let content = ContentReader::new(chunker, cut_key);
        Self { source, writer, reader: writer.reader(), monitor, memo, content, link_key, assembly, statistics }
    }

    /// Takes an item over. What is wrong with the item alone is told and counted.
    pub fn take(&mut self, item: Result<Borg1Item>) -> Result<()> {
        let item = match item {
            Ok(item) if item.is_part => return Ok(()),
            Ok(item) => item,
            Err(error) => return self.fail(b"", error),
        };
        for lost in &item.lost {
            let error = Error::new(ErrorKind::Unsupported, "import item").with("not taken over", lost);
            warn(self.monitor, &item.path, &error);
        }
        match self.try_take(&item) {
            Ok(status) => {
                self.monitor.event(&Event::File { status, path: &item.path });
                Ok(())
            }
            Err(error) => self.fail(&item.path, error),
        }
    }

    /// The tree, and how much is in it.
    pub fn finish(self) -> (Assembly, Statistics) {
        (self.assembly, self.statistics)
    }

    fn fail(&mut self, path: &[u8], error: Error) -> Result<()> {
        if self.writer.is_poisoned() || error.kind() == ErrorKind::Interrupted {
            return Err(error);
        }
        self.statistics.errors += 1;
        warn(self.monitor, path, &error);
        if !path.is_empty() {
            self.monitor.event(&Event::File { status: FileStatus::Error, path });
        }
        Ok(())
    }

    fn try_take(&mut self, item: &Borg1Item) -> Result<FileStatus> {
        let attributes = AttributesRef::store(Attributes(item.attributes.clone()), self.writer)?;
        let metadata = metadata(item);
        let (file_type, mut status) = file_type(item.mode)?;
        if file_type == FileType::Directory {
            self.assembly.put_directory(&item.path, metadata, attributes)?;
            return Ok(status);
        }
        let (content, size, hard_link) = match (file_type, &item.source) {
            (FileType::Symlink, Some(target)) => (Content::Target(target.clone()), 0, None),
            (FileType::Symlink, None) => return Err(refused("symbolic link without a target")),
            (_, Some(first)) => {
                status = FileStatus::HardLink;
                self.further_name(first, file_type)?
            }
            (FileType::File, None) => {
                let (content, size) = self.store(item)?;
                (content, size, self.first_name(item))
            }
            (FileType::Fifo, None) => (Content::None, 0, self.first_name(item)),
            (_, None) => (device(item)?, 0, self.first_name(item)),
        };
        if file_type == FileType::File {
            self.statistics.files += 1;
            self.statistics.bytes += size;
            Counters::add(&self.monitor.counters().files, 1);
        }
        let extensions = Extensions::none();
        let entry = Entry { name: Vec::new(), file_type, metadata, size, hard_link, attributes, content, extensions };
        self.assembly.put(&item.path, entry)?;
        Ok(status)
    }

    /// What the first name of a file has, for a further one.
    fn further_name(&mut self, first: &[u8], file_type: FileType) -> Result<(Content, u64, Option<u64>)> {
        let mut entry = self.assembly.get(first).filter(|entry| entry.file_type == file_type).ok_or_else(|| {
            refused("the first name of this file is missing").with("first name", first.escape_ascii())
        })?;
        let (content, size) = (entry.content.clone(), entry.size);
        let number = self.link_number(first);
        if entry.hard_link.replace(number).is_none() {
            self.assembly.put(first, entry)?;
        }
        Ok((content, size, Some(number)))
    }

    fn first_name(&self, item: &Borg1Item) -> Option<u64> {
        item.is_first_name.then(|| self.link_number(&item.path))
    }

    /// The same number for all names of a file: a keyed hash of its first.
    fn link_number(&self, first: &[u8]) -> u64 {
        let mut number = [0; 8];
        blake3::Hasher::new_keyed(&self.link_key).update(first).finalize_xof().fill(&mut number);
        u64::from_le_bytes(number)
    }

    /// Stores the content of a regular file.
    fn store(&mut self, item: &Borg1Item) -> Result<(Content, u64)> {
        let chunks = intact(item, self.source);
        if let Some(stored) = self.memo.get(chunks).filter(|(content, size)| self.is_stored(content, *size)) {
            Counters::add(&self.monitor.counters().bytes, stored.1);
            return Ok(stored);
        }
        let size = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
        let mut input = ChunksInput { source: self.source, chunks: chunks.iter(), plain: Vec::new(), used: 0 };
        let counters = self.monitor.counters();
        let (content, stored) = self.content.store(&mut input, Some(size), self.writer, &mut |bytes| {
            Counters::add(&counters.bytes, bytes);
            Ok(())
        })?;
        self.memo.put(chunks, &content, stored);
        Ok((content, stored))
    }

    fn is_stored(&self, content: &Content, size: u64) -> bool {
        let entry = Entry {
            name: b"-".to_vec(),
            file_type: FileType::File,
            metadata: Metadata::of_directory(Timestamp::new(0, 0)),
            size,
            hard_link: None,
            attributes: AttributesRef::None,
            content: content.clone(),
            extensions: Extensions::none(),
        };
        is_whole(&entry, &self.reader, self.writer)
    }
}

/// The chunks to read: those the file had before a repair replaced missing ones, if they are there again.
fn intact<'a>(item: &'a Borg1Item, source: &Borg1Repository) -> &'a [Borg1Chunk] {
    match &item.healthy {
        Some(healthy) if healthy.iter().all(|chunk| source.holds(&chunk.id)) => healthy,
        _ => &item.chunks,
    }
}

fn metadata(item: &Borg1Item) -> Metadata {
    let name = |name: &Option<Vec<u8>>| name.clone().filter(|name| !name.is_empty()).map(Into::into);
    Metadata {
        mode: item.mode & 0o7777,
        uid: item.uid,
        gid: item.gid,
        user: name(&item.user),
        group: name(&item.group),
        modified: item.modified,
        born: item.born,
        accessed: item.accessed,
        flags: flags(item.flags),
    }
}

/// `UF_NODUMP`, `UF_IMMUTABLE`, `UF_APPEND`, `UF_COMPRESSED` and what only root may set of them.
fn flags(bsd: u64) -> u32 {
    let table = [
        (0x1, flag::NODUMP),
        (0x2 | 0x2_0000, flag::IMMUTABLE),
        (0x4 | 0x4_0000, flag::APPEND),
        (0x20, flag::COMPRESSED),
    ];
    table.iter().filter(|(bits, _)| bsd & bits != 0).fold(0, |flags, (_, flag)| flags | flag)
}

fn file_type(mode: u32) -> Result<(FileType, FileStatus)> {
    Ok(match mode & 0o170_000 {
        0o100_000 => (FileType::File, FileStatus::Added),
        0o040_000 => (FileType::Directory, FileStatus::Directory),
        0o120_000 => (FileType::Symlink, FileStatus::Symlink),
        0o060_000 => (FileType::BlockDevice, FileStatus::BlockDevice),
        0o020_000 => (FileType::CharacterDevice, FileStatus::CharacterDevice),
        0o010_000 => (FileType::Fifo, FileStatus::Fifo),
        _ => return Err(refused("unknown type of file").with("mode", format_args!("{mode:o}"))),
    })
}

/// The numbers of a device as Linux packs them into 64 bits.
fn device(item: &Borg1Item) -> Result<Content> {
    let packed = item.device.ok_or_else(|| refused("device without its numbers"))?;
    let major = ((packed >> 8) & 0xfff) | ((packed >> 32) & 0xffff_f000);
    let minor = (packed & 0xff) | ((packed >> 12) & 0xffff_ff00);
    Ok(Content::Device { major: major as u32, minor: minor as u32 })
}

fn refused(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, "import item").with("reason", reason)
}

/// Content of a file of the old repository, chunk after chunk.
struct ChunksInput<'a> {
    source: &'a Borg1Repository,
    chunks: std::slice::Iter<'a, Borg1Chunk>,
    plain: Vec<u8>,
    used: usize,
}

impl Input for ChunksInput<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        while self.used == self.plain.len() {
            let Some(chunk) = self.chunks.next() else { return Ok(Read::End) };
            self.plain = self.source.chunk(chunk)?;
            self.used = 0;
        }
        let rest = &self.plain[self.used..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.used += count;
        Ok(Read::Data(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_linux() {
        assert_eq!(flags(0), 0);
        assert_eq!(flags(1 | 2 | 4 | 0x20), flag::ALL);
        assert_eq!(flags(0x2_0000), flag::IMMUTABLE);
        assert_eq!(flags(0x8000), 0);
    }
}
