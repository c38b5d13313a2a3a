//! The log of a repository: segment files of entries, replayed into a table of what is where.
//!
//! A segment file begins with `BORG_SEG`; an entry is `crc32 u32 | size u32 | tag u8`, then for a put the 32 bytes of
//! a name and the data, for a delete the name; all little-endian. The checksum covers all behind it. The last state
//! that counts is that of the highest segment whose last entry is a commit; later segments are a transaction that was
//! never finished.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Borg1Id, OBJECT_BYTES_MAX, damaged, hex};
use crate::backend::{ByteRange, ObjectName, Prefix, Store};
use crate::error::{Error, ErrorKind, Result, Retry};

const MAGIC: &[u8; 8] = b"BORG_SEG";
const ATTIC_MAGIC: &[u8; 8] = b"ATTICSEG";
/// Bytes of `crc32 | size | tag`.
const HEADER_BYTES: usize = 9;
const NAME_BYTES: usize = 32;
/// Bytes fetched at once while the log is replayed.
const WINDOW_BYTES: u64 = 1 << 20;
/// The whole of a commit.
const COMMIT: [u8; HEADER_BYTES] = [0x40, 0xf4, 0x3c, 0x25, 9, 0, 0, 0, 2];

/// Where the newest put of a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    segment: u32,
    offset: u32,
    /// Bytes of the whole entry.
    bytes: u32,
}

/// The replayed log.
#[derive(Debug)]
pub(super) struct Log {
    files: HashMap<u32, ObjectName>,
    places: HashMap<Borg1Id, Place>,
}

impl Log {
    /// Replays every segment up to the last committed one. Damage is added to `doubts`.
    pub fn replay(store: &Store, doubts: &mut Vec<Error>) -> Result<Self> {
        let mut segments: Vec<(u32, ObjectName, u64)> = Vec::new();
        for object in store.list(&Prefix::new("data")?)? {
            if let Ok(number) = object.name.last_part().parse() {
                segments.push((number, object.name, object.bytes));
            }
        }
        segments.sort_unstable_by_key(|(number, ..)| *number);
        while let Some((_, name, bytes)) = segments.last() {
            if ends_in_commit(store, name, *bytes)? {
                break;
            }
            segments.pop();
        }
        if segments.is_empty() {
            return Err(damaged("no committed transaction"));
        }
        let mut log = Self { files: HashMap::new(), places: HashMap::new() };
        for (number, name, bytes) in segments {
            log.replay_segment(store, number, &name, bytes, doubts).map_err(|error| error.with("object", &name))?;
            log.files.insert(number, name);
        }
        Ok(log)
    }

