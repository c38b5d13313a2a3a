//! What is in an entry: bytes, a list of chunks, a directory, a target.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::id::ChunkId;
use crate::limits::{
    CHUNK_BYTES_MAX, INLINE_CONTENT_BYTES_MAX, INLINE_CONTENT_ITEMS_MAX, LINK_TARGET_BYTES_MAX, NODE_DEPTH_MAX,
};

use super::metadata::FileType;
use super::wire::{self, Reader, damaged};

/// What is in an entry. Stored as nothing, or as an array of a number (given below) and the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Nothing: an empty file, a named pipe.
    #[default]
    None,
    /// 1: the bytes of a small file, 1 to 512.
    Inline(Vec<u8>),
    /// 2: the pieces of a file in order, 1 to 16.
    List(Vec<ContentItem>),
    /// 3: the pieces of a file in order, more than 16.
    Tree(ContentTree),
    /// 4: the entries of a directory.
    Directory(DirectoryRef),
    /// 5: where a symbolic link points to: 1 to 4096 raw bytes, no NUL.
    Target(Vec<u8>),
    /// 6: the numbers of a device.
    Device {
        /// The driver.
        major: u32,
        /// The device of this driver.
        minor: u32,
    },
}

/// A piece of a file. Stored as an array of a number (given below) and the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentItem {
    /// 1: a chunk of class data.
    Chunk {
        /// Its name.
        id: ChunkId,
        /// Its plaintext bytes: 1 to 16 MiB.
        bytes: u32,
    },
    /// 2: bytes that read as zero and take no room.
    Hole {
        /// How many: at least 1.
        bytes: u64,
    },
}

/// The root of a long content list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentTree {
    /// The chunk of the root node, class tree.
    pub root: ChunkId,
    /// Levels above the leaves: 0 if the root is a leaf.
    pub depth: u8,
    /// Items in all leaves.
    pub items: u64,
}

/// The root of a directory. Stored as an array of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryRef {
    /// The chunk of the root node, class tree.
    pub root: ChunkId,
    /// Levels above the leaves: 0 if the root is a leaf.
    pub depth: u8,
    /// Entries of this directory alone.
    pub entries: u64,
    /// Regular files in the whole subtree.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
}

impl DirectoryRef {
    /// Stands in an entry for a directory whose content is not known, or not yet.
    pub(crate) fn unknown() -> Self {
        Self { root: ChunkId::from_bytes([0; 32]), depth: 0, entries: 0, files: 0, bytes: 0 }
    }
}

/// A node of a content list, as its parent names it. Stored as an array of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentChild {
    /// The chunk, class tree.
    pub id: ChunkId,
    /// Items below it: at least 1.
    pub items: u64,
    /// Bytes of these items.
    pub bytes: u64,
}

impl Content {
    /// Whether a `file_type` of `size` bytes can have this content.
    pub(super) fn check(&self, file_type: FileType, size: u64) -> Result<(), &'static str> {
        let sizes_agree = match (file_type, self) {
            (FileType::File, Self::None) | (FileType::Fifo, Self::None) => size == 0,
            (FileType::File, Self::Inline(bytes)) => {
                (1..=INLINE_CONTENT_BYTES_MAX).contains(&bytes.len()) && bytes.len() as u64 == size
            }
            (FileType::File, Self::List(items)) => {
                (1..=INLINE_CONTENT_ITEMS_MAX).contains(&items.len()) && sum_of(items) == Some(size)
            }
            (FileType::File, Self::Tree(tree)) => {
                check_depth(tree.depth)?;
                tree.items > INLINE_CONTENT_ITEMS_MAX as u64 && tree.items <= size
            }
            (FileType::Directory, Self::Directory(directory)) => {
                directory.check()?;
                size == 0
            }
            (FileType::Symlink, Self::Target(target)) => {
                (1..=LINK_TARGET_BYTES_MAX).contains(&target.len()) && !target.contains(&0) && size == 0
            }
            (FileType::BlockDevice | FileType::CharacterDevice, Self::Device { .. }) => size == 0,
            _ => return Err("content of another type of file"),
        };
        if sizes_agree { Ok(()) } else { Err("content does not fit the size") }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let head = |out: &mut Vec<u8>, number: u64, fields: usize| {
            wire::put_array(out, 1 + fields);
            wire::put_uint(out, number);
        };
        match self {
            Self::None => wire::put_nil(out),
            Self::Inline(bytes) => {
                head(out, 1, 1);
                wire::put_bytes(out, bytes);
            }
            Self::List(items) => {
                head(out, 2, 1);
                wire::put_array(out, items.len());
                items.iter().for_each(|item| item.put(out));
            }
            Self::Tree(tree) => {
                head(out, 3, 3);
                wire::put_chunk(out, &tree.root);
                wire::put_uint(out, u64::from(tree.depth));
                wire::put_uint(out, tree.items);
            }
            Self::Directory(directory) => {
                head(out, 4, 1);
                directory.put(out);
            }
            Self::Target(target) => {
                head(out, 5, 1);
                wire::put_bytes(out, target);
            }
            Self::Device { major, minor } => {
                head(out, 6, 2);
                wire::put_uint(out, u64::from(*major));
                wire::put_uint(out, u64::from(*minor));
            }
        }
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self> {
        if reader.nil() {
            return Ok(Self::None);
        }
        let fields = reader.array(4)?;
        let (content, expected) = match reader.u8()? {
            1 => (Self::Inline(reader.bytes()?.to_vec()), 2),
            2 => {
                let count = reader.array(INLINE_CONTENT_ITEMS_MAX)?;
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    items.push(ContentItem::take(reader)?);
                }
                (Self::List(items), 2)
            }
            3 => {
                let tree = ContentTree { root: reader.chunk()?, depth: reader.u8()?, items: reader.uint()? };
                (Self::Tree(tree), 4)
            }
            4 => (Self::Directory(DirectoryRef::take(reader)?), 2),
            5 => (Self::Target(reader.bytes()?.to_vec()), 2),
            6 => (Self::Device { major: reader.u32()?, minor: reader.u32()? }, 3),
            _ => return Err(damaged("unknown kind of content")),
        };
        if fields == expected { Ok(content) } else { Err(damaged("wrong number of elements")) }
    }
}

