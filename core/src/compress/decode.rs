//! The codecs, reading. What they read is hostile.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};
use liblzma::stream::{Action, Status as LzmaStatus, Stream};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{FRAME_BYTES_MAX, KIB};

use super::obfuscate::unpad;
use super::{Codec, FrameCodec};

/// Decompresses frames, one at a time; a worker keeps one for its life.
pub struct Decompressor {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    zlib: Option<Decompress>,
}

impl Decompressor {
    /// A decompressor for every codec; contexts are made when they are first needed.
    pub fn new() -> Self {
        Self { zstd: None, zlib: None }
    }

    /// Appends the plaintext of `stored` to `out`: exactly `plain_bytes`, or an error of kind
    /// [`ErrorKind::Damaged`] and `out` as before. Never allocates more than a small multiple of
    /// `plain_bytes`; more than [`FRAME_BYTES_MAX`] is [`ErrorKind::LimitExceeded`].
    pub fn decompress(
        &mut self,
        codec: FrameCodec,
        stored: &[u8],
        plain_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if plain_bytes > FRAME_BYTES_MAX {
            return Err(Error::new(ErrorKind::LimitExceeded, "decompress frame")
                .with("bytes", plain_bytes)
                .with("limit", FRAME_BYTES_MAX));
        }
        let compressed = if codec.is_padded() { unpad(stored)? } else { stored };
        let start = out.len();
        out.reserve(plain_bytes);
        let result = self.decode(codec.codec(), compressed, plain_bytes, out);
        let result = result.and_then(|()| match out.len() - start {
            length if length == plain_bytes => Ok(()),
            _ => Err(wrong("not as long as it should be")),
        });
        if result.is_err() {
            out.truncate(start);
        }
        result.map_err(|error| error.with("codec", codec.as_u8()).with("plain bytes", plain_bytes))
    }

    fn decode(&mut self, codec: Codec, compressed: &[u8], plain_bytes: usize, out: &mut Vec<u8>) -> Result<()> {
        match codec {
            Codec::None if compressed.len() == plain_bytes => {
                out.extend_from_slice(compressed);
                Ok(())
            }
            Codec::None => Err(wrong("not as long as it should be")),
            Codec::Lz4 => decode_lz4(compressed, plain_bytes, out),
            Codec::Zstd => self.decode_zstd(compressed, plain_bytes, out),
            Codec::Zlib => self.decode_zlib(compressed, plain_bytes, out),
            Codec::Lzma => decode_lzma(compressed, plain_bytes, out),
        }
    }

    fn decode_zstd(&mut self, compressed: &[u8], plain_bytes: usize, out: &mut Vec<u8>) -> Result<()> {
        // The spare room of `out` may be larger than the frame: look before decoding into it.
        let stated = zstd::zstd_safe::get_frame_content_size(compressed).ok().flatten();
        if stated != Some(plain_bytes as u64) {
            return Err(wrong("zstd states another length"));
        }
        let context = match &mut self.zstd {
            Some(context) => context,
            none => none.insert(
                zstd::bulk::Decompressor::new()
                    .map_err(|error| Error::new(ErrorKind::System, "decompress frame").because(error))?,
            ),
        };
        let mut spare = std::io::Cursor::new(&mut *out);
        spare.set_position(spare.get_ref().len() as u64);
        context.decompress_to_buffer(compressed, &mut spare).map(drop).map_err(|error| wrong("zstd").because(error))
    }

    fn decode_zlib(&mut self, compressed: &[u8], plain_bytes: usize, out: &mut Vec<u8>) -> Result<()> {
        let context = self.zlib.get_or_insert_with(|| Decompress::new(true));
        context.reset(true);
        let start = out.len();
        out.resize(start + plain_bytes, 0);
        let status = context.decompress(compressed, &mut out[start..], FlushDecompress::Finish);
        let status = status.map_err(|error| wrong("zlib").because(error))?;
        let whole = context.total_in() == compressed.len() as u64 && context.total_out() == plain_bytes as u64;
        if status == Status::StreamEnd && whole { Ok(()) } else { Err(wrong("zlib stream has another length")) }
    }
}

impl Default for Decompressor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

fn decode_lz4(compressed: &[u8], plain_bytes: usize, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    out.resize(start + plain_bytes, 0);
    let written =
        lz4_flex::block::decompress_into(compressed, &mut out[start..]).map_err(|error| wrong("lz4").because(error))?;
    if written == plain_bytes { Ok(()) } else { Err(wrong("lz4 block has another length")) }
}

fn decode_lzma(compressed: &[u8], plain_bytes: usize, out: &mut Vec<u8>) -> Result<()> {
    // Writers choose a dictionary of the next power of two; one that needs more is not ours.
    let memory = plain_bytes.next_power_of_two() + 256 * KIB;
    let mut stream = Stream::new_stream_decoder(memory as u64, 0)
        .map_err(|error| Error::new(ErrorKind::System, "decompress frame").because(error))?;
    let start = out.len();
    out.resize(start + plain_bytes, 0);
    let status = stream.process(compressed, &mut out[start..], Action::Finish);
    let status = status.map_err(|error| wrong("lzma").because(error))?;
    let whole = stream.total_in() == compressed.len() as u64 && stream.total_out() == plain_bytes as u64;
    if status == LzmaStatus::StreamEnd && whole { Ok(()) } else { Err(wrong("lzma stream has another length")) }
}

fn wrong(what: &str) -> Error {
    Error::damaged("decompress frame", what)
}
