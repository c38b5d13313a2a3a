//! What an archive of files has of them, and of what the last one knew.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::*;
use crate::archive::attributes::AttributesRef;
use crate::archive::entry::Entry;
use crate::archive::walk::{Walk, WalkEvent, find_path};
use crate::backend::{MemoryBackend, Store};
use crate::clock::{FixedClock, SystemClock};
use crate::fs::testing;
use crate::limits::DIRECTORY_DEPTH_MAX;
use crate::monitor::{FileStatus, Silent};
use crate::repository::{Client, NewRepository};

#[test]
fn statistics_count_what_still_waited_in_a_group() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("file"), "content ".repeat(1000)).unwrap();
    let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
    let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
    let plan = Plan::new([place.path()], Wanted::All);
    let options = CreateOptions { name: "a".into(), ..CreateOptions::default() };
    let monitor = Silent::new();
    let created = create(&repository, Input::Files(&plan), &options, &SystemClock, &monitor).unwrap();
    let statistics = created.record.statistics;
    assert_eq!((statistics.files, statistics.bytes), (1, 8000));
    assert!(statistics.new_bytes > 8000, "the file and the nodes: {}", statistics.new_bytes);
    assert!((1..8000).contains(&statistics.stored_bytes), "{}", statistics.stored_bytes);
    assert_eq!(Counters::get(&monitor.counters().new_bytes), statistics.new_bytes);
}

/// Remembers what became of files.
#[derive(Default)]
struct Statuses(Counters, std::sync::Mutex<Vec<FileStatus>>);

impl Monitor for Statuses {
    fn event(&self, event: &Event<'_>) {
        if let Event::File { status, path: b"file" } = event {
            self.1.lock().unwrap().push(*status);
        }
    }

    fn counters(&self) -> &Counters {
        &self.0
    }

    fn interrupted(&self) -> bool {
        false
    }
}

#[test]
fn a_file_that_is_too_young_is_read_again_whatever_time_the_archive_claims() {
    let place = tempfile::tempdir().unwrap();
    let before = SystemClock.now();
    std::fs::write(place.path().join("file"), "content").unwrap();
    let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
    let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
    let path = std::path::PathBuf::from(format!("{}/./file", place.path().display()));
    let plan = Plan::new([path.as_path()], Wanted::All);
    let late = Timestamp::new(before.seconds + 1000, 0);
    let [future, later] = [0, 1].map(|more| Timestamp::new(before.seconds + 1_000_000 + more, 0));
    let mut told = Vec::new();
    for (clock, timestamp) in [(before, Some(future)), (late, Some(later)), (late, None)] {
        let options = CreateOptions { name: "a".into(), timestamp, ..CreateOptions::default() };
        let monitor = Statuses::default();
        create(&repository, Input::Files(&plan), &options, &FixedClock(clock), &monitor).unwrap();
        told.extend(monitor.1.into_inner().unwrap());
    }
    assert_eq!(told, [FileStatus::Added, FileStatus::Modified, FileStatus::Unchanged]);
}

/// A place with one file, and a repository.
struct Scene {
    place: tempfile::TempDir,
    repository: Repository,
}

impl Scene {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("file"), "content").unwrap();
        let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
        let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
        Self { place, repository }
    }

    fn set_attribute(&self, value: &[u8]) {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(self.place.path().join("file"), "user.name", value, flags).unwrap();
    }

    /// Backs the file up, long after it changed. What became of it, and what the archive has of it.
    fn back_up(&self, options: &CreateOptions) -> (FileStatus, Entry) {
        let path = std::path::PathBuf::from(format!("{}/./file", self.place.path().display()));
        let plan = Plan::new([path.as_path()], Wanted::All);
        let monitor = Statuses::default();
        let now = SystemClock.now();
        let late = FixedClock(Timestamp::new(now.seconds + 1000, 0));
        let created = create(&self.repository, Input::Files(&plan), options, &late, &monitor).unwrap();
        let reader = self.repository.session().unwrap().reader();
        let entry = find_path(&reader, &created.record.root, b"file").unwrap().unwrap();
        (monitor.1.into_inner().unwrap()[0], entry)
    }

    fn attribute(entry: &Entry) -> Option<&[u8]> {
        let AttributesRef::Inline(attributes) = &entry.attributes else { return None };
        attributes.0.get(serde_bytes::Bytes::new(b"user.name")).map(|value| value.as_slice())
    }
}

