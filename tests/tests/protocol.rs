//! The protocol of `docs/architecture.md` as a store sees it: the order of its steps, and what a client does when
//! the ground moves under it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gabion_backends::layer::{LimitBackend, Limits};
use gabion_core::codec::Extensions;
use gabion_core::error::{ErrorKind, Result};
use gabion_core::gc::DoomRecord;
use gabion_core::monitor::FileStatus;
use gabion_core::ops::create::{
    Checkpoint, CreateOptions, Created, FromRead, Input, Plan, Stream, Wanted, create, together,
};
use gabion_core::repository::Repository;
use gabion_core::seal::{Kind, Sealer};
use gabion_tests::{Call, FaultyBackend, HookedBackend, Method, Notes, Objects, Random, RecordingBackend, WriteFault};

use crate::engine::{
    SERIES, archives, back_up, backed_up, clock, collect, differences, keyring, new_repository, open, options, remove,
    restore,
};

/// A repository with one archive of a tree of noise, several data segments large.
fn scene() -> (tempfile::TempDir, PathBuf, Objects) {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    std::fs::create_dir_all(source.join("below")).unwrap();
    let mut random = Random::new(7);
    for number in 0..6 {
        std::fs::write(source.join(format!("file {number}")), random.bytes(150_000)).unwrap();
        std::fs::write(source.join(format!("below/small {number}")), random.bytes(2_000)).unwrap();
    }
    let objects = new_repository();
    backed_up(&objects, &source);
    (place, source, objects)
}

/// Another machine backs the same files up: it has no base and finds every chunk stored.
fn stranger() -> CreateOptions {
    CreateOptions { name: "other".to_owned(), host: "elsewhere".to_owned(), ..options() }
}

/// What matters of the calls: lists, and what is changed; objects numbered as they appear, repetitions dropped.
fn steps(calls: &[Call]) -> Vec<String> {
    let mut seen: Vec<&str> = Vec::new();
    let mut steps: Vec<String> = Vec::new();
    for call in calls {
        let method = match call.method {
            Method::List => "list",
            Method::Put => "put",
            Method::Delete => "delete",
            Method::Head if call.name.starts_with("pending/") => "head",
            _ => continue,
        };
        let number = seen.iter().position(|name| *name == call.name).unwrap_or_else(|| {
            seen.push(&call.name);
            seen.len() - 1
        });
        let step = match call.name.strip_prefix("pending/") {
            Some(_) => {
                let earlier = seen[..number].iter().filter(|name| name.starts_with("pending/")).count();
                format!("{method} pending {}", earlier + 1)
            }
            None if method == "list" => format!("list {}", call.name),
            None => format!("{method} {}", call.name.split('/').next().unwrap()),
        };
        if steps.last() != Some(&step) {
            steps.push(step);
        }
    }
    steps
}

const LOOK: [&str; 5] = ["list gc/epoch", "list gc/doom", "list damage", "list index", "list segments"];
const ANNOUNCE: [&str; 4] = ["list archives", "list removed", "put pending 1", "list removed"];
const VALIDATE: [&str; 2] = ["list gc/doom", "list gc/epoch"];
const COMMIT: [&str; 4] = ["put archives", "list gc/doom", "list gc/epoch", "head pending 1"];

/// A store where more than one call at once is not worth it: one that needs no order has one all the same.
fn one_at_a_time(recorder: &RecordingBackend) -> Arc<LimitBackend> {
    let limits = Limits { connections: Some(1), ..Limits::default() };
    Arc::new(LimitBackend::new(Arc::new(recorder.clone()), limits))
}

#[test]
fn create_takes_the_steps_in_order() {
    let (_place, source, objects) = scene();
    std::fs::write(source.join("new"), Random::new(8).bytes(300_000)).unwrap();
    let recorder = RecordingBackend::new(objects.backend());
    back_up(one_at_a_time(&recorder), &source, &options(), &Notes::new()).unwrap();
    let steps = steps(&recorder.calls());
    let expected: Vec<&str> = [
        &["list keys"],
        &LOOK[..],
        &ANNOUNCE,
        &["put segments", "put index", "put pending 2"],
        &VALIDATE,
        &COMMIT,
        &["delete pending 1", "delete pending 2"],
    ]
    .concat();
    assert_eq!(steps, expected);
}

