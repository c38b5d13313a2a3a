//! What is known of a file beside its name and content.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::clock::Timestamp;

/// What an entry of a directory is. Stored as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum FileType {
    /// A regular file.
    File = 1,
    /// A directory.
    Directory = 2,
    /// A symbolic link.
    Symlink = 3,
    /// A block device.
    BlockDevice = 4,
    /// A character device.
    CharacterDevice = 5,
    /// A named pipe.
    Fifo = 6,
}

impl From<FileType> for u8 {
    fn from(value: FileType) -> Self {
        value as Self
    }
}

impl TryFrom<u8> for FileType {
    type Error = &'static str;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        Ok(match value {
            1 => Self::File,
            2 => Self::Directory,
            3 => Self::Symlink,
            4 => Self::BlockDevice,
            5 => Self::CharacterDevice,
            6 => Self::Fifo,
            _ => return Err("unknown file type"),
        })
    }
}

/// File flags as bits, the same on every platform.
pub mod flag {
    /// Can not be changed.
    pub const IMMUTABLE: u32 = 1;
    /// Can only be appended to.
    pub const APPEND: u32 = 2;
    /// Asks programs such as dump to leave it out.
    pub const NODUMP: u32 = 4;
    /// Compressed by the file system.
    pub const COMPRESSED: u32 = 8;
    /// All bits that have a meaning.
    pub const ALL: u32 = 15;
}

/// Mode, owner and times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Permission bits, including set-user-id, set-group-id and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Owner's name, raw bytes, if it has one.
    pub user: Option<ByteBuf>,
    /// Group's name, raw bytes, if it has one.
    pub group: Option<ByteBuf>,
    /// Last modification of the content.
    pub modified: Timestamp,
    /// Creation, where the file system knows it.
    pub born: Option<Timestamp>,
    /// Last access, only if asked for.
    pub accessed: Option<Timestamp>,
    /// Bits of [`flag`].
    pub flags: u32,
}

/// Extended attributes by name, raw bytes, ACLs among them
/// (`system.posix_acl_access`, `system.posix_acl_default`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(pub BTreeMap<ByteBuf, ByteBuf>);

impl Attributes {
    /// Bytes of all names and values.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}
