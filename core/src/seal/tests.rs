//! The envelope holds what it was given, and nothing else ever opens.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::crypto::key::Purpose;

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([0x52; 16]);
const SALT: [u8; 32] = [0x5a; 32];
const LIMIT: usize = 64 * 1024;

/// The keyring whose key for purpose n is 32 times n.
fn keyring() -> &'static Keyring {
    static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
        let mut bytes = vec![8];
        for purpose in Purpose::ALL {
            bytes.extend_from_slice(&[purpose.into(); 33]);
        }
        Keyring::decode(&bytes).unwrap()
    });
    &KEYRING
}

fn sealer(suite: Suite) -> Sealer<'static> {
    Sealer::new(keyring(), REPOSITORY, suite)
}

fn envelope_kinds() -> impl Iterator<Item = Kind> {
    Kind::all().filter(|kind| ![Kind::KeySlot, Kind::Segment, Kind::Index].contains(kind))
}

fn refused(result: Result<Vec<u8>>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    error.context("reason").unwrap().to_owned()
}

/// Replaces bytes and makes the tail right again, as somebody without keys can.
fn forge(object: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = object[..object.len() - TAIL_BYTES].to_vec();
    change(&mut bytes);
    append_tail(&mut bytes);
    bytes
}

#[test]
fn what_is_sealed_opens_for_every_kind_suite_and_length() {
    let text = b"the same words over and over, ".repeat(2000);
    for suite in Suite::all() {
        for kind in envelope_kinds() {
            for length in [0, 1, 8, 9, 200, 4096, text.len()] {
                let sealed = sealer(suite).seal(kind, &text[..length]).unwrap();
                verify_tail(&sealed.bytes).unwrap();
                assert_eq!(sealed.bytes.len() as u64, padme(sealed.bytes.len() as u64));
                let opened = sealer(Suite::None).open(kind, &sealed.id, &sealed.bytes, length).unwrap();
                assert_eq!(opened, &text[..length]);
            }
        }
    }
}

#[test]
fn envelopes_never_change() {
    // from another implementation
    let keyring = Keyring::decode(&[&[1][..], &[7; 33]].concat()).unwrap();
    for (suite, hash) in [
        (Suite::None, "cbcae08b1aa641afa4ab6ccf4e4994abcf2fae87cff50802b4b1e3b67b3389cd"),
        (Suite::Aes256Gcm, "5991b45c5132180dc4d26018625a53fb3443af537b09f1af950524534bf892c7"),
        (Suite::ChaCha20Poly1305, "8a5a9e152911e267fc4330441a899703db5dc8d766c3556693e69f50a6c092ee"),
    ] {
        let sealer = Sealer::new(&keyring, REPOSITORY, suite);
        let sealed = sealer.seal_with_salt(Kind::Archive, b"an archive", SALT).unwrap();
        assert_eq!(sealed.bytes.len(), 160);
        assert_eq!(name_text(Kind::Archive, &sealed.id), "archives/f5e3bb4d6f340e5eddd1991c18722d5f");
        assert_eq!(blake3::hash(&sealed.bytes).to_hex().as_str(), hash, "{suite}");
    }
}

#[test]
fn every_object_draws_its_own_salt() {
    let sealer = sealer(Suite::Aes256Gcm);
    let (one, two) = (sealer.seal(Kind::Doom, b"x").unwrap(), sealer.seal(Kind::Doom, b"x").unwrap());
    assert_ne!(one.id, two.id);
    assert_ne!(one.bytes[HEADER_BYTES..], two.bytes[HEADER_BYTES..]);
}

#[test]
fn compression_is_used_where_it_helps() {
    let sealer = sealer(Suite::Aes256Gcm);
    let text = sealer.seal(Kind::Archive, &[b'a'; 10_000]).unwrap();
    assert!(text.bytes.len() < 300 && text.bytes[7] == FLAG_ZSTD, "{}", text.bytes.len());
    let noise: Vec<u8> = (0..250u8).collect();
    assert_eq!(sealer.seal(Kind::Archive, &noise).unwrap().bytes[7], 0);
}

