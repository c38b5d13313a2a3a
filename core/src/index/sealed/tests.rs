//! Tests of index fragments as stored objects.

use proptest::prelude::*;

use super::*;
use crate::crypto::aead::Suite;
use crate::crypto::key::Keyring;
use crate::id::RepositoryId;
use crate::index::samples;
use crate::seal::tail_hash;

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([9; 16]);

/// The keyring whose keys are one byte, the purpose's number, repeated.
fn keyring() -> Keyring {
    let keys = (1..=8u8).flat_map(|purpose| [[purpose].as_slice(), &[purpose; 32]].concat());
    Keyring::decode(&[vec![8], keys.collect()].concat()).unwrap()
}

fn small() -> Fragment {
    let segments: Vec<_> = (0..2).map(|number| samples::segment(number, 3)).collect();
    let mut fragment = Fragment::from_segments(1, &segments).unwrap().remove(0);
    fragment.replaces = vec![IndexId::from_bytes([1; 16]), IndexId::from_bytes([2; 16])];
    fragment
}

fn refresh_tail(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() - TAIL_BYTES);
    append_tail(bytes);
}

#[test]
fn stored_form_is_pinned() {
    let keyring = keyring();
    for (suite, hash) in [
        (Suite::None, "8d16b09cef5d1be780a318499af6d7cf58e03c32c86d2531fa9fd1f384260de6"),
        (Suite::Aes256Gcm, "1badde3e146668ea32ed351b342e79b8cfef60c374d0f8c68a9306603265ea0b"),
        (Suite::ChaCha20Poly1305, "fc4383c79e45bf4d73da93a781be154d500f07ccc7232d2a68482772405bc496"),
    ] {
        let sealer = Sealer::new(&keyring, REPOSITORY, suite);
        let (_, name, bytes) = small().seal_with_salt(&sealer, [7; 32]).unwrap();
        assert_eq!(name.as_str(), "index/1.6261682bd8f8fe579b4c048edab248a4");
        assert_eq!(bytes.len(), 768);
        assert_eq!(blake3::hash(&bytes).to_string(), hash, "{suite}");
    }
}

#[test]
fn clear_form_is_as_documented() {
    let keyring = keyring();
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::None);
    let fragment = small();
    let (id, name, bytes) = fragment.seal_with_salt(&sealer, [7; 32]).unwrap();
    assert_eq!(name, fragment_name(1, &id));
    assert_eq!(bytes[..8], *b"GABO\x04\x01\x00\x00");
    assert_eq!(bytes[8..40], [7; 32]);
    let table = [42u32, 2, 16, 6, 0, 0, 0, 0];
    assert_eq!(bytes[72..104], table.map(u32::to_le_bytes).concat());
    let info = &bytes[120..162];
    assert_eq!(info[..6], [0x95, 1, 0x92, 0xc4, 16, 1]);
    let row = &bytes[178..319];
    assert_eq!(row[..16], *fragment.segments[0].record.id.as_bytes());
    assert_eq!(row[129..], [1u32, 3, 7].map(u32::to_le_bytes).concat());
    let fence = &bytes[476..492];
    assert_eq!(fence, fragment.keys[0].key.to_bytes());
    let places = &bytes[508..524];
    assert_eq!(places[..7], *fragment.segments[0].places.encoded());
    let keys = &bytes[540..540 + 144];
    assert_eq!(keys[24..40], fragment.keys[1].key.to_bytes());
    assert_eq!(keys[40..44], fragment.keys[1].segment.to_le_bytes());
    let end = bytes.len() - 40;
    assert_eq!(bytes[end..end + 32], tail_hash(&bytes[..end]));
    assert_eq!(bytes[end + 32..], (bytes.len() as u64).to_le_bytes());
}

