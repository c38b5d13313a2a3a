//! Publishing an archive: durable chunks, index fragment, pending, check, record, check.
//!
//! The order is the protocol's (steps B2 to B7): segments before the fragment that
//! names them, the pending with the complete root before the check, the record after
//! it, and the check once more before success is reported. A crash at any point
//! leaves garbage, never a dangling reference.

use super::salvage::Salvage;
use super::session::{complete_index, put_fragments};
use super::writer::{Ledger, Writer};
use super::{ChunkSink, ObjectName, Payload};
use crate::compress::Decompressor;
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::gc::{Damage, Look, Verdict};
use crate::id::{ArchiveId, PendingId, SegmentId};
use crate::index::{self, Fragment};
use crate::seal::Kind;

/// Asks for every chunk of the new tree; `NotFound` if one is not known.
pub type Resolve<'a> = dyn Fn(&Writer) -> Result<()> + 'a;

/// An archive that is to be published.
pub struct NewArchive<'a> {
    /// What it says of itself.
    pub record: &'a [u8],
    /// Called if the first pending has vanished meanwhile (a collector took this client for dead), or if segments are
    /// gone that this session relied on: it must ask for every chunk of the tree, and fail with `NotFound` if one is
    /// not known.
    pub resolve: &'a Resolve<'a>,
    /// The record of its removal, in case it has to be taken back.
    pub removal: &'a dyn Fn(&ArchiveId) -> Result<Vec<u8>>,
}

/// How often a check may find new losses before the session gives up.
const ROUNDS_MAX: usize = 16;

impl Writer {
    /// Step b1: puts the first pending, which names the base and stays until the end.
    pub fn announce(&self, pending: &[u8]) -> Result<()> {
        self.put_pending(&mut self.ledger(), pending)
    }

    /// Makes everything stored so far survive: fragments, a new pending, a check. The
    /// pending before the last is removed, but never the first.
    pub fn checkpoint(&self, pending: &[u8]) -> Result<()> {
        self.try_checkpoint(pending).inspect_err(|error| self.pipeline.shared().poison_after(error))
    }

    /// Takes back what [`Writer::announce`] and [`Writer::checkpoint`] said: nobody will go on with this archive.
    pub fn renounce(self) -> Result<()> {
        let pendings = std::mem::take(&mut self.ledger().pendings);
        self.drop_pendings(pendings)
    }

    /// Makes everything stored so far durable and names it in the index, for whoever makes no archive.
    pub(super) fn publish(&self) -> Result<()> {
        self.publish_index(&mut self.ledger())
    }

    fn try_checkpoint(&self, pending: &[u8]) -> Result<()> {
        let mut ledger = self.ledger();
        self.publish_index(&mut ledger)?;
        self.put_pending(&mut ledger, pending)?;
        self.validate(&mut ledger, None).map_err(|error| self.leave_overtaken(&mut ledger, error))?;
        if ledger.pendings.len() > 2 {
            let older = ledger.pendings.remove(1);
            self.drop_pendings([older])?;
        }
        Ok(())
    }

    /// Publishes an archive after the pending that holds its complete root.
    ///
    /// Fails with `Overtaken` if a collector deleted what this session relied on and did not copy it elsewhere: then
    /// everything is to be done again in a new session.
    ///
    /// `Ok` means that the archive is durable. The error that may come along is about tidying up afterwards.
    pub fn commit(self, pending: &[u8], archive: &NewArchive<'_>) -> Result<(ArchiveId, Option<Error>)> {
        let mut ledger = self.ledger();
        self.publish_index(&mut ledger)?;
        self.put_pending(&mut ledger, pending)?;
        let valid = self.validate(&mut ledger, Some(archive.resolve));
        valid.map_err(|error| self.leave_overtaken(&mut ledger, error))?;
        self.publish_archive(&mut ledger, archive)
    }

    /// As [`Writer::commit`], for an archive with the tree of its base, to the last node. The first pending names that
    /// tree, and while it is there nothing of it goes: nothing else is relied on, and there is nothing to check but that.
    pub fn commit_unchanged(self, archive: &NewArchive<'_>) -> Result<(ArchiveId, Option<Error>)> {
        let mut ledger = self.ledger();
        self.publish_index(&mut ledger)?;
        self.pipeline.shared().rely_on_nothing();
        ledger.unresolved = false;
        self.publish_archive(&mut ledger, archive)
    }

