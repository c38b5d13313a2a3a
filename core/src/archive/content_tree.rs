//! Long content lists: trees of nodes that count items and bytes.
//!
//! A file of 16 TiB has millions of chunks; its list is written and read with one node per
//! level in memory, and a position is found in as many steps as there are levels. Leaves end by a
//! keyed hash of a chunk's name, so that equal stretches of two lists share nodes.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{INLINE_CONTENT_ITEMS_MAX, NODE_ENTRIES_MAX};
use crate::repository::{ChunkSink, ChunkSource};

use super::content::{Content, ContentChild, ContentItem, ContentTree, check_depth};
use super::cut::{Cut, CutKey};
use super::node::{Node, NodeBuffer, NodeKind};
use super::spine::{Shape, Spine};
use super::wire::{damaged, invalid};

/// Builds the content of a file from its pieces in order.
///
/// Neighbouring holes become one, so equal files have equal lists. After an error it must be dropped.
#[derive(Clone, Debug)]
pub struct ContentBuilder {
    key: CutKey,
    /// The first items, as long as they may stay in the entry.
    items: Vec<ContentItem>,
    hole: u64,
    leaf: OpenContent,
    spine: Spine<Lists>,
    count: u64,
    size: u64,
}

impl ContentBuilder {
    /// A file without content.
    pub fn new(cut_key: CutKey) -> Self {
        Self {
            key: cut_key,
            items: Vec::new(),
            hole: 0,
            leaf: OpenContent::default(),
            spine: Spine::default(),
            count: 0,
            size: 0,
        }
    }

    /// Adds the next piece. Empty and overlong ones are `InvalidInput`.
    pub fn push(&mut self, item: ContentItem, sink: &dyn ChunkSink) -> Result<()> {
        item.check().map_err(invalid)?;
        self.size = self.size.checked_add(item.bytes()).ok_or_else(|| invalid("file too large"))?;
        match item {
            ContentItem::Hole { bytes } => {
                self.hole += bytes;
                Ok(())
            }
            ContentItem::Chunk { .. } => {
                self.close_hole(sink)?;
                self.append(item, sink)
            }
        }
    }

    /// Stores what is left. Returns the content (nothing, a list or a tree) and the size of the file in bytes.
    pub fn finish(mut self, sink: &dyn ChunkSink) -> Result<(Content, u64)> {
        self.close_hole(sink)?;
        if self.count == 0 {
            return Ok((Content::None, 0));
        }
        if self.count <= INLINE_CONTENT_ITEMS_MAX as u64 {
            return Ok((Content::List(self.items), self.size));
        }
        if self.leaf.nodes.count() > 0 {
            self.close_leaf(sink)?;
        }
        match self.spine.finish(sink)? {
            Some((root, depth)) => {
                Ok((Content::Tree(ContentTree { root: root.id, depth, items: self.count }), self.size))
            }
            None => Err(Error::new(ErrorKind::System, "build content").with("reason", "a list without nodes")),
        }
    }

    /// Bytes of the file so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Items and nodes held in memory: at most 512 per level of the tree.
    pub fn held(&self) -> usize {
        self.leaf.nodes.count() + self.spine.held()
    }

    fn close_hole(&mut self, sink: &dyn ChunkSink) -> Result<()> {
        match std::mem::take(&mut self.hole) {
            0 => Ok(()),
            bytes => self.append(ContentItem::Hole { bytes }, sink),
        }
    }

    fn append(&mut self, item: ContentItem, sink: &dyn ChunkSink) -> Result<()> {
        self.leaf.nodes.append(|out| {
            item.put(out);
            Ok(())
        })?;
        self.leaf.items += 1;
        self.leaf.bytes += item.bytes();
        self.count += 1;
        if self.items.len() < INLINE_CONTENT_ITEMS_MAX {
            self.items.push(item);
        }
        let count = self.leaf.nodes.count();
        let ends = match &item {
            ContentItem::Chunk { id, .. } => self.key.ends(Cut::Content, 0, id.as_bytes(), count),
            ContentItem::Hole { .. } => count >= NODE_ENTRIES_MAX,
        };
        if ends { self.close_leaf(sink) } else { Ok(()) }
    }

    fn close_leaf(&mut self, sink: &dyn ChunkSink) -> Result<()> {
        let leaf = self.leaf.store(NodeKind::ContentLeaf, sink)?;
        self.spine.push(leaf, &self.key, sink)
    }
}

/// A node in the making.
#[derive(Clone, Debug, Default)]
struct OpenContent {
    nodes: NodeBuffer,
    items: u64,
    bytes: u64,
}

impl OpenContent {
    fn store(&mut self, kind: NodeKind, sink: &dyn ChunkSink) -> Result<ContentChild> {
        let id = self.nodes.store(kind, sink)?;
        Ok(ContentChild { id, items: std::mem::take(&mut self.items), bytes: std::mem::take(&mut self.bytes) })
    }
}

#[derive(Debug)]
struct Lists;

impl Shape for Lists {
    type Open = OpenContent;
    type Child = ContentChild;
    const CUT: Cut = Cut::Content;

    fn append(open: &mut OpenContent, child: &ContentChild) -> Result<()> {
        open.items += child.items;
        open.bytes += child.bytes;
        open.nodes.append(|out| {
            child.put(out);
            Ok(())
        })
    }

    fn close(open: &mut OpenContent, _first: ContentChild, sink: &dyn ChunkSink) -> Result<ContentChild> {
        open.store(NodeKind::ContentInterior, sink)
    }

