//! Cutting content into chunks.
//!
//! Content-defined chunkers cut where a hash of the bytes just before has a rare
//! value, so that equal content is cut equally wherever it lies, and an insertion
//! moves boundaries near it only. The hash tables come from a secret key through
//! BLAKE3: without the key nobody can tell where known content is cut, and so
//! recognise it by the lengths of its chunks. Boundaries are not part of the
//! format, but a change to them forgets all deduplication against older archives:
//! golden tests pin them.

mod buzhash;
mod fastcdc;
mod fixed;
mod params;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;

use zeroize::Zeroizing;

pub use params::ChunkerParams;
pub use stream::{Buffer, ChunkStream, Input, Piece, Read};

use buzhash::Buzhash;
use fastcdc::Fastcdc;
use fixed::Fixed;
use params::Method;

/// Finds boundaries; made once per repository session and shared by all threads.
pub struct Chunker(Kind);

enum Kind {
    Fastcdc(Fastcdc),
    Buzhash(Buzhash),
    Fixed(Fixed),
}

impl Chunker {
    /// A chunker whose tables are derived from `key`.
    pub fn new(params: &ChunkerParams, key: &[u8; 32]) -> Self {
        Self(match params.method() {
            Method::Fastcdc { sizes, normalization } => Kind::Fastcdc(Fastcdc::new(sizes, normalization, key)),
            Method::Buzhash { sizes, window } => Kind::Buzhash(Buzhash::new(sizes, window, key)),
            Method::Fixed { size, header } => Kind::Fixed(Fixed::new(size, header)),
        })
    }

    /// The length of the first chunk of `data`: 1 to `data.len()`, 0 only if `data` is empty.
    ///
    /// `offset` is the position of `data` in its file, which [`ChunkerParams`] `fixed` cuts by.
    /// `data` is at least [`Chunker::max_bytes`] long or ends where its run of content ends.
    pub fn cut(&self, offset: u64, data: &[u8]) -> usize {
        self.scan(&mut Scan::at(offset), data).unwrap_or(data.len())
    }

    /// Bytes of the longest chunk.
    pub fn max_bytes(&self) -> usize {
        match &self.0 {
            Kind::Fastcdc(method) => method.sizes().max(),
            Kind::Buzhash(method) => method.sizes().max(),
            Kind::Fixed(method) => method.max_bytes(),
        }
    }

    /// Bytes of the shortest chunk that does not end a run of content.
    pub fn min_bytes(&self) -> usize {
        match &self.0 {
            Kind::Fastcdc(method) => method.sizes().min(),
            Kind::Buzhash(method) => method.sizes().min(),
            Kind::Fixed(_) => 1,
        }
    }

    /// The length of the first chunk of `data`, or nothing if more data may move its end. The
    /// same `scan` with the same and more data goes on where it stopped.
    fn scan(&self, scan: &mut Scan, data: &[u8]) -> Option<usize> {
        match &self.0 {
            Kind::Fastcdc(method) => method.scan(scan, data),
            Kind::Buzhash(method) => method.scan(scan, data),
            Kind::Fixed(method) => method.scan(scan, data),
        }
    }
}

impl fmt::Debug for Chunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The tables are as secret as the key.
        f.debug_struct("Chunker").field("max_bytes", &self.max_bytes()).finish_non_exhaustive()
    }
}

/// How far the search for the end of one chunk has come.
#[derive(Clone, Copy, Debug)]
struct Scan {
    /// Position of the chunk in its file.
    offset: u64,
    /// Bytes of the chunk that need not be looked at again.
    position: usize,
    /// The rolling hash of the bytes before `position`.
    hash: u64,
}

impl Scan {
    /// Nothing seen yet of a chunk at `offset` of its file.
    fn at(offset: u64) -> Self {
        Self { offset, position: 0, hash: 0 }
    }
}

/// Tables with a number for every byte value, wiped when dropped.
type Tables<const N: usize> = Box<Zeroizing<[[u64; 256]; N]>>;

/// The table for `purpose`, from the key's pseudorandom stream, `N` times.
fn keyed_tables<const N: usize>(key: &[u8; 32], purpose: &str) -> Tables<N> {
    let mut stream = blake3::Hasher::new_keyed(key).update(purpose.as_bytes()).finalize_xof();
    let mut tables = Box::new(Zeroizing::new([[0; 256]; N]));
    for byte in 0..256 {
        let mut number = [0; 8];
        stream.fill(&mut number);
        tables.iter_mut().for_each(|table| table[byte] = u64::from_le_bytes(number));
    }
    tables
}
