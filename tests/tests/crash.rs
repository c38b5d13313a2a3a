//! The crash matrix of create: a client that dies at any call that changes the store loses nothing but its own work.
//!
//! The first pass counts the puts and deletes of a backup. Then the same backup is begun again from the same state
//! once for every call and every way to die there; what is left must open, show no half archive, give all old
//! archives back, and take the next backup.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gabion_core::archive::catalog::Archive;
use gabion_core::backend::Store;
use gabion_core::error::ErrorKind;
use gabion_core::monitor::FileStatus;
use gabion_core::ops::create::{Checkpoint, CreateOptions};
use gabion_tests::{FaultyBackend, Method, Notes, Objects, Random, RecordingBackend, TreeOptions, WriteFault};
use gabion_tests::{change_tree, make_tree};

use crate::engine::{archives, back_up, backed_up, copied, differences, new_repository, options};

const DEATHS: [WriteFault; 5] = [
    WriteFault::DieBefore,
    WriteFault::DieAfter,
    WriteFault::DieTorn(0),
    WriteFault::DieTorn(600),
    WriteFault::DieAndLandLate,
];

/// A repository with archives, and a source that has changed since.
struct Scene {
    _place: tempfile::TempDir,
    objects: Objects,
    source: PathBuf,
    /// The source as it was when the archives were made.
    before: PathBuf,
    old: Vec<Archive>,
}

impl Scene {
    /// With `archives` old archives, each of which left an index fragment.
    fn new(archives: usize) -> Self {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("tree");
        let tree = TreeOptions { entries: 30, bytes_max: 20_000, owners: false, ..TreeOptions::default() };
        make_tree(&source, 11, &tree).unwrap();
        let objects = new_repository();
        let mut random = Random::new(5);
        std::fs::write(source.join("news"), random.bytes(3000)).unwrap();
        for _ in 1..archives {
            backed_up(&objects, &source);
            std::fs::write(source.join("news"), random.bytes(3000)).unwrap();
        }
        backed_up(&objects, &source);
        std::fs::create_dir(place.path().join("before")).unwrap();
        let before = copied(&source, &place.path().join("before/tree"));
        change_tree(&source, 3, 10).unwrap();
        for number in 0..6 {
            std::fs::write(source.join(format!("new {number}")), random.bytes(150_000)).unwrap();
        }
        let old = self::archives(&objects).0;
        Self { _place: place, objects, source, before, old }
    }

    /// Runs the whole matrix; returns how many cells it had.
    fn matrix(&self, options: &CreateOptions) -> u64 {
        let fork = self.objects.fork().unwrap();
        let counting = FaultyBackend::new(fork.backend());
        back_up(Arc::new(counting.clone()), &self.source, options, &Notes::new()).unwrap();
        for number in 1..=counting.writes() {
            for death in DEATHS {
                let objects = self.objects.fork().unwrap();
                let client = FaultyBackend::new(objects.backend()).on_write(number, death);
                let told = back_up(Arc::new(client.clone()), &self.source, options, &Notes::new());
                assert!(client.is_dead(), "call {number} of {} was not reached", counting.writes());
                let cell = format!("{death:?} at call {number}, told {:?}", told.map(|created| created.id));
                self.recovers(&objects, &client, options, &cell);
            }
        }
        counting.writes() * DEATHS.len() as u64
    }

    fn recovers(&self, objects: &Objects, client: &FaultyBackend, options: &CreateOptions, cell: &str) {
        let torn = self.is_sound(objects, cell);
        assert!(!torn || cell.starts_with("DieTorn"), "{cell}: a record does not open");
        let notes = Notes::new();
        let again = back_up(objects.backend(), &self.source, options, &notes);
        let again = again.unwrap_or_else(|error| panic!("{cell}: the next backup failed: {error}"));
        assert_eq!(notes.complaints(), Vec::<String>::new(), "{cell}");
        assert_eq!(differences(objects, &again.record, &self.source), Vec::<String>::new(), "{cell}, then again");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(client.land()).unwrap();
        self.is_sound(objects, &format!("{cell}, landed after the next"));
    }

    /// Every archive that is there can be restored. Returns whether there is a record that does not open.
    fn is_sound(&self, objects: &Objects, cell: &str) -> bool {
        let (archives, unreadable) = archives(objects);
        assert!(unreadable <= 1, "{cell}");
        for old in &self.old {
            assert!(archives.contains(old), "{cell}: an old archive is gone");
        }
        let newest = self.old.last().unwrap();
        assert_eq!(differences(objects, &newest.record, &self.before), Vec::<String>::new(), "{cell}, old archive");
        for new in archives.iter().filter(|archive| !self.old.contains(archive)) {
            assert_eq!(differences(objects, &new.record, &self.source), Vec::<String>::new(), "{cell}, new archive");
        }
        unreadable > 0
    }
}

