//! The end of every run that makes an archive.

use super::delete::{Remover, removal};
use super::resolve::resolve;
use crate::archive::record::ArchiveRecord;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::ArchiveId;
use crate::repository::{NewArchive, Writer};

/// Publishes an archive whose tree `writer` has stored, or found, after the pending that holds its complete record;
/// without one it has the tree of its base, to the last node. One that has to be taken back is removed as archives are,
/// so that nobody who saw it misses it.
///
/// The error that may come along is about tidying up: the archive is there to stay.
pub(super) fn publish(
    writer: Writer,
    complete: Option<Vec<u8>>,
    record: &ArchiveRecord,
    clock: &dyn Clock,
) -> Result<(ArchiveId, Option<Error>)> {
    let remover = Remover {
        host: record.host.clone(),
        user: record.user.clone(),
        reason: "it was not done when its client failed".to_owned(),
    };
    let archive = NewArchive {
        record: &record.encode()?,
        resolve: &|writer| resolve(writer, &record.root),
        removal: &|id| removal(id, Some(record), &remover, clock).encode(),
    };
    match complete {
        Some(pending) => writer.commit(&pending, &archive),
        None => writer.commit_unchanged(&archive),
    }
}
