//! Gives back the room of what no archive needs.
//!
//! The collector's half of the protocol (steps G0 to G10): look, copy what is needed out of segments that are mostly
//! waste, doom these, look again, copy what became needed meanwhile, delete, and tell everybody. It takes no lock and
//! trusts no clock; any number of clients and collectors may work at the same time, and one that dies anywhere is
//! succeeded by the next, which finds its doom.

mod needs;
mod patience;
mod plan;
mod refuse;
mod roots;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::gc::{Damage, Doom, LostChunk, damage_records};
use crate::id::{ChunkId, SegmentId};
use crate::monitor::{Counters, Event, Monitor, Warning};
use crate::ops::delete::{Remover, remove};
use crate::ops::lease::wait_for_leases;
use crate::repository::{Collector, Repository, WriterOptions};

use needs::Needs;
use roots::Roots;

pub use plan::{Plan, Reason, Victim};

/// How much is collected.
#[derive(Clone, Debug)]
pub struct CompactOptions {
    /// A segment is rewritten if at least so many percent of it are waste; 0 rewrites everything with waste.
    pub threshold_percent: u8,
    /// How what is still needed is written.
    pub writer: WriterOptions,
    /// Archives and pendings, by the hexadecimal form of their ids, whose damage is accepted: what they alone
    /// need and what can not be found through them may be deleted.
    pub accept_damage: BTreeSet<String>,
    /// Archives that are gone although nobody removed them are given up: what only they need may be deleted.
    pub accept_lost: bool,
    /// After so many seconds an interrupted backup is given up: what only it needs may go with the next collection.
    /// If its client lives after all it has some more work, and loses nothing. The seconds are those since this machine
    /// saw it first; one that remembers nothing of the repository believes what the backup says of itself.
    pub give_up_seconds: i64,
    /// How long to wait for who holds a lease.
    pub lease_wait: Duration,
}

/// Which segments one collection chooses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice<'a> {
    /// Those that free room.
    Waste,
    /// Those that nothing needs: nothing is copied.
    Dead,
    /// These, whatever is in them.
    These(&'a BTreeSet<SegmentId>),
}

/// Stored bytes of segments that are recompressed before the old ones go, at least; and their part of all, at least: each
/// time everything is looked at again.
const RECOMPRESSED_AT_ONCE: u64 = 2 << 30;
const RECOMPRESSED_PART: u64 = 16;

impl Default for CompactOptions {
    /// Ten percent, fourteen days.
    fn default() -> Self {
        Self {
            threshold_percent: 10,
            writer: WriterOptions::default(),
            accept_damage: BTreeSet::new(),
            accept_lost: false,
            give_up_seconds: 14 * 24 * 3600,
            lease_wait: Duration::ZERO,
        }
    }
}

/// What a collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Segments that were deleted, and their stored bytes as far as these are known.
    pub deleted: usize,
    /// Why they were chosen, and how many; those of other collectors' dooms are not among them.
    pub why: BTreeMap<Reason, usize>,
    /// Stored bytes of these.
    pub deleted_bytes: u64,
    /// Stored bytes of them that were needed and are now elsewhere, before they were compressed and sealed again.
    pub kept_bytes: u64,
    /// Doomed segments that stay, because they hold something needed that can not be read.
    pub stuck: usize,
    /// Dooms of other collectors that were carried out.
    pub adopted: usize,
    /// Pendings that nobody needs any more.
    pub pendings: usize,
}

impl Compacted {
    fn add(&mut self, other: &Self) {
        self.deleted += other.deleted;
        other.why.iter().for_each(|(reason, segments)| *self.why.entry(*reason).or_default() += segments);
        self.deleted_bytes += other.deleted_bytes;
        self.kept_bytes += other.kept_bytes;
        self.stuck += other.stuck;
        self.adopted += other.adopted;
        self.pendings += other.pendings;
    }
}

