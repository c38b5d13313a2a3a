//! Content that comes from a stream: standard input, the output of a command, a device.

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::archive::metadata::Metadata;
use crate::chunker::{Input, Read};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::open::{SourceFile, SourceRead};
use crate::fs::stat::Stat;

/// A stream that is archived as one file, where the plan says.
pub struct Stream<'a> {
    /// The metadata of the file.
    pub metadata: Metadata,
    /// Where its content comes from.
    pub input: Box<dyn Input + 'a>,
}

/// A stream that several archives made [`together`](super::together) take turns at. After an error nobody gets any more.
#[derive(Debug)]
pub struct InTurns<I>(Mutex<Option<I>>);

impl<I: Input> InTurns<I> {
    /// Each archive reads `&InTurns`.
    pub fn new(input: I) -> Self {
        Self(Mutex::new(Some(input)))
    }
}

impl<I: Input> Input for &InTurns<I> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        let mut input = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let broken = || Error::new(ErrorKind::Io, "read stream").with("reason", "it broke off");
        let read = input.as_mut().ok_or_else(broken)?.read(buffer);
        if read.is_err() {
            *input = None;
        }
        read
    }
}

/// An open device or pipe.
pub(super) struct Special {
    pub stat: Stat,
    pub input: InTurns<FromRead<Box<dyn io::Read + Send>>>,
}

impl Special {
    pub fn new((file, stat): (impl io::Read + Send + 'static, Stat)) -> Self {
        Self { stat, input: InTurns::new(FromRead(Box::new(file))) }
    }
}

/// Reads any [`io::Read`].
#[derive(Debug)]
pub struct FromRead<R>(pub R);

impl<R: io::Read> Input for FromRead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        loop {
            match self.0.read(buffer) {
                Ok(0) => return Ok(Read::End),
                Ok(bytes) => return Ok(Read::Data(bytes)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from_io("read stream", error)),
            }
        }
    }
}

impl Input for SourceFile {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        Ok(match self.next(buffer)? {
            SourceRead::Data(bytes) => Read::Data(bytes),
            SourceRead::Hole(bytes) => Read::Hole(bytes),
            SourceRead::End => Read::End,
        })
    }

    fn move_to(&mut self, offset: u64) {
        Self::move_to(self, offset);
    }
}
