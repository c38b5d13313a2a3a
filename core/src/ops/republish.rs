//! Publishes an archive whose tree is stored already: renamed, tagged, or brought back.
//!
//! The steps are those of `create` without anything to store: the first pending protects the tree before anybody
//! asks whether it is still there.

use super::delete::{Remover, remove};
use super::publish;
use super::resolve::resolve;
use crate::archive::catalog::{Archive, is_live};
use crate::archive::history::History;
use crate::archive::record::{ArchiveRecord, BaseRef, PendingRecord};
use crate::archive::removal::RemovalRecord;
use crate::clock::Clock;
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ArchiveId;
use crate::monitor::{Event, Monitor, Warning};
use crate::repository::{Repository, WriterOptions};

/// Replaces a live archive by one that differs in its record only, and returns that. The old one is removed last.
///
/// # Errors
/// `ArchiveNotFound` if the old archive is removed meanwhile, `PermissionDenied` with the fact `permissions` for a client
/// that may not delete.
pub fn replace(
    repository: &Repository,
    old: &Archive,
    record: &ArchiveRecord,
    remover: &Remover,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Archive> {
    repository.permissions().require_all("replace archive")?;
    repository.probe_delete()?;
    let new = publish(repository, Some(&old.id), record, clock, monitor)?;
    remove(repository, &old.id, Some(&old.record), remover, clock)?;
    Ok(new)
}

/// Makes a second archive of the tree of a live one. The old one stays.
///
/// # Errors
/// `ArchiveNotFound` if the old archive is removed meanwhile.
pub fn copy(
    repository: &Repository,
    old: &Archive,
    record: &ArchiveRecord,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Archive> {
    publish(repository, Some(&old.id), record, clock, monitor)
}

/// Brings a removed archive back, under a new id.
///
/// # Errors
/// `NotFound` with the fact `chunk` if a part of it is gone already, `Damaged` if nothing is known of it.
pub fn restore(
    repository: &Repository,
    removal: &RemovalRecord,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Archive> {
    let record = removal.record.as_ref().ok_or_else(|| {
        Error::damaged("undelete archive", "its record could not be read when it was removed")
            .with("archive", removal.archive)
    })?;
    publish(repository, None, record, clock, monitor)
}

/// Puts an archive back whose record is known and whose tree may be stored, under a new id.
///
/// # Errors
/// `NotFound` with the fact `chunk` if a part of it is gone.
pub(super) fn republish(
    repository: &Repository,
    record: &ArchiveRecord,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Archive> {
    publish(repository, None, record, clock, monitor)
}

/// Steps B0 to B7 for a tree that is stored. With `live` the tree is that of a live archive; without, every chunk
/// is looked up.
fn publish(
    repository: &Repository,
    live: Option<&ArchiveId>,
    record: &ArchiveRecord,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Archive> {
    let options = WriterOptions { workers: 0, ..WriterOptions::default() };
    let writer = repository.session()?.into_writer(&options)?;
    let base = BaseRef { archive: live.copied(), root: record.root, stat_root: record.stat_root };
    let pending = |record: Option<ArchiveRecord>| PendingRecord {
        started: clock.now(),
        base: Some(base),
        complete: record.is_some(),
        record,
        extensions: Extensions::none(),
    };
    writer.announce(&pending(None).encode()?)?;
    let there = match live {
        Some(archive) if !is_live(repository, archive)? => {
            Err(Error::new(ErrorKind::ArchiveNotFound, "replace archive").with("archive", archive))
        }
        Some(_) => Ok(()),
        None => resolve(&writer, &record.root)
            .map_err(|error| error.with("reason", "a part of the archive is not in the repository any more")),
    };
    if let Err(error) = there {
        writer.renounce()?;
        return Err(error);
    }
    let history = History::of(repository);
    let record = ArchiveRecord { client: history.next_mark(monitor), ..record.clone() };
    let complete = pending(Some(record.clone())).encode()?;
    let (id, untidy) = publish::publish(writer, Some(complete), &record, clock)?;
    history.made(id);
    if let Some(error) = untidy {
        monitor.event(&Event::Warning { warning: Warning::Repository, path: b"", error: &error });
    }
    Ok(Archive { id, record })
}