    /// Steps B6 and B7.
    fn publish_archive(&self, ledger: &mut Ledger, archive: &NewArchive<'_>) -> Result<(ArchiveId, Option<Error>)> {
        let sealed = self.office.sealer().seal(Kind::Archive, archive.record)?;
        let id = ArchiveId::from_bytes(sealed.id);
        let put = self.office.store.put(&ObjectName::of("archives", id), Payload::from(sealed.bytes));
        if let Err(error) = put.and_then(|()| self.confirm(ledger, archive.resolve)) {
            // Also when the put failed: it may have been carried out all the same.
            return Err(match self.take_back(&id, archive) {
                Ok(()) => self.leave_overtaken(ledger, error),
                Err(_) => error.with("archive not removed", id),
            });
        }
        // The archive is there to stay; nothing below may call it a failure.
        Ok((id, self.tidy_up(ledger).err()))
    }

    /// What was announced serves whoever begins again, and goes when that is done.
    fn leave_overtaken(&self, ledger: &mut Ledger, error: Error) -> Error {
        if error.kind() == ErrorKind::Overtaken {
            self.office.overtaken().append(&mut ledger.pendings);
        }
        error
    }

    /// Whoever saw the archive shall see that it was removed. If that can not be said, it goes all the same: it may lack
    /// something.
    fn take_back(&self, id: &ArchiveId, archive: &NewArchive<'_>) -> Result<()> {
        let removed = (archive.removal)(id).and_then(|removal| self.office.remove_archive(id, &removal));
        removed.or_else(|_| self.office.store.delete(&ObjectName::of("archives", id)))
    }

    /// Step B7, as far as it goes: a collector drops pendings whose archive exists, and the next client merges
    /// fragments that are too many.
    fn tidy_up(&self, ledger: &mut Ledger) -> Result<()> {
        let overtaken = std::mem::take(&mut *self.office.overtaken());
        self.drop_pendings(std::mem::take(&mut ledger.pendings).into_iter().chain(overtaken))?;
        self.forget_healed(ledger)?;
        self.merge_index(ledger)
    }

    /// Deletes the damage records whose chunks all have a good copy again, and whose segments are gone: as long as these
    /// exist, nothing else tells that their copies are no good.
    fn forget_healed(&self, ledger: &Ledger) -> Result<()> {
        let healed = |damage: &&Damage| {
            let index = self.index.read();
            let gone = |segment: &SegmentId| !ledger.look.exists(segment);
            damage.record.segments.iter().all(gone) && damage.record.chunks.keys().all(|chunk| index.contains(chunk))
        };
        self.delete_if_allowed(ledger.look.damage().iter().filter(healed).map(|damage| Damage::name(&damage.id)))
    }

    /// What happens between the archive record and success.
    fn confirm(&self, ledger: &mut Ledger, resolve: &Resolve<'_>) -> Result<()> {
        let (office, first) = (&self.office, ledger.pendings.first().copied());
        let is_kept = || first.map_or(Ok(true), |first| office.keeps_pending(&first));
        let ((), kept) = office.store.both(|| self.validate(ledger, Some(resolve)), is_kept)?;
        if kept {
            return Ok(());
        }
        self.resolve(ledger, resolve)?;
        self.validate(ledger, Some(resolve))
    }

    /// Step B5, with repair: chunks whose segments are doomed are copied while these still exist.
    ///
    /// A segment that is gone already is no loss if its chunks are elsewhere, because whoever deleted it copied what
    /// was needed of it. That shows when the tree is complete: before, with no `resolve`, it is put off.
    fn validate(&self, ledger: &mut Ledger, resolve: Option<&Resolve<'_>>) -> Result<()> {
        if let Some(resolve) = resolve
            && ledger.unresolved
        {
            self.resolve(ledger, resolve)?;
        }
        for _ in 0..ROUNDS_MAX {
            let relied = self.relied();
            // The tree is complete, so nothing will be relied on later either.
            if resolve.is_some() && relied.is_empty() {
                return Ok(());
            }
            let lost = match ledger.look.validate(&self.office.store, &self.office.sealer(), &relied)? {
                Verdict::Holds => return Ok(()),
                Verdict::HoldsWithout => {
                    self.withdraw_unusable(&ledger.look);
                    return Ok(());
                }
                Verdict::Lost(lost) => lost,
            };
            self.pipeline.shared().withdraw(&lost);
            for segment in &lost {
                ledger.unresolved |= !self.rescue(segment)?;
            }
            self.publish_index(ledger)?;
            if let Some(resolve) = resolve
                && ledger.unresolved
            {
                self.resolve(ledger, resolve)?;
            }
        }
        Err(Error::new(ErrorKind::Overtaken, "validate archive").with("reason", "segments keep vanishing"))
    }

