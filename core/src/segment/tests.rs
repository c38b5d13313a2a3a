//! Segments: both ways, golden bytes, and every kind of damage.

use super::*;
use crate::compress::{Compression, Compressor, Decompressor};
use crate::crypto::aead::Suite;
use crate::crypto::id_hash::{IdHash, IdHasher};
use crate::crypto::key::{Keyring, Purpose};
use crate::error::ErrorKind;
use crate::id::RepositoryId;
use crate::seal::Sealer;

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([9; 16]);

/// A keyring whose keys are 32 times the number of their purpose.
fn keyring() -> Keyring {
    let mut bytes = vec![Purpose::ALL.len() as u8];
    for purpose in Purpose::ALL {
        bytes.push(purpose as u8);
        bytes.extend([purpose as u8; 32]);
    }
    Keyring::decode(&bytes).unwrap()
}

fn hasher(keyring: &Keyring) -> IdHasher {
    let (data, tree) = (keyring.get(Purpose::IdData).unwrap(), keyring.get(Purpose::IdTree).unwrap());
    IdHasher::new(IdHash::Blake3, data, tree).unwrap()
}

fn entry(hasher: &IdHasher, class: Class, plain: &[u8]) -> ChunkEntry {
    ChunkEntry { id: hasher.id(class.into(), plain), bytes: plain.len() as u32 }
}

/// Two frames: a group of two chunks, and one chunk alone.
fn build(keyring: &Keyring, class: Class, suite: Suite) -> FinishedSegment {
    let hasher = hasher(keyring);
    let mut compressor = Compressor::new(&"none".parse::<Compression>().unwrap()).unwrap();
    let mut builder = SegmentBuilder::new(class);
    assert!(builder.is_empty());
    for chunks in [&[&b"first"[..], b"second chunk"][..], &[&[7; 300][..]]] {
        let mut frame = Vec::new();
        let codec = compressor.compress(&chunks.concat(), &mut frame).unwrap();
        let entries: Vec<_> = chunks.iter().map(|plain| entry(&hasher, class, plain)).collect();
        builder.append(codec.as_u8(), &frame, &entries);
    }
    builder.finish_with_salt(&Sealer::new(keyring, REPOSITORY, suite), [5; 32]).unwrap()
}

fn verified(keyring: &Keyring, segment: &FinishedSegment) -> crate::error::Result<()> {
    let sealer = Sealer::new(keyring, REPOSITORY, Suite::Aes256Gcm);
    verify(&sealer, &hasher(keyring), &mut FrameScratch::default(), segment)
}

#[test]
fn every_suite_and_class_goes_both_ways() {
    let keyring = keyring();
    for suite in Suite::all() {
        for class in [Class::Data, Class::Tree] {
            let segment = build(&keyring, class, suite);
            assert_eq!(segment.bytes.len() as u64, segment.record.bytes);
            assert_eq!(crate::codec::padme(segment.record.bytes), segment.record.bytes);
            verified(&keyring, &segment).unwrap();
        }
    }
}

#[test]
fn bytes_are_golden() {
    let segment = build(&keyring(), Class::Data, Suite::Aes256Gcm);
    assert_eq!(segment.record.id.to_string(), "fd12098db9bdf590d37d6b628934647f");
    let hash = blake3::hash(&segment.bytes).to_string();
    assert_eq!(
        (segment.bytes.len(), hash.as_str()),
        (704, "1bd31548b6010fbba4782ffb3d06795e0296e1cac244a4cbf2b97c37c3d2c49f")
    );
}

