//! Doom: the segments a collector will delete. Irrevocable, and no name is used twice.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::records::{Found, read_all};
use crate::backend::{ObjectName, Store};
use crate::codec::{self, Extensions};
use crate::error::Result;
use crate::id::SegmentId;
use crate::limits::RECORD_BYTES_MAX;
use crate::seal::{Kind, Sealer};

/// The list of segments a collector will delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoomRecord {
    /// Their names.
    pub segments: BTreeSet<SegmentId>,
    /// Additions of later versions.
    pub extensions: Extensions,
}

impl DoomRecord {
    /// Encodes the record; a collector that dooms more than fits writes several.
    pub fn encode(&self) -> Result<Vec<u8>> {
        codec::encode(self, RECORD_BYTES_MAX)
    }

    /// Decodes the record.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let record: Self = codec::decode(bytes, RECORD_BYTES_MAX)?;
        record.extensions.check_critical()?;
        Ok(record)
    }
}

/// A doom record of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doom {
    /// Its id.
    pub id: [u8; 16],
    /// What it says.
    pub record: DoomRecord,
}

impl Doom {
    /// The object of the doom with this id.
    pub fn name(id: &[u8; 16]) -> ObjectName {
        ObjectName::of_object(Kind::Doom, id)
    }
}

/// All dooms. A record that vanishes while it is read was removed by its collector, which
/// bumped the epoch before; it is skipped.
pub(super) fn read_dooms(store: &Store, sealer: &Sealer<'_>) -> Result<Found<Doom>> {
    read_all(store, sealer, Kind::Doom, |id, plain| Ok(Doom { id, record: DoomRecord::decode(plain)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_both_ways() {
        let record = DoomRecord {
            segments: [SegmentId::from_bytes([2; 16]), SegmentId::from_bytes([1; 16])].into(),
            extensions: Extensions::none(),
        };
        let bytes = record.encode().unwrap();
        assert_eq!(DoomRecord::decode(&bytes).unwrap(), record);
        // golden bytes: array of [array of two 16-byte strings in order, empty map]
        let mut golden = vec![0x92, 0x92];
        for byte in [1, 2] {
            golden.extend([0xc4, 16]);
            golden.extend([byte; 16]);
        }
        golden.push(0x80);
        assert_eq!(bytes, golden);
    }
}
