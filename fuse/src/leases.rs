//! Keeps what is looked at from being collected: one lease per archive, taken when somebody first looks into it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gabion_core::archive::catalog::Archive;
use gabion_core::clock::Clock;
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::id::ArchiveId;
use gabion_core::monitor::{Event, Monitor, Warning};
use gabion_core::ops::hold::Hold;
use gabion_core::repository::Repository;

/// The leases of a mount.
pub(crate) struct Leases {
    repository: Repository,
    clock: Arc<dyn Clock>,
    monitor: Arc<dyn Monitor>,
    /// `None` where the store does not let us.
    taken: Mutex<BTreeMap<ArchiveId, Option<Hold>>>,
}

impl Leases {
    /// None yet.
    pub fn new(repository: Repository, clock: Arc<dyn Clock>, monitor: Arc<dyn Monitor>) -> Self {
        Self { repository, clock, monitor, taken: Mutex::default() }
    }

    /// Makes sure that the archive is leased. A store that is read-only is read without.
    pub fn take(&self, archive: &Archive) -> Result<()> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.contains_key(&archive.id) {
            return Ok(());
        }
        let lease = match Hold::take(&self.repository, archive, &*self.clock) {
            Ok(lease) => Some(lease),
            Err(error) if may_go_without(&error) => None,
            Err(error) => return Err(error),
        };
        taken.insert(archive.id, lease);
        Ok(())
    }

    /// Renews all of them. What fails is told, and tried again the next time.
    pub fn renew(&self) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for lease in taken.values().flatten() {
            if let Err(error) = lease.renew(&*self.clock) {
                self.complain(&error);
            }
        }
    }

    /// Gives all of them up.
    pub fn release(&self) {
        let taken = std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        for lease in taken.into_values().flatten() {
            if let Err(error) = lease.release() {
                self.complain(&error);
            }
        }
    }

    fn complain(&self, error: &Error) {
        self.monitor.event(&Event::Warning { warning: Warning::Repository, path: b"", error });
    }
}

/// Without room, too: an archive can be read from a full store.
fn may_go_without(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::NoSpace)
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leases")
    }
}
