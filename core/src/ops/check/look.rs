//! One look at a repository, and whether it still holds.

use std::collections::BTreeSet;

use crate::archive::catalog::{Archive, Catalog};
use crate::archive::record::PendingRecord;
use crate::error::Result;
use crate::id::ArchiveId;
use crate::repository::{Repository, Session};
use crate::seal::Kind;

/// The archives there are, and then what is stored: so the index has whatever those need that are not removed.
pub(super) struct Look {
    pub catalog: Catalog,
    /// Archives whose clients have not reported them yet, or died before: these may lack something.
    pub unfinished: BTreeSet<ArchiveId>,
    pub session: Session,
    /// Whether unfinished archives were told apart.
    careful: bool,
}

impl Look {
    /// Looks; at archives only if they are to be checked.
    pub fn take(repository: &Repository, archives: bool) -> Result<Self> {
        let catalog = if archives { Catalog::load(repository)? } else { Catalog::default() };
        Ok(Self { catalog, unfinished: BTreeSet::new(), session: repository.session_of_everything()?, careful: false })
    }

    /// Looks, and tells unfinished archives apart. A client that was not done when its archive was listed, and is when
    /// its pendings are, was so before the index is read: then everything is there.
    pub fn take_carefully(repository: &Repository) -> Result<Self> {
        let catalog = Catalog::load(repository)?;
        let pendings = PendingRecord::read_whole(repository)?;
        let open = |archive: &&Archive| pendings.iter().any(|pending| is_about(pending, archive));
        let unfinished = catalog.archives.iter().filter(open).map(|archive| archive.id).collect();
        Ok(Self { unfinished, session: repository.session_of_everything()?, catalog, careful: true })
    }

    /// Whether what is missing in it is missing: nobody is about to finish an archive, and nobody has made or removed
    /// one since, or changed the index, or collected.
    pub fn is_certain(&self, repository: &Repository) -> Result<bool> {
        let finished = self.careful || repository.record_ids(Kind::Pending)?.is_empty();
        Ok(finished && !self.has_moved(repository)?)
    }

    /// Whether somebody has made or removed an archive since, or changed the index, or collected.
    pub fn has_moved(&self, repository: &Repository) -> Result<bool> {
        let now = repository.archive_names()?;
        let archives_moved = now.live != self.catalog.ids() || now.removed != self.catalog.removed;
        Ok(archives_moved || self.session.has_moved()?)
    }
}

/// Whether a pending is of the run that made this archive: it has its record, or its start and its base.
fn is_about(pending: &PendingRecord, archive: &Archive) -> bool {
    let record = &archive.record;
    let base = pending.base.and_then(|base| base.archive);
    pending.record.as_ref() == Some(record) || (pending.started == record.start && base == record.base)
}