    fn replay_segment(
        &mut self,
        store: &Store,
        number: u32,
        name: &ObjectName,
        bytes: u64,
        doubts: &mut Vec<Error>,
    ) -> Result<()> {
        if bytes > u64::from(u32::MAX) {
            return Err(Error::new(ErrorKind::LimitExceeded, "read Borg segment").with("bytes", bytes));
        }
        let mut window = Window { store, name, length: bytes, start: 0, bytes: Bytes::new() };
        match window.at(0, MAGIC.len()) {
            Ok(magic) if magic == MAGIC => {}
            Ok(magic) if magic == ATTIC_MAGIC => {
                return Err(Error::new(ErrorKind::Unsupported, "read Borg segment").with("reason", "made by Attic"));
            }
            Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
            _ => doubts.push(damaged("segment does not begin with its magic").with("object", name)),
        }
        let mut offset = MAGIC.len() as u64;
        while offset < bytes {
            match window.entry(offset)? {
                Some(entry) => {
                    self.apply(number, offset, &entry);
                    offset += u64::from(entry.bytes);
                }
                None => {
                    doubts.push(damaged("segment has a damaged entry").with("object", name).with("offset", offset));
                    offset = window.next_whole_entry(offset + 1)?;
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, segment: u32, offset: u64, entry: &Entry) {
        match entry.what {
            What::Put(name) => {
                let place = Place { segment, offset: offset as u32, bytes: entry.bytes };
                self.places.insert(name, place);
            }
            What::Delete(name) => {
                self.places.remove(&name);
            }
            What::Commit => {}
        }
    }

    pub fn holds(&self, id: &Borg1Id) -> bool {
        self.places.contains_key(id)
    }

    /// Reads the newest data put under a name and compares it with its checksum.
    pub fn read(&self, store: &Store, id: &Borg1Id) -> Result<Bytes> {
        let missing = || Error::new(ErrorKind::NotFound, "read Borg object").with("borg object", hex(id));
        let place = self.places.get(id).ok_or_else(missing)?;
        let file = self.files.get(&place.segment).ok_or_else(missing)?;
        let range = ByteRange::Exact { offset: u64::from(place.offset), length: u64::from(place.bytes) };
        let bytes = store.get(file, range)?;
        let whole = bytes.len() == place.bytes as usize
            && is_whole(&bytes)
            && bytes.get(HEADER_BYTES..HEADER_BYTES + NAME_BYTES) == Some(id);
        if !whole {
            return Err(damaged("checksum differs").with("object", file).with("offset", place.offset));
        }
        Ok(bytes.slice(HEADER_BYTES + NAME_BYTES..))
    }
}

fn ends_in_commit(store: &Store, name: &ObjectName, bytes: u64) -> Result<bool> {
    let Some(offset) = bytes.checked_sub(COMMIT.len() as u64).filter(|offset| *offset >= MAGIC.len() as u64) else {
        return Ok(false);
    };
    let end = store.get(name, ByteRange::Exact { offset, length: COMMIT.len() as u64 })?;
    Ok(end.as_ref() == COMMIT)
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Put(Borg1Id),
    Delete(Borg1Id),
    Commit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    what: What,
    /// Bytes of the whole entry.
    bytes: u32,
}

/// The length an entry claims, if an entry can have it.
fn claimed_bytes(header: &[u8]) -> Option<u32> {
    let size = u32::from_le_bytes(header.get(4..8)?.try_into().ok()?);
    let named = HEADER_BYTES + NAME_BYTES;
    let fits = match header.get(8)? {
        0 => (named..=OBJECT_BYTES_MAX).contains(&(size as usize)),
        1 => size as usize == named,
        2 => size as usize == HEADER_BYTES,
        _ => false,
    };
    fits.then_some(size)
}

fn is_whole(entry: &[u8]) -> bool {
    let Some((crc, rest)) = entry.split_at_checked(4) else { return false };
    crc == crc32fast::hash(rest).to_le_bytes()
}

/// A part of a segment file that was fetched.
struct Window<'a> {
    store: &'a Store,
    name: &'a ObjectName,
    length: u64,
    start: u64,
    bytes: Bytes,
}

impl Window<'_> {
    /// So many bytes from `offset`; `Damaged` if the file ends before.
    fn at(&mut self, offset: u64, length: usize) -> Result<&[u8]> {
        let end = offset + length as u64;
        if end > self.length {
            return Err(damaged("segment ends in an entry"));
        }
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let length = WINDOW_BYTES.max(length as u64).min(self.length - offset);
            self.bytes = self.store.get(self.name, ByteRange::Exact { offset, length })?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        self.bytes.get(from..from + length).ok_or_else(|| damaged("segment is shorter than it was"))
    }

    /// The entry at `offset`, as far as its header goes: data is compared with its checksum when it is needed.
    fn entry(&mut self, offset: u64) -> Result<Option<Entry>> {
        let Some(header) = present(self.at(offset, HEADER_BYTES))? else { return Ok(None) };
        let Some(bytes) = claimed_bytes(header) else { return Ok(None) };
        let tag = header[8];
        if offset + u64::from(bytes) > self.length {
            return Ok(None);
        }
        let what = match tag {
            2 if present(self.at(offset, HEADER_BYTES))? == Some(&COMMIT) => What::Commit,
            2 => return Ok(None),
            _ => {
                let Some(named) = present(self.at(offset, HEADER_BYTES + NAME_BYTES))? else { return Ok(None) };
                let mut name = [0; NAME_BYTES];
                name.copy_from_slice(&named[HEADER_BYTES..]);
                if tag == 0 {
                    What::Put(name)
                } else if is_whole(named) {
                    What::Delete(name)
                } else {
                    return Ok(None);
                }
            }
        };
        Ok(Some(Entry { what, bytes }))
    }

    /// Where the next entry with a right checksum begins, or the end.
    fn next_whole_entry(&mut self, mut offset: u64) -> Result<u64> {
        while offset + HEADER_BYTES as u64 <= self.length {
            let claimed = present(self.at(offset, HEADER_BYTES))?.and_then(claimed_bytes);
            if let Some(bytes) = claimed
                && present(self.at(offset, bytes as usize))?.is_some_and(is_whole)
            {
                return Ok(offset);
            }
            offset += 1;
        }
        Ok(self.length)
    }
}

/// Damage is no bytes; other errors stay.
fn present(bytes: Result<&[u8]>) -> Result<Option<&[u8]>> {
    match bytes {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::Damaged && error.retry() == Retry::Permanent => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::{MemoryBackend, Payload};

    fn entry(tag: u8, name: Option<u8>, data: &[u8]) -> Vec<u8> {
        let mut rest = Vec::new();
        let size = HEADER_BYTES + name.map_or(0, |_| NAME_BYTES) + data.len();
        rest.extend_from_slice(&(size as u32).to_le_bytes());
        rest.push(tag);
        rest.extend(name.into_iter().flat_map(|name| [name; NAME_BYTES]));
        rest.extend_from_slice(data);
        [crc32fast::hash(&rest).to_le_bytes().to_vec(), rest].concat()
    }

    fn put(name: u8, data: &[u8]) -> Vec<u8> {
        entry(0, Some(name), data)
    }

    fn segment(entries: &[Vec<u8>]) -> Vec<u8> {
        [MAGIC.to_vec(), entries.concat()].concat()
    }

    fn store(segments: &[(u32, Vec<u8>)]) -> Store {
        let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
        for (number, bytes) in segments {
            let name = ObjectName::new(format!("data/0/{number}")).unwrap();
            store.put(&name, Payload::from(bytes.clone())).unwrap();
        }
        store
    }

    fn replay(store: &Store) -> (Log, Vec<String>) {
        let mut doubts = Vec::new();
        let log = Log::replay(store, &mut doubts).unwrap();
        (log, doubts.iter().map(|doubt| doubt.context("reason").unwrap().to_owned()).collect())
    }

    fn read(store: &Store, log: &Log, name: u8) -> Option<Vec<u8>> {
        log.read(store, &[name; 32]).ok().map(Into::into)
    }

    #[test]
    fn a_commit_is_what_borg_writes() {
        assert_eq!(entry(2, None, b""), COMMIT);
    }

    #[test]
    fn the_newest_committed_put_counts() {
        let store = store(&[
            (2, segment(&[put(1, b"newer"), entry(1, Some(2), b""), COMMIT.to_vec()])),
            (10, segment(&[put(4, b"last"), COMMIT.to_vec()])),
            (1, segment(&[put(1, b"old"), put(2, b"gone"), put(3, b"kept"), COMMIT.to_vec()])),
            (11, segment(&[put(1, b"never committed"), entry(1, Some(3), b"")])),
        ]);
        let (log, doubts) = replay(&store);
        assert_eq!(doubts, Vec::<String>::new());
        let found = [1, 2, 3, 4, 5].map(|name| read(&store, &log, name));
        let expected: [Option<&[u8]>; 5] = [Some(b"newer"), None, Some(b"kept"), Some(b"last"), None];
        assert_eq!(found, expected.map(|data| data.map(<[u8]>::to_vec)));
    }

    #[test]
    fn nothing_committed_is_damage() {
        for segments in [vec![], vec![(0, segment(&[put(1, b"x")]))], vec![(0, b"BORG".to_vec())]] {
            let error = Log::replay(&store(&segments), &mut Vec::new()).unwrap_err();
            assert_eq!(error.context("reason"), Some("no committed transaction"));
        }
        let attic = [ATTIC_MAGIC.to_vec(), COMMIT.to_vec()].concat();
        assert_eq!(Log::replay(&store(&[(0, attic)]), &mut Vec::new()).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn every_flipped_bit_is_noticed_and_the_rest_is_found() {
        let whole = segment(&[put(1, b"first"), put(2, &[7; 300]), put(3, b"third"), COMMIT.to_vec()]);
        let second = MAGIC.len() + put(1, b"first").len();
        let third = second + put(2, &[7; 300]).len();
        for bit in second * 8..third * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let store = store(&[(0, bytes)]);
            let (log, _) = replay(&store);
            assert_eq!(read(&store, &log, 1).as_deref(), Some(&b"first"[..]), "bit {bit}");
            assert_eq!(read(&store, &log, 2), None, "bit {bit}");
            // A length that is wrong but possible may swallow what follows, which then is missing, never wrong.
            let third = read(&store, &log, 3);
            assert!(third.as_deref().is_none_or(|data| data == b"third"), "bit {bit}");
        }
    }

    #[test]
    fn what_follows_garbage_is_found_again() {
        let garbage = vec![0xff; 5000];
        let store = store(&[(0, segment(&[put(1, b"first"), garbage, put(2, b"second"), COMMIT.to_vec()]))]);
        let (log, doubts) = replay(&store);
        assert_eq!(read(&store, &log, 2).as_deref(), Some(&b"second"[..]));
        assert_eq!(doubts, ["segment has a damaged entry"]);
    }
}
