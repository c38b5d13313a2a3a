//! One name of a directory and everything that is known of it.
//!
//! An entry says nothing about where it lay: no inode number, no device, no change
//! time, so that equal trees are equal whatever machine they were read on. What
//! comes from a store is checked as a whole: an entry that was decoded is
//! consistent, and its name can not lead out of its directory.

use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{ENTRY_BYTES_MAX, NAME_BYTES_MAX};

use super::attributes::AttributesRef;
use super::content::Content;
use super::metadata::{FileType, Metadata};
use super::wire::{self, Reader, damaged, invalid};

/// One name of a directory. Stored as an array of its fields, at most 8 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file name: 1 to 1024 raw bytes, no `/`, no NUL, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// What it is.
    pub file_type: FileType,
    /// Mode, owner and times.
    pub metadata: Metadata,
    /// Bytes of a regular file, holes included; 0 for everything else.
    pub size: u64,
    /// The same number for all names of one file, if it has more than one. Every name carries the whole content.
    pub hard_link: Option<u64>,
    /// Extended attributes.
    pub attributes: AttributesRef,
    /// What is in it.
    pub content: Content,
    /// Additions of later versions.
    pub extensions: Extensions,
}

impl Entry {
    /// Refuses what can not be stored, as `InvalidInput`.
    pub fn check(&self) -> Result<()> {
        self.consistent().map_err(|what| invalid(what).with("name", self.name.escape_ascii()))
    }

    fn consistent(&self) -> Result<(), &'static str> {
        check_name(&self.name)?;
        self.metadata.check()?;
        self.attributes.check()?;
        if self.hard_link.is_some() && self.file_type == FileType::Directory {
            return Err("a directory with several names");
        }
        self.content.check(self.file_type, self.size)
    }

    /// Appends the entry to `out`; nothing is appended on failure.
    pub(super) fn put(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let put = self.put_unbounded(out).and_then(|()| match out.len() - start {
            0..=ENTRY_BYTES_MAX => Ok(()),
            bytes => Err(Error::new(ErrorKind::LimitExceeded, "encode node").with("bytes", bytes)),
        });
        put.map_err(|error| {
            out.truncate(start);
            error.with("name", self.name.escape_ascii())
        })
    }

    fn put_unbounded(&self, out: &mut Vec<u8>) -> Result<()> {
        self.consistent().map_err(invalid)?;
        wire::put_array(out, 8);
        wire::put_bytes(out, &self.name);
        wire::put_uint(out, u64::from(u8::from(self.file_type)));
        self.metadata.put(out);
        wire::put_uint(out, self.size);
        match self.hard_link {
            Some(number) => wire::put_uint(out, number),
            None => wire::put_nil(out),
        }
        self.attributes.put(out)?;
        self.content.put(out);
        wire::put_extensions(out, &self.extensions)
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self> {
        let start = reader.remaining();
        reader.array_of(8)?;
        let entry = Self {
            name: reader.bytes()?.to_vec(),
            file_type: FileType::try_from(reader.u8()?).map_err(damaged)?,
            metadata: Metadata::take(reader)?,
            size: reader.uint()?,
            hard_link: if reader.nil() { None } else { Some(reader.uint()?) },
            attributes: AttributesRef::take(reader)?,
            content: Content::take(reader)?,
            extensions: reader.extensions()?,
        };
        if start - reader.remaining() > ENTRY_BYTES_MAX {
            return Err(damaged("entry too long"));
        }
        entry.consistent().map_err(damaged)?;
        Ok(entry)
    }
}

pub(super) fn check_name(name: &[u8]) -> Result<(), &'static str> {
    match name {
        b"" | b"." | b".." => Err("bad file name"),
        _ if name.len() > NAME_BYTES_MAX => Err("file name too long"),
        _ if name.iter().any(|byte| matches!(byte, 0 | b'/')) => Err("bad file name"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::content::{ContentItem, DirectoryRef};
    use crate::archive::testing::{directory_entry, file_entry};
    use crate::clock::Timestamp;
    use crate::id::ChunkId;

    fn refused(change: impl FnOnce(&mut Entry)) -> String {
        let mut entry = file_entry(b"name", 1);
        entry.check().unwrap();
        change(&mut entry);
        let mut out = vec![1];
        let error = entry.put(&mut out).unwrap_err();
        assert_eq!(out, [1], "nothing of a refused entry is written");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.context("reason").unwrap_or_default().to_owned()
    }

    #[test]
    fn names_stay_in_their_directory() {
        for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0"] {
            assert_eq!(refused(|entry| entry.name = name.to_vec()), "bad file name");
        }
        assert_eq!(refused(|entry| entry.name = vec![b'a'; NAME_BYTES_MAX + 1]), "file name too long");
        for name in [&b"..."[..], b"-rf", b"\xff\xfe", b"a\nb"] {
            check_name(name).unwrap();
        }
    }

    #[test]
    fn type_and_content_belong_together() {
        let id = ChunkId::from_bytes([1; 32]);
        let directory = DirectoryRef { root: id, depth: 0, entries: 0, files: 0, bytes: 0 };
        let chunk = |bytes| Content::List(vec![ContentItem::Chunk { id, bytes }]);
        let wrong = [
            (FileType::File, 1, Content::None),
            (FileType::File, 4, Content::Directory(directory)),
            (FileType::File, 3, chunk(4)),
            (FileType::File, 0, chunk(0)),
            (FileType::File, 513, Content::Inline(vec![0; 513])),
            (FileType::File, 0, Content::Inline(vec![])),
            (FileType::Directory, 0, Content::None),
            (FileType::Directory, 1, Content::Directory(directory)),
            (FileType::Symlink, 0, Content::Inline(vec![0])),
            (FileType::Symlink, 0, Content::Target(vec![])),
            (FileType::Fifo, 0, Content::Device { major: 1, minor: 2 }),
            (FileType::BlockDevice, 0, Content::None),
        ];
        for (file_type, size, content) in wrong {
            refused(|entry| (entry.file_type, entry.size, entry.content) = (file_type, size, content));
        }
    }

    #[test]
    fn metadata_has_bounds() {
        refused(|entry| entry.metadata.mode = 0o10000);
        refused(|entry| entry.metadata.modified = Timestamp::new(0, 1_000_000_000));
        refused(|entry| entry.metadata.user = Some(vec![b'u'; 513].into()));
        let mut entry = directory_entry(b"d", 1);
        entry.hard_link = Some(1);
        assert_eq!(entry.check().unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn entries_that_are_too_long_are_neither_written_nor_read() {
        let mut entry = file_entry(b"name", 1);
        let value = serde_bytes::ByteBuf::from(vec![0; ENTRY_BYTES_MAX - 10]);
        let map = std::collections::BTreeMap::from([(2u16, value)]);
        entry.extensions = rmp_serde::from_slice(&rmp_serde::to_vec(&map).unwrap()).unwrap();
        assert_eq!(entry.put(&mut Vec::new()).unwrap_err().kind(), ErrorKind::LimitExceeded);
        let mut out = Vec::new();
        entry.put_unbounded(&mut out).unwrap();
        assert_eq!(Entry::take(&mut Reader::new(&out)).unwrap_err().context("reason"), Some("entry too long"));
    }
}
