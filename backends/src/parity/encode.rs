//! From data to a protected object.

use bytes::Bytes;
use gabion_core::backend::{ObjectName, Payload};
use gabion_core::error::Result;

use super::layout::{CHECK_BYTES, Geometry, HEADER_BYTES, Header, Keys, Version};

/// Protects data. The data itself is not copied.
pub(super) fn encode(name: &ObjectName, data: Bytes, geometry: &Geometry) -> Result<Payload> {
    encode_as(Version::Two, name, data, geometry)
}

/// As [`encode`], in a version of one's choice; copies have but one.
pub(super) fn encode_as(version: Version, name: &ObjectName, data: Bytes, geometry: &Geometry) -> Result<Payload> {
    let keys = Keys::of(name);
    match geometry.is_copies() {
        true => Ok(Payload::from(copies(&keys, &data, geometry))),
        false => with_parity(version, &keys, data, geometry),
    }
}

fn copies(keys: &Keys, data: &[u8], geometry: &Geometry) -> Vec<u8> {
    let mut out = Vec::with_capacity(geometry.stored_bytes());
    for number in 0..=geometry.parity as u32 {
        let start = out.len() + HEADER_BYTES;
        out.resize(start, 0);
        out.extend_from_slice(data);
        out.resize(start - HEADER_BYTES + geometry.sector_bytes(), 0);
        let behind = keys.behind_check(number, &out[start..]);
        let header = Header { version: Version::One, geometry: *geometry, number, root: [0; 32], behind };
        out[start - HEADER_BYTES..start].copy_from_slice(&header.encode(keys));
    }
    out
}

fn with_parity(version: Version, keys: &Keys, data: Bytes, geometry: &Geometry) -> Result<Payload> {
    let sectors = DataSectors::of(&data, geometry);
    // What lies behind the data: the end of its last sector, and all other sectors.
    let start = HEADER_BYTES + data.len();
    let mut tail = vec![0; geometry.stored_bytes() - start];
    let place = |sector: usize| geometry.place(sector).start - start;
    let parity = place(geometry.parity_sector(0))..place(geometry.parity_sector(geometry.parity));
    geometry.code().recovery_into(&mut tail[parity.clone()], geometry.sector_bytes(), |number| sectors.get(number))?;
    let table = table(version, keys, &sectors, &tail[parity], geometry);
    let root = keys.root(&table);
    let parts = table_parts(table, geometry)?;
    for (part, bytes) in parts.chunks_exact(geometry.table_part_bytes()).enumerate() {
        let number = 1 + part as u32;
        let behind = keys.behind_check(number, bytes);
        let sector = &mut tail[place(geometry.table_sector(part))..][..geometry.sector_bytes()];
        let (header, rest) = sector.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&Header { version, geometry: *geometry, number, root, behind }.encode(keys));
        rest.copy_from_slice(bytes);
    }
    let header = Header { version, geometry: *geometry, number: 0, root, behind: [0; CHECK_BYTES] }.encode(keys);
    Ok(Payload::from_pieces(vec![header.to_vec().into(), data, tail.into()]))
}

/// The parity sectors of data, one behind the other.
pub(super) fn parity_of(sectors: &DataSectors<'_>, geometry: &Geometry) -> Result<Vec<u8>> {
    geometry.code().recovery(geometry.sector_bytes(), |number| sectors.get(number))
}

fn table(version: Version, keys: &Keys, sectors: &DataSectors<'_>, parity: &[u8], geometry: &Geometry) -> Vec<u8> {
    let count = geometry.data_sectors();
    let mut table = Vec::with_capacity(geometry.table_bytes());
    for number in 0..count {
        table.extend_from_slice(&keys.sector_check(version, number, sectors.get(number)));
    }
    for (number, bytes) in (count..).zip(parity.chunks_exact(geometry.sector_bytes())) {
        table.extend_from_slice(&keys.sector_check(version, number, bytes));
    }
    table
}

/// All parts of the table, those that follow from the others included, one behind the other.
fn table_parts(mut table: Vec<u8>, geometry: &Geometry) -> Result<Vec<u8>> {
    let (code, bytes) = (geometry.table_code(), geometry.table_part_bytes());
    table.resize(code.originals * bytes, 0);
    let more = code.recovery(bytes, |part| &table[part * bytes..][..bytes])?;
    table.extend_from_slice(&more);
    Ok(table)
}

/// The data as the code sees it: sectors, the first of which begins with zeros in place of the header.
pub(super) struct DataSectors<'a> {
    first: Vec<u8>,
    middle: &'a [u8],
    last: Vec<u8>,
    sector_bytes: usize,
    count: usize,
}

impl<'a> DataSectors<'a> {
    /// The sectors of data that fills more than one of them.
    pub fn of(data: &'a [u8], geometry: &Geometry) -> Self {
        let sector_bytes = geometry.sector_bytes();
        let (head, rest) = data.split_at(data.len().min(sector_bytes - HEADER_BYTES));
        let mut first = vec![0; HEADER_BYTES];
        first.extend_from_slice(head);
        first.resize(sector_bytes, 0);
        let (middle, tail) = rest.split_at(rest.len() / sector_bytes * sector_bytes);
        let mut last = tail.to_vec();
        last.resize(sector_bytes, 0);
        Self { first, middle, last, sector_bytes, count: geometry.data_sectors() }
    }

    /// The sector of a number below the count of data sectors.
    pub fn get(&self, number: usize) -> &[u8] {
        debug_assert!(number < self.count);
        match number.checked_sub(1) {
            None => &self.first,
            Some(number) => self.middle.chunks_exact(self.sector_bytes).nth(number).unwrap_or(&self.last),
        }
    }
}
