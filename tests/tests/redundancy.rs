//! The engine over parity and over sets of stores: what it costs while all is well, and what heals when it is not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use gabion_backends::erasure::{Member, Purpose, Split};
use gabion_backends::parity::Percent;
use gabion_backends::scrub::{Scrub, State, Task};
use gabion_backends::{ErasureBackend, ParityBackend};
use gabion_core::backend::{Backend, ByteRange, ObjectName, Payload, PutMode, Store};
use gabion_core::error::ErrorKind;
use gabion_core::ops::check::{CheckOptions, Told, check};
use gabion_core::repository::{ChunkSource, Client, NewRepository, Repository};
use gabion_core::segment::Class;
use gabion_tests::{
    Aspects, FaultyBackend, HookedBackend, Method, Notes, Objects, Random, ReadFault, RecordingBackend, compare,
};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::engine::{archives, back_up, clock, collect, open, options, restore};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn parity(store: Arc<dyn Backend>) -> Arc<ParityBackend> {
    Arc::new(ParityBackend::new(store, Percent::new(10).unwrap()))
}

fn set(stores: impl IntoIterator<Item = Arc<dyn Backend>>, needed: u8, purpose: Purpose) -> Arc<ErasureBackend> {
    let members = stores.into_iter().enumerate().map(|(number, store)| Member {
        location: format!("memory:{number}"),
        store: Ok(store),
        own: None,
        depth: 0,
    });
    let members: Vec<Member> = members.collect();
    let split = Split::new(needed, members.len() as u8 - needed).unwrap();
    Arc::new(ErasureBackend::new(split, members, purpose).unwrap())
}

fn source(place: &Path) -> PathBuf {
    let source = place.join("tree");
    std::fs::create_dir(&source).unwrap();
    for number in 0..8 {
        let mut random = Random::new(number);
        std::fs::write(source.join(format!("large {number}")), random.bytes(200_000)).unwrap();
        std::fs::write(source.join(format!("small {number}")), random.bytes(100)).unwrap();
    }
    source
}

/// Makes a repository and backs the tree up.
fn repository(backend: &Arc<dyn Backend>, source: &Path) {
    let store = Store::new(Arc::clone(backend)).unwrap();
    Repository::create(store, Client::default(), &NewRepository::plain(), &clock()).unwrap();
    let notes = Notes::new();
    back_up(Arc::clone(backend), source, &options(), &notes).unwrap();
    assert_eq!(notes.complaints(), Vec::<String>::new());
}

/// The newest archive comes back as it was.
fn restores(backend: &Arc<dyn Backend>, source: &Path) {
    let repository = open(Arc::clone(backend)).unwrap();
    let catalog = gabion_core::archive::catalog::Catalog::load(&repository).unwrap();
    let place = tempfile::tempdir().unwrap();
    let record = &catalog.archives.last().unwrap().record;
    let notes = restore(Arc::clone(backend), record, place.path(), 0).unwrap();
    assert_eq!(notes.complaints(), Vec::<String>::new());
    let restored = place.path().join(source.file_name().unwrap());
    assert_eq!(compare(source, &restored, &Aspects::default()).unwrap(), Vec::<String>::new());
}

/// What is wrong, as a check with all data sees it.
fn findings(backend: &Arc<dyn Backend>) -> Vec<String> {
    let repository = open(Arc::clone(backend)).unwrap();
    let mut found = Vec::new();
    let options = CheckOptions { data: true, workers: 1, ..CheckOptions::default() };
    check(&repository, &options, &clock(), &Notes::new(), &mut |told| {
        if let Told::Finding(finding) = told {
            found.push(format!("{finding:?}"));
        }
    })
    .unwrap();
    found
}

/// Ruins a sector of every object that has several.
fn spoil(objects: &Objects) -> usize {
    let mut spoilt = 0;
    for name in objects.names("").unwrap() {
        let mut bytes = objects.get(&name).unwrap().to_vec();
        if bytes.len() > 8192 {
            let at = bytes.len() / 2 / 4096 * 4096;
            bytes[at..at + 4096].fill(0x11);
            objects.put(&name, bytes).unwrap();
            spoilt += 1;
        }
    }
    spoilt
}

#[test]
fn frames_that_rotted_are_read_from_the_repaired_whole() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path());
    let objects = Objects::new();
    let layer: Arc<dyn Backend> = parity(objects.backend());
    repository(&layer, &source);
    assert!(spoil(&objects) > 10);
    restores(&layer, &source);
    assert_eq!(findings(&layer), Vec::<String>::new());
    back_up(Arc::clone(&layer), &source, &options(), &Notes::new()).unwrap();
    collect(layer, &Notes::new()).unwrap();
}

