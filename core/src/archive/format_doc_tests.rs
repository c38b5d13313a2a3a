//! The golden bytes of `docs/format.md` are those the engine makes.
//!
//! Every fenced block ```` ```golden NAME ```` of the page is made anew here, from the keys and salts the page
//! names, and compared; white space does not count. The test stands on the highest floor that has a stored form.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::attributes::{AttributesRead, AttributesRef};
use super::content::{Content, ContentChild, ContentItem, ContentTree, DirectoryRef};
use super::cut::{Cut, CutKey};
use super::entry::Entry;
use super::metadata::{Attributes, FileType, Metadata};
use super::node::{DirectoryChild, Node};
use super::record::{ArchiveRecord, BaseRef, ClientMark, Head, LeftOut, PendingRecord, Statistics};
use super::removal::RemovalRecord;
use super::stat::{StatChild, StatRef, StatRow};
use crate::backend::{MemoryBackend, ObjectName, Payload, Store};
use crate::chunker::Chunker;
use crate::clock::Timestamp;
use crate::codec::{self, Extensions};
use crate::crypto::aead::Suite;
use crate::crypto::id_hash::{IdHash, IdHasher, IdSpace};
use crate::crypto::kdf::KdfParams;
use crate::crypto::key::{Keyring, ObjectKey, Purpose};
use crate::crypto::key_slot::{KeySlot, Protection};
use crate::crypto::secret::Passphrase;
use crate::gc::{DoomRecord, LeaseRecord, LostChunk, damage_records};
use crate::id::{ArchiveId, ChunkId, ClientId, RepositoryId, SegmentId, write_hex};
use crate::index::{Fragment, Places};
use crate::repository::{Client, Config, Repository};
use crate::seal::{Header, Kind, MAGIC, Sealer};
use crate::segment::{ChunkEntry, Class, FinishedSegment, SegmentBuilder};

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([9; 16]);
const SALT: [u8; 32] = [5; 32];
const TIME: Timestamp = Timestamp::new(1_790_000_000, 5);

type Goldens = BTreeMap<String, String>;

#[test]
fn the_page_shows_what_the_engine_makes() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/format.md");
    // A published package has no pages.
    let Ok(page) = std::fs::read_to_string(page) else { return };
    let (shown, made) = (blocks(&page), goldens());
    let mut wrong = String::new();
    for (name, value) in &made {
        if shown.get(name).map(|text| text.split_whitespace().collect::<String>())
            != Some(value.split_whitespace().collect())
        {
            write!(wrong, "\n```golden {name}\n{value}\n```\n").unwrap();
        }
    }
    assert!(wrong.is_empty(), "docs/format.md should say{wrong}");
    let unknown: Vec<_> = shown.keys().filter(|name| !made.contains_key(*name)).collect();
    assert!(unknown.is_empty(), "docs/format.md has golden bytes nobody makes: {unknown:?}");
}

