//! Where the room of a repository goes: what archives share and what only they need, and the directories that grow.
//!
//! Sizes are told twice: of content, and of what is stored of it. Of archives that are counted together every tree node
//! is visited once, in however many of them it occurs; memory is a few bits per chunk.

mod hotspots;

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::catalog::Archive;
use crate::archive::node::Node;
use crate::error::Result;
use crate::id::{ArchiveId, ChunkId};
use crate::index::{ChunkSizes, Mark, Marks};
use crate::monitor::{Monitor, Warning};
use crate::ops::unread::pass_over;
use crate::repository::{Reader, Session};
use crate::segment::Class;

pub use hotspots::{Hotspot, hotspots};

/// What some archives of a repository need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DedupSizes {
    /// Archives that were considered.
    pub considered: usize,
    /// Archives there are.
    pub archives: usize,
    /// Everything the considered archives need, each chunk once.
    pub deduplicated: ChunkSizes,
    /// What no other archive needs: deleting the considered ones would free so much.
    pub exclusive: ChunkSizes,
    /// What no archive needs; `compact` frees it, unless a backup is about to use it.
    pub unreferenced: ChunkSizes,
    /// All chunks.
    pub total: ChunkSizes,
    /// Chunks that archives need and that are not there.
    pub missing: u64,
}

/// What the archives of one name need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// The name.
    pub name: String,
    /// Archives of this name.
    pub archives: usize,
    /// The bytes of all their files, as if nothing were shared.
    pub source_bytes: u64,
    /// Everything they need, each chunk once.
    pub deduplicated: ChunkSizes,
    /// What no archive of another name needs.
    pub exclusive: ChunkSizes,
}

/// What all archives need, name by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByName {
    /// The series, by name.
    pub series: Vec<Series>,
    /// What archives of several names need.
    pub shared: ChunkSizes,
    /// What no archive needs.
    pub unreferenced: ChunkSizes,
    /// All chunks.
    pub total: ChunkSizes,
    /// Chunks that archives need and that are not there.
    pub missing: u64,
}

/// Tells what the archives in `considered` need, beside all others in `archives`.
///
/// Nodes that can not be read are reported to the monitor; what lies below is not counted.
pub fn dedup_sizes(
    session: &Session,
    archives: &[Archive],
    considered: &BTreeSet<ArchiveId>,
    monitor: &dyn Monitor,
) -> Result<DedupSizes> {
    let mut survey = Survey::new(session, monitor);
    let (chosen, others): (Vec<_>, Vec<_>) = archives.iter().partition(|archive| considered.contains(&archive.id));
    let (wanted, rest) = (survey.marks_of(&chosen)?, survey.marks_of(&others)?);
    let mut exclusive = wanted.clone();
    exclusive.remove_all(&rest);
    let mut needed = rest;
    needed.add_all(&wanted);
    let (unreferenced, total) = survey.rest(&needed);
    Ok(DedupSizes {
        considered: chosen.len(),
        archives: archives.len(),
        deduplicated: session.sizes(&wanted),
        exclusive: session.sizes(&exclusive),
        unreferenced,
        total,
        missing: survey.missing.len() as u64,
    })
}

/// Tells what the archives of each name need.
///
/// Nodes that can not be read are reported to the monitor; what lies below is not counted.
pub fn by_name(session: &Session, archives: &[Archive], monitor: &dyn Monitor) -> Result<ByName> {
    let mut survey = Survey::new(session, monitor);
    let mut names: BTreeMap<&str, Vec<&Archive>> = BTreeMap::new();
    for archive in archives {
        names.entry(&archive.record.name).or_default().push(archive);
    }
    let (mut needed, mut shared, mut found) = (session.marks(), session.marks(), Vec::new());
    for (name, archives) in names {
        let marks = survey.marks_of(&archives)?;
        let mut again = marks.clone();
        again.keep_all(&needed);
        shared.add_all(&again);
        needed.add_all(&marks);
        let source_bytes = archives.iter().fold(0u64, |sum, archive| sum.saturating_add(archive.record.root.bytes));
        found.push((
            Series { name: name.to_owned(), archives: archives.len(), source_bytes, ..Series::default() },
            marks,
        ));
    }
    let series = found.into_iter().map(|(series, mut marks)| {
        let deduplicated = session.sizes(&marks);
        marks.remove_all(&shared);
        Series { deduplicated, exclusive: session.sizes(&marks), ..series }
    });
    let series = series.collect();
    let (unreferenced, total) = survey.rest(&needed);
    let missing = survey.missing.len() as u64;
    Ok(ByName { series, shared: session.sizes(&shared), unreferenced, total, missing })
}

