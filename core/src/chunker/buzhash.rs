//! Chunking with a keyed cyclic polynomial, as Borg 1 does it.
//!
//! The hash of the last `window` bytes is the exclusive or of their table entries,
//! each rotated by its distance from the end; a boundary is where its low bits are
//! zero.

use super::params::Sizes;
use super::{Scan, Table, keyed_table};

/// The cyclic polynomial chunker.
pub(super) struct Buzhash {
    /// What a byte adds when it enters the window.
    entering: Table,
    /// What it takes away when it leaves: its entry, rotated by the window's length.
    leaving: Table,
    sizes: Sizes,
    /// At most the shortest chunk.
    window: usize,
    mask: u64,
}

impl Buzhash {
    /// Makes the tables.
    pub(super) fn new(sizes: Sizes, window: usize, key: &[u8; 32]) -> Self {
        let entering = keyed_table(key, "gabion 1 chunker buzhash");
        let mut leaving = entering.clone();
        leaving.iter_mut().for_each(|number| *number = number.rotate_left((window % 64) as u32));
        Self { entering, leaving, sizes, window, mask: (1 << sizes.bits()) - 1 }
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
            scan.hash = data[min - self.window..min].iter().fold(0, |hash, byte| self.push(hash, *byte));
            if scan.hash & self.mask == 0 {
                return Some(min);
            }
        }
        let end = max.min(data.len());
        let entering = data[..end].get(scan.position..).unwrap_or_default();
        let leaving = &data[scan.position - self.window..];
        let (enter, leave): (&[u64; 256], &[u64; 256]) = (&self.entering, &self.leaving);
        let mut hash = scan.hash;
        for (index, (enters, leaves)) in entering.iter().zip(leaving).enumerate() {
            // The two entries do not wait for the hash before.
            hash = hash.rotate_left(1) ^ (enter[usize::from(*enters)] ^ leave[usize::from(*leaves)]);
            if hash & self.mask == 0 {
                return Some(scan.position + index + 1);
            }
        }
        (scan.position, scan.hash) = (end.max(scan.position), hash);
        (scan.position == max).then_some(max)
    }

    fn push(&self, hash: u64, byte: u8) -> u64 {
        hash.rotate_left(1) ^ self.entering[usize::from(byte)]
    }
}
