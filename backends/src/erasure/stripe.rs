//! From an object to its parts, and from enough parts back.

use std::collections::BTreeMap;

use bytes::Bytes;
use gabion_core::backend::{ObjectName, Payload};
use gabion_core::error::{Error, Result};

use super::Split;
use super::shard::{self, BLOCK_BYTES, Header, Part};
use crate::reed_solomon::Code;

/// What each store shall hold of an object, in the order of the stores.
pub(super) fn encode(name: &ObjectName, split: Split, data: &Bytes) -> Result<Vec<Payload>> {
    let generation = blake3::hash(data).into();
    let header = |store| Header { split, store, object_bytes: data.len() as u64, generation };
    if header(0).is_copy() {
        return Ok((0..split.stores()).map(|store| shard::encode(name, &header(store), data.clone())).collect());
    }
    let bytes = header(0).part_bytes();
    let part = |number: usize| data.slice(data.len().min(number * bytes)..data.len().min((number + 1) * bytes));
    let code = code(split);
    // A part at the end of the object is shorter than the others: the code sees it padded.
    let padded: Vec<Option<Vec<u8>>> = (0..code.originals).map(|number| padded(&part(number), bytes)).collect();
    let made = code.recovery(bytes, |number| match &padded[number] {
        Some(padded) => padded,
        None => &data[number * bytes..][..bytes],
    })?;
    let made = Bytes::from(made);
    let parts = (0..code.originals).map(part);
    let parts = parts.chain((0..code.recoveries).map(|number| made.slice(number * bytes..(number + 1) * bytes)));
    Ok((0..).zip(parts).map(|(store, part)| shard::encode(name, &header(store), part)).collect())
}

fn padded(part: &[u8], bytes: usize) -> Option<Vec<u8>> {
    (part.len() < bytes).then(|| {
        let mut padded = part.to_vec();
        padded.resize(bytes, 0);
        padded
    })
}

fn code(split: Split) -> Code {
    Code { originals: usize::from(split.needed), recoveries: usize::from(split.spare) }
}

/// Puts an object together from parts of one generation, block by block: at every place any `needed` good blocks will
/// do. The hash of what comes out is compared with the generation.
///
/// Fails with `Damaged` if at some place there are too few.
pub(super) fn decode(parts: &[&Part]) -> Result<Bytes> {
    let first = parts.first().ok_or_else(|| beyond_repair("no part of it is there"))?;
    let header = first.header;
    if header.is_copy() {
        return parts.iter().find_map(|part| part.whole()).ok_or_else(|| beyond_repair("no copy is whole"));
    }
    let split = header.split;
    let mut by_number: Vec<Option<&Part>> = vec![None; usize::from(split.stores())];
    for part in parts {
        if let Some(place) = by_number.get_mut(usize::from(part.header.store)) {
            *place = Some(part);
        }
    }
    let (bytes, needed) = (header.part_bytes(), usize::from(split.needed));
    let mut object = vec![0; needed * bytes];
    let mut wanting: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for block in 0..header.blocks() {
        let mut there = 0_u64;
        for (number, part) in by_number.iter().enumerate() {
            if let Some(good) = part.and_then(|part| part.block(block)) {
                there |= 1 << number;
                if number < needed {
                    let start = number * bytes + block * BLOCK_BYTES;
                    object[start..start + good.len()].copy_from_slice(good);
                }
            }
        }
        if there.trailing_ones() < needed as u32 {
            wanting.entry(there).or_default().push(block);
        }
    }
    for (there, blocks) in wanting {
        rebuild(&by_number, split, there, &blocks, &mut object)?;
    }
    object.truncate(header.object_bytes as usize);
    match blake3::hash(&object) == header.generation {
        true => Ok(object.into()),
        false => Err(beyond_repair("what was put together is not what was written")),
    }
}

/// Whether the parts, in the order of their stores, are all there are and give what was written: [`decode`] without the
/// object.
pub(super) fn are_whole(parts: &[&Part]) -> bool {
    let Some(header) = parts.first().map(|part| part.header) else { return false };
    if parts.len() < usize::from(header.split.stores()) || !parts.iter().all(|part| part.is_intact) {
        return false;
    }
    if header.is_copy() {
        return true;
    }
    let (mut hasher, mut rest) = (blake3::Hasher::new(), header.object_bytes as usize);
    for shard in parts.iter().take(header.split.needed.into()).filter_map(|part| part.whole()) {
        let bytes = rest.min(shard.len());
        hasher.update(&shard[..bytes]);
        rest -= bytes;
    }
    hasher.finalize() == header.generation
}

/// Rebuilds the missing data blocks at places where the same parts are good.
fn rebuild(parts: &[Option<&Part>], split: Split, there: u64, blocks: &[usize], object: &mut [u8]) -> Result<()> {
    let needed = usize::from(split.needed);
    if (there.count_ones() as usize) < needed {
        return Err(beyond_repair("too few parts are whole").with("whole", there.count_ones()).with("needed", needed));
    }
    // The last block of a shard may be shorter than the others; all shards agree in that.
    let gathered: Vec<Option<Vec<u8>>> = (0..parts.len())
        .map(|number| {
            let part = parts[number].filter(|_| there & (1 << number) != 0)?;
            let good = blocks.iter().map(|block| part.block(*block)).collect::<Option<Vec<_>>>()?;
            Some(good.concat())
        })
        .collect();
    let bytes = gathered.iter().flatten().next().map_or(0, Vec::len);
    let restored = code(split).originals(bytes, |number| gathered[number].as_deref())?;
    let stride = object.len() / needed;
    for (number, restored) in restored {
        let mut rest = &restored[..];
        for block in blocks {
            let start = block * BLOCK_BYTES;
            let (bytes, more) = rest.split_at(rest.len().min(BLOCK_BYTES.min(stride - start)));
            object[number * stride + start..][..bytes.len()].copy_from_slice(bytes);
            rest = more;
        }
    }
    Ok(())
}

