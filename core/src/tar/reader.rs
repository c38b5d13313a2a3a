//! Reads a stream of members.

use std::io::{ErrorKind as Io, Read};

use super::header::{Block, Header, kind_of};
use super::pax::Parsed;
use super::sparse;
use super::{BLOCK_BYTES, EXTENSION_BYTES_MAX, Kind, Member, invalid, padding};
use crate::error::{Error, Result};

/// Reads members one after the other: [`TarReader::next_member`], then its content by [`TarReader::read`] as far as
/// it is wanted.
pub struct TarReader<R> {
    input: R,
    ignore_zeros: bool,
    global: Parsed,
    content: Content,
    started: bool,
}

/// The content of the member that was read last.
#[derive(Debug, Default)]
struct Content {
    /// Data and holes that are left, the last first.
    pieces: Vec<Stretch>,
    /// Bytes left in the stream, without padding.
    stored: u64,
    padding: usize,
}

#[derive(Clone, Copy, Debug)]
enum Stretch {
    Data(u64),
    Hole(u64),
}

/// A part of a member's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes, one at least, at the start of the buffer.
    Data(usize),
    /// So many zeros.
    Hole(u64),
    /// Nothing more.
    End,
}

impl<R: Read> TarReader<R> {
    /// Reads from a stream. With `ignore_zeros` it is not over where blocks of zeros are: archives that were joined
    /// are read on.
    pub fn new(input: R, ignore_zeros: bool) -> Self {
        Self { input, ignore_zeros, global: Parsed::default(), content: Content::default(), started: false }
    }

