//! `gabion benchmark cpu`: how fast this build is on this machine, one thread at a time.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gabion_backends::erasure::{Member, Purpose, Split};
use gabion_backends::parity::Percent;
use gabion_backends::{ErasureBackend, ParityBackend};
use gabion_core::backend::{ByteRange, MemoryBackend, ObjectName, Payload, Store};
use gabion_core::chunker::{Chunker, ChunkerParams};
use gabion_core::compress::{Compression, Compressor};
use gabion_core::crypto::aead::{Cipher, Suite};
use gabion_core::crypto::id_hash::{IdHash, IdHasher, IdSpace};
use gabion_core::crypto::kdf::KdfParams;
use gabion_core::crypto::secret::{Passphrase, Secret};
use serde_json::{Map, Value as Json, json};

use crate::exit_code::Warnings;
use crate::output::archive::answer;
use crate::output::sink::Sink;

/// Bytes of the data that is worked on.
const DATA_BYTES: usize = 16 << 20;
/// Bytes handed over at once where that is usual.
const PIECE_BYTES: usize = 1 << 20;
/// A measurement goes on for so long, and at least once over some data.
const TIME: Duration = Duration::from_millis(200);

/// Measure cutting, hashing, encrypting, compressing and error correction, each on one CPU; all unless some are chosen
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gabion benchmark cpu --hashing --encrypting")]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Measure cutting files into chunks
    #[arg(long)]
    chunking: bool,
    /// Measure hashes that name chunks
    #[arg(long)]
    hashing: bool,
    /// Measure encryption and key derivation
    #[arg(long)]
    encrypting: bool,
    /// Measure compression
    #[arg(long)]
    compressing: bool,
    /// Measure error correction: parity in an object of 32 MiB, and shards of one
    #[arg(long)]
    correcting: bool,
}

/// One line of the result.
struct Measured {
    group: &'static str,
    name: String,
    bytes: u64,
    time: Duration,
}

/// Measures.
pub fn run(args: &Args) -> Result<Warnings> {
    let all = !(args.chunking || args.hashing || args.encrypting || args.compressing || args.correcting);
    let data = sample();
    let mut results = Vec::new();
    if all || args.chunking {
        chunking(&data, &mut results)?;
    }
    if all || args.hashing {
        hashing(&data, &mut results)?;
    }
    if all || args.encrypting {
        encrypting(&data, &mut results)?;
        deriving(&mut results)?;
    }
    if all || args.compressing {
        compressing(&data, &mut results)?;
    }
    if all || args.correcting {
        correcting(&data, &mut results)?;
    }
    let mut out = Sink::new();
    if args.json {
        out.write_all(answer(object(&results))?.as_bytes())?;
    } else {
        for result in &results {
            writeln!(out, "{:12} {:24} {}", result.group, result.name, result.speed())?;
        }
    }
    out.flush()?;
    Ok(Warnings::default())
}

impl Measured {
    /// Speed for people; what works on no data has a time.
    fn speed(&self) -> String {
        let seconds = self.time.as_secs_f64().max(1e-9);
        match self.bytes {
            0 => format!("{:10.3} s", seconds),
            bytes => format!("{:10.1} MB/s", bytes as f64 / 1e6 / seconds),
        }
    }
}

fn object(results: &[Measured]) -> Map<String, Json> {
    let mut root = Map::new();
    for result in results {
        let line = json!({ "algo": result.name, "size": result.bytes, "time": result.time.as_secs_f64() });
        let group = root.entry(result.group).or_insert_with(|| json!([]));
        if let Some(lines) = group.as_array_mut() {
            lines.push(line);
        }
    }
    root
}

/// Data that compresses to about half: text-like words from a fixed generator.
fn sample() -> Vec<u8> {
    let mut data = Vec::with_capacity(DATA_BYTES + 16);
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    while data.len() < DATA_BYTES {
        // xorshift64: speed depends on the look of the data only
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let [a, b, c, ..] = state.to_le_bytes();
        data.extend_from_slice(
            format!("{:x} {:04} ", u16::from(a) << 4, u16::from(b) * 37 + u16::from(c % 4)).as_bytes(),
        );
    }
    data.truncate(DATA_BYTES);
    data
}

/// Repeats `work` on piece after piece until there is enough to go by; `work` tells how much it did.
fn measure<'a>(
    pieces: impl Iterator<Item = &'a [u8]> + Clone,
    mut work: impl FnMut(&'a [u8]) -> Result<()>,
) -> Result<(u64, Duration)> {
    let (mut bytes, start) = (0, Instant::now());
    loop {
        for piece in pieces.clone() {
            work(piece)?;
            bytes += piece.len() as u64;
            let time = start.elapsed();
            if time >= TIME {
                return Ok((bytes, time));
            }
        }
    }
}

fn chunking(data: &[u8], results: &mut Vec<Measured>) -> Result<()> {
    // `fixed` looks at no data: there is nothing to measure
    for name in ["fastcdc,19,23,21,2", "buzhash,19,23,21,4095"] {
        let chunker = Chunker::new(&name.parse::<ChunkerParams>()?, &[7; 32]);
        let (bytes, time) = measure(std::iter::once(data), |mut rest| {
            while !rest.is_empty() {
                rest = rest.get(black_box(chunker.cut(0, rest)).max(1)..).unwrap_or_default();
            }
            Ok(())
        })?;
        results.push(Measured { group: "chunkers", name: name.to_owned(), bytes, time });
    }
    Ok(())
}

fn hashing(data: &[u8], results: &mut Vec<Measured>) -> Result<()> {
    for hash in IdHash::all() {
        let hasher = IdHasher::new(hash, &Secret::from_bytes([1; 32]), &Secret::from_bytes([2; 32]))?;
        let (bytes, time) = measure(data.chunks(PIECE_BYTES), |piece| {
            black_box(hasher.id(IdSpace::Data, piece));
            Ok(())
        })?;
        results.push(Measured { group: "hashes", name: hash.to_string(), bytes, time });
    }
    Ok(())
}

