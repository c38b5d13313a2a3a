//! A slot opens with its passphrase in its repository, and in no other way.

use proptest::prelude::*;

use super::super::envelope::TAIL_BYTES;
use super::super::key::Purpose;
use super::*;

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([0x52; 16]);
const SALT: [u8; SALT_BYTES] = [0x5a; SALT_BYTES];
const CREATED: Timestamp = Timestamp::new(1_700_000_000, 5);
const WEAK: KdfParams = KdfParams::weak_for_tests();

fn keyring() -> Keyring {
    let mut bytes = vec![8];
    for purpose in Purpose::ALL {
        bytes.extend_from_slice(&[purpose.into(); 33]);
    }
    Keyring::decode(&bytes).unwrap()
}

fn passphrase() -> Passphrase {
    Passphrase::from("correct horse".to_owned())
}

fn sealed(suite: Suite, kdf: Option<KdfParams>) -> (KeyId, Vec<u8>) {
    let passphrase = passphrase();
    let protection = match &kdf {
        Some(kdf) => Protection::Passphrase { passphrase: &passphrase, kdf },
        None => Protection::Plain,
    };
    KeySlot::seal_with_salt(&keyring(), &REPOSITORY, protection, "laptop", CREATED, suite, SALT).unwrap()
}

fn open(bytes: &[u8], id: &KeyId) -> Result<Keyring> {
    KeySlot::parse(bytes, id)?.open(Some(&passphrase()), &REPOSITORY)
}

fn forge(slot: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = slot[..slot.len() - TAIL_BYTES].to_vec();
    change(&mut bytes);
    append_tail(&mut bytes);
    bytes
}

#[test]
fn slots_never_change() {
    // from another implementation
    let pbkdf2 = KdfParams::Pbkdf2HmacSha256 { iterations: 600_000 };
    for (suite, kdf, hash) in [
        (Suite::Aes256Gcm, Some(WEAK), "eaf54781913b3b1e00036855f2519dd5c3e0e60f2847f9742f9c0ab0af4b66c4"),
        (Suite::ChaCha20Poly1305, Some(WEAK), "67139d76cdc30a62891b3de649c392c91d94726ec1e72dc05ffe5fb225232a2e"),
        (Suite::Aes256Gcm, Some(pbkdf2), "4312c31d6a001763224ff62072eac66494c8fa7e07a1d746ded71b4d351190fc"),
        (Suite::None, None, "e0996b892741c3c3c5ea145a2c1fe912a36bb2c754eb722e06388372df58de98"),
    ] {
        let (id, bytes) = sealed(suite, kdf);
        assert_eq!(id.to_string(), "cdf02c0d961116ec8ca17597d87fa868");
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), hash, "{suite} {kdf:?}");
        assert_eq!(open(&bytes, &id).unwrap(), keyring());
    }
}

#[test]
fn a_closed_slot_tells_what_it_is() {
    let (id, bytes) = sealed(Suite::ChaCha20Poly1305, Some(WEAK));
    let slot = KeySlot::parse(&bytes, &id).unwrap();
    assert_eq!((slot.id(), slot.label(), slot.created()), (&id, "laptop", CREATED));
    assert_eq!((slot.kdf(), slot.suite(), slot.is_plain()), (Some(&WEAK), Suite::ChaCha20Poly1305, false));
    let (id, bytes) = sealed(Suite::None, None);
    let slot = KeySlot::parse(&bytes, &id).unwrap();
    assert_eq!((slot.kdf(), slot.suite(), slot.is_plain()), (None, Suite::None, true));
    assert_eq!(slot.open(None, &REPOSITORY).unwrap(), keyring());
}

#[test]
fn keys_under_a_passphrase_are_never_in_the_clear() {
    let (id, bytes) = sealed(Suite::None, Some(WEAK));
    assert_eq!(KeySlot::parse(&bytes, &id).unwrap().suite(), Suite::fastest());
    assert!(!bytes.windows(16).any(|part| part == [1; 16]));
}

