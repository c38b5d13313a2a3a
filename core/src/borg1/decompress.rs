//! Compressed data of Borg 1: two bytes that name the codec, then what the codec made.

use std::io::Read;

use super::{OBJECT_BYTES_MAX, damaged};
use crate::error::{Error, Result};

/// Memory the lzma decoder may take.
const LZMA_MEMORY_MAX: u64 = 256 << 20;

/// The plaintext: of exactly `plain_bytes`, if that is known, and never more than an object may have.
pub(super) fn decompress(data: &[u8], plain_bytes: Option<usize>) -> Result<Vec<u8>> {
    let limit = plain_bytes.unwrap_or(OBJECT_BYTES_MAX);
    if limit > OBJECT_BYTES_MAX {
        return Err(damaged("chunk is longer than chunks are"));
    }
    let plain = decode(data, limit)?;
    if plain_bytes.is_some_and(|bytes| bytes != plain.len()) {
        return Err(damaged("chunk has another length"));
    }
    Ok(plain)
}

fn decode(data: &[u8], limit: usize) -> Result<Vec<u8>> {
    let Some((&[first, second], rest)) = data.split_first_chunk::<2>() else {
        return Err(damaged("no compression header"));
    };
    match (first, second) {
        (0, 0) => bounded(rest, limit),
        (1, 0) => lz4(rest, limit),
        (2, 0) => lzma(rest, limit),
        (3, 0) => {
            zstd::stream::read::Decoder::with_buffer(rest).map_err(failed).and_then(|reader| bounded(reader, limit))
        }
        (4, 0) => decode(unobfuscated(rest)?, limit),
        // zlib has no header but its own.
        _ if first & 0x0f == 8 && (u32::from(first) * 256 + u32::from(second)).is_multiple_of(31) => {
            bounded(flate2::read::ZlibDecoder::new(data), limit)
        }
        _ => Err(damaged("unknown compression").with("header", format_args!("{first:02x}{second:02x}"))),
    }
}

/// Everything a reader has, if that is not more than `limit`.
fn bounded(reader: impl Read, limit: usize) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut plain).map_err(failed)?;
    if plain.len() > limit { Err(damaged("chunk is longer than it should be")) } else { Ok(plain) }
}

/// A bare block that does not say how long its plaintext is.
fn lz4(block: &[u8], limit: usize) -> Result<Vec<u8>> {
    // No byte of a block stands for more than 255 of the plaintext.
    let mut plain = vec![0; limit.min(block.len().saturating_mul(255))];
    let length = lz4_flex::block::decompress_into(block, &mut plain).map_err(failed)?;
    plain.truncate(length);
    Ok(plain)
}

fn lzma(data: &[u8], limit: usize) -> Result<Vec<u8>> {
    let stream = liblzma::stream::Stream::new_auto_decoder(LZMA_MEMORY_MAX, 0).map_err(failed)?;
    bounded(liblzma::read::XzDecoder::new_stream(data, stream), limit)
}

/// `length u32, big-endian | data | padding`.
fn unobfuscated(data: &[u8]) -> Result<&[u8]> {
    let inner =
        data.split_first_chunk::<4>().and_then(|(length, rest)| rest.get(..u32::from_be_bytes(*length) as usize));
    inner.ok_or_else(|| damaged("padded data is too short"))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    damaged("data does not decompress").because(error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text() -> Vec<u8> {
        b"all work and no play ".repeat(400)
    }

    fn compressed() -> Vec<Vec<u8>> {
        let text = text();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&text).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
        xz.write_all(&text).unwrap();
        let zstd = zstd::bulk::compress(&text, 3).unwrap();
        let named = |head: [u8; 2], data: &[u8]| [&head[..], data].concat();
        let lz4 = named([1, 0], &lz4_flex::block::compress(&text));
        let padded = [&[4, 0][..], &(lz4.len() as u32).to_be_bytes(), &lz4, &[0; 77]].concat();
        vec![
            named([0, 0], &text),
            lz4,
            named([2, 0], &xz.finish().unwrap()),
            named([3, 0], &zstd),
            zlib.finish().unwrap(),
            padded,
        ]
    }

    #[test]
    fn every_codec_is_read() {
        for data in compressed() {
            let named = format!("{:?}", &data[..2]);
            assert_eq!(decompress(&data, Some(text().len())).expect(&named), text());
            assert_eq!(decompress(&data, None).expect(&named), text());
        }
    }

    #[test]
    fn nothing_is_longer_than_it_should_be() {
        for data in compressed() {
            for wrong in [0, text().len() - 1, text().len() + 1, OBJECT_BYTES_MAX + 1, usize::MAX] {
                assert!(decompress(&data, Some(wrong)).is_err(), "{:?} {wrong}", &data[..2]);
            }
        }
    }

    #[test]
    fn garbage_is_refused() {
        for data in [&b""[..], b"\0", b"\x05\0abc", b"\x04\0\0\0\0\x05abcd", b"\xff\xffabc", b"\x02\0abc", b"\x03\0abc"]
        {
            assert!(decompress(data, None).is_err(), "{data:?}");
        }
        // Padding within padding ends where the data does.
        assert!(decompress(&[4, 0, 0, 0, 0, 0].repeat(1000), None).is_err());
    }
}
