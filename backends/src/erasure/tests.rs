//! Sets of stores: the contract, lost stores, rot, and stores that are not what they should be. All on real files.

use std::fs;
use std::path::{Path, PathBuf};

use gabion_core::backend::MemoryBackend;
use gabion_core::backend::conformance::{Options, check};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::LocalBackend;
use crate::parity::{ParityBackend, Percent};
use crate::scrub::{Examined, Scrub, State, Task};

const SEGMENT: &str = "segments/ab0123456789abcdef0123456789abcd";
const SMALL: &str = "archives/ab0123456789abcdef0123456789abcd";

/// Directories of a set, named `0`, `1` and so on.
struct Stores {
    place: TempDir,
    split: Split,
    runtime: Runtime,
}

impl Stores {
    fn new(needed: u8, spare: u8) -> Self {
        let place = tempfile::tempdir().unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stores = Self { place, split: Split::new(needed, spare).unwrap(), runtime };
        for store in 0..needed + spare {
            LocalBackend::create(&stores.path(store)).unwrap();
        }
        let set = stores.open(Purpose::Create);
        for (name, data) in objects() {
            stores.put(&set, &name, data).unwrap();
        }
        stores
    }

    fn path(&self, store: u8) -> PathBuf {
        self.place.path().join(store.to_string())
    }

    fn file(&self, store: u8, name: &str) -> PathBuf {
        let (top, id) = name.split_once('/').unwrap();
        let folder = self.path(store).join(top);
        if top == "segments" { folder.join(&id[..2]).join(id) } else { folder.join(id) }
    }

    fn member(&self, store: u8) -> Member {
        let path = self.path(store);
        let opened = LocalBackend::open(&path).map(|backend| Arc::new(backend) as Arc<dyn Backend>);
        Member { location: path.display().to_string(), store: opened, own: None, depth: 0 }
    }

    fn open(&self, purpose: Purpose) -> ErasureBackend {
        let members = (0..self.split.stores()).map(|store| self.member(store)).collect();
        ErasureBackend::new(self.split, members, purpose).unwrap()
    }

    fn put(&self, set: &ErasureBackend, name: &str, data: Bytes) -> Result<()> {
        self.runtime.block_on(set.put(&named(name), Payload::from(data), PutMode::Write))
    }

    fn get(&self, set: &ErasureBackend, name: &str) -> Result<Bytes> {
        self.runtime.block_on(set.get(&named(name), ByteRange::WHOLE))
    }

    fn get_range(&self, set: &ErasureBackend, name: &str, offset: u64, length: u64) -> Result<Bytes> {
        self.runtime.block_on(set.get(&named(name), ByteRange::Exact { offset, length }))
    }

    fn list(&self, set: &ErasureBackend) -> Result<Vec<String>> {
        let listed: Vec<ObjectMeta> = self.runtime.block_on(set.list(&Prefix::all()).try_collect())?;
        Ok(listed.into_iter().map(|object| object.name.to_string()).collect())
    }

    fn examine(&self, set: &ErasureBackend, name: &str, task: Task) -> Examined {
        self.runtime.block_on(set.examine(&named(name), task)).unwrap()
    }

    fn missing(&self, set: &ErasureBackend) -> Vec<usize> {
        let health = self.runtime.block_on(set.health()).unwrap();
        health.missing.into_iter().map(|missing| missing.store).collect()
    }

    /// Everything reads right when it is read whole, whatever is wrong.
    fn expect_objects(&self, set: &ErasureBackend, what: impl fmt::Debug) {
        for (name, data) in objects() {
            let got = self.get(set, &name).unwrap_or_else(|error| panic!("{what:?}: {error}"));
            assert!(got == data, "{what:?}: {name}: wrong bytes");
            assert_eq!(self.runtime.block_on(set.head(&named(&name))).unwrap().bytes, data.len() as u64);
        }
        assert_eq!(self.list(set).unwrap(), [SMALL, SEGMENT], "{what:?}");
    }