fn encrypting(data: &[u8], results: &mut Vec<Measured>) -> Result<()> {
    let mut buffer = Vec::with_capacity(PIECE_BYTES);
    for suite in Suite::all() {
        let cipher = Cipher::new(suite, &[3; 32]);
        let mut number = 0;
        let (bytes, time) = measure(data.chunks(PIECE_BYTES), |piece| {
            buffer.clear();
            buffer.extend_from_slice(piece);
            black_box(cipher.seal(number, b"benchmark", &mut buffer)?);
            number += 1;
            Ok(())
        })?;
        results.push(Measured { group: "encryption", name: suite.to_string(), bytes, time });
    }
    Ok(())
}

fn deriving(results: &mut Vec<Measured>) -> Result<()> {
    let start = Instant::now();
    black_box(KdfParams::default().derive(&Passphrase::new(b"benchmark".to_vec()), &[5; 32])?);
    results.push(Measured { group: "kdf", name: "argon2id".to_owned(), bytes: 0, time: start.elapsed() });
    Ok(())
}

fn compressing(data: &[u8], results: &mut Vec<Measured>) -> Result<()> {
    let mut stored = Vec::with_capacity(2 * PIECE_BYTES);
    for name in ["lz4", "zstd,1", "zstd,3", "zstd,10", "zlib,6", "lzma,6"] {
        let mut compressor = Compressor::new(&name.parse::<Compression>()?)?;
        let (bytes, time) = measure(data.chunks(PIECE_BYTES), |piece| {
            stored.clear();
            black_box(compressor.compress(piece, &mut stored)?);
            Ok(())
        })?;
        results.push(Measured { group: "compression", name: name.to_owned(), bytes, time });
    }
    Ok(())
}

/// Error correction, through the layers and a store in memory.
fn correcting(data: &[u8], results: &mut Vec<Measured>) -> Result<()> {
    let object = Payload::from(data.repeat(2));
    let name = ObjectName::new("segments/benchmark")?;
    let memory = MemoryBackend::new();
    let percent = Percent::new(10).context("ten percent")?;
    let store = Store::new(Arc::new(ParityBackend::new(Arc::new(memory.clone()), percent)))?;
    let put = |store: &Store| store.put(&name, object.clone()).map_err(Into::into);
    let get = |store: &Store| store.get(&name, ByteRange::WHOLE).map(drop).map_err(Into::into);
    correct(results, "parity 10%: make", object.len(), || put(&store))?;
    correct(results, "parity 10%: verify", object.len(), || get(&store))?;
    let plain = Store::new(Arc::new(memory))?;
    let mut stored = plain.get(&name, ByteRange::WHOLE)?.to_vec();
    // One sector less than can be repaired, in one run.
    stored.iter_mut().skip(1 << 20).take(819 * 4096).for_each(|byte| *byte = !*byte);
    plain.put(&name, Payload::from(stored))?;
    correct(results, "parity 10%: repair", object.len(), || get(&store))?;

    let stores: Vec<MemoryBackend> = (0..6).map(|_| MemoryBackend::new()).collect();
    let set = |lost: usize, purpose| -> Result<Store> {
        let members = stores.iter().enumerate().map(|(number, store)| Member {
            location: format!("memory:{number}"),
            store: if number < lost { Ok(Arc::new(MemoryBackend::new())) } else { Ok(Arc::new(store.clone())) },
            own: None,
            depth: 0,
        });
        let split = Split::new(4, 2).context("four and two")?;
        Ok(Store::new(Arc::new(ErasureBackend::new(split, members.collect(), purpose)?))?)
    };
    let whole = set(0, Purpose::Create)?;
    correct(results, "erasure 4+2: make", object.len(), || put(&whole))?;
    correct(results, "erasure 4+2: verify", object.len(), || get(&whole))?;
    let lost = set(2, Purpose::Use)?;
    correct(results, "erasure 4+2: 2 lost", object.len(), || get(&lost))
}

fn correct(results: &mut Vec<Measured>, name: &str, bytes: usize, work: impl Fn() -> Result<()>) -> Result<()> {
    // The first time tables are made.
    work()?;
    let (start, mut count) = (Instant::now(), 0);
    while count == 0 || start.elapsed() < TIME {
        work()?;
        count += 1;
    }
    let (bytes, time) = (bytes as u64 * count, start.elapsed());
    results.push(Measured { group: "erasure", name: name.to_owned(), bytes, time });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_neither_trivial_nor_noise() {
        let (data, mut stored) = (sample(), Vec::new());
        assert_eq!(data.len(), DATA_BYTES);
        let piece = &data[..PIECE_BYTES];
        Compressor::new(&"zstd,3".parse().unwrap()).unwrap().compress(piece, &mut stored).unwrap();
        assert!((PIECE_BYTES / 5..PIECE_BYTES * 4 / 5).contains(&stored.len()), "{}", stored.len());
    }

    #[test]
    fn results_are_grouped() {
        let result = |name: &str, bytes| Measured {
            group: "hashes",
            name: name.to_owned(),
            bytes,
            time: Duration::from_millis(500),
        };
        let results = [result("a", 2_000_000), result("b", 0)];
        assert_eq!((results[0].speed().trim(), results[1].speed().trim()), ("4.0 MB/s", "0.500 s"));
        let expected = r#"{"hashes":[{"algo":"a","size":2000000,"time":0.5},{"algo":"b","size":0,"time":0.5}]}"#;
        assert_eq!(Json::Object(object(&results)).to_string(), expected);
    }
}
