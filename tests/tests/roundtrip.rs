//! What comes out is what went in: every kind of file, name, attribute and hole, through all the ways an archive is
//! made and restored.

mod links;
mod sources;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gabion_core::monitor::FileStatus;
use gabion_core::ops::create::{CreateOptions, Created};
use gabion_core::ops::extract::{ExtractOptions, extract};
use gabion_core::pattern::{Matcher, Pattern, Style};
use gabion_tests::{Aspects, Method, Notes, Objects, Random, RecordingBackend, TreeOptions, compare, make_tree};

use crate::engine::{back_up, backed_up, differences, new_repository, open, options, restore};

const NONE: Vec<String> = Vec::new();

/// What differs in a restored archive of `source`, holes included.
fn restored_differences(objects: &Objects, created: &Created, source: &Path, workers: usize) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let notes = restore(objects.backend(), &created.record, place.path(), workers).unwrap();
    let mut wrong = notes.complaints();
    let aspects = Aspects { holes: true, ..Aspects::default() };
    wrong.extend(compare(source, &place.path().join("tree"), &aspects).unwrap());
    wrong
}

fn with_workers(workers: usize, chunker: &str) -> CreateOptions {
    let mut options = options();
    options.writer.workers = workers;
    options.chunker = chunker.parse().unwrap();
    options
}

#[test]
fn every_kind_of_file_comes_back() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    sources::make_everything(&source);
    for (workers, chunker) in [(0, "default"), (3, "fastcdc,12,16,14")] {
        let objects = new_repository();
        let notes = Notes::new();
        let created = back_up(objects.backend(), &source, &with_workers(workers, chunker), &notes).unwrap();
        assert_eq!(notes.complaints(), NONE);
        assert_eq!(restored_differences(&objects, &created, &source, workers), NONE, "{workers} workers");
    }
}

#[test]
fn trees_of_many_seeds_come_back() {
    for seed in 0..6 {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("tree");
        make_tree(&source, seed, &TreeOptions { entries: 120, ..TreeOptions::default() }).unwrap();
        let objects = new_repository();
        let created = backed_up(&objects, &source);
        assert_eq!(restored_differences(&objects, &created, &source, (seed % 3) as usize), NONE, "seed {seed}");
    }
}

#[test]
fn content_of_many_chunks_comes_back() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    fs::create_dir(&source).unwrap();
    let mut random = Random::new(3);
    // One more chunk than fits the entry; a tree of content with several leaves; the same with holes in it.
    fs::write(source.join("17"), random.bytes(16 * 4096 + 1)).unwrap();
    fs::write(source.join("many"), random.bytes(3_000 * 4096 + 77)).unwrap();
    let holes = File::create(source.join("holes")).unwrap();
    holes.set_len(40 << 20).unwrap();
    for island in 0..400u64 {
        std::os::unix::fs::FileExt::write_all_at(&holes, &random.bytes(4096), island * 98_304).unwrap();
    }
    drop(holes);
    for workers in [0, 3] {
        let objects = new_repository();
        let options = with_workers(workers, "fixed,4096");
        let created = back_up(objects.backend(), &source, &options, &Notes::new()).unwrap();
        assert_eq!(restored_differences(&objects, &created, &source, workers), NONE, "{workers} workers");
    }
}

/// Bytes of new segments that a backup puts, and what it told.
fn put_again(objects: &Objects, source: &Path) -> (u64, Notes, Created) {
    let (recorder, notes) = (RecordingBackend::new(objects.backend()), Notes::new());
    let created = back_up(Arc::new(recorder.clone()), source, &options(), &notes).unwrap();
    assert_eq!(notes.complaints(), NONE);
    (recorder.bytes(Method::Put, "segments"), notes, created)
}

