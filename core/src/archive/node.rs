//! The bytes of a tree chunk: one kind byte, then one msgpack value.
//!
//! The kind byte keeps the trees apart: a content node can not be read as a
//! directory. A node has one form only (see `wire`), and what was decoded is
//! consistent in itself: sorted, within its limits, every length accounted for.
//! Whether it is the node its parent meant is checked by the readers.

use crate::error::Result;
use crate::id::ChunkId;
use crate::limits::NODE_ENTRIES_MAX;
use crate::repository::{ChunkSink, ChunkSource};
use crate::segment::Class;

use super::attributes::{AttributesRef, put_attributes, take_attributes};
use super::content::{Content, ContentChild, ContentItem};
use super::entry::{Entry, check_name};
use super::metadata::Attributes;
use super::stat::{StatChild, StatRow};
use super::wire::{self, Reader, damaged, invalid};

/// What a tree chunk is; its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NodeKind {
    /// An array of up to 512 entries, ascending by name.
    DirectoryLeaf = 1,
    /// An array of 1 to 512 [`DirectoryChild`], ascending by first name.
    DirectoryInterior = 2,
    /// An array of 1 to 512 pieces of a file.
    ContentLeaf = 3,
    /// An array of 1 to 512 [`ContentChild`].
    ContentInterior = 4,
    /// An array of up to 512 stat rows.
    StatLeaf = 5,
    /// An array of 1 to 512 [`StatChild`].
    StatInterior = 6,
    /// A map of attributes.
    Attributes = 7,
}

/// A node of a directory, as its parent names it. Stored as an array of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryChild {
    /// The first name below it.
    pub first: Vec<u8>,
    /// The chunk, class tree.
    pub id: ChunkId,
    /// Entries below it: at least 1.
    pub entries: u64,
}

/// A tree chunk, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// [`NodeKind::DirectoryLeaf`].
    DirectoryLeaf(Vec<Entry>),
    /// [`NodeKind::DirectoryInterior`].
    DirectoryInterior(Vec<DirectoryChild>),
    /// [`NodeKind::ContentLeaf`].
    ContentLeaf(Vec<ContentItem>),
    /// [`NodeKind::ContentInterior`].
    ContentInterior(Vec<ContentChild>),
    /// [`NodeKind::StatLeaf`].
    StatLeaf(Vec<StatRow>),
    /// [`NodeKind::StatInterior`].
    StatInterior(Vec<StatChild>),
    /// [`NodeKind::Attributes`].
    Attributes(Attributes),
}

impl Node {
    /// Reads a node; refuses any form but the canonical one as `Damaged`.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (kind, body) = bytes.split_first().ok_or_else(|| damaged("empty"))?;
        let mut reader = Reader::new(body);
        let node = match kind {
            1 => Self::DirectoryLeaf(take_all(&mut reader, Entry::take)?),
            2 => Self::DirectoryInterior(take_all(&mut reader, DirectoryChild::take)?),
            3 => Self::ContentLeaf(take_all(&mut reader, ContentItem::take)?),
            4 => Self::ContentInterior(take_all(&mut reader, ContentChild::take)?),
            5 => Self::StatLeaf(take_all(&mut reader, StatRow::take)?),
            6 => Self::StatInterior(take_all(&mut reader, StatChild::take)?),
            7 => Self::Attributes(take_attributes(&mut reader)?),
            _ => return Err(damaged("unknown kind of node")),
        };
        reader.finish()?;
        node.consistent().map_err(damaged)?;
        Ok(node)
    }

    fn consistent(&self) -> Result<(), &'static str> {
        let sorted = match self {
            Self::DirectoryLeaf(entries) => entries.is_sorted_by(|left, right| left.name < right.name),
            Self::DirectoryInterior(children) => children.is_sorted_by(|left, right| left.first < right.first),
            _ => true,
        };
        if !sorted {
            return Err("names not in order");
        }
        let empty = match self {
            Self::DirectoryInterior(children) => children.is_empty(),
            Self::ContentLeaf(items) => items.is_empty(),
            Self::ContentInterior(children) => children.is_empty(),
            Self::StatInterior(children) => children.is_empty(),
            Self::DirectoryLeaf(_) | Self::StatLeaf(_) | Self::Attributes(_) => false,
        };
        if empty { Err("a node without elements") } else { Ok(()) }
    }

    /// The bytes of the node. More than 512 elements, none where some must be, names out of order and entries
    /// that are not consistent are `InvalidInput`.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.consistent().map_err(invalid)?;
        let mut buffer = NodeBuffer::default();
        match self {
            Self::DirectoryLeaf(entries) => {
                entries.iter().try_for_each(|entry| buffer.append(|out| entry.put(out)))?;
            }
            Self::DirectoryInterior(children) => fill(&mut buffer, children, DirectoryChild::put)?,
            Self::ContentLeaf(items) => fill(&mut buffer, items, ContentItem::put)?,
            Self::ContentInterior(children) => fill(&mut buffer, children, ContentChild::put)?,
            Self::StatLeaf(rows) => fill(&mut buffer, rows, StatRow::put)?,
            Self::StatInterior(children) => fill(&mut buffer, children, StatChild::put)?,
            Self::Attributes(attributes) => {
                let mut out = vec![NodeKind::Attributes as u8];
                put_attributes(&mut out, attributes)?;
                return Ok(out);
            }
        }
        Ok(buffer.close(self.kind()).to_vec())
    }

    /// What it is.
    pub fn kind(&self) -> NodeKind {
        match self {
            Self::DirectoryLeaf(_) => NodeKind::DirectoryLeaf,
            Self::DirectoryInterior(_) => NodeKind::DirectoryInterior,
            Self::ContentLeaf(_) => NodeKind::ContentLeaf,
            Self::ContentInterior(_) => NodeKind::ContentInterior,
            Self::StatLeaf(_) => NodeKind::StatLeaf,
            Self::StatInterior(_) => NodeKind::StatInterior,
            Self::Attributes(_) => NodeKind::Attributes,
        }
    }

    /// Entries, pieces, rows, children or attributes in it.
    pub fn elements(&self) -> usize {
        match self {
            Self::DirectoryLeaf(entries) => entries.len(),
            Self::DirectoryInterior(children) => children.len(),
            Self::ContentLeaf(items) => items.len(),
            Self::ContentInterior(children) => children.len(),
            Self::StatLeaf(rows) => rows.len(),
            Self::StatInterior(children) => children.len(),
            Self::Attributes(attributes) => attributes.0.len(),
        }
    }

    /// Calls `visit` for every chunk the node names, in order.
    pub fn for_each_chunk(&self, visit: &mut dyn FnMut(Class, ChunkId)) {
        match self {
            Self::DirectoryLeaf(entries) => entries.iter().for_each(|entry| chunks_of_entry(entry, visit)),
            Self::DirectoryInterior(children) => children.iter().for_each(|child| visit(Class::Tree, child.id)),
            Self::ContentLeaf(items) => chunks_of_items(items, visit),
            Self::ContentInterior(children) => children.iter().for_each(|child| visit(Class::Tree, child.id)),
            Self::StatLeaf(rows) => {
                for row in rows {
                    if let StatRow::Directory(stat) = row {
                        visit(Class::Tree, stat.root);
                    }
                }
            }
            Self::StatInterior(children) => children.iter().for_each(|child| visit(Class::Tree, child.id)),
            Self::Attributes(_) => {}
        }
    }

    /// Fetches and decodes a node; errors name the chunk.
    pub fn fetch(source: &dyn ChunkSource, id: &ChunkId) -> Result<Self> {
        let bytes = source.fetch(Class::Tree, id)?;
        Self::decode(&bytes).map_err(|error| error.with("chunk", id))
    }
}

