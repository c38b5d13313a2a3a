//! Targets for fuzzing: every decoder of bytes that come from a store, a file or a person.
//!
//! A target takes any bytes and must not panic; what it accepts must encode to the same bytes again where the
//! encoding is canonical. `tests/fuzz` hands them to a fuzzer, `tests/tests/fuzz.rs` to seeded mutations of the same
//! corpus.

use gabion_backends::Location;
use gabion_core::archive::{ArchiveRecord, Node, PendingRecord, RemovalRecord};
use gabion_core::chunker::ChunkerParams;
use gabion_core::compress::{Compression, Decompressor, FrameCodec};
use gabion_core::crypto::aead::Suite;
use gabion_core::crypto::key::Keyring;
use gabion_core::crypto::key_slot::KeySlot;
use gabion_core::gc::{DamageRecord, DoomRecord, LeaseRecord};
use gabion_core::id::{KeyId, RepositoryId, SegmentId};
use gabion_core::index::Fragment;
use gabion_core::limits::{MIB, RECORD_BYTES_MAX};
use gabion_core::pattern::{Pattern, Style, parse_exclude_file, parse_patterns_file};
use gabion_core::repository::Config;
use gabion_core::seal::{Kind, Sealer, append_tail, verify_tail};
use gabion_core::segment::{Directory, open_directory, salvage_directory};
use gabion_core::tar::{Piece, TarReader};

/// A decoder under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 19] = [
    Target { name: "archive", run: archive },
    Target { name: "chunker", run: chunker },
    Target { name: "compression", run: compression },
    Target { name: "config", run: config },
    Target { name: "damage", run: damage },
    Target { name: "directory", run: directory },
    Target { name: "doom", run: doom },
    Target { name: "envelope", run: envelope },
    Target { name: "frame", run: frame },
    Target { name: "index", run: index },
    Target { name: "key_slot", run: key_slot },
    Target { name: "lease", run: lease },
    Target { name: "location", run: location },
    Target { name: "node", run: node },
    Target { name: "patterns", run: patterns },
    Target { name: "pending", run: pending },
    Target { name: "removal", run: removal },
    Target { name: "segment", run: segment },
    Target { name: "tar", run: tar },
];

/// The repository whose objects these are, and keys that everybody knows.
pub const REPOSITORY: RepositoryId = RepositoryId::from_bytes([7; 16]);

/// A keyring that is the same every time.
pub fn keyring() -> Option<Keyring> {
    // their count, then number and key of each purpose
    let keys = (1..=8u8).flat_map(|purpose| std::iter::once(purpose).chain([purpose; 32]));
    Keyring::decode(&std::iter::once(8).chain(keys).collect::<Vec<_>>()).ok()
}

fn same(again: gabion_core::error::Result<Vec<u8>>, data: &[u8]) {
    assert!(again.is_ok_and(|again| again == data), "what was accepted encodes to something else");
}

/// An archive record.
pub fn archive(data: &[u8]) {
    if let Ok(record) = ArchiveRecord::decode(data) {
        same(record.encode(), data);
    }
}

/// The record of an archive in the making.
pub fn pending(data: &[u8]) {
    if let Ok(record) = PendingRecord::decode(data) {
        same(record.encode(), data);
    }
}

/// The record of a removal.
pub fn removal(data: &[u8]) {
    if let Ok(record) = RemovalRecord::decode(data) {
        same(record.encode(), data);
    }
}

/// The record of a collector.
pub fn doom(data: &[u8]) {
    if let Ok(record) = DoomRecord::decode(data) {
        same(record.encode(), data);
    }
}

/// What is known of damage.
pub fn damage(data: &[u8]) {
    if let Ok(record) = DamageRecord::decode(data) {
        same(record.encode(), data);
    }
}

/// Who asks collectors to wait.
pub fn lease(data: &[u8]) {
    if let Ok(record) = LeaseRecord::decode(data) {
        same(record.encode(), data);
    }
}

/// A tree node, and what it refers to.
pub fn node(data: &[u8]) {
    if let Ok(node) = Node::decode(data) {
        same(node.encode(), data);
        node.for_each_chunk(&mut |_, _| {});
    }
}

/// The directory of a segment.
pub fn directory(data: &[u8]) {
    if let Ok(directory) = Directory::decode(data) {
        same(Ok(directory.encode()), data);
    }
}

/// An index fragment behind its seals: the level of the name, then the sections.
pub fn index(data: &[u8]) {
    let Some((level, sections)) = data.split_first() else { return };
    if let Ok(fragment) = Fragment::decode(*level, sections) {
        same(fragment.encode(), sections);
    }
}

