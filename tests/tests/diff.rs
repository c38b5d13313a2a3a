//! What differs between archives, and between an archive and files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use gabion_core::archive::record::ArchiveRecord;
use gabion_core::archive::{Content, Entry};
use gabion_core::ops::create::{Compare, CreateOptions};
use gabion_core::ops::diff::{Change, ContentChange, DiffOptions, Difference, diff, diff_with_files};
use gabion_core::ops::list::list;
use gabion_core::pattern::Matcher;
use gabion_tests::{Method, Notes, Objects, Random, RecordingBackend, TreeOptions, change_tree, make_tree};

use crate::engine::{back_up, backed_up, differences, new_repository, open, options};

/// The differences between two archives; nothing may be wrong.
fn between(objects: &Objects, old: &ArchiveRecord, new: &ArchiveRecord, options: &DiffOptions) -> Vec<Difference> {
    let (repository, notes) = (open(objects.backend()).unwrap(), Notes::new());
    let reader = repository.session().unwrap().reader();
    let mut found = Vec::new();
    diff(&repository, &reader, old, new, options, &notes, &mut |difference| {
        found.push(difference);
        Ok(())
    })
    .unwrap();
    assert_eq!(notes.complaints(), Vec::<String>::new());
    found
}

/// The differences between an archive and the files of a directory.
fn live(objects: &Objects, old: &ArchiveRecord, top: &Path) -> Vec<Difference> {
    let (repository, notes) = (open(objects.backend()).unwrap(), Notes::new());
    let reader = repository.session().unwrap().reader();
    let mut found = Vec::new();
    diff_with_files(&repository, &reader, old, top, &DiffOptions::default(), &notes, &mut |difference| {
        found.push(difference);
        Ok(())
    })
    .unwrap();
    assert_eq!(notes.complaints(), Vec::<String>::new());
    found
}

fn paths(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(|difference| difference.path.escape_ascii().to_string()).collect()
}

/// Every entry by its path, directories without what is in them.
fn entries(objects: &Objects, record: &ArchiveRecord) -> BTreeMap<Vec<u8>, Entry> {
    let reader = open(objects.backend()).unwrap().session().unwrap().reader();
    let mut entries = BTreeMap::new();
    list(&reader, record, &Matcher::new(), &Notes::new(), &mut |item| {
        let mut entry = item.entry;
        if matches!(entry.content, Content::Directory(_)) {
            entry.content = Content::None;
        }
        // neither can change alone
        (entry.hard_link, entry.metadata.born) = (None, None);
        entries.insert(item.path, entry);
        Ok(())
    })
    .unwrap();
    entries
}

#[test]
fn differences_are_those_of_two_lists() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    let tree = TreeOptions { entries: 40, bytes_max: 60_000, owners: false, ..TreeOptions::default() };
    make_tree(&source, 3, &tree).unwrap();
    let objects = new_repository();
    let mut records = vec![backed_up(&objects, &source).record];
    for round in 0..6 {
        change_tree(&source, round, 5).unwrap();
        records.push(backed_up(&objects, &source).record);
    }
    for (old, new) in (0..records.len()).flat_map(|old| (0..records.len()).map(move |new| (old, new))) {
        let (left, right) = (entries(&objects, &records[old]), entries(&objects, &records[new]));
        let names: BTreeSet<&Vec<u8>> = left.keys().chain(right.keys()).collect();
        let expected: Vec<_> = names.into_iter().filter(|name| left.get(*name) != right.get(*name)).collect();
        let found = between(&objects, &records[old], &records[new], &DiffOptions::default());
        let told: BTreeSet<&Vec<u8>> = found.iter().map(|difference| &difference.path).collect();
        assert_eq!(told.into_iter().collect::<Vec<_>>(), expected, "{old} {new}");
        assert_eq!(found.is_empty(), old == new || expected.is_empty(), "{old} {new}");
    }
}

#[test]
fn equal_directories_are_not_read() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    for directory in 0..60 {
        std::fs::create_dir_all(source.join(format!("d{directory:02}"))).unwrap();
        for file in 0..100 {
            // long names, so that nodes fill many frames
            std::fs::write(source.join(format!("d{directory:02}/{file}{}", "x".repeat(200))), "x").unwrap();
        }
    }
    let objects = new_repository();
    let first = backed_up(&objects, &source).record;
    std::fs::write(source.join("d07/new"), "y").unwrap();
    let second = backed_up(&objects, &source).record;
    let read = |old: &ArchiveRecord, new: &ArchiveRecord| {
        let recorder = RecordingBackend::new(objects.backend());
        let repository = open(Arc::new(recorder.clone())).unwrap();
        let reader = repository.session().unwrap().reader();
        let mut count = 0;
        diff(&repository, &reader, old, new, &DiffOptions::default(), &Notes::new(), &mut |_| {
            count += 1;
            Ok(())
        })
        .unwrap();
        (count, recorder.bytes(Method::GetRange, "segments"))
    };
    assert_eq!(read(&first, &first), (0, 0));
    let (count, bytes) = read(&first, &second);
    assert_eq!(count, 2, "the file and the directory's time");
    let recorder = RecordingBackend::new(objects.backend());
    let reader = open(Arc::new(recorder.clone())).unwrap().session().unwrap().reader();
    list(&reader, &first, &Matcher::new(), &Notes::new(), &mut |_| Ok(())).unwrap();
    let whole = recorder.bytes(Method::GetRange, "segments");
    // both archives were read, but for what is equal
    assert!(bytes * 3 < whole * 2, "{bytes} of {whole}");
}