#[test]
fn a_frame_that_rotted_is_not_lost_while_its_segment_does_not_come() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path());
    let objects = Objects::new();
    repository(&(parity(objects.backend()) as Arc<dyn Backend>), &source);
    spoil(&objects);
    let content = std::fs::read(source.join("large 0")).unwrap();
    let mut unanswered = 0;
    for chunk in content.chunks(16 << 10) {
        for number in 1.. {
            let client = FaultyBackend::new(objects.backend());
            let repository = open(parity(Arc::new(client.clone()))).unwrap();
            let id = repository.chunk_id(Class::Data, chunk);
            let reader = repository.session().unwrap().reader();
            let last = client.reads() + number;
            let client = client.on_read(last, ReadFault::Temporary(ErrorKind::Connection));
            match reader.fetch(Class::Data, &id) {
                Ok(found) => assert_eq!(found, chunk, "read {number}"),
                Err(error) => {
                    unanswered += 1;
                    assert_eq!(error.kind(), ErrorKind::Connection, "read {number}");
                }
            }
            if client.reads() < last {
                break;
            }
            assert_eq!(reader.fetch(Class::Data, &id).unwrap(), chunk, "read {number}, then again");
        }
    }
    assert!(unanswered > 0);
}

#[test]
fn a_segment_that_can_not_be_repaired_is_read_whole_once() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path());
    let objects = crate::engine::new_repository();
    back_up(objects.backend(), &source, &options(), &Notes::new()).unwrap();
    for name in objects.names("segments").unwrap() {
        let mut bytes = objects.get(&name).unwrap().to_vec();
        for at in (100..bytes.len() - 200).step_by(700) {
            bytes[at] ^= 1;
        }
        objects.put(&name, bytes).unwrap();
    }
    let recorder = RecordingBackend::new(objects.backend());
    let record = archives(&objects).0.pop().map(|archive| archive.record);
    // The root may be unreadable: then there is nothing to restore, and one segment is read whole.
    if let Some(record) = record {
        let _ = restore(Arc::new(recorder.clone()), &record, &place.path().join("out"), 0);
    }
    let segments = objects.names("segments").unwrap().len();
    assert!(recorder.count(Method::Get, "segments") <= 2 * segments, "{:#?}", recorder.calls());
}

/// While all is well the store sees the same calls with parity as without, but for a header per segment.
#[test]
fn ranges_stay_ranges() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path());
    let (plain, protected) = (Objects::new(), Objects::new());
    let cost = |objects: &Objects, wrap: &dyn Fn(Arc<dyn Backend>) -> Arc<dyn Backend>| {
        repository(&wrap(objects.backend()), &source);
        let recorder = RecordingBackend::new(objects.backend());
        restores(&wrap(Arc::new(recorder.clone())), &source);
        let bytes = recorder.bytes(Method::GetRange, "segments") + recorder.bytes(Method::Get, "segments");
        (recorder.count(Method::GetRange, "segments"), recorder.count(Method::Get, "segments"), bytes)
    };
    let without = cost(&plain, &|store| store);
    let with = cost(&protected, &|store| parity(store));
    let segments = plain.names("segments").unwrap().len();
    assert_eq!(with.1, without.1, "nothing is read whole that was not before");
    assert!(with.0 <= without.0 + segments, "{with:?} {without:?} {segments}");
    assert!(with.2 <= without.2 + 128 * segments as u64, "{with:?} {without:?}");
}

#[test]
fn a_range_of_a_set_touches_one_store_or_two() {
    let stores: Vec<Objects> = (0..6).map(|_| Objects::new()).collect();
    let recorders: Vec<_> = stores.iter().map(|store| RecordingBackend::new(store.backend())).collect();
    let backend =
        set(recorders.iter().map(|recorder| Arc::new(recorder.clone()) as Arc<dyn Backend>), 4, Purpose::Create);
    let (runtime, name) = (runtime(), ObjectName::new("segments/ab").unwrap());
    let data = Bytes::from(Random::new(3).bytes(4_000_000));
    runtime.block_on(backend.put(&name, Payload::from(data.clone()), PutMode::Write)).unwrap();
    let range = |offset: usize, length: usize| {
        recorders.iter().for_each(|recorder| drop(recorder.take()));
        let range = ByteRange::Exact { offset: offset as u64, length: length as u64 };
        assert_eq!(runtime.block_on(backend.get(&name, range)).unwrap(), data[offset..offset + length]);
        let calls: Vec<_> = recorders.iter().flat_map(RecordingBackend::take).collect();
        (calls.len(), calls.iter().map(|call| call.bytes).sum::<u64>())
    };
    // The first also asks for a header, to learn the length.
    assert_eq!(range(10, 1000), (2, 1128));
    assert_eq!(range(1_500_000, 200_000), (1, 200_000));
    assert_eq!(range(999_000, 2000), (2, 2000));
    // Without the store that has it, the same range of as many others as are needed gives it back.
    let fewer = recorders.iter().skip(1).map(|recorder| Arc::new(recorder.clone()) as Arc<dyn Backend>);
    let gone: Arc<dyn Backend> = Objects::new().backend();
    let degraded = set(std::iter::once(gone).chain(fewer), 4, Purpose::Use);
    let wanted = ByteRange::Exact { offset: 64, length: 6400 };
    assert_eq!(runtime.block_on(degraded.get(&name, wanted)).unwrap(), data[64..6464]);
    recorders.iter().for_each(|recorder| drop(recorder.take()));
    assert_eq!(runtime.block_on(degraded.get(&name, wanted)).unwrap(), data[64..6464]);
    let read: u64 = recorders.iter().map(|recorder| recorder.bytes(Method::GetRange, "")).sum();
    assert_eq!(read, 4 * 6400);
}