/// Tells what each of the archives in `chosen` needs and no other one of `archives`, in their order: deleting it alone
/// would free so much.
///
/// Nodes that can not be read are reported to the monitor; what lies below is not counted.
pub fn alone(
    session: &Session,
    archives: &[Archive],
    chosen: &[Archive],
    monitor: &dyn Monitor,
) -> Result<Vec<ChunkSizes>> {
    let mut survey = Survey::new(session, monitor);
    let (mut needed, mut shared) = (session.marks(), session.marks());
    for archive in archives {
        let mut own = session.marks();
        // What a second archive needs as well is looked into once more, as it is shared with all that is below.
        survey.archive(archive, &mut |survey, id| {
            survey.mark(id, &mut own) && (survey.mark(id, &mut needed) || survey.mark(id, &mut shared))
        })?;
    }
    let own = chosen.iter().map(|archive| {
        let mut own = shared.clone();
        survey.archive(archive, &mut |survey, id| survey.mark(id, &mut own))?;
        own.remove_all(&shared);
        Ok(session.sizes(&own))
    });
    own.collect()
}

/// Visits trees and marks what they need.
struct Survey<'a> {
    session: &'a Session,
    reader: Reader,
    monitor: &'a dyn Monitor,
    missing: BTreeSet<ChunkId>,
}

impl<'a> Survey<'a> {
    fn new(session: &'a Session, monitor: &'a dyn Monitor) -> Self {
        Self { session, reader: session.reader(), monitor, missing: BTreeSet::new() }
    }

    fn marks_of(&mut self, archives: &[&Archive]) -> Result<Marks> {
        let mut marks = self.session.marks();
        for archive in archives {
            self.archive(archive, &mut |survey, id| survey.mark(id, &mut marks))?;
        }
        Ok(marks)
    }

    /// Visits the chunks of an archive; `visit` tells whether to look into one.
    fn archive(&mut self, archive: &Archive, visit: &mut dyn FnMut(&mut Self, &ChunkId) -> bool) -> Result<()> {
        let record = &archive.record;
        let mut waiting = vec![record.root.root];
        waiting.extend(record.stat_root.iter().map(|stat| stat.root));
        while let Some(id) = waiting.pop() {
            self.monitor.stop_if_asked("analyze archives")?;
            if !visit(self, &id) {
                continue;
            }
            match Node::fetch(&self.reader, &id) {
                Ok(node) => node.for_each_chunk(&mut |class, child| match class {
                    Class::Tree => waiting.push(child),
                    Class::Data => {
                        visit(self, &child);
                    }
                }),
                Err(error) => pass_over(self.monitor, Warning::Repository, b"", error)?,
            }
        }
        Ok(())
    }

    fn mark(&mut self, id: &ChunkId, marks: &mut Marks) -> bool {
        match self.session.mark(marks, id) {
            Mark::New => true,
            Mark::Known => false,
            Mark::Missing => {
                self.missing.insert(*id);
                false
            }
        }
    }

    /// What is stored and not marked, and all that is stored.
    fn rest(&self, needed: &Marks) -> (ChunkSizes, ChunkSizes) {
        let mut rest = self.session.marks();
        self.session.mark_everything(&mut rest);
        let total = self.session.sizes(&rest);
        rest.remove_all(needed);
        (self.session.sizes(&rest), total)
    }
}
