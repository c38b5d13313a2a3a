//! What a backup never reads, and a restore never deletes, by device and inode.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Result;

use crate::context::Context;

/// The repositories, as far as they are on this machine, and what this program keeps for itself: a backup of the cache would
/// grow with every backup, and memories that are brought back are those of another time.
pub fn archived(contexts: &[&Context]) -> Result<HashSet<(u64, u64)>> {
    let mut never = HashSet::new();
    for context in contexts {
        let location = context.location()?;
        let own = context.directories().ok().map(|found| [found.cache, found.data]);
        let paths = location.local_paths().into_iter().chain(own.iter().flatten().map(AsRef::as_ref));
        never.extend(paths.filter_map(identity));
    }
    Ok(never)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
