//! What a client remembers between runs, in a place the embedder chooses.
//!
//! Nothing kept here is needed to read a repository; all of it may be deleted.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::io::ErrorKind as Io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, LOCAL_PATH, Result};

/// Makes a new value of an old one, if there is one.
pub type Change<'a> = dyn FnMut(Option<&[u8]>) -> Result<Vec<u8>> + 'a;

/// A small map from names (`[a-z0-9.-]+`) to bytes.
pub trait LocalState: Debug + Send + Sync {
    /// The value of `name`, if there is one.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>>;
    /// Sets the value of `name`, atomically.
    fn put(&self, name: &str, value: &[u8]) -> Result<()>;
    /// Sets the value of `name` to what `change` makes of the one it has. Nobody else sets it meanwhile, where the
    /// state can say so; this default can not.
    fn update(&self, name: &str, change: &mut Change<'_>) -> Result<()> {
        let value = change(self.get(name)?.as_deref())?;
        self.put(name, &value)
    }
    /// Forgets `name`; a missing one is fine.
    fn remove(&self, name: &str) -> Result<()>;
    /// All names, sorted.
    fn list(&self) -> Result<Vec<String>>;
}

fn check_name(name: &str) -> Result<()> {
    let plain = name.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
    if plain && !name.is_empty() && !name.starts_with('.') && name.len() <= 128 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, "name local state").with("name", name.escape_debug()))
}

/// Remembers for the life of the value only.
#[derive(Debug, Default)]
pub struct MemoryState(Mutex<BTreeMap<String, Vec<u8>>>);

impl LocalState for MemoryState {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        check_name(name)?;
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }

    fn put(&self, name: &str, value: &[u8]) -> Result<()> {
        check_name(name)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    fn update(&self, name: &str, change: &mut Change<'_>) -> Result<()> {
        check_name(name)?;
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value = change(values.get(name).map(Vec::as_slice))?;
        values.insert(name.to_owned(), value);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect())
    }
}

static TEMPORARIES: AtomicU64 = AtomicU64::new(0);

/// Remembers in a directory, one file per name. The directory is made when the first value is put.
#[derive(Debug)]
pub struct DirectoryState {
    directory: PathBuf,
}

impl DirectoryState {
    /// State kept in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }
}

impl LocalState for DirectoryState {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        check_name(name)?;
        match fs::read(self.directory.join(name)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            Err(error) => {
                Err(Error::from_io("read local state", error).with(LOCAL_PATH, self.directory.join(name).display()))
            }
        }
    }

    fn put(&self, name: &str, value: &[u8]) -> Result<()> {
        check_name(name)?;
        let failed =
            |error| Error::from_io("write local state", error).with(LOCAL_PATH, self.directory.join(name).display());
        fs::create_dir_all(&self.directory).map_err(failed)?;
        // No other thread and no other process writes there.
        let number = TEMPORARIES.fetch_add(1, Ordering::Relaxed);
        let temporary = self.directory.join(format!(".{name}.{}.{number}", std::process::id()));
        let written = fs::write(&temporary, value).and_then(|()| fs::rename(&temporary, self.directory.join(name)));
        written.map_err(|error| {
            // On a full disk the rest of it would stay for ever.
            let _ = fs::remove_file(&temporary);
            failed(error)
        })
    }

    /// One process after the other, by a lock on a file beside the values. Where there are no locks it goes without.
    fn update(&self, name: &str, change: &mut Change<'_>) -> Result<()> {
        let failed =
            |error| Error::from_io("write local state", error).with(LOCAL_PATH, self.directory.join(name).display());
        fs::create_dir_all(&self.directory).map_err(failed)?;
        let guard = fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.directory.join(".lock"));
        let guard = guard.map_err(failed)?;
        // Unlocked when `guard` is closed, at the end of the process at the latest.
        let _ = guard.lock();
        let value = change(self.get(name)?.as_deref())?;
        self.put(name, &value)
    }

    fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        match fs::remove_file(self.directory.join(name)) {
            Err(error) if error.kind() != Io::NotFound => {
                Err(Error::from_io("remove local state", error).with(LOCAL_PATH, self.directory.join(name).display()))
            }
            _ => Ok(()),
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        let failed = |error| Error::from_io("list local state", error).with(LOCAL_PATH, self.directory.display());
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == Io::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().into_string().ok().filter(|name| check_name(name).is_ok()));
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembers(state: &dyn LocalState) {
        assert_eq!(state.get("a").unwrap(), None);
        assert!(state.list().unwrap().is_empty());
        state.put("a", b"1").unwrap();
        state.put("a", b"2").unwrap();
        state.put("b.c-d", b"").unwrap();
        assert_eq!(state.get("a").unwrap().unwrap(), b"2");
        assert_eq!(state.list().unwrap(), ["a", "b.c-d"]);
        state.remove("a").unwrap();
        state.remove("a").unwrap();
        assert_eq!(state.get("a").unwrap(), None);
        assert!(state.put("../a", b"").is_err());
        let mut count = |old: Option<&[u8]>| Ok(vec![old.map_or(0, |old| old[0]) + 1]);
        state.update("count", &mut count).unwrap();
        state.update("count", &mut count).unwrap();
        assert_eq!(state.get("count").unwrap().unwrap(), [2]);
        let refuse = state.update("count", &mut |_| Err(Error::new(ErrorKind::InvalidInput, "test")));
        assert_eq!(
            (refuse.unwrap_err().kind(), state.get("count").unwrap().unwrap()),
            (ErrorKind::InvalidInput, vec![2])
        );
    }

    /// Counts from several threads, each with a face of its own, as processes would.
    #[test]
    fn updates_of_a_directory_are_not_lost() {
        let place = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let state = DirectoryState::new(place.path());
                    for _ in 0..50 {
                        state.update("n", &mut |old| Ok(vec![old.map_or(0, |old| old[0]) + 1])).unwrap();
                    }
                });
            }
        });
        assert_eq!(DirectoryState::new(place.path()).get("n").unwrap().unwrap(), [200]);
        assert_eq!(DirectoryState::new(place.path()).list().unwrap(), ["n"]);
    }

    #[test]
    fn memory_remembers() {
        remembers(&MemoryState::default());
    }

    #[test]
    fn a_directory_remembers() {
        let place = tempfile::tempdir().unwrap();
        remembers(&DirectoryState::new(place.path().join("new")));
    }
}