/// Where several calls are made at once, each of these waits for the one before.
#[test]
fn create_keeps_the_order_of_the_steps_that_need_one() {
    let (_place, source, objects) = scene();
    std::fs::write(source.join("new"), Random::new(8).bytes(300_000)).unwrap();
    let recorder = RecordingBackend::new(objects.backend());
    back_up(Arc::new(recorder.clone()), &source, &options(), &Notes::new()).unwrap();
    let beside = ["list keys", "list archives", "list removed", "list damage", "head pending 1"];
    let mut steps = steps(&recorder.calls());
    steps.retain(|step| !beside.contains(&step.as_str()) && !step.starts_with("delete "));
    let before = ["list gc/epoch", "list gc/doom", "list index", "list segments", "put pending 1"];
    let new = ["put segments", "put index", "put pending 2"];
    assert_eq!(steps, [&before[..], &new, &VALIDATE, &["put archives"], &VALIDATE].concat());
}

#[test]
fn checkpoints_keep_the_order_and_the_first_pending() {
    let (_place, source, objects) = scene();
    for number in 0..5 {
        std::fs::write(source.join(format!("new {number}")), Random::new(100 + number).bytes(300_000)).unwrap();
    }
    let recorder = RecordingBackend::new(objects.backend());
    let options = CreateOptions { checkpoint: Checkpoint { seconds: 3600, bytes: 290_000 }, ..options() };
    let notes = Notes::new();
    back_up(one_at_a_time(&recorder), &source, &options, &notes).unwrap();
    let count = notes.checkpoints();
    assert!(count >= 2, "{count} checkpoints");

    let mut expected: Vec<String> = [&["list keys"], &LOOK[..], &ANNOUNCE].concat().map_to_text();
    for number in 2..count + 2 {
        expected.extend(["put segments".to_owned(), "put index".to_owned(), format!("put pending {number}")]);
        expected.extend(VALIDATE.map(str::to_owned));
        if number > 2 {
            expected.push(format!("delete pending {}", number - 1));
        }
    }
    expected.extend(["put segments".to_owned(), "put index".to_owned(), format!("put pending {}", count + 2)]);
    expected.extend([&VALIDATE[..], &COMMIT].concat().map_to_text());
    expected.extend([1, count + 1, count + 2].map(|number| format!("delete pending {number}")));
    assert_eq!(steps(&recorder.calls()), expected);
}

trait MapToText {
    fn map_to_text(self) -> Vec<String>;
}

impl MapToText for Vec<&str> {
    fn map_to_text(self) -> Vec<String> {
        self.into_iter().map(str::to_owned).collect()
    }
}

/// A doom record over these segments.
fn doom(repository: &Repository, segments: &[String]) -> (String, Vec<u8>) {
    let segments = segments.iter().map(|name| name.strip_prefix("segments/").unwrap().parse().unwrap()).collect();
    let record = DoomRecord { segments, extensions: Extensions::none() };
    let keyring = keyring(repository);
    let sealer = Sealer::new(&keyring, *repository.id(), repository.config().suite().unwrap());
    let sealed = sealer.seal(Kind::Doom, &record.encode().unwrap()).unwrap();
    let id: gabion_core::id::ArchiveId = gabion_core::id::ArchiveId::from_bytes(sealed.id);
    (format!("gc/doom/{id}"), sealed.bytes)
}

const EPOCH: &str = "gc/epoch/00000000000000000000000000000001";

/// How many calls a backup makes before its last call for which `is_last` holds, that one included.
fn calls_until(objects: &Objects, source: &std::path::Path, options: &CreateOptions, last: (Method, &str)) -> usize {
    let recorder = RecordingBackend::new(objects.fork().unwrap().backend());
    back_up(Arc::new(recorder.clone()), source, options, &Notes::new()).unwrap();
    let calls = recorder.calls();
    calls.iter().rposition(|call| (call.method, call.name.as_str()) == last).unwrap() + 1
}