#[test]
fn sizes_of_what_changed_are_told() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    std::fs::create_dir(&source).unwrap();
    let mut random = Random::new(1);
    let content = random.bytes(5 * 16384);
    std::fs::write(source.join("large"), &content).unwrap();
    std::fs::write(source.join("small"), "abc").unwrap();
    let objects = new_repository();
    let first = backed_up(&objects, &source).record;
    let mut changed = content.clone();
    changed[20_000] ^= 1;
    changed.extend_from_slice(b"more");
    std::fs::write(source.join("large"), &changed).unwrap();
    std::fs::write(source.join("small"), "abcd").unwrap();
    let second = backed_up(&objects, &source).record;
    let only_content = DiffOptions { content_only: true, ..DiffOptions::default() };
    let changes = |difference: &Difference| difference.changes.clone();
    let found = between(&objects, &first, &second, &only_content);
    let modified = |added, removed| vec![Change::Content(ContentChange::Modified(Some((added, removed))))];
    assert_eq!(found.iter().map(changes).collect::<Vec<_>>(), [modified(16384 + 4, 16384), modified(4, 3)]);

    // cut otherwise: what is the same is told to be the same, and of what is not nobody knows how much
    let other = CreateOptions { name: "other".to_owned(), chunker: "fixed,10000".parse().unwrap(), ..options() };
    let all = CreateOptions { compare: Compare { always_read: true, ..Default::default() }, ..other };
    let third = back_up(objects.backend(), &source, &all, &Notes::new()).unwrap().record;
    assert_eq!(paths(&between(&objects, &second, &third, &only_content)), Vec::<String>::new());
    let found = between(&objects, &first, &third, &only_content);
    assert_eq!(
        found.iter().map(changes).collect::<Vec<_>>(),
        vec![vec![Change::Content(ContentChange::Modified(None))]; 2]
    );
}

#[test]
fn files_are_compared_as_they_are_now() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    let tree = TreeOptions { entries: 30, owners: false, ..TreeOptions::default() };
    make_tree(&source, 8, &tree).unwrap();
    std::fs::write(source.join("touched"), "same size").unwrap();
    let objects = new_repository();
    let record = backed_up(&objects, &source).record;
    assert_eq!(paths(&live(&objects, &record, place.path())), Vec::<String>::new());

    // other content under the old time of modification, and something that no archive was asked for
    let before = std::fs::metadata(source.join("touched")).unwrap().modified().unwrap();
    std::fs::write(source.join("touched"), "size same").unwrap();
    std::fs::File::options().write(true).open(source.join("touched")).unwrap().set_modified(before).unwrap();
    std::fs::write(place.path().join("beside"), "x").unwrap();
    let found = live(&objects, &record, place.path());
    assert_eq!(paths(&found), ["tree/touched"]);
    assert_eq!(found[0].changes[0], Change::Content(ContentChange::Modified(Some((9, 9)))));

    std::fs::remove_file(source.join("touched")).unwrap();
    std::os::unix::fs::symlink("there", source.join("touched")).unwrap();
    std::fs::write(source.join("zz new"), "x").unwrap();
    let found = live(&objects, &record, place.path());
    assert_eq!(paths(&found), ["tree", "tree/touched", "tree/zz new"]);
    assert_eq!(found[1].changes[0], Change::Content(ContentChange::Removed(9)));
    assert_eq!(found[2].changes, [Change::Content(ContentChange::Added(1))]);
    assert!(live(&objects, &record, &source).len() > 3, "another top: everything is gone");
}

/// Who ignores change times believes what may be wrong, but nobody else has to.
#[test]
fn what_a_hasty_backup_took_over_is_read_by_those_that_compare_change_times() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    std::fs::create_dir(&source).unwrap();
    let file = source.join("touched");
    std::fs::write(&file, "same size").unwrap();
    std::fs::hard_link(&file, source.join("a second name")).unwrap();
    let objects = new_repository();
    backed_up(&objects, &source);
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, "size same").unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(before).unwrap();
    let hasty = CreateOptions { compare: Compare { changed: false, ..Compare::default() }, ..options() };
    let record = back_up(objects.backend(), &source, &hasty, &Notes::new()).unwrap().record;
    assert_eq!(paths(&live(&objects, &record, place.path())), ["tree/a second name", "tree/touched"]);
    let record = backed_up(&objects, &source).record;
    assert_eq!(differences(&objects, &record, &source), Vec::<String>::new());
}

#[test]
fn what_can_not_be_read_is_told_and_nothing_is_made_up() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    for directory in ["a", "b"] {
        std::fs::create_dir_all(source.join(directory)).unwrap();
        std::fs::write(source.join(directory).join("f"), directory).unwrap();
    }
    let objects = new_repository();
    let first = backed_up(&objects, &source).record;
    std::fs::write(source.join("a/f"), "changed").unwrap();
    let second = backed_up(&objects, &source).record;
    for name in objects.names("segments").unwrap() {
        objects.remove(&name).unwrap();
    }
    let (repository, notes) = (open(objects.backend()).unwrap(), Notes::new());
    let reader = repository.session().unwrap().reader();
    let mut count = 0;
    diff(&repository, &reader, &first, &second, &DiffOptions::default(), &notes, &mut |_| {
        count += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!((count, notes.complaints().len()), (0, 1));
}
