//! What a client remembers of a repository, so that nobody puts another one in its place.
//!
//! Whoever controls a store can replace a repository by one of their own. It opens without a question if it is not
//! encrypted, and then readable data would be stored there. So a client remembers, in the state its embedder hands
//! in, per repository what it was and where (`known-<id>`), and per place which repository was there
//! (`place-<hash of the place>`). A client that remembers nothing trusts what it finds first.

use serde::{Deserialize, Serialize};

use super::Config;
use crate::codec;
use crate::crypto::aead::Suite;
use crate::error::{Error, ErrorKind, Result};
use crate::id::RepositoryId;
use crate::limits::RECORD_BYTES_MAX;
use crate::local_state::LocalState;

/// What a client lets pass although it should be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    /// A repository without encryption that this client never met.
    pub unknown_unencrypted: bool,
    /// A repository without encryption where an encrypted one was.
    pub no_longer_encrypted: bool,
    /// Another repository than was at this place, or one without encryption at another place than it was.
    pub moved: bool,
}

impl Default for Trust {
    /// First contact is silent, whatever comes later is not.
    fn default() -> Self {
        Self { unknown_unencrypted: true, no_longer_encrypted: false, moved: false }
    }
}

/// What a repository was when this client met it last.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    suite: u8,
    id_hash: u8,
    location: String,
}

/// Which repository was at a place.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    repository: RepositoryId,
    encrypted: bool,
    location: String,
}

/// What a client remembers of repositories and places.
pub(super) struct Acquaintances<'a> {
    pub state: &'a dyn LocalState,
    pub trust: Trust,
}

impl Acquaintances<'_> {
    /// Refuses a repository that is not what this client remembers. Returns why it could not be compared, if what is
    /// remembered can not be read or makes no sense: that is no reason not to work, but is told.
    ///
    /// # Errors
    /// `EncryptionChanged` if it has another suite or id hash than before; `RepositoryUnencrypted` if it is not
    /// encrypted, and is unknown or stands where an encrypted one was; `RepositoryReplaced` if another one was at this
    /// place; `RepositoryMoved` if it is not encrypted and was at another place.
    pub fn check(&self, config: &Config, location: &str) -> Result<Option<Error>> {
        let mut unread = None;
        let (suite, encrypted) = (config.suite()?, config.suite()?.encrypts());
        let refuse = |kind| {
            let error = Error::new(kind, "open repository").with("repository", location);
            Err(error.with("id", config.id).with("encryption", suite))
        };
        if let Some(known) = self.read::<Known>(&known_name(&config.id), &mut unread) {
            if (known.suite, known.id_hash) != (suite.into(), config.id_hash()?.into()) {
                let before =
                    Suite::try_from(known.suite).map_or_else(|_| "unknown".to_owned(), |suite| suite.to_string());
                return refuse(ErrorKind::EncryptionChanged).map_err(|error| error.with("encryption before", before));
            }
            if !encrypted && known.location != location && !self.trust.moved {
                return refuse(ErrorKind::RepositoryMoved).map_err(|error| error.with("place before", known.location));
            }
            return Ok(None);
        }
        let before = self.read::<Place>(&place_name(location), &mut unread);
        match before.filter(|place| place.repository != config.id) {
            Some(place) if place.encrypted && !encrypted && !self.trust.no_longer_encrypted => {
                refuse(ErrorKind::RepositoryUnencrypted).map_err(|error| error.with("id before", place.repository))
            }
            Some(place) if !self.trust.moved && (encrypted || !place.encrypted) => {
                refuse(ErrorKind::RepositoryReplaced).map_err(|error| error.with("id before", place.repository))
            }
            None if !encrypted && !self.trust.unknown_unencrypted => refuse(ErrorKind::RepositoryUnencrypted),
            _ => Ok(unread),
        }
    }

    /// Remembers a repository. That this can fail is no reason not to work: what is forgotten is asked again.
    pub fn remember(&self, config: &Config, location: &str) -> Result<()> {
        let (suite, location) = (config.suite()?, location.to_owned());
        let known = Known { suite: suite.into(), id_hash: config.id_hash()?.into(), location: location.clone() };
        let place = Place { repository: config.id, encrypted: suite.encrypts(), location };
        self.write(&known_name(&config.id), &known)?;
        self.write(&place_name(&place.location), &place)
    }

    /// What makes no sense, or can not be read, is taken for nothing, and noted.
    fn read<T: Serialize + serde::de::DeserializeOwned>(&self, name: &str, unread: &mut Option<Error>) -> Option<T> {
        let read = self.state.get(name);
        let read = read.and_then(|bytes| bytes.map(|bytes| codec::decode(&bytes, RECORD_BYTES_MAX)).transpose());
        read.unwrap_or_else(|error| {
            *unread = Some(error.with("memory", name));
            None
        })
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let bytes = codec::encode(value, RECORD_BYTES_MAX)?;
        if self.state.get(name)?.as_deref() == Some(&*bytes) {
            return Ok(());
        }
        self.state.put(name, &bytes)
    }
}

fn known_name(id: &RepositoryId) -> String {
    format!("known-{id}")
}

fn place_name(location: &str) -> String {
    format!("place-{}", &blake3::hash(location.as_bytes()).to_hex()[..32])
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