#[test]
fn a_set_loses_any_store_while_the_engine_works() {
    let place = tempfile::tempdir().unwrap();
    let source = source(place.path());
    for lost in 0..3 {
        let stores: Vec<Objects> = (0..3).map(|_| Objects::new()).collect();
        let backend: Arc<dyn Backend> = set(stores.iter().map(Objects::backend), 2, Purpose::Create);
        repository(&backend, &source);
        let left = |number: usize, objects: &Objects| if number == lost { Objects::new() } else { objects.clone() };
        let left: Vec<Objects> = stores.iter().enumerate().map(|(number, objects)| left(number, objects)).collect();
        let degraded: Arc<dyn Backend> = set(left.iter().map(Objects::backend), 2, Purpose::Use);
        restores(&degraded, &source);
        assert_eq!(findings(&degraded), Vec::<String>::new());
        // A collector refuses before it does anything.
        let before: Vec<_> = left.iter().map(|objects| objects.names("").unwrap()).collect();
        assert_eq!(collect(Arc::clone(&degraded), &Notes::new()).unwrap_err().kind(), ErrorKind::StoreMissing);
        let after: Vec<_> = left.iter().map(|objects| objects.names("").unwrap()).collect();
        assert_eq!(before, after);
        // An empty store takes its place; then everything works again.
        let healed = set(left.iter().map(Objects::backend), 2, Purpose::Replace(lost));
        let runtime = runtime();
        for name in stores[(lost + 1) % 3].names("").unwrap().iter().filter(|name| *name != "store") {
            let examined =
                runtime.block_on(healed.examine(&ObjectName::new(name.clone()).unwrap(), Task::Repair)).unwrap();
            assert!(matches!(examined.state, State::Repaired), "{name}: {examined:?}");
        }
        let healed: Arc<dyn Backend> = healed;
        assert_eq!(findings(&healed), Vec::<String>::new());
        collect(healed, &Notes::new()).unwrap();
    }
}

/// What looked like the rest of no object becomes one between any two calls of the scrub that removes it.
#[test]
fn an_object_that_comes_to_be_is_not_removed() {
    let name = ObjectName::new("archives/ab").unwrap();
    for turn in 1.. {
        let stores: Vec<Objects> = (0..6).map(|_| Objects::new()).collect();
        let engine = runtime();
        let plain = set(stores.iter().map(Objects::backend), 4, Purpose::Create);
        let payload = Payload::from(Random::new(turn).bytes(100_000));
        engine.block_on(plain.put(&name, payload.clone(), PutMode::Write)).unwrap();
        stores.iter().take(3).for_each(|store| store.remove(name.as_str()).unwrap());
        let calls = Arc::new(AtomicUsize::new(0));
        let hooked = stores.iter().map(|store| {
            let (calls, plain, name, payload) = (Arc::clone(&calls), Arc::clone(&plain), name.clone(), payload.clone());
            let hook = move |_: Method, about: &str| {
                if about == name.as_str() && calls.fetch_add(1, Ordering::SeqCst) + 1 == turn as usize {
                    // On a thread of its own: two that block on one thread take each other's wakings.
                    let (plain, name, payload) = (Arc::clone(&plain), name.clone(), payload.clone());
                    let put = move || runtime().block_on(plain.put(&name, payload, PutMode::Write));
                    std::thread::spawn(put).join().unwrap().unwrap();
                }
            };
            Arc::new(HookedBackend::new(store.backend(), hook)) as Arc<dyn Backend>
        });
        let watched = set(hooked.collect::<Vec<_>>(), 4, Purpose::Use);
        let examined = engine.block_on(watched.examine(&name, Task::Clean)).unwrap();
        if calls.load(Ordering::SeqCst) < turn as usize {
            assert!(turn > 20 && matches!(examined.state, State::Removed), "{turn}: {examined:?}");
            break;
        }
        assert!(!matches!(examined.state, State::Removed), "{turn}: {examined:?}");
        let got = engine.block_on(plain.get(&name, ByteRange::WHOLE)).unwrap();
        assert_eq!(got, payload.into_bytes(), "{turn}");
        let whole = engine.block_on(plain.examine(&name, Task::Verify)).unwrap();
        assert!(matches!(whole.state, State::Intact), "{turn}: {whole:?}");
    }
}