fn named(options: CreateOptions) -> CreateOptions {
    CreateOptions { name: "a".into(), ..options }
}

#[test]
fn what_options_keep_of_an_unchanged_file_is_what_they_say_now() {
    if !testing::attributes_work() {
        return;
    }
    let scene = Scene::new();
    scene.set_attribute(b"1");
    let everything = || {
        named(CreateOptions {
            metadata: MetadataOptions { atime: true, ..MetadataOptions::default() },
            ..CreateOptions::default()
        })
    };
    let little = || {
        named(CreateOptions {
            attributes: AttributeOptions { xattrs: false, acls: false },
            metadata: MetadataOptions { atime: false, birthtime: false, numeric_ids: true, flags: false },
            ..CreateOptions::default()
        })
    };
    let (status, first) = scene.back_up(&little());
    assert_eq!((status, Scene::attribute(&first)), (FileStatus::Added, None));
    let (status, second) = scene.back_up(&everything());
    assert_eq!((status, Scene::attribute(&second)), (FileStatus::Unchanged, Some(&b"1"[..])));
    assert!(second.metadata.accessed.is_some() && second.metadata.user.is_some());
    let (status, third) = scene.back_up(&everything());
    assert_eq!((status, Scene::attribute(&third)), (FileStatus::Unchanged, Some(&b"1"[..])));
    let (status, fourth) = scene.back_up(&little());
    assert_eq!((status, fourth), (FileStatus::Unchanged, first));
}

#[test]
fn attributes_are_read_again_where_a_later_change_of_them_is_no_reason_to_read_the_file() {
    if !testing::attributes_work() {
        return;
    }
    let scene = Scene::new();
    let compare = Compare { changed: false, inode: false, ..Compare::default() };
    let options = || named(CreateOptions { compare, ..CreateOptions::default() });
    let (_, first) = scene.back_up(&options());
    assert_eq!(Scene::attribute(&first), None);
    for value in [b"1", b"2"] {
        scene.set_attribute(value);
        let (status, later) = scene.back_up(&options());
        assert_eq!((status, Scene::attribute(&later)), (FileStatus::Unchanged, Some(&value[..])));
    }
}

/// Makes `depth` directories `d` inside each other with a file in each of the two deepest.
fn deep_tree(place: &std::path::Path, depth: usize) {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    let open = |directory: &OwnedFd| openat(directory, "d", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let mut directory = openat(CWD, place, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    for level in 1..=depth {
        mkdirat(&directory, "d", Mode::RWXU).unwrap();
        directory = open(&directory).unwrap();
        if level + 1 >= depth {
            openat(&directory, "f", OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR).unwrap();
        }
    }
}

/// What is stored can be read, down to the deepest directory; what is too deep is missed.
#[test]
fn the_deepest_tree_that_is_stored_can_be_walked() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let scene = Scene::new();
    deep_tree(scene.place.path(), DIRECTORY_DEPTH_MAX + 1);
    let path = std::path::PathBuf::from(format!("{}/./d", scene.place.path().display()));
    let (plan, monitor) = (Plan::new([path.as_path()], Wanted::All), Silent::new());
    let options = named(CreateOptions::default());
    let created = create(&scene.repository, Input::Files(&plan), &options, &SystemClock, &monitor).unwrap();
    assert_eq!((created.record.statistics.files, created.record.statistics.errors), (1, 1));
    let reader = scene.repository.session().unwrap().reader();
    let walked = Walk::new(&reader, &created.record.root, None, |_| true).map(Result::unwrap);
    let deepest = walked.filter_map(|step| if let WalkEvent::Entry(item) = step { Some(item) } else { None }).last();
    let deepest = deepest.unwrap();
    assert_eq!((deepest.entry.name.as_slice(), deepest.depth), (&b"f"[..], DIRECTORY_DEPTH_MAX + 1));
}

#[test]
fn that_a_file_changed_is_seen_by_what_was_chosen() {
    let scene = Scene::new();
    let path = scene.place.path();
    let look = || SourceDirectory::open(path).unwrap().stat(b"file").unwrap();
    let before = look();
    let later = Timestamp::new(before.changed.seconds + 1, 0);
    let touched = Stat { changed: later, ..look() };
    let written = Stat { modified: later, ..touched.clone() };
    let grown = Stat { size: 100, ..look() };
    for (change, same) in [
        (Change::Changed, [true, false, false, false]),
        (Change::Modified, [true, true, false, false]),
        (Change::Disabled, [true; 4]),
    ] {
        let seen = [&before, &touched, &written, &grown].map(|after| change.same(&before, after));
        assert_eq!(seen, same, "{change:?}");
    }
}

/// Whoever is stopped together with what it reads from sees the end of that.
#[test]
fn a_stream_that_ends_as_we_are_stopped_makes_no_archive() {
    struct Stopped<'a>(&'a Silent, &'a std::sync::atomic::AtomicBool);

    impl Monitor for Stopped<'_> {
        fn event(&self, event: &Event<'_>) {
            self.0.event(event);
        }

        fn counters(&self) -> &Counters {
            self.0.counters()
        }

        fn interrupted(&self) -> bool {
            self.1.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    struct Ending<'a>(&'a std::sync::atomic::AtomicBool);

    impl std::io::Read for Ending<'_> {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            Ok(0)
        }
    }

    let (scene, silent, stop) = (Scene::new(), Silent::new(), std::sync::atomic::AtomicBool::new(false));
    let plan = Plan::default().with_stream("stream".as_ref());
    let metadata = metadata(
        &SourceDirectory::open(scene.place.path()).unwrap().stat_self().unwrap(),
        Users::system(),
        &MetadataOptions::default(),
    );
    let stream = Stream { metadata, input: Box::new(FromRead(Ending(&stop))) };
    let options = named(CreateOptions::default());
    let stopped = Stopped(&silent, &stop);
    let made = create(&scene.repository, Input::Stream(&plan, stream), &options, &SystemClock, &stopped);
    assert_eq!(made.unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(Catalog::load(&scene.repository).unwrap().archives.is_empty());
}