#[test]
fn only_what_changed_is_stored_again() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    fs::create_dir_all(source.join("folder/below")).unwrap();
    let mut random = Random::new(4);
    for name in ["a", "b", "c", "folder/d", "folder/below/e"] {
        fs::write(source.join(name), random.bytes(200_000)).unwrap();
    }
    let objects = new_repository();
    backed_up(&objects, &source);
    let files = |notes: &Notes, status| notes.files(status).join(" ");

    let (put, notes, created) = put_again(&objects, &source);
    assert_eq!(put, 0, "nothing changed");
    assert_eq!(notes.files(FileStatus::Unchanged).len(), 5);
    assert_eq!(differences(&objects, &created.record, &source), NONE);

    fs::write(source.join("a"), random.bytes(200_000)).unwrap();
    let (put, notes, created) = put_again(&objects, &source);
    assert!((200_000..230_000).contains(&put), "one file changed: {put}");
    assert_eq!(files(&notes, FileStatus::Modified), "tree/a");
    assert_eq!(differences(&objects, &created.record, &source), NONE);

    File::options().write(true).open(source.join("b")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let (put, notes, created) = put_again(&objects, &source);
    assert!(put < 20_000, "only metadata changed: {put}");
    assert_eq!(files(&notes, FileStatus::Modified), "tree/b");
    assert_eq!(differences(&objects, &created.record, &source), NONE);

    fs::rename(source.join("folder"), source.join("renamed")).unwrap();
    let (put, notes, created) = put_again(&objects, &source);
    assert!(put < 20_000, "only a name changed: {put}");
    assert_eq!(files(&notes, FileStatus::Added), "tree/renamed/below/e tree/renamed/d");
    assert_eq!(differences(&objects, &created.record, &source), NONE);

    fs::remove_file(source.join("c")).unwrap();
    let (put, notes, created) = put_again(&objects, &source);
    assert!(put < 20_000, "only less: {put}");
    assert_eq!(notes.files(FileStatus::Unchanged).len(), 4);
    assert_eq!(differences(&objects, &created.record, &source), NONE);
}

/// The paths below a directory, sorted.
fn paths(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root.join(&path).symlink_metadata().unwrap().is_dir() {
                waiting.push(path.clone());
            }
            found.push(path.into_os_string().into_string().unwrap());
        }
    }
    found.sort();
    found
}

fn extracted(objects: &Objects, created: &Created, options: &ExtractOptions<'_>) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let notes = Notes::new();
    let reader = open(objects.backend()).unwrap().session().unwrap().reader();
    extract(&reader, &created.record, place.path(), options, &notes).unwrap();
    assert_eq!(notes.complaints(), NONE);
    paths(place.path())
}

#[test]
fn parts_of_an_archive_come_back_alone() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    fs::create_dir_all(source.join("a/b")).unwrap();
    for name in ["top", "a/one", "a/b/two", "a/b/three.log"] {
        fs::write(source.join(name), name).unwrap();
    }
    fs::hard_link(source.join("a/one"), source.join("a/b/linked")).unwrap();
    let objects = new_repository();
    let created = backed_up(&objects, &source);
    let stripped = |strip_components| ExtractOptions { strip_components, ..ExtractOptions::default() };
    assert_eq!(
        extracted(&objects, &created, &stripped(1)),
        ["a", "a/b", "a/b/linked", "a/b/three.log", "a/b/two", "a/one", "top"]
    );
    assert_eq!(extracted(&objects, &created, &stripped(3)), ["linked", "three.log", "two"]);
    assert_eq!(extracted(&objects, &created, &stripped(9)), NONE);

    let mut matcher = Matcher::new();
    matcher.add_include_path(Pattern::parse("tree/a/b", Style::PathPrefix).unwrap());
    let options = ExtractOptions { matcher, strip_components: 2, ..ExtractOptions::default() };
    assert_eq!(extracted(&objects, &created, &options), ["b", "b/linked", "b/three.log", "b/two"]);
    let mut matcher = Matcher::new();
    matcher.add_rule(gabion_core::pattern::Rule::exclude("*.log").unwrap());
    let options = ExtractOptions { matcher, strip_components: 1, ..ExtractOptions::default() };
    assert_eq!(extracted(&objects, &created, &options), ["a", "a/b", "a/b/linked", "a/b/two", "a/one", "top"]);
}

#[test]
fn an_existing_tree_becomes_the_archived_one() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    make_tree(&source, 31, &TreeOptions { entries: 80, ..TreeOptions::default() }).unwrap();
    let objects = new_repository();
    let created = backed_up(&objects, &source);
    let target = place.path().join("target");
    restore(objects.backend(), &created.record, &target, 0).unwrap();
    // The second time everything is there, some of it changed: longer, read-only, of another type.
    let mut files = 0;
    for path in paths_raw(&target.join("tree")) {
        let meta = path.symlink_metadata().unwrap();
        if meta.is_file() {
            files += 1;
            match files % 3 {
                0 => fs::write(&path, vec![b'x'; 100_000]).unwrap(),
                1 => fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap(),
                _ => {
                    fs::remove_file(&path).unwrap();
                    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
                }
            }
        }
    }
    assert!(files > 10, "only {files} files");
    for workers in [0, 3] {
        let notes = restore(objects.backend(), &created.record, &target, workers).unwrap();
        assert_eq!(notes.complaints(), NONE);
        assert_eq!(compare(&source, &target.join("tree"), &Aspects::default()).unwrap(), NONE);
    }
}

/// Everything below a directory, by full paths.
fn paths_raw(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                waiting.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A path part from raw bytes.
fn raw(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}
