//! Segments: one stored object with many frames, and its directory.

mod directory;
mod format;
mod reader;
mod writer;

use serde::{Deserialize, Serialize};

use crate::crypto::id_hash::IdSpace;
use crate::id::SegmentId;

pub use directory::{ChunkEntry, Directory, Frame};
pub use reader::{FrameOpener, FrameScratch, open_directory, read_chunks, salvage_directory, verify};
pub use writer::{FinishedSegment, SegmentBuilder};

/// Bytes of a segment's header (and of every sealed object's header).
pub const HEADER_BYTES: usize = 72;

/// What a chunk is made of. Data and trees never share a segment, an id key or an object key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Class {
    /// File content.
    Data = 1,
    /// Nodes of directories, content lists, attributes.
    Tree = 2,
}

impl From<Class> for u8 {
    fn from(value: Class) -> Self {
        value as Self
    }
}

impl From<Class> for IdSpace {
    fn from(class: Class) -> Self {
        match class {
            Class::Data => Self::Data,
            Class::Tree => Self::Tree,
        }
    }
}

impl TryFrom<u8> for Class {
    type Error = &'static str;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        match value {
            1 => Ok(Self::Data),
            2 => Ok(Self::Tree),
            _ => Err("unknown class"),
        }
    }
}

/// What an index keeps of a segment beside its [`Directory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRecord {
    /// Its name.
    pub id: SegmentId,
    /// What its chunks are made of.
    pub class: Class,
    /// Stored bytes of the whole object.
    pub bytes: u64,
    /// The BLAKE3 hash its tail states.
    pub content_hash: [u8; 32],
    /// Its first bytes: magic, version, class, suite, flags, salt, key commitment.
    pub header: [u8; HEADER_BYTES],
}

#[cfg(test)]
mod tests;
