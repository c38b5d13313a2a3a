//! The codecs, writing.

use flate2::{Compress, FlushCompress, Status};
use liblzma::stream::{Action, Check, Filters, LzmaOptions, Status as LzmaStatus, Stream};
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use zstd::zstd_safe::{CParameter, Strategy};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{FRAME_BYTES_MAX, MIB};

use super::Codec;
use super::auto::Probe;
use super::spec::{Algorithm, Compression};

/// Bytes of the smallest dictionary of LZMA.
const LZMA_DICTIONARY_MIN: usize = 4096;

/// One codec with its contexts, and the probe that spares it work.
pub(super) struct Encoder {
    probe: Probe,
    auto: bool,
    context: Context,
}

enum Context {
    None,
    Lz4(CompressTable),
    Zstd(Zstd),
    Zlib(Compress),
    Lzma(u32),
}

impl Encoder {
    /// Makes the contexts.
    pub(super) fn new(compression: &Compression) -> Result<Self> {
        let context = match compression.algorithm {
            Algorithm::None => Context::None,
            Algorithm::Lz4 => Context::Lz4(CompressTable::large()),
            Algorithm::Zstd(level) => Context::Zstd(Zstd::new(level).map_err(failed)?),
            Algorithm::Zlib(level) => Context::Zlib(Compress::new(flate2::Compression::new(level), true)),
            Algorithm::Lzma(level) => Context::Lzma(level),
        };
        Ok(Self { probe: Probe::new(), auto: compression.auto, context })
    }

    /// Appends `plain`, compressed if that makes it shorter, to `out`. After an error `out` may
    /// have grown.
    pub(super) fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<Codec> {
        let start = out.len();
        if self.is_worthwhile(plain) {
            let codec = self.context.encode(plain, out)?;
            if out.len() - start < plain.len() {
                return Ok(codec);
            }
            out.truncate(start);
        }
        out.extend_from_slice(plain);
        Ok(Codec::None)
    }

    fn is_worthwhile(&mut self, plain: &[u8]) -> bool {
        !matches!(self.context, Context::None)
            && self.probe.may_shrink(plain)
            && (!self.auto || self.probe.lz4_shrinks(plain))
    }
}

impl Context {
    /// Appends the compressed form, or anything not shorter than `plain` if there is none.
    fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<Codec> {
        let start = out.len();
        match self {
            Self::None => {
                out.extend_from_slice(plain);
                Ok(Codec::None)
            }
            Self::Lz4(table) => {
                out.resize(start + get_maximum_output_size(plain.len()), 0);
                let written = compress_into_with_table(plain, &mut out[start..], table).map_err(failed)?;
                out.truncate(start + written);
                Ok(Codec::Lz4)
            }
            Self::Zstd(context) => {
                out.reserve(zstd::compress_bound(plain.len()));
                let mut spare = std::io::Cursor::new(&mut *out);
                spare.set_position(start as u64);
                context
                    .for_frame(plain.len())
                    .and_then(|zstd| zstd.compress_to_buffer(plain, &mut spare))
                    .map_err(failed)?;
                Ok(Codec::Zstd)
            }
            Self::Zlib(context) => {
                context.reset();
                out.resize(start + plain.len(), 0);
                let status = context.compress(plain, &mut out[start..], FlushCompress::Finish).map_err(failed)?;
                if status == Status::StreamEnd {
                    out.truncate(start + context.total_out() as usize);
                }
                Ok(Codec::Zlib)
            }
            Self::Lzma(level) => {
                let mut stream = lzma_stream(*level, plain.len()).map_err(failed)?;
                out.resize(start + plain.len(), 0);
                let status = stream.process(plain, &mut out[start..], Action::Finish).map_err(failed)?;
                if status == LzmaStatus::StreamEnd {
                    out.truncate(start + stream.total_out() as usize);
                }
                Ok(Codec::Lzma)
            }
        }
    }
}

/// A zstd context and what it does for level 3.
///
/// Zstandard looks a level's parameters up by the size of the input, and between 128 and 256 KiB,
/// where groups of small files are, level 3 seeks matches of four bytes: slower by 4 %, and 2 %
/// larger on prose. The default level is therefore spelled out: what the level means for large
/// inputs, with a hash table that fits the second-level cache where a larger one finds little more
/// (8 % faster for 0.1 % up to a MiB).
struct Zstd {
    context: zstd::bulk::Compressor<'static>,
    is_default_level: bool,
    hash_log: u32,
}

impl Zstd {
    /// Frames of more bytes get the larger table.
    const SMALL_TABLE_FRAME_BYTES_MAX: usize = MIB;

    fn new(level: i32) -> std::io::Result<Self> {
        let mut context = zstd::bulk::Compressor::new(level)?;
        let is_default_level = level == 3;
        if is_default_level {
            // Zstandard lowers the window to the size of the input.
            context.set_parameter(CParameter::WindowLog(FRAME_BYTES_MAX.ilog2()))?;
            context.set_parameter(CParameter::ChainLog(16))?;
            context.set_parameter(CParameter::SearchLog(1))?;
            context.set_parameter(CParameter::MinMatch(5))?;
            context.set_parameter(CParameter::Strategy(Strategy::ZSTD_dfast))?;
        }
        Ok(Self { context, is_default_level, hash_log: 0 })
    }

    /// The context, set up for a frame of `plain_bytes`.
    fn for_frame(&mut self, plain_bytes: usize) -> std::io::Result<&mut zstd::bulk::Compressor<'static>> {
        let hash_log = if plain_bytes <= Self::SMALL_TABLE_FRAME_BYTES_MAX { 16 } else { 17 };
        if self.is_default_level && self.hash_log != hash_log {
            self.context.set_parameter(CParameter::HashLog(hash_log))?;
            self.hash_log = hash_log;
        }
        Ok(&mut self.context)
    }
}

/// An encoder whose dictionary is no larger than the frame, so that a reader needs no more memory.
fn lzma_stream(level: u32, plain_bytes: usize) -> Result<Stream, liblzma::stream::Error> {
    let mut options = LzmaOptions::new_preset(level)?;
    let dictionary = plain_bytes.next_power_of_two().max(LZMA_DICTIONARY_MIN);
    options.dict_size(dictionary as u32);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    Stream::new_stream_encoder(&filters, Check::None)
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::System, "compress frame").because(error)
}