#[test]
fn every_flipped_bit_is_found_with_and_without_the_tail() {
    for suite in Suite::all() {
        let sealer = sealer(suite);
        let sealed = sealer.seal_with_salt(Kind::Pending, b"short", SALT).unwrap();
        let end = sealed.bytes.len();
        for bit in 0..end * 8 {
            let mut bad = sealed.bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            refused(sealer.open(Kind::Pending, &sealed.id, &bad, LIMIT));
            verify_tail(&bad).unwrap_err();
            if bit / 8 < end - TAIL_BYTES {
                let forged = forge(&bad, |_| ());
                let error = sealer.open(Kind::Pending, &sealed.id, &forged, LIMIT).unwrap_err();
                let expected = if bit / 8 == 5 { ErrorKind::Unsupported } else { ErrorKind::Damaged };
                assert_eq!(error.kind(), expected, "bit {bit}: {error}");
            }
        }
    }
}

#[test]
fn every_truncation_and_extension_is_found() {
    let sealer = sealer(Suite::ChaCha20Poly1305);
    let sealed = sealer.seal(Kind::Lock, b"short").unwrap();
    for length in 0..sealed.bytes.len() {
        refused(sealer.open(Kind::Lock, &sealed.id, &sealed.bytes[..length], LIMIT));
        if length < sealed.bytes.len() - TAIL_BYTES {
            refused(sealer.open(Kind::Lock, &sealed.id, &forge(&sealed.bytes, |bytes| bytes.truncate(length)), LIMIT));
        }
    }
    refused(sealer.open(Kind::Lock, &sealed.id, &[&sealed.bytes[..], &[0]].concat(), LIMIT));
    refused(sealer.open(Kind::Lock, &sealed.id, &forge(&sealed.bytes, |bytes| bytes.push(0)), LIMIT));
}

#[test]
fn another_name_kind_repository_or_key_is_refused() {
    let sealer = sealer(Suite::Aes256Gcm);
    let sealed = sealer.seal(Kind::Archive, b"record").unwrap();
    let open = |sealer: &Sealer<'_>, kind, id: &[u8; 16]| refused(sealer.open(kind, id, &sealed.bytes, LIMIT));
    assert_eq!(open(&sealer, Kind::Archive, &[1; 16]), "salt does not give this name");
    assert_eq!(open(&sealer, Kind::Pending, &sealed.id), "kind");
    let elsewhere = Sealer::new(keyring(), RepositoryId::from_bytes([1; 16]), Suite::Aes256Gcm);
    assert_eq!(open(&elsewhere, Kind::Archive, &sealed.id), "sealed with another key");
    let other_keys = Keyring::generate().unwrap();
    let other_keys = Sealer::new(&other_keys, REPOSITORY, Suite::Aes256Gcm);
    assert_eq!(open(&other_keys, Kind::Archive, &sealed.id), "sealed with another key");

    // the same object posing as another kind under a name that fits
    let posing = forge(&sealed.bytes, |bytes| bytes[4] = Kind::Pending.into());
    let id = Kind::Pending.id(&sealed.bytes[8..40].try_into().unwrap());
    assert_eq!(refused(sealer.open(Kind::Pending, &id, &posing, LIMIT)), "sealed with another key");
}

