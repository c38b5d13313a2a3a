//! What operations cost in calls, stated and held. A store across an ocean makes every call a tenth of a second.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gabion_backends::layer::{CacheBackend, CachePlace};
use gabion_backends::{Access, Location, OpenOptions};
use gabion_core::archive::catalog::Catalog;
use gabion_core::backend::Store;
use gabion_core::id::ArchiveId;
use gabion_core::ops::compact::{CompactOptions, plan};
use gabion_core::ops::delete::{Remover, remove};
use gabion_core::repository::{Client, NewRepository, Repository};
use gabion_tests::{HookedBackend, Method, Notes, Objects, Random, RecordingBackend};

use crate::engine::{back_up, backed_up, clock, collect, new_repository, open, options, restore};

/// Files of noise, and as many small ones.
fn source(place: &Path, files: u64) -> PathBuf {
    let source = place.join("tree");
    std::fs::create_dir(&source).unwrap();
    for number in 0..files {
        let mut random = Random::new(number);
        std::fs::write(source.join(format!("large {number}")), random.bytes(300_000)).unwrap();
        std::fs::write(source.join(format!("small {number}")), random.bytes(100)).unwrap();
    }
    source
}

fn recorded(objects: &Objects, source: &Path) -> RecordingBackend {
    let recorder = RecordingBackend::new(objects.backend());
    back_up(Arc::new(recorder.clone()), source, &options(), &Notes::new()).unwrap();
    recorder
}

/// Opening: `config`, the list of key slots, and one of them.
const OPEN: usize = 3;
/// A look: epoch, dooms, damage, index, segments.
const LOOK: usize = 5;
/// Announcing: archives, removals, the first pending, removals once more.
const ANNOUNCE: usize = 4;
/// Committing a tree that is that of the base: the record, whether the first pending was given up or is gone, and its end.
const COMMIT: usize = 4;

#[test]
fn a_backup_of_nothing_new_costs_what_is_stated() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path(), 5);
    let objects = new_repository();
    backed_up(&objects, &source);
    let recorder = recorded(&objects, &source);
    let calls = recorder.calls();
    // An index fragment and an archive record to read, and at most a frame for each of the nodes of the base: the
    // root, the directory, and what is remembered of both.
    let bound = OPEN + LOOK + ANNOUNCE + COMMIT + 2 + 4;
    println!("a backup of nothing new: {} calls, {bound} stated", calls.len());
    assert!(calls.len() <= bound, "{} calls: {calls:#?}", calls.len());
    assert_eq!(recorder.count(Method::Put, "segments") + recorder.count(Method::Put, "index"), 0);
}

#[test]
fn with_a_warm_cache_the_number_of_archives_does_not_count() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path(), 5);
    let objects = new_repository();
    let cache = CachePlace { directory: place.path().join("cache"), bytes_max: 1 << 30 };
    let recorded = || {
        let recorder = RecordingBackend::new(objects.backend());
        back_up(Arc::new(CacheBackend::new(Arc::new(recorder.clone()), &cache)), &source, &options(), &Notes::new())
            .unwrap();
        recorder
    };
    for number in 0..60 {
        // Some grow the index, too.
        std::fs::write(source.join("diary"), format!("{}", number / 4).repeat(1000)).unwrap();
        recorded();
    }
    // Ten thousand removals are one list.
    for number in 0..10_000 {
        objects.put(&format!("removed/{number:032x}.{number:032x}"), vec![1]).unwrap();
    }
    recorded();
    let recorder = recorded();
    let calls = recorder.calls().len();
    println!("a backup of nothing new beside 60 archives, with a warm cache: {calls} calls");
    assert!(calls <= 16, "{calls} calls: {:#?}", recorder.calls());
    assert_eq!(recorder.count(Method::Get, "archives") + recorder.count(Method::Get, "index"), 0);
}

#[test]
fn new_data_costs_its_segments_and_six_puts() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path(), 20);
    let objects = new_repository();
    let recorder = recorded(&objects, &source);
    let (all, segments) = (recorder.count(Method::Put, ""), recorder.count(Method::Put, "segments"));
    assert!(segments >= 20, "{segments} segments");
    assert!(all <= segments + 6, "{all} puts for {segments} segments");
    let (data, sent) = (20 * 300_100, recorder.bytes(Method::Put, ""));
    println!("{data} bytes of noise: {all} puts, {sent} bytes");
    assert!(sent < data + data / 8, "{sent} bytes sent for {data}");
}

