//! Where the attributes of an entry are: with it, or in a chunk of their own.

use serde_bytes::ByteBuf;

use crate::codec::Extensions;
use crate::error::Result;
use crate::id::ChunkId;
use crate::limits::{ATTRIBUTES_BYTES_MAX, INLINE_ATTRIBUTES_BYTES_MAX, NAME_BYTES_MAX};
use crate::repository::{ChunkSink, ChunkSource};
use crate::segment::Class;

use super::metadata::Attributes;
use super::node::{Node, NodeKind};
use super::wire::{self, Reader, damaged, invalid};

/// The attributes of an entry, or where to find them.
///
/// Stored as nothing; as `[1, map]`, at most 1 KiB of map; or as `[2, chunk id]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AttributesRef {
    /// There are none.
    #[default]
    None,
    /// Here they are: at least one.
    Inline(Attributes),
    /// They fill a chunk of class tree.
    Chunk(ChunkId),
}

/// Of which attributes the files of an archive were asked. Kept as extension 2 of its record, one byte: 1 for extended
/// attributes, 2 for access control lists, 4 for the superuser, who alone sees all of them.
///
/// Without it nothing can be said of what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributesRead {
    /// Extended attributes other than access control lists.
    pub xattrs: bool,
    /// Access control lists.
    pub acls: bool,
    /// By the superuser.
    pub superuser: bool,
}

impl AttributesRead {
    const EXTENSION: u16 = 2;

    /// What an archive says of it. Nothing if it says what this version does not know.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        match extensions.get(Self::EXTENSION) {
            Some(&[bits]) if bits < 8 => {
                Some(Self { xattrs: bits & 1 != 0, acls: bits & 2 != 0, superuser: bits & 4 != 0 })
            }
            _ => None,
        }
    }

    /// Says it.
    pub fn put(self, extensions: Extensions) -> Extensions {
        let bits = u8::from(self.xattrs) | u8::from(self.acls) << 1 | u8::from(self.superuser) << 2;
        extensions.with(Self::EXTENSION, [bits])
    }
}

impl AttributesRef {
    /// Keeps small attributes, stores large ones as a chunk.
    ///
    /// More than 8 MiB, an empty name and a name above 1 KiB are `InvalidInput`.
    pub fn store(attributes: Attributes, sink: &dyn ChunkSink) -> Result<Self> {
        if attributes.0.is_empty() {
            return Ok(Self::None);
        }
        if encoded_bytes(&attributes) <= INLINE_ATTRIBUTES_BYTES_MAX {
            return Ok(Self::Inline(attributes));
        }
        let mut node = vec![NodeKind::Attributes as u8];
        put_attributes(&mut node, &attributes)?;
        sink.store(Class::Tree, &node).map(Self::Chunk)
    }

    /// The attributes themselves.
    pub fn load(&self, source: &dyn ChunkSource) -> Result<Attributes> {
        match self {
            Self::None => Ok(Attributes::default()),
            Self::Inline(attributes) => Ok(attributes.clone()),
            Self::Chunk(id) => match Node::fetch(source, id)? {
                Node::Attributes(attributes) => Ok(attributes),
                _ => Err(damaged("not attributes").with("chunk", id)),
            },
        }
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Inline(attributes) if attributes.0.is_empty() => Err("no attributes where some are announced"),
            Self::Inline(attributes) if encoded_bytes(attributes) > INLINE_ATTRIBUTES_BYTES_MAX => {
                Err("attributes too long for an entry")
            }
            _ => Ok(()),
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::None => wire::put_nil(out),
            Self::Inline(attributes) => {
                wire::put_array(out, 2);
                wire::put_uint(out, 1);
                put_attributes(out, attributes)?;
            }
            Self::Chunk(id) => {
                wire::put_array(out, 2);
                wire::put_uint(out, 2);
                wire::put_chunk(out, id);
            }
        }
        Ok(())
    }

    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Self> {
        if reader.nil() {
            return Ok(Self::None);
        }
        reader.array_of(2)?;
        match reader.u8()? {
            1 => take_attributes(reader).map(Self::Inline),
            2 => reader.chunk().map(Self::Chunk),
            _ => Err(damaged("unknown form of attributes")),
        }
    }
}

