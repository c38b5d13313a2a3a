//! A cache saves requests and never changes an answer.

use std::fs;

use gabion_core::backend::MemoryBackend;
use gabion_core::backend::conformance::{Options, check};
use gabion_core::error::ErrorKind;
use tempfile::TempDir;

use super::super::testing::{named, runtime};
use super::super::{Method, Trace, TraceBackend};
use super::*;

/// An object as the engine makes them, as far as a cache looks at it, and its name.
fn object(kind: Kind, fifth: u8, salt: u8, bytes: usize) -> (ObjectName, Bytes) {
    let mut whole = b"GAB_".to_vec();
    whole.extend([fifth, 1, 1, 0]);
    whole.extend([salt; 32]);
    whole.resize(bytes - 40, salt);
    whole.extend(*blake3::hash(&whole).as_bytes());
    whole.extend((bytes as u64).to_le_bytes());
    let id: String = kind.id(&[salt; 32]).iter().map(|byte| format!("{byte:02x}")).collect();
    let level = if kind == Kind::Index { "0." } else { "" };
    (named(&format!("{}/{level}{id}", kind.namespace())), whole.into())
}

struct Fixture {
    trace: Trace,
    memory: MemoryBackend,
    place: CachePlace,
    _directory: TempDir,
}

impl Fixture {
    fn new(bytes_max: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = CachePlace { directory: directory.path().join("cache"), bytes_max };
        Self { trace: Trace::new(), memory: MemoryBackend::new(), place, _directory: directory }
    }

    /// A process of its own, as far as a cache can tell.
    fn open(&self) -> CacheBackend {
        CacheBackend::new(Arc::new(TraceBackend::new(Arc::new(self.memory.clone()), &self.trace)), &self.place)
    }

    /// Reads that reached the store.
    fn reads(&self) -> u64 {
        let stores = self.trace.stores();
        let all = stores.iter().flat_map(|store| &store.methods);
        all.filter(|(method, _)| matches!(method, Method::Get | Method::GetRange)).map(|(_, totals)| totals.calls).sum()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let walk = |path: &PathBuf| fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path());
        for store in walk(&self.place.directory) {
            for namespace in walk(&store) {
                files.extend(walk(&namespace));
            }
        }
        files.sort();
        files
    }
}

const EXACT: ByteRange = ByteRange::Exact { offset: 50, length: 20 };

#[test]
fn the_contract_is_kept_in_every_namespace() {
    for top in ["index", "archives", "segments", "other"] {
        let fixture = Fixture::new(1 << 30);
        let options = Options { top: Some(top.to_owned()), names: 50, ..Options::quick() };
        let report = runtime().block_on(check(Arc::new(fixture.open()), options));
        assert!(report.is_clean(), "{top}: {report}");
    }
}

