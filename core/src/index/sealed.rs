//! Index fragments as stored objects.
//!
//! ```text
//! 0   header   72 B  "GABO" | kind 4 u8 | version 1 u8 | suite u8 | flags 0 u8 | salt 32 | key commitment 32
//! 72  table          the section table, sealed: number 0
//!     info           number 1
//!     segments       number 2
//!     fence          number 3
//!     places         number 4
//!     keys           numbers 5, 6, ...: one per block
//!     padding        key stream, as many bytes as give the object a Padmé size
//!     tail     40 B  BLAKE3 of everything before 32 | bytes of the whole object u64
//! ```
//!
//! A sealed section is its ciphertext and a tag of 16 bytes; the plaintexts are
//! laid out in [`sections`](super::sections). The key comes from the keyring's index
//! key, the nonce is the section's number, and the tag also covers header 72 |
//! repository id 16 | kind u8 | full name `index/<level>.<id>` | section number u64.
//! So each section opens on its own, and none opens in the place of another, at
//! another level, under another name or in another repository. The padding is
//! BLAKE3 in its key derivation mode with context "gabion 1 index padding" over the
//! object's key: nobody can choose it, and a reader checks it.

use zeroize::Zeroize;

use crate::backend::ObjectName;
use crate::codec;
use crate::crypto::aead::{Cipher, TAG_BYTES};
use crate::crypto::key::{ObjectKey, Purpose};
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IndexId, SALT_BYTES};
use crate::limits::{INDEX_BYTES_MAX, RECORD_BYTES_MAX};
use crate::seal::{HEADER_BYTES, Header, Kind, MAGIC, Sealer, TAIL_BYTES, append_tail, strip_tail};

use super::fragment::{Fragment, fragment_name, parse_name};
use super::sections::{self, BLOCK_KEYS, Info, SectionTable, TABLE_BYTES};

/// Bytes at the start of a fragment that hold what [`Fragment::read_replaced`] needs.
pub const FRAGMENT_HEAD_BYTES: usize = HEADER_BYTES + TABLE_BYTES + RECORD_BYTES_MAX + 2 * TAG_BYTES;

const OPERATION: &str = "read index fragment";

impl Fragment {
    /// Seals the fragment as a new object and returns its id, its name and its bytes, which
    /// were opened again and compared.
    ///
    /// # Errors
    /// `KeyNotFound` without the index key, `LimitExceeded` for a fragment above the limits of the
    /// format, `System` without randomness, `Damaged` for a fragment that is not valid or an object
    /// that does not open to it.
    pub fn seal(&self, sealer: &Sealer<'_>) -> Result<(IndexId, ObjectName, Vec<u8>)> {
        self.seal_with_salt(sealer, random::salt()?)
    }

    /// Opens the object that was read under `name` and checks all of it.
    ///
    /// # Errors
    /// `InvalidInput` if this is no name of a fragment, `LimitExceeded` above the limits of the format,
    /// `Unsupported` for a later version or a critical extension, `KeyNotFound` without the
    /// index key, `Damaged` for anything else that is wrong.
    pub fn open(sealer: &Sealer<'_>, name: &ObjectName, bytes: &[u8]) -> Result<Self> {
        open_checked(sealer, name, bytes).map_err(|error| error.with("object", name))
    }

    /// Which fragments the one with this name replaces, from the first [`FRAGMENT_HEAD_BYTES`] of its
    /// object (or all of a shorter one): who has taken in all of them need not read the rest.
    ///
    /// # Errors
    /// As [`Fragment::open`]; the rest of the object is not looked at.
    pub fn read_replaced(sealer: &Sealer<'_>, name: &ObjectName, head: &[u8]) -> Result<Vec<IndexId>> {
        let info = Opened::begin(sealer, name, head).and_then(|mut opened| opened.info());
        info.map(|info| info.replaces).map_err(|error| error.with("object", name))
    }

    /// As [`Fragment::seal`] with a given draw: golden bytes need one, nobody else does.
    pub(crate) fn seal_with_salt(
        &self,
        sealer: &Sealer<'_>,
        salt: [u8; SALT_BYTES],
    ) -> Result<(IndexId, ObjectName, Vec<u8>)> {
        let id = IndexId::from_bytes(Kind::Index.id(&salt));
        let name = fragment_name(self.level, &id);
        let bytes = self.write(sealer, &name, salt)?;
        // bad memory ends here, not in the store
        if Self::open(sealer, &name, &bytes)? != *self {
            return Err(Error::damaged("seal index fragment", "it opens to another fragment"));
        }
        Ok((id, name, bytes))
    }

