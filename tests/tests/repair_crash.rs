//! The crash matrix of a repair, and what happens when somebody else works beside it: whatever could be read before can
//! be read after, and a repair that is begun again ends well.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gabion_core::archive::ArchiveRecord;
use gabion_core::backend::Backend;
use gabion_core::error::Result;
use gabion_core::ops::check::About;
use gabion_tests::{FaultyBackend, HookedBackend, Notes, Objects, Random, WriteFault};

use crate::engine::{archives, back_up, backed_up, collect, differences, options, remove};
use crate::repair::{findings, is_well, mend, right_files, scene, spoil};

const DEATHS: [WriteFault; 3] = [WriteFault::DieBefore, WriteFault::DieAfter, WriteFault::DieAndLandLate];

/// A repository with damage of every kind that a repair has a step for.
fn wreck() -> (tempfile::TempDir, PathBuf, Objects) {
    let (place, source, objects) = scene();
    let segments = objects.names("segments").unwrap();
    let (data, trees): (Vec<&String>, Vec<&String>) =
        segments.iter().partition(|name| objects.get(name).unwrap()[4] == 1);
    spoil(&objects, data[0], 400);
    objects.remove(data[1]).unwrap();
    spoil(&objects, trees[0], 990);
    spoil(&objects, &objects.names("index").unwrap()[0], 500);
    let gone = archives(&objects).0.remove(0);
    remove(objects.backend(), &gone).unwrap();
    let removed = objects.names("removed").unwrap();
    spoil(&objects, &removed[0], 500);
    objects.put(&format!("pending/{}", "0".repeat(32)), vec![1; 200]).unwrap();
    objects.put(&format!("damage/{}", "0".repeat(32)), vec![1; 200]).unwrap();
    objects.put(&format!("gc/epoch/{}", "0".repeat(32)), vec![1; 200]).unwrap();
    (place, source, objects)
}

/// A wreck whose newest archive has right files, and these: names of segments are drawn, and in some wrecks nothing of
/// it is left to be lost.
fn wreck_with_right_files() -> (tempfile::TempDir, PathBuf, Objects, ArchiveRecord, BTreeSet<String>) {
    let wrecks = (0..20).map(|_| wreck()).map(|(place, source, start)| {
        let newest = archives(&start).0.pop().unwrap().record;
        let before = right_files(&start, &newest, &source);
        (place, source, start, newest, before)
    });
    wrecks.into_iter().find(|wreck| !wreck.4.is_empty()).unwrap()
}

#[test]
fn repair_survives_death_at_every_call() {
    let (_place, source, start, newest, before) = wreck_with_right_files();
    let counting = FaultyBackend::new(start.fork().unwrap().backend());
    mend(Arc::new(counting.clone()), None).unwrap();
    assert!(counting.writes() >= 25, "only {} calls", counting.writes());
    for number in 1..=counting.writes() {
        for death in DEATHS {
            let objects = start.fork().unwrap();
            let client = FaultyBackend::new(objects.backend()).on_write(number, death);
            let _ = mend(Arc::new(client.clone()), None);
            assert!(client.is_dead(), "call {number} of {} was not reached", counting.writes());
            let cell = format!("{death:?} at call {number}");
            let after = right_files(&objects, &newest, &source);
            assert!(after.is_superset(&before), "{cell}: lost {:?}", before.difference(&after));
            is_well(&objects, &source, &cell);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(client.land()).unwrap();
            is_well(&objects, &source, &format!("{cell}, landed late"));
            collect(objects.backend(), &Notes::new()).unwrap_or_else(|error| panic!("{cell}: collect: {error}"));
            is_well(&objects, &source, &format!("{cell}, collected"));
        }
    }
}

