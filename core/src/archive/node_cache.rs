//! Decoded nodes of directories, the last ones used, and finding entries in them by name or by number.
//!
//! For whoever looks into directories again and again and in no order, such as a mounted file system;
//! who reads a directory once from begin to end takes a [`super::tree::DirectoryReader`]. Every node is
//! compared with what its parent says of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::id::ChunkId;
use crate::recent::Recent;
use crate::repository::ChunkSource;
use crate::segment::Class;

use super::content::{DirectoryRef, check_depth};
use super::entry::Entry;
use super::node::{DirectoryChild, Node};
use super::wire::damaged;

/// Bytes a decoded element takes beside its own: about the size of an [`Entry`] and its allocations.
const ELEMENT_BYTES: usize = 400;

/// Reads directories through a cache. Share one among threads.
pub struct NodeCache<S> {
    source: S,
    nodes: Mutex<Recent<ChunkId, Arc<Node>>>,
}

/// A leaf of a directory. It stays in memory as long as somebody holds it.
#[derive(Clone, Debug)]
pub struct Leaf {
    id: ChunkId,
    node: Arc<Node>,
}

/// A part of a directory: a leaf, or entries that can not be read.
#[derive(Debug)]
pub struct Stretch {
    /// The number of its first entry in the directory.
    pub first: u64,
    /// Entries it has: at least 1.
    pub entries: u64,
    /// The leaf, or what is wrong with it.
    pub leaf: Result<Leaf>,
}

/// A node that is entered next, and what is known of it.
struct Place {
    id: ChunkId,
    depth: u8,
    entries: u64,
    first: Option<Vec<u8>>,
}

impl Leaf {
    /// The chunk it is stored as.
    pub fn id(&self) -> &ChunkId {
        &self.id
    }

    /// Its entries, ascending by name.
    pub fn entries(&self) -> &[Entry] {
        match &*self.node {
            Node::DirectoryLeaf(entries) => entries,
            _ => &[],
        }
    }
}

impl<S: ChunkSource> NodeCache<S> {
    /// A cache that keeps about `bytes_max` bytes of decoded nodes.
    pub fn new(source: S, bytes_max: usize) -> Self {
        Self { source, nodes: Mutex::new(Recent::new(bytes_max)) }
    }

    /// Where the nodes come from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The leaf that is stored as this chunk; any other node is `Damaged`.
    pub fn leaf(&self, id: &ChunkId) -> Result<Leaf> {
        match self.node(id)? {
            node if matches!(*node, Node::DirectoryLeaf(_)) => Ok(Leaf { id: *id, node }),
            _ => Err(damaged("not a leaf of a directory").with("chunk", id)),
        }
    }

    /// The leaf with the entry called `name`, and the entry's position in it.
    pub fn find(&self, directory: &DirectoryRef, name: &[u8]) -> Result<Option<(Leaf, usize)>> {
        let mut place = Place::root(directory);
        loop {
            let node = self.enter(&place)?;
            match &*node {
                Node::DirectoryInterior(children) => {
                    // The name lies in the last child that does not begin behind it.
                    let behind = children.partition_point(|child| child.first.as_slice() <= name);
                    let Some(child) = children.get(behind.saturating_sub(1)) else { return Ok(None) };
                    place = Place::child(child, place.depth);
                }
                Node::DirectoryLeaf(entries) => {
                    let found = entries.binary_search_by(|entry| entry.name.as_slice().cmp(name)).ok();
                    return Ok(found.map(|position| (Leaf { id: place.id, node: Arc::clone(&node) }, position)));
                }
                _ => return Ok(None),
            }
        }
    }

    /// The part of the directory that holds the entry with this number; `None` behind the last entry.
    pub fn stretch(&self, directory: &DirectoryRef, number: u64) -> Option<Stretch> {
        if number >= directory.entries {
            return None;
        }
        let (mut place, mut first) = (Place::root(directory), 0);
        loop {
            let entries = place.entries;
            let node = match self.enter(&place) {
                Ok(node) => node,
                Err(error) => return Some(Stretch { first, entries, leaf: Err(error) }),
            };
            let Node::DirectoryInterior(children) = &*node else {
                let leaf = Ok(Leaf { id: place.id, node });
                return Some(Stretch { first, entries, leaf });
            };
            // The sum is that of the place, so one of the children holds the number.
            let child = children.iter().find(|child| {
                let here = number - first < child.entries;
                first += if here { 0 } else { child.entries };
                here
            })?;
            place = Place::child(child, place.depth);
        }
    }