    /// The plaintext of all sections, one after the other: what [`Fragment::seal`] seals.
    ///
    /// # Errors
    /// `LimitExceeded` for a fragment above the limits of the format.
    pub fn encode(&self) -> Result<Vec<u8>> {
        Ok(self.sections()?.1.collect::<Vec<_>>().concat())
    }

    /// Reads what [`Fragment::encode`] wrote, and checks all of it but seals and padding. `level` is that of the name.
    ///
    /// # Errors
    /// As [`Fragment::open`].
    pub fn decode(level: u8, sections: &[u8]) -> Result<Self> {
        check_size(sections.len())?;
        let mut rest = sections;
        let mut take = |bytes: usize| {
            let (section, behind) = rest.split_at_checked(bytes).ok_or_else(truncated)?;
            rest = behind;
            Ok(section.to_vec())
        };
        let table = SectionTable::decode(&take(TABLE_BYTES)?)?;
        if table.section_bytes().sum::<usize>() != sections.len() {
            return Err(Error::damaged(OPERATION, "length"));
        }
        let info = decode_info(level, &table, &take(table.info_bytes)?)?;
        decode_sections(level, info, &table, &mut take)
    }

    /// The section table, and the plaintext of all sections, that table first.
    fn sections(&self) -> Result<(SectionTable, impl Iterator<Item = Vec<u8>>)> {
        let info = codec::encode(
            &Info {
                level: self.level,
                replaces: self.replaces.clone(),
                segments: self.segments.len() as u32,
                keys: self.keys.len() as u32,
                extensions: self.extensions.clone(),
            },
            RECORD_BYTES_MAX,
        )?;
        let (rows, places) = sections::encode_segments(&self.segments);
        let table = SectionTable {
            info_bytes: info.len(),
            segments: self.segments.len(),
            places_bytes: places.len(),
            keys: self.keys.len(),
        };
        table.check()?;
        let first = [table.encode().to_vec(), info, rows, sections::encode_fence(&self.keys), places];
        let blocks = self.keys.chunks(BLOCK_KEYS).map(sections::encode_block);
        Ok((table, first.into_iter().chain(blocks)))
    }

    fn write(&self, sealer: &Sealer<'_>, name: &ObjectName, salt: [u8; SALT_BYTES]) -> Result<Vec<u8>> {
        let (table, sections) = self.sections()?;
        let total = table.stored_bytes();
        check_size(total)?;
        assemble(sealer, name, salt, total, sections)
    }
}

/// The object of `total` bytes that holds these sections.
fn assemble(
    sealer: &Sealer<'_>,
    name: &ObjectName,
    salt: [u8; SALT_BYTES],
    total: usize,
    plain: impl Iterator<Item = Vec<u8>>,
) -> Result<Vec<u8>> {
    let mut header = Header::new(MAGIC, Kind::Index.into(), sealer.suite(), 0, salt);
    let purpose_key = sealer.keyring().get(Purpose::Index)?;
    let key = header.commit(Kind::Index.context(), purpose_key, sealer.repository());
    let mut bytes = Vec::with_capacity(total);
    bytes.extend_from_slice(&header.bytes());
    let mut sections = Numbered::new(sealer, &header, name, &key);
    for section in plain {
        sections.seal(&section, &mut bytes)?;
    }
    let padding = total.saturating_sub(bytes.len() + TAIL_BYTES);
    bytes.extend_from_slice(&key_stream(&key, padding));
    append_tail(&mut bytes);
    Ok(bytes)
}

/// Seals and opens the sections of one object one after the other.
struct Numbered {
    cipher: Cipher,
    additional_data: Vec<u8>,
    /// Bytes of the additional data before the number.
    fixed_bytes: usize,
    number: u64,
}

impl Numbered {
    fn new(sealer: &Sealer<'_>, header: &Header, name: &ObjectName, key: &ObjectKey) -> Self {
        let additional_data = header.additional_data(sealer.repository(), Kind::Index, name.as_str());
        let fixed_bytes = additional_data.len();
        Self { cipher: key.cipher(header.suite), additional_data, fixed_bytes, number: 0 }
    }

    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(plain);
        let number = self.next();
        let tag = self.cipher.seal(number, &self.additional_data, &mut out[start..])?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens the section of `bytes` plaintext bytes at the start of `rest`, and moves `rest` behind it.
    fn open(&mut self, bytes: usize, rest: &mut &[u8]) -> Result<Vec<u8>> {
        let (sealed, behind) = rest.split_at_checked(bytes).ok_or_else(truncated)?;
        let (tag, behind) = behind.split_at_checked(TAG_BYTES).ok_or_else(truncated)?;
        *rest = behind;
        let mut plain = sealed.to_vec();
        let number = self.next();
        self.cipher.open(number, &self.additional_data, &mut plain, tag)?;
        Ok(plain)
    }