    /// Everything reads right, whole and in ranges, from the stores that are there: nothing of these is damaged.
    fn expect_all(&self, set: &ErasureBackend, what: impl fmt::Debug) {
        self.expect_objects(set, &what);
        for (name, data) in objects() {
            let (offset, length) = (data.len() / 3, data.len() / 2);
            let range = self.get_range(set, &name, offset as u64, length as u64).unwrap();
            assert!(range == data[offset..offset + length], "{what:?}: {name}: wrong range");
        }
    }

    /// Every object is whole in every store, as if nothing had ever happened.
    fn expect_whole(&self, what: impl fmt::Debug) {
        let set = self.open(Purpose::Use);
        for (name, _) in objects() {
            let examined = self.examine(&set, &name, Task::Verify);
            assert!(matches!(examined.state, State::Intact), "{what:?}: {examined:?}");
            assert_eq!(examined.spare, Some(usize::from(self.split.spare)));
        }
    }

    fn repair(&self, purpose: Purpose) {
        let set = self.open(purpose);
        for (name, _) in objects() {
            let examined = self.examine(&set, &name, Task::Repair);
            assert!(examined.trouble.is_none(), "{examined:?}");
        }
    }
}

fn named(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

fn objects() -> [(String, Bytes); 2] {
    let data = |bytes: usize| (0..bytes).map(|at| (at * 31 + at / 251 + at / 65_539) as u8).collect::<Vec<_>>().into();
    [(SEGMENT.to_owned(), data(700_001)), (SMALL.to_owned(), data(3000))]
}

/// Ruins the byte at `at` of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

#[test]
fn keeps_the_contract() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (needed, spare) in [(1, 1), (2, 1), (4, 2)] {
        let split = Split::new(needed, spare).unwrap();
        let members = (0..split.stores()).map(|number| Member {
            location: format!("memory:{number}"),
            store: Ok(Arc::new(MemoryBackend::new())),
            own: None,
            depth: 0,
        });
        let set = ErasureBackend::new(split, members.collect(), Purpose::Create).unwrap();
        let report = runtime.block_on(check(Arc::new(set), Options::quick()));
        assert!(report.is_clean(), "{split}: {report}");
    }
}

#[test]
fn parity_below_erasure_keeps_the_contract() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let place = tempfile::tempdir().unwrap();
    let members = (0..3).map(|number| {
        let local = Arc::new(LocalBackend::create(&place.path().join(number.to_string())).unwrap());
        let store = Arc::new(ParityBackend::new(local, Percent::new(10).unwrap()));
        Member { location: store.location().to_owned(), store: Ok(store.clone()), own: Some(store), depth: 0 }
    });
    let set = ErasureBackend::new(Split::new(2, 1).unwrap(), members.collect(), Purpose::Create).unwrap();
    let report = runtime.block_on(check(Arc::new(set), Options { names: 100, rounds: 4, ..Options::quick() }));
    assert!(report.is_clean(), "{report}");
}

#[test]
fn any_two_of_six_stores_may_be_lost_and_are_filled_again() {
    for first in 0..6 {
        for second in first + 1..6 {
            let stores = Stores::new(4, 2);
            for store in [first, second] {
                fs::remove_dir_all(stores.path(store)).unwrap();
            }
            let set = stores.open(Purpose::Use);
            stores.expect_all(&set, (first, second));
            assert_eq!(stores.missing(&set), [usize::from(first) + 1, usize::from(second) + 1]);
            for store in [first, second] {
                LocalBackend::create(&stores.path(store)).unwrap();
                stores.repair(Purpose::Replace(usize::from(store)));
            }
            stores.expect_whole((first, second));
            stores.expect_all(&stores.open(Purpose::Use), (first, second));
        }
    }
}

