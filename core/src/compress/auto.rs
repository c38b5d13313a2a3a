//! The probe: whether compressing a frame is worth its time.
//!
//! Most bytes of a home directory are pictures, films and archives, which every
//! codec works hard on for nothing. The probe looks at windows spread evenly over
//! the frame, so that a mixed frame is not judged by its beginning, and adds up what
//! each would save: by repetitions (LZ4) or by uneven use of byte values (entropy,
//! which also stands for repetitions too far apart for a window). It stops as soon
//! as enough is found, so compressible frames pay for a window or two.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use crate::limits::KIB;

/// Bytes of a window.
const WINDOW_BYTES: usize = 4 * KIB;
/// Bytes between the starts of windows of a large frame.
const STRIDE_BYTES: usize = 32 * KIB;
/// Windows of a frame, unless it is larger than this many strides.
const WINDOWS_MIN: usize = 16;
/// Frames that are not larger are compressed without a look: the probe would cost as much.
const UNPROBED_BYTES_MAX: usize = WINDOW_BYTES * WINDOWS_MIN;
/// The part of its windows a frame must save: one in this many bytes.
const SAVING_ONE_IN: usize = 100;
/// The part of a window below which a saving is noise: one in this many bytes.
const NOISE_ONE_IN: usize = 64;

/// Tables and buffers of the probe.
pub(super) struct Probe {
    table: CompressTable,
    large_table: Option<CompressTable>,
    scratch: Vec<u8>,
}

impl Probe {
    /// A probe with small tables.
    pub(super) fn new() -> Self {
        Self { table: CompressTable::small(), large_table: None, scratch: Vec::new() }
    }

    /// Whether samples of `plain` promise that it will shrink.
    pub(super) fn may_shrink(&mut self, plain: &[u8]) -> bool {
        if plain.len() <= UNPROBED_BYTES_MAX {
            return !plain.is_empty();
        }
        let windows = (plain.len() / STRIDE_BYTES).max(WINDOWS_MIN);
        let enough = windows * WINDOW_BYTES / SAVING_ONE_IN;
        let mut saved = 0;
        for index in 0..windows {
            let start = (plain.len() - WINDOW_BYTES) * index / (windows - 1);
            let window = &plain[start..start + WINDOW_BYTES];
            let mut saving = WINDOW_BYTES.saturating_sub(compressed_bytes(window, &mut self.table, &mut self.scratch));
            if saved + saving < enough {
                saving = saving.max(WINDOW_BYTES.saturating_sub(entropy_bytes(window)));
            }
            if saving >= WINDOW_BYTES / NOISE_ONE_IN {
                saved += saving;
            }
            if saved >= enough {
                return true;
            }
        }
        false
    }

    /// Whether LZ4 makes `plain` shorter by 3 % at least.
    pub(super) fn lz4_shrinks(&mut self, plain: &[u8]) -> bool {
        let table = self.large_table.get_or_insert_with(CompressTable::large);
        compressed_bytes(plain, table, &mut self.scratch) <= plain.len() - plain.len() * 3 / 100
    }
}

fn compressed_bytes(plain: &[u8], table: &mut CompressTable, scratch: &mut Vec<u8>) -> usize {
    let room = get_maximum_output_size(plain.len());
    if scratch.len() < room {
        scratch.resize(room, 0);
    }
    compress_into_with_table(plain, scratch, table).unwrap_or(plain.len())
}

/// Bytes an ideal order-0 entropy coder would need, without its table.
fn entropy_bytes(window: &[u8]) -> usize {
    // Two tables, because counting equal neighbours in one stalls on the store before.
    let mut counts = [[0u32; 256]; 2];
    for pair in window.chunks(2) {
        for (table, byte) in counts.iter_mut().zip(pair) {
            table[usize::from(*byte)] += 1;
        }
    }
    let total = window.len() as f32;
    let mut bits = 0.0;
    let mut symbols = 0u32;
    for (even, odd) in counts[0].iter().zip(&counts[1]) {
        let count = (even + odd) as f32;
        if count > 0.0 {
            bits += count * (total / count).log2();
            symbols += 1;
        }
    }
    // A sample looks less random than its source: Miller and Madow's correction.
    bits += symbols.saturating_sub(1) as f32 / (2.0 * std::f32::consts::LN_2);
    (bits / 8.0) as usize
}