    fn mark(child: &ContentChild) -> &[u8] {
        child.id.as_bytes()
    }
}

/// The pieces of a file in order, from any position on.
///
/// A node that can not be read is one `Err`; [`ContentReader::position`] then is where the next
/// piece begins, and the iterator goes on with it.
pub struct ContentReader<'a> {
    source: &'a dyn ChunkSource,
    start: Start,
    size: u64,
    position: u64,
    levels: Vec<Level>,
    leaf: std::vec::IntoIter<ContentItem>,
    started: bool,
}

enum Start {
    Items(Vec<ContentItem>),
    Tree { root: ContentChild, depth: u8 },
}

/// An interior node that was entered; its children have `depth`.
struct Level {
    depth: u8,
    children: std::vec::IntoIter<ContentChild>,
}

impl<'a> ContentReader<'a> {
    /// A reader at the beginning of a file of `size` bytes. Content that is no list of pieces (see
    /// [`Content::Inline`] for small files) is `InvalidInput`. Nothing is fetched yet.
    pub fn open(source: &'a dyn ChunkSource, content: &Content, size: u64) -> Result<Self> {
        let start = match content {
            Content::None => Start::Items(Vec::new()),
            Content::List(items) => Start::Items(items.clone()),
            Content::Tree(ContentTree { root, depth, items }) => {
                Start::Tree { root: ContentChild { id: *root, items: *items, bytes: size }, depth: *depth }
            }
            _ => return Err(Error::new(ErrorKind::InvalidInput, "read content").with("reason", "no list of pieces")),
        };
        let (levels, leaf) = (Vec::new(), Vec::new().into_iter());
        Ok(Self { source, start, size, position: 0, levels, leaf, started: false })
    }

    /// Where the next piece begins, in bytes from the beginning of the file.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes to the piece that holds the byte at `offset`, or to the end. [`ContentReader::position`] tells
    /// where the piece begins. After an error the reader stands behind the node that can not be read.
    pub fn seek(&mut self, offset: u64) -> Result<()> {
        self.started = false;
        self.position = 0;
        self.levels.clear();
        self.leaf = Vec::new().into_iter();
        if offset >= self.size {
            self.started = true;
            self.position = self.size;
            return Ok(());
        }
        while self.leaf.as_slice().is_empty() {
            if let Some(level) = self.levels.last_mut() {
                skip(&mut level.children, |child| child.bytes, &mut self.position, offset);
            }
            if !self.advance()? {
                return Ok(());
            }
        }
        skip(&mut self.leaf, ContentItem::bytes, &mut self.position, offset);
        Ok(())
    }

    /// Enters the next node; `false` at the end.
    fn advance(&mut self) -> Result<bool> {
        if !self.started {
            self.started = true;
            match &self.start {
                Start::Items(items) => self.leaf = items.clone().into_iter(),
                Start::Tree { root, depth } => self.enter(*root, *depth)?,
            }
            return Ok(!self.leaf.as_slice().is_empty() || !self.levels.is_empty());
        }
        while let Some(level) = self.levels.last_mut() {
            if let Some(child) = level.children.next() {
                let depth = level.depth;
                self.enter(child, depth)?;
                return Ok(true);
            }
            self.levels.pop();
        }
        Ok(false)
    }

    fn enter(&mut self, place: ContentChild, depth: u8) -> Result<()> {
        self.enter_node(place, depth).inspect_err(|_| self.position = self.position.saturating_add(place.bytes))
    }

    fn enter_node(&mut self, place: ContentChild, depth: u8) -> Result<()> {
        check_depth(depth).map_err(damaged)?;
        match (Node::fetch(self.source, &place.id)?, depth.checked_sub(1)) {
            (Node::ContentLeaf(items), None) => {
                check(place, items.iter().map(|item| (1, item.bytes())))?;
                self.leaf = items.into_iter();
            }
            (Node::ContentInterior(children), Some(depth)) => {
                check(place, children.iter().map(|child| (child.items, child.bytes)))?;
                self.levels.push(Level { depth, children: children.into_iter() });
            }
            _ => return Err(damaged("not the kind of node its parent says").with("chunk", place.id)),
        }
        Ok(())
    }
}

impl Iterator for ContentReader<'_> {
    type Item = Result<ContentItem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.leaf.next() {
                self.position = self.position.saturating_add(item.bytes());
                return Some(Ok(item));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Compares a node with what its parent says of it.
fn check(place: ContentChild, mut parts: impl Iterator<Item = (u64, u64)>) -> Result<()> {
    let sums =
        parts.try_fold((0u64, 0u64), |sums, part| Some((sums.0.checked_add(part.0)?, sums.1.checked_add(part.1)?)));
    if sums == Some((place.items, place.bytes)) {
        return Ok(());
    }
    Err(damaged("not as many pieces or bytes as its parent says").with("chunk", place.id))
}

/// Drops what ends at or before `offset` and moves `position` accordingly.
fn skip<T>(parts: &mut std::vec::IntoIter<T>, bytes: impl Fn(&T) -> u64, position: &mut u64, offset: u64) {
    while let Some(end) = parts.as_slice().first().map(|part| position.saturating_add(bytes(part))) {
        if end > offset {
            break;
        }
        *position = end;
        parts.next();
    }
}

#[cfg(test)]
#[path = "content_tree_tests.rs"]
mod tests;
