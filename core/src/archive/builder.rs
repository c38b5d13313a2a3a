//! Builds a directory from its entries in order, in memory that does not depend on their number.
//!
//! Entries are encoded as they come and a node leaves for the store as soon as
//! it ends. The stat tree grows along: its nodes end where the directory's end.

use crate::error::{Error, ErrorKind, Result};
use crate::id::ChunkId;
use crate::repository::ChunkSink;

use super::content::{Content, DirectoryRef};
use super::cut::{Cut, CutKey};
use super::entry::Entry;
use super::metadata::FileType;
use super::node::{DirectoryChild, NodeBuffer, NodeKind};
use super::spine::{Shape, Spine};
use super::stat::{StatChild, StatRef, StatRow};

/// Builds one directory and its stat tree. After an error of the sink it must be dropped.
#[derive(Clone, Debug)]
pub struct DirectoryBuilder {
    key: CutKey,
    leaf: Leaf,
    last: Vec<u8>,
    spine: Spine<Twins>,
    entries: u64,
    files: u64,
    bytes: u64,
}

impl DirectoryBuilder {
    /// A directory without entries.
    pub fn new(cut_key: CutKey) -> Self {
        Self {
            key: cut_key,
            leaf: Leaf::default(),
            last: Vec::new(),
            spine: Spine::default(),
            entries: 0,
            files: 0,
            bytes: 0,
        }
    }

    /// Adds the next entry; its name must come after all before it, byte by byte.
    ///
    /// A name out of order and an entry the format does not allow are `InvalidInput`; an entry above 8 KiB
    /// is `LimitExceeded`. After these two the builder is as it was and may be used on.
    pub fn push(&mut self, entry: Entry, stat: StatRow, sink: &dyn ChunkSink) -> Result<()> {
        if entry.name <= self.last {
            return Err(Error::new(ErrorKind::InvalidInput, "build directory")
                .with("reason", "name out of order")
                .with("name", entry.name.escape_ascii()));
        }
        self.leaf.nodes.append(|out| entry.put(out))?;
        self.leaf.stats.append(|out| {
            stat.put(out);
            Ok(())
        })?;
        self.count(&entry);
        if self.leaf.nodes.count() == 1 {
            self.leaf.first.clone_from(&entry.name);
        }
        let ends = self.key.ends(Cut::Directory, 0, &entry.name, self.leaf.nodes.count());
        self.last = entry.name;
        if ends {
            let leaf = self.leaf.store(sink)?;
            self.spine.push(leaf, &self.key, sink)?;
        }
        Ok(())
    }

    fn count(&mut self, entry: &Entry) {
        let (files, bytes) = match &entry.content {
            Content::Directory(directory) => (directory.files, directory.bytes),
            _ => (u64::from(entry.file_type == FileType::File), entry.size),
        };
        self.entries += 1;
        // The totals are for progress only: better a wrong one than no backup of an absurd tree.
        self.files = self.files.saturating_add(files);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Stores what is left and returns the roots of the directory and of its stat tree.
    pub fn finish(mut self, sink: &dyn ChunkSink) -> Result<(DirectoryRef, StatRef)> {
        if self.leaf.nodes.count() > 0 || self.entries == 0 {
            let leaf = self.leaf.store(sink)?;
            if self.entries == 0 {
                return Ok(self.roots(&leaf, 0));
            }
            self.spine.push(leaf, &self.key, sink)?;
        }
        match std::mem::take(&mut self.spine).finish(sink)? {
            Some((root, depth)) => Ok(self.roots(&root, depth)),
            None => Err(Error::new(ErrorKind::System, "build directory").with("reason", "a directory without nodes")),
        }
    }

    fn roots(&self, root: &Twin, depth: u8) -> (DirectoryRef, StatRef) {
        let (entries, files, bytes) = (self.entries, self.files, self.bytes);
        (DirectoryRef { root: root.id, depth, entries, files, bytes }, StatRef { root: root.stat, depth })
    }

    /// Stores the directory as it is now, with one more entry if `extra` is given, and goes on undisturbed.
    ///
    /// For checkpoints: `extra` is the child directory that is still being built.
    pub fn snapshot(&self, extra: Option<(Entry, StatRow)>, sink: &dyn ChunkSink) -> Result<(DirectoryRef, StatRef)> {
        let mut copy = self.clone();
        if let Some((entry, stat)) = extra {
            copy.push(entry, stat, sink)?;
        }
        copy.finish(sink)
    }

    /// Entries so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Entries and nodes held in memory: at most 512 per level of the tree, each of at most 8 KiB.
    pub fn held(&self) -> usize {
        self.leaf.nodes.count() + self.spine.held()
    }
}

/// A leaf in the making, and its stat leaf.
#[derive(Clone, Debug, Default)]
struct Leaf {
    nodes: NodeBuffer,
    stats: NodeBuffer,
    first: Vec<u8>,
}

impl Leaf {
    fn store(&mut self, sink: &dyn ChunkSink) -> Result<Twin> {
        let entries = self.nodes.count() as u64;
        Ok(Twin {
            id: self.nodes.store(NodeKind::DirectoryLeaf, sink)?,
            stat: self.stats.store(NodeKind::StatLeaf, sink)?,
            first: std::mem::take(&mut self.first),
            entries,
        })
    }
}

/// A node of the directory and the node of the stat tree that goes with it.
#[derive(Clone, Debug)]
struct Twin {
    first: Vec<u8>,
    id: ChunkId,
    stat: ChunkId,
    entries: u64,
}

#[derive(Clone, Debug, Default)]
struct OpenTwin {
    nodes: NodeBuffer,
    stats: NodeBuffer,
    entries: u64,
}

#[derive(Debug)]
struct Twins;

impl Shape for Twins {
    type Open = OpenTwin;
    type Child = Twin;
    const CUT: Cut = Cut::Directory;

    fn append(open: &mut OpenTwin, child: &Twin) -> Result<()> {
        open.entries += child.entries;
        let node = DirectoryChild { first: child.first.clone(), id: child.id, entries: child.entries };
        open.nodes.append(|out| {
            node.put(out);
            Ok(())
        })?;
        open.stats.append(|out| {
            StatChild { id: child.stat, rows: child.entries }.put(out);
            Ok(())
        })
    }

    fn close(open: &mut OpenTwin, first: Twin, sink: &dyn ChunkSink) -> Result<Twin> {
        Ok(Twin {
            id: open.nodes.store(NodeKind::DirectoryInterior, sink)?,
            stat: open.stats.store(NodeKind::StatInterior, sink)?,
            first: first.first,
            entries: std::mem::take(&mut open.entries),
        })
    }

    fn mark(child: &Twin) -> &[u8] {
        &child.first
    }
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
