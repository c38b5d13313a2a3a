//! Content that comes from a stream: standard input, the output of a command, a device.

use std::io;

use crate::archive::metadata::Metadata;
use crate::chunker::{Input, Read};
use crate::error::{Error, Result};
use crate::fs::open::{SourceFile, SourceRead};

/// A stream that is archived as one file, where the plan says.
pub struct Stream<'a> {
    /// The metadata of the file.
    pub metadata: Metadata,
    /// Where its content comes from.
    pub input: Box<dyn Input + 'a>,
}

/// Reads any [`io::Read`].
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
}