#[test]
fn three_of_six_stores_are_one_too_many() {
    let stores = Stores::new(4, 2);
    let away = |store: u8| stores.place.path().join(format!("away {store}"));
    for lost in (0_u32..(1 << 6) - 1).filter(|lost| lost.count_ones() >= 3) {
        let lost: Vec<u8> = (0..6).filter(|store| lost & (1 << store) != 0).collect();
        lost.iter().for_each(|store| fs::rename(stores.path(*store), away(*store)).unwrap());
        let set = stores.open(Purpose::Use);
        for result in [stores.get(&set, SEGMENT).map(drop), stores.list(&set).map(drop)] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StoreMissing);
            let told = error.to_string();
            for store in &lost {
                assert!(told.contains(&format!("store {} (", store + 1)), "{told}");
            }
        }
        lost.iter().for_each(|store| fs::rename(away(*store), stores.path(*store)).unwrap());
    }
    stores.expect_all(&stores.open(Purpose::Use), "all are back");
}

/// Of each object the parts of three stores are spoilt in one way or another, one of them by rot.
#[test]
fn two_faults_and_rot_beside_them() {
    let faults: [fn(&Path); 4] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, b"").unwrap(),
        |path| fs::write(path, vec![0x5a; 200_000]).unwrap(),
        |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        },
    ];
    for first in 0..6_u8 {
        for second in first + 1..6 {
            let stores = Stores::new(4, 2);
            let rotten = (0..6).find(|store| ![first, second].contains(store)).unwrap();
            let fault = faults[usize::from(first + second) % faults.len()];
            // The segment has two faults, the archive one and rot in another store.
            fault(&stores.file(first, SEGMENT));
            fault(&stores.file(second, SEGMENT));
            fault(&stores.file(first, SMALL));
            flip(&stores.file(rotten, SMALL), 1000);
            let set = stores.open(Purpose::Use);
            stores.expect_objects(&set, (first, second));
            stores.repair(Purpose::Use);
            stores.expect_whole((first, second));

            // One store without it, and every block rotten in one of the others.
            fs::remove_file(stores.file(first, SEGMENT)).unwrap();
            for block in 0..20 {
                let store = (first + 1 + (block % 5) as u8) % 6;
                flip(&stores.file(store, SEGMENT), shard::HEADER_BYTES + block * shard::BLOCK_BYTES + 9);
            }
            stores.expect_objects(&stores.open(Purpose::Use), ("rot", first));
            stores.repair(Purpose::Use);
            stores.expect_whole(("rot", first));

            // Three at one place are too many: an error, and nothing is touched.
            for store in [first, second, rotten] {
                flip(&stores.file(store, SEGMENT), shard::HEADER_BYTES + 9);
            }
            let set = stores.open(Purpose::Use);
            assert_eq!(stores.get(&set, SEGMENT).unwrap_err().kind(), ErrorKind::Damaged);
            let before = fs::read(stores.file(first, SEGMENT)).unwrap();
            assert!(matches!(stores.examine(&set, SEGMENT, Task::Repair).state, State::Lost(_)));
            assert_eq!(fs::read(stores.file(first, SEGMENT)).unwrap(), before);
        }
    }
}

#[test]
fn writes_need_one_store_more_than_reads() {
    let stores = Stores::new(4, 2);
    let data = objects()[0].1.clone();
    fs::remove_dir_all(stores.path(5)).unwrap();
    let set = stores.open(Purpose::Use);
    stores.put(&set, "archives/cd", data.clone()).unwrap();
    assert_eq!(stores.get(&set, "archives/cd").unwrap(), data);
    let strict = stores.open(Purpose::Use).require_all_stores(true);
    assert_eq!(stores.put(&strict, "archives/ce", data.clone()).unwrap_err().kind(), ErrorKind::StoreMissing);
    // Nothing is deleted, and says which store is missing.
    let error = stores.runtime.block_on(set.delete(&named("archives/cd"))).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::StoreMissing, gabion_core::error::Retry::Temporary));
    assert!(error.to_string().contains("store 6 ("), "{error}");
    assert_eq!(stores.get(&set, "archives/cd").unwrap(), data);

    fs::remove_dir_all(stores.path(4)).unwrap();
    let set = stores.open(Purpose::Use);
    assert_eq!(stores.put(&set, "archives/cf", data.clone()).unwrap_err().kind(), ErrorKind::StoreMissing);
    // Four of the five stores it was put to are there.
    assert_eq!(stores.get(&set, "archives/cd").unwrap(), data);
    let listed = stores.list(&set).unwrap();
    assert!(listed.contains(&"archives/cd".to_owned()) && !listed.contains(&"archives/cf".to_owned()), "{listed:?}");
}

