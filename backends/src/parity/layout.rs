//! How a protected object lies in its store: sectors, headers, places. The byte tables are in `docs/erasure.md`.

use std::ops::Range;

use gabion_core::backend::ObjectName;
use gabion_core::limits::{KIB, OBJECT_BYTES_MAX};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::Percent;
use crate::reed_solomon::Code;

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 128;
/// Bytes of a checksum.
pub(super) const CHECK_BYTES: usize = 16;
/// Bytes of a sector of most objects: what disks lose at once.
pub(super) const SECTOR_BYTES: usize = 4 * KIB;
/// Objects with less data are as well protected as by three copies.
const SMALL_BYTES: u64 = 64 * KIB as u64;
/// Sectors of each kind that the code has at most; larger objects have larger sectors.
const SECTORS_MAX: usize = 32_768;
const SHIFTS: Range<u8> = 12..21;
const MAGIC: [u8; 4] = *b"GABP";
/// What a header's own checksum covers.
const COVERED: usize = HEADER_BYTES - CHECK_BYTES;

/// What follows from the length of the data and the wish for protection: where everything lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub data_bytes: u64,
    pub sector_shift: u8,
    /// Parity sectors; of an object whose data fits one sector: further copies of it.
    pub parity: usize,
}

impl Geometry {
    /// The geometry of new objects.
    pub fn of(data_bytes: u64, percent: Percent) -> Self {
        let with = |sector_shift| {
            let mut geometry = Self { data_bytes, sector_shift, parity: 0 };
            let sectors = geometry.data_sectors();
            let wished = (sectors * usize::from(percent.get())).div_ceil(100).max(2);
            geometry.parity = if data_bytes < SMALL_BYTES { wished.max(2 * sectors) } else { wished };
            geometry
        };
        let fits = |geometry: &Self| geometry.data_sectors() <= SECTORS_MAX && geometry.parity <= SECTORS_MAX;
        let widest = with(SHIFTS.end - 1);
        SHIFTS.map(with).find(fits).unwrap_or(widest)
    }

    /// Whether this can be: nobody allocates by a geometry that can not.
    fn is_possible(&self) -> bool {
        self.data_bytes <= OBJECT_BYTES_MAX as u64
            && SHIFTS.contains(&self.sector_shift)
            && (1..=SECTORS_MAX).contains(&self.parity)
            && self.data_sectors() <= SECTORS_MAX
            && (self.is_copies() || self.code().is_possible() && self.table_code().is_possible())
    }

    pub fn sector_bytes(&self) -> usize {
        1 << self.sector_shift
    }

    /// Sectors of the first header and the data behind it.
    pub fn data_sectors(&self) -> usize {
        (HEADER_BYTES + self.data_bytes as usize).div_ceil(self.sector_bytes())
    }

    /// Whether the object is several copies of one sector.
    pub fn is_copies(&self) -> bool {
        self.data_sectors() == 1
    }

    /// The code over the sectors.
    pub fn code(&self) -> Code {
        Code { originals: self.data_sectors(), recoveries: self.parity }
    }

    /// Bytes of all checksums of data and parity sectors.
    pub fn table_bytes(&self) -> usize {
        (self.data_sectors() + self.parity) * CHECK_BYTES
    }

    /// Bytes of the table that one sector holds, behind its header.
    pub fn table_part_bytes(&self) -> usize {
        self.sector_bytes() - HEADER_BYTES
    }

    /// The code over the sectors of the table: so many are needed, so many are there to be lost.
    pub fn table_code(&self) -> Code {
        let needed = self.table_bytes().div_ceil(self.table_part_bytes());
        Code { originals: needed, recoveries: self.parity.min(needed + 8 + self.parity / 16) }
    }

    fn table_sectors(&self) -> usize {
        let code = self.table_code();
        code.originals + code.recoveries
    }

    /// The sector in which a part of the table lies: one half before the parity, one behind it.
    pub fn table_sector(&self, part: usize) -> usize {
        let first = self.table_sectors().div_ceil(2);
        self.data_sectors() + if part < first { part } else { self.parity + part }
    }

