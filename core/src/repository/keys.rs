//! Key slots: several ways to the one keyring, in the repository or on the client.

use std::sync::Arc;

use crate::backend::{ObjectName, Payload, Prefix, Store};
use crate::clock::Timestamp;
use crate::crypto::aead::Suite;
use crate::crypto::kdf::KdfParams;
use crate::crypto::key::Keyring;
use crate::crypto::key_slot::{KeySlot, Protection};
use crate::crypto::secret::Passphrase;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{KeyId, RepositoryId};
use crate::limits::KEY_SLOT_BYTES_MAX;
use crate::local_state::LocalState;

/// Where a key slot is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// In the repository, as `keys/<id>`.
    Repository,
    /// On the client, in the key files handed in.
    KeyFile,
}

/// The key files of a client: one value per slot, named `<repository id>.<key id>`.
pub type KeyFiles = Arc<dyn LocalState>;

/// Asked for a passphrase; the argument counts attempts from 0, `None` gives up.
pub type AskPassphrase<'a> = dyn FnMut(u32) -> Result<Option<Passphrase>> + 'a;

/// A slot as it was found.
#[derive(Debug)]
pub struct FoundSlot {
    /// Its name.
    pub id: KeyId,
    /// Where it was found.
    pub location: KeyLocation,
    /// What it says of itself.
    pub slot: KeySlot,
    /// The whole object, for export.
    pub bytes: Vec<u8>,
}

/// The slot that opened a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedBy {
    /// Its name.
    pub id: KeyId,
    /// Where it is kept.
    pub location: KeyLocation,
}

impl From<&FoundSlot> for OpenedBy {
    fn from(found: &FoundSlot) -> Self {
        Self { id: found.id, location: found.location }
    }
}

/// The slots in the repository.
pub(super) fn list(store: &Store) -> Result<Vec<ObjectName>> {
    Ok(store.list(&Prefix::of("keys"))?.into_iter().map(|object| object.name).collect())
}

/// Where the slots of one repository are.
pub(super) struct SlotStore<'a> {
    pub store: &'a Store,
    pub files: &'a KeyFiles,
    pub repository: &'a RepositoryId,
    /// The suite of the repository's data.
    pub suite: Suite,
}

impl SlotStore<'_> {
    /// All slots of the repository, those on the client first, then those that were listed. Slots that can not be read
    /// are left out; the errors say why.
    pub fn find(&self, listed: Vec<ObjectName>) -> Result<(Vec<FoundSlot>, Vec<Error>)> {
        let (mut slots, mut unreadable) = (Vec::new(), Vec::new());
        let mut add = |id: Option<KeyId>, location, bytes: Result<Vec<u8>>| {
            let parsed = bytes.and_then(|bytes| {
                let id = id.ok_or_else(|| Error::damaged("read key slot", "a name no slot has"))?;
                Ok(FoundSlot { id, location, slot: KeySlot::parse(&bytes, &id)?, bytes })
            });
            match parsed {
                Ok(found) => slots.push(found),
                Err(error) => unreadable.push(error),
            }
        };
        let own = format!("{}.", self.repository);
        for name in self.files.list()? {
            if let Some(id) = name.strip_prefix(&own) {
                let bytes = self.files.get(&name).map(Option::unwrap_or_default);
                add(id.parse().ok(), KeyLocation::KeyFile, bytes);
            }
        }
        for (name, bytes) in self.store.get_many(listed, KEY_SLOT_BYTES_MAX) {
            add(name.last_part().parse().ok(), KeyLocation::Repository, bytes.map(Vec::from));
        }
        Ok((slots, unreadable))
    }

    /// Opens the first slot that opens, and tells which one it was.
    ///
    /// A slot without passphrase counts only where data is not encrypted either: whoever can write to
    /// the store could plant one in an encrypted repository.
    pub fn open(&self, listed: Vec<ObjectName>, ask: &mut AskPassphrase<'_>) -> Result<(Keyring, OpenedBy)> {
        let (slots, unreadable) = self.find(listed)?;
        if slots.is_empty() {
            return Err(self.no_slot(unreadable));
        }
        let plain_allowed = !self.suite.encrypts();
        for found in slots.iter().filter(|found| plain_allowed && found.slot.is_plain()) {
            if let Ok(keyring) = found.slot.open(None, self.repository) {
                return Ok((keyring, found.into()));
            }
        }
        for attempt in 0.. {
            let Some(passphrase) = ask(attempt)? else { break };
            for found in slots.iter().filter(|found| !found.slot.is_plain()) {
                match found.slot.open(Some(&passphrase), self.repository) {
                    Err(error) if error.kind() == ErrorKind::PassphraseWrong => {}
                    other => return Ok((other?, found.into())),
                }
            }
        }
        Err(Error::new(ErrorKind::PassphraseWrong, "open repository").with("key slots", slots.len()))
    }

    /// Why there is no slot to open. A store that can not be read is no repository without a key: who is told that
    /// their keys are gone may do something rash.
    fn no_slot(&self, unreadable: Vec<Error>) -> Error {
        let count = unreadable.len();
        let is_of_slot = |kind| {
            matches!(kind, ErrorKind::NotFound | ErrorKind::Damaged | ErrorKind::LimitExceeded | ErrorKind::Unsupported)
        };
        if let Some(of_store) = unreadable.into_iter().find(|error| !is_of_slot(error.kind())) {
            return of_store;
        }
        let error = Error::new(ErrorKind::KeyNotFound, "open repository").with("repository", self.repository);
        if count > 0 { error.with("unreadable key slots", count) } else { error }
    }

    /// Keeps a slot and reads it back.
    pub fn keep(&self, location: KeyLocation, id: &KeyId, bytes: &[u8]) -> Result<()> {
        let read_back = match location {
            KeyLocation::Repository => {
                let name = ObjectName::of("keys", id);
                self.store.put(&name, Payload::from(bytes.to_vec()))?;
                Vec::from(self.store.get_bounded(&name, KEY_SLOT_BYTES_MAX)?)
            }
            KeyLocation::KeyFile => {
                let name = format!("{}.{id}", self.repository);
                self.files.put(&name, bytes)?;
                self.files.get(&name)?.unwrap_or_default()
            }
        };
        if read_back == bytes {
            return Ok(());
        }
        Err(Error::damaged("store key slot", "reads back differently").with("key", id))
    }

    /// Forgets a slot.
    pub fn forget(&self, location: KeyLocation, id: &KeyId) -> Result<()> {
        match location {
            KeyLocation::Repository => self.store.delete(&ObjectName::of("keys", id)),
            KeyLocation::KeyFile => self.files.remove(&format!("{}.{id}", self.repository)),
        }
    }
}

