//! The erasure code: the only file that knows the library behind it.
//!
//! A maximum-distance code over GF(2^16): of `originals + recoveries` shards of equal length, any `originals` give all
//! others back. It knows nothing of what is damaged; whoever calls it leaves damaged shards out.
//!
//! `reed-solomon-simd` was chosen over `reed-solomon-erasure` for both layers: it alone takes ten thousand shards, and
//! with 4+2 it makes parity at 11 GB/s instead of 1.3 (one core of Zen 3; `gabion benchmark` tells of other machines).
//! Every 64 bytes of a shard are coded apart from the rest, so shards are worked through in lanes that fit the
//! processor's caches, and a part of all shards can be rebuilt alone.

use std::ops::Range;

use gabion_core::error::{Error, ErrorKind, Result};
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

/// Bytes of a shard that are coded apart from the others; the length of every shard is a multiple of it.
pub(crate) const UNIT_BYTES: usize = 64;
/// Bytes of all shards that are worked on at once, as far as the bounds of a lane allow.
const LANES_BYTES: usize = 8 << 20;
const LANE_BYTES_MIN: usize = 1 << 10;
const LANE_BYTES_MAX: usize = 64 << 10;

/// A code: so many original shards, so many recovery shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub originals: usize,
    pub recoveries: usize,
}

impl Code {
    /// Whether there is such a code: with at least one shard of each kind, and at most 32768 of each in any case.
    pub fn is_possible(self) -> bool {
        ReedSolomonEncoder::supports(self.originals, self.recoveries)
    }

    /// Makes the recovery shards, one behind the other. `original` gives the shard of a number.
    pub fn recovery<'a>(self, shard_bytes: usize, original: impl Fn(usize) -> &'a [u8]) -> Result<Vec<u8>> {
        let mut out = vec![0; self.recoveries * shard_bytes];
        self.recovery_into(&mut out, shard_bytes, original)?;
        Ok(out)
    }

    /// As [`Code::recovery`], into `out`, which has room for just that.
    pub fn recovery_into<'a>(
        self,
        out: &mut [u8],
        shard_bytes: usize,
        original: impl Fn(usize) -> &'a [u8],
    ) -> Result<()> {
        let mut encoder = None;
        for lane in self.lanes(shard_bytes) {
            let encoder = match &mut encoder {
                None => encoder
                    .insert(ReedSolomonEncoder::new(self.originals, self.recoveries, lane.len()).map_err(failed)?),
                Some(encoder) => {
                    encoder.reset(self.originals, self.recoveries, lane.len()).map_err(failed)?;
                    encoder
                }
            };
            for number in 0..self.originals {
                encoder.add_original_shard(part(original(number), &lane)?).map_err(failed)?;
            }
            let encoded = encoder.encode().map_err(failed)?;
            for (shard, made) in out.chunks_exact_mut(shard_bytes).zip(encoded.recovery_iter()) {
                part_mut(shard, &lane)?.copy_from_slice(made);
            }
        }
        Ok(())
    }

    /// Gives the original shards that are missing back, in the order of their numbers. `shard` gives the shard of a
    /// number, recovery shards counted behind the original ones, if it is there.
    ///
    /// Fails with `Damaged` if fewer than `originals` shards are there.
    pub fn originals<'a>(
        self,
        shard_bytes: usize,
        shard: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Result<Vec<(usize, Vec<u8>)>> {
        let missing: Vec<usize> = (0..self.originals).filter(|number| shard(*number).is_none()).collect();
        let there = self.originals + self.recoveries;
        let recoveries: Vec<usize> =
            (self.originals..there).filter(|number| shard(*number).is_some()).take(missing.len()).collect();
        if recoveries.len() < missing.len() {
            return Err(Error::damaged("rebuild shards", "too many are missing")
                .with("missing", missing.len())
                .with("recovery shards", recoveries.len()));
        }
        let mut out: Vec<(usize, Vec<u8>)> = missing.into_iter().map(|number| (number, vec![0; shard_bytes])).collect();
        let mut decoder = None;
        for lane in self.lanes(if out.is_empty() { 0 } else { shard_bytes }) {
            let decoder = match &mut decoder {
                None => decoder
                    .insert(ReedSolomonDecoder::new(self.originals, self.recoveries, lane.len()).map_err(failed)?),
                Some(decoder) => {
                    decoder.reset(self.originals, self.recoveries, lane.len()).map_err(failed)?;
                    decoder
                }
            };
            for (number, bytes) in (0..self.originals).filter_map(|number| Some((number, shard(number)?))) {
                decoder.add_original_shard(number, part(bytes, &lane)?).map_err(failed)?;
            }
            for (number, bytes) in recoveries.iter().filter_map(|number| Some((*number, shard(*number)?))) {
                decoder.add_recovery_shard(number - self.originals, part(bytes, &lane)?).map_err(failed)?;
            }
            let decoded = decoder.decode().map_err(failed)?;
            for (number, bytes) in &mut out {
                let made = decoded.restored_original(*number).ok_or_else(short)?;
                part_mut(bytes, &lane)?.copy_from_slice(made);
            }
        }
        Ok(out)
    }

    /// Parts of a shard that are worked on one after the other.
    fn lanes(self, shard_bytes: usize) -> impl Iterator<Item = Range<usize>> {
        let fair = LANES_BYTES / (self.originals + self.recoveries).max(1) / UNIT_BYTES * UNIT_BYTES;
        let lane = fair.clamp(LANE_BYTES_MIN, LANE_BYTES_MAX);
        (0..shard_bytes).step_by(lane).map(move |start| start..shard_bytes.min(start + lane))
    }
}