#[test]
fn the_cost_of_a_look_does_not_grow_with_the_number_of_archives() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path(), 2);
    let objects = new_repository();
    let mut calls = Vec::new();
    for number in 0..40 {
        std::fs::write(source.join("diary"), format!("{number}").repeat(1000)).unwrap();
        calls.push(recorded(&objects, &source).count(Method::Get, "index"));
    }
    // Fragments are merged by eights.
    assert!(calls.iter().all(|count| *count <= 7 + 7 + 8), "{calls:?}");
    assert!(objects.names("index").unwrap().len() <= 14, "{:?}", objects.names("index"));
}

/// What a collector reads of trees: calls and bytes.
fn read_by_a_collector(objects: &Objects) -> (usize, u64) {
    let recorder = RecordingBackend::new(objects.backend());
    plan(&open(Arc::new(recorder.clone())).unwrap(), &CompactOptions::default(), &clock(), &Notes::new()).unwrap();
    let sum = |of: &dyn Fn(Method) -> u64| [Method::Get, Method::GetRange].map(of).iter().sum::<u64>();
    let calls = sum(&|method| recorder.count(method, "segments") as u64);
    (calls as usize, sum(&|method| recorder.bytes(method, "segments")))
}

/// The trees are larger than what a reader remembers of what it read.
#[test]
fn a_collector_reads_every_tree_once_in_however_many_archives() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path(), 2);
    for number in 0..40 {
        let directory = source.join(format!("directory {number}"));
        std::fs::create_dir(&directory).unwrap();
        for link in 0..150 {
            let target = format!("{number:04} {link:03} ").repeat(450);
            std::os::unix::fs::symlink(&target, directory.join(format!("{link}"))).unwrap();
        }
    }
    let objects = new_repository();
    let back_up = |count| (0..count).for_each(|_| drop(backed_up(&objects, &source)));
    back_up(2);
    let two = read_by_a_collector(&objects);
    assert!(two.1 > 18 << 20, "{two:?}");
    back_up(3);
    assert_eq!(read_by_a_collector(&objects), two, "the same trees in 5 archives");
    for number in 0..3 {
        std::fs::write(source.join("diary"), format!("{number}").repeat(1000)).unwrap();
        back_up(1);
    }
    let eight = read_by_a_collector(&objects);
    println!("trees of 41 directories: a collector reads {two:?} for 5 archives, {eight:?} for 8, 3 of which differ");
    assert!(eight.1 < two.1 + two.1 / 8, "{eight:?} {two:?}");
}

#[test]
fn a_restore_reads_every_frame_once() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path(), 10);
    let objects = new_repository();
    let record = backed_up(&objects, &source).record;
    let recorder = RecordingBackend::new(objects.backend());
    let target = tempfile::tempdir().unwrap();
    restore(Arc::new(recorder.clone()), &record, target.path(), 0).unwrap();
    let stored: u64 =
        objects.names("segments").unwrap().iter().map(|name| objects.get(name).unwrap().len() as u64).sum();
    let read = recorder.bytes(Method::GetRange, "segments");
    assert!(read <= stored, "{read} bytes read of {stored}");
}

/// How long everything takes in a directory in which many archives were removed:
/// `GABION_TEST_REMOVALS=100000 cargo test --release -p gabion-tests --test scenarios -- --ignored --nocapture removals_of_years`
#[test]
#[ignore = "measures"]
fn removals_of_years() {
    let count = std::env::var("GABION_TEST_REMOVALS").map_or(10_000u128, |count| count.parse().unwrap());
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path(), 5);
    let folder = Location::Local(place.path().join("repository"));
    let new = gabion_backends::open(&folder, Access::Create, &OpenOptions::default()).unwrap();
    Repository::create(Store::new(new).unwrap(), Client::default(), &NewRepository::plain(), &clock()).unwrap();
    let backend = gabion_backends::open(&folder, Access::Existing, &OpenOptions::default()).unwrap();
    let made = back_up(Arc::clone(&backend), &source, &options(), &Notes::new()).unwrap();
    let repository = open(Arc::clone(&backend)).unwrap();
    let timed = |what: &str, removals: u128, work: &dyn Fn()| {
        let began = std::time::Instant::now();
        work();
        println!("{removals} removals: {what} takes {:?}", began.elapsed());
    };
    for removals in [0, count] {
        for number in 0..removals {
            let archive = ArchiveId::from_bytes(number.to_be_bytes());
            remove(&repository, &archive, Some(&made.record), &Remover::default(), &clock()).unwrap();
        }
        timed("a backup of nothing new", removals, &|| {
            back_up(Arc::clone(&backend), &source, &options(), &Notes::new()).unwrap();
        });
        timed("listing archives", removals, &|| drop(Catalog::load(&repository).unwrap()));
        timed("collecting", removals, &|| collect(Arc::clone(&backend), &Notes::new()).map(|_| ()).unwrap());
    }
}

