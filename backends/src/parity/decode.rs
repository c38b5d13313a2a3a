//! From a protected object, damaged or not, back to its data.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytes::Bytes;
use gabion_core::backend::ObjectName;
use gabion_core::error::{Error, Result};

use super::encode::{DataSectors, parity_of};
use super::layout::{CHECK_BYTES, Geometry, HEADER_BYTES, Header, Keys, SECTOR_BYTES, version};

/// How much of an object is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// What is needed to be sure of the data.
    Data,
    /// Everything, so that all damage is seen.
    Everything,
}

/// The data of an object, and what was damaged.
#[derive(Debug)]
pub(super) struct Opened {
    pub data: Bytes,
    pub geometry: Geometry,
    pub damage: Damage,
}

/// What is wrong with an object whose data is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Sectors that are not what was written, as far as they were looked at.
    pub sectors: usize,
    /// Bytes the object lacks or has too many.
    pub length: u64,
}

impl Damage {
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// Opens an object. `None` if no header of it is anywhere to be found: it was not written by this layer, or nothing
/// is left of it.
///
/// Fails with `Damaged` if more is damaged than can be repaired.
pub(super) fn open(name: &ObjectName, stored: &Bytes, depth: Depth) -> Result<Option<Opened>> {
    let keys = Keys::of(name);
    let Some(header) = find_header(&keys, stored) else { return Ok(None) };
    let object = Object { keys, stored, header };
    let opened = match header.geometry.is_copies() {
        true => object.open_copies(),
        false => object.open_with_parity(depth),
    };
    let length = (header.geometry.stored_bytes() as u64).abs_diff(stored.len() as u64);
    match opened {
        Ok((data, sectors)) => Ok(Some(Opened { data, geometry: header.geometry, damage: Damage { sectors, length } })),
        Err(error) => Err(error.with("object", name)),
    }
}

fn find_header(keys: &Keys, stored: &[u8]) -> Option<Header> {
    stored
        .chunks(SECTOR_BYTES)
        .filter(|sector| version(sector).is_some())
        .find_map(|sector| Header::decode(sector, keys))
}

/// An object some header of which was found.
struct Object<'a> {
    keys: Keys,
    stored: &'a Bytes,
    header: Header,
}

/// The checksums of all sectors.
struct Table<'a>(Cow<'a, [u8]>);

impl Table<'_> {
    fn check(&self, number: usize) -> &[u8] {
        self.0.get(number * CHECK_BYTES..(number + 1) * CHECK_BYTES).unwrap_or_default()
    }
}