/// A face of `objects` that calls `act` before its `number`-th call.
fn before_call(objects: &Objects, number: usize, act: impl Fn(&Objects) + Send + Sync + 'static) -> HookedBackend {
    let (behind, count) = (objects.clone(), AtomicUsize::new(0));
    HookedBackend::new(objects.backend(), move |_, _| {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == number {
            act(&behind);
        }
    })
}

#[test]
fn chunks_are_copied_out_of_segments_that_are_doomed_meanwhile() {
    let (_place, source, start) = scene();
    let last = calls_until(&start, &source, &stranger(), (Method::List, "gc/doom"));
    let segments = start.names("segments").unwrap();
    let (name, bytes) = doom(&open(start.backend()).unwrap(), &segments);
    for number in 1..=last {
        let objects = start.fork().unwrap();
        let (name, bytes) = (name.clone(), bytes.clone());
        let backend = before_call(&objects, number, move |objects| objects.put(&name, bytes.clone()).unwrap());
        let created = back_up(Arc::new(backend), &source, &stranger(), &Notes::new());
        let created = created.unwrap_or_else(|error| panic!("doom before call {number} of {last}: {error}"));
        // The collector goes on: everything it doomed is deleted.
        for segment in &segments {
            objects.remove(segment).unwrap();
        }
        let wrong = differences(&objects, &created.record, &source);
        assert_eq!(wrong, Vec::<String>::new(), "doom before call {number} of {last}");
    }
}

#[test]
fn archives_can_be_read_while_their_segments_are_doomed() {
    let (_place, source, objects) = scene();
    let archive = archives(&objects).0.remove(0);
    let (name, bytes) = doom(&open(objects.backend()).unwrap(), &objects.names("segments").unwrap());
    objects.put(&name, bytes).unwrap();
    assert_eq!(differences(&objects, &archive.record, &source), Vec::<String>::new());
}

/// Deletes a segment as a collector does at its end, from whose doom the client is gone already: all there is to see
/// is the epoch.
fn vanish(objects: &Objects, segment: &str) {
    objects.remove(segment).unwrap();
    objects.put(EPOCH, Vec::new()).unwrap();
}

#[test]
fn a_segment_that_vanishes_is_stored_again_or_not_needed() {
    let (_place, source, start) = scene();
    let last = calls_until(&start, &source, &stranger(), (Method::List, "gc/epoch"));
    let mut overtaken = 0;
    for segment in start.names("segments").unwrap() {
        for number in 1..=last {
            let objects = start.fork().unwrap();
            let gone = segment.clone();
            let backend = before_call(&objects, number, move |objects| vanish(objects, &gone));
            let recorder = RecordingBackend::new(Arc::new(backend));
            let case = format!("{segment} vanished before call {number} of {last}");
            let created = back_up(Arc::new(recorder.clone()), &source, &stranger(), &Notes::new()).expect(&case);
            assert_eq!(differences(&objects, &created.record, &source), Vec::<String>::new(), "{case}");
            // Who was overtaken looks at the repository again.
            let calls = recorder.calls();
            overtaken += usize::from(calls.iter().filter(|call| call.name == "damage").count() > 1);
            let again = back_up(objects.backend(), &source, &stranger(), &Notes::new()).unwrap();
            assert_eq!(differences(&objects, &again.record, &source), Vec::<String>::new(), "{case}, then again");
        }
    }
    assert!(overtaken > 0, "no segment was ever needed: this tests nothing");
}

