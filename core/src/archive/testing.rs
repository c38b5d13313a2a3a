//! Chunks in memory, and entries to fill trees with.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ChunkId;
use crate::repository::{ChunkSink, ChunkSource};
use crate::segment::Class;

use super::attributes::AttributesRef;
use super::content::{Content, ContentItem, DirectoryRef};
use super::cut::CutKey;
use super::entry::Entry;
use super::metadata::{FileType, Metadata};
use super::stat::StatRow;

/// A sink and source that keeps all chunks.
#[derive(Default)]
pub(super) struct MemoryChunks(RefCell<BTreeMap<ChunkId, Bytes>>);

impl MemoryChunks {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// All chunks, by name.
    pub(super) fn all(&self) -> BTreeMap<ChunkId, Bytes> {
        self.0.borrow().clone()
    }

    pub(super) fn remove(&self, id: &ChunkId) {
        self.0.borrow_mut().remove(id).unwrap();
    }

    /// Puts other bytes under a name, as a store that lies would.
    pub(super) fn replace(&self, id: &ChunkId, plain: &[u8]) {
        self.0.borrow_mut().insert(*id, Bytes::copy_from_slice(plain));
    }
}

impl ChunkSink for MemoryChunks {
    fn store(&self, class: Class, plain: &[u8]) -> Result<ChunkId> {
        assert_eq!(class, Class::Tree);
        let id = ChunkId::from_bytes(*blake3::hash(plain).as_bytes());
        self.0.borrow_mut().insert(id, Bytes::copy_from_slice(plain));
        Ok(id)
    }
}

impl ChunkSource for MemoryChunks {
    fn fetch(&self, class: Class, id: &ChunkId) -> Result<Bytes> {
        assert_eq!(class, Class::Tree);
        let missing = || Error::new(ErrorKind::NotFound, "get chunk").with("chunk", id);
        self.0.borrow().get(id).cloned().ok_or_else(missing)
    }
}

pub(super) fn key() -> CutKey {
    CutKey::new([42; 32])
}

pub(super) fn metadata() -> Metadata {
    Metadata {
        mode: 0o644,
        uid: 1000,
        gid: 100,
        user: Some(b"joe".to_vec().into()),
        group: Some(b"users".to_vec().into()),
        modified: Timestamp::new(1_700_000_000, 123_456_789),
        born: Some(Timestamp::new(-1, 5)),
        accessed: None,
        flags: 0,
    }
}

pub(super) fn chunk_id(number: u64) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn entry(name: &[u8], file_type: FileType, size: u64, content: Content) -> Entry {
    Entry {
        name: name.to_vec(),
        file_type,
        metadata: metadata(),
        size,
        hard_link: None,
        attributes: AttributesRef::None,
        content,
        extensions: Extensions::none(),
    }
}

/// A file of one chunk.
pub(super) fn file_entry(name: &[u8], bytes: u32) -> Entry {
    let content = Content::List(vec![ContentItem::Chunk { id: chunk_id(u64::from(bytes)), bytes }]);
    entry(name, FileType::File, u64::from(bytes), content)
}

/// A directory that was never stored.
pub(super) fn directory_entry(name: &[u8], number: u64) -> Entry {
    stored_directory(name, DirectoryRef { root: chunk_id(number), depth: 0, entries: 1, files: 1, bytes: 9 })
}

/// A directory.
pub(super) fn stored_directory(name: &[u8], directory: DirectoryRef) -> Entry {
    entry(name, FileType::Directory, 0, Content::Directory(directory))
}

/// One of each other type.
pub(super) fn special_entries() -> Vec<Entry> {
    vec![
        entry(b"s-block", FileType::BlockDevice, 0, Content::Device { major: 8, minor: 1 }),
        entry(b"s-char", FileType::CharacterDevice, 0, Content::Device { major: 1, minor: 259 }),
        entry(b"s-fifo", FileType::Fifo, 0, Content::None),
        entry(b"s-link", FileType::Symlink, 0, Content::Target(b"../elsewhere".to_vec())),
        entry(b"t-empty", FileType::File, 0, Content::None),
        entry(b"t-inline", FileType::File, 5, Content::Inline(b"hello".to_vec())),
    ]
}

pub(super) fn stat_row(inode: u64) -> StatRow {
    StatRow::File { inode, changed: Timestamp::new(1_700_000_001, 7) }
}
