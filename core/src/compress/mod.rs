//! Compression of frames, one codec byte per frame.
//!
//! A stored frame is `compressed bytes`, or, when bit 7 of its codec byte is set,
//! `compressed bytes | zeros | number of zeros, u32 LE`. Whatever does not shrink
//! is stored as it is, so a stored frame is never longer than its plaintext but for
//! padding that was asked for. Reading trusts nothing: the caller says how long the
//! plaintext is (an authenticated number), and no codec writes past it, allocates
//! more than a small multiple of it, or gets away with less.

mod auto;
mod decode;
mod encode;
mod obfuscate;
mod spec;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::FRAME_BYTES_MAX;

pub use decode::Decompressor;
pub use spec::Compression;

use encode::Encoder;
use obfuscate::Obfuscation;

/// How the bytes of a frame are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    None = 0,
    /// One LZ4 block, without a length in front.
    Lz4 = 1,
    /// One Zstandard frame that states its content size.
    Zstd = 2,
    /// One zlib stream (RFC 1950).
    Zlib = 3,
    /// One `.xz` stream without an integrity check.
    Lzma = 4,
}

/// The codec byte of a stored frame: the [`Codec`] in the low seven bits; bit 7 says that padding
/// follows the compressed bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameCodec(u8);

impl FrameCodec {
    const PADDED: u8 = 0x80;

    fn new(codec: Codec, padded: bool) -> Self {
        Self(codec as u8 | if padded { Self::PADDED } else { 0 })
    }

    /// Takes a codec byte from a store; a codec of another version is [`ErrorKind::Unsupported`].
    pub fn from_u8(byte: u8) -> Result<Self> {
        if byte & !Self::PADDED > Codec::Lzma as u8 {
            return Err(Error::new(ErrorKind::Unsupported, "read codec").with("codec", byte));
        }
        Ok(Self(byte))
    }

    /// The byte that is stored.
    pub fn as_u8(self) -> u8 {
        self.0
    }

    /// The codec of the compressed bytes.
    pub fn codec(self) -> Codec {
        match self.0 & !Self::PADDED {
            1 => Codec::Lz4,
            2 => Codec::Zstd,
            3 => Codec::Zlib,
            4 => Codec::Lzma,
            _ => Codec::None,
        }
    }

    /// Whether padding follows the compressed bytes.
    pub fn is_padded(self) -> bool {
        self.0 & Self::PADDED != 0
    }
}

impl fmt::Debug for FrameCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameCodec({:?}{})", self.codec(), if self.is_padded() { ", padded" } else { "" })
    }
}

/// Compresses frames, one at a time; a worker keeps one for its life, since its contexts and
/// tables are made once.
pub struct Compressor {
    encoder: Encoder,
    obfuscation: Option<Obfuscation>,
}

impl Compressor {
    /// Makes the contexts `compression` needs; fails with [`ErrorKind::System`] without memory.
    pub fn new(compression: &Compression) -> Result<Self> {
        Ok(Self { encoder: Encoder::new(compression)?, obfuscation: compression.obfuscation })
    }

    /// Appends the stored form of `plain` (at most [`FRAME_BYTES_MAX`] bytes) to `out` and says
    /// how it is compressed. It is at most `plain.len() + FRAME_OVERHEAD_MAX` bytes with padding,
    /// at most `plain.len()` without. `out` is as before after an error.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<FrameCodec> {
        if plain.len() > FRAME_BYTES_MAX {
            return Err(Error::new(ErrorKind::LimitExceeded, "compress frame")
                .with("bytes", plain.len())
                .with("limit", FRAME_BYTES_MAX));
        }
        let start = out.len();
        let result = self.compress_and_pad(plain, out, start);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn compress_and_pad(&mut self, plain: &[u8], out: &mut Vec<u8>, start: usize) -> Result<FrameCodec> {
        let codec = self.encoder.encode(plain, out)?;
        if let Some(obfuscation) = self.obfuscation {
            obfuscation.pad(out, start, plain.len())?;
        }
        Ok(FrameCodec::new(codec, self.obfuscation.is_some()))
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("obfuscation", &self.obfuscation).finish_non_exhaustive()
    }
}