#[test]
fn every_suite_goes_both_ways() {
    let keyring = keyring();
    for suite in Suite::all() {
        let sealer = Sealer::new(&keyring, REPOSITORY, suite);
        for fragment in [small(), Fragment { segments: Vec::new(), keys: Vec::new(), ..small() }] {
            let (id, name, bytes) = fragment.seal(&sealer).unwrap();
            assert_eq!(parse_name(&name).unwrap(), (1, id));
            assert_eq!(codec::padme(bytes.len() as u64), bytes.len() as u64);
            assert_eq!(Fragment::open(&sealer, &name, &bytes).unwrap(), fragment);
            assert_ne!(fragment.seal(&sealer).unwrap().0, id);
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_even_under_a_right_tail() {
    let keyring = keyring();
    for suite in Suite::all() {
        let sealer = Sealer::new(&keyring, REPOSITORY, suite);
        let (_, name, bytes) = small().seal_with_salt(&sealer, [7; 32]).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            Fragment::open(&sealer, &name, &bad).unwrap_err();
            refresh_tail(&mut bad);
            let opened = Fragment::open(&sealer, &name, &bad);
            assert_eq!(opened.is_ok(), bit / 8 >= bytes.len() - TAIL_BYTES, "bit {bit} with {suite}");
        }
    }
}

#[test]
fn truncated_and_extended_objects_are_refused() {
    let keyring = keyring();
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::fastest());
    let (_, name, bytes) = small().seal_with_salt(&sealer, [7; 32]).unwrap();
    for length in 0..bytes.len() {
        Fragment::open(&sealer, &name, &bytes[..length]).unwrap_err();
        let mut cut = bytes[..length.min(bytes.len() - TAIL_BYTES - 1)].to_vec();
        append_tail(&mut cut);
        assert_eq!(Fragment::open(&sealer, &name, &cut).unwrap_err().kind(), ErrorKind::Damaged);
    }
    let mut longer = bytes[..bytes.len() - TAIL_BYTES].to_vec();
    longer.extend_from_slice(&[0; 64]);
    append_tail(&mut longer);
    assert_eq!(Fragment::open(&sealer, &name, &longer).unwrap_err().context("reason"), Some("length"));
    let huge = vec![0; INDEX_BYTES_MAX + 1];
    assert_eq!(Fragment::open(&sealer, &name, &huge).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn object_opens_only_in_its_own_place() {
    let keyring = keyring();
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::fastest());
    let (id, name, bytes) = small().seal(&sealer).unwrap();
    let reason = |sealer: &Sealer<'_>, name: &ObjectName| {
        let error = Fragment::open(sealer, name, &bytes).unwrap_err();
        assert_eq!(error.context("object"), Some(name.as_str()));
        error.context("reason").map(str::to_owned)
    };
    assert_eq!(reason(&sealer, &fragment_name(2, &id)).as_deref(), Some("tag does not match"));
    let other = fragment_name(1, &IndexId::from_bytes([0; 16]));
    assert_eq!(reason(&sealer, &other).as_deref(), Some("salt does not give this name"));
    let elsewhere = Sealer::new(&keyring, RepositoryId::from_bytes([8; 16]), Suite::fastest());
    assert_eq!(reason(&elsewhere, &name).as_deref(), Some("sealed with another key"));
    let stranger = Keyring::generate().unwrap();
    let stranger = Sealer::new(&stranger, REPOSITORY, Suite::fastest());
    assert_eq!(reason(&stranger, &name).as_deref(), Some("sealed with another key"));
    let keyless = Keyring::default();
    let keyless = Sealer::new(&keyless, REPOSITORY, Suite::fastest());
    assert_eq!(Fragment::open(&keyless, &name, &bytes).unwrap_err().kind(), ErrorKind::KeyNotFound);
    assert_eq!(small().seal(&keyless).unwrap_err().kind(), ErrorKind::KeyNotFound);
    let foreign = ObjectName::new("segments/ab").unwrap();
    assert_eq!(Fragment::open(&sealer, &foreign, &bytes).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn fragments_that_are_not_valid_are_not_sealed() {
    let keyring = keyring();
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::fastest());
    let mut unsorted = small();
    unsorted.keys.swap(0, 1);
    let mut lacking = small();
    lacking.keys.pop();
    let mut doubled = small();
    doubled.segments[1] = doubled.segments[0].clone();
    let mut overlong = small();
    overlong.segments[0].record.bytes = 100;
    let mut high = small();
    high.level = 10;
    let mut many = small();
    many.replaces = vec![IndexId::from_bytes([1; 16]); sections::REPLACES_MAX + 1];
    for bad in [unsorted, lacking, doubled, overlong, high, many] {
        bad.seal(&sealer).unwrap_err();
    }
}

/// The sections of a fragment, changed by somebody who has the keys, as an object.
fn forge(sealer: &Sealer<'_>, change: impl FnOnce(&mut [Vec<u8>])) -> Result<Fragment> {
    let fragment = small();
    let info = Info { level: 1, replaces: vec![], segments: 2, keys: 6, extensions: codec::Extensions::none() };
    let (rows, places) = sections::encode_segments(&fragment.segments);
    let info = codec::encode(&info, RECORD_BYTES_MAX).unwrap();
    let (info_bytes, places_bytes) = (info.len(), places.len());
    let table = SectionTable { info_bytes, segments: 2, places_bytes, keys: 6 };
    let fence = sections::encode_fence(&fragment.keys);
    let mut plain = [table.encode().to_vec(), info, rows, fence, places, sections::encode_block(&fragment.keys)];
    change(&mut plain);
    let salt = [3; 32];
    let name = fragment_name(1, &IndexId::from_bytes(Kind::Index.id(&salt)));
    let bytes = assemble(sealer, &name, salt, table.stored_bytes(), plain.into_iter()).unwrap();
    Fragment::open(sealer, &name, &bytes)
}

#[test]
fn holder_of_the_keys_can_not_make_a_fragment_that_lies_about_itself() {
    let keyring = keyring();
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::fastest());
    assert_eq!(forge(&sealer, |_| ()).unwrap().keys, small().keys);
    let refused = |section: usize, at: usize| {
        let error = forge(&sealer, |plain| plain[section][at] ^= 1).unwrap_err();
        error.context("reason").unwrap().to_owned()
    };
    assert_eq!(refused(0, 12), "length");
    assert_eq!(refused(0, 31), "unknown sections");
    assert_eq!(refused(1, 1), "level or counts differ from name or section table");
    assert_eq!(refused(1, 3), "level or counts differ from name or section table");
    assert_eq!(refused(1, 4), "level or counts differ from name or section table");
    assert_eq!(refused(2, 133), "counts do not fit the places");
    assert_eq!(refused(3, 0), "fence");
    assert_eq!(refused(5, 16), "a key names no chunk of its own");
    // nearly 64 KiB of info, 2^20 keys: more than there is, noticed before anything is allocated
    for (at, value) in [(1, 255), (14, 16)] {
        let error = forge(&sealer, |plain| plain[0][at] = value).unwrap_err();
        assert_eq!(error.context("reason"), Some("length"));
    }
}

#[test]
fn head_tells_what_is_replaced() {
    let keyring = keyring();
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::fastest());
    let mut fragment = small();
    fragment.replaces = (0..1024u32).map(|number| IndexId::from_bytes([number as u8; 16])).collect();
    let (_, name, bytes) = fragment.seal(&sealer).unwrap();
    let head = &bytes[..FRAGMENT_HEAD_BYTES.min(bytes.len())];
    assert_eq!(Fragment::read_replaced(&sealer, &name, head).unwrap(), fragment.replaces);
    let mut bad = head.to_vec();
    bad[200] ^= 1;
    let error = Fragment::read_replaced(&sealer, &name, &bad).unwrap_err();
    assert_eq!(error.context("reason"), Some("tag does not match"));
    Fragment::read_replaced(&sealer, &name, &bytes[..5000]).unwrap_err();
}

#[test]
fn large_fragment_goes_both_ways() {
    let keyring = keyring();
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::fastest());
    let segments: Vec<_> = (0..100).map(|number| samples::segment(number, 3000)).collect();
    let fragment = Fragment::from_segments(0, &segments).unwrap().remove(0);
    let (_, name, bytes) = fragment.seal(&sealer).unwrap();
    assert!(bytes.len() < 300_000 * 29, "{}", bytes.len());
    let opened = Fragment::open(&sealer, &name, &bytes).unwrap();
    assert_eq!((opened.segments.len(), opened.keys.len()), (100, 300_000));
    assert_eq!(opened, fragment);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400), head in 0usize..200, tail in any::<bool>(),
    ) {
        let keyring = keyring();
        let sealer = Sealer::new(&keyring, REPOSITORY, Suite::None);
        let (_, name, good) = small().seal_with_salt(&sealer, [7; 32]).unwrap();
        let head = head.min(bytes.len());
        bytes[..head].copy_from_slice(&good[..head]);
        if tail {
            append_tail(&mut bytes);
        }
        prop_assert!(Fragment::open(&sealer, &name, &bytes).is_err());
    }
}
