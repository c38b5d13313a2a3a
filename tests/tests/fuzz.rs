//! Every decoder of bytes from outside, over its corpus and seeded mutations of it.
//!
//! A failure tells the target and the bytes; `tests/fuzz` runs the same targets under a fuzzer.
//! `GABION_TEST_MUTATIONS=1000000` tries more than usual.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use gabion_tests::Random;
use gabion_tests::fuzz::{TARGETS, Target};

/// Mutations of one target in one run.
const MUTATIONS: u64 = 100_000;
/// Longer inputs show nothing new.
const BYTES_MAX: usize = 4096;

fn folder(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name)
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder(target)).unwrap_or_else(|error| panic!("{}: {error}", target.name));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{}: no corpus", target.name);
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// One to four small changes.
fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = random.pick(corpus).clone();
    data.truncate(BYTES_MAX);
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() as u64 + 1) as usize;
        match random.below(8) {
            0 | 1 if at < data.len() => data[at] ^= 1 << random.below(8),
            2 if at < data.len() => data[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff, 0xc1, 0xdd, 0xdf]),
            3 => data.truncate(at),
            4 => data.insert(at, random.number() as u8),
            5 if at < data.len() => {
                data.remove(at);
            }
            6 => {
                let other = random.pick(corpus);
                let from = random.below(other.len() as u64 + 1) as usize;
                data.truncate(at);
                data.extend_from_slice(&other[from..other.len().min(from + BYTES_MAX)]);
            }
            _ => {
                let number =
                    random.pick(&[0, 1, 255, 256, 65_535, 65_536, u64::from(u32::MAX), u64::MAX]).to_le_bytes();
                let bytes = 1 << random.below(4);
                let end = data.len().min(at + bytes);
                data.splice(at..end, number[..bytes].iter().copied());
            }
        }
    }
    data
}

/// Runs a target, and tells what it panicked at.
fn run(target: &Target, data: &[u8], what: &str) {
    let done = std::panic::catch_unwind(|| (target.run)(data));
    assert!(done.is_ok(), "{} panicked at {what}: {}", target.name, data.escape_ascii());
}

#[test]
fn decoders_take_anything() {
    let mutations = std::env::var("GABION_TEST_MUTATIONS").map_or(MUTATIONS, |value| value.parse().unwrap());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let corpus = corpus(target);
                    corpus.iter().enumerate().for_each(|(number, data)| run(target, data, &format!("file {number}")));
                    let mut random = Random::new(target.name.len() as u64);
                    for number in 0..mutations {
                        run(target, &mutate(&mut random, &corpus), &format!("mutation {number}"));
                    }
                }
            });
        }
    });
}

/// A corpus that nothing accepts tests little.
#[test]
fn corpora_hold_what_is_valid() {
    use gabion_core::archive::{ArchiveRecord, Node, PendingRecord, RemovalRecord};
    use gabion_core::gc::{DamageRecord, DoomRecord, LeaseRecord};
    use gabion_core::index::Fragment;
    use gabion_core::segment::Directory;
    use gabion_core::tar::TarReader;

    type Accepts = fn(&[u8]) -> bool;
    let valid: [(&str, Accepts); 10] = [
        ("archive", |data| ArchiveRecord::decode(data).is_ok()),
        ("pending", |data| PendingRecord::decode(data).is_ok()),
        ("removal", |data| RemovalRecord::decode(data).is_ok()),
        ("node", |data| Node::decode(data).is_ok()),
        ("doom", |data| DoomRecord::decode(data).is_ok()),
        ("damage", |data| DamageRecord::decode(data).is_ok()),
        ("lease", |data| LeaseRecord::decode(data).is_ok()),
        ("tar", |data| TarReader::new(data, true).next_member().is_ok_and(|member| member.is_some())),
        ("directory", |data| Directory::decode(data).is_ok()),
        ("index", |data| Fragment::decode(data[0], &data[1..]).is_ok()),
    ];
    for (name, is_valid) in valid {
        let target = TARGETS.iter().find(|target| target.name == name).unwrap();
        assert!(corpus(target).iter().any(|data| is_valid(data)), "{name}");
    }
    let keyring = gabion_tests::fuzz::keyring();
    assert!(keyring.is_some(), "the keyring of the targets is none");
}

/// Makes the corpora anew: `cargo test -p gabion-tests --release -- --ignored corpus_is_written`.
#[test]
#[ignore = "writes into the sources"]
fn corpus_is_written() {
    make::corpus();
}

