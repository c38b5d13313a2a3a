//! A store that fails: an operation ends with that failure, shows nothing half, and the next one succeeds.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gabion_core::archive::attributes::AttributesRef;
use gabion_core::archive::catalog::Catalog;
use gabion_core::archive::metadata::Attributes;
use gabion_core::archive::record::PendingRecord;
use gabion_core::clock::Clock as _;
use gabion_core::codec::Extensions;
use gabion_core::error::{Error, ErrorKind, Retry};
use gabion_core::ops::analyze::hotspots;
use gabion_core::ops::create::{CreateOptions, Created};
use gabion_core::ops::diff::{DiffOptions, diff};
use gabion_core::ops::export_tar::{ExportOptions, export_tar};
use gabion_core::ops::extract::{ExtractOptions, dry_run, extract, extract_to_stream};
use gabion_core::ops::find::Finder;
use gabion_core::ops::list::list;
use gabion_core::pattern::Matcher;
use gabion_core::repository::{Reader, Repository};
use gabion_tests::{Call, FaultyBackend, Method, Notes, Objects, Random, ReadFault, RecordingBackend, WriteFault};
use rustix::fs::{XattrFlags, setxattr};
use rustix::io::Errno;

use crate::engine::{archives, back_up, backed_up, clock, collect, copied, differences, new_repository, open, options};
use crate::engine::{remove, restore};
use crate::life::Story;

/// A repository with one archive of `before`, and a source that has grown.
struct Scene {
    _place: tempfile::TempDir,
    before: PathBuf,
    source: PathBuf,
    objects: Objects,
}

fn scene() -> Scene {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    std::fs::create_dir_all(source.join("below")).unwrap();
    let mut random = Random::new(21);
    for number in 0..4 {
        std::fs::write(source.join(format!("file {number}")), random.bytes(90_000)).unwrap();
        std::fs::write(source.join(format!("below/small {number}")), random.bytes(2_000)).unwrap();
    }
    let objects = new_repository();
    backed_up(&objects, &source);
    std::fs::create_dir(place.path().join("before")).unwrap();
    let before = copied(&source, &place.path().join("before/tree"));
    for number in 0..3 {
        std::fs::write(source.join(format!("new {number}")), random.bytes(250_000)).unwrap();
    }
    Scene { before, source, objects, _place: place }
}

impl Scene {
    /// Backs up through `client` what `objects` hold; the old archive is fine, the new one is whole or absent, and the
    /// next backup succeeds.
    fn survives(
        &self,
        objects: &Objects,
        client: &FaultyBackend,
        options: &CreateOptions,
        case: &str,
    ) -> Result<Created, Error> {
        let told = back_up(Arc::new(client.clone()), &self.source, options, &Notes::new());
        let (found, unreadable) = archives(objects);
        assert_eq!((found.len(), unreadable), (1 + usize::from(told.is_ok()), 0), "{case}");
        assert_eq!(differences(objects, &found[0].record, &self.before), Vec::<String>::new(), "{case}: old archive");
        if let Ok(created) = &told {
            assert_eq!(differences(objects, &created.record, &self.source), Vec::<String>::new(), "{case}");
        }
        let again = backed_up(objects, &self.source);
        assert_eq!(differences(objects, &again.record, &self.source), Vec::<String>::new(), "{case}, then again");
        told
    }

    /// The calls of an undisturbed backup.
    fn calls(&self) -> Vec<Call> {
        let recorder = recorder(&self.objects.fork().unwrap());
        back_up(Arc::new(recorder.clone()), &self.source, &options(), &Notes::new()).unwrap();
        recorder.calls()
    }
}

/// Remembers calls with the numbers that they have at a [`FaultyBackend`].
fn recorder(objects: &Objects) -> RecordingBackend {
    RecordingBackend::new(Arc::new(FaultyBackend::new(objects.backend())))
}

fn is_write(call: &Call) -> bool {
    matches!(call.method, Method::Put | Method::Replace | Method::Delete)
}

