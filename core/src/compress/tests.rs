//! Round trips and hostile input.

use proptest::prelude::*;

use super::*;
use crate::limits::{FRAME_OVERHEAD_MAX, MIB};

const SPECS: [&str; 19] = [
    "none",
    "lz4",
    "zstd,-128",
    "zstd,-1",
    "zstd,1",
    "zstd,3",
    "zstd,9",
    "zstd,19",
    "zstd,22",
    "zlib,0",
    "zlib,1",
    "zlib,9",
    "lzma,0",
    "lzma,9",
    "auto,lz4",
    "auto,zlib",
    "obfuscate,1,lz4",
    "obfuscate,110,auto,zstd",
    "obfuscate,250,none",
];

fn compressor(spec: &str) -> Compressor {
    Compressor::new(&spec.parse().unwrap()).unwrap()
}

fn random(bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

fn text(bytes: usize) -> Vec<u8> {
    let words: Vec<String> =
        (0u32..).take(bytes / 2 + 1).map(|n| format!("{:x} ", n.wrapping_mul(2_654_435_769) >> 20)).collect();
    words.concat().into_bytes()[..bytes].to_vec()
}

fn stored(spec: &str, plain: &[u8]) -> (FrameCodec, Vec<u8>) {
    let mut out = Vec::new();
    let codec = compressor(spec).compress(plain, &mut out).unwrap();
    (codec, out)
}

fn plain(codec: FrameCodec, stored: &[u8], plain_bytes: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    Decompressor::new().decompress(codec, stored, plain_bytes, &mut out)?;
    Ok(out)
}

#[test]
fn workers_can_own_them() {
    fn is_send<T: Send>() {}
    is_send::<Compressor>();
    is_send::<Decompressor>();
}

#[test]
fn every_codec_goes_both_ways_and_appends() {
    let inputs = [vec![], vec![7], random(100), text(1000), vec![0; MIB], text(300_000), random(300_000)];
    let mut decompressor = Decompressor::new();
    for spec in SPECS {
        let mut compressor = compressor(spec);
        for input in &inputs {
            let mut packed = b"before".to_vec();
            let codec = compressor.compress(input, &mut packed).unwrap();
            let codec = FrameCodec::from_u8(codec.as_u8()).unwrap();
            assert_eq!(&packed[..6], b"before");
            let mut unpacked = b"earlier".to_vec();
            decompressor.decompress(codec, &packed[6..], input.len(), &mut unpacked).unwrap();
            assert_eq!(&unpacked[..7], b"earlier");
            assert!(unpacked[7..] == input[..], "{spec}, {} bytes", input.len());
        }
    }
}

#[test]
fn each_codec_is_used_where_it_shrinks() {
    for (spec, codec) in [
        ("none", Codec::None),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
        ("zlib", Codec::Zlib),
        ("lzma", Codec::Lzma),
        ("auto,lzma", Codec::Lzma),
        ("auto,none", Codec::None),
    ] {
        let (stored_codec, bytes) = stored(spec, &text(400_000));
        assert_eq!(stored_codec.codec(), codec);
        assert!(!stored_codec.is_padded());
        assert_eq!(bytes.len() < 400_000, codec != Codec::None);
    }
}

#[test]
fn what_does_not_shrink_is_stored_as_it_is() {
    for spec in SPECS.iter().filter(|spec| !spec.starts_with("obfuscate")) {
        for bytes in [0, 1, 5, 1000, 200_000, 2 * MIB] {
            let input = random(bytes);
            let (codec, out) = stored(spec, &input);
            assert_eq!(codec.as_u8(), 0, "{spec}, {bytes} bytes");
            assert!(out == input);
        }
    }
}

#[test]
fn too_long_a_frame_is_refused_on_both_sides() {
    let long = vec![0; FRAME_BYTES_MAX + 1];
    let mut out = Vec::new();
    assert_eq!(compressor("lz4").compress(&long, &mut out).unwrap_err().kind(), ErrorKind::LimitExceeded);
    let none = FrameCodec::from_u8(0).unwrap();
    assert_eq!(plain(none, &long, long.len()).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn bombs_do_not_go_off() {
    for spec in ["lz4", "zstd,3", "zlib,9", "lzma,6"] {
        let (codec, bomb) = stored(spec, &vec![0; 16 * MIB]);
        assert!(bomb.len() < MIB / 2);
        assert!(plain(codec, &bomb, 16 * MIB).unwrap() == vec![0; 16 * MIB]);
        for claimed in [0, 1, 1000, 16 * MIB - 1] {
            let mut out = Vec::new();
            let error = Decompressor::new().decompress(codec, &bomb, claimed, &mut out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{spec}");
            assert!(out.is_empty() && out.capacity() <= claimed.max(64), "{spec} took {}", out.capacity());
        }
        // and a frame that holds less than it claims
        let (codec, little) = stored(spec, &[0; 1000]);
        assert_eq!(plain(codec, &little, 1001).unwrap_err().kind(), ErrorKind::Damaged, "{spec}");
    }
}

#[test]
fn an_lzma_dictionary_larger_than_the_frame_is_refused() {
    let mut options = liblzma::stream::LzmaOptions::new_preset(6).unwrap();
    options.dict_size(1 << 30);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let mut stream = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::None).unwrap();
    let mut packed = Vec::with_capacity(1000);
    stream.process_vec(&[0; 100], &mut packed, liblzma::stream::Action::Finish).unwrap();
    let error = plain(FrameCodec(Codec::Lzma as u8), &packed, 100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}

#[test]
fn unknown_codecs_are_not_supported() {
    for byte in 0..=u8::MAX {
        match FrameCodec::from_u8(byte) {
            Ok(codec) => assert!(byte & 0x7f <= 4 && codec.as_u8() == byte && codec.is_padded() == (byte >= 0x80)),
            Err(error) => assert!(byte & 0x7f > 4 && error.kind() == ErrorKind::Unsupported),
        }
    }
}

#[test]
fn padding_stays_in_bounds_and_hides_lengths() {
    for spec in (1..=6).chain(110..=123).chain([250]) {
        for bytes in [0, 1, 3000, 2 * MIB] {
            let input = random(bytes);
            let (codec, out) = stored(&format!("obfuscate,{spec},zstd"), &input);
            assert!(codec.is_padded());
            assert!(
                out.len() >= bytes + 4 && out.len() <= bytes + FRAME_OVERHEAD_MAX,
                "{spec}: {bytes} -> {}",
                out.len()
            );
            assert!(plain(codec, &out, bytes).unwrap() == input);
        }
    }
    let lengths: std::collections::BTreeSet<usize> =
        (0..20).map(|_| stored("obfuscate,120,lz4", &text(5000)).1.len()).collect();
    assert!(lengths.len() > 10, "{lengths:?}");
    let padme = stored("obfuscate,250,none", &random(1_000_000)).1.len();
    assert_eq!(crate::codec::padme(padme as u64), padme as u64);
}

#[test]
fn damaged_padding_is_refused() {
    let padded = FrameCodec(0x80);
    assert_eq!(plain(padded, &[1, 2, 0, 0, 2, 0, 0, 0], 2).unwrap(), [1, 2]);
    for bad in [&[][..], &[0, 0, 0], &[1, 0, 0, 0], &[9, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], &[1, 2, 0, 3, 2, 0, 0, 0]] {
        assert_eq!(plain(padded, bad, 2).unwrap_err().kind(), ErrorKind::Damaged, "{bad:?}");
    }
}

proptest! {
    #[test]
    fn any_input_goes_both_ways(
        spec in prop::sample::select(&SPECS[..]),
        input in prop::collection::vec(0u8..4, 0..3000),
    ) {
        let (codec, out) = stored(spec, &input);
        prop_assert_eq!(plain(codec, &out, input.len()).unwrap(), input);
    }

    #[test]
    fn garbage_is_refused_or_has_the_stated_length(
        codec in 0u8..5, padded: bool, garbage in prop::collection::vec(any::<u8>(), 0..300), claimed in 0usize..5000,
    ) {
        let codec = FrameCodec(codec | if padded { 0x80 } else { 0 });
        match plain(codec, &garbage, claimed) {
            Ok(out) => prop_assert_eq!(out.len(), claimed),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Damaged),
        }
    }

    #[test]
    fn a_cut_or_changed_frame_never_panics(
        spec in prop::sample::select(&["lz4", "zstd,3", "zlib,6", "lzma,1", "obfuscate,1,zstd"][..]),
        cut in 0usize..1000, position in 0usize..1000, flip in 1u8..,
    ) {
        let input = text(3000);
        let (codec, out) = stored(spec, &input);
        let cut = &out[..cut % out.len()];
        prop_assert_eq!(plain(codec, cut, input.len()).unwrap_err().kind(), ErrorKind::Damaged);
        let mut changed = out.clone();
        changed[position % out.len()] ^= flip;
        match plain(codec, &changed, input.len()) {
            Ok(plain) => prop_assert_eq!(plain.len(), input.len()),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Damaged),
        }
    }
}