#[test]
fn a_store_that_was_away_is_brought_up_to_date() {
    let stores = Stores::new(2, 2);
    let away = stores.place.path().join("away");
    fs::rename(stores.path(1), &away).unwrap();
    let set = stores.open(Purpose::Use);
    stores.put(&set, "archives/cd", objects()[0].1.clone()).unwrap();
    fs::rename(&away, stores.path(1)).unwrap();
    let set = stores.open(Purpose::Use);
    let found = stores.examine(&set, "archives/cd", Task::Verify);
    assert!(matches!(found.state, State::Damaged), "{found:?}");
    assert_eq!(found.spare, Some(1));
    let repaired = stores.examine(&set, "archives/cd", Task::Repair);
    assert!(matches!(repaired.state, State::Repaired));
    assert_eq!(repaired.spare, Some(2));
}

#[test]
fn an_empty_folder_is_a_missing_store_and_stays_empty() {
    let stores = Stores::new(1, 2);
    fs::remove_dir_all(stores.path(1)).unwrap();
    fs::create_dir(stores.path(1)).unwrap();
    let set = stores.open(Purpose::Use);
    stores.put(&set, "archives/cd", objects()[0].1.clone()).unwrap();
    stores.examine(&set, "archives/cd", Task::Repair);
    assert_eq!(stores.missing(&set), [2]);
    assert_eq!(fs::read_dir(stores.path(1)).unwrap().count(), 0);
}

#[test]
fn a_store_that_was_replaced_does_not_come_back() {
    let stores = Stores::new(1, 1);
    let old = stores.place.path().join("old");
    fs::rename(stores.path(1), &old).unwrap();
    LocalBackend::create(&stores.path(1)).unwrap();
    stores.repair(Purpose::Replace(1));
    let set = stores.open(Purpose::Use);
    stores.runtime.block_on(set.delete(&named(SMALL))).unwrap();
    // The old disk is found in a drawer and mounted where it was.
    fs::remove_dir_all(stores.path(1)).unwrap();
    fs::rename(&old, stores.path(1)).unwrap();
    let set = stores.open(Purpose::Use);
    assert_eq!(stores.missing(&set), [2]);
    assert_eq!(stores.get(&set, SMALL).unwrap_err().kind(), ErrorKind::StoreMissing, "it may be on the lost disk");
    assert!(!stores.list(&set).unwrap().is_empty());
}

