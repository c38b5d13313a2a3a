//! An open regular file of the source.
//!
//! It is read to the size it had when it was opened, so a file that grows for ever ends. One of no size is read to
//! its end, because some file systems (such as that of processes) state none; holes are taken from the file system, not guessed from zeros. Positions are kept here and passed with
//! every call, so nobody who shares the descriptor can disturb them.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};

use super::attributes::{self, AttributeOptions};
use super::platform::{self, Subject};
use super::stat::Stat;
use super::unnamed;
use crate::archive::metadata::Attributes;
use crate::error::Result;
use crate::limits::MIB;

/// Bytes from which on the system is told that a file is read sequentially.
const SEQUENTIAL_BYTES: u64 = MIB as u64;

/// Bytes that are read at most of a file that states no size: some of these have no end anybody could wait for.
pub const UNSIZED_BYTES_MAX: u64 = MIB as u64;

/// A regular file that is read from front to end.
#[derive(Debug)]
pub struct SourceFile {
    file: OwnedFd,
    opened: Stat,
    /// Where reading ends at the latest.
    end: u64,
    /// Bytes handed out, holes included.
    position: u64,
    /// Where the data that surrounds `position` is known to end.
    data_end: u64,
}

/// What comes next in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceRead {
    /// This many bytes at the front of the buffer; at least one.
    Data(usize),
    /// A hole of this many bytes; at least one.
    Hole(u64),
    /// Nothing more.
    End,
}

impl SourceFile {
    /// Takes an open regular file, whose state at this moment is `opened`.
    pub(super) fn new(file: OwnedFd, opened: Stat) -> Self {
        if opened.size >= SEQUENTIAL_BYTES {
            platform::announce_sequential(file.as_fd());
        }
        let end = if opened.size == 0 { UNSIZED_BYTES_MAX } else { opened.size };
        let data_end = if opened.may_have_holes() { 0 } else { end };
        Self { file, opened, end, position: 0, data_end }
    }

    /// The state when the file was opened.
    pub fn opened(&self) -> &Stat {
        &self.opened
    }

    /// The state now. What was read is one state of the file only if nothing that matters to the
    /// caller (size, time of modification or of change) differs from [`Self::opened`].
    pub fn stat(&self) -> Result<Stat> {
        platform::stat_open(self.file.as_fd()).map_err(|errno| unnamed("stat file", errno))
    }

    /// The next data or hole. Data is never more than `buffer` holds and ends at a hole.
    ///
    /// `buffer` must not be empty. A file that has become shorter ends early; that shows in
    /// [`Self::stat`].
    pub fn next(&mut self, buffer: &mut [u8]) -> Result<SourceRead> {
        if self.position >= self.end {
            return Ok(SourceRead::End);
        }
        if self.position >= self.data_end {
            let hole = self.find_data(buffer.len())?;
            if hole > 0 {
                self.position += hole;
                return Ok(SourceRead::Hole(hole));
            }
        }
        let end = self.data_end;
        Ok(match self.read_until(end, buffer)? {
            0 => SourceRead::End,
            bytes => SourceRead::Data(bytes),
        })
    }

    /// Goes on to `offset`, as if all before it had been read.
    pub fn move_to(&mut self, offset: u64) {
        self.position = self.position.max(offset);
    }

    /// Fills `buffer` as far as one call of the system does, zeros for holes; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.read_until(self.end, buffer)
    }

    /// Attributes of the file.
    pub fn attributes(&self, options: AttributeOptions) -> Result<Attributes> {
        attributes::read(Subject::Open(self.file.as_fd()), options)
    }

    fn read_until(&mut self, end: u64, buffer: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let bytes = retry_on_intr(|| rustix::io::pread(&self.file, &mut buffer[..wanted], self.position))
            .map_err(|errno| unnamed("read file", errno).with("offset", self.position))?;
        self.position += bytes as u64;
        Ok(bytes)
    }

    /// The length of the hole at `position`, 0 if there is data; learns where that data ends.
    ///
    /// Whatever the file system answers, each call makes progress: it finds a hole, or data of at
    /// least one byte (`least` when the answers contradict each other).
    fn find_data(&mut self, least: usize) -> Result<u64> {
        let (start, size) = (self.position, self.opened.size);
        let data = match platform::seek_data(self.file.as_fd(), start) {
            Ok(data) => data.clamp(start, size),
            // All hole from here on, or cut off here in the meantime.
            Err(Errno::NXIO) => size.min(self.stat()?.size).max(start),
            Err(_) => {
                self.data_end = size;
                return Ok(0);
            }
        };
        if data > start {
            self.data_end = data;
            return Ok(data - start);
        }
        let hole = platform::seek_hole(self.file.as_fd(), start).unwrap_or(size);
        let least = start.saturating_add(least as u64);
        self.data_end = if hole > start { hole } else { least }.min(size);
        Ok(0)
    }
}

#[cfg(test)]
mod tests;