/// Runs `first` once per call it makes, and `second` before that call; until the calls are over.
fn at_every_call(
    start: &Objects,
    first: &dyn Fn(Arc<dyn Backend>) -> Result<()>,
    second: &(dyn Fn(&Objects) + Sync),
    then: &dyn Fn(&Objects, &str),
) -> u64 {
    for step in 0.. {
        let objects = start.fork().unwrap();
        let calls = Arc::new(AtomicU64::new(0));
        let (counted, inside) = (Arc::clone(&calls), objects.clone());
        // The second one works in a thread of its own: the first one's must not block on another store.
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if begun.recv().is_ok() {
                    second(&inside);
                    drop(end);
                }
            });
            let gate = Mutex::new((begin, ended));
            let client = HookedBackend::new(objects.backend(), move |_, _| {
                if counted.fetch_add(1, Ordering::Relaxed) == step {
                    let gate = gate.lock().unwrap();
                    gate.0.send(()).unwrap();
                    gate.1.recv().unwrap_err();
                }
            });
            first(Arc::new(client)).unwrap_or_else(|error| panic!("at call {step}: {error}"));
        });
        if calls.load(Ordering::Relaxed) <= step {
            return step;
        }
        then(&objects, &format!("at call {step}"));
    }
    0
}

#[test]
fn a_repair_at_any_time_of_a_backup_disturbs_nobody() {
    let (_place, source, start) = wreck();
    std::fs::write(source.join("more"), Random::new(99).bytes(90_000)).unwrap();
    let work = |backend: Arc<dyn Backend>| back_up(backend, &source, &options(), &Notes::new()).map(|_| ());
    let second = |objects: &Objects| drop(mend(objects.backend(), None).unwrap());
    let calls = at_every_call(&start, &work, &second, &|objects, cell| {
        let newest = archives(objects).0.pop().unwrap();
        // what nobody knew to be spoilt may be taken over, but the repair knows
        mend(objects.backend(), None).unwrap();
        let next = backed_up(objects, &source);
        for record in [&next.record, &newest.record] {
            assert_eq!(differences(objects, record, &source), Vec::<String>::new(), "repair {cell}");
        }
    });
    assert!(calls > 20, "{calls}");
}

#[test]
fn a_backup_at_any_time_of_a_repair_is_whole() {
    let (_place, source, start) = wreck();
    std::fs::write(source.join("more"), Random::new(99).bytes(90_000)).unwrap();
    let work = |backend: Arc<dyn Backend>| mend(backend, None).map(|_| ());
    let second = |objects: &Objects| drop(backed_up(objects, &source));
    let calls = at_every_call(&start, &work, &second, &|objects, cell| {
        let newest = archives(objects).0.pop().unwrap();
        mend(objects.backend(), None).unwrap();
        let next = backed_up(objects, &source);
        for record in [&next.record, &newest.record] {
            assert_eq!(differences(objects, record, &source), Vec::<String>::new(), "backup {cell}");
        }
        let hurt = findings(objects).into_iter().filter(|about| match about {
            // the files of an older archive that are different now, or gone
            About::Path(archive, _) => [newest.id, next.id].contains(archive),
            About::Chunk(_) => false,
            _ => true,
        });
        assert_eq!(hurt.collect::<Vec<_>>(), [], "backup {cell}");
    });
    assert!(calls > 40, "{calls}");
}

#[test]
fn a_collector_beside_a_repair_loses_nothing() {
    let (_place, source, start, newest, before) = wreck_with_right_files();
    let work = |backend: Arc<dyn Backend>| mend(backend, None).map(|_| ());
    // it declines while it can not read what is needed
    let second = |objects: &Objects| drop(collect(objects.backend(), &Notes::new()));
    let calls = at_every_call(&start, &work, &second, &|objects, cell| {
        let after = right_files(objects, &newest, &source);
        assert!(after.is_superset(&before), "collector {cell}: lost {:?}", before.difference(&after));
        is_well(objects, &source, &format!("collector {cell}"));
    });
    assert!(calls > 40, "{calls}");
}

#[test]
fn two_repairs_at_once_are_one() {
    let (_place, source, start) = wreck();
    let work = |backend: Arc<dyn Backend>| mend(backend, None).map(|_| ());
    let second = |objects: &Objects| drop(mend(objects.backend(), None).unwrap());
    let calls =
        at_every_call(&start, &work, &second, &|objects, cell| is_well(objects, &source, &format!("second {cell}")));
    assert!(calls > 40, "{calls}");
}