#[test]
fn what_was_put_or_read_is_not_read_again() {
    let fixture = Fixture::new(1 << 30);
    let (tree, data) = (u8::from(Class::Tree), u8::from(Class::Data));
    let kept = [object(Kind::Index, 4, 1, 500), object(Kind::Archive, 5, 2, 300), object(Kind::Segment, tree, 3, 900)];
    let forwarded = [object(Kind::Segment, data, 4, 900), object(Kind::Pending, 6, 5, 300)];
    runtime().block_on(async {
        let store = fixture.open();
        for (name, bytes) in kept.iter().chain(&forwarded) {
            store.put(name, bytes.clone().into(), PutMode::Write).await.unwrap();
        }
        let again = fixture.open();
        for (name, bytes) in &kept {
            assert_eq!(again.get(name, ByteRange::WHOLE).await.unwrap(), bytes);
            assert_eq!(again.get(name, EXACT).await.unwrap(), bytes[50..70]);
        }
        assert_eq!(fixture.reads(), 0);
        for (name, bytes) in &forwarded {
            assert_eq!(again.get(name, ByteRange::WHOLE).await.unwrap(), bytes);
        }
        assert_eq!(fixture.reads(), 2);
        clean(&fixture.place.directory).unwrap();
        let empty = fixture.open();
        for _ in 0..2 {
            for (name, bytes) in &kept {
                assert_eq!(empty.get(name, ByteRange::WHOLE).await.unwrap(), bytes);
            }
        }
        assert_eq!(fixture.reads(), 5);
        empty.delete(&kept[0].0).await.unwrap();
        assert_eq!(empty.get(&kept[0].0, ByteRange::WHOLE).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
    let shelved = contents(&fixture.place.directory);
    assert_eq!((shelved[0].location.as_str(), shelved[0].objects, shelved[0].bytes), ("memory:", 2, 1200));
    assert!(fixture.place.directory.join("CACHEDIR.TAG").is_file());
}

#[test]
fn a_tree_segment_is_fetched_once_when_it_is_read_often_and_a_data_segment_never() {
    let fixture = Fixture::new(1 << 30);
    let (tree, tree_bytes) = object(Kind::Segment, u8::from(Class::Tree), 3, 9000);
    let (data, data_bytes) = object(Kind::Segment, u8::from(Class::Data), 4, 9000);
    runtime().block_on(async {
        for (name, bytes) in [(&tree, &tree_bytes), (&data, &data_bytes)] {
            fixture.memory.put(name, bytes.clone().into(), PutMode::Write).await.unwrap();
        }
        let store = fixture.open();
        for _ in 0..5 {
            assert_eq!(store.get(&tree, EXACT).await.unwrap(), tree_bytes[50..70]);
        }
        // Header and range, then the whole.
        assert_eq!(fixture.reads(), 3);
        for _ in 0..5 {
            assert_eq!(store.get(&data, EXACT).await.unwrap(), data_bytes[50..70]);
        }
        assert_eq!(fixture.reads(), 3 + 6);
        let beyond = ByteRange::Exact { offset: 8999, length: 2 };
        for name in [&tree, &data] {
            assert_eq!(store.get(name, beyond).await.unwrap_err().kind(), ErrorKind::Damaged);
        }
    });
}

#[test]
fn what_is_not_what_its_name_says_is_never_kept_nor_believed() {
    let fixture = Fixture::new(1 << 30);
    let (name, bytes) = object(Kind::Index, 4, 1, 500);
    let (other_name, other) = object(Kind::Index, 4, 2, 500);
    runtime().block_on(async {
        // A store that gives other bytes, cut or exchanged ones: its business, but not kept.
        for wrong in [other.clone(), bytes.slice(..499), Bytes::from(vec![0; 500]), Bytes::new()] {
            fixture.memory.put(&name, wrong.clone().into(), PutMode::Write).await.unwrap();
            assert_eq!(fixture.open().get(&name, ByteRange::WHOLE).await.unwrap(), wrong);
            assert_eq!(fixture.files(), Vec::<PathBuf>::new());
        }
        // A disk that gives other bytes.
        let store = fixture.open();
        store.put(&name, bytes.clone().into(), PutMode::Write).await.unwrap();
        store.put(&other_name, other.clone().into(), PutMode::Write).await.unwrap();
        let file = fixture
            .files()
            .into_iter()
            .find(|path| name.as_str().ends_with(&*path.file_name().unwrap().to_string_lossy()))
            .unwrap();
        let mut flipped = bytes.to_vec();
        flipped[100] ^= 1;
        for wrong in [&other[..], &bytes[..499], &flipped, b""] {
            fs::write(&file, wrong).unwrap();
            let before = fixture.reads();
            assert_eq!(fixture.open().get(&name, ByteRange::WHOLE).await.unwrap(), bytes);
            assert_eq!(fixture.reads(), before + 1);
            assert_eq!(fs::read(&file).unwrap(), bytes, "it was mended");
        }
    });
}

#[test]
fn the_cache_stays_within_its_bounds() {
    let fixture = Fixture::new(10_000);
    let objects: Vec<_> = (1..=30).map(|salt| object(Kind::Index, 4, salt, 900)).collect();
    runtime().block_on(async {
        let store = fixture.open();
        for (name, bytes) in &objects {
            store.put(name, bytes.clone().into(), PutMode::Write).await.unwrap();
            let total: u64 = fixture.files().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
            assert!(total <= 10_000, "{total}");
        }
        assert!(fixture.files().len() >= 9);
        for (name, bytes) in &objects {
            assert_eq!(store.get(name, ByteRange::WHOLE).await.unwrap(), bytes);
        }
        // More than a quarter of the room for one object is not worth it.
        let (large, bytes) = object(Kind::Index, 4, 99, 3000);
        store.put(&large, bytes.into(), PutMode::Write).await.unwrap();
        assert!(fixture.files().iter().all(|path| fs::metadata(path).unwrap().len() == 900));
    });
}

#[test]
fn a_cache_that_can_not_be_written_is_no_error() {
    let fixture = Fixture::new(1 << 30);
    fs::write(&fixture.place.directory, "a file").unwrap();
    let (name, bytes) = object(Kind::Index, 4, 1, 500);
    runtime().block_on(async {
        let store = fixture.open();
        store.put(&name, bytes.clone().into(), PutMode::Write).await.unwrap();
        assert_eq!(store.get(&name, ByteRange::WHOLE).await.unwrap(), bytes);
        store.delete(&name).await.unwrap();
    });
}
