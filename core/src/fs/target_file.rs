//! A regular file of the target while it is written.
//!
//! It exists under its final name and belongs to us alone until its metadata is set. Parts may be
//! written in any order by several threads; what is not written is a hole.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::retry_on_intr;

use super::platform::{self, Subject};
use super::restore::{self, Leftovers, RestoreOptions};
use super::unnamed;
use crate::archive::metadata::{Attributes, Metadata};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::KIB;

/// Zeros of this many bytes, at a multiple of as many, become a hole: the block of most file systems.
const HOLE_BYTES: usize = 4 * KIB;
static ZEROS: [u8; HOLE_BYTES] = [0; HOLE_BYTES];

/// A new regular file, open for writing.
#[derive(Debug)]
pub struct TargetFile {
    file: OwnedFd,
    leftovers: Leftovers,
}

impl TargetFile {
    pub(super) fn new(file: OwnedFd, leftovers: Leftovers) -> Self {
        Self { file, leftovers }
    }

    /// Writes all of `data` at `offset`.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut written = 0;
        while written < data.len() {
            let position = offset.saturating_add(written as u64);
            let failed = |error: Error| error.with("offset", position);
            written += match retry_on_intr(|| rustix::io::pwrite(&self.file, &data[written..], position)) {
                Ok(0) => return Err(failed(Error::new(ErrorKind::Io, "write file"))),
                Ok(bytes) => bytes,
                Err(errno) => return Err(failed(unnamed("write file", errno))),
            };
        }
        Ok(())
    }

    /// Like [`Self::write_at`], but leaves out whole blocks of zeros of 4 KiB, so that they become
    /// holes. Only for parts that were not written before; [`Self::set_length`] must follow, as a
    /// hole at the end does not lengthen the file.
    pub fn write_sparse_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        if offset.checked_add(data.len() as u64).is_none() {
            return Err(Error::new(ErrorKind::LimitExceeded, "write file").with("offset", offset));
        }
        let mut rest = data;
        let mut position = offset;
        while !rest.is_empty() {
            let zeros = leading_zero_blocks(position, rest);
            let (_, after) = rest.split_at(zeros);
            let (run, after) = after.split_at(bytes_before_zero_block(position + zeros as u64, after));
            self.write_at(position + zeros as u64, run)?;
            position += (zeros + run.len()) as u64;
            rest = after;
        }
        Ok(())
    }

    /// Makes the file `bytes` long; what was not written up to there is a hole.
    pub fn set_length(&self, bytes: u64) -> Result<()> {
        retry_on_intr(|| rustix::fs::ftruncate(&self.file, bytes))
            .map_err(|errno| unnamed("set file length", errno).with("length", bytes))
    }

    /// Sets the metadata of the file, whose content is complete, and closes it. Returns what could
    /// not be set.
    pub fn finish(self, metadata: &Metadata, attributes: &Attributes, options: &RestoreOptions<'_>) -> Vec<Error> {
        match platform::stat_open(self.file.as_fd()) {
            Ok(stat) => {
                let subject = Subject::Open(self.file.as_fd());
                restore::apply(subject, &stat, self.leftovers, metadata, attributes, options)
            }
            Err(errno) => vec![unnamed("set metadata", errno)],
        }
    }
}

/// Bytes from `position` to the next multiple of a block, at most as many as `data` has.
fn to_boundary(position: u64, data: &[u8]) -> usize {
    let over = (position % HOLE_BYTES as u64) as usize;
    ((HOLE_BYTES - over) % HOLE_BYTES).min(data.len())
}

fn leading_zero_blocks(position: u64, data: &[u8]) -> usize {
    if to_boundary(position, data) > 0 {
        return 0;
    }
    data.chunks_exact(HOLE_BYTES).take_while(|block| **block == ZEROS).count() * HOLE_BYTES
}

fn bytes_before_zero_block(position: u64, data: &[u8]) -> usize {
    let head = to_boundary(position, data);
    match data[head..].chunks_exact(HOLE_BYTES).position(|block| *block == ZEROS) {
        Some(blocks) => head + blocks * HOLE_BYTES,
        None => data.len(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;

    use crate::fs::target::Target;

    /// Content as runs of (blocks and bytes, is zero).
    fn runs() -> impl Strategy<Value = Vec<(usize, bool)>> {
        proptest::collection::vec((prop_oneof![0usize..5, 4090usize..4100, 8000usize..20_000], any::<bool>()), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn sparse_writing_keeps_every_byte(runs in runs(), offset in 0u64..9000, step in 1usize..30_000) {
            let place = tempfile::tempdir().unwrap();
            let file = Target::open(place.path()).unwrap().root().create_file(b"file").unwrap();
            let data: Vec<u8> = runs.iter().flat_map(|(bytes, zero)| vec![u8::from(!zero); *bytes]).collect();
            for (index, part) in data.chunks(step).enumerate() {
                file.write_sparse_at(offset + (index * step) as u64, part).unwrap();
            }
            file.set_length(offset + data.len() as u64).unwrap();
            let read = std::fs::read(place.path().join("file")).unwrap();
            prop_assert!(read[..offset as usize].iter().all(|byte| *byte == 0));
            prop_assert_eq!(&read[offset as usize..], &data[..]);
        }
    }

    #[test]
    fn whole_blocks_of_zeros_are_not_written() {
        let place = tempfile::tempdir().unwrap();
        let root = Target::open(place.path()).unwrap().root();
        let mut data = vec![0; 1 << 20];
        data[500_000] = 1;
        for (name, sparse) in [("dense", false), ("sparse", true)] {
            let file = root.create_file(name.as_bytes()).unwrap();
            if sparse {
                file.write_sparse_at(0, &data).unwrap();
            } else {
                file.write_at(0, &data).unwrap();
            }
            file.set_length(data.len() as u64).unwrap();
        }
        let blocks = |name| {
            File::open(place.path().join(name)).unwrap().sync_all().unwrap();
            std::fs::metadata(place.path().join(name)).unwrap().blocks()
        };
        assert!(blocks("dense") >= 2048, "{}", blocks("dense"));
        assert!(blocks("sparse") <= 64, "{}", blocks("sparse"));
        assert_eq!(std::fs::read(place.path().join("sparse")).unwrap(), data);
    }

    #[test]
    fn parts_come_in_any_order_from_several_threads() {
        let place = tempfile::tempdir().unwrap();
        let file = Target::open(place.path()).unwrap().root().create_file(b"file").unwrap();
        std::thread::scope(|scope| {
            for part in (0..8u8).rev() {
                let file = &file;
                scope.spawn(move || file.write_at(u64::from(part) * 10_000, &[part + 1; 10_000]).unwrap());
            }
        });
        let read = std::fs::read(place.path().join("file")).unwrap();
        let expected: Vec<u8> = (1..=8).flat_map(|part| [part; 10_000]).collect();
        assert!(read == expected);
    }

    #[test]
    fn impossible_lengths_are_errors() {
        let place = tempfile::tempdir().unwrap();
        let file = Target::open(place.path()).unwrap().root().create_file(b"file").unwrap();
        assert_eq!(file.set_length(u64::MAX).unwrap_err().operation(), "set file length");
        assert_eq!(file.write_at(u64::MAX, b"ab").unwrap_err().operation(), "write file");
        assert_eq!(file.write_sparse_at(u64::MAX, b"ab").unwrap_err().operation(), "write file");
        assert_eq!(file.write_sparse_at(u64::MAX - 4095, &[0; 8192]).unwrap_err().operation(), "write file");
    }
}