/// The golden blocks of a page by name.
fn blocks(page: &str) -> Goldens {
    let mut found = Goldens::new();
    for block in page.split("```golden ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        let (body, _) = rest.split_once("```").unwrap();
        assert!(found.insert(name.trim().to_owned(), body.to_owned()).is_none(), "{name} twice");
    }
    found
}

fn goldens() -> Goldens {
    let mut out = Goldens::new();
    primitives(&mut out);
    keys(&mut out);
    records(&mut out);
    segments(&mut out);
    nodes(&mut out);
    archives(&mut out);
    decisions(&mut out);
    out
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (number, line) in bytes.chunks(32).enumerate() {
        text.push_str(if number == 0 { "" } else { "\n" });
        write_hex(&mut text, line).unwrap();
    }
    text
}

fn add(out: &mut Goldens, name: &str, bytes: &[u8]) {
    assert!(out.insert(name.to_owned(), hex(bytes)).is_none());
}

/// Every key is 32 times the number of its purpose.
fn keyring() -> Keyring {
    let keys = Purpose::ALL.map(|purpose| [purpose as u8; 33]).concat();
    Keyring::decode(&[vec![8], keys].concat()).unwrap()
}

fn hasher(hash: IdHash) -> IdHasher {
    let keyring = keyring();
    IdHasher::new(hash, keyring.get(Purpose::IdData).unwrap(), keyring.get(Purpose::IdTree).unwrap()).unwrap()
}

fn primitives(out: &mut Goldens) {
    let mut varints = Vec::new();
    [0, 127, 128, 300, u64::from(u32::MAX)].into_iter().for_each(|value| codec::put_varint(&mut varints, value));
    add(out, "varints", &varints);
    let lengths = [0u64, 1, 7, 8, 9, 17, 100, 1000, 1_000_000, 33_554_433];
    let padded: Vec<_> = lengths.iter().map(|length| format!("{length}:{}", codec::padme(*length))).collect();
    out.insert("padme".into(), padded.join(" "));
    add(out, "object-id", &Kind::Segment.id(&SALT));
    let mut ids = String::new();
    for hash in IdHash::all() {
        for (space, name) in [(IdSpace::Data, "data"), (IdSpace::Tree, "tree")] {
            writeln!(ids, "{hash} {name} {}", hasher(hash).id(space, b"abc")).unwrap();
        }
    }
    out.insert("chunk-ids".into(), ids.trim_end().to_owned());
    let header = Header::new(MAGIC, Kind::Doom.into(), Suite::Aes256Gcm, 0, SALT).keyed_bytes();
    let keyring = keyring();
    let control = keyring.get(Purpose::Control).unwrap();
    let key = ObjectKey::derive(Kind::Doom.context(), control, &REPOSITORY, &header);
    add(out, "object-key", &[&header[..], key.key.expose(), &key.commitment].concat());
}

fn keys(out: &mut Goldens) {
    let keyring = keyring();
    add(out, "keyring", &keyring.encode());
    let mut record = vec![0x99, 1, 0xc4, 16];
    record.extend([9; 16]);
    record.extend([0, 1, 0x92, 0xce, 0x6a, 0xb1, 0x3b, 0x80, 5, 0x90, 0x90, 0x90, 0x80]);
    let config: Config = codec::decode(&record, 1000).unwrap();
    let config = config.encode(&keyring).unwrap();
    add(out, "config", &config);

    let slot = |protection, suite| {
        KeySlot::seal_with_salt(&keyring, &REPOSITORY, protection, "laptop", TIME, suite, SALT).unwrap()
    };
    let (id, plain) = slot(Protection::Plain, Suite::None);
    add(out, "key-slot-plain", &plain);
    let passphrase = Passphrase::from("correct horse".to_owned());
    let protection = Protection::Passphrase { passphrase: &passphrase, kdf: &KdfParams::weak_for_tests() };
    add(out, "key-slot-argon2id", &slot(protection, Suite::Aes256Gcm).1);

    // The two make a repository, which tells the keys it derives.
    let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
    store.put(&ObjectName::new("config").unwrap(), Payload::from(config)).unwrap();
    store.put(&ObjectName::new(format!("keys/{id}")).unwrap(), Payload::from(plain)).unwrap();
    let repository = Repository::open(store, Client::default(), &mut |_| Ok(None)).unwrap();
    add(out, "derived-keys", &[repository.cut_key().unwrap(), repository.hard_link_key().unwrap()].concat());
}

fn records(out: &mut Goldens) {
    // Ids that look like ids do not shrink, so the bytes depend on no version of a compressor.
    let segments = [1, 2].map(|kind| SegmentId::from_bytes(crate::id::object_id(kind, &SALT)));
    let record = DoomRecord { segments: segments.into(), extensions: Extensions::none() }.encode().unwrap();
    add(out, "doom-record", &record);
    let lease = LeaseRecord {
        host: "laptop".to_owned(),
        user: "u".to_owned(),
        process: 4711,
        purpose: "rsync".to_owned(),
        since: TIME,
        extensions: Extensions::none(),
    };
    add(out, "lock-record", &lease.encode().unwrap());
    let lost = [(0xc1, Class::Data), (0xd2, Class::Tree)].map(|(byte, class)| LostChunk {
        id: ChunkId::from_bytes([byte; 32]),
        class,
        segments: segments.into(),
    });
    let damage = damage_records(TIME, &lost, &[ArchiveId::from_bytes([0xa0; 16])].into());
    add(out, "damage-record", &damage[0].encode().unwrap());
    let keyring = keyring();
    for suite in Suite::all() {
        let sealed = Sealer::new(&keyring, REPOSITORY, suite).seal_with_salt(Kind::Doom, &record, SALT).unwrap();
        add(out, &format!("doom-{suite}"), &sealed.bytes);
    }
}

/// A group of two chunks, and one chunk alone; not compressed.
fn segment(suite: Suite) -> FinishedSegment {
    let hasher = hasher(IdHash::Blake3);
    let mut builder = SegmentBuilder::new(Class::Data);
    for chunks in [&[&b"first"[..], b"second chunk"][..], &[&[7; 40][..]]] {
        let entry = |plain: &&[u8]| ChunkEntry { id: hasher.id(IdSpace::Data, plain), bytes: plain.len() as u32 };
        builder.append(0, &chunks.concat(), &chunks.iter().map(entry).collect::<Vec<_>>());
    }
    builder.finish_with_salt(&Sealer::new(&keyring(), REPOSITORY, suite), SALT).unwrap()
}

fn segments(out: &mut Goldens) {
    let plain = segment(Suite::None);
    add(out, "segment-directory", &plain.directory.encode());
    add(out, "segment-none", &plain.bytes);
    add(out, "segment-aes256-gcm", &segment(Suite::Aes256Gcm).bytes);
    add(out, "places", Places::of(&plain.directory).unwrap().encoded());
    let fragments = Fragment::from_segments(0, &[(plain.record, plain.directory)]).unwrap();
    let keyring = keyring();
    let sealer = Sealer::new(&keyring, REPOSITORY, Suite::None);
    add(out, "index-fragment-none", &fragments[0].seal_with_salt(&sealer, SALT).unwrap().2);
}

fn chunk(byte: u8) -> ChunkId {
    ChunkId::from_bytes([byte; 32])
}

fn directory() -> DirectoryRef {
    DirectoryRef { root: chunk(0xd1), depth: 0, entries: 3, files: 2, bytes: 1000 }
}

fn entry(name: &str, file_type: FileType, size: u64, content: Content) -> Entry {
    let metadata = Metadata {
        mode: 0o644,
        uid: 1000,
        gid: 100,
        user: Some(ByteBuf::from(*b"u")),
        group: None,
        modified: TIME,
        born: None,
        accessed: None,
        flags: 0,
    };
    let (attributes, extensions) = (AttributesRef::None, Extensions::none());
    Entry { name: name.into(), file_type, metadata, size, hard_link: None, attributes, content, extensions }
}

fn attributes() -> Attributes {
    Attributes([(ByteBuf::from(*b"user.a"), ByteBuf::from(*b"1"))].into())
}

fn nodes(out: &mut Goldens) {
    let items = vec![ContentItem::Chunk { id: chunk(0xc1), bytes: 1000 }, ContentItem::Hole { bytes: 4096 }];
    let tree = ContentTree { root: chunk(0xc2), depth: 1, items: 700 };
    let mut linked = entry("b-list", FileType::File, 5096, Content::List(items.clone()));
    linked.hard_link = Some(0x0102_0304_0506_0708);
    linked.attributes = AttributesRef::Inline(attributes());
    let mut tall = entry("c-tree", FileType::File, 1_000_000, Content::Tree(tree));
    tall.attributes = AttributesRef::Chunk(chunk(0xa1));
    let entries = vec![
        entry("a-inline", FileType::File, 2, Content::Inline(b"hi".to_vec())),
        linked,
        tall,
        entry("d-directory", FileType::Directory, 0, Content::Directory(directory())),
        entry("e-link", FileType::Symlink, 0, Content::Target(b"../x".to_vec())),
        entry("f-device", FileType::BlockDevice, 0, Content::Device { major: 8, minor: 1 }),
        entry("g-fifo", FileType::Fifo, 0, Content::None),
    ];
    let stat = StatRef { root: chunk(0x51), depth: 0 };
    let rows = vec![StatRow::None, StatRow::File { inode: 300, changed: TIME }, StatRow::Directory(stat)];
    let child = |byte| ContentChild { id: chunk(byte), items: 350, bytes: 500_000 };
    let below = |first: &[u8], byte| DirectoryChild { first: first.to_vec(), id: chunk(byte), entries: 64 };
    let stats = [0x52, 0x53].map(|byte| StatChild { id: chunk(byte), rows: 64 }).to_vec();
    for (name, node) in [
        ("node-1-directory-leaf", Node::DirectoryLeaf(entries)),
        ("node-2-directory-interior", Node::DirectoryInterior(vec![below(b"a", 0xd2), below(b"m", 0xd3)])),
        ("node-3-content-leaf", Node::ContentLeaf(items)),
        ("node-4-content-interior", Node::ContentInterior(vec![child(0xc3), child(0xc4)])),
        ("node-5-stat-leaf", Node::StatLeaf(rows)),
        ("node-6-stat-interior", Node::StatInterior(stats)),
        ("node-7-attributes", Node::Attributes(attributes())),
    ] {
        let bytes = node.encode().unwrap();
        assert_eq!(Node::decode(&bytes).unwrap(), node);
        add(out, name, &bytes);
    }
}

fn archives(out: &mut Goldens) {
    let archive = ArchiveId::from_bytes([0xa0; 16]);
    let client = ClientId::from_bytes([0xcc; 16]);
    let stat_root = Some(StatRef { root: chunk(0x51), depth: 0 });
    let record = ArchiveRecord {
        name: "home".into(),
        start: TIME,
        end: Timestamp::new(1_790_000_060, 0),
        host: "laptop".into(),
        user: "u".into(),
        command_line: vec!["gabion".into(), "create".into()],
        comment: String::new(),
        tags: ["weekly".to_owned()].into(),
        root: directory(),
        stat_root,
        top: None,
        working_directory: Some(ByteBuf::from(*b"/home/u")),
        paths: vec![ByteBuf::from(*b".")],
        base: Some(archive),
        statistics: Statistics { files: 2, bytes: 1000, new_bytes: 1000, stored_bytes: 600, errors: 0 },
        chunker: "fastcdc,19,23,21,2".into(),
        client: Some(ClientMark { id: client, sequence: 2, previous: Some(archive) }),
        heads: vec![Head { client, archive, sequence: 1 }],
        extensions: Extensions::none(),
    };
    add(out, "archive-record", &record.encode().unwrap());
    let read = AttributesRead { xattrs: true, acls: true, superuser: false }.put(Extensions::none());
    add(out, "attributes-read", &codec::encode(&read, 100).unwrap());
    add(out, "listed", &codec::encode(&ArchiveRecord::listed(read.clone()), 100).unwrap());
    let patterns = ArchiveRecord::leaving_out(read, LeftOut::ByPatterns);
    add(out, "left-out", &codec::encode(&patterns, 100).unwrap());
    let base = Some(BaseRef { archive: Some(archive), root: directory(), stat_root });
    let pending = PendingRecord { started: TIME, base, record: None, complete: false, extensions: Extensions::none() };
    add(out, "pending-record", &pending.encode().unwrap());
    let removal = RemovalRecord {
        archive,
        record: None,
        time: TIME,
        host: "laptop".into(),
        user: "kei".into(),
        reason: "delete".into(),
        extensions: Extensions::none(),
    };
    add(out, "removal-record", &removal.encode().unwrap());
}

/// What is decided by keyed hashes: where nodes end and where content is cut.
fn decisions(out: &mut Goldens) {
    let key = CutKey::new([7; 32]);
    let ends = |tree, level| {
        let names = (0..1000).filter(|number| key.ends(tree, level, format!("{number:03}").as_bytes(), 64));
        names.map(|number| format!("{number:03}")).collect::<Vec<_>>().join(" ")
    };
    let text = [(Cut::Directory, 0), (Cut::Directory, 1), (Cut::Content, 0)].map(|(tree, level)| ends(tree, level));
    out.insert("node-cuts".into(), text.join("\n"));

    let mut data = vec![0; 6000];
    blake3::Hasher::new().update(&[1]).finalize_xof().fill(&mut data);
    let mut text = Vec::new();
    for params in ["fastcdc,8,12,10,2", "buzhash,8,12,10,255", "fixed,2000,500"] {
        let chunker = Chunker::new(&params.parse().unwrap(), &[7; 32]);
        let (mut offset, mut lengths) = (0, Vec::new());
        while offset < data.len() {
            let length = chunker.cut(offset as u64, &data[offset..]);
            lengths.push(length.to_string());
            offset += length;
        }
        text.push(format!("{params} : {}", lengths.join(" ")));
    }
    out.insert("content-cuts".into(), text.join("\n"));
}
