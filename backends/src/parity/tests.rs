//! Parity: the contract, and damage of every kind done to real files.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use gabion_core::backend::MemoryBackend;
use gabion_core::backend::conformance::{Options, check};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::layout::{SECTOR_BYTES, Version};
use super::*;
use crate::LocalBackend;
use crate::scrub::{DamageKind, Scrub, State, Task};

const NAME: &str = "segments/ab0123456789abcdef0123456789abcd";

/// The same bytes for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(count).collect()
    }

    /// Distinct numbers below `end`.
    fn choose(&mut self, count: usize, end: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..end).collect();
        for at in 0..count {
            let other = at + self.below(end - at);
            all.swap(at, other);
        }
        all.truncate(count);
        all
    }
}

/// A directory, its parity layer, and one object in it.
struct Fixture {
    backend: ParityBackend,
    runtime: Runtime,
    place: TempDir,
    data: Bytes,
    stored: Vec<u8>,
    geometry: Geometry,
}

impl Fixture {
    fn new(bytes: usize, percent: u8) -> Self {
        let place = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalBackend::create(&place.path().join("store")).unwrap());
        let percent = Percent::new(percent).unwrap();
        let backend = ParityBackend::new(store, percent);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let data = Bytes::from(Random(bytes as u64 + 1).bytes(bytes));
        runtime.block_on(backend.put(&name(), Payload::from(data.clone()), PutMode::Write)).unwrap();
        let geometry = Geometry::of(bytes as u64, percent);
        let mut fixture = Self { backend, runtime, place, data, stored: Vec::new(), geometry };
        fixture.stored = fs::read(fixture.file()).unwrap();
        assert_eq!(fixture.stored.len(), geometry.stored_bytes());
        fixture
    }

    fn file(&self) -> PathBuf {
        self.place.path().join("store/segments/ab").join(NAME.rsplit('/').next().unwrap())
    }

    fn get(&self) -> Result<Bytes> {
        self.runtime.block_on(self.backend.get(&name(), ByteRange::WHOLE))
    }

    fn get_range(&self, offset: u64, length: u64) -> Result<Bytes> {
        self.runtime.block_on(self.backend.get(&name(), ByteRange::Exact { offset, length }))
    }

    fn examine(&self, task: Task) -> crate::scrub::Examined {
        self.runtime.block_on(self.backend.examine(&name(), task)).unwrap()
    }

    fn open_file(&self) -> File {
        File::options().read(true).write(true).open(self.file()).unwrap()
    }

    /// Puts the object back as it was written.
    fn restore(&self) {
        fs::write(self.file(), &self.stored).unwrap();
    }

    /// Ruins sectors one way or another, calls `then`, and puts back what was there.
    fn with_damage(&self, sectors: &[usize], random: &mut Random, then: impl FnOnce()) {
        let (file, size) = (self.open_file(), self.geometry.sector_bytes());
        for sector in sectors {
            let (good, at) = (&self.stored[self.geometry.place(*sector)], self.geometry.place(*sector).start as u64);
            let bad = match random.below(4) {
                0 => vec![0; size],
                1 => random.bytes(size),
                2 => {
                    let mut flipped = good.to_vec();
                    flipped[random.below(size)] ^= 1 << random.below(8);
                    flipped
                }
                // Another sector of the same object, as when a disk mixes up addresses.
                _ => self.stored[self.geometry.place((sector + 1) % self.geometry.sectors())].to_vec(),
            };
            file.write_all_at(if bad == *good { &[0xee; 1 << 20][..size] } else { &bad }, at).unwrap();
        }
        then();
        for sector in sectors {
            let place = self.geometry.place(*sector);
            file.write_all_at(&self.stored[place.clone()], place.start as u64).unwrap();
        }
    }

    fn expect_data(&self, what: impl fmt::Debug) {
        let got = self.get().unwrap_or_else(|error| panic!("{what:?}: {error}"));
        assert!(got == self.data, "{what:?}: wrong bytes");
    }

    fn expect_damaged(&self, what: impl fmt::Debug) {
        match self.get() {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Damaged, "{what:?}: {error}"),
            Ok(got) => panic!("{what:?}: {} although there is too much damage", got == self.data),
        }
    }
}

fn name() -> ObjectName {
    ObjectName::new(NAME).unwrap()
}