#[test]
fn a_read_that_fails_fails_the_backup_or_is_made_up_for() {
    let scene = scene();
    let calls = scene.calls();
    for (number, call) in (1..).zip(calls.iter().filter(|call| !is_write(call))) {
        for fault in [
            ReadFault::Permanent(ErrorKind::Io),
            ReadFault::Temporary(ErrorKind::TimedOut),
            ReadFault::Permanent(ErrorKind::PermissionDenied),
            ReadFault::Short,
        ] {
            let objects = scene.objects.fork().unwrap();
            let client = FaultyBackend::new(objects.backend()).on_read(number, fault);
            let case = format!("{fault:?} at read {number}, {call:?}");
            let told = scene.survives(&objects, &client, &options(), &case);
            if call.method == Method::List {
                assert!(told.is_err(), "{case}: a list that failed was taken for an empty one");
            }
            let Err(error) = told else { continue };
            match fault {
                ReadFault::Permanent(kind) => assert_eq!(error.kind(), kind, "{case}"),
                ReadFault::Temporary(kind) => {
                    assert_eq!((error.kind(), error.retry()), (kind, Retry::Temporary), "{case}");
                }
                // A list that breaks off, or bytes that are not what was written.
                ReadFault::Short => {
                    let fits = [ErrorKind::Connection, ErrorKind::Damaged, ErrorKind::KeyNotFound];
                    assert!(fits.contains(&error.kind()), "{case}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_write_that_fails_fails_the_backup_with_its_reason() {
    let scene = scene();
    let calls = scene.calls();
    let writes: Vec<&Call> = calls.iter().filter(|call| is_write(call)).collect();
    let committed = writes.iter().position(|call| call.name.starts_with("archives/")).unwrap();
    assert!(writes.len() > committed + 2, "no pendings are removed");
    for (number, call) in (1..).zip(&writes) {
        for (fault, kind) in [
            (WriteFault::Permanent(ErrorKind::NoSpace), ErrorKind::NoSpace),
            (WriteFault::Temporary(ErrorKind::Connection), ErrorKind::Connection),
            (WriteFault::AnswerLost, ErrorKind::TimedOut),
        ] {
            let objects = scene.objects.fork().unwrap();
            let client = FaultyBackend::new(objects.backend()).on_write(number, fault);
            let case = format!("{fault:?} at write {number}, {call:?}");
            let told = scene.survives(&objects, &client, &options(), &case);
            // Once the archive is there, no failure to clean up calls it a failure.
            let late = number as usize > committed + 1;
            assert_eq!(told.map(drop).map_err(|error| error.kind()), if late { Ok(()) } else { Err(kind) }, "{case}");
        }
    }
}

#[test]
fn no_worker_waits_for_ever_when_a_write_fails() {
    let scene = Arc::new(scene());
    let mut options = options();
    options.writer.workers = 2;
    let counting = FaultyBackend::new(scene.objects.fork().unwrap().backend());
    back_up(Arc::new(counting.clone()), &scene.source, &options, &Notes::new()).unwrap();
    let (options, committed) = (Arc::new(options), 3 + scene.objects.names("segments").unwrap().len() as u64);
    assert!(counting.writes() > committed);
    for number in 1..=counting.writes() {
        let objects = scene.objects.fork().unwrap();
        let client = FaultyBackend::new(objects.backend()).on_write(number, WriteFault::Permanent(ErrorKind::NoSpace));
        let (scene, options) = (Arc::clone(&scene), Arc::clone(&options));
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let told = scene.survives(&objects, &client, &options, &format!("write {number} fails"));
            let kind = told.map(drop).map_err(|error| error.kind());
            // Nobody listens any more if this took too long.
            let _ = sender.send(kind);
        });
        let kind = receiver.recv_timeout(Duration::from_secs(120)).expect("hangs, or failed above");
        assert!(matches!(kind, Ok(()) | Err(ErrorKind::NoSpace)), "write {number}: {kind:?}");
        if number <= 2 {
            assert_eq!(kind, Err(ErrorKind::NoSpace), "write {number}");
        }
    }
}

#[test]
fn a_restore_names_the_file_whose_content_can_not_be_read() {
    let scene = scene();
    let record = archives(&scene.objects).0.remove(0).record;
    let recorder = recorder(&scene.objects);
    restore(Arc::new(recorder.clone()), &record, tempfile::tempdir().unwrap().path(), 0).unwrap();
    let calls = recorder.calls();
    for (number, call) in (1..).zip(&calls) {
        let client = FaultyBackend::new(scene.objects.backend()).on_read(number, ReadFault::Permanent(ErrorKind::Io));
        let target = tempfile::tempdir().unwrap();
        match restore(Arc::new(client), &record, target.path(), 0) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{call:?}: {error}"),
            Ok(notes) => {
                let told = notes.warnings();
                assert!(told.iter().all(|(.., kind)| *kind == ErrorKind::Io), "{call:?}: {told:?}");
                let whole = gabion_tests::compare(&scene.before, &target.path().join("tree"), &Default::default());
                let whole = whole.is_ok_and(|differences| differences.is_empty());
                assert!(whole || !told.is_empty(), "{call:?}: something is missing and nobody said so");
            }
        }
    }
}

#[test]
fn a_catalog_that_can_not_be_listed_is_no_empty_catalog() {
    let scene = scene();
    for kind in ["archives", "removed"] {
        let recorder = recorder(&scene.objects);
        Catalog::load(&open(Arc::new(recorder.clone())).unwrap()).unwrap();
        let reads = recorder.calls();
        let number = reads.iter().position(|call| call.method == Method::List && call.name == kind).unwrap() + 1;
        let fault = ReadFault::Temporary(ErrorKind::Connection);
        let client = FaultyBackend::new(scene.objects.backend()).on_read(number as u64, fault);
        let error = Catalog::load(&open(Arc::new(client)).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection);
    }
}

#[test]
fn a_list_that_fails_stops_the_collector() {
    let story = Story::new(3);
    remove(story.objects.backend(), &story.told[1].0).unwrap();
    let recorder = recorder(&story.objects.fork().unwrap());
    collect(Arc::new(recorder.clone()), &Notes::new()).unwrap();
    let calls = recorder.calls();
    let mut lists = 0;
    for (number, call) in (1..).zip(calls.iter().filter(|call| !is_write(call))) {
        for fault in [ReadFault::Permanent(ErrorKind::Io), ReadFault::Temporary(ErrorKind::TimedOut), ReadFault::Short]
        {
            let objects = story.objects.fork().unwrap();
            let client = FaultyBackend::new(objects.backend()).on_read(number, fault);
            let told = collect(Arc::new(client), &Notes::new());
            let case = format!("{fault:?} at read {number}, {call:?}");
            if call.method == Method::List {
                lists += 1;
                assert!(told.is_err(), "{case}: a list that failed was taken for an empty one");
            }
            story.is_true(&objects, &case);
            collect(objects.backend(), &Notes::new()).unwrap_or_else(|error| panic!("{case}, then again: {error}"));
            story.is_true(&objects, &format!("{case}, then again"));
        }
    }
    assert!(lists > 3 * 10, "{lists}");
}

/// Gives a directory attributes that lie in a segment of their own, as if another file had had them before.
fn with_attributes_elsewhere(scene: &Scene) {
    let value = vec![7; 2000];
    match setxattr(scene.source.join("below"), "user.large", &value, XattrFlags::empty()) {
        Ok(()) | Err(Errno::OPNOTSUPP) => {}
        Err(errno) => panic!("{errno}"),
    }
    let attributes =
        Attributes([(b"user.large".to_vec(), value)].into_iter().map(|(n, v)| (n.into(), v.into())).collect());
    let writer = open(scene.objects.backend()).unwrap().session().unwrap().into_writer(&options().writer).unwrap();
    AttributesRef::store(attributes, &writer).unwrap();
    let extensions = Extensions::none();
    let pending = PendingRecord { started: clock().now(), base: None, record: None, complete: false, extensions };
    writer.checkpoint(&pending.encode().unwrap()).unwrap();
    writer.renounce().unwrap();
}

/// What may be damaged is passed over; a connection is not.
#[test]
fn a_lost_connection_is_no_damage() {
    let scene = scene();
    with_attributes_elsewhere(&scene);
    backed_up(&scene.objects, &scene.source);
    let (told, _) = archives(&scene.objects);
    let (old, new) = (&told[0], &told[1]);
    let (all, notes) = (Matcher::new(), Notes::new());
    type Run<'a> = &'a dyn Fn(&Repository, &Reader) -> gabion_core::error::Result<()>;
    let target = tempfile::tempdir().unwrap();
    let restored = |reader: &Reader, workers| {
        let options = ExtractOptions { workers, ..ExtractOptions::default() };
        extract(reader, &new.record, target.path(), &options, &notes)
    };
    let runs: [(&str, Run<'_>); 9] = [
        ("extract", &|_, reader| restored(reader, 0)),
        ("extract with workers", &|_, reader| restored(reader, 2)),
        ("read all", &|_, reader| dry_run(reader, &old.record, &all, &notes)),
        ("list", &|_, reader| list(reader, &old.record, &all, &notes, &mut |_| Ok(()))),
        ("find", &|_, reader| Finder::new(reader, &all, false, &notes).search(&old.record, &mut |_| Ok(()))),
        ("cat", &|_, reader| extract_to_stream(reader, &old.record, &all, &mut Vec::new(), &notes)),
        ("tar", &|_, reader| export_tar(reader, &old.record, &mut Vec::new(), &ExportOptions::default(), &notes)),
        ("diff", &|repository, reader| {
            diff(repository, reader, &old.record, &new.record, &DiffOptions::default(), &notes, &mut |_| Ok(()))
        }),
        ("growth", &|repository, _| hotspots(&repository.session()?, &[old, new], &notes).map(drop)),
    ];
    for (what, run) in runs {
        for number in 1.. {
            let client = FaultyBackend::new(scene.objects.backend());
            let client = client.on_read(number, ReadFault::Temporary(ErrorKind::Connection));
            let done =
                open(Arc::new(client.clone())).and_then(|repository| run(&repository, &repository.session()?.reader()));
            if client.reads() < number {
                assert!(number > 5 && done.is_ok(), "{what}: {number} reads, {done:?}");
                break;
            }
            assert_eq!(done.unwrap_err().kind(), ErrorKind::Connection, "{what}, read {number}");
        }
    }
    assert_eq!(notes.complaints(), Vec::<String>::new());
}