    /// The sector in which a parity sector lies.
    pub fn parity_sector(&self, number: usize) -> usize {
        self.data_sectors() + self.table_sectors().div_ceil(2) + number
    }

    /// All sectors of the object.
    pub fn sectors(&self) -> usize {
        match self.is_copies() {
            true => 1 + self.parity,
            false => self.data_sectors() + self.parity + self.table_sectors(),
        }
    }

    /// The length of the whole object in its store.
    pub fn stored_bytes(&self) -> usize {
        self.sectors() * self.sector_bytes()
    }

    /// Where a sector lies.
    pub fn place(&self, sector: usize) -> Range<usize> {
        let start = sector * self.sector_bytes();
        start..start + self.sector_bytes()
    }
}

/// By what the checksums of sectors are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Version {
    /// BLAKE3, like all other checksums; and copies, which have none.
    One = 1,
    /// XXH3: a sector is too short for BLAKE3 to be fast.
    Two = 2,
}

/// What is said at the head of an object, of every part of its table, or of every copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub version: Version,
    pub geometry: Geometry,
    /// Which header this is: 0 for the first, 1 and so on for the parts of the table or the further copies.
    pub number: u32,
    /// Hash of the table of checksums; zeros for copies.
    pub root: [u8; 32],
    /// Checksum of what lies behind this header in its sector; zeros for the first one of an object with parity.
    pub behind: [u8; CHECK_BYTES],
}

impl Header {
    pub fn encode(&self, keys: &Keys) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.version as u8;
        bytes[5] = self.geometry.sector_shift;
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.geometry.parity as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.geometry.data_bytes.to_le_bytes());
        bytes[24..56].copy_from_slice(&self.root);
        bytes[56..72].copy_from_slice(&self.behind);
        let check = keys.header_check(&bytes[..COVERED]);
        bytes[COVERED..].copy_from_slice(&check);
        bytes
    }

    /// Reads a header; `None` if these bytes are none, or damaged, or of an object of another name.
    pub fn decode(bytes: &[u8], keys: &Keys) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let version = version(bytes)?;
        if keys.header_check(&bytes[..COVERED]) != bytes[COVERED..] {
            return None;
        }
        let geometry = Geometry {
            sector_shift: bytes[5],
            parity: u32_at(bytes, 12)? as usize,
            data_bytes: u64::from_le_bytes(bytes[16..24].try_into().ok()?),
        };
        let header = Self {
            version,
            geometry,
            number: u32_at(bytes, 8)?,
            root: bytes[24..56].try_into().ok()?,
            behind: bytes[56..72].try_into().ok()?,
        };
        // What this version does not write it does not read either.
        (geometry.is_possible() && header.encode(keys) == *bytes).then_some(header)
    }
}