/// How many random patterns of damage are tried: `GABION_TEST_DAMAGE` times what a test thinks enough.
fn patterns(enough: usize) -> usize {
    let times = std::env::var("GABION_TEST_DAMAGE").ok().and_then(|times| times.parse::<usize>().ok());
    enough * times.unwrap_or(1)
}

/// Any damaged sectors up to the count of parity sectors, wherever they are, in a number of random patterns.
fn random_damage(bytes: usize, percent: u8, count: usize, seed: u64) {
    let fixture = Fixture::new(bytes, percent);
    let (parity, sectors) = (fixture.geometry.parity, fixture.geometry.sectors());
    for pattern in 0..count {
        let mut random = Random(seed.wrapping_add(pattern as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // All that parity may repair in most patterns, less in some.
        let lost = if pattern % 4 == 0 { 1 + random.below(parity) } else { parity };
        let chosen = random.choose(lost, sectors);
        fixture.with_damage(&chosen, &mut random, || fixture.expect_data((seed, pattern)));
        if pattern % 8 == 0 {
            // One data sector more than there is parity.
            let most = fixture.geometry.data_sectors();
            let chosen = random.choose((parity + 1).min(most), most);
            let expected = chosen.len() > parity;
            fixture.with_damage(&chosen, &mut random, || match expected {
                true => fixture.expect_damaged((seed, pattern)),
                false => fixture.expect_data((seed, pattern)),
            });
        }
    }
}

#[test]
fn random_damage_to_a_mebibyte_first_half() {
    random_damage(1 << 20, 10, patterns(5000), 1);
}

#[test]
fn random_damage_to_a_mebibyte_second_half() {
    random_damage((1 << 20) + 77, 10, patterns(5000), 2);
}

#[test]
fn random_damage_to_a_segment_first_half() {
    random_damage(32 << 20, 10, patterns(100), 3);
}

#[test]
fn random_damage_to_a_segment_second_half() {
    random_damage((32 << 20) - 4321, 10, patterns(100), 4);
}

#[test]
fn random_damage_to_the_longest_segment() {
    random_damage(64 << 20, 10, patterns(16), 5);
}

#[test]
fn random_damage_to_objects_of_other_sizes() {
    for (bytes, percent) in [(3, 10), (3968, 10), (3969, 10), (30_000, 1), (65_535, 10), (65_536, 10), (300_000, 100)] {
        random_damage(bytes, percent, patterns(300), bytes as u64);
    }
}

#[test]
fn keeps_the_contract() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let place = tempfile::tempdir().unwrap();
    let local: Arc<dyn Backend> = Arc::new(LocalBackend::create(&place.path().join("store")).unwrap());
    for (store, percent) in [(Arc::new(MemoryBackend::new()) as Arc<dyn Backend>, 10), (local, 25)] {
        let backend = Arc::new(ParityBackend::new(store, Percent::new(percent).unwrap()));
        let report = runtime.block_on(check(backend, Options::quick()));
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn bursts_over_every_sector_of_small_objects() {
    for bytes in [1, 100, 3968, 3969, 9000, 70_000] {
        let fixture = Fixture::new(bytes, 10);
        let (file, total) = (fixture.open_file(), fixture.stored.len());
        let most = fixture.geometry.parity * SECTOR_BYTES;
        // As long as can be where a burst begins on a sector; a sector less where it does not.
        let starts =
            (0..total).step_by(SECTOR_BYTES).flat_map(|start| [(start, most), (start + 1000, most - SECTOR_BYTES)]);
        for (start, length) in starts.filter(|(_, length)| *length > 0) {
            let end = total.min(start + length);
            file.write_all_at(&vec![0xaa; end - start], start as u64).unwrap();
            fixture.expect_data((bytes, start, length));
            file.write_all_at(&fixture.stored[start..end], start as u64).unwrap();
        }
    }
}

#[test]
fn bursts_over_a_segment() {
    let fixture = Fixture::new(4 << 20, 10);
    let (file, total) = (fixture.open_file(), fixture.stored.len());
    let length = fixture.geometry.parity * SECTOR_BYTES;
    for start in (0..total).step_by(13 * SECTOR_BYTES) {
        let end = total.min(start + length);
        file.write_all_at(&vec![0; end - start], start as u64).unwrap();
        fixture.expect_data(start);
        file.write_all_at(&fixture.stored[start..end], start as u64).unwrap();
    }
}

#[test]
fn every_byte_of_every_header_may_change() {
    let fixture = Fixture::new(100_000, 10);
    let table = fixture.geometry.table_code();
    let parts = (0..table.originals + table.recoveries).map(|part| fixture.geometry.table_sector(part));
    let file = fixture.open_file();
    for sector in std::iter::once(0).chain(parts) {
        let start = fixture.geometry.place(sector).start;
        for at in start..start + HEADER_BYTES {
            file.write_all_at(&[!fixture.stored[at]], at as u64).unwrap();
            fixture.expect_data(at);
            file.write_all_at(&fixture.stored[at..=at], at as u64).unwrap();
        }
    }
}

#[test]
fn cut_and_grown_objects() {
    for bytes in [10, 5000, 1 << 20] {
        let fixture = Fixture::new(bytes, 10);
        let total = fixture.stored.len();
        for cut in [1, 100, SECTOR_BYTES, fixture.geometry.parity * SECTOR_BYTES] {
            fs::write(fixture.file(), &fixture.stored[..total - cut]).unwrap();
            fixture.expect_data((bytes, "cut by", cut));
            assert_eq!(fixture.get_range(0, 1).unwrap(), fixture.data[..1]);
        }
        for grown in [1, 4096, 100_000] {
            fs::write(fixture.file(), [&fixture.stored[..], &vec![7; grown]].concat()).unwrap();
            fixture.expect_data((bytes, "grown by", grown));
        }
        for rest in [0, 1, HEADER_BYTES - 1] {
            fs::write(fixture.file(), &fixture.stored[..rest]).unwrap();
            fixture.expect_damaged((bytes, "cut to", rest));
            assert_eq!(fixture.get_range(0, 1).unwrap_err().kind(), ErrorKind::Damaged);
        }
        // Everything has moved by a byte: nothing is where it should be.
        fs::write(fixture.file(), [&[0], &fixture.stored[..]].concat()).unwrap();
        fixture.expect_damaged((bytes, "moved"));
    }
}

#[test]
fn an_object_under_another_name_is_none() {
    let fixture = Fixture::new(50_000, 10);
    let other = ObjectName::new("segments/cd0123456789abcdef0123456789abcd").unwrap();
    let path = fixture.place.path().join("store/segments/cd");
    fs::write(path.join(other.last_part()), &fixture.stored).unwrap();
    let got = fixture.runtime.block_on(fixture.backend.get(&other, ByteRange::WHOLE));
    assert_eq!(got.unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn data_survives_the_loss_of_all_its_checksums() {
    let fixture = Fixture::new(300_000, 10);
    let table = fixture.geometry.table_code();
    let parts: Vec<usize> =
        (0..table.originals + table.recoveries).map(|part| fixture.geometry.table_sector(part)).collect();
    let mut random = Random(5);
    fixture.with_damage(&parts, &mut random, || {
        fixture.expect_data("no checksum");
        assert!(matches!(fixture.examine(Task::Verify).state, State::Damaged));
    });
    let and_one = [&parts[..], &[1]].concat();
    fixture.with_damage(&and_one, &mut random, || fixture.expect_damaged("no checksum and one sector"));
}

#[test]
fn ranges_of_whole_and_damaged_heads() {
    let fixture = Fixture::new(200_000, 10);
    assert_eq!(fixture.get_range(150_000, 1000).unwrap(), fixture.data[150_000..151_000]);
    // A fresh layer that finds no header reads the object whole.
    fixture.with_damage(&[0], &mut Random(9), || {
        let fresh = ParityBackend::new(Arc::clone(&fixture.backend.store), fixture.backend.percent);
        let range = ByteRange::Exact { offset: 10, length: 5000 };
        let got = fixture.runtime.block_on(fresh.get(&name(), range)).unwrap();
        assert_eq!(got, fixture.data[10..5010]);
        assert_eq!(fresh.healed_reads(), 1);
        assert_eq!(fixture.runtime.block_on(fresh.head(&name())).unwrap().bytes, 200_000);
    });
}

#[test]
fn scrub_finds_everything_and_repairs_it() {
    for bytes in [100, 20_000, 500_000] {
        let fixture = Fixture::new(bytes, 10);
        assert!(matches!(fixture.examine(Task::Verify).state, State::Intact));
        for sector in 0..fixture.geometry.sectors() {
            let file = fixture.open_file();
            let start = fixture.geometry.place(sector).start + SECTOR_BYTES - 1;
            file.write_all_at(&[!fixture.stored[start]], start as u64).unwrap();
            let found = fixture.examine(Task::Verify);
            assert!(matches!(found.state, State::Damaged), "{bytes} {sector}: {found:?}");
            assert_eq!(found.damage, [crate::scrub::Damage::new(DamageKind::Sectors, 1)]);
            let repaired = fixture.examine(Task::Repair);
            assert!(matches!(repaired.state, State::Repaired) && repaired.trouble.is_none(), "{repaired:?}");
            assert!(fs::read(fixture.file()).unwrap() == fixture.stored, "{bytes} {sector}: not as it was written");
        }
        fs::write(fixture.file(), [&fixture.stored[..], b"more"].concat()).unwrap();
        assert!(matches!(fixture.examine(Task::Repair).state, State::Repaired));
        assert!(fs::read(fixture.file()).unwrap() == fixture.stored);
    }
}

#[test]
fn objects_of_the_first_version_are_read_and_repaired() {
    let fixture = Fixture::new(500_000, 10);
    let first = encode::encode_as(Version::One, &name(), fixture.data.clone(), &fixture.geometry).unwrap();
    let mut first = first.into_bytes().to_vec();
    assert!(first != fixture.stored);
    fs::write(fixture.file(), &first).unwrap();
    fixture.expect_data("as it was written");
    assert!(matches!(fixture.examine(Task::Upgrade).state, State::Intact));
    for sector in [0, 7, fixture.geometry.sectors() - 1] {
        first[fixture.geometry.place(sector).end - 1] ^= 1;
    }
    fs::write(fixture.file(), &first).unwrap();
    fixture.expect_data("damaged");
    let repaired = fixture.examine(Task::Repair);
    assert!(matches!(repaired.state, State::Repaired), "{repaired:?}");
    assert_eq!(repaired.damage, [crate::scrub::Damage::new(DamageKind::Sectors, 3)]);
    assert!(fs::read(fixture.file()).unwrap() == fixture.stored, "written anew, as new objects are");
}

#[test]
fn scrub_keeps_what_it_can_not_repair() {
    let fixture = Fixture::new(500_000, 10);
    let sectors: Vec<usize> = (3..4 + fixture.geometry.parity).collect();
    fixture.with_damage(&sectors, &mut Random(3), || {
        let before = fs::read(fixture.file()).unwrap();
        for task in [Task::Verify, Task::Repair, Task::Upgrade] {
            assert!(matches!(fixture.examine(task).state, State::Lost(_)));
        }
        assert!(fs::read(fixture.file()).unwrap() == before);
    });
}

#[test]
fn a_deleted_object_stays_deleted() {
    let fixture = Fixture::new(500_000, 10);
    fs::remove_file(fixture.file()).unwrap();
    for task in [Task::Verify, Task::Repair, Task::Upgrade] {
        assert!(matches!(fixture.examine(task).state, State::Gone));
    }
    assert!(!fixture.file().exists());
}

#[test]
fn another_percentage_is_an_upgrade() {
    let fixture = Fixture::new(500_000, 10);
    let more = ParityBackend::new(Arc::clone(&fixture.backend.store), Percent::new(50).unwrap());
    let examine = |task| fixture.runtime.block_on(more.examine(&name(), task)).unwrap();
    assert!(matches!(examine(Task::Verify).state, State::Outdated));
    assert!(matches!(examine(Task::Repair).state, State::Outdated));
    assert!(fs::read(fixture.file()).unwrap() == fixture.stored);
    assert!(matches!(examine(Task::Upgrade).state, State::Upgraded));
    assert!(matches!(examine(Task::Verify).state, State::Intact));
    fixture.expect_data("read by the other");
    fixture.restore();
}

/// A store some of whose sectors can not be read, as the kernel tells it of a disk.
#[derive(Debug)]
struct DeadSectors(Arc<dyn Backend>, Vec<u64>);

#[async_trait]
impl Backend for DeadSectors {
    fn location(&self) -> &str {
        self.0.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        self.0.put(name, payload, mode).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        let size = self.0.head(name).await?.bytes;
        let (start, end) = match range {
            ByteRange::All { .. } => (0, size),
            ByteRange::Exact { offset, length } => (offset, offset + length),
        };
        let dead = |sector: &u64| start < (sector + 1) * SECTOR_BYTES as u64 && sector * (SECTOR_BYTES as u64) < end;
        match self.1.iter().any(dead) {
            true => Err(Error::new(ErrorKind::Io, "get object").with("object", name)),
            false => self.0.get(name, range).await,
        }
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        self.0.head(name).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.0.delete(name).await
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }
}

#[test]
fn sectors_that_can_not_be_read_are_read_around() {
    let fixture = Fixture::new(3 << 20, 10);
    let dead = vec![0, 1, 300, 511, 512, fixture.geometry.sectors() as u64 - 1];
    let store = Arc::new(DeadSectors(Arc::clone(&fixture.backend.store), dead));
    let backend = ParityBackend::new(store, fixture.backend.percent);
    let got = fixture.runtime.block_on(backend.get(&name(), ByteRange::WHOLE)).unwrap();
    assert!(got == fixture.data);
    let range = ByteRange::Exact { offset: 300 * 4096, length: 10 };
    let got = fixture.runtime.block_on(backend.get(&name(), range)).unwrap();
    assert_eq!(got, fixture.data[300 * 4096..][..10]);
    let examined = fixture.runtime.block_on(backend.examine(&name(), Task::Verify)).unwrap();
    assert_eq!(examined.damage, [crate::scrub::Damage::new(DamageKind::Sectors, 6)]);
}

#[test]
fn objects_of_a_time_without_parity_are_read_if_they_are_whole() {
    let fixture = Fixture::new(10, 10);
    let object = sealed_object();
    fs::write(fixture.place.path().join("store/config"), &object).unwrap();
    let config = ObjectName::new("config").unwrap();
    let get = |range| fixture.runtime.block_on(fixture.backend.get(&config, range));
    assert_eq!(get(ByteRange::WHOLE).unwrap(), object);
    assert_eq!(get(ByteRange::Exact { offset: 3, length: 20 }).unwrap(), object[3..23]);
    assert_eq!(fixture.runtime.block_on(fixture.backend.head(&config)).unwrap().bytes, object.len() as u64);
    let examine = |task| fixture.runtime.block_on(fixture.backend.examine(&config, task)).unwrap();
    assert!(matches!(examine(Task::Repair).state, State::Outdated));
    assert!(matches!(examine(Task::Upgrade).state, State::Upgraded));
    assert_eq!(get(ByteRange::WHOLE).unwrap(), object);
    // The layer still believes it to be plain: the range is wrong once, the whole is not.
    assert_eq!(get(ByteRange::Exact { offset: 3, length: 20 }).unwrap(), object[3..23]);

    let mut bad = object.clone();
    bad[5] ^= 1;
    fs::write(fixture.place.path().join("store/config"), &bad).unwrap();
    assert_eq!(get(ByteRange::WHOLE).unwrap_err().kind(), ErrorKind::Damaged);
    assert!(matches!(examine(Task::Upgrade).state, State::Lost(_)));
}

/// What ends as every object of the engine does: in a hash and a length.
fn sealed_object() -> Vec<u8> {
    let mut object = b"anything at all that is long enough".to_vec();
    let hash = blake3::hash(&object);
    object.extend_from_slice(hash.as_bytes());
    object.extend_from_slice(&(object.len() as u64 + 8).to_le_bytes());
    object
}

/// The blocks of `docs/erasure.md`.
#[test]
fn the_page_shows_what_this_layer_makes() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/erasure.md")).unwrap();
    let mut missing = String::new();
    for (block, bytes, version) in [
        ("parity-copies", 100_usize, Version::Two),
        ("parity-sectors", 100_000, Version::Two),
        ("parity-sectors-1", 100_000, Version::One),
    ] {
        let data: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let geometry = Geometry::of(bytes as u64, Percent::new(10).unwrap());
        let made = encode::encode_as(version, &name(), data.into(), &geometry).unwrap().into_bytes();
        let head: String = made[..HEADER_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        let made = format!("```golden {block}\n{head}\n{} bytes, BLAKE3 {}\n```\n", made.len(), blake3::hash(&made));
        if !page.contains(&made) {
            missing += &made;
        }
    }
    assert!(missing.is_empty(), "the page lacks\n{missing}");
}
