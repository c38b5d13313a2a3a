//! Canonical msgpack by hand, for tree nodes only.
//!
//! A node of 512 entries is decoded for every few kilobytes of listing, so it is
//! read in one pass: the reader refuses every form but the one the writer
//! makes, which saves the second encoding that [`crate::codec`] compares with.
//! It never reads past the end and never allocates by a length it was told. The
//! bytes are those that `rmp_serde` makes of the same values; a test holds the
//! two together.

use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::clock::Timestamp;
use crate::codec::Extensions;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ChunkId;
use crate::limits::ENTRY_BYTES_MAX;

const NIL: u8 = 0xc0;
const NO_EXTENSIONS: u8 = 0x80;

/// What is wrong with a node.
#[cold]
pub(super) fn damaged(what: &'static str) -> Error {
    Error::damaged("decode node", what)
}

/// What is wrong with a value that shall be stored.
#[cold]
pub(super) fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, "encode node").with("reason", what)
}

/// Appends "nothing".
pub(super) fn put_nil(out: &mut Vec<u8>) {
    out.push(NIL);
}

/// Appends an unsigned integer in its shortest form.
pub(super) fn put_uint(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => put_marked(out, 0xcd, &(value as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => put_marked(out, 0xce, &(value as u32).to_be_bytes()),
        _ => put_marked(out, 0xcf, &value.to_be_bytes()),
    }
}

/// Appends a signed integer in its shortest form.
pub(super) fn put_int(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = u64::try_from(value) {
        return put_uint(out, value);
    }
    if value >= -32 {
        out.push(value as u8);
    } else if let Ok(value) = i8::try_from(value) {
        put_marked(out, 0xd0, &value.to_be_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        put_marked(out, 0xd1, &value.to_be_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        put_marked(out, 0xd2, &value.to_be_bytes());
    } else {
        put_marked(out, 0xd3, &value.to_be_bytes());
    }
}

/// Appends a byte string of less than 4 GiB.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        length @ 0..=0xff => out.extend_from_slice(&[0xc4, length as u8]),
        length @ 0x100..=0xffff => put_marked(out, 0xc5, &(length as u16).to_be_bytes()),
        length => put_marked(out, 0xc6, &(length as u32).to_be_bytes()),
    }
    out.extend_from_slice(bytes);
}

/// Appends the head of an array of less than 65 536 elements.
pub(super) fn put_array(out: &mut Vec<u8>, count: usize) {
    match count {
        0..=15 => out.push(0x90 | count as u8),
        _ => put_marked(out, 0xdc, &(count as u16).to_be_bytes()),
    }
}

/// Appends the head of a map.
pub(super) fn put_map(out: &mut Vec<u8>, count: usize) {
    match count {
        0..=15 => out.push(0x80 | count as u8),
        16..=0xffff => put_marked(out, 0xde, &(count as u16).to_be_bytes()),
        _ => put_marked(out, 0xdf, &(count as u32).to_be_bytes()),
    }
}

/// Appends the name of a chunk.
pub(super) fn put_chunk(out: &mut Vec<u8>, id: &ChunkId) {
    put_bytes(out, id.as_bytes());
}

/// Appends a byte string or "nothing".
pub(super) fn put_optional_bytes(out: &mut Vec<u8>, bytes: Option<&ByteBuf>) {
    match bytes {
        Some(bytes) => put_bytes(out, bytes),
        None => put_nil(out),
    }
}

/// Appends a moment: an array of seconds and nanoseconds.
pub(super) fn put_time(out: &mut Vec<u8>, time: &Timestamp) {
    put_array(out, 2);
    put_int(out, time.seconds);
    put_uint(out, u64::from(time.nanoseconds));
}

/// Appends a moment or "nothing".
pub(super) fn put_optional_time(out: &mut Vec<u8>, time: Option<&Timestamp>) {
    match time {
        Some(time) => put_time(out, time),
        None => put_nil(out),
    }
}

/// Appends the additions of later versions.
pub(super) fn put_extensions(out: &mut Vec<u8>, extensions: &Extensions) -> Result<()> {
    if *extensions == Extensions::none() {
        out.push(NO_EXTENSIONS);
        return Ok(());
    }
    out.extend_from_slice(&crate::codec::encode(extensions, ENTRY_BYTES_MAX)?);
    Ok(())
}

fn put_marked(out: &mut Vec<u8>, marker: u8, bytes: &[u8]) {
    out.push(marker);
    out.extend_from_slice(bytes);
}

/// Reads what the functions above wrote, and nothing else.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Refuses bytes after the end.
    pub(super) fn finish(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(damaged("trailing bytes")) }
    }

    #[inline]
    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| damaged("truncated"))?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| damaged("truncated"))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Takes "nothing" if it comes next.
    #[inline]
    pub(super) fn nil(&mut self) -> bool {
        match self.rest.split_first() {
            Some((&NIL, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// An unsigned integer.
    #[inline]
    pub(super) fn uint(&mut self) -> Result<u64> {
        match self.byte()? {
            marker @ 0..=0x7f => Ok(u64::from(marker)),
            marker => self.uint_after(marker),
        }
    }

    fn uint_after(&mut self, marker: u8) -> Result<u64> {
        let (value, least) = match marker {
            0xcc => (u64::from(self.byte()?), 0x80),
            0xcd => (u64::from(u16::from_be_bytes(self.fixed()?)), 0x100),
            0xce => (u64::from(u32::from_be_bytes(self.fixed()?)), 0x1_0000),
            0xcf => (u64::from_be_bytes(self.fixed()?), 0x1_0000_0000),
            _ => return Err(damaged("not an unsigned integer")),
        };
        if value < least { Err(damaged("integer not in its shortest form")) } else { Ok(value) }
    }

    /// An unsigned integer of at most 32 bits.
    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32> {
        u32::try_from(self.uint()?).map_err(|_| damaged("integer too large"))
    }

    /// An unsigned integer of at most 8 bits.
    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8> {
        u8::try_from(self.uint()?).map_err(|_| damaged("integer too large"))
    }

    /// A signed integer.
    #[inline]
    pub(super) fn int(&mut self) -> Result<i64> {
        let (value, most) = match self.byte()? {
            marker @ 0..=0x7f => return Ok(i64::from(marker)),
            marker @ 0xe0..=0xff => return Ok(i64::from(marker as i8)),
            0xd0 => (i64::from(i8::from_be_bytes(self.fixed()?)), -33),
            0xd1 => (i64::from(i16::from_be_bytes(self.fixed()?)), i64::from(i8::MIN) - 1),
            0xd2 => (i64::from(i32::from_be_bytes(self.fixed()?)), i64::from(i16::MIN) - 1),
            0xd3 => (i64::from_be_bytes(self.fixed()?), i64::from(i32::MIN) - 1),
            marker => {
                return i64::try_from(self.uint_after(marker)?).map_err(|_| damaged("integer too large"));
            }
        };
        if value > most { Err(damaged("integer not in its shortest form")) } else { Ok(value) }
    }

    /// A byte string, still in place.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let (length, least) = match self.byte()? {
            0xc4 => (usize::from(self.byte()?), 0),
            0xc5 => (usize::from(u16::from_be_bytes(self.fixed()?)), 0x100),
            0xc6 => (u32::from_be_bytes(self.fixed()?) as usize, 0x1_0000),
            _ => return Err(damaged("not a byte string")),
        };
        if length < least {
            return Err(damaged("byte string not in its shortest form"));
        }
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| damaged("truncated"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The number of elements of an array, at most `limit`.
    #[inline]
    pub(super) fn array(&mut self, limit: usize) -> Result<usize> {
        let count = match self.byte()? {
            marker @ 0x90..=0x9f => usize::from(marker & 0x0f),
            0xdc => match usize::from(u16::from_be_bytes(self.fixed()?)) {
                0..=15 => return Err(damaged("array not in its shortest form")),
                count => count,
            },
            _ => return Err(damaged("not an array")),
        };
        if count > limit { Err(damaged("too many elements")) } else { Ok(count) }
    }

    /// The head of an array of exactly `count` elements.
    #[inline]
    pub(super) fn array_of(&mut self, count: usize) -> Result<()> {
        if self.array(count)? == count { Ok(()) } else { Err(damaged("wrong number of elements")) }
    }

    /// The number of pairs of a map.
    pub(super) fn map(&mut self) -> Result<usize> {
        let (count, least) = match self.byte()? {
            marker @ 0x80..=0x8f => (usize::from(marker & 0x0f), 0),
            0xde => (usize::from(u16::from_be_bytes(self.fixed()?)), 16),
            0xdf => (u32::from_be_bytes(self.fixed()?) as usize, 0x1_0000),
            _ => return Err(damaged("not a map")),
        };
        if count < least {
            return Err(damaged("map not in its shortest form"));
        }
        if count > self.rest.len() { Err(damaged("truncated")) } else { Ok(count) }
    }

    /// The name of a chunk.
    pub(super) fn chunk(&mut self) -> Result<ChunkId> {
        let bytes = self.bytes()?.try_into().map_err(|_| damaged("not the name of a chunk"))?;
        Ok(ChunkId::from_bytes(bytes))
    }

    /// A byte string or "nothing".
    pub(super) fn optional_bytes(&mut self) -> Result<Option<ByteBuf>> {
        if self.nil() {
            return Ok(None);
        }
        Ok(Some(ByteBuf::from(self.bytes()?)))
    }

    /// A moment.
    pub(super) fn time(&mut self) -> Result<Timestamp> {
        self.array_of(2)?;
        Ok(Timestamp::new(self.int()?, self.u32()?))
    }

    /// A moment or "nothing".
    pub(super) fn optional_time(&mut self) -> Result<Option<Timestamp>> {
        if self.nil() { Ok(None) } else { self.time().map(Some) }
    }

    /// The additions of later versions; refuses critical ones.
    pub(super) fn extensions(&mut self) -> Result<Extensions> {
        if let Some((&NO_EXTENSIONS, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(Extensions::none());
        }
        let mut rest = self.rest;
        let extensions = Extensions::deserialize(&mut rmp_serde::Deserializer::new(&mut rest))
            .map_err(|error| damaged("not an extension map").because(error))?;
        let taken = &self.rest[..self.rest.len() - rest.len()];
        if crate::codec::encode(&extensions, ENTRY_BYTES_MAX)? != taken {
            return Err(damaged("extension map not in canonical form"));
        }
        extensions.check_critical()?;
        self.rest = rest;
        Ok(extensions)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn put(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    fn integers() -> impl Strategy<Value = i64> {
        (any::<i64>(), 0..64u32).prop_map(|(value, shift)| value >> shift)
    }

    proptest! {
        #[test]
        fn writes_what_the_record_codec_writes(value in integers(), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(put(|out| put_int(out, value)), rmp_serde::to_vec(&value).unwrap());
            prop_assert_eq!(put(|out| put_uint(out, value as u64)), rmp_serde::to_vec(&(value as u64)).unwrap());
            prop_assert_eq!(put(|out| put_bytes(out, &bytes)), rmp_serde::to_vec(&ByteBuf::from(bytes)).unwrap());
        }

        #[test]
        fn reads_back_what_it_wrote(value in integers(), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let out = put(|out| {
                put_int(out, value);
                put_uint(out, value as u64);
                put_bytes(out, &bytes);
            });
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.int().unwrap(), value);
            prop_assert_eq!(reader.uint().unwrap(), value as u64);
            prop_assert_eq!(reader.bytes().unwrap(), bytes);
            reader.finish().unwrap();
        }

        #[test]
        fn accepts_one_form_only(bytes in prop::collection::vec(any::<u8>(), 0..12), marker in 0xc0u8..=0xe0) {
            let bytes = [&[marker], bytes.as_slice()].concat();
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.int() {
                prop_assert_eq!(put(|out| put_int(out, value)), &bytes[..bytes.len() - reader.remaining()]);
            }
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.bytes() {
                prop_assert_eq!(put(|out| put_bytes(out, value)), &bytes[..bytes.len() - reader.remaining()]);
            }
            let mut reader = Reader::new(&bytes);
            if let Ok(count) = reader.array(usize::MAX) {
                prop_assert_eq!(put(|out| put_array(out, count)), &bytes[..bytes.len() - reader.remaining()]);
            }
        }
    }

    #[test]
    fn the_edges_of_each_form_are_taken() {
        for value in [i64::MIN, -32769, -32768, -129, -128, -33, -32, -1, 0, 127, 128, 65535, 65536, i64::MAX] {
            assert_eq!(Reader::new(&put(|out| put_int(out, value))).int().unwrap(), value);
        }
        for count in [0, 15, 16, 512, 65535] {
            assert_eq!(Reader::new(&put(|out| put_array(out, count))).array(65535).unwrap(), count);
        }
        assert!(Reader::new(&put(|out| put_array(out, 513))).array(512).is_err());
        for length in [255, 256, 65535, 65536] {
            let bytes = vec![7; length];
            assert_eq!(Reader::new(&put(|out| put_bytes(out, &bytes))).bytes().unwrap(), bytes);
        }
        for count in [0, 15, 16, 65535, 65536] {
            let mut bytes = put(|out| put_map(out, count));
            bytes.resize(bytes.len() + count, 0);
            assert_eq!(Reader::new(&bytes).map().unwrap(), count);
        }
    }

    #[test]
    fn additions_of_later_versions_are_kept_and_critical_ones_refused() {
        let map = |number: u16| rmp_serde::to_vec(&BTreeMap::from([(number, ByteBuf::from("x"))])).unwrap();
        let known = map(2);
        let mut reader = Reader::new(&known);
        let extensions = reader.extensions().unwrap();
        reader.finish().unwrap();
        assert_eq!(put(|out| put_extensions(out, &extensions).unwrap()), known);
        assert_eq!(Reader::new(&map(3)).extensions().unwrap_err().kind(), ErrorKind::Unsupported);
        // number 2 as a two-byte integer; two numbers in falling order
        for bad in [&[0x81, 0xcc, 2, 0xc4, 0][..], &[0x82, 4, 0xc4, 0, 2, 0xc4, 0], &[0xdf, 255, 255, 255, 255, 2]] {
            assert_eq!(Reader::new(bad).extensions().unwrap_err().kind(), ErrorKind::Damaged);
        }
    }
}
