//! Whether stored objects are what was written.
//!
//! Every object ends in a hash of itself, and its name follows from its salt: that needs no key, and finds
//! whatever a disk or a wire does to it. What an enemy does is found by opening.

use super::{ObjectName, Prefix, Repository};
use crate::backend::ObjectMeta;
use crate::compress::Decompressor;
use crate::crypto::envelope::{Kind, verify_tail};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::id::{ChunkId, SALT_BYTES, SegmentId, parse_object_id};
use crate::limits::{INDEX_BYTES_MAX, RECORD_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::segment::{Directory, FrameOpener, SegmentRecord, open_directory, read_frame, salvage_directory};

/// Where the salt lies in every object.
const SALT_AT: usize = 8;

/// What reading a whole segment found.
#[derive(Debug)]
pub struct SegmentState {
    /// What is wrong with it as an object, if anything is.
    pub wrong: Option<Error>,
    /// Its chunks that can not be read, and why.
    pub spoilt: Vec<(ChunkId, Error)>,
    /// Chunks it has.
    pub chunks: usize,
    /// Its stored bytes.
    pub bytes: u64,
}

/// Takes a chunk's content, or why it can not be read.
pub(super) type TakeChunk<'a> = dyn FnMut(&ChunkId, Result<&[u8]>) -> Result<()> + 'a;

/// What the name of an object says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Of this kind, with this id.
    Object(Kind, [u8; 16]),
    /// One that is not sealed: the configuration, a reserve, a collector's probe, a client given up.
    Plain,
    /// Nothing of this program.
    Foreign,
}

impl Named {
    /// What `name` says.
    pub fn of(name: &ObjectName) -> Self {
        let text = name.as_str();
        let plain = ["reserve/", "gc/probe/", "gc/expired/"];
        if text == "config" || plain.iter().any(|namespace| text.starts_with(namespace)) {
            return Self::Plain;
        }
        let Some((namespace, last)) = text.rsplit_once('/') else { return Self::Foreign };
        let Some(kind) = Kind::all().find(|kind| kind.namespace() == namespace) else { return Self::Foreign };
        let id = match kind {
            Kind::Index | Kind::Removed => last.split_once('.').and_then(|(_, id)| parse_object_id(id)),
            _ => parse_object_id(last),
        };
        id.map_or(Self::Foreign, |id| Self::Object(kind, id))
    }
}

impl Repository {
    /// Every object there is.
    pub fn list_objects(&self) -> Result<Vec<ObjectMeta>> {
        self.office.store.list(&Prefix::all())
    }

    /// Reads an object whole: its hash, its length and its name must fit. Needs no key.
    pub fn verify_object(&self, name: &ObjectName) -> Result<u64> {
        let Named::Object(kind, id) = Named::of(name) else { return Ok(0) };
        let limit = match kind {
            Kind::Segment => SEGMENT_BYTES_MAX,
            Kind::Index => INDEX_BYTES_MAX,
            _ => 2 * RECORD_BYTES_MAX,
        };
        let bytes = self.office.store.get_bounded(name, limit)?;
        verify_bytes(kind, &id, &bytes).map_err(|error| error.with("object", name))?;
        Ok(bytes.len() as u64)
    }

    /// Reads a segment whole, opens everything in it and compares every chunk with its name.
    ///
    /// Fails if the segment or its directory can not be read at all.
    pub fn verify_segment(&self, id: &SegmentId, decompressor: &mut Decompressor) -> Result<SegmentState> {
        let name = ObjectName::of("segments", id);
        let bytes = self.office.store.get_bounded(&name, SEGMENT_BYTES_MAX)?;
        let sealer = self.office.sealer();
        let (opened, wrong) = match open_directory(&sealer, id, &bytes) {
            Ok(opened) => (opened, None),
            // A wrong hash spoils no frame that opens: its tag says so.
            Err(error) => {
                (salvage_directory(&sealer, id, &bytes).map_err(|error| error.with("object", &name))?, Some(error))
            }
        };
        let (record, directory) = opened;
        let mut spoilt = Vec::new();
        self.each_chunk(&record, &directory, &bytes, decompressor, &mut |chunk, plain| {
            if let Err(error) = plain {
                spoilt.push((*chunk, error));
            }
            Ok(())
        })?;
        Ok(SegmentState {
            wrong: wrong.map(|error| error.with("object", name)),
            spoilt,
            chunks: directory.chunks.len(),
            bytes: bytes.len() as u64,
        })
    }