/// How a new slot protects the keyring.
#[derive(Debug)]
pub struct NewSlot<'a> {
    /// The passphrase; `None` leaves the keyring in the clear (suite `none` only).
    pub passphrase: Option<&'a Passphrase>,
    /// How the passphrase is stretched.
    pub kdf: KdfParams,
    /// A label for people, at most 200 bytes.
    pub label: String,
    /// Where the slot is kept.
    pub location: KeyLocation,
}

impl NewSlot<'_> {
    pub(super) fn seal(
        &self,
        keyring: &Keyring,
        repository: &RepositoryId,
        suite: Suite,
        created: Timestamp,
    ) -> Result<(KeyId, Vec<u8>)> {
        let protection = match self.passphrase {
            Some(passphrase) => Protection::Passphrase { passphrase, kdf: &self.kdf },
            None => Protection::Plain,
        };
        KeySlot::seal(keyring, repository, protection, &self.label, created, suite)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Client, NewRepository, Repository};
    use super::*;
    use crate::backend::MemoryBackend;
    use crate::clock::{Clock, SystemClock};
    use crate::crypto::id_hash::IdHash;
    use crate::error::ErrorKind;

    fn slot(passphrase: Option<&Passphrase>) -> NewSlot<'_> {
        NewSlot {
            passphrase,
            kdf: KdfParams::weak_for_tests(),
            label: String::new(),
            location: KeyLocation::Repository,
        }
    }

    fn encrypted(passphrase: &Passphrase) -> (Store, Repository) {
        let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
        let new = NewRepository { suite: Suite::Aes256Gcm, id_hash: IdHash::default(), slot: slot(Some(passphrase)) };
        let repository = Repository::create(store.clone(), Client::default(), &new, &SystemClock).unwrap();
        (store, repository)
    }

    #[test]
    fn a_planted_plain_slot_opens_nothing_that_is_encrypted() {
        let passphrase = Passphrase::from("secret".to_owned());
        let (store, repository) = encrypted(&passphrase);
        let planted = Keyring::generate().unwrap();
        let created = SystemClock.now();
        let (id, bytes) =
            KeySlot::seal(&planted, repository.id(), Protection::Plain, "", created, Suite::None).unwrap();
        store.put(&ObjectName::of("keys", id), Payload::from(bytes)).unwrap();

        let open = |ask: &mut AskPassphrase<'_>| Repository::open(store.clone(), Client::default(), ask);
        let error = open(&mut |_| Ok(None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PassphraseWrong);
        open(&mut |_| Ok(Some(Passphrase::from("secret".to_owned())))).unwrap();
    }

    #[test]
    fn keys_of_an_encrypted_repository_are_not_left_in_the_clear() {
        let passphrase = Passphrase::from("secret".to_owned());
        let (_, repository) = encrypted(&passphrase);
        let error = repository.add_key(&slot(None), &SystemClock).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        repository.add_key(&slot(Some(&passphrase)), &SystemClock).unwrap();
        assert_eq!(repository.key_slots().unwrap().0.len(), 2);
    }
}
