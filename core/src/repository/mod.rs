//! The office: opening a repository, and sessions that read and write it.

use bytes::Bytes;

use crate::error::Result;
use crate::id::ChunkId;
use crate::segment::Class;

/// Where plaintext chunks go: the one door through which every byte is stored.
pub trait ChunkSink {
    /// Stores a chunk unless it is known, and names it. Not durable before the session commits.
    fn store(&self, class: Class, plain: &[u8]) -> Result<ChunkId>;
}

/// Where plaintext chunks come from.
pub trait ChunkSource {
    /// Reads a chunk and checks it against its name.
    fn fetch(&self, class: Class, id: &ChunkId) -> Result<Bytes>;
}
