//! The trees of archives: every node opens, every chunk is there. Each is visited once, in however many archives it is.

use super::{About, Check, Spoilt};
use crate::archive::catalog::Catalog;
use crate::archive::node::Node;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ChunkId;
use crate::index::{Mark, Marks};
use crate::repository::{Reader, is_finding};
use crate::segment::Class;

impl Check<'_, '_> {
    /// Visits the trees; what is lost is then traced to the files it hurts.
    pub(super) fn archives(&mut self, catalog: &Catalog) -> Result<()> {
        for (id, error) in &catalog.unreadable {
            let error = Error::damaged("read archive", error);
            self.find(About::Archive(*id), error);
        }
        let mut marks = self.session.marks();
        let reader = self.session.reader();
        let only = self.options.only.as_ref();
        let wanted = catalog.archives.iter().filter(|archive| only.is_none_or(|only| only.contains(&archive.id)));
        let wanted: Vec<_> = wanted.collect();
        for archive in &wanted {
            self.tree(archive.record.root.root, &mut marks, &reader)?;
            self.checked.archives += 1;
        }
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
        while let Some(id) = waiting.pop() {
            if self.monitor.interrupted() {
                return Err(Error::new(ErrorKind::Interrupted, "check"));
            }
            if !self.visit(&id, marks) {
                continue;
            }
            match Node::fetch(reader, &id) {
                Ok(node) => node.for_each_chunk(&mut |class, child| match class {
                    Class::Tree => waiting.push(child),
                    Class::Data => {
                        self.visit(&child, marks);
                    }
                }),
                Err(error) if is_finding(&error) => self.lose(id, error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Notes a chunk; whether it is new and there.
    fn visit(&mut self, id: &ChunkId, marks: &mut Marks) -> bool {
        match self.session.mark(marks, id) {
            Mark::Known => return false,
            Mark::Missing => {
                self.lose(*id, Error::new(ErrorKind::NotFound, "find chunk").with("chunk", id));
                return false;
            }
            Mark::New => self.checked.chunks += 1,
        }
        if self.is_spoilt(id) {
            self.lose(*id, Error::damaged("read chunk", "no copy of it can be read").with("chunk", id));
            return false;
        }
        true
    }

    /// Whether all copies were found to be damaged.
    fn is_spoilt(&self, id: &ChunkId) -> bool {
        if self.checked.spoilt.is_empty() {
            return false;
        }
        let copies = self.session.copies(id);
        copies.iter().all(|segment| match self.checked.spoilt.get(segment) {
            Some(Spoilt::Whole) => true,
            Some(Spoilt::Chunks(chunks)) => chunks.contains(id),
            Some(Spoilt::Nothing) | None => false,
        })
    }

    fn lose(&mut self, id: ChunkId, error: Error) {
        if self.checked.lost.insert(id) {
            self.find(About::Chunk(id), error);
        }
    }
}