    /// Hands over every chunk of a segment, or why it can not be read.
    pub(super) fn each_chunk(
        &self,
        record: &SegmentRecord,
        directory: &Directory,
        bytes: &[u8],
        decompressor: &mut Decompressor,
        take: &mut TakeChunk<'_>,
    ) -> Result<()> {
        let opener = FrameOpener::new(&self.office.sealer(), &record.id, &record.header)?;
        let (mut offset, mut rest, mut plain) = (crate::segment::HEADER_BYTES, directory.chunks.as_slice(), Vec::new());
        for (number, frame) in (0u32..).zip(&directory.frames) {
            let (own, others) = rest.split_at(rest.len().min(frame.chunks as usize));
            let opened = read_frame(&opener, decompressor, number, frame, bytes, offset, &mut plain);
            let mut start = 0;
            for chunk in own {
                let end = start + chunk.bytes as usize;
                let content = match (&opened, plain.get(start..end)) {
                    (Ok(()), Some(content)) if self.chunk_id(record.class, content) == chunk.id => Ok(content),
                    (Ok(()), _) => Err(Error::damaged("read chunk", "content differs from the name")),
                    (Err(error), _) => Err(Error::damaged("read chunk", error)),
                };
                take(&chunk.id, content.map_err(|error| error.with("segment", record.id).with("chunk", chunk.id)))?;
                start = end;
            }
            rest = others;
            offset += frame.stored_bytes as usize;
        }
        Ok(())
    }
}

/// Whether an error says something about what is stored, and not about the moment.
pub fn is_finding(error: &Error) -> bool {
    error.retry() == Retry::Permanent && !matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::System)
}

/// Whether these bytes are what was written under this name, as far as the object itself tells. Needs no key.
///
/// Fails with `Damaged` if not. Reserves and probes may be anything.
pub fn verify_object_bytes(name: &ObjectName, bytes: &[u8]) -> Result<()> {
    let verified = match Named::of(name) {
        Named::Object(kind, id) => verify_bytes(kind, &id, bytes),
        Named::Plain if name.as_str() == "config" => verify_tail(bytes),
        Named::Plain => Ok(()),
        Named::Foreign => Err(Error::damaged("verify object", "no object of a repository")),
    };
    verified.map_err(|error| error.with("object", name))
}

fn verify_bytes(kind: Kind, id: &[u8; 16], bytes: &[u8]) -> Result<()> {
    verify_tail(bytes)?;
    let salt = bytes.get(SALT_AT..SALT_AT + SALT_BYTES).and_then(|salt| salt.try_into().ok());
    let salt = salt.ok_or_else(|| Error::damaged("verify object", "truncated"))?;
    if kind.id(salt) != *id {
        return Err(Error::damaged("verify object", "salt does not give this name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_objects_are() {
        let id = "0a".repeat(16);
        let named = |name: &str| Named::of(&ObjectName::new(name).unwrap());
        for (name, kind) in [
            (format!("segments/{id}"), Kind::Segment),
            (format!("index/3.{id}"), Kind::Index),
            (format!("removed/{id}.{id}"), Kind::Removed),
            (format!("gc/doom/{id}"), Kind::Doom),
            (format!("keys/{id}"), Kind::KeySlot),
        ] {
            assert_eq!(named(&name), Named::Object(kind, [10; 16]), "{name}");
        }
        for name in ["config", "reserve/3", "gc/probe/x"] {
            assert_eq!(named(name), Named::Plain, "{name}");
        }
        for name in ["segments/x", "index/0a", "removed/x", "else", "gc/else/0a"] {
            assert_eq!(named(name), Named::Foreign, "{name}");
        }
    }
}
