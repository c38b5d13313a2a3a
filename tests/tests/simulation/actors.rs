//! What actors do: back up, remove, rename, bring back, give pendings up, collect. All of it with the real engine.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use gabion_core::archive::catalog::Catalog;
use gabion_core::archive::node::Node;
use gabion_core::archive::record::ArchiveRecord;
use gabion_core::archive::removal::RemovalRecord;
use gabion_core::backend::Store;
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::id::{ArchiveId, ChunkId, PendingId};
use gabion_core::ops::compact::{CompactOptions, compact, recompress};
use gabion_core::ops::create::{Checkpoint, CreateOptions, Input, Plan, Wanted, create};
use gabion_core::ops::delete::{Remover, delete};
use gabion_core::ops::republish::{replace, restore};
use gabion_core::repository::{Client, Reader, Repository, WriterOptions};
use gabion_core::seal::Kind;
use gabion_core::segment::Class;
use gabion_tests::{Notes, Random};

use super::sources::{SEGMENT_BYTES, Sources, TREES};
use super::store::{Face, StageClock};
use crate::engine::options;

/// One thing to do.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// Back up a tree, in one of two series.
    Create {
        tree: usize,
        series: usize,
    },
    Delete,
    Rename,
    Undelete,
    /// Take the client of some pending for dead.
    Expire,
    Compact,
    /// Store everything that is needed again.
    Recompress,
}

impl Task {
    /// Something a client does.
    pub fn of_client(random: &mut Random) -> Self {
        match random.below(10) {
            0..6 => Self::Create { tree: random.below(TREES as u64) as usize, series: random.below(2) as usize },
            6 | 7 => Self::Delete,
            8 => Self::Rename,
            _ => Self::Undelete,
        }
    }

    /// Something a collector does.
    pub fn of_collector(random: &mut Random) -> Self {
        match random.below(8) {
            0 => Self::Expire,
            1 => Self::Delete,
            2 => Self::Recompress,
            _ => Self::Compact,
        }
    }
}

/// Opens the repository through this face, as a process of its own.
pub fn open(face: &Face) -> Result<Repository> {
    let client = Client { state: face.memory.clone(), ..Client::default() };
    Repository::open(Store::new(Arc::new(face.clone()))?, client, &mut |_| Ok(None))
}

pub fn writer() -> WriterOptions {
    WriterOptions { segment_bytes: SEGMENT_BYTES, ..options().writer }
}

/// Does it, and tells the truth what was reported.
pub fn perform(face: &Face, sources: &Sources, task: Task, random: &mut Random) -> Result<()> {
    face.tell(format_args!("{task:?}"));
    let repository = open(face)?;
    let clock = StageClock(face.clone());
    match task {
        Task::Create { tree, series } => {
            let options = CreateOptions {
                name: format!("series {series}"),
                host: format!("host {series}"),
                writer: writer(),
                checkpoint: Checkpoint { seconds: 1_000_000, bytes: 30_000 + random.below(100_000) },
                ..options()
            };
            let plan = plan(sources.root(tree));
            let created = create(&repository, Input::Files(&plan), &options, &clock, &Notes::new())?;
            report(face, created.id, &created.record, tree);
        }
        Task::Delete => {
            let archives = Catalog::load(&repository)?.archives;
            if let Some(archive) = pick(random, &archives) {
                face.tell(format_args!("removes {}", archive.id));
                // From here on it may be gone, whatever becomes of this actor.
                delete(&repository, &[archive], &Remover::default(), &clock)?;
            }
        }
        Task::Rename => {
            let archives = Catalog::load(&repository)?.archives;
            let Some(old) = pick(random, &archives) else { return Ok(()) };
            let Some(tree) = face.world().truth.tree_of(&old.id) else { return Ok(()) };
            let record = ArchiveRecord { comment: "renamed".to_owned(), ..old.record.clone() };
            let new = replace(&repository, old, &record, &Remover::default(), &clock, &Notes::new())?;
            report(face, new.id, &record, tree);
        }
        Task::Undelete => {
            let removals = repository.removals()?;
            let Some(name) = pick(random, &removals) else { return Ok(()) };
            let removal = RemovalRecord::load(&repository, name)?;
            let (Some(record), Some(tree)) = (&removal.record, face.world().truth.tree_of(&name.archive)) else {
                return Ok(());
            };
            let new = restore(&repository, &removal, &clock, &Notes::new())?;
            report(face, new.id, record, tree);
        }
        Task::Expire => {
            let pendings = repository.record_ids(Kind::Pending)?;
            if let Some(id) = pick(random, &pendings) {
                repository.give_up_pendings(&[PendingId::from_bytes(*id)])?;
            }
        }
        Task::Compact => {
            let threshold_percent = *random.pick(&[0, 0, 10, 50]);
            let options = CompactOptions { threshold_percent, writer: writer(), ..CompactOptions::default() };
            let done = compact(&repository, &options, &clock, &Notes::new())?;
            face.tell(format_args!("{done:?}"));
        }
        Task::Recompress => {
            let options = CompactOptions { writer: writer(), ..CompactOptions::default() };
            let done = recompress(&repository, &options, &clock, &Notes::new())?;
            face.tell(format_args!("{done:?}"));
        }
    }
    Ok(())
}

fn pick<'a, T>(random: &mut Random, all: &'a [T]) -> Option<&'a T> {
    (!all.is_empty()).then(|| random.pick(all))
}

fn plan(source: &Path) -> Plan {
    let mut above = source.parent().unwrap().to_owned().into_os_string();
    above.push("/./");
    above.push(source.file_name().unwrap());
    Plan::new([Path::new(&above)], Wanted::All)
}

/// Everything the archive needs must be there, now and until it is removed.
fn report(face: &Face, id: ArchiveId, record: &ArchiveRecord, tree: usize) {
    face.tell(format_args!("reports {id}"));
    let reader = open(&face.quiet()).and_then(|repository| Ok(repository.session()?.reader()));
    let needs = reader.and_then(|reader| needs(&reader, record.root.root));
    let mut world = face.world();
    match needs {
        Ok(needs) => world.truth.report(id, needs, tree),
        // Somebody removed it before it was reported, and its data may be collected.
        Err(_) if world.truth.is_removed(&id) => world.truth.report(id, BTreeSet::new(), tree),
        Err(error) => world.truth.accuse(format!("I1: archive {id} was reported: {error}")),
    }
}

/// A node and everything below it.
pub fn needs(reader: &Reader, root: ChunkId) -> Result<BTreeSet<ChunkId>> {
    let mut needs = BTreeSet::new();
    let mut waiting = vec![root];
    while let Some(id) = waiting.pop() {
        if needs.insert(id) {
            Node::fetch(reader, &id)?.for_each_chunk(&mut |class, child| match class {
                Class::Tree => waiting.push(child),
                Class::Data => {
                    needs.insert(child);
                }
            });
        }
    }
    Ok(needs)
}

/// Whether a failure is one that this protocol allows when others work at the same time.
pub fn is_allowed(task: Task, error: &Error) -> bool {
    match task {
        // Five times in a row, if ever.
        Task::Create { .. } => error.kind() == ErrorKind::Overtaken,
        Task::Rename => {
            matches!(error.kind(), ErrorKind::ArchiveNotFound | ErrorKind::Overtaken | ErrorKind::NotFound)
        }
        Task::Undelete => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Overtaken),
        // An archive that a client put and did not live to report or to take back may lack a part.
        Task::Compact | Task::Recompress => error.kind() == ErrorKind::Damaged,
        Task::Delete | Task::Expire => false,
    }
}