#[test]
fn a_wrong_passphrase_is_told_apart_from_damage() {
    let (id, bytes) = sealed(Suite::Aes256Gcm, Some(WEAK));
    let slot = KeySlot::parse(&bytes, &id).unwrap();
    let kind = |passphrase: Option<&Passphrase>| slot.open(passphrase, &REPOSITORY).unwrap_err().kind();
    assert_eq!(kind(Some(&Passphrase::from("correct hors".to_owned()))), ErrorKind::PassphraseWrong);
    assert_eq!(kind(None), ErrorKind::PassphraseWrong);
    let elsewhere = RepositoryId::from_bytes([1; 16]);
    assert_eq!(slot.open(Some(&passphrase()), &elsewhere).unwrap_err().kind(), ErrorKind::PassphraseWrong);

    // a tampered commitment is found before the tag is looked at, a tampered tag after it
    let commitment = forge(&bytes, |bytes| {
        bytes[HEADER_BYTES - 1] ^= 1;
        *bytes.last_mut().unwrap() ^= 1;
    });
    assert_eq!(open(&commitment, &id).unwrap_err().kind(), ErrorKind::PassphraseWrong);
    let tag = forge(&bytes, |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert_eq!(open(&tag, &id).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn a_plain_slot_of_another_repository_is_refused() {
    let (id, bytes) = sealed(Suite::None, None);
    let error = KeySlot::parse(&bytes, &id).unwrap().open(None, &RepositoryId::from_bytes([1; 16])).unwrap_err();
    assert_eq!((error.kind(), error.context("reason")), (ErrorKind::Damaged, Some("sealed with another key")));
}

#[test]
fn every_flipped_bit_is_found_with_and_without_the_tail() {
    for (suite, kdf) in [(Suite::Aes256Gcm, Some(WEAK)), (Suite::None, None)] {
        let (id, bytes) = sealed(suite, kdf);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(KeySlot::parse(&bad, &id).unwrap_err().kind(), ErrorKind::Damaged, "bit {bit}");
            if bit / 8 < bytes.len() - TAIL_BYTES && hostile_costs_are_cheap(&bad, &id) {
                open(&forge(&bad, |_| ()), &id).unwrap_err();
            }
        }
    }
}

/// Flipped costs are authenticated like everything else, but may ask for real work first.
fn hostile_costs_are_cheap(bad: &[u8], id: &KeyId) -> bool {
    match KeySlot::parse(&forge(bad, |_| ()), id).map(|slot| slot.kdf) {
        Ok(Some(KdfParams::Argon2id { memory_kib, passes, .. })) => memory_kib <= 1024 && passes <= 16,
        _ => true,
    }
}

#[test]
fn every_truncation_is_found() {
    let (id, bytes) = sealed(Suite::Aes256Gcm, Some(WEAK));
    for length in 0..bytes.len() {
        assert_eq!(KeySlot::parse(&bytes[..length], &id).unwrap_err().kind(), ErrorKind::Damaged);
        if length < bytes.len() - TAIL_BYTES {
            open(&forge(&bytes, |bytes| bytes.truncate(length)), &id).unwrap_err();
        }
    }
    assert_eq!(KeySlot::parse(&[0; KEY_SLOT_BYTES_MAX + 1], &id).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn another_name_or_kind_is_refused() {
    let (id, bytes) = sealed(Suite::Aes256Gcm, Some(WEAK));
    let other = KeyId::from_bytes([1; 16]);
    let reason = |bytes: &[u8], id| {
        let error = KeySlot::parse(bytes, id).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        error.context("reason").unwrap().to_owned()
    };
    assert_eq!(reason(&bytes, &other), "salt does not give this name");
    assert_eq!(reason(&forge(&bytes, |bytes| bytes[4] = Kind::Archive.into()), &id), "kind");
    assert_eq!(reason(&forge(&bytes, |bytes| bytes[7] = 1), &id), "flags");
    let newer = KeySlot::parse(&forge(&bytes, |bytes| bytes[5] = 2), &id).unwrap_err();
    assert_eq!(newer.kind(), ErrorKind::Unsupported);
}

#[test]
fn parameters_of_a_hostile_store_are_refused_before_any_work() {
    let (id, bytes) = sealed(Suite::Aes256Gcm, Some(WEAK));
    let slot = KeySlot::parse(&bytes, &id).unwrap();
    let kind = |change: &dyn Fn(&mut Parameters), suite: Suite| {
        let mut hostile = slot.clone();
        change(&mut hostile.parameters);
        hostile.header.suite = suite;
        hostile.covered = covered(&hostile.parameters).unwrap();
        KeySlot::parse(&hostile.encode(), &id).unwrap_err().kind()
    };
    let aes = Suite::Aes256Gcm;
    assert_eq!(kind(&|p| p.kdf = (1, u32::MAX, 1, 1), aes), ErrorKind::LimitExceeded);
    assert_eq!(kind(&|p| p.kdf = (1, 1024, 1, 0), aes), ErrorKind::LimitExceeded);
    assert_eq!(kind(&|p| p.kdf = (2, u32::MAX, 0, 0), aes), ErrorKind::LimitExceeded);
    assert_eq!(kind(&|p| p.kdf = (3, 1, 0, 0), aes), ErrorKind::Unsupported);
    assert_eq!(kind(&|p| p.kdf = (2, 1, 1, 0), aes), ErrorKind::Damaged);
    assert_eq!(kind(&|p| p.kdf = (0, 1, 0, 0), aes), ErrorKind::Damaged);
    assert_eq!(kind(&|p| p.kdf = (0, 0, 0, 0), aes), ErrorKind::Damaged);
    assert_eq!(kind(&|p| p.protection = PLAIN, aes), ErrorKind::Damaged);
    assert_eq!(kind(&|p| p.protection = 2, aes), ErrorKind::Unsupported);
    assert_eq!(kind(&|_| (), Suite::None), ErrorKind::Damaged);
    assert_eq!(kind(&|p| p.label = "x".repeat(LABEL_BYTES_MAX + 1), aes), ErrorKind::Damaged);
    assert_eq!(kind(&|p| p.created.nanoseconds = 1_000_000_000, aes), ErrorKind::Damaged);
}

#[test]
fn weak_costs_and_long_labels_are_not_written() {
    let passphrase = passphrase();
    let seal = |kdf: &KdfParams, label: &str| {
        let protection = Protection::Passphrase { passphrase: &passphrase, kdf };
        KeySlot::seal(&keyring(), &REPOSITORY, protection, label, CREATED, Suite::Aes256Gcm)
    };
    let weaker = KdfParams::Argon2id { memory_kib: 65536, passes: 2, lanes: 4 };
    assert_eq!(seal(&weaker, "").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(seal(&WEAK, &"x".repeat(LABEL_BYTES_MAX + 1)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let (id, bytes) = seal(&WEAK, &"x".repeat(LABEL_BYTES_MAX)).unwrap();
    assert_ne!(seal(&WEAK, "").unwrap().0, id);
    assert_eq!(open(&bytes, &id).unwrap(), keyring());
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_panic(rest in prop::collection::vec(any::<u8>(), 0..300), length in 0u16..80) {
        let header = Header::new(MAGIC, Kind::KeySlot.into(), Suite::Aes256Gcm, 0, SALT).bytes();
        let mut bytes = [&header[..], &length.to_le_bytes(), &rest].concat();
        let id = KeyId::from_bytes(Kind::KeySlot.id(&SALT));
        prop_assert!(KeySlot::parse(&bytes, &id).is_err());
        append_tail(&mut bytes);
        prop_assert!(KeySlot::parse(&bytes, &id).is_err());
    }
}
