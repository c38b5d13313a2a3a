//! What change detection remembers of the source, beside the archive's own tree.
//!
//! Inode numbers and change times differ between machines, file systems and even
//! boots, so they stay out of the directory nodes: equal directories stay
//! equal. They form a parallel tree, cut where the directory is cut, with one
//! row per entry. It is disposable: a restore never reads it, and when a node of
//! it is missing or damaged the files concerned are merely read again.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::ChunkId;

use super::wire::{self, Reader, damaged};

/// The root of a stat tree. Stored as an array of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatRef {
    /// The chunk of the root node, class tree.
    pub root: ChunkId,
    /// Levels above the leaves: that of the directory it belongs to.
    pub depth: u8,
}

/// What is remembered of one entry of a directory.
///
/// Stored as nothing; as `[1, inode, [seconds, nanoseconds]]`; or as `[2, chunk id, depth]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatRow {
    /// Nothing.
    #[default]
    None,
    /// Where a file was and when its inode last changed.
    File {
        /// Its inode number.
        inode: u64,
        /// Its change time (ctime).
        changed: Timestamp,
    },
    /// The stat tree of a directory.
    Directory(StatRef),
}

/// A node of a stat tree, as its parent names it. Stored as `[chunk id, rows]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatChild {
    /// The chunk, class tree.
    pub id: ChunkId,
    /// Rows below it: as many as the directory's node has entries.
    pub rows: u64,
}

impl StatRow {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => wire::put_nil(out),
            Self::File { inode, changed } => {
                wire::put_array(out, 3);
                wire::put_uint(out, 1);
                wire::put_uint(out, *inode);
                wire::put_time(out, changed);
            }
            Self::Directory(stat) => {
                wire::put_array(out, 3);
                wire::put_uint(out, 2);
                wire::put_chunk(out, &stat.root);
                wire::put_uint(out, u64::from(stat.depth));
            }
        }
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self> {
        if reader.nil() {
            return Ok(Self::None);
        }
        reader.array_of(3)?;
        match reader.u8()? {
            1 => Ok(Self::File { inode: reader.uint()?, changed: reader.time()? }),
            2 => Ok(Self::Directory(StatRef { root: reader.chunk()?, depth: reader.u8()? })),
            _ => Err(damaged("unknown kind of stat row")),
        }
    }
}

impl StatChild {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        wire::put_array(out, 2);
        wire::put_chunk(out, &self.id);
        wire::put_uint(out, self.rows);
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self> {
        reader.array_of(2)?;
        Ok(Self { id: reader.chunk()?, rows: reader.uint()? })
    }
}