#[test]
fn what_went_before_a_checkpoint_is_not_relied_on_after_it() {
    let (_place, source, start) = scene();
    // Sorted before all else, and more than a checkpoint's worth.
    std::fs::write(source.join("a first"), Random::new(9).bytes(1_500_000)).unwrap();
    let options = CreateOptions { checkpoint: Checkpoint { seconds: 3600, bytes: 500_000 }, ..stranger() };
    let objects = start.fork().unwrap();
    let (behind, old) = (objects.clone(), start.names("segments").unwrap());
    let pendings = AtomicUsize::new(0);
    let backend = HookedBackend::after(objects.backend(), move |method, name| {
        let checkpoint = method == Method::Put && name.starts_with("pending/");
        if checkpoint && pendings.fetch_add(1, Ordering::Relaxed) == 1 {
            old.iter().for_each(|segment| vanish(&behind, segment));
        }
    });
    let notes = Notes::new();
    let created = back_up(Arc::new(backend), &source, &options, &notes).unwrap();
    assert!(notes.checkpoints() > 0);
    assert_eq!(differences(&objects, &created.record, &source), Vec::<String>::new());
}

#[test]
fn a_base_that_is_removed_before_it_is_announced_is_not_used() {
    let (_place, source, start) = scene();
    let base = archives(&start).0[0].id;
    for removed_late in [false, true] {
        let objects = start.fork().unwrap();
        let behind = objects.clone();
        let backend = HookedBackend::after(objects.backend(), move |method, name| {
            let announced = method == Method::Put && name.starts_with("pending/");
            // Once the base is announced and was seen live, its removal changes nothing.
            let checked = method == Method::Put && name.starts_with("archives/");
            if if removed_late { checked } else { announced } {
                behind.put(&format!("removed/{base}.{base}"), vec![1]).unwrap();
            }
        });
        let notes = Notes::new();
        let created = back_up(Arc::new(backend), &source, &options(), &notes).unwrap();
        assert_eq!(notes.files(FileStatus::Unchanged).is_empty(), !removed_late);
        assert_eq!(created.record.base.is_some(), removed_late);
        assert_eq!(differences(&objects, &created.record, &source), Vec::<String>::new());
    }
}

/// Its client died before it asked whether everything was still there, and a collector deleted what it had relied on.
#[test]
fn a_base_that_nobody_reported_is_looked_up() {
    let (_place, source, objects) = scene();
    std::fs::write(source.join("new"), Random::new(8).bytes(50_000)).unwrap();
    back_up(objects.backend(), &source, &stranger(), &Notes::new()).unwrap();
    remove(objects.backend(), archives(&objects).0.last().unwrap()).unwrap();
    let collected = objects.fork().unwrap();
    collect(collected.backend(), &Notes::new()).unwrap();
    // So that directories are stored anew.
    std::fs::write(source.join("other"), Random::new(9).bytes(1000)).unwrap();
    let unreported = |number| {
        let objects = objects.fork().unwrap();
        let dies = FaultyBackend::new(objects.backend()).on_write(number, WriteFault::DieAfter);
        back_up(Arc::new(dies), &source, &options(), &Notes::new()).unwrap_err();
        (archives(&objects).0.len() == 2).then_some(objects)
    };
    let put = (1..).find_map(unreported).unwrap();
    for prefix in ["segments", "index", "archives"] {
        let old = objects.names(prefix).unwrap();
        let new = put.names(prefix).unwrap().into_iter().filter(|name| !old.contains(name));
        new.for_each(|name| collected.put(&name, put.get(&name).unwrap()).unwrap());
    }
    let unreported = archives(&collected).0.pop().unwrap();
    assert_ne!(differences(&collected, &unreported.record, &source), Vec::<String>::new(), "the scene is none");
    let created = back_up(collected.backend(), &source, &options(), &Notes::new()).unwrap();
    assert_eq!(created.record.base, Some(unreported.id));
    assert_eq!(differences(&collected, &created.record, &source), Vec::<String>::new());
}

