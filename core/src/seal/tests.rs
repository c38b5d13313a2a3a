//! The envelope holds what it was given, and nothing else ever opens.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::codec::Cursor;
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