/// Two archives that are made together, the second so much later that it finds what the first has read.
struct Pair {
    scenes: [Scene; 2],
    members: [Option<Member>; 2],
}

impl Pair {
    fn new() -> Self {
        let members = <[Member; 2]>::try_from(together(2)).unwrap().map(Some);
        Self { scenes: [Scene::new(), Scene::new()], members }
    }

    fn file(&self) -> std::path::PathBuf {
        self.scenes[0].place.path().join("file")
    }

    /// Backs the file up into one of the repositories. What became of it, and its content.
    fn back_up(&mut self, number: usize, now: Timestamp) -> (FileStatus, Vec<u8>) {
        let path = std::path::PathBuf::from(format!("{}/./file", self.scenes[0].place.path().display()));
        let plan = Plan::new([path.as_path()], Wanted::All);
        let (monitor, options) = (Statuses::default(), named(CreateOptions::default()));
        let input = match self.members[number].take() {
            Some(member) => Input::Shared(&plan, None, member),
            None => Input::Files(&plan),
        };
        let repository = &self.scenes[number].repository;
        let created = create(repository, input, &options, &FixedClock(now), &monitor).unwrap();
        let reader = repository.session().unwrap().reader();
        let entry = find_path(&reader, &created.record.root, b"file").unwrap().unwrap();
        let crate::archive::content::Content::Inline(content) = entry.content else { panic!("{entry:?}") };
        (monitor.1.into_inner().unwrap()[0], content)
    }
}

#[test]
fn a_file_that_changes_between_two_is_read_by_each() {
    let mut pair = Pair::new();
    std::fs::write(pair.file(), "before!").unwrap();
    let now = SystemClock.now();
    assert_eq!(pair.back_up(0, now), (FileStatus::Added, b"before!".to_vec()));
    let changed = || std::fs::metadata(pair.file()).unwrap().modified().unwrap();
    let before = changed();
    while changed() == before {
        std::fs::write(pair.file(), "another").unwrap();
    }
    assert_eq!(pair.back_up(1, now), (FileStatus::Added, b"another".to_vec()));
}

/// What the first read may have changed since without a new time stamp, however late the second began.
#[test]
fn what_is_too_young_for_the_first_is_so_for_the_second() {
    let before = SystemClock.now();
    let mut pair = Pair::new();
    let late = |more| Timestamp::new(before.seconds + 1000 + more, 0);
    for (number, moment) in [(0, before), (1, late(0))] {
        assert_eq!(pair.back_up(number, moment), (FileStatus::Added, b"content".to_vec()));
    }
    assert_eq!(pair.back_up(1, late(1)).0, FileStatus::Modified);
    assert_eq!(pair.back_up(1, late(2)).0, FileStatus::Unchanged);
}
