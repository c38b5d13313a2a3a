//! Removes archives. Their data stays until `compact` gives its room back.

use crate::archive::catalog::Archive;
use crate::archive::record::ArchiveRecord;
use crate::archive::removal::RemovalRecord;
use crate::clock::Clock;
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ArchiveId;
use crate::repository::Repository;

/// The tag that keeps an archive from being deleted and pruned.
pub const PROTECTED: &str = "@PROT";

/// Who removes archives, and why; kept with the removal.
#[derive(Clone, Debug, Default)]
pub struct Remover {
    /// The machine.
    pub host: String,
    /// The user.
    pub user: String,
    /// The command or the rule.
    pub reason: String,
}

/// Whether an archive is kept from being deleted and pruned.
pub fn is_protected(record: &ArchiveRecord) -> bool {
    record.tags.contains(PROTECTED)
}

/// Removes archives, one after the other. Nothing is removed if one of them is protected.
///
/// # Errors
/// `InvalidInput` for a protected archive, `PermissionDenied` with the fact `permissions` for a client that may not
/// delete: nothing is removed then. What was removed before another error stays removed.
pub fn delete(repository: &Repository, archives: &[&Archive], remover: &Remover, clock: &dyn Clock) -> Result<()> {
    repository.permissions().require_all("delete archive")?;
    if let Some(archive) = archives.iter().find(|archive| is_protected(&archive.record)) {
        return Err(Error::new(ErrorKind::InvalidInput, "delete archive")
            .with("reason", "it is protected by the tag @PROT")
            .with("archive", &archive.record.name)
            .with("id", archive.id));
    }
    repository.probe_delete()?;
    archives.iter().try_for_each(|archive| remove(repository, &archive.id, Some(&archive.record), remover, clock))
}

/// Removes one archive, protected or not; `record` is what it says of itself, if that can be read.
pub fn remove(
    repository: &Repository,
    id: &ArchiveId,
    record: Option<&ArchiveRecord>,
    remover: &Remover,
    clock: &dyn Clock,
) -> Result<()> {
    repository.remove_archive(id, &removal(id, record, remover, clock).encode()?)
}

/// What is kept of an archive that is removed now.
pub(super) fn removal(
    id: &ArchiveId,
    record: Option<&ArchiveRecord>,
    remover: &Remover,
    clock: &dyn Clock,
) -> RemovalRecord {
    RemovalRecord {
        archive: *id,
        record: record.cloned(),
        time: clock.now(),
        host: remover.host.clone(),
        user: remover.user.clone(),
        reason: remover.reason.clone(),
        extensions: Extensions::none(),
    }
}