mod make {
    use super::*;
    use crate::engine::{back_up, new_repository, open, options, remove};
    use gabion_core::archive::PendingRecord;
    use gabion_core::archive::catalog::Catalog;
    use gabion_core::backend::ObjectName;
    use gabion_core::chunker::ChunkerParams;
    use gabion_core::codec::Extensions;
    use gabion_core::compress::Compressor;
    use gabion_core::crypto::aead::Suite;
    use gabion_core::crypto::kdf::KdfParams;
    use gabion_core::crypto::key_slot::{KeySlot, Protection};
    use gabion_core::crypto::random::simulation::seed_this_thread;
    use gabion_core::gc::{DamageRecord, DoomRecord, LeaseRecord};
    use gabion_core::id::{ArchiveId, ChunkId, SegmentId};
    use gabion_core::index::Fragment;
    use gabion_core::repository::ChunkSource;
    use gabion_core::seal::{Kind, Sealer};
    use gabion_core::segment::{Class, SegmentBuilder, open_directory};
    use gabion_core::tar::{self, Format, Member, TarWriter};
    use gabion_tests::fuzz::REPOSITORY;
    use gabion_tests::{Notes, TreeOptions, make_tree};

    fn write(target: &str, name: &str, data: &[u8]) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), data).unwrap();
    }

    pub fn corpus() {
        seed_this_thread(1);
        texts();
        sealed();
        records();
        control();
        tar();
    }

    fn control() {
        let time = crate::engine::clock().0;
        let damage = DamageRecord {
            time,
            chunks: [(ChunkId::from_bytes([1; 32]), Class::Data), (ChunkId::from_bytes([2; 32]), Class::Tree)].into(),
            segments: [SegmentId::from_bytes([3; 16])].into(),
            archives: [ArchiveId::from_bytes([4; 16])].into(),
            extensions: Extensions::none(),
        };
        write("damage", "two", &damage.encode().unwrap());
        let lease = LeaseRecord {
            host: "host".to_owned(),
            user: "user".to_owned(),
            process: 7,
            purpose: "rsync".to_owned(),
            since: time,
            extensions: Extensions::none(),
        };
        write("lease", "one", &lease.encode().unwrap());
    }

    /// Archives as short as tar allows: what is behind the first block of content is cut off.
    fn tar() {
        for (name, format) in [("pax", Format::Pax), ("gnu", Format::Gnu)] {
            let mut writer = TarWriter::new(Vec::new(), format);
            for path in ["file".to_owned(), "a".repeat(120)] {
                let mut member = Member::new(path.into_bytes(), tar::Kind::File);
                (member.size, member.modified) = (9, (1, 5));
                writer.member(&member).unwrap();
                writer.content(b"some text").unwrap();
            }
            write("tar", name, &writer.finish().unwrap()[..6 * 512]);
        }
    }

    fn texts() {
        for (number, line) in
            ["fastcdc,19,23,21,2", "buzhash,19,23,21,4095", "fixed,4194304,512", "default", "fail"].iter().enumerate()
        {
            write("chunker", &number.to_string(), line.as_bytes());
            assert!(number > 2 || line.parse::<ChunkerParams>().is_ok(), "{line}");
        }
        for (number, line) in
            ["none", "lz4", "zstd,3", "zlib,6", "lzma,6", "auto,zstd,7", "obfuscate,110,zstd,3"].iter().enumerate()
        {
            write("compression", &number.to_string(), line.as_bytes());
            let mut stored = Vec::new();
            let mut compressor = Compressor::new(&line.parse().unwrap()).unwrap();
            let plain: Vec<u8> = b"stone upon stone, ".repeat(20);
            let codec = compressor.compress(&plain, &mut stored).unwrap();
            write(
                "frame",
                &number.to_string(),
                &[&[codec.as_u8()], &(plain.len() as u32).to_le_bytes()[..3], &stored].concat(),
            );
        }
        for (number, line) in [
            "/var/backup",
            "file:///var/backup",
            "memory:",
            "ssh://user@host:22/./repo",
            "sftp://host/repo",
            "s3:https://host/bucket/path",
            "user@host:path",
            "C:\\path",
            "rclone:remote:path",
        ]
        .iter()
        .enumerate()
        {
            write("location", &number.to_string(), line.as_bytes());
        }
        let files = [
            "# all\nR /home\n+ sh:**/*.rs\n- fm:*.o\n! re:^proc/[0-9]+\n",
            "fm:*/cache/*\npp:home/user\npf:etc/passwd\n",
            "re:(a|b)*c+?(?=d)\nsh:**/[!a-z]?/*.{x,y}\n",
            "P sh\n- **/target\nid:sh:weird\n",
        ];
        for (number, file) in files.iter().enumerate() {
            write("patterns", &number.to_string(), file.as_bytes());
        }
    }

    fn sealed() {
        let keyring = gabion_tests::fuzz::keyring().unwrap();
        let sealer = Sealer::new(&keyring, REPOSITORY, Suite::None);
        write("envelope", "doom", &sealer.seal(Kind::Doom, b"a doom").unwrap().bytes);
        write("envelope", "archive", &sealer.seal(Kind::Archive, &[0; 500]).unwrap().bytes);
        let slot = KeySlot::seal(
            &keyring,
            &REPOSITORY,
            Protection::Plain,
            "label",
            crate::engine::clock().0,
            Suite::Aes256Gcm,
        );
        write("key_slot", "plain", &slot.unwrap().1);
        let passphrase = gabion_core::crypto::secret::Passphrase::from("secret".to_owned());
        let kdf = KdfParams::Pbkdf2HmacSha256 { iterations: 600_000 };
        let slot = KeySlot::seal(
            &keyring,
            &REPOSITORY,
            Protection::Passphrase { passphrase: &passphrase, kdf: &kdf },
            "label",
            crate::engine::clock().0,
            Suite::Aes256Gcm,
        );
        write("key_slot", "passphrase", &slot.unwrap().1);
        let mut builder = SegmentBuilder::new(Class::Data);
        builder.append(0, b"chunk", &[gabion_core::segment::ChunkEntry { id: ChunkId::from_bytes([1; 32]), bytes: 5 }]);
        write("segment", "one", &builder.finish(&sealer).unwrap().bytes);
    }

    fn records() {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("tree");
        let tree = TreeOptions { entries: 12, bytes_max: 3000, owners: false, ..TreeOptions::default() };
        make_tree(&source, 11, &tree).unwrap();
        let objects = new_repository();
        for _ in 0..2 {
            back_up(objects.backend(), &source, &options(), &Notes::new()).unwrap();
        }
        let repository = open(objects.backend()).unwrap();
        let keyring = crate::engine::keyring(&repository);
        let sealer = Sealer::new(&keyring, *repository.id(), Suite::None);
        let archives = Catalog::load(&repository).unwrap().archives;
        let record = archives[1].record.clone();
        write("archive", "one", &record.encode().unwrap());
        let base = gabion_core::archive::BaseRef {
            archive: Some(archives[0].id),
            root: record.root,
            stat_root: record.stat_root,
        };
        for complete in [false, true] {
            let record = complete.then(|| record.clone());
            let pending = PendingRecord {
                started: archives[1].record.start,
                base: Some(base),
                record,
                complete,
                extensions: Extensions::none(),
            };
            write("pending", if complete { "complete" } else { "first" }, &pending.encode().unwrap());
        }
        remove(objects.backend(), &archives[0]).unwrap();
        let name = repository.removals().unwrap()[0];
        write("removal", "one", &repository.read_removal(&name).unwrap());
        let segments = [1, 2, 3].map(|number| SegmentId::from_bytes([number; 16]));
        write(
            "doom",
            "three",
            &DoomRecord { segments: segments.into(), extensions: Extensions::none() }.encode().unwrap(),
        );
        write("config", "one", &objects.get("config").unwrap());
        let reader = repository.session().unwrap().reader();
        for (number, name) in objects.names("segments").unwrap().iter().enumerate() {
            let id: SegmentId = name.strip_prefix("segments/").unwrap().parse().unwrap();
            let (segment, directory) = open_directory(&sealer, &id, &objects.get(name).unwrap()).unwrap();
            write("directory", &number.to_string(), &directory.encode());
            if segment.class == Class::Tree {
                for (number, chunk) in directory.chunks.iter().enumerate().take(6) {
                    write("node", &number.to_string(), &reader.fetch(Class::Tree, &chunk.id).unwrap());
                }
            }
        }
        for (number, name) in objects.names("index").unwrap().iter().enumerate() {
            let fragment =
                Fragment::open(&sealer, &ObjectName::new(name.as_str()).unwrap(), &objects.get(name).unwrap()).unwrap();
            write("index", &number.to_string(), &[&[fragment.level], &fragment.encode().unwrap()[..]].concat());
        }
    }
}
