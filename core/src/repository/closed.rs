//! A repository nobody has opened: what can be seen and done without a key.
//!
//! This is for the day a key is lost: slots can be looked at and copied away, and one
//! that was copied before can be brought back. The configuration is read, but nobody
//! vouches for it before a key opens the repository.

use super::identity::read_config;
use super::keys::{self, SlotStore};
use super::{Client, Config, FoundSlot, KeyLocation};
use crate::backend::Store;
use crate::crypto::key_slot::KeySlot;
use crate::error::Result;
use crate::id::{KeyId, RepositoryId};

/// A repository before it is opened.
#[derive(Debug)]
pub struct ClosedRepository {
    store: Store,
    client: Client,
    config: Config,
}

impl ClosedRepository {
    /// Reads what is readable without a key. Fails as [`super::Repository::open`] does before it asks.
    pub fn look(store: Store, client: Client) -> Result<Self> {
        let (_, config) = read_config(&store)?;
        Ok(Self { store, client, config })
    }

    /// What the repository says of itself, unverified.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its id.
    pub fn id(&self) -> &RepositoryId {
        &self.config.id
    }

    /// The store it lies in.
    pub fn object_store(&self) -> &Store {
        &self.store
    }

    /// All key slots, and how many could not be read.
    pub fn key_slots(&self) -> Result<(Vec<FoundSlot>, usize)> {
        self.slots()?.find(keys::list(&self.store)?).map(|(slots, unreadable)| (slots, unreadable.len()))
    }

    /// Keeps a slot that was exported before. It is refused unless it is whole and has the name `id`;
    /// whether it belongs to this repository shows only when it is opened.
    pub fn import_key(&self, id: &KeyId, bytes: &[u8], location: KeyLocation) -> Result<()> {
        KeySlot::parse(bytes, id)?;
        self.slots()?.keep(location, id, bytes)
    }

    fn slots(&self) -> Result<SlotStore<'_>> {
        let (store, files, repository) = (&self.store, &self.client.key_files, &self.config.id);
        Ok(SlotStore { store, files, repository, suite: self.config.suite()? })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::{MemoryBackend, ObjectName};
    use crate::clock::SystemClock;
    use crate::crypto::kdf::KdfParams;
    use crate::crypto::secret::Passphrase;
    use crate::error::ErrorKind;
    use crate::repository::{NewRepository, NewSlot, Repository};

    #[test]
    fn a_lost_slot_comes_back() {
        let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
        let made = Repository::create(store.clone(), Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
        let closed = ClosedRepository::look(store.clone(), Client::default()).unwrap();
        assert_eq!((closed.id(), closed.config()), (made.id(), made.config()));
        let (slots, unreadable) = closed.key_slots().unwrap();
        assert_eq!((slots.len(), unreadable, slots[0].id), (1, 0, made.opened_by().id));

        store.delete(&ObjectName::of("keys", slots[0].id)).unwrap();
        let open = || Repository::open(store.clone(), Client::default(), &mut |_| Ok(None));
        assert_eq!(open().unwrap_err().kind(), ErrorKind::KeyNotFound);
        let mut broken = slots[0].bytes.clone();
        broken[100] ^= 1;
        let import = |bytes: &[u8]| closed.import_key(&slots[0].id, bytes, KeyLocation::Repository);
        assert_eq!(import(&broken).unwrap_err().kind(), ErrorKind::Damaged);
        import(&slots[0].bytes).unwrap();
        assert_eq!(open().unwrap().opened_by(), made.opened_by());
    }

    #[test]
    fn the_slot_that_opened_is_told() {
        let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
        let passphrases = [&b"one"[..], b"two"].map(|text| Passphrase::new(text.to_vec()));
        let slot = |which: usize| NewSlot {
            passphrase: Some(&passphrases[which]),
            kdf: KdfParams::weak_for_tests(),
            label: String::new(),
            location: KeyLocation::Repository,
        };
        let new =
            NewRepository { slot: slot(0), suite: crate::crypto::aead::Suite::Aes256Gcm, ..NewRepository::plain() };
        let made = Repository::create(store.clone(), Client::default(), &new, &SystemClock).unwrap();
        let second = made.add_key(&slot(1), &SystemClock).unwrap();
        for (which, id) in [made.opened_by().id, second].into_iter().enumerate() {
            let mut ask = |_| Ok(Some(Passphrase::new(passphrases[which].expose().to_vec())));
            let opened = Repository::open(store.clone(), Client::default(), &mut ask).unwrap();
            assert_eq!(opened.opened_by().id, id);
        }
    }
}
