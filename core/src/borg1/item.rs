//! Items: one map of msgpack for each file, one after the other, cut into chunks wherever it happens.

use std::collections::BTreeMap;

use rmpv::Value;
use serde_bytes::ByteBuf;

use super::record::{self, Map, raw};
use super::{Borg1Id, Borg1Repository, damaged};
use crate::acl;
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// Bytes of the largest item: half a million files' chunks would not fill it.
const ITEM_BYTES_MAX: usize = 256 << 20;

/// A chunk of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borg1Chunk {
    /// Its object.
    pub id: Borg1Id,
    /// Its plaintext bytes.
    pub bytes: u32,
}

/// One file, directory or whatever has a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Borg1Item {
    /// Raw bytes, parts joined by `/`; not checked.
    pub path: Vec<u8>,
    /// Type and permission bits as `stat` has them.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Owner's name.
    pub user: Option<Vec<u8>>,
    /// Group's name.
    pub group: Option<Vec<u8>>,
    /// Last modification.
    pub modified: Timestamp,
    /// Last access.
    pub accessed: Option<Timestamp>,
    /// Creation.
    pub born: Option<Timestamp>,
    /// Where a symbolic link points to, or the path of the first name of a file with several.
    pub source: Option<Vec<u8>>,
    /// The numbers of a device as Linux packs them.
    pub device: Option<u64>,
    /// What a regular file is made of.
    pub chunks: Vec<Borg1Chunk>,
    /// What it was made of before missing chunks were replaced by zeros.
    pub healthy: Option<Vec<Borg1Chunk>>,
    /// Whether further names may follow.
    pub is_first_name: bool,
    /// Extended attributes, access control lists among them as Linux has them.
    pub attributes: BTreeMap<ByteBuf, ByteBuf>,
    /// File flags of BSD.
    pub flags: u64,
    /// Whether it is a piece of a file whose backup was interrupted.
    pub is_part: bool,
    /// What could not be taken over of it.
    pub lost: Vec<&'static str>,
}

impl Borg1Item {
    fn decode(map: &Map) -> Result<Self> {
        let path = map.bytes("path").ok_or_else(|| damaged("item without a path"))?.to_vec();
        let decode = || {
            let mut lost = Vec::new();
            Ok(Self {
                path: path.clone(),
                mode: map.uint("mode").and_then(|mode| u32::try_from(mode).ok()).ok_or_else(|| damaged("no mode"))?,
                uid: number(map, "uid"),
                gid: number(map, "gid"),
                user: map.bytes("user").map(<[u8]>::to_vec),
                group: map.bytes("group").map(<[u8]>::to_vec),
                modified: time(map, "mtime").unwrap_or(Timestamp::new(0, 0)),
                accessed: time(map, "atime"),
                born: time(map, "birthtime"),
                source: map.bytes("source").map(<[u8]>::to_vec),
                device: map.uint("rdev"),
                chunks: chunks(map, "chunks")?.unwrap_or_default(),
                healthy: chunks(map, "chunks_healthy")?,
                is_first_name: map.get("hardlink_master").and_then(Value::as_bool).unwrap_or(false),
                attributes: attributes(map, &mut lost),
                flags: map.uint("bsdflags").unwrap_or(0),
                is_part: map.get("part").is_some_and(|part| !part.is_nil()),
                lost,
            })
        };
        decode().map_err(|error: Error| error.with("path", path.escape_ascii()))
    }
}

fn number(map: &Map, name: &str) -> u32 {
    map.uint(name).and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

fn time(map: &Map, name: &str) -> Option<Timestamp> {
    let nanoseconds = map.integer(name)?;
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?;
    Some(Timestamp::new(seconds, nanoseconds.rem_euclid(1_000_000_000) as u32))
}

fn chunks(map: &Map, name: &str) -> Result<Option<Vec<Borg1Chunk>>> {
    let Some(list) = map.list(name) else { return Ok(None) };
    let chunk = |value: &Value| {
        let fields = value.as_array()?;
        Some(Borg1Chunk { id: record::id(fields.first()?)?, bytes: u32::try_from(fields.get(1)?.as_u64()?).ok()? })
    };
    let chunks: Option<Vec<_>> = list.iter().map(chunk).collect();
    chunks.map(Some).ok_or_else(|| damaged("item with a chunk that is none"))
}

fn attributes(map: &Map, lost: &mut Vec<&'static str>) -> BTreeMap<ByteBuf, ByteBuf> {
    let mut attributes = BTreeMap::new();
    for (name, value) in map.map("xattrs").iter().flat_map(Map::pairs) {
        attributes.insert(ByteBuf::from(name), ByteBuf::from(raw(value).unwrap_or_default()));
    }
    for (field, attribute) in [("acl_access", "system.posix_acl_access"), ("acl_default", "system.posix_acl_default")] {
        let Some(text) = map.bytes(field).filter(|text| !text.is_empty()) else { continue };
        match acl::from_text(text, |_| None, |_| None) {
            Some(bytes) => _ = attributes.insert(ByteBuf::from(attribute), ByteBuf::from(bytes)),
            None => lost.push("access control list"),
        }
    }
    if map.get("acl_extended").is_some() || map.get("acl_nfs4").is_some() {
        lost.push("access control list of another system");
    }
    attributes
}

/// The items of an archive, one after the other. A chunk of the stream that can not be read ends it with an error.
pub struct Items<'a> {
    repository: &'a Borg1Repository,
    waiting: std::slice::Iter<'a, Borg1Id>,
    bytes: Vec<u8>,
    used: usize,
    over: bool,
}

impl<'a> Items<'a> {
    pub(super) fn new(repository: &'a Borg1Repository, items: &'a [Borg1Id]) -> Self {
        Self { repository, waiting: items.iter(), bytes: Vec::new(), used: 0, over: false }
    }

    fn try_next(&mut self) -> Result<Option<Result<Borg1Item>>> {
        loop {
            if self.used < self.bytes.len()
                && let Some((map, used)) = Map::take(&self.bytes[self.used..])?
            {
                self.used += used;
                return Ok(Some(Borg1Item::decode(&map)));
            }
            let Some(id) = self.waiting.next() else {
                return if self.used < self.bytes.len() { Err(damaged("items end within one")) } else { Ok(None) };
            };
            self.bytes.drain(..self.used);
            self.used = 0;
            if self.bytes.len() > ITEM_BYTES_MAX {
                return Err(damaged("item is too long"));
            }
            self.bytes.extend(self.repository.fetch(id, None)?);
        }
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Borg1Item>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        match self.try_next() {
            Ok(Some(item)) => Some(item),
            Ok(None) => None,
            Err(error) => {
                self.over = true;
                Some(Err(error))
            }
        }
    }
}

impl std::fmt::Debug for Items<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Items").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}
