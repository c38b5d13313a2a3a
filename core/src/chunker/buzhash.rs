//! Chunking with a keyed cyclic polynomial, as Borg 1 does it.
//!
//! The hash of the last `window` bytes is the exclusive or of their table entries,
//! each rotated by its distance from the end; a boundary is where its low bits are
//! zero.

use super::params::Sizes;
use super::{Scan, Tables, keyed_tables};

/// Bytes hashed in one turn of the loop.
const STEP_BYTES: usize = 8;

/// The cyclic polynomial chunker.
pub(super) struct Buzhash {
    /// What a byte adds when it enters the window, and what it takes away when it leaves: the same,
    /// rotated by the window's length.
    tables: Tables<2>,
    sizes: Sizes,
    /// At most the shortest chunk.
    window: usize,
    mask: u64,
}

impl Buzhash {
    /// Makes the tables.
    pub(super) fn new(sizes: Sizes, window: usize, key: &[u8; 32]) -> Self {
        let mut tables = keyed_tables(key, "gabion 1 chunker buzhash");
        let [_, leaving] = &mut **tables;
        leaving.iter_mut().for_each(|number: &mut u64| *number = number.rotate_left((window % 64) as u32));
        Self { tables, sizes, window, mask: (1 << sizes.bits()) - 1 }
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// See [`super::Chunker::scan`].
    pub(super) fn scan(&self, scan: &mut Scan, data: &[u8]) -> Option<usize> {
        let (min, max) = (self.sizes.min(), self.sizes.max());
        if data.len() < min {
            return None;
        }
        if scan.position < min {
            scan.position = min;
            let first = data[min - self.window..min].iter();
            scan.hash = first.fold(0, |hash: u64, byte| hash.rotate_left(1) ^ self.tables[0][usize::from(*byte)]);
            if scan.hash & self.mask == 0 {
                return Some(min);
            }
        }
        let entering = data.get(scan.position..max.min(data.len())).unwrap_or_default();
        let leaving = &data[scan.position - self.window..];
        let (hash, count) = roll(&self.tables, scan.hash, entering, leaving, self.mask);
        scan.position += count;
        scan.hash = hash;
        (hash & self.mask == 0 || scan.position == max).then_some(scan.position)
    }
}

/// Hashes bytes until all bits of `mask` are zero; the hash, and how many bytes were taken. `leaving` is as
/// long as `entering` at least.
/// A function of its own, so that the loop has all registers.
#[inline(never)]
fn roll(tables: &[[u64; 256]; 2], mut hash: u64, entering: &[u8], leaving: &[u8], mask: u64) -> (u64, usize) {
    let (steps, rest) = entering.as_chunks::<STEP_BYTES>();
    let (leaving_steps, leaving_rest) = leaving[..entering.len()].as_chunks::<STEP_BYTES>();
    // The two entries do not wait for the hash before.
    let roll = |hash: u64, enters: u8, leaves: u8| {
        hash.rotate_left(1) ^ (tables[0][usize::from(enters)] ^ tables[1][usize::from(leaves)])
    };
    for (index, (enter, leave)) in steps.iter().zip(leaving_steps).enumerate() {
        for within in 0..STEP_BYTES {
            hash = roll(hash, enter[within], leave[within]);
            if hash & mask == 0 {
                return (hash, index * STEP_BYTES + within + 1);
            }
        }
    }
    for (index, (enters, leaves)) in rest.iter().zip(leaving_rest).enumerate() {
        hash = roll(hash, *enters, *leaves);
        if hash & mask == 0 {
            return (hash, steps.len() * STEP_BYTES + index + 1);
        }
    }
    (hash, entering.len())
}
