//! The steps of a repair, in the order in which they are safe.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::other::copy_missing;
use super::plan::says;
use super::{Plan, RepairOptions};
use crate::backend::ObjectName;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::gc::{LostChunk, damage_records};
use crate::id::{ChunkId, PendingId, SegmentId};
use crate::monitor::{Counters, Event, Monitor, Warning};
use crate::ops::compact::{CompactOptions, carry_out, missed};
use crate::ops::delete::{Remover, remove};
use crate::ops::lease::wait_for_leases;
use crate::ops::republish::republish;
use crate::ops::unread::pass_over;
use crate::repository::{Collector, Named, Repository};
use crate::seal::Kind;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Chunks that were copied from another repository.
    pub copied: usize,
    /// Chunks that are lost all the same, and recorded.
    pub lost: usize,
    /// Spoilt segments that were replaced by what could be read of them.
    pub replaced: usize,
    /// Spoilt segments that stay, because no copy of them could be kept.
    pub kept: usize,
    /// Archives that were found and put back.
    pub archives: usize,
    /// Other objects that were damaged or needless, and are in quarantine.
    pub discarded: usize,
}

/// Carries out a plan. `other` is another repository to copy missing chunks from.
///
/// # Errors
/// `Damaged` if a doom does not open and `no_collector` is not said: nobody knows which segments a collector is about
/// to delete. `Locked` if a segment has to go and somebody holds a lease. What was done before an error stays done, and a
/// repair that is begun again goes on.
pub fn repair(
    repository: &Repository,
    plan: &Plan,
    options: &RepairOptions,
    other: Option<&Repository>,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Repaired> {
    repository.permissions().require_all("repair")?;
    if !plan.spoilt.is_empty() {
        // Nothing is stored again for what could not go then.
        wait_for_leases(repository, Duration::ZERO, clock, monitor)?;
    }
    repository.probe_delete()?;
    repository.probe_store(&|| clock.wait(repository.list_staleness()))?;
    plan.configs.iter().try_for_each(|name| repository.restore_config(name))?;
    let mut done = Repaired::default();
    if options.no_collector {
        done.discarded += discard(repository, &still_damaged(repository, &plan.dooms)?, monitor)?;
    }
    let collector = repository.collector(&options.writer)?;
    let run = Run { repository, collector: &collector, plan, options, clock, monitor };
    // From here on nothing is looked up where it can not be read.
    plan.lost.iter().for_each(|chunk| collector.spoil(chunk));
    let victims = run.evacuate(&mut done)?;
    collector.publish()?;
    run.copy_missing(other, &mut done)?;
    // Before anything goes that shows what is lost.
    done.lost = run.record()?;
    // Those that still do not open: what they said is named again now.
    done.discarded += discard(repository, collector.damaged_fragments(), monitor)?;
    run.retire(&victims, &mut done)?;
    run.records(&mut done)?;
    for record in &plan.archives {
        match republish(repository, record, clock, monitor) {
            Ok(_) => done.archives += 1,
            Err(error) => tell(monitor, error)?,
        }
    }
    repository.refill_reserves()?;
    Ok(done)
}

struct Run<'a> {
    repository: &'a Repository,
    collector: &'a Collector,
    plan: &'a Plan,
    options: &'a RepairOptions,
    clock: &'a dyn Clock,
    monitor: &'a dyn Monitor,
}

