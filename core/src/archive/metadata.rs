//! What is known of a file beside its name and content.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::limits::OWNER_NAME_BYTES_MAX;

use super::wire::{self, Reader};

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

impl Metadata {
    /// Of a directory of which no more is known than a time: it belongs to root, and everybody may look.
    pub fn of_directory(modified: Timestamp) -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, user: None, group: None, modified, born: None, accessed: None, flags: 0 }
    }

    /// Refuses a mode above 0o7777, a name above 512 bytes, a fraction of a second above one.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.mode > 0o7777 {
            return Err("mode has more than permission bits");
        }
        if [&self.user, &self.group].into_iter().flatten().any(|name| name.len() > OWNER_NAME_BYTES_MAX) {
            return Err("owner name too long");
        }
        let times = [Some(&self.modified), self.born.as_ref(), self.accessed.as_ref()];
        times.into_iter().flatten().try_for_each(Timestamp::check)
    }

    /// Appends an array of the fields.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        wire::put_array(out, 9);
        wire::put_uint(out, u64::from(self.mode));
        wire::put_uint(out, u64::from(self.uid));
        wire::put_uint(out, u64::from(self.gid));
        wire::put_optional_bytes(out, self.user.as_ref());
        wire::put_optional_bytes(out, self.group.as_ref());
        wire::put_time(out, &self.modified);
        wire::put_optional_time(out, self.born.as_ref());
        wire::put_optional_time(out, self.accessed.as_ref());
        wire::put_uint(out, u64::from(self.flags));
    }

    /// Reads what [`Metadata::put`] wrote; the caller checks it.
    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self> {
        reader.array_of(9)?;
        Ok(Self {
            mode: reader.u32()?,
            uid: reader.u32()?,
            gid: reader.u32()?,
            user: reader.optional_bytes()?,
            group: reader.optional_bytes()?,
            modified: reader.time()?,
            born: reader.optional_time()?,
            accessed: reader.optional_time()?,
            flags: reader.u32()?,
        })
    }
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