    /// The next member, or `None` at the end.
    ///
    /// # Errors
    /// `InvalidInput` with the fact `reason` if the stream is no tar archive, ends too early, or makes no sense.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        self.pass_over()?;
        let mut records = Parsed::default();
        let (mut long_name, mut long_target) = (None, None);
        // Whether something was said of a member that is still to come.
        let mut dangling = false;
        loop {
            let Some(header) = self.header()? else {
                return if dangling { Err(invalid("ends after a header")) } else { Ok(None) };
            };
            dangling |= header.letter != b'g';
            match header.letter {
                b'L' => long_name = Some(self.text(header.stored)?),
                b'K' => long_target = Some(self.text(header.stored)?),
                b'x' | b'X' => records.read(&self.extension(header.stored)?)?,
                b'g' => {
                    let bytes = self.extension(header.stored)?;
                    self.global.read(&bytes)?;
                }
                _ => {
                    let mut member = header.member.clone();
                    if let Some(name) = long_name {
                        member.path = name;
                    }
                    if let Some(target) = long_target {
                        member.target = target;
                    }
                    return self.member(header, member, &records).map(Some);
                }
            }
        }
    }

    /// The next part of the content of the member that was read last.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Piece> {
        match self.content.pieces.pop() {
            None => Ok(Piece::End),
            Some(Stretch::Hole(bytes)) => Ok(Piece::Hole(bytes)),
            Some(Stretch::Data(bytes)) => {
                let wanted = usize::try_from(bytes).unwrap_or(usize::MAX).min(buffer.len());
                let read = self.read_some(&mut buffer[..wanted])?;
                self.content.stored -= read as u64;
                if bytes > read as u64 {
                    self.content.pieces.push(Stretch::Data(bytes - read as u64));
                }
                Ok(Piece::Data(read))
            }
        }
    }

    /// Reads what is behind the end of the archive, until the stream ends.
    pub fn read_to_end(&mut self) -> Result<()> {
        self.pass_over()?;
        std::io::copy(&mut self.input, &mut std::io::sink()).map_err(|error| Error::from_io("read tar", error))?;
        Ok(())
    }

    fn member(&mut self, header: Header, mut member: Member, records: &Parsed) -> Result<Member> {
        let mut stored = header.stored;
        if let Some(size) = records.stored(&self.global)?.filter(|_| !matches!(header.letter, b'1'..=b'6')) {
            stored = size;
        }
        member.size = stored;
        records.apply(&self.global, &mut member)?;
        // A path that is cut may end with a slash where the whole one does not.
        member.kind = kind_of(header.letter, &member.path);
        self.content = Content { pieces: Vec::new(), stored, padding: padding(stored) };
        let mut data = None;
        if header.letter == b'S' {
            let (stretches, size) = sparse::old(&header.block, &mut || self.block_of_content())?;
            (data, member.size) = (Some(stretches), size);
        } else if records.sparse(&self.global).is_sparse && member.kind == Kind::File {
            let stretches = if records.sparse(&self.global).in_data {
                let (stretches, bytes) = sparse::in_data(&mut || self.block_of_content())?;
                stored = stored.checked_sub(bytes).ok_or_else(|| invalid("a map of a sparse file makes no sense"))?;
                self.content.stored = stored;
                stretches
            } else {
                sparse::of_records(&records.sparse(&self.global).numbers)
            };
            let size = records.sparse(&self.global).real_size;
            member.size = size.ok_or_else(|| invalid("a sparse file without its size"))?;
            data = Some(stretches);
        }
        self.content.pieces = match &mut data {
            None if stored == 0 => Vec::new(),
            None => vec![Stretch::Data(stored)],
            Some(stretches) => {
                sparse::check(stretches, member.size, stored)?;
                pieces(stretches, member.size)
            }
        };
        member.data = data;
        Ok(member)
    }

    /// A block that comes before the content of a member, or at its beginning.
    fn block_of_content(&mut self) -> Result<Block> {
        let mut block = [0; BLOCK_BYTES];
        self.fill(&mut block)?;
        Ok(block)
    }

    /// The next header, or `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>> {
        loop {
            let mut block = [0; BLOCK_BYTES];
            let mut filled = 0;
            while filled < BLOCK_BYTES {
                match self.input.read(&mut block[filled..]) {
                    Ok(0) if filled == 0 && self.started => return Ok(None),
                    Ok(0) if filled == 0 => return Err(invalid("the stream is empty")),
                    Ok(0) => return Err(truncated()),
                    Ok(bytes) => filled += bytes,
                    Err(error) if error.kind() == Io::Interrupted => {}
                    Err(error) => return Err(Error::from_io("read tar", error)),
                }
            }
            self.started = true;
            if block.iter().any(|byte| *byte != 0) {
                return Header::parse(&block).map(Some);
            }
            if !self.ignore_zeros {
                return Ok(None);
            }
        }
    }

    /// The bytes of an extended header.
    fn extension(&mut self, stored: u64) -> Result<Vec<u8>> {
        let bytes = usize::try_from(stored).ok().filter(|bytes| *bytes <= EXTENSION_BYTES_MAX);
        let bytes = bytes.ok_or_else(|| invalid("an extended header is too long").with("bytes", stored))?;
        // As it comes, and not as it is said: a short stream shall not cost much memory.
        let mut content = Vec::new();
        (&mut self.input)
            .take(bytes as u64)
            .read_to_end(&mut content)
            .map_err(|error| Error::from_io("read tar", error))?;
        if content.len() < bytes {
            return Err(truncated());
        }
        self.fill(&mut [0; BLOCK_BYTES][..padding(stored)])?;
        Ok(content)
    }

    /// A long name: up to the first NUL.
    fn text(&mut self, stored: u64) -> Result<Vec<u8>> {
        let mut bytes = self.extension(stored)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        Ok(bytes)
    }

    /// Goes behind the content of the member that was read last.
    fn pass_over(&mut self) -> Result<()> {
        let content = std::mem::take(&mut self.content);
        let mut left = content.stored;
        let mut buffer = vec![0; if left > 0 { 64 << 10 } else { 0 }];
        while left > 0 {
            let wanted = left.min(buffer.len() as u64) as usize;
            left -= self.read_some(&mut buffer[..wanted])? as u64;
        }
        self.fill(&mut [0; BLOCK_BYTES][..content.padding])
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.input.read(buffer) {
                Ok(0) => return Err(truncated()),
                Ok(bytes) => return Ok(bytes),
                Err(error) if error.kind() == Io::Interrupted => {}
                Err(error) => return Err(Error::from_io("read tar", error)),
            }
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            filled += self.read_some(&mut buffer[filled..])?;
        }
        Ok(())
    }
}

impl<R> std::fmt::Debug for TarReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TarReader")
    }
}

fn truncated() -> Error {
    invalid("the stream ends too early")
}

/// Data and holes of a sparse file, the last first.
fn pieces(stretches: &[(u64, u64)], size: u64) -> Vec<Stretch> {
    let mut pieces = Vec::new();
    let mut position = 0;
    for (start, length) in stretches {
        if *start > position {
            pieces.push(Stretch::Hole(start - position));
        }
        pieces.push(Stretch::Data(*length));
        position = start + length;
    }
    if size > position {
        pieces.push(Stretch::Hole(size - position));
    }
    pieces.reverse();
    pieces
}