impl ContentItem {
    /// Bytes of the file it stands for.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Chunk { bytes, .. } => u64::from(*bytes),
            Self::Hole { bytes } => *bytes,
        }
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Chunk { bytes, .. } if *bytes as usize > CHUNK_BYTES_MAX => Err("chunk too long"),
            _ if self.bytes() == 0 => Err("empty piece of content"),
            _ => Ok(()),
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Chunk { id, bytes } => {
                wire::put_array(out, 3);
                wire::put_uint(out, 1);
                wire::put_chunk(out, id);
                wire::put_uint(out, u64::from(*bytes));
            }
            Self::Hole { bytes } => {
                wire::put_array(out, 2);
                wire::put_uint(out, 2);
                wire::put_uint(out, *bytes);
            }
        }
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self> {
        let fields = reader.array(3)?;
        let item = match (reader.u8()?, fields) {
            (1, 3) => Self::Chunk { id: reader.chunk()?, bytes: reader.u32()? },
            (2, 2) => Self::Hole { bytes: reader.uint()? },
            _ => return Err(damaged("unknown piece of content")),
        };
        item.check().map_err(damaged)?;
        Ok(item)
    }
}

impl DirectoryRef {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        check_depth(self.depth)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        wire::put_array(out, 5);
        wire::put_chunk(out, &self.root);
        wire::put_uint(out, u64::from(self.depth));
        wire::put_uint(out, self.entries);
        wire::put_uint(out, self.files);
        wire::put_uint(out, self.bytes);
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self> {
        reader.array_of(5)?;
        Ok(Self {
            root: reader.chunk()?,
            depth: reader.u8()?,
            entries: reader.uint()?,
            files: reader.uint()?,
            bytes: reader.uint()?,
        })
    }
}

impl ContentChild {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        wire::put_array(out, 3);
        wire::put_chunk(out, &self.id);
        wire::put_uint(out, self.items);
        wire::put_uint(out, self.bytes);
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self> {
        reader.array_of(3)?;
        let child = Self { id: reader.chunk()?, items: reader.uint()?, bytes: reader.uint()? };
        if child.items == 0 || child.items > child.bytes {
            return Err(damaged("items do not fit their bytes"));
        }
        Ok(child)
    }
}

/// Bytes of all `items`; `None` if one is bad or the sum has no room in 64 bits.
fn sum_of(items: &[ContentItem]) -> Option<u64> {
    items.iter().try_fold(0u64, |sum, item| item.check().ok().and_then(|()| sum.checked_add(item.bytes())))
}

/// Refuses trees of more levels than the format has.
pub(super) fn check_depth(depth: u8) -> Result<(), &'static str> {
    if usize::from(depth) < NODE_DEPTH_MAX { Ok(()) } else { Err("too many levels of nodes") }
}