    fn next(&mut self) -> u64 {
        let number = self.number;
        self.additional_data.truncate(self.fixed_bytes);
        self.additional_data.extend_from_slice(&number.to_le_bytes());
        self.number += 1;
        number
    }
}

/// A fragment whose header is checked and whose section table is open.
struct Opened<'a> {
    level: u8,
    key: ObjectKey,
    table: SectionTable,
    sections: Numbered,
    /// What follows the table.
    rest: &'a [u8],
}

impl<'a> Opened<'a> {
    fn begin(sealer: &Sealer<'_>, name: &ObjectName, content: &'a [u8]) -> Result<Self> {
        let (level, id) = parse_name(name)?;
        let header = Header::parse(content, MAGIC)?;
        for (right, what) in [
            (header.kind == u8::from(Kind::Index), "kind"),
            (header.flags == 0, "flags"),
            (Kind::Index.id(&header.salt) == *id.as_bytes(), "salt does not give this name"),
        ] {
            if !right {
                return Err(Error::damaged(OPERATION, what));
            }
        }
        let purpose_key = sealer.keyring().get(Purpose::Index)?;
        let key = header.committed_key(Kind::Index.context(), purpose_key, sealer.repository());
        let key = key.ok_or_else(|| Error::damaged(OPERATION, "sealed with another key"))?;
        let mut sections = Numbered::new(sealer, &header, name, &key);
        let mut rest = content.get(HEADER_BYTES..).unwrap_or_default();
        let table = SectionTable::decode(&sections.open(TABLE_BYTES, &mut rest)?)?;
        Ok(Self { level, key, table, sections, rest })
    }

    fn info(&mut self) -> Result<Info> {
        decode_info(self.level, &self.table, &self.sections.open(self.table.info_bytes, &mut self.rest)?)
    }
}

fn open_checked(sealer: &Sealer<'_>, name: &ObjectName, bytes: &[u8]) -> Result<Fragment> {
    check_size(bytes.len())?;
    let mut opened = Opened::begin(sealer, name, strip_tail(bytes)?)?;
    // from here on all counts are those of the bytes at hand
    if opened.table.stored_bytes() != bytes.len() {
        return Err(Error::damaged(OPERATION, "length"));
    }
    let info = opened.info()?;
    let Opened { level, key, table, mut sections, mut rest } = opened;
    let fragment = decode_sections(level, info, &table, &mut |bytes| sections.open(bytes, &mut rest))?;
    if rest != key_stream(&key, rest.len()) {
        return Err(Error::damaged(OPERATION, "padding"));
    }
    Ok(fragment)
}

fn truncated() -> Error {
    Error::damaged(OPERATION, "truncated")
}

fn decode_info(level: u8, table: &SectionTable, plain: &[u8]) -> Result<Info> {
    let info: Info = codec::decode(plain, RECORD_BYTES_MAX)?;
    info.check(level, table)?;
    Ok(info)
}

/// What the sections behind the info say; `take` gives the next one of so many bytes.
fn decode_sections(
    level: u8,
    info: Info,
    table: &SectionTable,
    take: &mut dyn FnMut(usize) -> Result<Vec<u8>>,
) -> Result<Fragment> {
    let mut lengths = table.section_bytes().skip(2);
    let mut open = || lengths.next().map(&mut *take).transpose();
    let mut section = || open()?.ok_or_else(truncated);
    let (rows, fence, places) = (section()?, section()?, section()?);
    let segments = sections::decode_segments(&rows, &places, table.keys)?;
    let mut keys = Vec::with_capacity(table.keys);
    while let Some(block) = open()? {
        sections::decode_block(&block, &mut keys)?;
    }
    sections::check_keys(&keys, &segments)?;
    if sections::encode_fence(&keys) != fence {
        return Err(Error::damaged(OPERATION, "fence"));
    }
    Ok(Fragment { level, replaces: info.replaces, segments, keys, extensions: info.extensions })
}

fn check_size(bytes: usize) -> Result<()> {
    if bytes > INDEX_BYTES_MAX {
        let error = Error::new(ErrorKind::LimitExceeded, "check size of index fragment");
        return Err(error.with("bytes", bytes).with("limit", INDEX_BYTES_MAX));
    }
    Ok(())
}

fn key_stream(key: &ObjectKey, bytes: usize) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key("gabion 1 index padding");
    hasher.update(key.key.expose());
    let mut output = hasher.finalize_xof();
    let mut stream = vec![0; bytes];
    output.fill(&mut stream);
    output.zeroize();
    hasher.zeroize();
    stream
}

#[cfg(test)]
mod tests;