#[test]
fn frames_are_opened_one_by_one() {
    let keyring = keyring();
    let segment = build(&keyring, Class::Data, Suite::ChaCha20Poly1305);
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::Aes256Gcm);
    let opener = FrameOpener::new(&sealer, &segment.record.id, &segment.record.header).unwrap();
    let frame = segment.directory.frames[0];
    let stored = segment.bytes[HEADER_BYTES..HEADER_BYTES + frame.stored_bytes as usize].to_vec();
    let mut plain = Vec::new();
    let open = |number, stored: &[u8], plain: &mut Vec<u8>| {
        let size = frame.plain_bytes as usize;
        opener.open(&mut Decompressor::new(), number, &mut stored.to_vec(), frame.codec, size, plain)
    };
    open(0, &stored, &mut plain).unwrap();
    assert_eq!(plain, b"firstsecond chunk");
    assert_eq!(open(1, &stored, &mut Vec::new()).unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(open(0, &stored[..3], &mut Vec::new()).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn every_flipped_bit_and_every_missing_byte_is_noticed() {
    let keyring = keyring();
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::Aes256Gcm);
    let segment = build(&keyring, Class::Tree, Suite::Aes256Gcm);
    let id = segment.record.id;
    assert_eq!(open_directory(&sealer, &id, &segment.bytes).unwrap().1, segment.directory);
    for bit in 0..segment.bytes.len() * 8 {
        let mut bytes = segment.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(open_directory(&sealer, &id, &bytes).is_err(), "bit {bit}");
    }
    for length in 0..segment.bytes.len() {
        assert!(open_directory(&sealer, &id, &segment.bytes[..length]).is_err(), "length {length}");
    }
}

/// An enemy without keys can make the tail right again; everything else must still be noticed.
#[test]
fn a_repaired_tail_does_not_hide_a_change() {
    let keyring = keyring();
    let segment = build(&keyring, Class::Data, Suite::Aes256Gcm);
    let content = segment.bytes.len() - crate::crypto::envelope::TAIL_BYTES;
    let padding = padding_range(&segment);
    for bit in (0..content * 8).filter(|bit| !padding.contains(&(bit / 8))) {
        let mut bytes = segment.bytes[..content].to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        crate::crypto::envelope::append_tail(&mut bytes);
        let changed = FinishedSegment { bytes, record: segment.record.clone(), directory: segment.directory.clone() };
        assert!(verified(&keyring, &changed).is_err(), "bit {bit}");
    }
}

fn padding_range(segment: &FinishedSegment) -> std::ops::Range<usize> {
    let frames: usize = segment.directory.frames.iter().map(|frame| frame.stored_bytes as usize).sum();
    let directory = segment.directory.encode().len() + 16;
    HEADER_BYTES + frames + directory..segment.bytes.len() - format::END_BYTES
}

#[test]
fn other_names_and_keys_are_refused() {
    let keyring = keyring();
    let segment = build(&keyring, Class::Data, Suite::Aes256Gcm);
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::Aes256Gcm);
    let other_name = SegmentId::from_bytes([1; 16]);
    assert!(open_directory(&sealer, &other_name, &segment.bytes).is_err());
    let elsewhere = Sealer::new(&keyring, RepositoryId::from_bytes([1; 16]), Suite::Aes256Gcm);
    let error = open_directory(&elsewhere, &segment.record.id, &segment.bytes).unwrap_err();
    assert_eq!(error.context("reason"), Some("sealed with another key"));
}

#[test]
fn a_chunk_that_is_not_what_its_name_says_is_found_by_verify() {
    let keyring = keyring();
    let mut builder = SegmentBuilder::new(Class::Data);
    let wrong = entry(&hasher(&keyring), Class::Data, b"something else");
    builder.append(0, b"what is stored", &[ChunkEntry { bytes: 14, ..wrong }]);
    let segment = builder.finish(&Sealer::new(&keyring, REPOSITORY, Suite::None)).unwrap();
    let error = verified(&keyring, &segment).unwrap_err();
    assert_eq!(error.context("reason"), Some("a chunk reads back differently"));
}

#[test]
fn directories_that_do_not_add_up_are_refused() {
    let keyring = keyring();
    let good = build(&keyring, Class::Data, Suite::None).directory;
    assert_eq!(Directory::decode(&good.encode()).unwrap(), good);
    let refused = |change: &dyn Fn(&mut Directory)| {
        let mut changed = good.clone();
        change(&mut changed);
        assert_eq!(Directory::decode(&changed.encode()).unwrap_err().kind(), ErrorKind::Damaged);
    };
    refused(&|directory| directory.frames[0].chunks = 3);
    refused(&|directory| directory.frames[0].chunks = 1);
    refused(&|directory| directory.frames[1].plain_bytes += 1);
    refused(&|directory| directory.chunks[0].bytes = u32::MAX);
    refused(&|directory| _ = directory.frames.pop());
    refused(&|directory| _ = directory.chunks.pop());
    assert!(Directory::decode(&[0xff; 8]).is_err());
    assert!(Directory::decode(&[]).is_err());
}