fn encoded_bytes(attributes: &Attributes) -> usize {
    // With the head of each name and value, rounded up; without that of the map.
    let head = |length: usize| if length < 0x100 { 2 } else { 5 };
    attributes.0.iter().map(|(name, value)| head(name.len()) + name.len() + head(value.len()) + value.len()).sum()
}

fn check_name(name: &[u8]) -> Result<(), &'static str> {
    match name.len() {
        1..=NAME_BYTES_MAX if !name.contains(&0) => Ok(()),
        _ => Err("bad name of an attribute"),
    }
}

/// Appends a map from name to value, both byte strings, sorted by name.
pub(super) fn put_attributes(out: &mut Vec<u8>, attributes: &Attributes) -> Result<()> {
    if encoded_bytes(attributes) > ATTRIBUTES_BYTES_MAX {
        return Err(invalid("attributes too long"));
    }
    wire::put_map(out, attributes.0.len());
    for (name, value) in &attributes.0 {
        check_name(name).map_err(invalid)?;
        wire::put_bytes(out, name);
        wire::put_bytes(out, value);
    }
    Ok(())
}

/// Reads what [`put_attributes`] wrote.
pub(super) fn take_attributes(reader: &mut Reader<'_>) -> Result<Attributes> {
    let mut attributes = Attributes::default();
    let mut last: &[u8] = &[];
    for _ in 0..reader.map()? {
        let name = reader.bytes()?;
        check_name(name).map_err(damaged)?;
        if name <= last {
            return Err(damaged("attributes not in order"));
        }
        last = name;
        attributes.0.insert(ByteBuf::from(name), ByteBuf::from(reader.bytes()?));
    }
    if encoded_bytes(&attributes) > ATTRIBUTES_BYTES_MAX {
        return Err(damaged("attributes too long"));
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::testing::MemoryChunks;
    use crate::error::ErrorKind;

    fn attributes(count: usize, value_bytes: usize) -> Attributes {
        let pair = |number: usize| {
            (ByteBuf::from(format!("user.{number:05}")), ByteBuf::from(vec![number as u8; value_bytes]))
        };
        Attributes((0..count).map(pair).collect())
    }

    #[test]
    fn small_ones_stay_and_large_ones_go_to_a_chunk() {
        let chunks = MemoryChunks::new();
        for (count, value_bytes, stored) in
            [(0, 0, 0), (1, 0, 0), (73, 0, 0), (1, 900, 0), (74, 0, 1), (1, 2000, 2), (20_000, 9, 3)]
        {
            let attributes = attributes(count, value_bytes);
            let reference = AttributesRef::store(attributes.clone(), &chunks).unwrap();
            reference.check().unwrap();
            assert_eq!(chunks.count(), stored, "{count} of {value_bytes} bytes");
            assert_eq!(reference.load(&chunks).unwrap(), attributes);
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let chunks = MemoryChunks::new();
        let refused = |attributes| AttributesRef::store(attributes, &chunks).unwrap_err().kind();
        assert_eq!(refused(attributes(9, 1 << 20)), ErrorKind::InvalidInput);
        let long = [(ByteBuf::from(vec![b'a'; NAME_BYTES_MAX + 1]), ByteBuf::new())];
        assert_eq!(refused(Attributes(long.into())), ErrorKind::InvalidInput);
    }

    #[test]
    fn how_they_were_read_is_kept_with_what_else_there_is() {
        let none = Extensions::none().with(4, *b"later");
        for bits in 0..8 {
            let read = AttributesRead { xattrs: bits & 1 != 0, acls: bits & 2 != 0, superuser: bits & 4 != 0 };
            let kept = read.put(none.clone());
            assert_eq!((AttributesRead::of(&kept), kept.get(4)), (Some(read), Some(&b"later"[..])));
            assert_eq!(kept.get(2), Some(&[bits][..]));
        }
        for unknown in [&[8][..], &[], &[1, 0]] {
            assert_eq!(AttributesRead::of(&none.clone().with(2, unknown)), None);
        }
        assert_eq!(AttributesRead::of(&none), None);
    }

    #[test]
    fn another_node_is_no_attributes() {
        let chunks = MemoryChunks::new();
        let id = chunks.store(Class::Tree, &[NodeKind::DirectoryLeaf as u8, 0x90]).unwrap();
        assert_eq!(AttributesRef::Chunk(id).load(&chunks).unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(
            AttributesRef::Chunk(ChunkId::from_bytes([0; 32])).load(&chunks).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}
