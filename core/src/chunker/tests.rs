//! Properties of boundaries and streams.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CHUNK_BYTES_MAX, MIB};

const METHODS: [&str; 6] =
    ["fastcdc,6,10,8,2", "fastcdc,7,12,9,0", "fastcdc,8,8,8", "buzhash,6,10,8,31", "fixed,100", "fixed,64,1000"];

fn chunker(params: &str) -> Chunker {
    Chunker::new(&params.parse().unwrap(), &[7; 32])
}

fn random(seed: u8, bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut out);
    out
}

fn lengths(chunker: &Chunker, data: &[u8]) -> Vec<usize> {
    let mut offset = 0;
    let mut lengths = Vec::new();
    while offset < data.len() {
        let length = chunker.cut(offset as u64, &data[offset..]);
        assert!((1..=data.len() - offset).contains(&length));
        lengths.push(length);
        offset += length;
    }
    lengths
}

/// Serves parts in order, data in pieces of `read_bytes` at most.
struct Script {
    parts: VecDeque<Piece>,
    read_bytes: usize,
    ended: bool,
}

impl Script {
    fn new(parts: impl IntoIterator<Item = Piece>, read_bytes: usize) -> Self {
        Self { parts: parts.into_iter().collect(), read_bytes, ended: false }
    }
}

impl Input for Script {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        assert!(!self.ended && buffer.len() == MIB);
        match self.parts.pop_front() {
            None => {
                self.ended = true;
                Ok(Read::End)
            }
            Some(Piece::Hole(bytes)) => Ok(Read::Hole(bytes)),
            Some(Piece::Data(bytes)) => {
                let (now, later) = bytes.split_at(bytes.len().min(self.read_bytes).min(buffer.len()));
                buffer[..now.len()].copy_from_slice(now);
                if !later.is_empty() {
                    self.parts.push_front(Piece::Data(later.to_vec()));
                }
                Ok(Read::Data(now.len()))
            }
        }
    }
}

fn pieces(chunker: &Chunker, script: Script, buffer: &mut Buffer) -> Vec<Piece> {
    let mut stream = ChunkStream::new(chunker, script, buffer);
    let mut pieces = Vec::new();
    while let Some(piece) = stream.next().unwrap() {
        pieces.push(piece);
    }
    assert_eq!(stream.next().unwrap(), None);
    pieces
}

#[test]
fn threads_can_share_it() {
    fn is_shareable<T: Send + Sync>() {}
    is_shareable::<Chunker>();
}

#[test]
fn boundaries_stay_where_they_always_were() {
    let data = random(1, 6000);
    for (params, expected) in [
        ("fastcdc,8,12,10,2", &GOLDEN_FASTCDC[..]),
        ("buzhash,8,12,10,255", &GOLDEN_BUZHASH[..]),
        ("fixed,2000,500", &[500, 2000, 2000, 1500][..]),
    ] {
        assert_eq!(lengths(&chunker(params), &data), expected, "{params}");
    }
}

const GOLDEN_FASTCDC: [usize; 4] = [2281, 1187, 1121, 1411];
const GOLDEN_BUZHASH: [usize; 7] = [448, 785, 1008, 882, 777, 1059, 1041];

#[test]
fn default_boundaries_stay_where_they_always_were() {
    let chunker = Chunker::new(&ChunkerParams::default(), &[7; 32]);
    assert_eq!((chunker.min_bytes(), chunker.max_bytes()), (512 * 1024, 8 * MIB));
    assert_eq!(lengths(&chunker, &random(2, 12 * MIB)), GOLDEN_DEFAULT);
}

const GOLDEN_DEFAULT: [usize; 4] = [2_722_759, 4_439_036, 3_630_364, 1_790_753];

/// What the gear chunker is defined to do, one byte and one whole hash at a time.
fn gear_by_definition(data: &[u8], key: &[u8; 32]) -> usize {
    let (min, average, max) = (256, 1024, 4096);
    let [table] = **keyed_tables(key, "gabion 1 chunker fastcdc");
    for length in min..max.min(data.len()) {
        let hash = data[length - 64..length]
            .iter()
            .fold(0u64, |hash, byte| hash.wrapping_mul(2).wrapping_add(table[usize::from(*byte)]));
        let zero_bits = if length < average { 10 + 2 } else { 10 - 2 };
        if (hash << 3).leading_zeros() >= zero_bits {
            return length;
        }
    }
    max.min(data.len())
}

/// What the cyclic polynomial chunker is defined to do.
fn buzhash_by_definition(data: &[u8], key: &[u8; 32]) -> usize {
    let (min, window, max) = (256, 101, 4096);
    let [table] = **keyed_tables(key, "gabion 1 chunker buzhash");
    for length in min..max.min(data.len()) {
        let bytes = data[length - window..length].iter().rev().zip(0u32..);
        let hash = bytes.fold(0, |hash, (byte, age)| hash ^ table[usize::from(*byte)].rotate_left(age % 64));
        if hash.trailing_zeros() >= 10 {
            return length;
        }
    }
    max.min(data.len())
}