#[test]
fn stores_that_do_not_belong_together_are_refused() {
    let stores = Stores::new(2, 1);
    let told = |members: Vec<Member>, split: Split| {
        let set = ErasureBackend::new(split, members, Purpose::Use)?;
        stores.runtime.block_on(set.health()).map(|health| health.missing)
    };
    let refused = |members: Vec<Member>, split: (u8, u8), words: &[&str]| {
        let error = told(members, Split::new(split.0, split.1).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        words.iter().for_each(|word| assert!(error.to_string().contains(word), "{error}"));
    };
    let member = |store| stores.member(store);
    refused(vec![member(0), member(2), member(1)], (2, 1), &["not in their order", "number: 2", "number: 3"]);
    refused(vec![member(0), member(1), member(1)], (2, 1), &["named twice"]);
    let link = stores.place.path().join("link");
    std::os::unix::fs::symlink(stores.path(1), &link).unwrap();
    let again = Member { location: link.display().to_string(), ..member(1) };
    refused(vec![member(0), member(1), again], (2, 1), &["named twice", "is number: 2"]);
    refused(vec![member(0), member(1)], (2, 1), &["named: 2", "3 for 2+1"]);
    refused(vec![member(0), member(1), member(2)], (1, 2), &["another split", "their split: 2+1"]);

    // A store of another set is missing, and told to be.
    let others = Stores::new(2, 1);
    let missing = told(vec![member(0), member(1), others.member(2)], stores.split).unwrap();
    assert!(missing.len() == 1 && missing[0].reason.contains("another set"), "{missing:?}");
    assert_eq!(missing[0].store, 3);
    let error = told(vec![member(0), others.member(1), others.member(2)], stores.split);
    assert!(error.unwrap().len() == 1, "two of three stores decide");
}

#[test]
fn a_new_set_takes_only_empty_stores() {
    let stores = Stores::new(2, 1);
    let other = stores.place.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::create_dir(other.join("archives")).unwrap();
    fs::write(other.join("archives/x"), b"somebody's").unwrap();
    let full = || Member {
        location: other.display().to_string(),
        store: Ok(Arc::new(LocalBackend::open(&other).unwrap())),
        own: None,
        depth: 0,
    };
    let set = |members, purpose| ErasureBackend::new(stores.split, members, purpose).unwrap();
    let health = |set: ErasureBackend| stores.runtime.block_on(set.health()).unwrap_err();
    let fresh = |name: &str| {
        let path = stores.place.path().join(name);
        let store: Arc<dyn Backend> = Arc::new(LocalBackend::create(&path).unwrap());
        Member { location: path.display().to_string(), store: Ok(store), own: None, depth: 0 }
    };
    let error = health(set(vec![fresh("a"), fresh("b"), full()], Purpose::Create));
    assert_eq!((error.kind(), error.context("found")), (ErrorKind::NotARepository, Some("archives/x")));
    let error = health(set(vec![stores.member(0), stores.member(1), full()], Purpose::Replace(2)));
    assert_eq!((error.kind(), error.context("found")), (ErrorKind::NotARepository, Some("archives/x")));
    let parts: Vec<Member> = ["a", "b"].into_iter().map(fresh).collect();
    assert!(parts.iter().all(|member| {
        let listed = member.store.as_ref().unwrap().list(&Prefix::all()).try_collect::<Vec<_>>();
        stores.runtime.block_on(listed).unwrap().is_empty()
    }));

    // A set in use is not made again, so an empty folder does not become one of its stores.
    fs::remove_dir_all(stores.path(2)).unwrap();
    LocalBackend::create(&stores.path(2)).unwrap();
    assert_eq!(stores.missing(&stores.open(Purpose::Create)), [3]);
    // One that was half made is made whole.
    for store in [0, 1] {
        for folder in ["segments", "archives"] {
            fs::remove_dir_all(stores.path(store).join(folder)).unwrap();
        }
    }
    assert_eq!(stores.missing(&stores.open(Purpose::Create)), [0; 0]);
}

#[test]
fn a_deleted_object_stays_deleted() {
    let stores = Stores::new(1, 2);
    let set = stores.open(Purpose::Use);
    stores.runtime.block_on(set.delete(&named(SMALL))).unwrap();
    for task in [Task::Verify, Task::Repair] {
        assert!(matches!(stores.examine(&set, SMALL, task).state, State::Gone));
    }
    assert_eq!(stores.list(&set).unwrap(), [SEGMENT]);

    // What a put left that was cut short is no object, and no scrub makes one of it.
    let stores = Stores::new(4, 2);
    (0..3).for_each(|store| fs::remove_file(stores.file(store, SEGMENT)).unwrap());
    let set = stores.open(Purpose::Use);
    assert_eq!(stores.get(&set, SEGMENT).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(matches!(stores.examine(&set, SEGMENT, Task::Repair).state, State::Leftover));
    assert!(stores.file(3, SEGMENT).exists());
    assert_eq!(stores.list(&set).unwrap(), [SMALL]);
}

#[test]
fn what_is_left_of_no_object_goes_when_it_is_told_to_and_all_stores_are_there() {
    let stores = Stores::new(4, 2);
    (0..3).for_each(|store| fs::remove_file(stores.file(store, SEGMENT)).unwrap());
    fs::write(stores.file(4, SEGMENT), b"no part at all").unwrap();
    let state = |task| stores.examine(&stores.open(Purpose::Use), SEGMENT, task).state;
    for task in [Task::Verify, Task::Repair, Task::Upgrade] {
        assert!(matches!(state(task), State::Leftover), "{task:?}");
    }
    // A store that is away may have what makes an object of it; and even if not, it would keep its part.
    let away = stores.place.path().join("away");
    fs::rename(stores.path(0), &away).unwrap();
    assert!(matches!(state(Task::Clean), State::Lost(_)));
    fs::remove_file(stores.file(3, SEGMENT)).unwrap();
    assert!(matches!(state(Task::Clean), State::Leftover));
    fs::rename(&away, stores.path(0)).unwrap();
    assert!((4..6).all(|store| stores.file(store, SEGMENT).exists()));

    assert!(matches!(state(Task::Clean), State::Removed));
    assert!((0..6).all(|store| !stores.file(store, SEGMENT).exists()));
    assert!(matches!(state(Task::Clean), State::Gone));
    // What exists is repaired, as ever.
    fs::remove_file(stores.file(2, SMALL)).unwrap();
    let set = stores.open(Purpose::Use);
    assert!(matches!(stores.examine(&set, SMALL, Task::Clean).state, State::Repaired));
    assert_eq!(stores.list(&set).unwrap(), [SMALL]);
}

/// A store that is well is exchanged for another one: a disk for a larger one, a bucket for one elsewhere.
#[test]
fn a_store_that_is_there_may_be_replaced_too() {
    let stores = Stores::new(4, 2);
    let old = stores.place.path().join("old");
    fs::rename(stores.path(2), &old).unwrap();
    LocalBackend::create(&stores.path(2)).unwrap();
    stores.repair(Purpose::Replace(2));
    stores.expect_whole("one is another");
    // The one that left is no part of the set any more.
    fs::rename(stores.path(2), stores.place.path().join("new")).unwrap();
    fs::rename(&old, stores.path(2)).unwrap();
    let set = stores.open(Purpose::Use);
    assert_eq!(stores.missing(&set), [3]);
    stores.expect_all(&set, "without it");
}

#[test]
fn contents_are_never_mixed() {
    let (stores, other) = (Stores::new(4, 2), Stores::new(4, 2));
    let set = other.open(Purpose::Use);
    let rival: Bytes = vec![9; 700_001].into();
    other.put(&set, SEGMENT, rival.clone()).unwrap();
    // Three parts of one content and three of another: none exists.
    for store in 0..3 {
        fs::copy(other.file(store, SEGMENT), stores.file(store, SEGMENT)).unwrap();
    }
    let set = stores.open(Purpose::Use);
    assert!(stores.get(&set, SEGMENT).is_err());
    assert!(stores.examine(&set, SEGMENT, Task::Repair).damage.is_empty());
    // Four of one: it exists, and the other two are made of its kind.
    fs::copy(other.file(3, SEGMENT), stores.file(3, SEGMENT)).unwrap();
    assert_eq!(stores.get(&set, SEGMENT).unwrap(), rival);
    assert!(matches!(stores.examine(&set, SEGMENT, Task::Repair).state, State::Repaired));
    assert!(matches!(stores.examine(&set, SEGMENT, Task::Verify).state, State::Intact));

    // Of a mirror each content is whole by itself: one is read, and none is destroyed.
    let (mirror, other) = (Stores::new(1, 1), Stores::new(1, 1));
    let set = other.open(Purpose::Use);
    other.put(&set, SMALL, rival.slice(..100)).unwrap();
    fs::copy(other.file(1, SMALL), mirror.file(1, SMALL)).unwrap();
    let set = mirror.open(Purpose::Use);
    assert_eq!(mirror.get(&set, SMALL).unwrap(), objects()[1].1);
    let before = fs::read(mirror.file(1, SMALL)).unwrap();
    assert!(matches!(mirror.examine(&set, SMALL, Task::Repair).state, State::Damaged));
    assert_eq!(fs::read(mirror.file(1, SMALL)).unwrap(), before);
}

#[test]
fn stores_may_have_parity_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let path = |number: usize| place.path().join(number.to_string());
    let open = |purpose| {
        let members = (0..3).map(|number| {
            let local = Arc::new(LocalBackend::create(&path(number)).unwrap());
            let store = Arc::new(ParityBackend::new(local, Percent::new(10).unwrap()));
            Member { location: store.location().to_owned(), store: Ok(store.clone()), own: Some(store), depth: 0 }
        });
        ErasureBackend::new(Split::new(2, 1).unwrap(), members.collect(), purpose).unwrap()
    };
    let set = open(Purpose::Create);
    let data = objects()[0].1.clone();
    runtime.block_on(set.put(&named(SEGMENT), Payload::from(data.clone()), PutMode::Write)).unwrap();
    // One store loses its shard, another has a dead sector: parity gives it back.
    let file = |number| path(number).join("segments/ab").join(SEGMENT.rsplit('/').next().unwrap());
    fs::remove_file(file(0)).unwrap();
    let mut bytes = fs::read(file(1)).unwrap();
    bytes[40_960..45_056].fill(0);
    fs::write(file(1), bytes).unwrap();
    assert_eq!(runtime.block_on(set.get(&named(SEGMENT), ByteRange::WHOLE)).unwrap(), data);
    let repaired = runtime.block_on(set.examine(&named(SEGMENT), Task::Repair)).unwrap();
    assert!(matches!(repaired.state, State::Repaired) && repaired.damage.len() == 2, "{repaired:?}");
    let now = runtime.block_on(set.examine(&named(SEGMENT), Task::Verify)).unwrap();
    assert!(matches!(now.state, State::Intact), "{now:?}");
    let health = runtime.block_on(set.health()).unwrap();
    assert!(
        health.survives().ends_with("in every store damage to any 9.1 % of the sectors of an object"),
        "{health:?}"
    );
}

/// The blocks of `docs/erasure.md`.
#[test]
fn the_page_shows_what_this_layer_makes() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/erasure.md")).unwrap();
    let split = Split::new(4, 2).unwrap();
    let block = |block: &str, made: &[u8], shown: usize| {
        let head: String = made[..shown].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("```golden {block}\n{head}\n{} bytes, BLAKE3 {}\n```\n", made.len(), blake3::hash(made))
    };
    let mut blocks = Vec::new();
    for (name, bytes) in [("erasure-copy", 100_usize), ("erasure-shard", 100_000)] {
        let data: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let made = stripe::encode(&named(SEGMENT), split, &data.into()).unwrap().pop().unwrap().into_bytes();
        blocks.push(block(name, &made, shard::HEADER_BYTES));
    }
    let record = record::Record { splits: split.into(), store: 5, revision: 1, set: [7; 16], stores: vec![[9; 16]; 6] };
    blocks.push(block("store-record", &record.encode(), 144));
    let splits = Splits { now: split, earlier: Split::new(2, 1) };
    blocks.push(block("store-record-upgrade", &record::Record { splits, revision: 2, ..record }.encode(), 144));
    let missing: String = blocks.into_iter().filter(|block| !page.contains(block.as_str())).collect();
    assert!(missing.is_empty(), "the page lacks\n{missing}");
}
