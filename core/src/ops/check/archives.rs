//! The trees of archives: every node opens, every chunk is there. Each is visited once, in however many archives it is.

use super::reading::at_once;
use super::{About, Check, Spoilt, Told};
use crate::archive::catalog::{Archive, Catalog};
use crate::archive::node::Node;
use crate::backend::ObjectName;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ChunkId;
use crate::index::{Mark, Marks, Place};
use crate::repository::{Reader, is_finding};
use crate::segment::Class;

/// Nodes that are read at once. What they name waits in memory.
const NODES_AT_ONCE: usize = 128;

impl Check<'_, '_> {
    /// Visits the trees; what is lost is then traced to the files it hurts.
    pub(super) fn archives(&mut self, catalog: &Catalog) -> Result<()> {
        for (id, error) in &catalog.unreadable {
            // Read as an object it was named already.
            if self.checked.damaged.insert(ObjectName::of("archives", id)) {
                self.find(About::Archive(*id), Error::damaged("read archive", error));
            }
        }
        let mut marks = self.session.marks();
        let reader = self.session.reader();
        let only = self.options.only.as_ref();
        let wanted = catalog.archives.iter().filter(|archive| only.is_none_or(|only| only.contains(&archive.id)));
        let wanted: Vec<&Archive> = wanted.collect();
        for archive in &wanted {
            (self.report)(Told::Archive(archive));
            self.tree(archive.record.root.root, &mut marks, &reader)?;
            self.checked.archives += 1;
        }
        let needed = self.session.recovered_segments().filter(|id| self.session.is_marked(&marks, id));
        self.checked.unindexed = needed.copied().collect();
        if self.checked.lost.is_empty() {
            return Ok(());
        }
        for archive in wanted {
            self.hurt(archive, &reader)?;
        }
        Ok(())
    }

    fn tree(&mut self, root: ChunkId, marks: &mut Marks, reader: &Reader) -> Result<()> {
        let mut waiting = vec![root];
        while !waiting.is_empty() {
            self.stop_if_asked()?;
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
        match self.session.mark(marks, id) {
            Mark::Known => return false,
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

    /// Whether all copies were found to be damaged.
    fn is_spoilt(&self, id: &ChunkId) -> bool {
        let damage = self.session.damage();
        if self.checked.spoilt.is_empty() && damage.is_empty() {
            return false;
        }
        // What was recorded holds unless the segment was read whole since.
        let recorded = |place: &Place| {
            !self.checked.whole.contains(&place.segment)
                && !self.checked.spoilt.contains_key(&place.segment)
                && damage.iter().any(|damage| damage.record.covers(id, &place.segment))
        };
        self.session.copies(id).iter().all(|place| self.checked.is_spoilt(place) || recorded(place))
    }

    fn lose(&mut self, id: ChunkId, class: Class, error: Error) {
        if self.checked.lost.insert(id, class).is_none() {
            self.find(About::Chunk(id), error);
        }
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