/// Rebuilds the bytes of one data shard from the same bytes of `needed` others, numbered. Nothing is verified.
pub(super) fn rebuild_range(split: Split, wanted: usize, others: &[(usize, Bytes)]) -> Result<Bytes> {
    let bytes = others.first().map_or(0, |(_, bytes)| bytes.len());
    let shard = |number: usize| others.iter().find(|(other, _)| *other == number).map(|(_, bytes)| &bytes[..]);
    let restored = code(split).originals(bytes, shard)?;
    let found = restored.into_iter().find(|(number, _)| *number == wanted);
    found.map(|(_, bytes)| bytes.into()).ok_or_else(|| beyond_repair("a shard is not to be had"))
}

fn beyond_repair(why: &'static str) -> Error {
    Error::damaged("put object together", why)
}

#[cfg(test)]
mod tests {
    use super::super::shard::HEADER_BYTES;
    use super::*;

    fn name() -> ObjectName {
        ObjectName::new("segments/ab").unwrap()
    }

    fn data(bytes: usize) -> Bytes {
        (0..bytes).map(|at| (at * 31 + at / 255 + at / 65_536) as u8).collect::<Vec<_>>().into()
    }

    fn parts(split: Split, stored: &[Vec<u8>]) -> Vec<Part> {
        let decode =
            |(store, stored): (usize, &Vec<u8>)| Part::decode(&name(), split.into(), store, stored.clone().into());
        stored.iter().enumerate().filter_map(decode).collect()
    }

    fn stored(split: Split, data: &Bytes) -> Vec<Vec<u8>> {
        encode(&name(), split, data).unwrap().into_iter().map(|payload| payload.into_bytes().to_vec()).collect()
    }

    #[test]
    fn any_needed_parts_give_the_object_back() {
        for (needed, spare) in [(1, 1), (1, 2), (2, 1), (3, 3), (4, 2), (6, 3)] {
            let split = Split::new(needed, spare).unwrap();
            for bytes in [0, 1, 65_535, 65_536, 70_001, 1_000_003] {
                let data = data(bytes);
                let all = parts(split, &stored(split, &data));
                for kept in 0_u32..1 << split.stores() {
                    let chosen: Vec<&Part> = all.iter().filter(|part| kept & (1 << part.header.store) != 0).collect();
                    let enough = chosen.len() >= usize::from(needed) || (bytes < 65_536 && !chosen.is_empty());
                    match decode(&chosen) {
                        Ok(got) => assert!(enough && got == data, "{split} {bytes} {kept:b}"),
                        Err(error) => assert!(!enough, "{split} {bytes} {kept:b}: {error}"),
                    }
                }
            }
        }
    }

    /// Two faults anywhere, and rot elsewhere: what counts is how many are bad at one place.
    #[test]
    fn rot_in_many_shards_is_repaired_place_by_place() {
        let split = Split::new(4, 2).unwrap();
        let data = data(2_000_000);
        let good = stored(split, &data);
        let blocks = parts(split, &good)[0].header.blocks();
        for lost in 0..6 {
            let mut bad = good.clone();
            // One store is gone; every block is bad in one of the others, in turn.
            bad[lost].clear();
            for block in 0..blocks {
                let store = (lost + 1 + block % 5) % 6;
                bad[store][HEADER_BYTES + block * BLOCK_BYTES + 5] ^= 0x40;
            }
            let all = parts(split, &bad);
            assert!(decode(&all.iter().collect::<Vec<_>>()).unwrap() == data, "{lost}");
            // A third fault at one place is one too many.
            bad[(lost + 2) % 6][HEADER_BYTES + 5] ^= 0x40;
            let all = parts(split, &bad);
            assert!(decode(&all.iter().collect::<Vec<_>>()).is_err(), "{lost}");
        }
    }

    #[test]
    fn only_all_parts_of_what_was_written_are_whole() {
        let split = Split::new(3, 2).unwrap();
        for bytes in [0, 1, 65_535, 65_536, 70_001, 1_000_003] {
            let data = data(bytes);
            let good = parts(split, &stored(split, &data));
            let whole: Vec<&Part> = good.iter().collect();
            assert!(are_whole(&whole) && !are_whole(&whole[1..]) && !are_whole(&whole[..4]), "{bytes}");
            // Each part is intact, but together they are not what their headers say.
            let generation = blake3::hash(&[9]).into();
            let made = |(store, part): (u8, &Part)| {
                let header = Header { generation, ..part.header };
                shard::encode(&name(), &Header { store, ..header }, part.whole().unwrap())
            };
            let lying: Vec<_> = (0..).zip(&good).map(made).map(|made| made.into_bytes().to_vec()).collect();
            let lying = parts(split, &lying);
            assert!(!are_whole(&lying.iter().collect::<Vec<_>>()), "{bytes}");
        }
    }

    #[test]
    fn a_range_of_a_shard_follows_from_the_others() {
        let split = Split::new(3, 2).unwrap();
        let all = parts(split, &stored(split, &data(500_000)));
        let range = 640..1280;
        let part = |number: usize| all[number].whole().unwrap().slice(range.clone());
        let others: Vec<_> = [0, 3, 4].into_iter().map(|number| (number, part(number))).collect();
        assert_eq!(rebuild_range(split, 1, &others).unwrap(), part(1));
        assert_eq!(rebuild_range(split, 2, &others).unwrap(), part(2));
        assert!(rebuild_range(split, 1, &others[..2]).is_err());
    }
}
