//! Tests of what a client lets pass: each row is a repository as it was, and as it is found.

use std::sync::Arc;

use super::*;
use crate::backend::{MemoryBackend, ObjectName, Store};
use crate::clock::{Clock, SystemClock};
use crate::crypto::id_hash::IdHash;
use crate::crypto::kdf::KdfParams;
use crate::crypto::secret::Passphrase;
use crate::local_state::MemoryState;
use crate::repository::{Client, KeyLocation, NewRepository, NewSlot, Repository};

const AES: Suite = Suite::Aes256Gcm;

fn config(suite: Suite) -> Config {
    Config::new(suite, IdHash::Blake3, SystemClock.now()).unwrap()
}

/// What becomes of `found` at `place` for a client that remembers `met`.
fn meet(met: &[(&Config, &str)], trust: Trust, found: &Config, place: &str) -> Option<ErrorKind> {
    let state = MemoryState::default();
    let client = Acquaintances { state: &state, trust };
    met.iter().for_each(|(config, place)| client.remember(config, place).unwrap());
    client.check(found, place).err().map(|error| error.kind())
}

#[test]
fn what_is_not_what_it_was_is_refused() {
    use ErrorKind::{RepositoryMoved, RepositoryReplaced, RepositoryUnencrypted};
    let (first, second, plain, other) = (config(AES), config(AES), config(Suite::None), config(Suite::None));
    let strict = Trust { unknown_unencrypted: false, ..Trust::default() };
    let all = Trust { unknown_unencrypted: true, no_longer_encrypted: true, moved: true };
    let moved = Trust { moved: true, ..strict };
    type Row<'a> = (&'a [(&'a Config, &'a str)], Trust, &'a Config, &'a str, Option<ErrorKind>);
    let rows: &[Row<'_>] = &[
        // first contact
        (&[], strict, &first, "/a", None),
        (&[], Trust::default(), &plain, "/a", None),
        (&[], strict, &plain, "/a", Some(RepositoryUnencrypted)),
        (&[], all, &plain, "/a", None),
        // again
        (&[(&first, "/a")], strict, &first, "/a", None),
        (&[(&plain, "/a")], strict, &plain, "/a", None),
        // elsewhere: whoever has the passphrase vouches for an encrypted one
        (&[(&first, "/a")], strict, &first, "/b", None),
        (&[(&plain, "/a")], strict, &plain, "/b", Some(RepositoryMoved)),
        (&[(&plain, "/a")], moved, &plain, "/b", None),
        // disks that take turns at one place
        (&[(&first, "/a"), (&second, "/a")], strict, &first, "/a", None),
        (&[(&first, "/a")], strict, &second, "/a", Some(RepositoryReplaced)),
        (&[(&first, "/a")], moved, &second, "/a", None),
        (&[(&plain, "/a")], strict, &other, "/a", Some(RepositoryReplaced)),
        // the attack
        (&[(&first, "/a")], Trust::default(), &plain, "/a", Some(RepositoryUnencrypted)),
        (&[(&first, "/a")], moved, &plain, "/a", Some(RepositoryUnencrypted)),
        (&[(&first, "/a")], all, &plain, "/a", None),
    ];
    for (number, (met, trust, found, place, expected)) in rows.iter().enumerate() {
        assert_eq!(meet(met, *trust, found, place), *expected, "row {number}");
    }
}

#[test]
fn a_suite_never_changes() {
    let before = config(AES);
    for suite in [Suite::None, Suite::ChaCha20Poly1305] {
        let mut bytes = codec::encode(&before, 1000).unwrap();
        // version, id, suite: see the golden bytes of the configuration
        bytes[2 + 2 + 16] = suite.into();
        let after: Config = codec::decode(&bytes, 1000).unwrap();
        assert_eq!((after.id, after.suite().unwrap()), (before.id, suite));
        let trust = Trust { unknown_unencrypted: true, no_longer_encrypted: true, moved: true };
        assert_eq!(meet(&[(&before, "/a")], trust, &after, "/b"), Some(ErrorKind::EncryptionChanged));
    }
}

#[test]
fn a_memory_that_makes_no_sense_is_none() {
    let state = MemoryState::default();
    let client = Acquaintances { state: &state, trust: Trust::default() };
    let (first, second) = (config(AES), config(AES));
    client.remember(&first, "/a").unwrap();
    for name in state.list().unwrap() {
        state.put(&name, b"\x93nonsense").unwrap();
    }
    let told = client.check(&second, "/a").unwrap().expect("nobody is told that nothing was compared");
    assert!(told.context("memory").unwrap().starts_with("place-"), "{told}");
    client.remember(&first, "/a").unwrap();
    assert!(client.check(&first, "/a").unwrap().is_none());
    client.check(&second, "/a").unwrap_err();
}

#[test]
fn opening_asks_for_no_passphrase_where_it_refuses() {
    let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
    let client = Client::default();
    let passphrase = Passphrase::from("secret".to_owned());
    let slot = NewSlot {
        passphrase: Some(&passphrase),
        kdf: KdfParams::weak_for_tests(),
        label: String::new(),
        location: KeyLocation::Repository,
    };
    let new = NewRepository { suite: AES, id_hash: IdHash::default(), slot };
    Repository::create(store.clone(), client.clone(), &new, &SystemClock).unwrap();
    Repository::open(store.clone(), client.clone(), &mut |_| Ok(Some(Passphrase::from("secret".to_owned())))).unwrap();
    // The operator puts another repository there, which needs no passphrase.
    for object in store.list(&crate::backend::Prefix::all()).unwrap() {
        store.delete(&object.name).unwrap();
    }
    Repository::create(store.clone(), Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
    let mut asked = 0;
    let refused = Repository::open(store.clone(), client.clone(), &mut |_| {
        asked += 1;
        Ok(None)
    });
    assert_eq!((refused.unwrap_err().kind(), asked), (ErrorKind::RepositoryUnencrypted, 0));
    // Who makes a repository knows it.
    store.delete(&ObjectName::of_part("config")).unwrap();
    for object in store.list(&crate::backend::Prefix::all()).unwrap() {
        store.delete(&object.name).unwrap();
    }
    Repository::create(store.clone(), client.clone(), &NewRepository::plain(), &SystemClock).unwrap();
    Repository::open(store, client, &mut |_| Ok(None)).unwrap();
}
