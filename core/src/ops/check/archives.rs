//! The trees of archives: every node opens, every chunk is there. Each is visited once, in however many archives it is.

use std::collections::BTreeMap;

use super::reading::at_once;
use super::{About, Check, Look, Spoilt, Told};
use crate::archive::catalog::Archive;
use crate::archive::node::Node;
use crate::backend::ObjectName;
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::id::ChunkId;
use crate::index::{Mark, Marks, Place};
use crate::repository::Reader;
use crate::segment::Class;

/// Nodes that are read at once. What they name waits in memory.
const NODES_AT_ONCE: usize = 128;
/// Looks at a repository that does not stand still, before what is missing is told all the same.
const LOOKS_MAX: usize = 5;

impl Check<'_, '_> {
    /// Visits the trees; what is lost is then traced to the files it hurts.
    pub(super) fn archives(&mut self) -> Result<()> {
        self.visit_trees()?;
        // What an earlier look did not miss may have lain below a node that it did: so a look that is certain stands alone.
        let (mut looks, mut before) = (1, BTreeMap::new());
        while !self.missing.is_empty() && !self.look.is_certain(self.repository)? {
            if looks == LOOKS_MAX {
                // Nobody ever holds still: what two looks missed is missing.
                self.missing.retain(|id, _| before.contains_key(id));
                break;
            }
            // The archive may have been removed, its client not be done, or its chunks moved while the store was listed.
            before = std::mem::take(&mut self.missing);
            self.look = Look::take_carefully(self.repository)?;
            self.visit_trees()?;
            looks += 1;
        }
        for id in self.look.unfinished.clone() {
            let error = Error::new(ErrorKind::NotFound, "check archive").with("reason", "its client was not done");
            self.find(About::Unfinished(id), error);
        }
        let catalog = &self.look.catalog;
        let unreadable: Vec<_> =
            catalog.unreadable.iter().map(|(id, error)| (*id, Error::damaged("read archive", error))).collect();
        for (id, error) in unreadable {
            // Read as an object it was named already.
            if self.checked.damaged.insert(ObjectName::of("archives", id)) {
                self.find(About::Archive(id), error);
            }
        }
        for (id, (class, error)) in std::mem::take(&mut self.missing) {
            self.checked.lost.insert(id, class);
            self.find(About::Chunk(id), error);
        }
        if self.checked.lost.is_empty() {
            return Ok(());
        }
        let reader = self.look.session.reader();
        self.wanted().iter().try_for_each(|archive| self.hurt(archive, &reader))
    }

    /// The archives that are to be checked.
    fn wanted(&self) -> Vec<Archive> {
        let only = self.options.only.as_ref();
        let wanted = |archive: &&Archive| {
            only.is_none_or(|only| only.contains(&archive.id)) && !self.look.unfinished.contains(&archive.id)
        };
        self.look.catalog.archives.iter().filter(wanted).cloned().collect()
    }

    /// Visits every tree of this look, and notes what is missing.
    fn visit_trees(&mut self) -> Result<()> {
        let (mut marks, reader) = (self.look.session.marks(), self.look.session.reader());
        let is_first = self.checked.archives == 0;
        (self.checked.archives, self.checked.chunks) = (0, 0);
        self.moving.clear();
        for archive in self.wanted() {
            if is_first {
                (self.report)(Told::Archive(&archive));
            }
            self.tree(archive.record.root.root, &mut marks, &reader)?;
            self.checked.archives += 1;
        }
        let session = &self.look.session;
        let needed = session.recovered_segments().filter(|id| session.is_marked(&marks, id));
        self.checked.unindexed = needed.copied().collect();
        Ok(())
    }

    fn tree(&mut self, root: ChunkId, marks: &mut Marks, reader: &Reader) -> Result<()> {
        let mut waiting = vec![root];
        while !waiting.is_empty() {
            self.monitor.stop_if_asked("check")?;
            let mut nodes = waiting.split_off(waiting.len().saturating_sub(NODES_AT_ONCE));
            nodes.retain(|id| self.visit(id, Class::Tree, marks));
            let read = at_once(&nodes, self.options.workers, &|| false, &|| reader.clone(), &|id, reader| {
                Node::fetch(reader, id)
            });
            for (id, node) in read.into_iter().filter_map(|(number, node)| Some((nodes.get(number)?, node))) {
                match node {
                    Ok(node) => node.for_each_chunk(&mut |class, child| match class {
                        Class::Tree => waiting.push(child),
                        Class::Data => {
                            self.visit(&child, class, marks);
                        }
                    }),
                    Err(error) if is_finding(&error) => self.lose(*id, Class::Tree, error),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Notes a chunk; whether it is new and there.
    fn visit(&mut self, id: &ChunkId, class: Class, marks: &mut Marks) -> bool {
        match self.look.session.mark(marks, id) {
            Mark::Known => return false,
            Mark::Missing if self.is_about_to_move(id) => {
                let is_new = self.moving.insert(*id);
                self.checked.chunks += u64::from(is_new);
                return is_new;
            }
            Mark::Missing => {
                self.lose(*id, class, Error::new(ErrorKind::NotFound, "find chunk").with("chunk", id));
                return false;
            }
            Mark::New => self.checked.chunks += 1,
        }
        if self.is_spoilt(id) {
            let error = Error::damaged("read chunk", "no copy of it can be read").with("chunk", id);
            self.lose(*id, class, error);
            return false;
        }
        true
    }

    /// Whether a collector has doomed the only copies: it stores such chunks again before it deletes anything, or who
    /// adopts its doom does.
    fn is_about_to_move(&self, id: &ChunkId) -> bool {
        let session = &self.look.session;
        let there = |place: &Place| session.is_doomed(&place.segment) && session.exists(&place.segment);
        session.withdrawn_copies(id).iter().any(|place| there(place) && !self.checked.is_spoilt(place))
    }

    /// Whether all copies were found to be damaged.
    fn is_spoilt(&self, id: &ChunkId) -> bool {
        let damage = self.look.session.damage();
        if self.checked.spoilt.is_empty() && damage.is_empty() {
            return false;
        }
        // What was recorded holds unless the segment was read whole since.
        let recorded = |place: &Place| {
            !self.checked.whole.contains(&place.segment)
                && !self.checked.spoilt.contains_key(&place.segment)
                && damage.iter().any(|damage| damage.record.covers(id, &place.segment))
        };
        self.look.session.copies(id).iter().all(|place| self.checked.is_spoilt(place) || recorded(place))
    }

    fn lose(&mut self, id: ChunkId, class: Class, error: Error) {
        self.missing.entry(id).or_insert((class, error));
    }
}

impl super::Checked {
    /// Whether the copy at this place can not be read.
    pub(crate) fn is_spoilt(&self, place: &Place) -> bool {
        match self.spoilt.get(&place.segment) {
            Some(Spoilt::Whole) => true,
            Some(Spoilt::Chunks(chunks)) => chunks.contains(&place.ordinal),
            None => false,
        }
    }
}
