//! Damage: chunks that can not be read any more, and the archives they hurt.
//!
//! A record says of every one of its chunks that the copies in its segments are no good. Whoever begins to write
//! takes these copies for missing, so the next backup that sees the content stores it again. Whoever finds that all
//! chunks of a record have a good copy, and that the bad ones are gone or good again, may delete it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::records::{Found, read_all};
use crate::backend::{ObjectName, Payload, Store};
use crate::clock::Timestamp;
use crate::codec::{self, Extensions};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ArchiveId, ChunkId, SegmentId};
use crate::limits::{DAMAGE_PLACES_MAX, DAMAGED_CHUNKS_MAX, RECORD_BYTES_MAX};
use crate::seal::{Kind, Sealer};
use crate::segment::Class;

/// Chunks that can not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageRecord {
    /// When it was found.
    pub time: Timestamp,
    /// The chunks, at most [`DAMAGED_CHUNKS_MAX`].
    pub chunks: BTreeMap<ChunkId, Class>,
    /// Segments whose copies of these chunks can not be read, at most [`DAMAGE_PLACES_MAX`]. Copies elsewhere are good.
    pub segments: BTreeSet<SegmentId>,
    /// Archives that need these chunks, as far as they are known and fit: at most [`DAMAGE_PLACES_MAX`].
    pub archives: BTreeSet<ArchiveId>,
    /// Additions of later versions.
    pub extensions: Extensions,
}

impl DamageRecord {
    /// Encodes the record; more than fits is `LimitExceeded`.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check()?;
        codec::encode(self, RECORD_BYTES_MAX)
    }

    /// Decodes the record.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let record: Self = codec::decode(bytes, RECORD_BYTES_MAX)?;
        record.extensions.check_critical()?;
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<()> {
        let fits = self.chunks.len() <= DAMAGED_CHUNKS_MAX
            && self.segments.len() <= DAMAGE_PLACES_MAX
            && self.archives.len() <= DAMAGE_PLACES_MAX;
        if !fits {
            return Err(Error::new(ErrorKind::LimitExceeded, "check damage record"));
        }
        self.time.check().map_err(|what| Error::damaged("check damage record", what))
    }

    /// Whether it says that the copy of this chunk in this segment is no good.
    pub fn covers(&self, chunk: &ChunkId, segment: &SegmentId) -> bool {
        self.chunks.contains_key(chunk) && self.segments.contains(segment)
    }
}

/// A chunk that can not be read, and where it was found unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostChunk {
    /// The chunk.
    pub id: ChunkId,
    /// What it is made of.
    pub class: Class,
    /// The segments with copies that are no good.
    pub segments: BTreeSet<SegmentId>,
}

/// As many records as these chunks need; `archives` is kept with each as far as it fits.
pub fn damage_records(time: Timestamp, lost: &[LostChunk], archives: &BTreeSet<ArchiveId>) -> Vec<DamageRecord> {
    let archives: BTreeSet<ArchiveId> = archives.iter().take(DAMAGE_PLACES_MAX).copied().collect();
    let empty = || DamageRecord {
        time,
        chunks: BTreeMap::new(),
        segments: BTreeSet::new(),
        archives: archives.clone(),
        extensions: Extensions::none(),
    };
    let mut records: Vec<DamageRecord> = Vec::new();
    for chunk in lost {
        // a chunk has few copies; what does not fit is a copy nobody misses
        let segments: BTreeSet<SegmentId> = chunk.segments.iter().take(DAMAGE_PLACES_MAX).copied().collect();
        let fits = |record: &DamageRecord| {
            let new = segments.difference(&record.segments).count();
            record.chunks.len() < DAMAGED_CHUNKS_MAX && record.segments.len() + new <= DAMAGE_PLACES_MAX
        };
        if !records.last().is_some_and(fits) {
            records.push(empty());
        }
        if let Some(record) = records.last_mut() {
            record.chunks.insert(chunk.id, chunk.class);
            record.segments.extend(segments);
        }
    }
    records
}

/// A damage record of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Its id.
    pub id: [u8; 16],
    /// What it says.
    pub record: DamageRecord,
}

impl Damage {
    /// The object of the damage record with this id.
    pub fn name(id: &[u8; 16]) -> ObjectName {
        ObjectName::of_object(Kind::Damage, id)
    }
}

/// All damage records. One that vanishes while it is read was healed.
pub(super) fn read_damage(store: &Store, sealer: &Sealer<'_>) -> Result<Found<Damage>> {
    read_all(store, sealer, Kind::Damage, |id, plain| Ok(Damage { id, record: DamageRecord::decode(plain)? }))
}

/// Puts a damage record.
pub(crate) fn put_damage(store: &Store, sealer: &Sealer<'_>, record: DamageRecord) -> Result<Damage> {
    let sealed = sealer.seal(Kind::Damage, &record.encode()?)?;
    store.put(&Damage::name(&sealed.id), Payload::from(sealed.bytes))?;
    Ok(Damage { id: sealed.id, record })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Timestamp = Timestamp::new(1, 2);

    fn lost(number: u32, segments: impl IntoIterator<Item = u32>) -> LostChunk {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let segment = |number: u32| SegmentId::from_bytes([number.to_be_bytes(); 4].concat().try_into().unwrap());
        let segments = segments.into_iter().map(segment).collect();
        LostChunk { id: ChunkId::from_bytes(id), class: Class::Data, segments }
    }

    #[test]
    fn records_go_both_ways() {
        let archives = [ArchiveId::from_bytes([7; 16])].into();
        let record = damage_records(TIME, &[lost(1, [2])], &archives).pop().unwrap();
        let bytes = record.encode().unwrap();
        assert_eq!(DamageRecord::decode(&bytes).unwrap(), record);
        let mut golden = vec![0x95, 0x92, 1, 2, 0x81, 0xc4, 32];
        golden.extend(record.chunks.keys().next().unwrap().as_bytes());
        golden.extend([1, 0x91, 0xc4, 16]);
        golden.extend([0, 0, 0, 2].repeat(4));
        golden.extend([0x91, 0xc4, 16]);
        golden.extend([7; 16]);
        golden.push(0x80);
        assert_eq!(bytes, golden);
        let late = DamageRecord { time: Timestamp::new(1, 1_000_000_000), ..record };
        let bytes = codec::encode(&late, RECORD_BYTES_MAX).unwrap();
        assert_eq!(DamageRecord::decode(&bytes).unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn what_does_not_fit_into_one_record_makes_several() {
        let chunks: Vec<_> = (0..DAMAGED_CHUNKS_MAX as u32 * 2 + 1).map(|number| lost(number, [number])).collect();
        let archives: BTreeSet<_> = (0..2000u32)
            .map(|number| ArchiveId::from_bytes([number.to_be_bytes(); 4].concat().try_into().unwrap()))
            .collect();
        let records = damage_records(TIME, &chunks, &archives);
        assert!(records.len() > 2);
        for record in &records {
            assert!(DamageRecord::decode(&record.encode().unwrap()).is_ok());
        }
        for chunk in &chunks {
            let covered = records.iter().any(|record| record.covers(&chunk.id, chunk.segments.first().unwrap()));
            assert!(covered, "{}", chunk.id);
        }
        assert_eq!(damage_records(TIME, &[], &archives), []);
    }
}
