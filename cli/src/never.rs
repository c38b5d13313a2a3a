//! What a backup never reads, by device and inode.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Result;

use crate::context::Context;

/// The repository, as far as it is on this machine, and what this program keeps for itself: a backup of the cache would
/// grow with every backup, and memories that are brought back are those of another time.
pub fn archived(context: &Context) -> Result<HashSet<(u64, u64)>> {
    let location = context.location()?;
    let own = context.directories().ok().map(|found| [found.cache, found.data]);
    Ok(location.local_paths().into_iter().chain(own.iter().flatten().map(AsRef::as_ref)).filter_map(identity).collect())
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
