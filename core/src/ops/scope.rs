//! Where an archive would have anything that was there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::create::archived_path;
use crate::archive::record::ArchiveRecord;

/// The paths an archive was made of.
pub(super) struct Scope {
    /// Archived paths; `None` if they are not all known.
    paths: Option<Vec<Vec<u8>>>,
    /// Whether each of them is there without what is below it.
    listed: bool,
}

impl Scope {
    pub fn of(record: &ArchiveRecord) -> Self {
        let known = !record.paths.is_empty() && record.paths.iter().all(|path| !path.is_empty());
        let archived = |path: &serde_bytes::ByteBuf| archived_path(Path::new(OsStr::from_bytes(path)));
        let paths = known.then(|| record.paths.iter().map(archived).collect());
        Self { paths, listed: record.is_listed() }
    }

    /// Whether the paths are known, and that what is below them was archived, too.
    pub fn is_certain(&self) -> bool {
        self.paths.is_some() && !self.listed
    }

    /// Whether the archive would have what is at `path`.
    pub fn has(&self, path: &[u8]) -> bool {
        let below = |above: &Vec<u8>| {
            if self.listed {
                return above == path;
            }
            above.is_empty() || path.strip_prefix(above.as_slice()).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
        };
        match &self.paths {
            Some(paths) => paths.iter().any(below),
            // Of the top directory nobody knows whether all of it was asked for.
            None => !self.listed && path.contains(&b'/'),
        }
    }
}
