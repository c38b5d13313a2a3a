//! Normalized chunking with a keyed gear hash (FastCDC, Xia et al., 2016 and 2020).
//!
//! The hash is `hash = 2 * hash + table[byte]` modulo 2^64, so that it covers the
//! last 64 bytes; a boundary is where its top bits are zero. Below the average size
//! more bits must be zero than above, which draws sizes together. Nothing is looked
//! at before the minimum but the 64 bytes the first hash needs, so whether a
//! position is a candidate depends on the content before it alone.

use super::params::Sizes;
use super::{Scan, Table, keyed_table};

/// Bytes the hash covers; no chunk is shorter.
const WINDOW_BYTES: usize = 64;

/// The gear chunker.
pub(super) struct Fastcdc {
    table: Table,
    sizes: Sizes,
    /// A boundary below the average size has a hash below this.
    strict_limit: u64,
    /// A boundary from the average size on has a hash below this.
    lax_limit: u64,
}

impl Fastcdc {
    /// Makes the table; `normalization` is how many bits the limits are off the average.
    pub(super) fn new(sizes: Sizes, normalization: u32, key: &[u8; 32]) -> Self {
        Self {
            table: keyed_table(key, "gabion 1 chunker fastcdc"),
            sizes,
            strict_limit: 1 << (64 - sizes.bits() - normalization),
            lax_limit: 1 << (64 - sizes.bits() + normalization),
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
        scan.position = scan.position.max(min - WINDOW_BYTES);
        // The byte that makes a length is the one before it: hence the ones less.
        for (end, limit) in [(min - 1, 0), (average - 1, self.strict_limit), (max, self.lax_limit)] {
            let Some(bytes) = data.get(scan.position..end.min(data.len())) else { continue };
            match roll(&self.table, scan.hash, bytes, limit) {
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

/// Hashes `bytes` until the hash is below `limit`.
fn roll(table: &[u64; 256], mut hash: u64, bytes: &[u8], limit: u64) -> Step {
    let gear = |byte: u8| table[usize::from(byte)];
    let push = |hash: u64, byte: u8| (hash << 1).wrapping_add(gear(byte));
    // Four bytes at once: the sums of table entries do not wait for the hash before,
    // which leaves one shift and one addition per four bytes on the critical path.
    let (quads, rest) = bytes.as_chunks::<4>();
    for (index, quad) in quads.iter().enumerate() {
        let [one, two, three, four] = quad.map(gear);
        let two = (one << 1).wrapping_add(two);
        let three = (two << 1).wrapping_add(three);
        let four = (three << 1).wrapping_add(four);
        let hashes = [
            (hash << 1).wrapping_add(one),
            (hash << 2).wrapping_add(two),
            (hash << 3).wrapping_add(three),
            (hash << 4).wrapping_add(four),
        ];
        if hashes.iter().any(|hash| *hash < limit) {
            let within = hashes.iter().take_while(|hash| **hash >= limit).count();
            return Step::Boundary(index * 4 + within + 1);
        }
        hash = hashes[3];
    }
    for (index, byte) in rest.iter().enumerate() {
        hash = push(hash, *byte);
        if hash < limit {
            return Step::Boundary(quads.len() * 4 + index + 1);
        }
    }
    Step::Hash(hash)
}
