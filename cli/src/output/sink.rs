//! Standard output, written in large pieces.

use std::io::{self, BufWriter, StdoutLock, Write};

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

/// Standard output. It must be flushed at the end, so that errors are not lost.
pub struct Sink {
    out: BufWriter<StdoutLock<'static>>,
    failed: Option<io::ErrorKind>,
}

impl Sink {
    /// Takes standard output until it is dropped.
    pub fn new() -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock()), failed: None }
    }

    /// What went wrong with writing, for callers whose errors went through somebody who only knows that they failed.
    pub fn failure(&self) -> Option<io::Error> {
        self.failed.map(io::Error::from)
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.failed = Some(error.kind());
        }
        result
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.note(flushed)
    }
}
