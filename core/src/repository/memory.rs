//! How much memory a session that writes takes, and what fits a budget.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{DATA_SEGMENT_BYTES, MIB, TREE_SEGMENT_BYTES};

/// Full data segments in memory at once: while three are on a long way to the store, a fourth one is closed.
pub(super) const SEGMENTS_MOST: usize = 4;
/// No budget makes them fewer than this: while one is on its way, another one is closed.
const SEGMENTS_LEAST: usize = 2;
/// Full tree segments in memory at once.
pub(super) const TREE_SEGMENTS: usize = 1;
/// Plaintext of jobs that wait or are worked at, for each worker; one larger job is let in alone.
pub(super) const JOB_BYTES_PER_WORKER: usize = 8 * MIB;

/// The program itself, the stacks of its threads, open groups, directories on the way, what a store's client buffers.
const GROUND_BYTES: usize = 16 * MIB;
/// Opened frames of trees that are read meanwhile, such as those of a base.
const READER_BYTES: usize = super::reader::FRAME_CACHE_BYTES;
/// Contexts of one worker's codecs. Strong levels (zstd above 12, lzma) take more, up to hundreds of MiB a worker.
const CODEC_BYTES: usize = 4 * MIB;
/// No budget makes segments smaller than this.
const SEGMENT_BYTES_LEAST: usize = 4 * MIB;
/// The default budget with up to two workers and chunks of up to [`DEFAULT_CHUNK_BYTES`]; what is more adds what it needs.
const DEFAULT_BYTES: usize = 192 * MIB;
const DEFAULT_CHUNK_BYTES: usize = 8 * MIB;

/// What bounds the memory of a session that writes, whatever its input. The index comes on top: about 32 bytes for
/// every chunk of the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of the longest chunk.
    pub chunk_bytes: usize,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Full data segments at once, at least 1.
    pub segments: usize,
    /// Stored bytes at which a data segment is closed.
    pub segment_bytes: usize,
}

impl Memory {
    /// The least of all for chunks of up to so many bytes.
    fn smallest(chunk_bytes: usize) -> Self {
        Self { chunk_bytes, workers: 1, segments: SEGMENTS_LEAST, segment_bytes: SEGMENT_BYTES_LEAST }
    }

    /// The bound in bytes: the sum of everything that can be full at the same time.
    pub fn bytes(&self) -> usize {
        let Self { chunk_bytes, workers, segments, segment_bytes } = *self;
        // what is cut from the file, and one chunk that waits for room in the queue
        let reading = 2 * chunk_bytes + MIB;
        let jobs = (workers * JOB_BYTES_PER_WORKER).max(chunk_bytes);
        // a frame compressed, or a frame of a closed segment as stored and opened again
        let working = workers * (2 * chunk_bytes + CODEC_BYTES);
        // one of each class is being filled
        let data = (1 + segments) * segment_bytes.max(chunk_bytes);
        let trees = (1 + TREE_SEGMENTS) * TREE_SEGMENT_BYTES.min(segment_bytes);
        GROUND_BYTES + READER_BYTES + reading + jobs + working + data + trees
    }

    /// What a session takes where nobody names a budget: 192 MiB with chunks of up to 8 MiB and two workers,
    /// 28 MiB for each further worker, and 11 MiB for each further MiB of a chunk with two workers.
    pub fn default_budget(chunk_bytes: usize, workers: usize) -> usize {
        let sample =
            |chunk_bytes, workers| Self { workers, segments: SEGMENTS_MOST, ..Self::smallest(chunk_bytes) }.bytes();
        let asked = sample(chunk_bytes.max(DEFAULT_CHUNK_BYTES), workers.max(2));
        DEFAULT_BYTES + asked - sample(DEFAULT_CHUNK_BYTES, 2)
    }

    /// The most workers, of at most `workers`, then the most segments at once, then the largest ones, of at most
    /// [`DATA_SEGMENT_BYTES`], with which a session stays within `budget` bytes.
    ///
    /// # Errors
    /// `LimitExceeded` if even one worker with the smallest segments takes more; it says how much that is.
    pub fn within(budget: usize, chunk_bytes: usize, workers: usize) -> Result<Self> {
        let workers = (1..=workers.max(1)).rev();
        let counts =
            workers.flat_map(|workers| (SEGMENTS_LEAST..=SEGMENTS_MOST).rev().map(move |segments| (workers, segments)));
        let mut all = counts.map(|(workers, segments)| Self { workers, segments, ..Self::smallest(chunk_bytes) });
        if let Some(least) = all.find(|memory| memory.bytes() <= budget) {
            let fits = |segment_bytes: &usize| Self { segment_bytes: *segment_bytes, ..least }.bytes() <= budget;
            let sizes = (SEGMENT_BYTES_LEAST..=DATA_SEGMENT_BYTES.max(chunk_bytes)).step_by(MIB);
            let segment_bytes = sizes.take_while(fits).last().unwrap_or(SEGMENT_BYTES_LEAST);
            return Ok(Self { segment_bytes, ..least });
        }
        Err(Error::new(ErrorKind::LimitExceeded, "fit into memory")
            .with("budget in MiB", budget / MIB)
            .with("needed in MiB", Self::least(chunk_bytes).div_ceil(MIB)))
    }

    /// The smallest budget in bytes that is enough for chunks of up to `chunk_bytes`.
    pub fn least(chunk_bytes: usize) -> usize {
        Self::smallest(chunk_bytes).bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_what_is_promised() {
        let budget = Memory::default_budget(8 * MIB, 2);
        assert_eq!(budget, 192 * MIB);
        let memory = Memory::within(budget, 8 * MIB, 2).unwrap();
        assert_eq!((memory.workers, memory.segments), (2, SEGMENTS_MOST));
        assert!(memory.segment_bytes >= 14 * MIB, "{memory:?}");
        assert_eq!(Memory::default_budget(8 * MIB, 3) - budget, 28 * MIB);
        let long = Memory::default_budget(16 * MIB, 2);
        assert_eq!(long - budget, 8 * 11 * MIB);
        assert!(Memory::within(long, 16 * MIB, 2).unwrap().segment_bytes >= 14 * MIB);
    }

    #[test]
    fn whatever_fits_stays_within_the_budget() {
        for chunk_bytes in [MIB / 4, MIB, 8 * MIB, 16 * MIB] {
            for workers in [0, 1, 2, 8, 64] {
                for budget in (0..600).step_by(7).map(|mib| mib * MIB) {
                    match Memory::within(budget, chunk_bytes, workers) {
                        Ok(memory) => {
                            assert!(memory.bytes() <= budget, "{memory:?}");
                            assert!(memory.segment_bytes <= DATA_SEGMENT_BYTES.max(chunk_bytes));
                            assert!((1..=workers.max(1)).contains(&memory.workers));
                            assert!((SEGMENTS_LEAST..=SEGMENTS_MOST).contains(&memory.segments));
                        }
                        Err(error) => assert!(budget < Memory::least(chunk_bytes), "{error}"),
                    }
                }
            }
        }
    }

    #[test]
    fn too_little_is_refused_with_what_is_needed() {
        let error = Memory::within(20 * MIB, 8 * MIB, 4).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert!(error.to_string().contains("needed in MiB"), "{error}");
    }
}
