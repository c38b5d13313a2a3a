//! The object `config` and its copy: without either of them nothing in a repository can be read.

use bytes::Bytes;

use super::{Config, ObjectName, Office, Payload, Repository, foreign};
use crate::backend::Store;
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::limits::CONFIG_BYTES_MAX;

pub(super) fn config_name() -> ObjectName {
    ObjectName::of_part("config")
}

pub(super) fn copy_name() -> ObjectName {
    ObjectName::of("spare", "identity")
}

/// Whether this is the name of `config` or of its copy.
pub(super) fn is_config(name: &str) -> bool {
    matches!(name, "config" | "spare/identity")
}

/// Whether there is a repository: its `config`, or the copy of that.
pub fn is_there(store: &Store) -> Result<bool> {
    for name in [config_name(), copy_name()] {
        match store.head(&name) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// The object `config` and what it says; or its copy, if it is gone or spoilt.
pub(super) fn read_config(store: &Store) -> Result<(Bytes, Config)> {
    let first = match read(store, &config_name()) {
        Err(error) if is_finding(&error) && error.kind() != ErrorKind::Unsupported => error,
        done => return done,
    };
    match read(store, &copy_name()) {
        Err(error) if !is_finding(&error) => Err(error),
        Err(_) if first.kind() == ErrorKind::NotFound => Err(no_repository(store)?),
        Err(_) => Err(first),
        Ok(read) => Ok(read),
    }
}

fn read(store: &Store, name: &ObjectName) -> Result<(Bytes, Config)> {
    let bytes = store.get_bounded(name, CONFIG_BYTES_MAX).map_err(|error| match error.kind() {
        ErrorKind::LimitExceeded => about_config(Error::damaged("read config", "too long").because(error), store),
        _ => error,
    })?;
    let config = Config::decode(&bytes).map_err(|error| about_config(error, store))?;
    Ok((bytes, config))
}

pub(super) fn about_config(error: Error, store: &Store) -> Error {
    error.with("object", "config").with("repository", store.location())
}

fn no_repository(store: &Store) -> Result<Error> {
    let error = |kind| Error::new(kind, "open repository").with("repository", store.location());
    Ok(match foreign(store)? {
        None => error(ErrorKind::RepositoryNotFound),
        Some(found) => error(ErrorKind::NotARepository).with("reason", "no config").with("found", found),
    })
}

impl Office {
    /// What is wrong with `config`, or with its copy, compared with what opened this repository.
    fn wrong_with(&self, name: &ObjectName) -> Result<Option<Error>> {
        match self.store.get_bounded(name, CONFIG_BYTES_MAX) {
            Ok(bytes) if bytes == self.config_bytes => Ok(None),
            Ok(_) => Ok(Some(Error::damaged("check config", "it is not what opened the repository"))),
            Err(error) if is_finding(&error) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }
}

impl Repository {
    /// Which of `config` and its copy are spoilt, or gone, and why. A copy that was never made is neither.
    pub fn spoilt_configs(&self) -> Result<Vec<(ObjectName, Error)>> {
        let mut spoilt = Vec::new();
        for name in [config_name(), copy_name()] {
            match self.office.wrong_with(&name)? {
                Some(error) if error.kind() == ErrorKind::NotFound && name == copy_name() => {}
                wrong => spoilt.extend(wrong.map(|error| (name, error))),
            }
        }
        Ok(spoilt)
    }

    /// Puts `config` or its copy as they were when this repository was opened. What is there goes to quarantine, if it can
    /// be read.
    pub fn restore_config(&self, name: &ObjectName) -> Result<()> {
        if self.office.wrong_with(name)?.is_none() {
            return Ok(());
        }
        match self.quarantine(name) {
            Err(error) if !is_finding(&error) => return Err(error),
            _ => {}
        }
        self.office.store.put(name, Payload::from(self.office.config_bytes.clone()))
    }

    /// Makes the copy of `config`, if there is none.
    pub(super) fn copy_config(&self) -> Result<()> {
        match self.office.store.head(&copy_name()) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => self.restore_config(&copy_name()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::MemoryBackend;
    use crate::clock::SystemClock;
    use crate::repository::{Client, NewRepository};

    fn open(store: &Store) -> Result<Repository> {
        Repository::open(store.clone(), Client::default(), &mut |_| Ok(None))
    }

    #[test]
    fn either_of_the_two_is_enough_and_gives_the_other_back() {
        let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
        let made = Repository::create(store.clone(), Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
        let whole = store.get_bounded(&config_name(), CONFIG_BYTES_MAX).unwrap();
        for name in [config_name(), copy_name()] {
            for spoilt in [None, Some(&b"x"[..]), Some(&whole[..100])] {
                match spoilt {
                    None => store.delete(&name).unwrap(),
                    Some(bytes) => store.put(&name, Payload::from(bytes.to_vec())).unwrap(),
                }
                let opened = open(&store).unwrap();
                assert_eq!(opened.config(), made.config());
                let again = Repository::create(store.clone(), Client::default(), &NewRepository::plain(), &SystemClock);
                assert_eq!(again.unwrap_err().kind(), ErrorKind::RepositoryExists);
                let never_made = spoilt.is_none() && name == copy_name();
                let named: Vec<ObjectName> =
                    opened.spoilt_configs().unwrap().into_iter().map(|(name, _)| name).collect();
                assert_eq!(named, if never_made { vec![] } else { vec![name.clone()] });
                opened.restore_config(&name).unwrap();
                assert_eq!(store.get_bounded(&name, CONFIG_BYTES_MAX).unwrap(), whole);
                assert!(opened.spoilt_configs().unwrap().is_empty());
            }
        }
        store.put(&config_name(), Payload::from(b"x".to_vec())).unwrap();
        store.delete(&copy_name()).unwrap();
        assert_eq!(open(&store).unwrap_err().kind(), ErrorKind::Damaged);
        store.delete(&config_name()).unwrap();
        assert_eq!(open(&store).unwrap_err().kind(), ErrorKind::NotARepository);
    }

    /// Repositories of earlier versions have none.
    #[test]
    fn who_makes_room_makes_the_copy() {
        let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
        let made = Repository::create(store.clone(), Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
        store.delete(&copy_name()).unwrap();
        made.refill_reserves().unwrap();
        assert!(store.head(&copy_name()).is_ok());
    }
}