/// Calls of which neither needs the answer of the other: the method, the object, and which of its kind it is.
type Pair = [(Method, &'static str, usize); 2];

/// What a first backup asks at once.
const AT_ONCE: [Pair; 5] = [
    [(Method::Get, "config", 1), (Method::List, "keys", 1)],
    [(Method::List, "gc/epoch", 1), (Method::List, "archives", 1)],
    [(Method::List, "gc/doom", 1), (Method::List, "damage", 1)],
    // the looks before and after the record: what was taken for dead is asked along with the second
    [(Method::List, "gc/doom", 3), (Method::Head, "gc/expired", 1)],
    [(Method::Delete, "pending", 1), (Method::Delete, "pending", 2)],
];

/// Where calls wait for each other.
#[derive(Default)]
struct Meetings {
    begun: Mutex<Vec<(Method, String)>>,
    changed: Condvar,
    missed: Mutex<Vec<Pair>>,
}

impl Meetings {
    /// Holds a call back until the one it is to be asked with has begun, too.
    fn hold(&self, method: Method, object: &str) {
        let mut begun = self.begun.lock().unwrap();
        begun.push((method, object.to_owned()));
        self.changed.notify_all();
        let count = |begun: &[(Method, String)], kind: Method, start: &str| {
            begun.iter().filter(|(method, object)| *method == kind && object.starts_with(start)).count()
        };
        let this = |(kind, start, number): &(Method, &str, usize)| {
            *kind == method && object.starts_with(start) && count(&begun, *kind, start) == *number
        };
        let Some(pair) = AT_ONCE.into_iter().find(|pair| pair.iter().any(this)) else { return };
        let alone = |begun: &mut Vec<(Method, String)>| {
            !pair.iter().all(|(kind, start, number)| count(begun, *kind, start) >= *number)
        };
        let waited = self.changed.wait_timeout_while(begun, Duration::from_secs(10), alone).unwrap().1;
        if waited.timed_out() {
            self.missed.lock().unwrap().push(pair);
        }
    }
}

#[test]
fn what_needs_no_order_is_asked_at_once() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path(), 1);
    let objects = new_repository();
    let meetings = Arc::new(Meetings::default());
    let hook = Arc::clone(&meetings);
    let far = HookedBackend::new(objects.backend(), move |method, object| hook.hold(method, object));
    back_up(Arc::new(far), &source, &options(), &Notes::new()).unwrap();
    let missed = meetings.missed.lock().unwrap();
    assert!(missed.is_empty(), "{missed:?}");
    assert!(meetings.begun.lock().unwrap().len() > 2 * AT_ONCE.len());
}

/// However long the way is: a worker waits for a put only while four segments are on their way.
#[test]
fn four_segments_are_on_their_way_at_once() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path(), 5);
    let objects = new_repository();
    // How many puts have begun, and whether one has waited long enough for three others.
    let begun = Arc::new((Mutex::new((0, false)), Condvar::new()));
    let meeting = Arc::clone(&begun);
    let far = HookedBackend::new(objects.backend(), move |method, object| {
        if method == Method::Put && object.starts_with("segments") {
            let (state, changed) = &*meeting;
            let mut met = state.lock().unwrap();
            met.0 += 1;
            changed.notify_all();
            let alone = |met: &mut (usize, bool)| met.0 < 4 && !met.1;
            let (mut met, _) = changed.wait_timeout_while(met, Duration::from_secs(20), alone).unwrap();
            met.1 |= met.0 < 4;
        }
    });
    let mut options = options();
    options.writer.workers = 2;
    back_up(Arc::new(far), &source, &options, &Notes::new()).unwrap();
    assert!(!begun.0.lock().unwrap().1, "no four puts met");
}
