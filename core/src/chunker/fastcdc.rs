//! Normalized chunking with a keyed gear hash (FastCDC, Xia et al., 2016 and 2020).
//!
//! The hash is `hash = 2 * hash + table[byte]` modulo 2^64; a boundary is where its
//! bits from 60 downwards are zero, which the last 61 bytes decide. Below the average
//! size more bits must be zero than above, which draws sizes together. Nothing is
//! looked at before the minimum but the bytes the first hash needs, so whether a
//! position is a candidate depends on the content before it alone.

use super::params::Sizes;
use super::{Scan, Tables, keyed_tables};

/// Bytes hashed before the first that may be a boundary; no chunk is shorter.
const WARM_UP_BYTES: usize = 64;
/// Bytes hashed in one step.
const STEP_BYTES: usize = 4;
/// Bits above those that tell a boundary: a step needs them for itself.
const SPARE_BITS: u32 = STEP_BYTES as u32 - 1;

/// The gear chunker.
pub(super) struct Fastcdc {
    /// The keyed table, and the same shifted left by one, two, and three bits.
    tables: Tables<STEP_BYTES>,
    sizes: Sizes,
    /// The bits that are zero at a boundary below the average size.
    strict_mask: u64,
    /// The bits that are zero at a boundary from the average size on.
    lax_mask: u64,
}

impl Fastcdc {
    /// Makes the tables; `normalization` is how many bits the masks are off the average.
    pub(super) fn new(sizes: Sizes, normalization: u32, key: &[u8; 32]) -> Self {
        let mut tables = keyed_tables(key, "gabion 1 chunker fastcdc");
        for (table, bits) in tables.iter_mut().zip(0..) {
            table.iter_mut().for_each(|number| *number <<= bits);
        }
        let mask = |bits: u32| ((1 << bits) - 1) << (64 - SPARE_BITS - bits);
        Self {
            tables,
            sizes,
            strict_mask: mask(sizes.bits() + normalization),
            lax_mask: mask(sizes.bits() - normalization),
        }
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// See [`super::Chunker::scan`].
    pub(super) fn scan(&self, scan: &mut Scan, data: &[u8]) -> Option<usize> {
        let (min, average, max) = (self.sizes.min(), self.sizes.average(), self.sizes.max());
        if data.len() < min {
            return None;
        }
        // The byte that makes a length is the one before it: hence the ones less.
        if scan.position < min - 1 {
            scan.position = min - 1;
            let before = &data[min - WARM_UP_BYTES..min - 1];
            scan.hash = before.iter().fold(0, |hash, byte| push(&self.tables[0], hash, *byte));
        }
        for (end, mask) in [(average - 1, self.strict_mask), (max, self.lax_mask)] {
            let bytes = data.get(scan.position..end.min(data.len())).unwrap_or_default();
            match roll(&self.tables, scan.hash, bytes, mask) {
                Step::Boundary(count) => return Some(scan.position + count),
                Step::Hash(hash) => scan.hash = hash,
            }
            scan.position += bytes.len();
        }
        (scan.position == max).then_some(max)
    }
}

enum Step {
    /// A boundary after so many bytes.
    Boundary(usize),
    /// None; the hash after all bytes.
    Hash(u64),
}

/// Hashes `bytes` until all bits of `mask` are zero.
///
/// A step shifts the hash once for all its bytes, and adds entries that are shifted already: one
/// shift and four additions long is the longest chain of instructions that wait for each other,
/// where one byte at a time takes eight. A function of its own, so that the loop has all registers.
#[inline(never)]
fn roll(tables: &[[u64; 256]; STEP_BYTES], mut hash: u64, bytes: &[u8], mask: u64) -> Step {
    let (steps, rest) = bytes.as_chunks::<STEP_BYTES>();
    let (mask1, mask2, mask3) = (mask << 3, mask << 2, mask << 1);
    for (index, [one, two, three, four]) in steps.iter().enumerate() {
        hash = (hash << 4).wrapping_add(tables[3][usize::from(*one)]);
        if hash & mask1 == 0 {
            return Step::Boundary(index * STEP_BYTES + 1);
        }
        hash = hash.wrapping_add(tables[2][usize::from(*two)]);
        if hash & mask2 == 0 {
            return Step::Boundary(index * STEP_BYTES + 2);
        }
        hash = hash.wrapping_add(tables[1][usize::from(*three)]);
        if hash & mask3 == 0 {
            return Step::Boundary(index * STEP_BYTES + 3);
        }
        hash = hash.wrapping_add(tables[0][usize::from(*four)]);
        if hash & mask == 0 {
            return Step::Boundary(index * STEP_BYTES + 4);
        }
    }
    for (index, byte) in rest.iter().enumerate() {
        hash = push(&tables[0], hash, *byte);
        if hash & mask == 0 {
            return Step::Boundary(steps.len() * STEP_BYTES + index + 1);
        }
    }
    Step::Hash(hash)
}

fn push(table: &[u64; 256], hash: u64, byte: u8) -> u64 {
    (hash << 1).wrapping_add(table[usize::from(byte)])
}
