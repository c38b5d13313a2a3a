//! Deletes a repository.

use crate::error::Result;
use crate::monitor::{Counters, Monitor};
use crate::repository::{ClosedRepository, ERASURE};

/// What lies in a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Objects, without keys and configuration.
    pub objects: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Archives, without those that were removed and are on their way out.
    pub archives: u64,
}

/// How much [`erase`] would delete.
pub fn extent(repository: &ClosedRepository) -> Result<Extent> {
    let mut extent = Extent::default();
    for namespace in ERASURE {
        let objects = repository.objects(namespace)?;
        extent.objects += objects.len() as u64;
        extent.bytes += objects.iter().map(|object| object.bytes).sum::<u64>();
        if namespace == ERASURE[0] {
            extent.archives = objects.len() as u64;
        }
    }
    Ok(extent)
}

/// Deletes everything that belongs to the repository; no key is needed. Other objects of the store stay.
///
/// What an interruption leaves is a repository with fewer archives, or with none, that can be erased again.
///
/// # Errors
/// `Interrupted`, `PermissionDenied` for a client that may not delete, and those of the store.
pub fn erase(repository: &ClosedRepository, monitor: &dyn Monitor) -> Result<()> {
    repository.object_store().capabilities().permissions.require_all("delete repository")?;
    sweep(repository, monitor)?;
    repository.erase_keys()?;
    // What somebody put while this went on.
    sweep(repository, monitor)?;
    repository.erase_identity()
}

fn sweep(repository: &ClosedRepository, monitor: &dyn Monitor) -> Result<()> {
    for namespace in ERASURE {
        for object in repository.objects(namespace)? {
            monitor.stop_if_asked("delete repository")?;
            repository.erase_object(&object)?;
            Counters::add(&monitor.counters().bytes, object.bytes);
        }
    }
    Ok(())
}
