//! The tar format: members of an archive as a stream of bytes, and back.
//!
//! Written here and not taken from a library, because what is read may be hostile and what is written must lose
//! nothing: lengths are compared with bounds before anything is allocated, names and values are raw bytes,
//! sizes of PAX headers count for the content too, and sparse files keep their holes. Understood are ustar, GNU and
//! PAX with their extensions for long names, large numbers, fractions of seconds, extended attributes, access control
//! lists, and sparse files of all four kinds GNU tar has written.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};

mod header;
mod pax;
mod reader;
mod sparse;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::{Piece, TarReader};
pub use writer::{Format, TarWriter};

/// Bytes of a block; everything is a multiple of it.
pub const BLOCK_BYTES: usize = 512;
/// Bytes of a long name, of a target, of one PAX header, and of what is kept of all those of a member or of a stream.
const EXTENSION_BYTES_MAX: usize = 16 << 20;
/// Stretches of data of a sparse file.
const STRETCHES_MAX: usize = 1 << 20;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A further name of a member before it.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// Something else, by its letter: a label, a part of a multi-volume archive, what vendors invented.
    Other(u8),
}

/// Seconds since 1970 and nanoseconds after them.
pub type Time = (i64, u32);

/// A member: everything but its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path, raw bytes as they stand there: may be absolute, or lead anywhere.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner's number.
    pub uid: u64,
    /// Group's number.
    pub gid: u64,
    /// Owner's name; may be empty.
    pub user: Vec<u8>,
    /// Group's name; may be empty.
    pub group: Vec<u8>,
    /// Last modification.
    pub modified: Time,
    /// Last access, if it is known.
    pub accessed: Option<Time>,
    /// Creation, if it is known.
    pub born: Option<Time>,
    /// Bytes of content, holes included.
    pub size: u64,
    /// Where a link leads to.
    pub target: Vec<u8>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes by name.
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The access control list as text, if there is one.
    pub access_acl: Option<Vec<u8>>,
    /// The default access control list of a directory as text, if there is one.
    pub default_acl: Option<Vec<u8>>,
    /// Names of file flags, separated by commas; may be empty.
    pub flags: Vec<u8>,
    /// Where a sparse file has data, as start and length, ascending; `None` if everywhere.
    pub data: Option<Vec<(u64, u64)>>,
}

impl Member {
    /// A member of which nothing is known but its path and what it is.
    pub fn new(path: Vec<u8>, kind: Kind) -> Self {
        Self {
            path,
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            user: Vec::new(),
            group: Vec::new(),
            modified: (0, 0),
            accessed: None,
            born: None,
            size: 0,
            target: Vec::new(),
            device: (0, 0),
            attributes: BTreeMap::new(),
            access_acl: None,
            default_acl: None,
            flags: Vec::new(),
            data: None,
        }
    }
}

/// What is wrong with a stream that should be a tar archive.
fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, "read tar").with("reason", what)
}

/// Bytes that fill up a block.
fn padding(bytes: u64) -> usize {
    (BLOCK_BYTES as u64 - bytes % BLOCK_BYTES as u64) as usize % BLOCK_BYTES
}