/// The version that the first bytes of a header state; `None` if they are of none that is known.
pub(super) fn version(bytes: &[u8]) -> Option<Version> {
    match bytes.strip_prefix(&MAGIC)?.first()? {
        1 => Some(Version::One),
        2 => Some(Version::Two),
        _ => None,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Makes the checksums of one object: they hold for its name only. They guard against accident, not against people,
/// who can make them as well: tags of the engine do that.
pub(super) struct Keys {
    name: [u8; 32],
}

impl Keys {
    pub fn of(name: &ObjectName) -> Self {
        Self { name: blake3::derive_key("gabion 1 parity", name.as_str().as_bytes()) }
    }

    fn header_check(&self, bytes: &[u8]) -> [u8; CHECK_BYTES] {
        self.check(u64::MAX, bytes)
    }

    /// The checksum of a sector, data sectors counted before parity sectors.
    pub fn sector_check(&self, version: Version, number: usize, bytes: &[u8]) -> [u8; CHECK_BYTES] {
        match version {
            Version::One => self.check(number as u64, bytes),
            Version::Two => {
                let [a, b, c, d, e, f, g, h, ..] = self.key(number as u64);
                xxh3_128_with_seed(bytes, u64::from_le_bytes([a, b, c, d, e, f, g, h])).to_le_bytes()
            }
        }
    }

    /// The checksum of what lies behind a header.
    pub fn behind_check(&self, number: u32, bytes: &[u8]) -> [u8; CHECK_BYTES] {
        self.check((1 << 63) + u64::from(number), bytes)
    }

    /// The hash of the table.
    pub fn root(&self, table: &[u8]) -> [u8; 32] {
        blake3::keyed_hash(&self.name, table).into()
    }

    fn check(&self, number: u64, bytes: &[u8]) -> [u8; CHECK_BYTES] {
        let hash = blake3::keyed_hash(&self.key(number), bytes);
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&hash.as_bytes()[..CHECK_BYTES]);
        check
    }

    /// The number goes into the key, so that the hash works on whole blocks only.
    fn key(&self, number: u64) -> [u8; 32] {
        let mut key = self.name;
        for (byte, number) in key.iter_mut().zip(number.to_le_bytes()) {
            *byte ^= number;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(data_bytes: u64, percent: u8) -> Geometry {
        Geometry::of(data_bytes, Percent::new(percent).unwrap())
    }

    #[test]
    fn every_sector_has_one_purpose() {
        for (bytes, percent) in [(4000, 10), (65_000, 10), (70_000, 10), (1 << 20, 1), (1 << 20, 100), (33 << 20, 10)] {
            let geometry = geometry(bytes, percent);
            let table = geometry.table_code();
            let mut used: Vec<usize> = (0..geometry.data_sectors()).collect();
            used.extend((0..geometry.parity).map(|number| geometry.parity_sector(number)));
            used.extend((0..table.originals + table.recoveries).map(|part| geometry.table_sector(part)));
            used.sort_unstable();
            assert_eq!(used, (0..geometry.sectors()).collect::<Vec<_>>(), "{geometry:?}");
            assert!(geometry.code().is_possible() && table.is_possible(), "{geometry:?}");
        }
    }

    #[test]
    fn objects_of_every_size_have_a_code() {
        for bytes in [0, 3968, 3969, 65_535, 65_536, 128 << 20, OBJECT_BYTES_MAX as u64] {
            for percent in [1, 10, 100] {
                let geometry = geometry(bytes, percent);
                assert!(geometry.is_possible(), "{geometry:?}");
                assert_eq!(geometry.is_copies(), bytes <= 3968);
                assert!(geometry.parity >= 2);
                assert!(geometry.is_copies() || geometry.code().is_possible());
            }
        }
        // "any 819 of 9000" and more: 32 MiB with 10 %.
        let segment = geometry(32 << 20, 10);
        assert_eq!((segment.data_sectors(), segment.parity, segment.sectors()), (8193, 820, 9146));
    }

    #[test]
    fn headers_go_both_ways_and_belong_to_a_name() {
        let keys = |name: &str| Keys::of(&ObjectName::new(name).unwrap());
        let version = Version::Two;
        let header = Header { version, geometry: geometry(100_000, 10), number: 3, root: [7; 32], behind: [8; 16] };
        let bytes = header.encode(&keys("a/b"));
        assert_eq!(Header::decode(&bytes, &keys("a/b")), Some(header));
        let first = Header { version: Version::One, ..header };
        assert_eq!(Header::decode(&first.encode(&keys("a/b")), &keys("a/b")), Some(first));
        assert_eq!(Header::decode(&bytes, &keys("a/c")), None);
        assert_eq!(Header::decode(&bytes[..127], &keys("a/b")), None);
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad, &keys("a/b")), None, "bit {bit}");
        }
    }

    #[test]
    fn impossible_geometries_are_refused() {
        let keys = Keys::of(&ObjectName::new("a").unwrap());
        let good = geometry(100_000, 10);
        for bad in [
            Geometry { data_bytes: u64::MAX, ..good },
            Geometry { data_bytes: OBJECT_BYTES_MAX as u64 + 1, ..good },
            Geometry { data_bytes: OBJECT_BYTES_MAX as u64, ..good },
            Geometry { parity: 0, ..good },
            Geometry { parity: 32_769, ..good },
            Geometry { sector_shift: 63, ..good },
            Geometry { sector_shift: 2, ..good },
        ] {
            let header = Header { version: Version::Two, geometry: bad, number: 0, root: [0; 32], behind: [0; 16] };
            assert_eq!(Header::decode(&header.encode(&keys), &keys), None, "{bad:?}");
        }
    }
}