/// The object `config`.
pub fn config(data: &[u8]) {
    if let (Ok(config), Some(keyring)) = (Config::decode(data), keyring()) {
        let _ = (config.suite(), config.id_hash(), config.check_writable());
        let _ = Config::verify(data, &keyring);
    }
}

/// A sealed record of any kind, as it is and with the tail that fits.
pub fn envelope(data: &[u8]) {
    let Some(keyring) = keyring() else { return };
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::None);
    with_tail(data, &mut |object| {
        let _ = verify_tail(object);
        for kind in Kind::all() {
            let _ = sealer.open(kind, &id(kind, object), object, RECORD_BYTES_MAX);
        }
    });
}

/// A segment.
pub fn segment(data: &[u8]) {
    let Some(keyring) = keyring() else { return };
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::None);
    let id = SegmentId::from_bytes(id(Kind::Segment, data));
    let _ = open_directory(&sealer, &id, data);
    let _ = salvage_directory(&sealer, &id, data);
}

/// A key slot, as it is and with the tail that fits.
pub fn key_slot(data: &[u8]) {
    with_tail(data, &mut |object| {
        if let Ok(slot) = KeySlot::parse(object, &KeyId::from_bytes(id(Kind::KeySlot, object)))
            && slot.is_plain()
        {
            let _ = slot.open(None, &REPOSITORY);
        }
    });
}

/// The id that fits the salt.
fn id(kind: Kind, object: &[u8]) -> [u8; 16] {
    let salt = object.get(8..40).and_then(|salt| salt.try_into().ok()).unwrap_or([0; 32]);
    kind.id(&salt)
}

fn with_tail(data: &[u8], take: &mut dyn FnMut(&[u8])) {
    take(data);
    let mut object = data.to_vec();
    object.truncate(data.len().saturating_sub(40));
    append_tail(&mut object);
    take(&object);
}

/// A compressed frame: its codec, three bytes of plaintext length, the rest.
pub fn frame(data: &[u8]) {
    let [codec, a, b, c, stored @ ..] = data else { return };
    let bytes = u32::from_le_bytes([*a, *b, *c, 0]) as usize % MIB;
    if let Ok(codec) = FrameCodec::from_u8(*codec) {
        let mut plain = Vec::new();
        let opened = Decompressor::new().decompress(codec, stored, bytes, &mut plain);
        assert!(plain.len() == if opened.is_ok() { bytes } else { 0 }, "{} bytes instead of {bytes}", plain.len());
        assert!(plain.capacity() <= 2 * bytes + MIB, "{} bytes for {bytes}", plain.capacity());
    }
}

/// Files of patterns, and every line as a pattern.
pub fn patterns(data: &[u8]) {
    let _ = (parse_patterns_file(data), parse_exclude_file(data));
    for (line, style) in data.split(|byte| *byte == b'\n').zip([Style::Fnmatch, Style::Regex]) {
        if let Ok(pattern) = Pattern::parse(line, style) {
            pattern.matches(b"home/user/file.txt");
            pattern.matches(&line[..line.len().min(100)]);
        }
    }
}

/// A tar archive, with as much of its content as there is.
pub fn tar(data: &[u8]) {
    let (mut buffer, mut read) = ([0; 4096], 0);
    let mut reader = TarReader::new(data, true);
    while let Ok(Some(_)) = reader.next_member() {
        while let Ok(Piece::Data(bytes)) = reader.read(&mut buffer) {
            read += bytes;
        }
    }
    assert!(read <= data.len(), "{read} bytes of {}", data.len());
}

fn text(data: &[u8]) -> &str {
    std::str::from_utf8(data).unwrap_or_default()
}

/// Parameters of chunkers.
pub fn chunker(data: &[u8]) {
    if let Ok(params) = text(data).parse::<ChunkerParams>() {
        assert!(params.to_string().parse::<ChunkerParams>().is_ok_and(|again| again == params), "{params}");
    }
}

/// How frames are compressed.
pub fn compression(data: &[u8]) {
    if let Ok(compression) = text(data).parse::<Compression>() {
        assert!(
            compression.to_string().parse::<Compression>().is_ok_and(|again| again == compression),
            "{compression}"
        );
    }
}

/// Where a repository is.
pub fn location(data: &[u8]) {
    if let Ok(location) = Location::parse(text(data)) {
        let _ = location.to_string();
    }
}