#[test]
fn boundaries_are_where_the_definition_puts_them() {
    let data = random(8, 500_000);
    for (params, definition) in [
        ("fastcdc,8,12,10,2", gear_by_definition as fn(&[u8], &[u8; 32]) -> usize),
        ("buzhash,8,12,10,101", buzhash_by_definition),
    ] {
        let mut rest = &data[..];
        for length in lengths(&chunker(params), &data) {
            assert_eq!(length, definition(rest, &[7; 32]), "{params}");
            rest = &rest[length..];
        }
    }
}

#[test]
fn sizes_keep_their_bounds_and_gather_about_the_average() {
    let data = random(3, 2_000_000);
    for params in ["fastcdc,8,12,10,2", "fastcdc,8,12,10,0", "buzhash,8,12,10,255"] {
        let lengths = lengths(&chunker(params), &data);
        let (_, whole) = lengths.split_last().unwrap();
        assert!(whole.iter().all(|length| (256..=4096).contains(length)), "{params}");
        let mean = data.len() / lengths.len();
        assert!((900..1500).contains(&mean), "{params}: {mean}");
    }
    let spread = |level: u32| {
        let lengths = lengths(&chunker(&format!("fastcdc,8,13,10,{level}")), &data);
        lengths.iter().filter(|length| (700..1400).contains(*length)).count() * 100 / lengths.len()
    };
    assert!(spread(3) > spread(2) && spread(2) > spread(0), "{} {} {}", spread(3), spread(2), spread(0));
}

#[test]
fn constant_content_is_cut_at_the_maximum() {
    for params in ["fastcdc,8,12,10", "buzhash,8,12,10,255"] {
        assert_eq!(lengths(&chunker(params), &[0; 10_000]), [4096, 4096, 1808]);
    }
}

#[test]
fn an_insertion_changes_few_chunks() {
    let before = random(4, 500_000);
    for params in ["fastcdc,8,12,10,2", "buzhash,8,12,10,255"] {
        let chunker = chunker(params);
        let chunks = |data: &[u8]| -> BTreeSet<Vec<u8>> {
            let mut rest = data;
            lengths(&chunker, data).into_iter().map(|length| rest.split_off(..length).unwrap().to_vec()).collect()
        };
        let old = chunks(&before);
        for position in [0, 1, 100_000, 250_001, 499_999] {
            let mut after = before.clone();
            after.insert(position, 42);
            let new = chunks(&after).difference(&old).count();
            assert!(new <= 6, "{params}: {new} of {} chunks changed", old.len());
        }
    }
}

#[test]
fn boundaries_depend_on_the_key() {
    let data = random(5, 100_000);
    for params in ["fastcdc,8,12,10,2", "buzhash,8,12,10,255"] {
        let ends = |key: u8| -> BTreeSet<usize> {
            let chunker = Chunker::new(&params.parse().unwrap(), &[key; 32]);
            lengths(&chunker, &data)
                .into_iter()
                .scan(0, |end, length| {
                    *end += length;
                    Some(*end)
                })
                .collect()
        };
        assert_eq!(ends(1), ends(1));
        let common = ends(1).intersection(&ends(2)).count();
        assert!(common < 5, "{params}: {common}");
    }
}

#[test]
fn fixed_blocks_keep_their_grid_behind_holes() {
    let parts = [Piece::Data(vec![1; 250]), Piece::Hole(130), Piece::Data(vec![2; 200])];
    let lengths: Vec<(bool, u64)> = pieces(&chunker("fixed,100,50"), Script::new(parts, 7), &mut Buffer::new())
        .into_iter()
        .map(|piece| match piece {
            Piece::Data(bytes) => (true, bytes.len() as u64),
            Piece::Hole(bytes) => (false, bytes),
        })
        .collect();
    assert_eq!(lengths, [(true, 50), (true, 100), (true, 100), (false, 130), (true, 70), (true, 100), (true, 30)]);
}

#[test]
fn holes_are_exact_merge_and_split_runs() {
    let data = |byte: u8, count: usize| Piece::Data(vec![byte; count]);
    for (parts, expected) in [
        (vec![], vec![]),
        (vec![Piece::Hole(0)], vec![]),
        (vec![Piece::Hole(5)], vec![Piece::Hole(5)]),
        (vec![Piece::Hole(5), Piece::Hole(1 << 50)], vec![Piece::Hole((1 << 50) + 5)]),
        (vec![Piece::Hole(5), Piece::Hole(0), data(1, 3)], vec![Piece::Hole(5), data(1, 3)]),
        (vec![data(1, 3), Piece::Hole(0), data(1, 3)], vec![data(1, 6)]),
        (
            vec![data(1, 3), Piece::Hole(1), Piece::Hole(2), data(2, 4), Piece::Hole(9)],
            vec![data(1, 3), Piece::Hole(3), data(2, 4), Piece::Hole(9)],
        ),
    ] {
        assert_eq!(pieces(&chunker("fastcdc,8,12,10"), Script::new(parts, 1000), &mut Buffer::new()), expected);
    }
}