fn chunks_of_entry(entry: &Entry, visit: &mut dyn FnMut(Class, ChunkId)) {
    if let AttributesRef::Chunk(id) = &entry.attributes {
        visit(Class::Tree, *id);
    }
    match &entry.content {
        Content::List(items) => chunks_of_items(items, visit),
        Content::Tree(tree) => visit(Class::Tree, tree.root),
        Content::Directory(directory) => visit(Class::Tree, directory.root),
        Content::None | Content::Inline(_) | Content::Target(_) | Content::Device { .. } => {}
    }
}

fn chunks_of_items(items: &[ContentItem], visit: &mut dyn FnMut(Class, ChunkId)) {
    for item in items {
        if let ContentItem::Chunk { id, .. } = item {
            visit(Class::Data, *id);
        }
    }
}

impl DirectoryChild {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        wire::put_array(out, 3);
        wire::put_bytes(out, &self.first);
        wire::put_chunk(out, &self.id);
        wire::put_uint(out, self.entries);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self> {
        reader.array_of(3)?;
        let first = reader.bytes()?;
        check_name(first).map_err(damaged)?;
        let child = Self { first: first.to_vec(), id: reader.chunk()?, entries: reader.uint()? };
        if child.entries == 0 { Err(damaged("a node without entries")) } else { Ok(child) }
    }
}

fn take_all<T>(reader: &mut Reader<'_>, take: impl Fn(&mut Reader<'_>) -> Result<T>) -> Result<Vec<T>> {
    let count = reader.array(NODE_ENTRIES_MAX)?;
    // Every element takes a byte at least, so a short node can not make us allocate for a long one.
    let mut elements = Vec::with_capacity(count.min(reader.remaining()));
    for _ in 0..count {
        elements.push(take(reader)?);
    }
    Ok(elements)
}

fn fill<T>(buffer: &mut NodeBuffer, elements: &[T], put: impl Fn(&T, &mut Vec<u8>)) -> Result<()> {
    elements.iter().try_for_each(|element| {
        buffer.append(|out| {
            put(element, out);
            Ok(())
        })
    })
}

/// Bytes kept free for the kind byte and the head of the array.
const HEADROOM: usize = 4;

/// A node in the making: elements are encoded as they come, the head is written when their number is known.
#[derive(Clone, Debug)]
pub(super) struct NodeBuffer {
    bytes: Vec<u8>,
    count: usize,
}

impl Default for NodeBuffer {
    fn default() -> Self {
        Self { bytes: vec![0; HEADROOM], count: 0 }
    }
}

impl NodeBuffer {
    /// Appends one element that `put` encodes; `put` must append nothing if it fails.
    pub(super) fn append(&mut self, put: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        if self.count >= NODE_ENTRIES_MAX {
            return Err(invalid("too many elements"));
        }
        put(&mut self.bytes)?;
        self.count += 1;
        Ok(())
    }

    /// Elements so far.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Writes the head and returns the bytes of the node.
    fn close(&mut self, kind: NodeKind) -> &[u8] {
        let mut head = Vec::with_capacity(HEADROOM);
        head.push(kind as u8);
        wire::put_array(&mut head, self.count);
        let start = HEADROOM - head.len();
        self.bytes[start..HEADROOM].copy_from_slice(&head);
        &self.bytes[start..]
    }

    /// Stores the node and starts the next one in the same memory.
    pub(super) fn store(&mut self, kind: NodeKind, sink: &dyn ChunkSink) -> Result<ChunkId> {
        let id = sink.store(Class::Tree, self.close(kind))?;
        self.bytes.truncate(HEADROOM);
        self.count = 0;
        Ok(id)
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