impl Run<'_> {
    /// Stores what another repository has of the lost chunks.
    fn copy_missing(&self, other: Option<&Repository>, done: &mut Repaired) -> Result<()> {
        let Some(other) = other else { return Ok(()) };
        let mut lost: BTreeMap<ChunkId, LostChunk> = self.missed()?;
        done.copied = copy_missing(self.repository, self.collector, other, &self.plan.hurt, &mut lost, self.monitor)?;
        self.collector.publish()
    }

    /// What is lost now, after what could be read was stored again.
    fn missed(&self) -> Result<BTreeMap<ChunkId, LostChunk>> {
        let missed = missed(self.repository, self.collector, self.clock, self.monitor)?;
        Ok(missed.into_iter().map(|chunk| (chunk.id, chunk)).collect())
    }

    /// Records what is lost and was not recorded before. Returns how many chunks are lost.
    fn record(&self) -> Result<usize> {
        let lost = self.missed()?;
        let recorded = |chunk: &&LostChunk| self.collector.damage().iter().any(|damage| says(damage, chunk));
        let new: Vec<LostChunk> = lost.values().filter(|chunk| !recorded(chunk)).cloned().collect();
        self.collector.record_damage(damage_records(self.clock.now(), &new, &self.plan.hurt))?;
        Ok(lost.len())
    }

    /// Keeps a copy of each spoilt segment and stores again what can be read of it. Returns those that may go.
    fn evacuate(&self, done: &mut Repaired) -> Result<BTreeSet<SegmentId>> {
        for id in &self.plan.doomed {
            // The collector shall not delete it before there is a copy; that is all.
            self.repository
                .quarantine(&ObjectName::of("segments", id))
                .map(|_| ())
                .or_else(|error| tell(self.monitor, error))?;
        }
        let spoilt = self.still_spoilt()?;
        // All of them, or what one holds would be taken for stored because another one is said to hold it.
        self.collector.withdraw(&spoilt);
        let mut victims = BTreeSet::new();
        for id in &spoilt {
            self.monitor.stop_if_asked("repair")?;
            match self.collector.salvage(id) {
                Err(error) if !is_finding(&error) => return Err(error),
                _ => {}
            }
            match self.repository.quarantine(&ObjectName::of("segments", id)) {
                Ok(_) => drop(victims.insert(*id)),
                Err(error) => {
                    done.kept += 1;
                    tell(self.monitor, error)?;
                }
            }
        }
        Ok(victims)
    }

    /// The spoilt segments that are when they are read once more.
    fn still_spoilt(&self) -> Result<BTreeSet<SegmentId>> {
        let mut spoilt = BTreeSet::new();
        for id in self.plan.spoilt.keys() {
            self.monitor.stop_if_asked("repair")?;
            match self.collector.verify_segment(id) {
                // A store that mends itself, or a cable that failed once.
                Ok(state) if state.wrong.is_none() && state.spoilt.is_empty() => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if !is_finding(&error) => return Err(error),
                _ => drop(spoilt.insert(*id)),
            }
        }
        Ok(spoilt)
    }

    /// Lets segments go as a collector does, and makes the index forget what is gone.
    fn retire(&self, victims: &BTreeSet<SegmentId>, done: &mut Repaired) -> Result<()> {
        if !victims.is_empty() {
            let quiet = Quiet(self.monitor);
            let accepts = |_: &str| true;
            // Nothing goes but what was stored again: no archive needs to be known for that.
            let writer = self.options.writer.clone();
            let options = CompactOptions { writer, accept_lost: true, ..CompactOptions::default() };
            let (deleted, stuck) = carry_out(
                self.repository,
                self.collector,
                victims,
                self.collector.own_segments(),
                &accepts,
                &options,
                self.clock,
                &quiet,
            )?;
            done.replaced = deleted.len();
            done.kept += stuck.len();
        } else if !self.plan.gone.is_empty() {
            let lag = self.repository.list_staleness();
            self.collector.rewrite_index(&BTreeSet::new(), &|| self.clock.wait(lag))?;
        }
        Ok(())
    }

    /// The small things.
    fn records(&self, done: &mut Repaired) -> Result<()> {
        for (name, archive) in &self.plan.removals {
            if !is_damaged(self.repository, name)? {
                continue;
            }
            // What it was nobody knows any more.
            let remover = Remover { reason: "its removal record was damaged".to_owned(), ..Remover::default() };
            remove(self.repository, archive, None, &remover, self.clock)?;
            done.discarded += discard(self.repository, std::slice::from_ref(name), self.monitor)?;
        }
        let epochs = still_damaged(self.repository, &self.plan.epochs)?;
        if !epochs.is_empty() {
            for name in &epochs {
                self.repository.quarantine(name)?;
            }
            self.collector.bump_epoch()?;
            done.discarded += epochs.len();
        }
        for name in still_damaged(self.repository, &self.plan.damaged)?.iter().chain(&self.plan.discarded) {
            // The client of a pending may live: it must hear that this protects nothing any more.
            if let Named::Object(Kind::Pending, id) = Named::of(name) {
                self.repository.quarantine(name)?;
                self.repository.give_up_pendings(&[PendingId::from_bytes(id)])?;
                done.discarded += 1;
                continue;
            }
            done.discarded += discard(self.repository, std::slice::from_ref(name), self.monitor)?;
        }
        Ok(())
    }
}

/// Those that are damaged when they are read once more.
fn still_damaged(repository: &Repository, names: &[ObjectName]) -> Result<Vec<ObjectName>> {
    let mut damaged = Vec::new();
    for name in names {
        if is_damaged(repository, name)? {
            damaged.push(name.clone());
        }
    }
    Ok(damaged)
}

/// Whether an object that seemed to be damaged is: a store may mend itself, and a cable may fail once.
fn is_damaged(repository: &Repository, name: &ObjectName) -> Result<bool> {
    match repository.verify_record(name) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) if is_finding(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Reports what keeps a single object from being mended.
fn tell(monitor: &dyn Monitor, error: Error) -> Result<()> {
    pass_over(monitor, Warning::Repository, b"", error)
}

/// Puts objects into quarantine; how many. One that can not be copied stays.
fn discard(repository: &Repository, names: &[ObjectName], monitor: &dyn Monitor) -> Result<usize> {
    let mut discarded = 0;
    for name in names {
        match repository.discard(name) {
            Ok(()) => discarded += 1,
            Err(error) => tell(monitor, error)?,
        }
    }
    Ok(discarded)
}

/// A monitor for steps whose warnings were told before.
struct Quiet<'a>(&'a dyn Monitor);

impl Monitor for Quiet<'_> {
    fn event(&self, _: &Event<'_>) {}

    fn counters(&self) -> &Counters {
        self.0.counters()
    }

    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