fn part<'a>(shard: &'a [u8], lane: &Range<usize>) -> Result<&'a [u8]> {
    shard.get(lane.clone()).ok_or_else(short)
}

fn part_mut<'a>(shard: &'a mut [u8], lane: &Range<usize>) -> Result<&'a mut [u8]> {
    shard.get_mut(lane.clone()).ok_or_else(short)
}

fn short() -> Error {
    Error::new(ErrorKind::InvalidInput, "code shards").with("reason", "a shard has another length")
}

fn failed(error: reed_solomon_simd::Error) -> Error {
    Error::new(ErrorKind::System, "code shards").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(count: usize, bytes: usize) -> Vec<Vec<u8>> {
        (0..count).map(|i| (0..bytes).map(|j| (i * 131 + j * 7 + i * j) as u8).collect()).collect()
    }

    #[test]
    fn any_shards_give_all_others_back() {
        for (originals, recoveries, bytes) in [(1, 1, 64), (4, 2, 640), (3, 5, 70_016), (200, 20, 4096)] {
            let code = Code { originals, recoveries };
            assert!(code.is_possible());
            let data = shards(originals, bytes);
            let made = code.recovery(bytes, |number| &data[number]).unwrap();
            let made: Vec<&[u8]> = made.chunks_exact(bytes).collect();
            let lost = originals.min(recoveries);
            let shard = |number: usize| match number {
                number if number < lost => None,
                number if number < originals => Some(&data[number][..]),
                number => Some(made[number - originals]),
            };
            let back = code.originals(bytes, shard).unwrap();
            assert_eq!(back, (0..lost).map(|number| (number, data[number].clone())).collect::<Vec<_>>());
            let too_few = |number: usize| shard(number).filter(|_| number < originals + lost - 1);
            assert_eq!(code.originals(bytes, too_few).unwrap_err().kind(), ErrorKind::Damaged);
        }
        assert!(!Code { originals: 0, recoveries: 1 }.is_possible());
        assert!(!Code { originals: 1, recoveries: 0 }.is_possible());
        assert!(Code { originals: 32_768, recoveries: 32_768 }.is_possible());
    }

    #[test]
    fn a_part_of_all_shards_is_coded_like_the_whole() {
        let code = Code { originals: 5, recoveries: 3 };
        let data = shards(5, 1024);
        let whole = code.recovery(1024, |number| &data[number]).unwrap();
        let parts = code.recovery(128, |number| &data[number][256..384]).unwrap();
        for (whole, part) in whole.chunks_exact(1024).zip(parts.chunks_exact(128)) {
            assert_eq!(whole[256..384], *part);
        }
    }
}