/// Two lists, each of which runs while a name replaces another one, may both show neither.
#[test]
fn an_epoch_that_is_not_seen_tells_nothing() {
    let (_place, source, objects) = scene();
    objects.names("gc/epoch").unwrap().iter().for_each(|name| objects.remove(name).unwrap());
    let (behind, old, looks) = (objects.clone(), objects.names("segments").unwrap(), AtomicUsize::new(0));
    let backend = HookedBackend::new(objects.backend(), move |method, prefix| {
        if method == Method::List && prefix == "gc/doom" && looks.fetch_add(1, Ordering::Relaxed) == 1 {
            old.iter().for_each(|segment| behind.remove(segment).unwrap());
        }
    });
    let created = back_up(Arc::new(backend), &source, &stranger(), &Notes::new()).unwrap();
    assert_eq!(differences(&objects, &created.record, &source), Vec::<String>::new());
    assert_eq!(objects.names("pending").unwrap(), Vec::<String>::new(), "of the first attempt, too");
}

/// Backs up with a base while a collector takes the client for dead, and then does `more`.
fn without_first_pending(
    objects: &Objects,
    source: &std::path::Path,
    more: impl Fn(&Objects) + Send + Sync + 'static,
) -> (Result<Created>, Vec<Call>) {
    let behind = objects.clone();
    let first: Mutex<Option<String>> = Mutex::default();
    let hooked = HookedBackend::new(objects.backend(), move |method, name| {
        if method == Method::Put && name.starts_with("pending/") {
            first.lock().unwrap().get_or_insert_with(|| name.to_owned());
        }
        if method == Method::Put && name.starts_with("archives/") {
            behind.remove(first.lock().unwrap().as_ref().unwrap()).unwrap();
            more(&behind);
        }
    });
    let recorder = RecordingBackend::new(Arc::new(hooked));
    let created = back_up(Arc::new(recorder.clone()), source, &options(), &Notes::new());
    (created, recorder.calls())
}

#[test]
fn without_its_first_pending_a_client_looks_every_chunk_up() {
    let (_place, source, start) = scene();
    let objects = start.fork().unwrap();
    let (created, calls) = without_first_pending(&objects, &source, |_| {});
    assert_eq!(differences(&objects, &created.unwrap().record, &source), Vec::<String>::new());
    let steps = steps(&calls);
    let head = steps.iter().position(|step| step == "head pending 1").unwrap();
    assert_eq!(steps[head + 1..head + 3], VALIDATE);

    // Chunks of the base that no file made the client look up are gone, and nothing but the epoch shows it.
    for segment in start.names("segments").unwrap() {
        let objects = start.fork().unwrap();
        let gone = segment.clone();
        let (told, _) = without_first_pending(&objects, &source, move |objects| vanish(objects, &gone));
        assert_eq!(differences(&objects, &told.unwrap().record, &source), Vec::<String>::new());
        let again = backed_up(&objects, &source);
        assert_eq!(differences(&objects, &again.record, &source), Vec::<String>::new());
    }
}

/// Backs up `content` as a stream while, before the check at its end, everything stored is doomed, `copied` elsewhere by
/// another client or not, and gone.
fn stream_without_ground(copied: bool) -> (Result<Created>, Objects, Vec<u8>) {
    let (place, source, objects) = scene();
    let content = std::fs::read(source.join("file 0")).unwrap();
    let old = objects.names("segments").unwrap();
    let (name, bytes) = doom(&open(objects.backend()).unwrap(), &old);
    let (behind, looks) = (objects.clone(), AtomicUsize::new(0));
    let place = Mutex::new(Some(place));
    let backend = HookedBackend::new(objects.backend(), move |method, prefix| {
        if method == Method::List && prefix == "gc/doom" && looks.fetch_add(1, Ordering::Relaxed) == 1 {
            let (behind, source, old) = (behind.clone(), source.clone(), old.clone());
            let (name, bytes) = (name.clone(), bytes.clone());
            let collect = move || {
                if copied {
                    behind.put(&name, bytes).unwrap();
                    back_up(behind.backend(), &source, &stranger(), &Notes::new()).unwrap();
                    behind.remove(&name).unwrap();
                }
                old.iter().for_each(|segment| vanish(&behind, segment));
            };
            // The engine must not be called from within the runtime that serves it.
            std::thread::spawn(collect).join().unwrap();
            place.lock().unwrap().take();
        }
    });
    let repository = open(Arc::new(backend)).unwrap();
    let metadata = gabion_core::fs::stat::metadata(
        &gabion_core::fs::source::SourceDirectory::open(std::path::Path::new("/")).unwrap().stat_self().unwrap(),
        gabion_core::fs::users::Users::system(),
        &Default::default(),
    );
    let input = Box::new(FromRead(std::io::Cursor::new(content.clone())));
    let plan = Plan::default().with_stream(std::path::Path::new("stream"));
    let options = CreateOptions { name: "stream".to_owned(), host: "far".to_owned(), ..options() };
    let created =
        create(&repository, Input::Stream(&plan, Stream { metadata, input }), &options, &clock(), &Notes::new());
    (created, objects, content)
}