    fn enter(&self, place: &Place) -> Result<Arc<Node>> {
        check_depth(place.depth).map_err(damaged)?;
        let node = self.node(&place.id)?;
        let (entries, first) = match (&*node, place.depth) {
            (Node::DirectoryLeaf(entries), 0) => (Some(entries.len() as u64), entries.first().map(|entry| &entry.name)),
            (Node::DirectoryInterior(children), 1..) => {
                let sum = children.iter().try_fold(0u64, |sum, child| sum.checked_add(child.entries));
                (sum, children.first().map(|child| &child.first))
            }
            _ => return Err(damaged("not the kind of node its parent says").with("chunk", place.id)),
        };
        if entries != Some(place.entries) || place.first.is_some() && place.first.as_ref() != first {
            return Err(damaged("not the entries its parent says").with("chunk", place.id));
        }
        Ok(node)
    }

    fn node(&self, id: &ChunkId) -> Result<Arc<Node>> {
        if let Some(node) = self.nodes().get(id) {
            return Ok(node);
        }
        let bytes = self.source.fetch(Class::Tree, id)?;
        let node = Arc::new(Node::decode(&bytes).map_err(|error| error.with("chunk", id))?);
        self.nodes().keep(*id, Arc::clone(&node), bytes.len() + ELEMENT_BYTES * node.elements());
        Ok(node)
    }

    fn nodes(&self) -> MutexGuard<'_, Recent<ChunkId, Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> std::fmt::Debug for NodeCache<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeCache")
    }
}

impl Place {
    fn root(directory: &DirectoryRef) -> Self {
        Self { id: directory.root, depth: directory.depth, entries: directory.entries, first: None }
    }

    fn child(child: &DirectoryChild, depth: u8) -> Self {
        let first = Some(child.first.clone());
        Self { id: child.id, depth: depth.saturating_sub(1), entries: child.entries, first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::builder::DirectoryBuilder;
    use crate::archive::cut::CutKey;
    use crate::archive::stat::StatRow;
    use crate::archive::testing::{MemoryChunks, file_entry};
    use crate::error::ErrorKind;

    fn directory(chunks: &MemoryChunks, count: usize) -> DirectoryRef {
        let mut builder = DirectoryBuilder::new(CutKey::new([7; 32]));
        for number in 0..count {
            builder.push(file_entry(format!("{number:06}").as_bytes(), 1), StatRow::None, chunks).unwrap();
        }
        builder.finish(chunks).unwrap().0
    }

    fn names(cache: &NodeCache<&MemoryChunks>, directory: &DirectoryRef) -> Vec<Vec<u8>> {
        let (mut names, mut number) = (Vec::new(), 0);
        while let Some(stretch) = cache.stretch(directory, number) {
            assert_eq!(stretch.first, number);
            names.extend(stretch.leaf.unwrap().entries().iter().map(|entry| entry.name.clone()));
            number += stretch.entries;
        }
        names
    }

    #[test]
    fn entries_are_found_by_name_and_by_number() {
        let chunks = MemoryChunks::new();
        for count in [0, 1, 64, 5000] {
            let directory = directory(&chunks, count);
            // With hardly any room, and with plenty.
            for bytes in [0, 1 << 26] {
                let cache = NodeCache::new(&chunks, bytes);
                let all = names(&cache, &directory);
                assert!(all.len() == count && all.is_sorted());
                for name in all.iter().step_by(37) {
                    let (leaf, position) = cache.find(&directory, name).unwrap().unwrap();
                    assert_eq!(leaf.entries()[position].name, *name);
                    assert_eq!(cache.leaf(leaf.id()).unwrap().entries()[position].name, *name);
                }
                for name in [&b""[..], b"0", b"002500x", b"z"] {
                    assert!(cache.find(&directory, name).unwrap().is_none());
                }
                for number in (0..count).step_by(41) {
                    let stretch = cache.stretch(&directory, number as u64).unwrap();
                    let entries = stretch.leaf.unwrap();
                    assert_eq!(entries.entries()[number - stretch.first as usize].name, all[number]);
                }
                assert!(cache.stretch(&directory, count as u64).is_none());
            }
        }
    }

    #[test]
    fn a_parent_that_lies_is_found_out() {
        let chunks = MemoryChunks::new();
        let good = directory(&chunks, 2000);
        let cache = NodeCache::new(&chunks, 1 << 20);
        for bad in [
            DirectoryRef { entries: good.entries + 1, ..good },
            DirectoryRef { depth: 0, ..good },
            DirectoryRef { depth: good.depth + 1, ..good },
            DirectoryRef { depth: 200, ..good },
        ] {
            assert_eq!(cache.find(&bad, b"000001").unwrap_err().kind(), ErrorKind::Damaged);
            assert_eq!(cache.stretch(&bad, 0).unwrap().leaf.unwrap_err().kind(), ErrorKind::Damaged);
        }
        assert_eq!(cache.leaf(&good.root).unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn memory_is_bounded() {
        let chunks = MemoryChunks::new();
        let directory = directory(&chunks, 20_000);
        let bytes = 256 * (ELEMENT_BYTES + 60) * 4;
        let cache = NodeCache::new(&chunks, bytes);
        names(&cache, &directory);
        assert!((bytes / 8..=bytes).contains(&cache.nodes().bytes()), "{}", cache.nodes().bytes());
    }
}