    /// Makes sure that every chunk of the new tree is known; if not, with an index that is complete again.
    fn resolve(&self, ledger: &mut Ledger, resolve: &Resolve<'_>) -> Result<()> {
        let mut resolved = resolve(self);
        if resolved.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            complete_index(&self.office, &self.index)?;
            resolved = resolve(self);
        }
        resolved.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::new(ErrorKind::Overtaken, "validate archive").because(error),
            _ => error,
        })?;
        ledger.unresolved = false;
        Ok(())
    }

    /// Forgets what went since the last look, although nothing relied on it yet: after this look the epoch it is
    /// compared with would no longer tell.
    fn withdraw_unusable(&self, look: &Look) {
        let known: Vec<SegmentId> = self.index.read().segments().map(|segment| segment.id).collect();
        let unusable = known.into_iter().filter(|id| !look.usable(id)).collect();
        self.pipeline.shared().withdraw(&unusable);
    }

    /// Stores every chunk of a lost segment again that no other segment holds. Whether all of it could be read: it may be
    /// gone already, or damaged.
    fn rescue(&self, id: &SegmentId) -> Result<bool> {
        let salvage = Salvage { office: &self.office, index: &self.index };
        let mut unread = false;
        let read = salvage.read(id, &mut Decompressor::new(), &mut |class, _, chunk, plain| {
            match plain {
                Ok(plain) => self.store(class, plain).map(|_| ())?,
                Err(_) => unread |= !chunk.is_some_and(|chunk| self.index.read().contains(chunk)),
            }
            Ok(())
        });
        match read {
            Err(error) if is_finding(&error) && !self.is_poisoned() => Ok(false),
            done => done.map(|_| !unread),
        }
    }

    /// Step B2: everything durable, then the fragments that name it.
    fn publish_index(&self, ledger: &mut Ledger) -> Result<()> {
        self.flush()?;
        let segments = self.pipeline.shared().take_unindexed();
        if segments.is_empty() {
            return Ok(());
        }
        for (record, _) in &segments {
            ledger.look.add_own(record.id, record.bytes);
            ledger.own.insert(record.id);
        }
        let names = put_fragments(&self.office, Fragment::from_segments(0, &segments)?, false)?;
        ledger.own_fragments.extend(names.iter().map(|object| object.name.clone()));
        ledger.fragments.extend(names);
        Ok(())
    }

    /// Merges fragments when a level is full: the merged one is put before those it replaces go. Without the right to
    /// delete these it would only be a duplicate.
    fn merge_index(&self, ledger: &mut Ledger) -> Result<()> {
        if !self.office.store.capabilities().permissions.may_delete() {
            return Ok(());
        }
        while let Some((level, names)) = index::to_merge(&ledger.fragments) {
            match self.office.probe_delete() {
                Err(error) if is_not_now(&error) => return Ok(()),
                asked => asked?,
            }
            let merged = index::merge_stored(&self.office.store, &self.office.sealer(), level, &names)?;
            let Some(merged) = merged else { return Ok(()) };
            let new = put_fragments(&self.office, merged, false)?;
            for name in &names {
                match self.office.store.delete(name) {
                    // The merged one is a duplicate then; without the right to delete, merging more is in vain.
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
                    other => other?,
                }
            }
            ledger.fragments.retain(|object| !names.contains(&object.name));
            ledger.fragments.extend(new);
        }
        Ok(())
    }

    fn put_pending(&self, ledger: &mut Ledger, plain: &[u8]) -> Result<()> {
        ledger.pendings.push(self.office.put_pending(plain)?);
        Ok(())
    }

    /// A client that may not delete leaves its pendings; a collector drops them.
    fn drop_pendings(&self, ids: impl IntoIterator<Item = PendingId>) -> Result<()> {
        self.delete_if_allowed(ids.into_iter().map(|id| ObjectName::of("pending", id)))
    }

    fn delete_if_allowed(&self, names: impl IntoIterator<Item = ObjectName>) -> Result<()> {
        if !self.office.store.capabilities().permissions.may_delete() {
            return Ok(());
        }
        match self.office.store.delete_all(names) {
            Err(error) if !is_not_now(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether nothing can be deleted by this client, or at this time.
fn is_not_now(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::StoreMissing)
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
