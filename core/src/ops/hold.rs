//! Keeps an archive readable for whoever reads it for long, such as a mount.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::archive::catalog::{Archive, is_live};
use crate::archive::record::{BaseRef, PendingRecord};
use crate::clock::Clock;
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::id::PendingId;
use crate::repository::Repository;

/// How many seconds after it was taken or renewed a hold should be renewed: long before a collector takes its
/// client for dead.
pub const RENEW_SECONDS: u64 = 24 * 60 * 60;

/// An archive that no collector takes anything from. To be given back by [`Hold::release`]; one that is dropped
/// instead is given up by collectors after some weeks.
#[derive(Debug)]
pub struct Hold {
    repository: Repository,
    base: BaseRef,
    pendings: Mutex<VecDeque<PendingId>>,
}

impl Hold {
    /// Announces the archive as needed, and then makes sure that it is still live. From then on whatever it consists
    /// of can be read, although not from where it was: a collector may copy it.
    ///
    /// # Errors
    /// `ArchiveNotFound` if it was removed; `PermissionDenied` if the store is read-only, and `Unsupported` if the
    /// repository has a feature that forbids to write: it can be read all the same, as long as nobody compacts.
    pub fn take(repository: &Repository, archive: &Archive, clock: &dyn Clock) -> Result<Self> {
        let base =
            BaseRef { archive: Some(archive.id), root: archive.record.root, stat_root: archive.record.stat_root };
        let hold = Self { repository: repository.clone(), base, pendings: Mutex::default() };
        hold.renew(clock)?;
        if is_live(repository, &archive.id)? {
            return Ok(hold);
        }
        hold.release()?;
        Err(Error::new(ErrorKind::ArchiveNotFound, "hold archive").with("archive", archive.id))
    }

    /// Announces the archive anew. The announcement before stays until the next time: a list is no snapshot, and of
    /// two that replace each other it may show neither.
    pub fn renew(&self, clock: &dyn Clock) -> Result<()> {
        let pending = PendingRecord {
            started: clock.now(),
            base: Some(self.base),
            record: None,
            complete: false,
            extensions: Extensions::none(),
        };
        let id = self.repository.put_hold(&pending.encode()?)?;
        let mut pendings = self.pendings.lock().unwrap_or_else(PoisonError::into_inner);
        pendings.push_back(id);
        let older = if pendings.len() > 2 { pendings.pop_front() } else { None };
        older.map_or(Ok(()), |older| self.repository.drop_pendings(&[older]))
    }

    /// Gives the archive up. In a store that may not be deleted from, its announcements stay until a collector drops
    /// them.
    pub fn release(self) -> Result<()> {
        let pendings = self.pendings.into_inner().unwrap_or_else(PoisonError::into_inner);
        match self.repository.drop_pendings(&Vec::from(pendings)) {
            Err(error) if error.kind() != ErrorKind::PermissionDenied => Err(error),
            _ => Ok(()),
        }
    }
}
