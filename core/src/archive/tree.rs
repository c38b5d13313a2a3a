//! Reads a directory: all of it in order, from a name on, or one name.
//!
//! One leaf and the interior nodes above it are in memory. Every node is
//! compared with what its parent says of it (kind, first name, number of entries,
//! order), so a store can not hide, repeat or reorder entries unnoticed. Levels are
//! counted downwards from the root, so no chain of nodes is endless.

use std::vec::IntoIter;

use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::ChunkSource;

use super::content::{DirectoryRef, check_depth};
use super::entry::Entry;
use super::node::{DirectoryChild, Node};
use super::stat::{StatChild, StatRef, StatRow};
use super::wire::damaged;

/// Entries of a directory in order, with what change detection remembers of them.
///
/// A node that can not be read is one `Err`; the iterator then goes on behind it, so that one damaged
/// node of a large directory costs its own entries only. A stat node that can not be read is no
/// error: its rows are `None`.
pub struct DirectoryReader<'a> {
    source: &'a dyn ChunkSource,
    root: Place,
    started: bool,
    levels: Vec<Level>,
    entries: IntoIter<Entry>,
    /// As many as `entries`, or none.
    rows: IntoIter<StatRow>,
    /// The last name of the leaf that was read last.
    last: Vec<u8>,
}

/// A node that may be read next, and what is known of it.
#[derive(Clone)]
struct Place {
    id: ChunkId,
    stat: Option<ChunkId>,
    depth: u8,
    entries: u64,
    first: Option<Vec<u8>>,
}

/// An interior node that was entered; its children have `depth`.
struct Level {
    depth: u8,
    children: IntoIter<(DirectoryChild, Option<ChunkId>)>,
}

impl<'a> DirectoryReader<'a> {
    /// A reader at the first entry. Nothing is fetched before the first entry is asked for.
    pub fn open(source: &'a dyn ChunkSource, directory: &DirectoryRef, stat: Option<&StatRef>) -> Self {
        let root = Place {
            id: directory.root,
            stat: stat.filter(|stat| stat.depth == directory.depth).map(|stat| stat.root),
            depth: directory.depth,
            entries: directory.entries,
            first: None,
        };
        let (entries, rows) = (Vec::new().into_iter(), Vec::new().into_iter());
        Self { source, root, started: false, levels: Vec::new(), entries, rows, last: Vec::new() }
    }

    /// Goes to the first entry whose name is not before `name`.
    ///
    /// After an error the reader stands behind the node that can not be read.
    pub fn seek(&mut self, name: &[u8]) -> Result<()> {
        self.started = true;
        self.levels.clear();
        self.entries = Vec::new().into_iter();
        self.last.clear();
        let mut next = Some(self.root.clone());
        while let Some(place) = next.take() {
            let depth = place.depth;
            self.enter(&place)?;
            if depth == 0 {
                break;
            }
            if let Some(level) = self.levels.last_mut() {
                let behind = level.children.as_slice().partition_point(|(child, _)| child.first.as_slice() <= name);
                // The name lies in the last child that does not begin behind it.
                level.children.by_ref().take(behind.saturating_sub(1)).for_each(drop);
            }
            next = self.next_place();
        }
        let before = self.entries.as_slice().partition_point(|entry| entry.name.as_slice() < name);
        self.entries.by_ref().take(before).for_each(drop);
        self.rows.by_ref().take(before).for_each(drop);
        Ok(())
    }

    /// The entry called `name`, if there is one; the reader then stands at the entry behind it.
    pub fn find(&mut self, name: &[u8]) -> Result<Option<(Entry, Option<StatRow>)>> {
        self.seek(name)?;
        match self.entries.as_slice().first() {
            Some(entry) if entry.name == name => Ok(self.pop()),
            _ => Ok(None),
        }
    }

    fn pop(&mut self) -> Option<(Entry, Option<StatRow>)> {
        Some((self.entries.next()?, self.rows.next()))
    }

    fn next_place(&mut self) -> Option<Place> {
        if !self.started {
            self.started = true;
            return Some(self.root.clone());
        }
        while let Some(level) = self.levels.last_mut() {
            if let Some((child, stat)) = level.children.next() {
                let DirectoryChild { first, id, entries } = child;
                return Some(Place { id, stat, depth: level.depth, entries, first: Some(first) });
            }
            self.levels.pop();
        }
        None
    }

    fn enter(&mut self, place: &Place) -> Result<()> {
        check_depth(place.depth).map_err(damaged)?;
        let wrong = |what| damaged(what).with("chunk", place.id);
        let node = Node::fetch(self.source, &place.id)?;
        // Whatever is wrong with a stat node, the entries are good.
        let stats = place.stat.and_then(|id| Node::fetch(self.source, &id).ok());
        match (node, place.depth.checked_sub(1)) {
            (Node::DirectoryLeaf(entries), None) => self.enter_leaf(place, entries, stats).map_err(wrong),
            (Node::DirectoryInterior(children), Some(depth)) => {
                let total = children.iter().try_fold(0u64, |sum, child| sum.checked_add(child.entries));
                check(place, total, children.first().map(|child| &child.first), &self.last).map_err(wrong)?;
                let children = pair(children, stats);
                self.levels.push(Level { depth, children: children.into_iter() });
                Ok(())
            }
            _ => Err(wrong("not the kind of node its parent says")),
        }
    }

    fn enter_leaf(&mut self, place: &Place, entries: Vec<Entry>, stats: Option<Node>) -> Result<(), &'static str> {
        check(place, Some(entries.len() as u64), entries.first().map(|entry| &entry.name), &self.last)?;
        if let Some(entry) = entries.last() {
            self.last.clone_from(&entry.name);
        }
        let rows = match stats {
            Some(Node::StatLeaf(rows)) if rows.len() == entries.len() => rows,
            _ => Vec::new(),
        };
        (self.entries, self.rows) = (entries.into_iter(), rows.into_iter());
        Ok(())
    }
}

impl Iterator for DirectoryReader<'_> {
    type Item = Result<(Entry, Option<StatRow>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.pop() {
                return Some(Ok(found));
            }
            let place = self.next_place()?;
            if let Err(error) = self.enter(&place) {
                return Some(Err(error));
            }
        }
    }
}

/// Compares a node with what its parent says of it and with what was read before.
fn check(place: &Place, entries: Option<u64>, first: Option<&Vec<u8>>, last: &[u8]) -> Result<(), &'static str> {
    if entries != Some(place.entries) {
        return Err("not as many entries as its parent says");
    }
    if place.first.is_some() && place.first.as_ref() != first {
        return Err("not the first name its parent says");
    }
    match first {
        Some(first) if first.as_slice() <= last => Err("names not in order"),
        _ => Ok(()),
    }
}

/// Joins the children of a node with those of its stat node, if that is its twin indeed.
fn pair(children: Vec<DirectoryChild>, stats: Option<Node>) -> Vec<(DirectoryChild, Option<ChunkId>)> {
    let twin = |stats: &[StatChild]| {
        stats.len() == children.len() && stats.iter().zip(&children).all(|(stat, child)| stat.rows == child.entries)
    };
    let stats = match stats {
        Some(Node::StatInterior(stats)) if twin(&stats) => stats,
        _ => Vec::new(),
    };
    let stats = stats.into_iter().map(|stat| Some(stat.id)).chain(std::iter::repeat(None));
    children.into_iter().zip(stats).collect()
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
