//! Names of chunks that nobody stores.

use std::sync::Arc;

use super::{ChunkSink, Office, Repository};
use crate::error::Result;
use crate::id::ChunkId;
use crate::segment::Class;

/// Tells which name a chunk has, or would have.
#[derive(Clone)]
pub struct Namer(Arc<Office>);

impl Repository {
    /// A sink that stores nothing: it only names chunks.
    pub fn namer(&self) -> Namer {
        Namer(Arc::clone(&self.office))
    }
}

impl ChunkSink for Namer {
    fn store(&self, class: Class, plain: &[u8]) -> Result<ChunkId> {
        Ok(self.0.hasher.id(class.into(), plain))
    }
}

impl std::fmt::Debug for Namer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Namer")
    }
}
