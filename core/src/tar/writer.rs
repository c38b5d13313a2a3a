//! Writes a stream of members.

use std::io::Write;

use super::header::{NAME_BYTES, OWNER_BYTES, encode, letter_of, octal_max, split};
use super::pax::Records;
use super::{BLOCK_BYTES, Kind, Member, padding, sparse};
use crate::error::{Error, ErrorKind, Result};

/// Blocks that are written at once by convention: the length of an archive is a multiple of them.
const RECORD_BLOCKS: u64 = 20;

/// Which dialect is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// POSIX.1-2001: keeps everything.
    #[default]
    Pax,
    /// GNU tar's own: no attributes, whole seconds.
    Gnu,
}

/// Writes members one after the other: [`TarWriter::member`], then its content by [`TarWriter::content`].
pub struct TarWriter<W> {
    output: W,
    format: Format,
    written: u64,
    /// Bytes of content still to come.
    owed: u64,
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    /// Writes to a stream.
    pub fn new(output: W, format: Format) -> Self {
        Self { output, format, written: 0, owed: 0, padding: 0 }
    }

    /// Begins a member. Of a regular file all content must follow, of a sparse one (see [`Member::data`]) only its data;
    /// sparse files are `Unsupported` in any format but PAX.
    pub fn member(&mut self, member: &Member) -> Result<()> {
        self.close_member()?;
        match self.format {
            Format::Pax => self.pax(member),
            Format::Gnu => self.gnu(member),
        }
    }

    /// The next bytes of the content of the member that was begun last. More than it has are `InvalidInput`.
    pub fn content(&mut self, bytes: &[u8]) -> Result<()> {
        self.owed = self.owed.checked_sub(bytes.len() as u64).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "write tar").with("reason", "more content than was announced")
        })?;
        self.put(bytes)
    }

    /// Bytes of content of the member that was begun last and that still must come.
    pub fn owed(&self) -> u64 {
        self.owed
    }

    /// Ends the archive and hands the stream back.
    pub fn finish(mut self) -> Result<W> {
        self.close_member()?;
        self.put(&[0; 2 * BLOCK_BYTES])?;
        let record = RECORD_BLOCKS * BLOCK_BYTES as u64;
        let rest = (record - self.written % record) % record;
        self.put(&vec![0; rest as usize])?;
        self.output.flush().map_err(|error| Error::from_io("write tar", error))?;
        Ok(self.output)
    }

    fn pax(&mut self, member: &Member) -> Result<()> {
        let mut records = Records::default();
        let mut plain = member.clone();
        let map = member.data.as_ref().map(|data| sparse::encode(data));
        let data = member.data.as_ref().map(|data| data.iter().map(|(_, length)| length).sum::<u64>());
        let stored = match (&map, data) {
            _ if member.kind != Kind::File => 0,
            (Some(map), Some(data)) => data + map.len() as u64,
            _ => member.size,
        };
        if map.is_some() {
            records.put(b"GNU.sparse.major", b"1");
            records.put(b"GNU.sparse.minor", b"0");
            records.put(b"GNU.sparse.name", &member.path);
            records.put(b"GNU.sparse.realsize", member.size.to_string().as_bytes());
            plain.path = b"GNUSparseFile.0/file".to_vec();
        } else if split(&member.path).is_none() || !member.path.is_ascii() {
            records.put(b"path", &member.path);
        }
        if member.target.len() > NAME_BYTES || !member.target.is_ascii() {
            records.put(b"linkpath", &member.target);
        }
        for (key, text) in [(&b"uname"[..], &member.user), (b"gname", &member.group)] {
            if text.len() > OWNER_BYTES || !text.is_ascii() {
                records.put(key, text);
            }
        }
        for (key, number, bytes) in [(&b"uid"[..], member.uid, 8), (b"gid", member.gid, 8), (b"size", stored, 12)] {
            if number > octal_max(bytes) {
                records.put(key, number.to_string().as_bytes());
            }
        }
        let (seconds, nanoseconds) = member.modified;
        if nanoseconds != 0 || !(0..=octal_max(12) as i64).contains(&seconds) {
            records.put_time(b"mtime", member.modified);
        }
        records.put_extensions(member);
        if !records.bytes().is_empty() {
            let mut header = Member::new(b"PaxHeaders/file".to_vec(), Kind::Other(b'x'));
            header.mode = 0o644;
            self.extension(&header, b'x', records.bytes(), false)?;
        }
        self.put(&encode(&plain, letter_of(member.kind), stored, false))?;
        (self.owed, self.padding) = (stored, padding(stored));
        map.map_or(Ok(()), |map| self.content(&map))
    }

    fn gnu(&mut self, member: &Member) -> Result<()> {
        if member.data.is_some() {
            let reason = "sparse files need the PAX format";
            return Err(Error::new(ErrorKind::Unsupported, "write tar").with("reason", reason));
        }
        let long = Member::new(b"././@LongLink".to_vec(), Kind::Other(b'L'));
        for (letter, text) in [(b'K', &member.target), (b'L', &member.path)] {
            if text.len() > NAME_BYTES {
                self.extension(&long, letter, &[&text[..], &[0]].concat(), true)?;
            }
        }
        let stored = if member.kind == Kind::File { member.size } else { 0 };
        self.put(&encode(member, letter_of(member.kind), stored, true))?;
        (self.owed, self.padding) = (stored, padding(stored));
        Ok(())
    }

    fn extension(&mut self, header: &Member, letter: u8, bytes: &[u8], gnu: bool) -> Result<()> {
        self.put(&encode(header, letter, bytes.len() as u64, gnu))?;
        self.put(bytes)?;
        self.put(&[0; BLOCK_BYTES][..padding(bytes.len() as u64)])
    }

    fn close_member(&mut self) -> Result<()> {
        if self.owed > 0 {
            let reason = "less content than was announced";
            return Err(Error::new(ErrorKind::InvalidInput, "write tar").with("reason", reason));
        }
        let padding = std::mem::take(&mut self.padding);
        self.put(&[0; BLOCK_BYTES][..padding])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.output.write_all(bytes).map_err(|error| Error::from_io("write tar", error))
    }
}

impl<W> std::fmt::Debug for TarWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TarWriter")
    }
}
