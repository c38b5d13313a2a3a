//! The only voice of the engine: events, counters, and the wish to stop.
//!
//! Operations never print. They tell a [`Monitor`] what happened to a single item
//! and go on; only structural errors end an operation.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// What became of one item of the source or the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileStatus {
    /// A regular file that was not in the base archive.
    Added,
    /// A regular file that differs from the base archive.
    Modified,
    /// A regular file taken over from the base archive.
    Unchanged,
    /// A regular file that changed while it was read.
    Changed,
    /// Could not be processed.
    Error,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A further name of a file that was seen before.
    HardLink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
    /// A named pipe.
    Fifo,
    /// Content read from a stream.
    Stream,
    /// Left out by a pattern or an option; of a restore that removes what the archive does not have, what stays all the same.
    Excluded,
    /// Would be stored, in a dry run.
    Included,
    /// Written to the target, whatever it is.
    Extracted,
    /// Removed from the target, or would be in a dry run.
    Deleted,
}

/// Why an item is reported as a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Warning {
    /// The file changed while it was read; what was stored may mix two states.
    FileChanged,
    /// A pattern or path argument matched nothing.
    PatternNeverMatched,
    /// The item could not be read or written.
    Item,
    /// An attribute (owner, extended attribute, flag, time) could not be read or set.
    Attribute,
    /// Something about the repository that people should know.
    Repository,
    /// The repository lacks, or has twice, what this client or another one saw before.
    History,
}

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An item was handled.
    File {
        /// What became of it.
        status: FileStatus,
        /// Its path in the archive, raw bytes.
        path: &'a [u8],
    },
    /// Something went wrong with one item; the operation goes on.
    Warning {
        /// Why.
        warning: Warning,
        /// The path concerned, raw bytes; empty if none.
        path: &'a [u8],
        /// What happened.
        error: &'a Error,
    },
    /// A checkpoint was published: everything up to here survives a crash.
    Checkpoint,
}

/// Running totals, readable at any time from another thread.
#[derive(Debug, Default)]
pub struct Counters {
    /// Regular files handled.
    pub files: AtomicU64,
    /// Bytes of file content handled, holes included.
    pub bytes: AtomicU64,
    /// Plaintext bytes of new chunks.
    pub new_bytes: AtomicU64,
    /// Bytes of new chunks after compression.
    pub stored_bytes: AtomicU64,
    /// Files expected, if known (from the base archive); 0 if not.
    pub files_expected: AtomicU64,
    /// Bytes expected, if known; 0 if not.
    pub bytes_expected: AtomicU64,
}

impl Counters {
    /// Adds `amount` to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    /// Sets a counter.
    pub fn set(counter: &AtomicU64, amount: u64) {
        counter.store(amount, Ordering::Relaxed);
    }

    /// Sets all counters to zero: an operation begins again.
    pub fn reset(&self) {
        let Self { files, bytes, new_bytes, stored_bytes, files_expected, bytes_expected } = self;
        for counter in [files, bytes, new_bytes, stored_bytes, files_expected, bytes_expected] {
            Self::set(counter, 0);
        }
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// Listens to an operation.
pub trait Monitor: Send + Sync {
    /// Takes notice of an event. Called from worker threads too.
    fn event(&self, event: &Event<'_>);

    /// The totals the operation adds to.
    fn counters(&self) -> &Counters;

    /// Whether the operation shall stop at the next safe point.
    fn interrupted(&self) -> bool;

    /// `Interrupted` while doing `operation`, if it shall stop.
    fn stop_if_asked(&self, operation: &'static str) -> Result<()> {
        if self.interrupted() { Err(Error::new(ErrorKind::Interrupted, operation)) } else { Ok(()) }
    }
}

/// A monitor that only counts.
#[derive(Debug, Default)]
pub struct Silent {
    counters: Counters,
}

impl Silent {
    /// A new monitor with all counters at zero.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Monitor for Silent {
    fn event(&self, _event: &Event<'_>) {}

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn interrupted(&self) -> bool {
        false
    }
}