#[test]
fn a_buffer_serves_chunkers_and_files_one_after_the_other() {
    let mut buffer = Buffer::new();
    for (params, bytes) in [("fastcdc,8,12,10", 5000), ("fixed,16777216", 40 * MIB), ("fastcdc,19,23,21", 9 * MIB)] {
        let chunker = chunker(params);
        assert!(chunker.max_bytes() <= CHUNK_BYTES_MAX);
        let data = random(6, bytes);
        let found = pieces(&chunker, Script::new([Piece::Data(data.clone())], MIB), &mut buffer);
        let mut rest = &data[..];
        assert_eq!(found.len(), lengths(&chunker, &data).len());
        for (piece, length) in found.iter().zip(lengths(&chunker, &data)) {
            let chunk = rest.split_off(..length).unwrap();
            assert!(*piece == Piece::Data(chunk.to_vec()), "{params}");
        }
    }
}

#[test]
fn a_reset_stream_forgets_what_it_did_not_yield() {
    let chunker = chunker("fastcdc,8,12,10");
    let mut buffer = Buffer::new();
    let first = Script::new([Piece::Data(random(7, 5000)), Piece::Hole(5)], 5000);
    let mut stream = ChunkStream::new(&chunker, first, &mut buffer);
    stream.next().unwrap();
    let first = stream.reset(Script::new([Piece::Data(vec![9; 10])], 5000));
    assert_eq!(first.parts.len(), 1);
    assert_eq!(stream.next().unwrap(), Some(Piece::Data(vec![9; 10])));
    assert_eq!(stream.next().unwrap(), None);
}

#[test]
fn a_failed_read_can_be_repeated_and_a_false_count_is_an_error() {
    struct Moody(usize);
    impl Input for Moody {
        fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
            self.0 += 1;
            match self.0 {
                1 => {
                    buffer[..3].copy_from_slice(b"one");
                    Ok(Read::Data(3))
                }
                2 => Err(Error::new(ErrorKind::Io, "read file")),
                3 => Ok(Read::Data(0)),
                4 => Ok(Read::Data(buffer.len() + 1)),
                _ => Ok(Read::End),
            }
        }
    }
    let chunker = chunker("fastcdc,8,12,10");
    let mut buffer = Buffer::new();
    let mut stream = ChunkStream::new(&chunker, Moody(0), &mut buffer);
    assert_eq!(stream.next().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(stream.next().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(stream.next().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(stream.next().unwrap(), Some(Piece::Data(b"one".to_vec())));
    assert_eq!(stream.next().unwrap(), None);
}

proptest! {
    #[test]
    fn streams_cut_like_slices_whatever_the_reads(
        params in prop::sample::select(&METHODS[..]),
        seed: u8,
        bytes in 0usize..20_000,
        alphabet in 1u8..,
        read_bytes in prop_oneof![1usize..200, 1000usize..30_000],
    ) {
        let data: Vec<u8> = random(seed, bytes).into_iter().map(|byte| byte % alphabet).collect();
        let chunker = chunker(params);
        let parts = (bytes > 0).then(|| Piece::Data(data.clone()));
        let found = pieces(&chunker, Script::new(parts, read_bytes), &mut Buffer::new());
        let mut rest = &data[..];
        let expected: Vec<Piece> = lengths(&chunker, &data)
            .into_iter()
            .map(|length| Piece::Data(rest.split_off(..length).unwrap().to_vec()))
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn pieces_make_up_the_file_and_runs_are_cut_on_their_own(
        params in prop::sample::select(&METHODS[..4]),
        runs in prop::collection::vec((0u64..3, 0usize..5000), 0..8),
        read_bytes in 1usize..3000,
    ) {
        let chunker = chunker(params);
        let mut parts = Vec::new();
        let mut expected = Vec::new();
        let mut open: Vec<u8> = Vec::new();
        let mut hole = 0;
        let close = |open: &mut Vec<u8>, expected: &mut Vec<Piece>| {
            let lengths = lengths(&chunker, open);
            expected.extend(lengths.into_iter().map(|length| Piece::Data(open.drain(..length).collect())));
        };
        for (index, (hole_bytes, data_bytes)) in runs.into_iter().enumerate() {
            parts.push(Piece::Hole(hole_bytes));
            hole += hole_bytes;
            if data_bytes > 0 {
                if hole > 0 {
                    close(&mut open, &mut expected);
                    expected.push(Piece::Hole(std::mem::take(&mut hole)));
                }
                let data = random(index as u8, data_bytes);
                open.extend_from_slice(&data);
                parts.push(Piece::Data(data));
            }
        }
        close(&mut open, &mut expected);
        if hole > 0 {
            expected.push(Piece::Hole(hole));
        }
        prop_assert_eq!(pieces(&chunker, Script::new(parts, read_bytes), &mut Buffer::new()), expected);
    }
}