/// A store that says that it deleted a part, and shows it all the same, is not asked for ever.
#[test]
fn a_part_that_does_not_go_is_left() {
    let name = ObjectName::new("archives/ab").unwrap();
    let stores: Vec<Objects> = (0..6).map(|_| Objects::new()).collect();
    let engine = runtime();
    let plain = set(stores.iter().map(Objects::backend), 4, Purpose::Create);
    engine.block_on(plain.put(&name, Payload::from(Random::new(1).bytes(100_000)), PutMode::Write)).unwrap();
    stores.iter().take(3).for_each(|store| store.remove(name.as_str()).unwrap());
    let lying = stores.iter().map(|store| {
        let (inner, name) = (store.clone(), name.clone());
        let part = store.get(name.as_str()).ok();
        let back = move |method: Method, about: &str| {
            if let (Method::Delete, Some(part), true) = (method, &part, about == name.as_str()) {
                inner.put(about, part.to_vec()).unwrap();
            }
        };
        Arc::new(HookedBackend::after(store.backend(), back)) as Arc<dyn Backend>
    });
    let watched = set(lying.collect::<Vec<_>>(), 4, Purpose::Use);
    let examined = engine.block_on(watched.examine(&name, Task::Clean)).unwrap();
    assert!(matches!(examined.state, State::Leftover), "{examined:?}");
}

/// Sets of which some stores are to be filled: a delete that happens between any two calls of the scrub wins, and so
/// does one between whose calls the scrub happens.
#[test]
fn a_scrub_never_brings_back_what_is_deleted() {
    let name = ObjectName::new("archives/ab").unwrap();
    for (needed, small) in [(1_u8, true), (1, false), (2, true), (2, false)] {
        let bytes = if small { 500 } else { 100_000 };
        for outer in [Task::Repair, Task::Verify] {
            for turn in 1.. {
                let stores: Vec<Objects> = (0..4).map(|_| Objects::new()).collect();
                let runtime = runtime();
                let plain = set(stores.iter().map(Objects::backend), needed, Purpose::Create);
                let payload = Payload::from(Random::new(turn).bytes(bytes));
                runtime.block_on(plain.put(&name, payload, PutMode::Write)).unwrap();
                stores.iter().skip(usize::from(needed) + 1).for_each(|store| store.remove(name.as_str()).unwrap());
                // `outer` tells which of the two is interrupted by the whole of the other.
                let calls = Arc::new(AtomicUsize::new(0));
                let hooked = stores.iter().map(|store| {
                    let (calls, plain, name) = (Arc::clone(&calls), Arc::clone(&plain), name.clone());
                    let hook = move |_: Method, about: &str| {
                        if about == name.as_str() && calls.fetch_add(1, Ordering::SeqCst) + 1 == turn as usize {
                            let other = async {
                                match outer {
                                    Task::Repair => plain.delete(&name).await.unwrap(),
                                    _ => drop(plain.examine(&name, Task::Repair).await.unwrap()),
                                }
                            };
                            tokio::task::block_in_place(|| Handle::current().block_on(other));
                        }
                    };
                    Arc::new(HookedBackend::new(store.backend(), hook)) as Arc<dyn Backend>
                });
                let watched = set(hooked.collect::<Vec<_>>(), needed, Purpose::Use);
                let work = async {
                    match outer {
                        Task::Repair => drop(watched.examine(&name, Task::Repair).await.unwrap()),
                        _ => watched.delete(&name).await.unwrap(),
                    }
                };
                runtime.block_on(async { tokio::spawn(async {}).await.unwrap() });
                runtime.block_on(work);
                let met = calls.load(Ordering::SeqCst) >= turn as usize;
                let left: Vec<_> = stores.iter().filter(|store| store.get(name.as_str()).is_ok()).collect();
                if met {
                    assert!(left.is_empty(), "{needed} {small} {outer:?} turn {turn}: {} parts are back", left.len());
                } else {
                    break;
                }
            }
        }
    }
}
