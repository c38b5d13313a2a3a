//! One key file that the user named, in place of the directory of key files.
//!
//! A key slot is known by the ids of its repository and of itself, which a directory
//! keeps as file names. A single file begins with a line that tells them:
//!
//! ```text
//! GABION KEY <repository id>.<key id>
//! ```
//! and the bytes of the slot follow.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::local_state::LocalState;

const MARK: &[u8] = b"GABION KEY ";
/// Bytes of the longest file that is read: far more than any key slot has.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A file that holds one key slot.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The file at `path`, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The name and bytes of the slot in the file, if there is one.
    fn read(&self) -> Result<Option<(String, Vec<u8>)>> {
        let failed = |error| Error::from_io("read key file", error).with("path", self.path.display());
        let invalid = || Error::new(ErrorKind::KeyInvalid, "read key file").with("path", self.path.display());
        let bytes = match fs::metadata(&self.path).map(|file| file.len()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(0) => return Ok(None),
            Ok(length) if length > FILE_BYTES_MAX => return Err(invalid()),
            Ok(_) => fs::read(&self.path).map_err(failed)?,
        };
        let rest = bytes.strip_prefix(MARK).ok_or_else(invalid)?;
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(invalid)?;
        let name = std::str::from_utf8(&rest[..end]).map_err(|_| invalid())?;
        Ok(Some((name.to_owned(), rest[end + 1..].to_vec())))
    }

    fn write(&self, name: &str, value: &[u8]) -> io::Result<()> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            fs::create_dir_all(parent)?;
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&self.path)?;
        file.write_all(&[MARK, name.as_bytes(), b"\n", value].concat())?;
        file.sync_all()
    }
}

impl LocalState for KeyFile {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.read()?.filter(|(found, _)| found == name).map(|(_, bytes)| bytes))
    }

    /// A file that exists is never overwritten: it may be the only key of something.
    fn put(&self, name: &str, value: &[u8]) -> Result<()> {
        if self.get(name)?.is_some_and(|there| there == value) {
            return Ok(());
        }
        self.write(name, value)
            .map_err(|error| Error::from_io("write key file", error).with("path", self.path.display()))
    }

    fn remove(&self, name: &str) -> Result<()> {
        if self.get(name)?.is_none() {
            return Ok(());
        }
        fs::remove_file(&self.path)
            .map_err(|error| Error::from_io("remove key file", error).with("path", self.path.display()))
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.read()?.map(|(name, _)| name).into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_one_slot_and_never_overwrites() {
        let place = tempfile::tempdir().unwrap();
        let file = KeyFile::new(place.path().join("new/key"));
        assert_eq!((file.list().unwrap(), file.get("a.b").unwrap()), (vec![], None));
        file.put("a.b", b"slot\n\0").unwrap();
        assert_eq!(file.list().unwrap(), ["a.b"]);
        assert_eq!((file.get("a.b").unwrap(), file.get("a.c").unwrap()), (Some(b"slot\n\0".to_vec()), None));
        file.put("a.b", b"slot\n\0").unwrap();
        assert_eq!(file.put("a.c", b"other").unwrap_err().kind(), ErrorKind::AlreadyExists);
        file.remove("a.c").unwrap();
        file.remove("a.b").unwrap();
        assert_eq!(file.list().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn other_files_are_no_keys() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        for content in ["something", "GABION KEY a.b"] {
            fs::write(&path, content).unwrap();
            assert_eq!(KeyFile::new(path.clone()).list().unwrap_err().kind(), ErrorKind::KeyInvalid, "{content}");
        }
    }
}