impl Object<'_> {
    /// The data and the count of damaged sectors.
    fn open_copies(&self) -> Result<(Bytes, usize)> {
        let geometry = self.header.geometry;
        let copies = 0..1 + geometry.parity;
        let good = |number: &usize| self.part(*number, *number as u32).is_some();
        let first = copies.clone().find(good).ok_or_else(|| beyond_repair("no copy is whole"))?;
        let start = geometry.place(first).start + HEADER_BYTES;
        let data = self.stored.slice(start..start + geometry.data_bytes as usize);
        Ok((data, copies.filter(|number| !good(number)).count()))
    }

    /// What lies behind the header of this number in this sector, if both are whole.
    fn part(&self, sector: usize, number: u32) -> Option<&[u8]> {
        let bytes = self.sector(sector)?;
        let header = Header::decode(bytes, &self.keys)?;
        let behind = &bytes[HEADER_BYTES..];
        let wanted = Header { number, behind: self.keys.behind_check(number, behind), ..self.header };
        (header == wanted).then_some(behind)
    }

    fn sector(&self, sector: usize) -> Option<&[u8]> {
        self.stored.get(self.header.geometry.place(sector))
    }

    fn open_with_parity(&self, depth: Depth) -> Result<(Bytes, usize)> {
        let geometry = self.header.geometry;
        let (table, damaged_parts) = match self.table(depth)? {
            Some(found) => found,
            None => return self.open_without_table(),
        };
        let first = self.first_sector();
        let (data, parity) = (geometry.data_sectors(), geometry.parity);
        let is_good = |number: usize| {
            let bytes = self.coded(number, first.as_deref());
            bytes.is_some_and(|bytes| self.check(number, bytes) == *table.check(number))
        };
        let bad_data: BTreeSet<usize> = (0..data).filter(|number| !is_good(*number)).collect();
        // A first header that is damaged is damage of its sector, which the code does not cover.
        let head = usize::from(!bad_data.contains(&0) && self.first_header() != Some(self.head()));
        if bad_data.is_empty() && depth == Depth::Data {
            return Ok((self.data_as_stored(), damaged_parts + head));
        }
        let bad_parity: BTreeSet<usize> = (data..data + parity).filter(|number| !is_good(*number)).collect();
        let damaged = bad_data.len() + bad_parity.len() + damaged_parts + head;
        if bad_data.is_empty() {
            return Ok((self.data_as_stored(), damaged));
        }
        let left = parity - bad_parity.len();
        if bad_data.len() > left {
            return Err(beyond_repair("more sectors than parity can give back")
                .with("damaged data sectors", bad_data.len())
                .with("parity sectors", left));
        }
        let good = |number: usize| {
            let bad = bad_data.contains(&number) || bad_parity.contains(&number);
            self.coded(number, first.as_deref()).filter(|_| !bad)
        };
        let restored = geometry.code().originals(geometry.sector_bytes(), good)?;
        Ok((self.data_with(&restored, &table)?, damaged))
    }

    fn check(&self, number: usize, bytes: &[u8]) -> [u8; CHECK_BYTES] {
        self.keys.sector_check(self.header.version, number, bytes)
    }

    /// The header that belongs at the head of an object with parity.
    fn head(&self) -> Header {
        Header { number: 0, behind: [0; CHECK_BYTES], ..self.header }
    }

    fn first_header(&self) -> Option<Header> {
        Header::decode(self.stored, &self.keys)
    }

    /// The first sector as the code sees it.
    fn first_sector(&self) -> Option<Vec<u8>> {
        let mut first = self.sector(0)?.to_vec();
        first[..HEADER_BYTES].fill(0);
        Some(first)
    }

    /// A data sector, or one of parity behind them.
    fn coded<'b>(&'b self, number: usize, first: Option<&'b [u8]>) -> Option<&'b [u8]> {
        let geometry = &self.header.geometry;
        match number.checked_sub(geometry.data_sectors()) {
            None if number == 0 => first,
            None => self.sector(number),
            Some(parity) => self.sector(geometry.parity_sector(parity)),
        }
    }

    /// The table, if enough of its parts are whole, and how many are not.
    fn table(&self, depth: Depth) -> Result<Option<(Table<'_>, usize)>> {
        let geometry = &self.header.geometry;
        let (code, bytes) = (geometry.table_code(), geometry.table_part_bytes());
        let part = |number: usize| self.part(geometry.table_sector(number), 1 + number as u32);
        let mut parts: Vec<Option<&[u8]>> = (0..code.originals).map(part).collect();
        if depth == Depth::Everything || parts.iter().any(Option::is_none) {
            parts.extend((code.originals..code.originals + code.recoveries).map(part));
        }
        let damaged = parts.iter().filter(|part| part.is_none()).count();
        if parts.len() - damaged < code.originals {
            return Ok(None);
        }
        let restored = code.originals(bytes, |number| parts.get(number).copied().flatten())?;
        let mut table = Vec::with_capacity(code.originals * bytes);
        for (number, part) in parts.iter().take(code.originals).enumerate() {
            let restored = || restored.iter().find(|(missing, _)| *missing == number);
            match (part, restored()) {
                (Some(part), _) => table.extend_from_slice(part),
                (None, Some((_, part))) => table.extend_from_slice(part),
                (None, None) => return Ok(None),
            }
        }
        table.truncate(geometry.table_bytes());
        let right = self.keys.root(&table) == self.header.root;
        Ok(right.then_some((Table(table.into()), damaged)))
    }

    /// Where nothing tells which sectors are whole: the data is, if a parity sector follows from it.
    fn open_without_table(&self) -> Result<(Bytes, usize)> {
        let geometry = &self.header.geometry;
        let end = HEADER_BYTES + geometry.data_bytes as usize;
        if self.stored.len() >= end {
            let data = self.data_as_stored();
            let parity = parity_of(&DataSectors::of(&data, geometry), geometry)?;
            let stored = |number| self.sector(geometry.parity_sector(number));
            let mut made = parity.chunks_exact(geometry.sector_bytes()).enumerate();
            if made.any(|(number, made)| stored(number) == Some(made)) {
                let code = geometry.table_code();
                return Ok((data, code.originals + code.recoveries));
            }
        }
        Err(beyond_repair("too little is left of its checksums"))
    }

    fn data_as_stored(&self) -> Bytes {
        self.stored.slice(HEADER_BYTES..HEADER_BYTES + self.header.geometry.data_bytes as usize)
    }

    /// The data with restored sectors in their places.
    fn data_with(&self, restored: &[(usize, Vec<u8>)], table: &Table<'_>) -> Result<Bytes> {
        let geometry = &self.header.geometry;
        let end = geometry.data_sectors() * geometry.sector_bytes();
        let mut all = self.stored.get(..end.min(self.stored.len())).unwrap_or_default().to_vec();
        all.resize(end, 0);
        for (number, bytes) in restored {
            if self.check(*number, bytes) != *table.check(*number) {
                return Err(beyond_repair("a sector that was restored is wrong"));
            }
            if let Some(place) = all.get_mut(geometry.place(*number)) {
                place.copy_from_slice(bytes);
            }
        }
        Ok(Bytes::from(all).slice(HEADER_BYTES..HEADER_BYTES + geometry.data_bytes as usize))
    }
}

fn beyond_repair(why: &'static str) -> Error {
    Error::damaged("repair object", why)
}
