//! Single objects, for people who look into a repository. Nothing here writes.

use super::Repository;
use crate::backend::ObjectName;
use crate::error::Result;
use crate::id::{ChunkId, SegmentId};
use crate::index::Fragment;
use crate::limits::{INDEX_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::segment::{Class, Directory, SegmentRecord, open_directory};

impl Repository {
    /// Reads a segment and opens its directory.
    pub fn segment_directory(&self, id: &SegmentId) -> Result<(SegmentRecord, Directory)> {
        let bytes = self.office.store.get_bounded(&ObjectName::of("segments", id), SEGMENT_BYTES_MAX)?;
        open_directory(&self.office.sealer(), id, &bytes)
    }

    /// Reads and opens an index fragment.
    pub fn index_fragment(&self, name: &ObjectName) -> Result<Fragment> {
        let bytes = self.office.store.get_bounded(name, INDEX_BYTES_MAX)?;
        Fragment::open(&self.office.sealer(), name, &bytes)
    }

    /// The name a chunk with this content has here.
    pub fn chunk_id(&self, class: Class, plain: &[u8]) -> ChunkId {
        self.office.hasher.id(class.into(), plain)
    }
}
