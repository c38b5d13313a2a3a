//! Which chunks are needed: everything that can be reached from a root.
//!
//! Every tree node is visited once, in however many archives it occurs.

use std::collections::{BTreeMap, BTreeSet};

use super::roots::{Root, Roots};
use crate::archive::node::Node;
use crate::error::{Error, Result, is_finding};
use crate::id::ChunkId;
use crate::index::{Mark, Marks};
use crate::monitor::Monitor;
use crate::repository::{Collector, Reader};
use crate::segment::Class;

/// What the roots need, as far as a collector can see.
pub(super) struct Needs {
    /// One copy of every needed chunk in a segment that may stay.
    pub marks: Marks,
    /// Chunks without such a copy: all their copies are doomed, or gone.
    pub missing: BTreeMap<ChunkId, Class>,
    /// Chunks with such a copy, and others in doomed segments: before these go, somebody should look at the first.
    pub rivals: Vec<(ChunkId, Class)>,
    /// Those of them that live archives need.
    pub missed: BTreeSet<ChunkId>,
    /// Live archives, by their ids in hexadecimal form, with a tree node that can not be read: what lies below
    /// is unknown.
    pub broken: Vec<(String, Error)>,
}

impl Needs {
    /// Visits all trees.
    pub fn find(collector: &Collector, roots: &Roots, monitor: &dyn Monitor) -> Result<Self> {
        let (missing, missed) = (BTreeMap::new(), BTreeSet::new());
        let needs = Self { marks: collector.marks(), missing, missed, rivals: Vec::new(), broken: Vec::new() };
        let mut visit = Visit { collector, reader: collector.reader(), needs, live: false };
        for root in roots.trees() {
            visit.tree(&root, monitor)?;
        }
        Ok(visit.needs)
    }
}

struct Visit<'a> {
    collector: &'a Collector,
    reader: Reader,
    needs: Needs,
    /// Whether what is visited belongs to a live archive.
    live: bool,
}

impl Visit<'_> {
    fn tree(&mut self, root: &Root, monitor: &dyn Monitor) -> Result<()> {
        self.live = root.live;
        let visited = self.nodes(root.tree.root, monitor)?;
        self.live = false;
        if let Err((_, error)) = visited
            && root.live
        {
            self.needs.broken.push((root.owner.clone(), error));
        }
        // The stat tree is disposable: what can not be read of it is not missed.
        if let Some(stat) = &root.stat {
            let _ = self.nodes(stat.root, monitor)?;
        }
        Ok(())
    }

    /// Visits a node and everything below it. The inner error is the first node that can not be read; what can
    /// be reached in spite of it was visited.
    fn nodes(&mut self, root: ChunkId, monitor: &dyn Monitor) -> Result<Result<(), (ChunkId, Error)>> {
        let mut waiting = vec![root];
        let mut unread = Ok(());
        while let Some(id) = waiting.pop() {
            monitor.stop_if_asked("compact")?;
            if !self.note(Class::Tree, id) {
                continue;
            }
            match Node::fetch(&self.reader, &id) {
                Ok(node) => node.for_each_chunk(&mut |class, child| match class {
                    Class::Tree => waiting.push(child),
                    Class::Data => {
                        self.note(class, child);
                    }
                }),
                Err(error) if !is_finding(&error) => return Err(error),
                Err(error) => unread = unread.and(Err((id, error))),
            }
        }
        Ok(unread)
    }

    /// Notes that a chunk is needed. Whether that is new.
    fn note(&mut self, class: Class, id: ChunkId) -> bool {
        match self.collector.mark(&mut self.needs.marks, &id) {
            Mark::New => {
                if self.collector.has_doomed_copy(&id) {
                    self.needs.rivals.push((id, class));
                }
                true
            }
            Mark::Known => false,
            Mark::Missing => {
                if self.live {
                    self.needs.missed.insert(id);
                }
                self.needs.missing.insert(id, class).is_none()
            }
        }
    }
}