#[test]
fn a_commitment_is_checked_before_anything_is_decrypted() {
    let sealer = sealer(Suite::Aes256Gcm);
    let sealed = sealer.seal(Kind::Archive, b"record").unwrap();
    // the tag is wrong as well: whoever looked at it first would say so
    let forged = forge(&sealed.bytes, |bytes| {
        bytes[HEADER_BYTES - 1] ^= 1;
        *bytes.last_mut().unwrap() ^= 1;
    });
    assert_eq!(refused(sealer.open(Kind::Archive, &sealed.id, &forged, LIMIT)), "sealed with another key");
    let forged = forge(&sealed.bytes, |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert_eq!(refused(sealer.open(Kind::Archive, &sealed.id, &forged, LIMIT)), "tag does not match");
}

#[test]
fn a_newer_version_is_not_damage_but_a_damaged_version_is() {
    let sealer = sealer(Suite::Aes256Gcm);
    let sealed = sealer.seal(Kind::Archive, b"record").unwrap();
    let newer = forge(&sealed.bytes, |bytes| bytes[5] = 2);
    let error = sealer.open(Kind::Archive, &sealed.id, &newer, LIMIT).unwrap_err();
    assert_eq!((error.kind(), error.context("version")), (ErrorKind::Unsupported, Some("2")));
    let mut damaged = sealed.bytes;
    damaged[5] = 2;
    assert_eq!(refused(sealer.open(Kind::Archive, &sealed.id, &damaged, LIMIT)), "hash");
}

/// An object whose owner sealed this plaintext, whatever it says.
fn object_around(plain: &[u8], flags: u8) -> Sealed {
    let suite = Suite::Aes256Gcm;
    let mut header = Header::new(MAGIC, Kind::Archive.into(), suite, flags, SALT);
    let purpose_key = keyring().get(Purpose::Archive).unwrap();
    let key = header.commit(Kind::Archive.context(), purpose_key, &REPOSITORY);
    let id = Kind::Archive.id(&SALT);
    let mut bytes = [&header.bytes()[..], plain].concat();
    let aad = header.additional_data(&REPOSITORY, Kind::Archive, &name_text(Kind::Archive, &id));
    let tag = key.cipher(suite).seal(0, &aad, &mut bytes[HEADER_BYTES..]).unwrap();
    bytes.extend_from_slice(&tag);
    append_tail(&mut bytes);
    Sealed { id, bytes }
}

fn plaintext(body_length: u32, raw_length: u32, body: &[u8], plain_bytes: usize) -> Vec<u8> {
    let mut plain = [&body_length.to_le_bytes()[..], &raw_length.to_le_bytes(), body].concat();
    plain.resize(plain_bytes, 0);
    plain
}

#[test]
fn even_an_owner_can_not_seal_what_is_out_of_form() {
    // 160 bytes is a Padmé size: 32 bytes of plaintext, 14 to 24 of them for the body
    let open = |plain: Vec<u8>, flags| {
        let sealed = object_around(&plain, flags);
        sealer(Suite::None).open(Kind::Archive, &sealed.id, &sealed.bytes, LIMIT)
    };
    assert_eq!(open(plaintext(20, 20, &[7; 20], 32), 0).unwrap(), [7; 20]);
    assert_eq!(refused(open(plaintext(20, 20, &[7; 21], 32), 0)), "padding");
    assert_eq!(refused(open(plaintext(20, 21, &[7; 20], 32), 0)), "lengths");
    assert_eq!(refused(open(plaintext(1, 1, &[7; 1], 32), 0)), "lengths");
    assert_eq!(refused(open(plaintext(25, 25, &[7; 24], 32), 0)), "lengths");
    assert_eq!(refused(open(plaintext(u32::MAX, u32::MAX, &[7; 24], 32), 0)), "lengths");
    assert_eq!(refused(open(plaintext(20, 20, &[7; 20], 32), FLAG_ZSTD)), "lengths");
    assert_eq!(refused(open(plaintext(20, 21, &[7; 20], 32), FLAG_ZSTD)), "compressed body");
    assert_eq!(refused(open(plaintext(20, 20, &[7; 20], 32), 2)), "flags");
    refused(open(plaintext(20, 20, &[7; 20], 33), 0));
    refused(open(vec![0; 7], 0));
}

#[test]
fn decompression_is_bounded_by_limit_and_stated_length() {
    let bomb = zstd::bulk::compress(&vec![0; 8 << 20], 19).unwrap();
    let total = object_bytes(bomb.len()).unwrap();
    let open = |raw_length: u32| {
        let plain = plaintext(bomb.len() as u32, raw_length, &bomb, total - HEADER_BYTES - TAG_BYTES - TAIL_BYTES);
        let sealed = object_around(&plain, FLAG_ZSTD);
        refused(sealer(Suite::None).open(Kind::Archive, &sealed.id, &sealed.bytes, LIMIT))
    };
    assert_eq!(open(8 << 20), "longer than such a record may be");
    assert_eq!(open(u32::MAX), "longer than such a record may be");
    assert_eq!(open(LIMIT as u32), "compressed body");
}

#[test]
fn a_body_that_decompresses_to_less_than_stated_is_refused() {
    let body = zstd::bulk::compress(&[0; 1000], ZSTD_LEVEL).unwrap();
    let total = object_bytes(body.len()).unwrap();
    let open = |raw_length: u32| {
        let plain = plaintext(body.len() as u32, raw_length, &body, total - HEADER_BYTES - TAG_BYTES - TAIL_BYTES);
        let sealed = object_around(&plain, FLAG_ZSTD);
        sealer(Suite::None).open(Kind::Archive, &sealed.id, &sealed.bytes, LIMIT)
    };
    assert_eq!(open(1000).unwrap(), [0; 1000]);
    assert_eq!(refused(open(1001)), "compressed body");
    assert_eq!(refused(open(999)), "compressed body");
}

#[test]
fn the_limit_of_a_record_is_exact() {
    let sealer = sealer(Suite::Aes256Gcm);
    for plain in [&[b'a'; 1000][..], &(0..=255).collect::<Vec<u8>>()] {
        let sealed = sealer.seal(Kind::Damage, plain).unwrap();
        assert_eq!(sealer.open(Kind::Damage, &sealed.id, &sealed.bytes, plain.len()).unwrap(), plain);
        for limit in [plain.len() - 1, 0] {
            let reason = refused(sealer.open(Kind::Damage, &sealed.id, &sealed.bytes, limit));
            assert_eq!(reason, "longer than such a record may be");
        }
    }
}

#[test]
fn kinds_with_their_own_layout_and_missing_keys_are_refused() {
    let sealer = sealer(Suite::Aes256Gcm);
    for kind in [Kind::KeySlot, Kind::Segment, Kind::Index] {
        assert_eq!(sealer.seal(kind, b"x").unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let poor = Keyring::decode(&[&[1][..], &[u8::from(Purpose::Control); 33]].concat()).unwrap();
    let poor = Sealer::new(&poor, REPOSITORY, Suite::Aes256Gcm);
    assert_eq!(poor.seal(Kind::Archive, b"x").unwrap_err().kind(), ErrorKind::KeyNotFound);
    let sealed = sealer.seal(Kind::Archive, b"x").unwrap();
    let error = poor.open(Kind::Archive, &sealed.id, &sealed.bytes, LIMIT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyNotFound);
    // the same purpose key, the same bytes
    let sealed = sealer.seal(Kind::Epoch, b"x").unwrap();
    assert_eq!(poor.open(Kind::Epoch, &sealed.id, &sealed.bytes, LIMIT).unwrap(), b"x");
}

proptest! {
    #[test]
    fn any_record_comes_back(plain in prop::collection::vec(any::<u8>(), 0..2000), run in 0usize..3000, suite in 0u8..3) {
        let plain = [plain, vec![0; run]].concat();
        let sealer = sealer(Suite::try_from(suite).unwrap());
        let sealed = sealer.seal(Kind::Archive, &plain).unwrap();
        prop_assert_eq!(sealer.open(Kind::Archive, &sealed.id, &sealed.bytes, plain.len()).unwrap(), plain);
    }

    #[test]
    fn any_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), tail: bool, lead: bool) {
        let mut bytes = bytes;
        if lead {
            bytes.splice(..0, *b"GABO\x05\x01\x01\x00");
        }
        if tail {
            append_tail(&mut bytes);
        }
        prop_assert!(sealer(Suite::None).open(Kind::Archive, &[0; 16], &bytes, LIMIT).is_err());
    }

    #[test]
    fn any_plaintext_of_an_owner_is_read_without_panic(
        mut plain in prop::collection::vec(any::<u8>(), 8..200),
        lengths in any::<(u8, u8)>(),
        zstd: bool,
    ) {
        plain[..8].copy_from_slice(&[lengths.0, 0, 0, 0, lengths.1, 0, 0, 0]);
        let sealed = object_around(&plain, u8::from(zstd));
        if let Ok(record) = sealer(Suite::None).open(Kind::Archive, &sealed.id, &sealed.bytes, LIMIT) {
            prop_assert_eq!(record.len(), usize::from(lengths.1));
        }
    }
}
