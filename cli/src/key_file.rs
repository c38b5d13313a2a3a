//! One key file that the user named, in place of the directory of key files.
//!
//! A key slot is known by the ids of its repository and of itself, which a directory
//! keeps as file names. In a single file each slot has a line before it that tells them:
//!
//! ```text
//! GABION KEY <repository id>.<key id> <bytes of the slot>
//! ```
//! and the bytes of the slot follow, then the next line. Most files hold one slot; while a passphrase is changed there
//! are two. Without the number of bytes the slot goes to the end of the file.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use gabion_core::error::{Error, ErrorKind, LOCAL_PATH, Result};
use gabion_core::local_state::LocalState;

const MARK: &[u8] = b"GABION KEY ";
/// Bytes of the longest file that is read: far more than any key slot has.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A file that holds key slots.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The file at `path`, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The names and bytes of the slots in the file.
    fn read(&self) -> Result<Slots> {
        let failed = |error| Error::from_io("read key file", error).with(LOCAL_PATH, self.path.display());
        let invalid = || Error::new(ErrorKind::KeyInvalid, "read key file").with("path", self.path.display());
        let bytes = match fs::metadata(&self.path).map(|file| file.len()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Slots::new()),
            Err(error) => return Err(failed(error)),
            Ok(length) if length > FILE_BYTES_MAX => return Err(invalid()),
            Ok(_) => fs::read(&self.path).map_err(failed)?,
        };
        parse(&bytes).ok_or_else(invalid)
    }

    /// Replaces the file in one step, so that at no moment a slot is missing.
    fn write(&self, slots: &Slots) -> io::Result<()> {
        // A symbolic link stays one.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent)?;
        let mut name = OsString::from(".");
        name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        name.push(format!(".{}", std::process::id()));
        let temporary = parent.join(name);
        let written = write_new(&temporary, slots).and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            // What was there is there still.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        fs::File::open(parent)?.sync_all()
    }
}

/// Slots by name, in the order of the file.
type Slots = Vec<(String, Vec<u8>)>;

fn write_new(path: &Path, slots: &Slots) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    for (name, slot) in slots {
        file.write_all(&[MARK, format!("{name} {}\n", slot.len()).as_bytes(), slot].concat())?;
    }
    file.sync_all()
}

fn parse(mut bytes: &[u8]) -> Option<Slots> {
    let mut slots = Slots::new();
    while !bytes.is_empty() {
        let rest = bytes.strip_prefix(MARK)?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = std::str::from_utf8(&rest[..end]).ok()?;
        let rest = &rest[end + 1..];
        let (name, length) = match line.split_once(' ') {
            Some((name, length)) => (name, length.parse().ok()?),
            None => (line, rest.len()),
        };
        let (slot, next) = rest.split_at_checked(length)?;
        slots.push((name.to_owned(), slot.to_vec()));
        bytes = next;
    }
    Some(slots)
}

impl LocalState for KeyFile {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.read()?.into_iter().find(|(found, _)| found == name).map(|(_, bytes)| bytes))
    }

    /// What is in the file stays: it may be the only key of something. A file that is no key file is not touched.
    fn put(&self, name: &str, value: &[u8]) -> Result<()> {
        let mut slots = self.read()?;
        if slots.iter().any(|(found, bytes)| found == name && bytes == value) {
            return Ok(());
        }
        slots.retain(|(found, _)| found != name);
        slots.push((name.to_owned(), value.to_vec()));
        self.write(&slots)
            .map_err(|error| Error::from_io("write key file", error).with(LOCAL_PATH, self.path.display()))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut slots = self.read()?;
        let count = slots.len();
        slots.retain(|(found, _)| found != name);
        if slots.len() == count {
            return Ok(());
        }
        let done = if slots.is_empty() { fs::remove_file(&self.path) } else { self.write(&slots) };
        done.map_err(|error| Error::from_io("remove key file", error).with(LOCAL_PATH, self.path.display()))
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.read()?.into_iter().map(|(name, _)| name).collect())
    }
}

/// No key files, for want of a place.
#[derive(Debug)]
pub struct NoKeyFiles {
    /// Why there is no place.
    pub reason: String,
}

impl LocalState for NoKeyFiles {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn put(&self, _: &str, _: &[u8]) -> Result<()> {
        Err(Error::new(ErrorKind::InvalidInput, "write key file").with("reason", &self.reason))
    }

    fn remove(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_slots_and_loses_none() {
        let place = tempfile::tempdir().unwrap();
        let file = KeyFile::new(place.path().join("new/key"));
        assert_eq!((file.list().unwrap(), file.get("a.b").unwrap()), (vec![], None));
        file.put("a.b", b"slot\n\0").unwrap();
        assert_eq!(file.list().unwrap(), ["a.b"]);
        assert_eq!((file.get("a.b").unwrap(), file.get("a.c").unwrap()), (Some(b"slot\n\0".to_vec()), None));
        file.put("a.b", b"slot\n\0").unwrap();
        file.put("a.c", b"other").unwrap();
        assert_eq!(file.list().unwrap(), ["a.b", "a.c"]);
        assert_eq!(
            (file.get("a.b").unwrap().unwrap(), file.get("a.c").unwrap().unwrap()),
            (b"slot\n\0".to_vec(), b"other".to_vec())
        );
        file.remove("a.d").unwrap();
        file.remove("a.b").unwrap();
        assert_eq!(
            (file.list().unwrap(), file.get("a.c").unwrap().unwrap()),
            (vec!["a.c".to_owned()], b"other".to_vec())
        );
        file.remove("a.c").unwrap();
        assert_eq!(file.list().unwrap(), Vec::<String>::new());
        assert_eq!(fs::read_dir(place.path().join("new")).unwrap().count(), 0);
    }

    #[test]
    fn a_slot_without_a_length_goes_to_the_end() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        fs::write(&path, b"GABION KEY a.b\nslot\nGABION KEY").unwrap();
        let file = KeyFile::new(path);
        assert_eq!(file.get("a.b").unwrap().unwrap(), b"slot\nGABION KEY");
        file.put("a.c", b"2").unwrap();
        assert_eq!(file.get("a.b").unwrap().unwrap(), b"slot\nGABION KEY");
    }

    #[test]
    fn other_files_are_no_keys() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        for content in ["something", "GABION KEY a.b", "GABION KEY a.b 9\nslot", "GABION KEY a.b 2\nslot"] {
            fs::write(&path, content).unwrap();
            assert_eq!(KeyFile::new(path.clone()).list().unwrap_err().kind(), ErrorKind::KeyInvalid, "{content}");
            KeyFile::new(path.clone()).put("a.c", b"x").unwrap_err();
            assert_eq!(fs::read(&path).unwrap(), content.as_bytes());
        }
    }
}
