//! Whether a repository is what it should be: objects, trees, and data.
//!
//! Damage is a finding, not an error: the check goes on, and ends with names of the archives and files that are
//! hurt. Nothing here writes but what this client remembers.

mod archives;
mod hurt;
mod keyless;
mod look;
mod objects;
mod reading;

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::catalog::Archive;
use crate::backend::ObjectName;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::{ArchiveId, ChunkId, SegmentId};
use crate::monitor::Monitor;
use crate::repository::{Repository, Session};
use crate::segment::Class;

pub use keyless::check_without_key;
pub(super) use objects::missing_segments;

use look::Look;

/// How much is checked.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// Read every object and compare it with its hash and name, and the index with what exists.
    pub objects: bool,
    /// Visit the trees of the archives.
    pub archives: bool,
    /// Open every chunk and compare it with its name.
    pub data: bool,
    /// Only these archives, if given.
    pub only: Option<BTreeSet<ArchiveId>>,
    /// Threads that read.
    pub workers: usize,
    /// Stop reading segments after so many seconds; the next check goes on.
    pub seconds_max: Option<u64>,
    /// Pass over segments that were found whole at most so many seconds ago.
    pub age_max: Option<u64>,
}

impl Default for CheckOptions {
    /// Objects and archives, a thread per core.
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { objects: true, archives: true, data: false, only: None, workers, seconds_max: None, age_max: None }
    }
}

/// Something that is not as it should be.
#[derive(Debug)]
pub struct Finding {
    /// What it is about.
    pub about: About,
    /// What is wrong.
    pub error: Error,
}

/// What a finding is about, from stored objects to what people see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// An object that does not belong here: harmless.
    Foreign(String),
    /// A stored object.
    Object(String),
    /// A segment the index names and the store lacks.
    MissingSegment(SegmentId),
    /// A segment the index names, the store lacks and no archive needs. Harmless: the index forgets it in time.
    StaleEntry(SegmentId),
    /// Segments that no index fragment names: left by a client that died, or of one that is writing. Harmless.
    Unnamed(usize),
    /// An archive that nobody reported, and that may lack something: its client is about to make it whole or to take it
    /// back, or it died. Harmless.
    Unfinished(ArchiveId),
    /// A chunk that can not be read from any segment.
    Chunk(ChunkId),
    /// An archive whose record can not be read.
    Archive(ArchiveId),
    /// A file or directory of an archive, raw bytes; it can not be restored whole.
    Path(ArchiveId, Vec<u8>),
}

impl About {
    /// Whether nothing is lost by it.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Foreign(_) | Self::StaleEntry(_) | Self::Unnamed(_) | Self::Unfinished(_))
    }
}

/// What a check saw.
#[derive(Debug, Default)]
pub struct Checked {
    /// Objects that were read.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Segments that were not read, because time was up or they were found whole lately.
    pub skipped_segments: usize,
    /// Archives whose trees were visited.
    pub archives: usize,
    /// Tree nodes and chunks that were found to be there.
    pub chunks: u64,
    /// Segments of which a part can not be read.
    pub spoilt: BTreeMap<SegmentId, Spoilt>,
    /// Segments that were found whole, of those that were recorded to have copies that are no good.
    pub whole: BTreeSet<SegmentId>,
    /// Segments that archives need and no index fragment names.
    pub unindexed: BTreeSet<SegmentId>,
    /// Objects that are not what was written, without segments.
    pub damaged: BTreeSet<ObjectName>,
    /// Chunks that archives need and that can not be read.
    pub lost: BTreeMap<ChunkId, Class>,
    /// Archives that need them.
    pub hurt: BTreeSet<ArchiveId>,
    /// Findings that are not harmless.
    pub damages: usize,
}

/// How much of a segment can not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// Nothing of it, and it is unknown what it holds.
    Whole,
    /// The chunks at these places; none if the object is not what was written but every chunk can be read.
    Chunks(BTreeSet<u32>),
}

/// What a check tells while it works.
#[derive(Debug)]
pub enum Told<'a> {
    /// The tree of this archive is visited next.
    Archive(&'a Archive),
    /// Something is not as it should be.
    Finding(Finding),
}

/// Where that goes.
pub type Report<'a> = dyn FnMut(Told<'_>) + 'a;

/// Checks the repository and hands over every finding as it comes.
///
/// Others may work meanwhile: what seems to be missing is looked for again before it is told, if anything has changed.
///
/// # Errors
/// Only what keeps the check from going on: a connection that is lost, or the wish to stop.
pub fn check(
    repository: &Repository,
    options: &CheckOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
    report: &mut Report<'_>,
) -> Result<Checked> {
    check_and_keep(repository, options, clock, monitor, report).map(|(checked, _)| checked)
}

/// As [`check`]; also returns the session in which everything was found that was found.
pub(super) fn check_and_keep(
    repository: &Repository,
    options: &CheckOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
    report: &mut Report<'_>,
) -> Result<(Checked, Session)> {
    let look = Look::take(repository, options.archives)?;
    let recorded = look.session.damage().iter().flat_map(|damage| damage.record.segments.iter().copied()).collect();
    let (checked, missing, gone, moving) = (Checked::default(), BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    let mut check =
        Check { repository, options, clock, monitor, look, recorded, gone, missing, moving, report, checked };
    if options.objects || options.data {
        check.objects()?;
    }
    if options.archives {
        check.archives()?;
    }
    check.tell_missing_segments();
    Ok((check.checked, check.look.session))
}

/// A check on its way.
struct Check<'a, 'r> {
    repository: &'a Repository,
    options: &'a CheckOptions,
    clock: &'a dyn Clock,
    monitor: &'a dyn Monitor,
    look: Look,
    /// Segments with copies that were recorded to be no good.
    recorded: BTreeSet<SegmentId>,
    /// Segments that the index names and the store lacks, although nobody said that they would go.
    gone: BTreeSet<SegmentId>,
    /// Chunks that the trees of this look need and that can not be read, and why.
    missing: BTreeMap<ChunkId, (Class, Error)>,
    /// Chunks that were visited and whose only copies are doomed.
    moving: BTreeSet<ChunkId>,
    report: &'a mut Report<'r>,
    checked: Checked,
}

impl Check<'_, '_> {
    fn find(&mut self, about: About, error: Error) {
        if !about.is_harmless() {
            self.checked.damages += 1;
        }
        (self.report)(Told::Finding(Finding { about, error }));
    }
}
