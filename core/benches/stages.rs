//! What each stage of the pipeline costs, one thread, content in memory.
//!
//! `cargo bench -p gabion-core --bench stages -- chunk` runs the stages whose name
//! contains `chunk`.

#![expect(clippy::unwrap_used, reason = "a benchmark that can not run has nobody to report to")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gabion_core::chunker::{Buffer, ChunkStream, Chunker, Input, Read};
use gabion_core::compress::{Compressor, Decompressor};
use gabion_core::error::Result;

const CONTENT_BYTES: usize = 32 << 20;
const CHUNK_BYTES: usize = 2 << 20;
const GROUP_BYTES: usize = 240 << 10;

/// Content no codec shrinks.
fn random() -> Vec<u8> {
    let mut out = vec![0; CONTENT_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

/// Words of a small vocabulary, some far more frequent than others.
fn prose() -> Vec<u8> {
    let mut draws = random().into_iter();
    let mut out = Vec::with_capacity(CONTENT_BYTES);
    while out.len() < CONTENT_BYTES
        && let (Some(first), Some(second)) = (draws.next(), draws.next())
    {
        let word = u32::from(first & second) << 4 | u32::from(second & 15);
        let digits = format!("{:010} ", word.wrapping_mul(2_654_435_769));
        out.extend_from_slice(&digits.as_bytes()[3 + word as usize % 6..]);
    }
    out.truncate(CONTENT_BYTES);
    out
}

/// Serves a slice.
struct Slice<'a>(&'a [u8]);

impl Input for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        let (now, later) = self.0.split_at(self.0.len().min(buffer.len()));
        self.0 = later;
        buffer[..now.len()].copy_from_slice(now);
        Ok(if now.is_empty() { Read::End } else { Read::Data(now.len()) })
    }
}

fn drain(chunker: &Chunker, content: &[u8], buffer: &mut Buffer) {
    let mut stream = ChunkStream::new(chunker, Slice(content), buffer);
    while let Some(piece) = stream.next().unwrap() {
        black_box(piece);
    }
}

fn chunk(criterion: &mut Criterion) {
    let content = random();
    let mut group = criterion.benchmark_group("chunk");
    group.throughput(Throughput::Bytes(CONTENT_BYTES as u64)).sample_size(10);
    for params in ["fastcdc,19,23,21,2", "fastcdc,12,16,14,2", "buzhash,19,23,21,4095"] {
        let chunker = Chunker::new(&params.parse().unwrap(), &[7; 32]);
        group.bench_function(params, |bencher| {
            bencher.iter(|| {
                let mut rest = &content[..];
                while !rest.is_empty() {
                    rest = &rest[chunker.cut(0, black_box(rest))..];
                }
            });
        });
    }
    let chunker = Chunker::new(&"default".parse().unwrap(), &[7; 32]);
    let mut buffer = Buffer::new();
    group.bench_function("stream of one file", |bencher| bencher.iter(|| drain(&chunker, &content, &mut buffer)));
    group.bench_function("streams of 4 KiB files", |bencher| {
        bencher.iter(|| content.chunks(4 << 10).for_each(|file| drain(&chunker, file, &mut buffer)));
    });
    group.finish();
}

fn compress(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compress");
    group.throughput(Throughput::Bytes(CONTENT_BYTES as u64)).sample_size(10);
    let contents =
        [("random", random(), CHUNK_BYTES), ("prose", prose(), CHUNK_BYTES), ("prose", prose(), GROUP_BYTES)];
    for (name, content, frame_bytes) in &contents {
        for spec in ["none", "lz4", "zstd,1", "zstd,3", "auto,zstd,3"] {
            let mut compressor = Compressor::new(&spec.parse().unwrap()).unwrap();
            let mut out = Vec::new();
            group.bench_function(format!("{spec} {name} {} KiB", frame_bytes >> 10), |bencher| {
                bencher.iter(|| {
                    for frame in content.chunks(*frame_bytes) {
                        out.clear();
                        black_box(compressor.compress(frame, &mut out).unwrap());
                    }
                });
            });
        }
    }
    group.finish();
}

fn decompress(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decompress");
    group.throughput(Throughput::Bytes(CONTENT_BYTES as u64)).sample_size(10);
    let content = prose();
    for spec in ["lz4", "zstd,3"] {
        let mut compressor = Compressor::new(&spec.parse().unwrap()).unwrap();
        let compress = |frame: &[u8]| {
            let mut stored = Vec::new();
            (compressor.compress(frame, &mut stored).unwrap(), stored, frame.len())
        };
        let frames: Vec<_> = content.chunks(CHUNK_BYTES).map(compress).collect();
        let mut decompressor = Decompressor::new();
        let mut out = Vec::new();
        group.bench_function(spec, |bencher| {
            bencher.iter(|| {
                for (codec, stored, plain_bytes) in &frames {
                    out.clear();
                    decompressor.decompress(*codec, stored, *plain_bytes, &mut out).unwrap();
                    black_box(&out);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(stages, chunk, compress, decompress);
criterion_main!(stages);
