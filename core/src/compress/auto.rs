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
const STRIDE_BYTES: usize = 64 * KIB;
/// Windows of a frame, unless it is larger than this many strides.
const WINDOWS_MIN: usize = 16;
/// Frames that are not larger are compressed without a look: the probe would cost as much.
const UNPROBED_BYTES_MAX: usize = WINDOW_BYTES * WINDOWS_MIN;
/// The part of its windows a frame must save: one in this many bytes.
const SAVING_ONE_IN: usize = 100;
/// Bytes of a window below which a saving is noise.
const NOISE_BYTES: usize = WINDOW_BYTES / 64;

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
            // The cheaper look first; both only where the first finds nothing.
            let mut saving = entropy_saving(window);
            if saving < NOISE_BYTES {
                let compressed = compressed_bytes(window, &mut self.table, &mut self.scratch);
                saving = WINDOW_BYTES.saturating_sub(compressed);
            }
            if saving >= NOISE_BYTES {
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

/// Bytes an order-0 entropy coder would save, estimated low.
///
/// From how often two bytes of the window are equal: the entropy of second order takes one
/// logarithm where Shannon's takes 256. Near the top, where it matters, its distance from
/// eight bits is twice that of Shannon's.
fn entropy_saving(window: &[u8]) -> usize {
    // Four tables, because counting equal neighbours in one waits for the store before.
    let mut counts = [[0u16; 256]; 4];
    let (quads, _) = window.as_chunks::<4>();
    for quad in quads {
        for (table, byte) in counts.iter_mut().zip(quad) {
            table[usize::from(*byte)] += 1;
        }
    }
    let [first, second, third, fourth] = &counts;
    let pairs: u32 = (0..256)
        .map(|byte| u32::from(first[byte] + second[byte] + third[byte] + fourth[byte]))
        .map(|count| count * count.saturating_sub(1))
        .sum();
    let length = window.len() as f32;
    let collision = pairs as f32 / (length * (length - 1.0));
    let bits = 8.0 + collision.max(1.0 / 256.0).log2();
    (bits / 16.0 * length) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MIB;

    fn random(bytes: usize) -> Vec<u8> {
        let mut out = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut out);
        out
    }

    #[test]
    fn random_content_is_seen_through() {
        for bytes in [UNPROBED_BYTES_MAX + 1, 240 * KIB, 2 * MIB, 16 * MIB] {
            assert!(!Probe::new().may_shrink(&random(bytes)), "{bytes}");
        }
    }

    #[test]
    fn small_frames_are_always_tried_and_empty_ones_never() {
        assert!(Probe::new().may_shrink(&random(UNPROBED_BYTES_MAX)));
        assert!(!Probe::new().may_shrink(&[]));
    }

    #[test]
    fn uneven_bytes_and_repetitions_both_count() {
        let hexadecimal: Vec<u8> =
            random(MIB).into_iter().map(|byte| b"0123456789abcdef"[usize::from(byte % 16)]).collect();
        assert!(Probe::new().may_shrink(&hexadecimal));
        // every value equally often: only LZ4 sees through this
        let ramp: Vec<u8> = (0..MIB).map(|index| index as u8).collect();
        assert_eq!(entropy_saving(&ramp[..WINDOW_BYTES]), 0);
        assert!(Probe::new().may_shrink(&ramp));
    }

    #[test]
    fn a_compressible_part_is_found_wherever_it_lies() {
        for bytes in [240 * KIB, 2 * MIB] {
            let part = bytes / 8;
            for start in [0, bytes / 3, bytes / 2, bytes - part] {
                let mut mixed = random(bytes);
                mixed[start..start + part].fill(b'x');
                assert!(Probe::new().may_shrink(&mixed), "{start} of {bytes}");
            }
        }
    }

    #[test]
    fn a_compressible_header_does_not_make_a_film_worth_it() {
        let mut film = random(2 * MIB);
        film[..1000].fill(0);
        assert!(!Probe::new().may_shrink(&film));
    }

    #[test]
    fn lz4_decides_at_three_percent() {
        for (zeros, shrinks) in [(2000, false), (5000, true)] {
            let mut content = random(100_000);
            content[..zeros].fill(0);
            assert_eq!(Probe::new().lz4_shrinks(&content), shrinks, "{zeros}");
        }
    }
}