#[test]
fn create_survives_death_at_every_call() {
    // Seven fragments: the next one makes the client merge them.
    let scene = Scene::new(7);
    let cells = scene.matrix(&options());
    assert!(cells >= 20 * 5, "only {cells} cells: several segments and a merge take more calls");
}

#[test]
fn create_with_checkpoints_survives_death_at_every_call() {
    let scene = Scene::new(1);
    let options = CreateOptions { checkpoint: Checkpoint { seconds: 3600, bytes: 200_000 }, ..options() };
    let cells = scene.matrix(&options);
    assert!(cells >= 20 * 5, "only {cells} cells: checkpoints take more calls");
}

/// A tree of `files` files of 100 000 bytes of noise.
fn noise(place: &Path, files: usize) -> PathBuf {
    let source = place.join("tree");
    std::fs::create_dir(&source).unwrap();
    let mut random = Random::new(1);
    for number in 0..files {
        std::fs::write(source.join(format!("file {number:02}")), random.bytes(100_000)).unwrap();
    }
    source
}

/// Bytes of data segments and tree segments that a backup puts.
fn put_bytes(objects: &Objects, source: &Path, options: &CreateOptions, notes: &Notes) -> u64 {
    let recorder = RecordingBackend::new(objects.backend());
    back_up(Arc::new(recorder.clone()), source, options, notes).unwrap();
    recorder.bytes(Method::Put, "segments")
}

const FILES: usize = 30;

#[test]
fn a_killed_backup_is_resumed_from_its_last_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let source = noise(place.path(), FILES);
    let options = CreateOptions { checkpoint: Checkpoint { seconds: 3600, bytes: 400_000 }, ..options() };
    // Beside the interval: a group of small chunks that was not full, the padding of segments, tree nodes.
    let once_more = 400_000 + 256 * 1024 + 64 * 1024;
    for first_of_its_series in [true, false] {
        let start = new_repository();
        if !first_of_its_series {
            let small = place.path().join("small").join("tree");
            std::fs::create_dir_all(&small).unwrap();
            backed_up(&start, &small);
        }
        let counting = FaultyBackend::new(start.fork().unwrap().backend());
        let notes = Notes::new();
        back_up(Arc::new(counting.clone()), &source, &options, &notes).unwrap();
        assert!(notes.checkpoints() >= 4, "{} checkpoints", notes.checkpoints());

        for number in 1..=counting.writes() {
            let objects = start.fork().unwrap();
            let client = FaultyBackend::new(objects.backend()).on_write(number, WriteFault::DieBefore);
            let before = Notes::new();
            let told = back_up(Arc::new(client), &source, &options, &before);
            if told.is_ok() {
                // Death while cleaning up: the archive is there.
                continue;
            }
            assert_eq!(told.unwrap_err().kind(), ErrorKind::Connection);
            let written: usize = objects.names("segments").unwrap().iter().map(|n| objects.get(n).unwrap().len()).sum();
            let after = Notes::new();
            let put = put_bytes(&objects, &source, &options, &after);
            let left = (FILES as u64 * 100_000).saturating_sub(written as u64);
            assert!(put <= left + once_more, "dead at call {number}: {put} bytes put again, {left} were left to do");
            if first_of_its_series && before.checkpoints() > 0 {
                let unchanged = after.files(FileStatus::Unchanged).len();
                assert!(
                    unchanged >= before.checkpoints() * 3,
                    "dead at call {number}: only {unchanged} files taken over"
                );
            }
        }
    }
}

#[test]
fn pendings_of_the_dead_do_not_pile_up_in_a_living_run() {
    let place = tempfile::tempdir().unwrap();
    let source = noise(place.path(), 12);
    let objects = new_repository();
    let recorder = RecordingBackend::new(objects.backend());
    let options = CreateOptions { checkpoint: Checkpoint { seconds: 3600, bytes: 200_000 }, ..options() };
    back_up(Arc::new(recorder.clone()), &source, &options, &Notes::new()).unwrap();
    assert_eq!(recorder.count(Method::Put, "pending"), recorder.count(Method::Delete, "pending"));
    assert_eq!(objects.names("pending").unwrap(), Vec::<String>::new());
    Store::new(objects.backend()).unwrap();
}