#[test]
fn a_stream_whose_ground_went_is_stored_if_its_chunks_are_elsewhere() {
    let (created, objects, content) = stream_without_ground(true);
    let place = tempfile::tempdir().unwrap();
    let notes = restore(objects.backend(), &created.unwrap().record, place.path(), 0).unwrap();
    assert_eq!(notes.complaints(), Vec::<String>::new());
    assert!(std::fs::read(place.path().join("stream")).unwrap() == content);

    let (refused, objects, _) = stream_without_ground(false);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Overtaken);
    assert!(archives(&objects).0.iter().all(|archive| archive.record.name != "stream"));
}

/// Of archives that are made together, one whose ground went is made again and reads by itself; the other misses nothing.
#[test]
fn one_that_is_overtaken_is_made_again_without_the_others() {
    let (place, source, objects) = scene();
    let old = objects.names("segments").unwrap();
    doom(&open(objects.backend()).unwrap(), &old);
    let (behind, looks) = (objects.clone(), AtomicUsize::new(0));
    let backend = HookedBackend::new(objects.backend(), move |method, prefix| {
        if method == Method::List && prefix == "gc/doom" && looks.fetch_add(1, Ordering::Relaxed) == 1 {
            let (behind, old) = (behind.clone(), old.clone());
            std::thread::spawn(move || old.iter().for_each(|segment| vanish(&behind, segment))).join().unwrap();
        }
    });
    let other = new_repository();
    let repositories = [open(Arc::new(backend)).unwrap(), open(other.backend()).unwrap()];
    let plan = Plan::new([place.path().join("./tree").as_path()], Wanted::All);
    for ((repository, objects), member) in repositories.iter().zip([&objects, &other]).zip(together(2)) {
        let input = Input::Shared(&plan, None, member);
        let created = create(repository, input, &stranger(), &clock(), &Notes::new()).unwrap();
        assert_eq!(differences(objects, &created.record, &source), Vec::<String>::new());
    }
}

#[test]
fn a_reader_finds_what_moved_since_it_began() {
    let (_place, source, objects) = scene();
    let archive = archives(&objects).0.remove(0);
    let segments = objects.names("segments").unwrap();
    let behind = objects.clone();
    let moved = AtomicUsize::new(0);
    let other = source.clone();
    let (name, bytes) = doom(&open(objects.backend()).unwrap(), &segments);
    // When the index has been read, everything is copied elsewhere and the old segments go.
    let backend = HookedBackend::new(objects.backend(), move |method, _| {
        if method == Method::GetRange && moved.fetch_add(1, Ordering::Relaxed) == 0 {
            let (behind, other, segments) = (behind.clone(), other.clone(), segments.clone());
            behind.put(&name, bytes.clone()).unwrap();
            // The engine must not be called from within the runtime that serves it.
            let copy = move || {
                back_up(behind.backend(), &other, &stranger(), &Notes::new()).unwrap();
                segments.iter().for_each(|segment| vanish(&behind, segment));
            };
            std::thread::spawn(copy).join().unwrap();
        }
    });
    let place = tempfile::tempdir().unwrap();
    let notes = restore(Arc::new(backend), &archive.record, place.path(), 0).unwrap();
    assert_eq!(archive.record.name, SERIES);
    assert_eq!(notes.complaints(), Vec::<String>::new());
    assert_eq!(notes.files(FileStatus::Extracted).len(), 14);
}
