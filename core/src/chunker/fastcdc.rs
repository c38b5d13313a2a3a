//! Normalized chunking with a keyed gear hash (FastCDC, Xia et al., 2016 and 2020).
//!
//! The hash is `hash = 2 * hash + table[byte]` modulo 2^64; a boundary is where its
//! bits from 60 downwards are zero, which the last 61 bytes decide. Below the average
//! size more bits must be zero than above, which draws sizes together. Nothing is
//! looked at before the minimum but the bytes the first hash needs, so whether a
//! position is a candidate depends on the content before it alone.

use super::params::Sizes;
use super::{Scan, Table, keyed_table};

/// Bytes hashed before the first that may be a boundary; no chunk is shorter.
const WARM_UP_BYTES: usize = 64;
/// Bytes hashed in one step.
const STEP_BYTES: usize = 4;
/// Bits above those that tell a boundary: a step needs them for itself.
const SPARE_BITS: u32 = STEP_BYTES as u32 - 1;

/// The gear chunker.
pub(super) struct Fastcdc {
    /// The keyed table, and the same shifted left by one, two, and three bits.
    tables: [Table; STEP_BYTES],
    sizes: Sizes,
    /// The bits that are zero at a boundary below the average size.
    strict_mask: u64,
    /// The bits that are zero at a boundary from the average size on.
    lax_mask: u64,
}

impl Fastcdc {
    /// Makes the tables; `normalization` is how many bits the masks are off the average.
    pub(super) fn new(sizes: Sizes, normalization: u32, key: &[u8; 32]) -> Self {
        let table = keyed_table(key, "gabion 1 chunker fastcdc");
        let shifted = |bits: u32| {
            let mut table = table.clone();
            table.iter_mut().for_each(|number| *number <<= bits);
            table
        };
        let mask = |bits: u32| ((1 << bits) - 1) << (64 - SPARE_BITS - bits);
        Self {
            tables: [table.clone(), shifted(1), shifted(2), shifted(3)],
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
            scan.hash = before.iter().fold(0, |hash, byte| self.push(hash, *byte));
        }
        for (end, mask) in [(average - 1, self.strict_mask), (max, self.lax_mask)] {
            let bytes = data.get(scan.position..end.min(data.len())).unwrap_or_default();
            match self.roll(scan.hash, bytes, mask) {
                Step::Boundary(count) => return Some(scan.position + count),
                Step::Hash(hash) => scan.hash = hash,
            }
            scan.position += bytes.len();
        }
        (scan.position == max).then_some(max)
    }

    /// Hashes `bytes` until all bits of `mask` are zero.
    ///
    /// A step shifts the hash once for all its bytes, and adds entries that are shifted already:
    /// one shift and four additions long is the longest chain of instructions that wait for each
    /// other, where one byte at a time takes eight.
    fn roll(&self, mut hash: u64, bytes: &[u8], mask: u64) -> Step {
        let [last, third, second, first] = self.tables.each_ref().map(|table| &***table);
        let (steps, rest) = bytes.as_chunks::<STEP_BYTES>();
        for (index, [one, two, three, four]) in steps.iter().enumerate() {
            let hash1 = (hash << 4).wrapping_add(first[usize::from(*one)]);
            let hash2 = hash1.wrapping_add(second[usize::from(*two)]);
            let hash3 = hash2.wrapping_add(third[usize::from(*three)]);
            hash = hash3.wrapping_add(last[usize::from(*four)]);
            let masked = [hash1 & mask << 3, hash2 & mask << 2, hash3 & mask << 1, hash & mask];
            if masked[0] == 0 || masked[1] == 0 || masked[2] == 0 || masked[3] == 0 {
                let within = masked.iter().take_while(|bits| **bits != 0).count();
                return Step::Boundary(index * STEP_BYTES + within + 1);
            }
        }
        for (index, byte) in rest.iter().enumerate() {
            hash = self.push(hash, *byte);
            if hash & mask == 0 {
                return Step::Boundary(steps.len() * STEP_BYTES + index + 1);
            }
        }
        Step::Hash(hash)
    }

    fn push(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.tables[0][usize::from(byte)])
    }
}

enum Step {
    /// A boundary after so many bytes.
    Boundary(usize),
    /// None; the hash after all bytes.
    Hash(u64),
}