/// Looks at everything and tells what [`compact`] would do, without changing anything.
pub fn plan(
    repository: &Repository,
    options: &CompactOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Plan> {
    let roots = Roots::look(repository, clock, monitor)?;
    let collector = repository.collector(&options.writer)?;
    refuse::short_lists(repository, &collector, &roots, options.accept_lost)?;
    let needs = Needs::find(&collector, &roots, monitor)?;
    refuse::damage(&roots, &needs, &options.accepts())?;
    Ok(Plan::new(&collector, &roots, &needs, options, Choice::Waste))
}

/// Collects. When this returns `Ok`, everything that could be freed is; on a full store only segments that nothing needs
/// at all, because the others must be written anew before they go.
///
/// # Errors
/// `Damaged` if an archive can not be read as far as its tree goes: what it needs is unknown, so nothing is deleted
/// unless that was accepted. `History` if archives are gone that nobody removed: a store whose lists are not whole looks
/// like that, and so does one that was rolled back. `Locked` if somebody holds a lease: then nothing is deleted either.
/// `PermissionDenied` with the fact `permissions` for a client that may not delete.
pub fn compact(
    repository: &Repository,
    options: &CompactOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Compacted> {
    repository.permissions().require_all("compact")?;
    wait_for_leases(repository, options.lease_wait, clock, monitor)?;
    repository.probe_delete()?;
    repository.probe_store(&|| clock.wait(repository.list_staleness()))?;
    let done = match collect(repository, options, clock, monitor, Choice::Waste) {
        // Nothing was doomed yet: what needs no room first.
        Err(error) if error.kind() == ErrorKind::NoSpace => collect(repository, options, clock, monitor, Choice::Dead),
        done => done,
    }?;
    repository.refill_reserves()?;
    Ok(done)
}

/// Stores everything that is needed again, as `options.writer` says, and deletes what it was stored in.
///
/// This goes some segments at a time, so that only a sixteenth more room is needed than before, or 2 GiB. What an
/// interruption leaves is whole; the next call begins anew, because no segment tells how hard it was compressed.
///
/// # Errors
/// Those of [`compact`].
pub fn recompress(
    repository: &Repository,
    options: &CompactOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Compacted> {
    repository.permissions().require_all("recompress")?;
    wait_for_leases(repository, options.lease_wait, clock, monitor)?;
    repository.probe_delete()?;
    repository.probe_store(&|| clock.wait(repository.list_staleness()))?;
    let mut records = repository.session()?.segment_records();
    let total = records.iter().map(|record| record.bytes).sum();
    let at_once = RECOMPRESSED_AT_ONCE.max(total / RECOMPRESSED_PART);
    Counters::set(&monitor.counters().bytes_expected, total);
    let mut done = Compacted::default();
    while !records.is_empty() {
        let (mut batch, mut bytes) = (BTreeSet::new(), 0);
        while bytes < at_once
            && let Some(record) = records.pop()
        {
            bytes += record.bytes;
            batch.insert(record.id);
        }
        done.add(&collect(repository, options, clock, monitor, Choice::These(&batch))?);
    }
    repository.refill_reserves()?;
    Ok(done)
}

/// One collection.
fn collect(
    repository: &Repository,
    options: &CompactOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
    choice: Choice<'_>,
) -> Result<Compacted> {
    // G1, G2, G3
    let roots = Roots::look(repository, clock, monitor)?;
    let collector = repository.collector(&options.writer)?;
    refuse::short_lists(repository, &collector, &roots, options.accept_lost)?;
    let needs = Needs::find(&collector, &roots, monitor)?;
    refuse::damage(&roots, &needs, &options.accepts())?;
    for id in &roots.lost {
        let remover = Remover { reason: "it was gone, and was given up".to_owned(), ..Remover::default() };
        remove(repository, id, None, &remover, clock)?;
    }
    let plan = Plan::new(&collector, &roots, &needs, options, choice);
    let orphans = collector.orphans();
    let adopted = |doom: &&Doom| !doom.record.segments.is_disjoint(orphans);
    let mut done = Compacted { adopted: collector.dooms().iter().filter(adopted).count(), ..Compacted::default() };
    // G4
    let mut chosen = evacuate(&collector, &needs, &plan, monitor)?;
    let own = collector.own_segments();
    // G5, with what others doomed: whoever carries a doom out has written it
    chosen.extend(orphans);
    if !chosen.is_empty() {
        let sizes: BTreeMap<SegmentId, &Victim> = plan.victims.iter().map(|victim| (victim.id, victim)).collect();
        let (deleted, stuck) =
            carry_out(repository, &collector, &chosen, own, &options.accepts(), options, clock, monitor)?;
        for victim in deleted.iter().filter_map(|id| sizes.get(id)) {
            *done.why.entry(victim.reason).or_default() += 1;
            done.deleted_bytes += victim.bytes;
            done.kept_bytes += victim.needed_bytes;
        }
        (done.deleted, done.stuck) = (deleted.len(), stuck.len());
        Counters::add(&monitor.counters().bytes, done.deleted_bytes);
    } else {
        record_missing(&collector, &needs, clock)?;
    }
    collector.gather_dooms()?;
    let over = roots.pendings_of_archives();
    repository.drop_pendings(&over)?;
    let mut dead = patience::dead(repository, &roots, options.give_up_seconds, clock.now(), monitor);
    dead.retain(|id| !over.contains(id));
    repository.give_up_pendings(&dead)?;
    done.pendings = over.len() + dead.len();
    Ok(done)
}

/// Whether the damage of an archive or a pending, by the hexadecimal form of its id, is accepted.
pub(super) type Accepts<'a> = dyn Fn(&str) -> bool + 'a;

impl CompactOptions {
    fn accepts(&self) -> impl Fn(&str) -> bool {
        |id| self.accept_damage.contains(id)
    }
}

/// Steps G5 to G10: dooms segments and deletes them, unless they hold something needed that can not be read. Returns
/// which were deleted, and which stay. `own` are segments this collector wrote.
#[expect(clippy::too_many_arguments, reason = "what a collection consists of")]
pub(super) fn carry_out(
    repository: &Repository,
    collector: &Collector,
    chosen: &BTreeSet<SegmentId>,
    own: BTreeSet<SegmentId>,
    accepts: &Accepts<'_>,
    options: &CompactOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<(BTreeSet<SegmentId>, BTreeSet<SegmentId>)> {
    let lag = repository.list_staleness();
    let wait_twice = || clock.wait(lag * 2);
    let dooms = collector.doom(chosen)?;
    wait_twice();
    let stuck = save_what_became_needed(repository, chosen, own, accepts, options, clock, monitor)?;
    let deleted: BTreeSet<SegmentId> = chosen.difference(&stuck).copied().collect();
    // Whoever took a lease before the dooms were there did not see them.
    wait_for_leases(repository, options.lease_wait, clock, monitor)?;
    delete(collector, &deleted, &wait_twice, &|| clock.wait(lag))?;
    // What stays because it can not be read stays doomed, by this doom unless by another one.
    lift(collector, &dooms, &stuck.difference(collector.orphans()).copied().collect())?;
    Ok((deleted, stuck))
}

/// Step G4: stores what is needed of the chosen segments again. What can not be read stays where it is.
fn evacuate(collector: &Collector, needs: &Needs, plan: &Plan, monitor: &dyn Monitor) -> Result<BTreeSet<SegmentId>> {
    let mut chosen: BTreeSet<SegmentId> = plan.victims.iter().map(|victim| victim.id).collect();
    collector.withdraw(&chosen);
    for victim in &plan.victims {
        monitor.stop_if_asked("compact")?;
        if victim.needed_chunks == 0 {
            continue;
        }
        match collector.evacuate(&victim.id, &needs.marks) {
            Err(error)
                if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::LimitExceeded | ErrorKind::NotFound) =>
            {
                chosen.remove(&victim.id);
                report(monitor, &error);
            }
            done => done?,
        }
    }
    collector.publish()?;
    Ok(chosen)
}

/// Steps G6 and G7: looks again and stores everything again whose copies are all doomed, until there is nothing like
/// that. Returns the doomed segments that hold something needed which can not be read.
fn save_what_became_needed(
    repository: &Repository,
    doomed: &BTreeSet<SegmentId>,
    mut own: BTreeSet<SegmentId>,
    accepts: &Accepts<'_>,
    options: &CompactOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<BTreeSet<SegmentId>> {
    let roots = Roots::look(repository, clock, monitor)?;
    refuse::archives_gone(&roots, options.accept_lost)?;
    loop {
        let collector = repository.collector(&options.writer)?;
        collector.withdraw(doomed);
        let needs = Needs::find(&collector, &roots, monitor)?;
        refuse::damage(&roots, &needs, accepts)?;
        let mut lost = BTreeMap::<ChunkId, Error>::new();
        let mut saved = false;
        for (id, class) in &needs.missing {
            match collector.rescue(*class, id) {
                Ok(()) => saved = true,
                Err(error) if !is_finding(&error) => return Err(error),
                // What only change detection or an unfinished backup needs is not worth a segment.
                Err(error) if needs.missed.contains(id) => drop(lost.insert(*id, error)),
                Err(_) => {}
            }
        }
        collector.publish()?;
        own.extend(collector.own_segments());
        if !saved {
            lost.extend(unproven(&collector, &needs, &own)?);
            record_missing(&collector, &needs, clock)?;
            return Ok(stuck(&collector, doomed, &lost, monitor));
        }
    }
}

/// The chunks of doomed segments whose other copy, the one that would be left, is none.
///
/// Who may only add can write an index that says of some segment that it holds a chunk. Copies this collector wrote
/// need no proof.
fn unproven(collector: &Collector, needs: &Needs, own: &BTreeSet<SegmentId>) -> Result<BTreeMap<ChunkId, Error>> {
    let (reader, mut unproven) = (collector.reader(), BTreeMap::new());
    for (id, class) in &needs.rivals {
        match collector.prove(&reader, *class, id, own) {
            Ok(()) => {}
            Err(error) if !is_finding(&error) => return Err(error),
            Err(error) => {
                unproven.insert(*id, error.with("chunk", id));
            }
        }
    }
    Ok(unproven)
}

/// What live archives need and no segment on offer holds, as far as their trees can be read.
pub(super) fn missed(
    repository: &Repository,
    collector: &Collector,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Vec<LostChunk>> {
    let needs = Needs::find(collector, &Roots::look(repository, clock, monitor)?, monitor)?;
    let missed = needs.missing.iter().filter(|(id, _)| needs.missed.contains(id));
    let places =
        |id: &ChunkId| collector.doomed_copies(id).into_iter().filter(|segment| collector.exists(segment)).collect();
    Ok(missed.map(|(id, class)| LostChunk { id: *id, class: *class, segments: places(id) }).collect())
}

/// Records what is needed and is in no segment that exists, before the index forgets that it ever was: the next
/// backup must know that it can not take everything over. Records of what is not missing any more go.
fn record_missing(collector: &Collector, needs: &Needs, clock: &dyn Clock) -> Result<()> {
    let known = |id: &ChunkId| collector.damage().iter().any(|damage| damage.record.chunks.contains_key(id));
    let gone = |id: &&ChunkId| collector.doomed_copies(id).iter().all(|segment| !collector.exists(segment));
    let new = needs.missing.iter().filter(|(id, _)| needs.missed.contains(id) && !known(id) && gone(id));
    let new: Vec<LostChunk> =
        new.map(|(id, class)| LostChunk { id: *id, class: *class, segments: BTreeSet::new() }).collect();
    collector.record_damage(damage_records(clock.now(), &new, &BTreeSet::new()))?;
    let over = |damage: &&Damage| {
        damage.record.segments.iter().all(|segment| !collector.exists(segment))
            && damage.record.chunks.keys().all(|id| !needs.missing.contains_key(id))
    };
    collector.damage().iter().filter(over).try_for_each(|damage| collector.forget_damage(damage))
}

/// The doomed segments that hold a copy of something lost, unless `check --repair` has seen and recorded it.
fn stuck(
    collector: &Collector,
    doomed: &BTreeSet<SegmentId>,
    lost: &BTreeMap<ChunkId, Error>,
    monitor: &dyn Monitor,
) -> BTreeSet<SegmentId> {
    let mut stuck = BTreeSet::new();
    for (id, error) in lost {
        let recorded = |segment: &SegmentId| collector.damage().iter().any(|damage| damage.record.covers(id, segment));
        let copies = collector.doomed_copies(id).into_iter();
        stuck.extend(
            copies.filter(|segment| doomed.contains(segment) && collector.exists(segment) && !recorded(segment)),
        );
        report(monitor, error);
    }
    stuck
}

/// Steps G8, G9 and the index of G10.
fn delete(collector: &Collector, deleted: &BTreeSet<SegmentId>, wait_twice: &dyn Fn(), wait: &dyn Fn()) -> Result<()> {
    collector.delete_segments(deleted)?;
    wait_twice();
    collector.bump_epoch()?;
    wait_twice();
    collector.rewrite_index(deleted, wait)?;
    wait_twice();
    Ok(())
}

/// The end of step G10: own dooms that were carried out go. One with a segment that stays is kept.
fn lift(collector: &Collector, dooms: &[Doom], stuck: &BTreeSet<SegmentId>) -> Result<()> {
    dooms.iter().filter(|doom| doom.record.segments.is_disjoint(stuck)).try_for_each(|doom| collector.lift(doom))
}

fn report(monitor: &dyn Monitor, error: &Error) {
    monitor.event(&Event::Warning { warning: Warning::Repository, path: b"", error });
}
