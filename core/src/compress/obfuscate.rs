//! Padding that hides how long a compressed frame is.
//!
//! The layout is `compressed | zeros | number of zeros, u32 LE`. Zeros suffice: a
//! frame is sealed before it leaves the machine.

use crate::codec::padme;
use crate::crypto::random;
use crate::error::{Error, Result};
use crate::limits::FRAME_OVERHEAD_MAX;

/// Bytes of the number at the end of a padded frame.
const LENGTH_BYTES: usize = 4;

/// How much padding a frame gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Obfuscation(u8);

impl Obfuscation {
    /// The method numbered `spec`, if there is one.
    pub(super) fn new(spec: u8) -> Option<Self> {
        if (1..=6).contains(&spec) || (110..=123).contains(&spec) || spec == 250 { Some(Self(spec)) } else { None }
    }

    /// The number of the method.
    pub(super) fn spec(self) -> u8 {
        self.0
    }

    /// Pads the frame that starts at `start` of `out` and holds `plain_bytes` of plaintext.
    pub(super) fn pad(self, out: &mut Vec<u8>, start: usize, plain_bytes: usize) -> Result<()> {
        let draw = unit_interval(u64::from_le_bytes(random::array()?));
        let padding = self.padding(out.len() - start, plain_bytes, draw);
        out.resize(out.len() + padding, 0);
        out.extend_from_slice(&(padding as u32).to_le_bytes());
        Ok(())
    }

    /// Zeros to append to `compressed` bytes, at most `plain_bytes`, given a random number in 0..1.
    fn padding(self, compressed: usize, plain_bytes: usize, random: f64) -> usize {
        let bytes = compressed as f64;
        let wish = match self.0 {
            spec @ 1..=6 => bytes * 0.001 * 10f64.powi(i32::from(spec)) / random.max(0.0001),
            250 => padme((compressed + LENGTH_BYTES) as u64) as f64 - bytes - LENGTH_BYTES as f64,
            spec => f64::from(1u32 << (spec - 100).min(23)) * random,
        };
        let room = (plain_bytes + FRAME_OVERHEAD_MAX).saturating_sub(compressed + LENGTH_BYTES);
        // Float to integer conversions saturate, and nothing above is negative or not a number.
        if wish <= room as f64 {
            wish as usize
        } else {
            // Exactly the room would tell the plaintext's length.
            room - (room as f64 / 2.0 * random) as usize
        }
    }
}

/// The compressed bytes of a padded frame; refuses padding that is not zeros or longer than the frame.
pub(super) fn unpad(stored: &[u8]) -> Result<&[u8]> {
    let wrong = |what: &str| Error::damaged("remove padding", what);
    let (rest, length) = stored.split_last_chunk::<LENGTH_BYTES>().ok_or_else(|| wrong("truncated"))?;
    let compressed =
        usize::try_from(u32::from_le_bytes(*length)).ok().and_then(|padding| rest.len().checked_sub(padding));
    let compressed = compressed.ok_or_else(|| wrong("padding is longer than the frame"))?;
    let (compressed, padding) = rest.split_at(compressed);
    if padding.iter().any(|byte| *byte != 0) {
        return Err(wrong("padding is not zeros"));
    }
    Ok(compressed)
}

fn unit_interval(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
