//! Archives made again, and archives copied into other repositories.

use std::sync::Arc;

use gabion_core::archive::catalog::{Archive, Catalog};
use gabion_core::archive::record::{ArchiveRecord, LeftOut};
use gabion_core::backend::Store;
use gabion_core::clock::Timestamp;
use gabion_core::crypto::id_hash::IdHash;
use gabion_core::error::{ErrorKind, Result};
use gabion_core::monitor::FileStatus;
use gabion_core::ops::compact::{CompactOptions, compact};
use gabion_core::ops::delete::Remover;
use gabion_core::ops::recreate::{RecreateOptions, TagRules, preview, recreate};
use gabion_core::ops::republish::replace;
use gabion_core::ops::transfer::{Transfer, TransferOptions, already_there};
use gabion_core::pattern::{Matcher, Pattern, Rule, Style};
use gabion_core::repository::{Client, NewRepository, Repository};
use gabion_tests::{
    Aspects, FaultyBackend, Method, Notes, Objects, RecordingBackend, TreeOptions, WriteFault, compare, make_tree,
};

use crate::engine::{archives, backed_up, clock, differences, new_repository, open, options, restore};
use crate::life::Story;

fn excluding(patterns: &[&str]) -> RecreateOptions {
    let mut matcher = Matcher::new();
    patterns.iter().for_each(|pattern| matcher.add_rule(Rule::exclude(pattern).unwrap()));
    RecreateOptions { matcher, writer: options().writer, ..RecreateOptions::default() }
}

fn made(objects: &Objects, old: &Archive, options: &RecreateOptions) -> Result<Option<Archive>> {
    recreate(&open(objects.backend()).unwrap(), old, options, &Remover::default(), &clock(), &Notes::new())
}

/// A backed up tree with something to leave out.
fn littered() -> (tempfile::TempDir, Objects, Archive) {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    make_tree(&source, 21, &TreeOptions { entries: 25, owners: false, ..TreeOptions::default() }).unwrap();
    for (name, content) in [("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55"), ("cache/x", "x")] {
        std::fs::create_dir_all(source.join("cache")).unwrap();
        std::fs::write(source.join(name), content).unwrap();
    }
    std::fs::create_dir_all(source.join("a/junk")).unwrap();
    std::fs::write(source.join("a/junk/j"), "junk").unwrap();
    std::fs::write(source.join("a/.skip"), "").unwrap();
    let objects = new_repository();
    let created = backed_up(&objects, &source);
    let archive = Archive { id: created.id, record: created.record };
    (place, objects, archive)
}

#[test]
fn what_is_left_out_goes_and_nothing_else() {
    let (place, objects, old) = littered();
    let notes = Notes::new();
    let told = preview(&open(objects.backend()).unwrap(), &old, &excluding(&["tree/a/junk"]), &notes).unwrap();
    assert_eq!(notes.files(FileStatus::Excluded), ["tree/a/junk"]);
    assert_eq!(archives(&objects).0, std::slice::from_ref(&old), "a preview changes nothing");
    let new = made(&objects, &old, &excluding(&["tree/a/junk"])).unwrap().unwrap();
    assert_eq!(archives(&objects).0, std::slice::from_ref(&new), "the old one is removed");
    assert_eq!((new.record.root.files, new.record.root.bytes), told);
    assert_eq!(new.record.root.files + 1, old.record.root.files);
    assert_eq!(ArchiveRecord { root: old.record.root, stat_root: old.record.stat_root, ..new.record.clone() }, {
        let mut record = old.record.clone();
        record.statistics = new.record.statistics;
        // what was made again belongs to no client's row
        (record.client, record.heads) = (None, Vec::new());
        record.extensions = ArchiveRecord::leaving_out(record.extensions, LeftOut::Unknown);
        record
    });
    // the same is left of the source, but for the time of the directory above
    let source = place.path().join("tree");
    let before = std::fs::metadata(source.join("a")).unwrap().modified().unwrap();
    std::fs::remove_dir_all(source.join("a/junk")).unwrap();
    std::fs::File::open(source.join("a")).unwrap().set_modified(before).unwrap();
    assert_eq!(differences(&objects, &new.record, &source), Vec::<String>::new());
    assert_eq!(made(&objects, &new, &excluding(&["tree/a/junk"])).unwrap(), None, "there is nothing more to leave out");
    assert_eq!(objects.names("pending").unwrap(), Vec::<String>::new());
}

#[test]
fn an_archive_that_would_become_the_same_stays() {
    let (_place, objects, old) = littered();
    assert!(old.record.client.is_some(), "it has a place in the row of its client's archives");
    let chunker = Some(old.record.chunker.parse().unwrap());
    for options in [excluding(&["tree/nothing"]), RecreateOptions { chunker, ..excluding(&[]) }, excluding(&[])] {
        assert_eq!(made(&objects, &old, &options).unwrap(), None, "{options:?}");
    }
    assert_eq!(archives(&objects).0, [old]);
}

#[test]
fn marked_directories_go() {
    let (_place, objects, old) = littered();
    let excluded = |tags: TagRules| {
        let (notes, options) = (Notes::new(), RecreateOptions { tags, ..RecreateOptions::default() });
        preview(&open(objects.backend()).unwrap(), &old, &options, &notes).unwrap();
        notes.files(FileStatus::Excluded)
    };
    let caches = TagRules { exclude_caches: true, ..TagRules::default() };
    assert_eq!(excluded(caches.clone()), ["tree/cache"]);
    assert_eq!(excluded(TagRules { keep_exclude_tags: true, ..caches }), ["tree/cache/x"]);
    let present = TagRules { exclude_if_present: vec![b".skip".to_vec(), b"j".to_vec()], ..TagRules::default() };
    assert_eq!(excluded(present.clone()), ["tree/a"]);
    let kept = excluded(TagRules { keep_exclude_tags: true, ..present });
    assert!(kept.contains(&"tree/a/junk".to_owned()) && !kept.contains(&"tree/a/.skip".to_owned()), "{kept:?}");
}

#[test]
fn only_what_was_asked_for_stays() {
    let (_place, objects, old) = littered();
    let mut options = excluding(&[]);
    options.matcher.add_include_path(Pattern::parse("tree/a/junk", Style::PathPrefix).unwrap());
    options.target = Some("junk".to_owned());
    let new = made(&objects, &old, &options).unwrap().unwrap();
    assert_eq!((new.record.root.files, new.record.name.as_str()), (1, "junk"));
    assert_eq!(archives(&objects).0.len(), 2, "an archive with a name of its own replaces nothing");
}

#[test]
fn content_is_cut_anew_and_stays_what_it_was() {
    let (place, objects, old) = littered();
    std::fs::write(place.path().join("tree/large"), vec![7; 300_000]).unwrap();
    let created = backed_up(&objects, &place.path().join("tree"));
    let newer = Archive { id: created.id, record: created.record };
    let options = RecreateOptions { chunker: Some("fixed,5000".parse().unwrap()), ..excluding(&[]) };
    for (old, source) in [(&old, None), (&newer, Some(place.path().join("tree")))] {
        let new = made(&objects, old, &options).unwrap().unwrap();
        assert_eq!((new.record.chunker.as_str(), new.record.root.bytes), ("fixed,5000", old.record.root.bytes));
        if let Some(source) = source {
            assert_eq!(differences(&objects, &new.record, &source), Vec::<String>::new());
        }
    }
    let writer = options.writer.clone();
    let compacting = CompactOptions { threshold_percent: 0, writer, ..CompactOptions::default() };
    compact(&open(objects.backend()).unwrap(), &compacting, &clock(), &Notes::new()).unwrap();
    let (left, _) = archives(&objects);
    assert_eq!(left.len(), 2);
    assert_eq!(differences(&objects, &left[1].record, &place.path().join("tree")), Vec::<String>::new());
}

#[test]
fn facts_change_without_reading_the_tree() {
    let (_place, objects, old) = littered();
    let options =
        RecreateOptions { comment: Some("new".to_owned()), timestamp: Some(Timestamp::new(5, 0)), ..excluding(&[]) };
    let recorder = RecordingBackend::new(objects.backend());
    let repository = open(Arc::new(recorder.clone())).unwrap();
    let new = recreate(&repository, &old, &options, &Remover::default(), &clock(), &Notes::new()).unwrap().unwrap();
    assert_eq!((new.record.comment.as_str(), new.record.start.seconds, new.record.root), ("new", 5, old.record.root));
    assert_eq!(recorder.count(Method::GetRange, "segments") + recorder.count(Method::Put, "segments"), 0);
    assert_eq!(made(&objects, &new, &excluding(&[])).unwrap(), None);
    assert_eq!(made(&objects, &old, &options).unwrap_err().kind(), ErrorKind::ArchiveNotFound, "it was removed");
}

#[test]
fn a_protected_archive_loses_nothing() {
    let (_place, objects, old) = littered();
    let mut record = old.record.clone();
    record.tags.insert("@PROT".to_owned());
    let repository = open(objects.backend()).unwrap();
    let old = replace(&repository, &old, &record, &Remover::default(), &clock(), &Notes::new()).unwrap();
    assert_eq!(made(&objects, &old, &excluding(&["tree/a"])).unwrap_err().kind(), ErrorKind::InvalidInput);
    let aside = RecreateOptions { target: Some("aside".to_owned()), ..excluding(&["tree/a"]) };
    assert!(made(&objects, &old, &aside).unwrap().is_some());
    assert_eq!(archives(&objects).0.len(), 2);
}

#[test]
fn what_can_not_be_read_keeps_the_old_archive() {
    let (_place, objects, old) = littered();
    for name in objects.names("segments").unwrap() {
        objects.remove(&name).unwrap();
    }
    let error = made(&objects, &old, &excluding(&["tree/a/junk"])).unwrap_err();
    assert!(error.context("path").is_some(), "{error}");
    assert_eq!(archives(&objects).0, [old]);
    assert_eq!(objects.names("pending").unwrap(), Vec::<String>::new());
}

#[test]
fn a_crash_while_an_archive_is_made_again_costs_nothing() {
    let (place, first, old) = littered();
    let options = RecreateOptions { chunker: Some("fixed,5000".parse().unwrap()), ..excluding(&["tree/a/none"]) };
    for call in 1.. {
        let objects = first.fork().unwrap();
        let faulty = FaultyBackend::new(objects.backend()).on_write(call, WriteFault::DieBefore);
        let repository = open(Arc::new(faulty)).unwrap();
        let done = recreate(&repository, &old, &options, &Remover::default(), &clock(), &Notes::new());
        let (live, _) = archives(&objects);
        assert!(!live.is_empty(), "crashed at write {call}");
        for archive in &live {
            assert_eq!(differences(&objects, &archive.record, &place.path().join("tree")), Vec::<String>::new());
        }
        if done.is_ok() {
            assert!(call > 8, "{call}");
            break;
        }
    }
}

/// Another repository, related to the first one or not.
fn other(first: &Objects, related: bool, id_hash: IdHash) -> Result<Objects> {
    let objects = Objects::new();
    let (store, new) = (Store::new(objects.backend()).unwrap(), NewRepository { id_hash, ..NewRepository::plain() });
    match related {
        true => {
            let first = open(first.backend()).unwrap();
            Repository::create_related(store, Client::default(), &new, &first, &clock())?
        }
        false => Repository::create(store, Client::default(), &new, &clock())?,
    };
    Ok(objects)
}

/// Copies all archives that are not there; returns how many, and how many bytes of data were read.
fn transfer(from: &Objects, to: &Objects, options: &TransferOptions) -> Result<(usize, u64)> {
    let recorder = RecordingBackend::new(from.backend());
    let (source, target) = (open(Arc::new(recorder.clone()))?, open(to.backend())?);
    let known = Catalog::load(&target)?;
    let mut transfer = Transfer::new(&source, &target, options)?;
    let mut copied = 0;
    for archive in &Catalog::load(&source)?.archives {
        if already_there(&known, &archive.record).is_none() {
            transfer.copy(archive, &clock(), &Notes::new())?;
            copied += 1;
        }
    }
    Ok((copied, recorder.bytes(Method::GetRange, "segments")))
}

fn transfer_options() -> TransferOptions {
    TransferOptions { writer: options().writer, ..TransferOptions::default() }
}

/// Every archive of `story` is in `objects`, whole.
fn is_copied(story: &Story, objects: &Objects) {
    let (there, _) = archives(objects);
    assert_eq!(there.len(), story.told.len());
    for ((told, source), copy) in story.told.iter().zip(&there) {
        assert_eq!((&told.record.name, told.record.start, told.record.end), {
            let record = &copy.record;
            (&record.name, record.start, record.end)
        });
        let place = tempfile::tempdir().unwrap();
        let notes = restore(objects.backend(), &copy.record, place.path(), 0).unwrap();
        assert_eq!(notes.complaints(), Vec::<String>::new());
        let restored = place.path().join(source.file_name().unwrap());
        assert_eq!(compare(source, &restored, &Aspects::default()).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn archives_are_copied_with_everything_and_once() {
    let story = Story::new(3);
    for (related, id_hash) in [(true, IdHash::default()), (false, IdHash::default()), (false, IdHash::Blake2b)] {
        let objects = other(&story.objects, related, id_hash).unwrap();
        let (copied, _) = transfer(&story.objects, &objects, &transfer_options()).unwrap();
        assert_eq!(copied, 3);
        is_copied(&story, &objects);
        let (again, read) = transfer(&story.objects, &objects, &transfer_options()).unwrap();
        assert_eq!((again, read), (0, 0), "what is there is passed over");
        assert_eq!(objects.names("pending").unwrap(), Vec::<String>::new());
        // equal trees are equal nodes in related repositories
        let roots = |objects: &Objects| archives(objects).0.iter().map(|of| of.record.root).collect::<Vec<_>>();
        assert_eq!(roots(&story.objects) == roots(&objects), related);
    }
    assert_eq!(archives(&story.objects).0, story.told.iter().map(|(archive, _)| archive.clone()).collect::<Vec<_>>());
}

#[test]
fn what_a_related_repository_has_is_not_read() {
    let story = Story::new(2);
    let related = other(&story.objects, true, IdHash::default()).unwrap();
    let (_, first) = transfer(&story.objects, &related, &transfer_options()).unwrap();
    // forget the archives, keep their data
    for archive in archives(&related).0 {
        related.remove(&format!("archives/{}", archive.id)).unwrap();
    }
    let (copied, second) = transfer(&story.objects, &related, &transfer_options()).unwrap();
    assert_eq!(copied, 2);
    assert!(second * 3 < first, "{second} of {first}: only nodes");
    is_copied(&story, &related);
}

#[test]
fn content_can_be_cut_anew_on_the_way() {
    let story = Story::new(2);
    let objects = other(&story.objects, false, IdHash::default()).unwrap();
    let options = TransferOptions { chunker: Some("buzhash,10,14,12,255".parse().unwrap()), ..transfer_options() };
    transfer(&story.objects, &objects, &options).unwrap();
    is_copied(&story, &objects);
    assert!(archives(&objects).0.iter().all(|archive| archive.record.chunker == "buzhash,10,14,12,255"));
}

#[test]
fn a_transfer_goes_on_where_it_died() {
    let story = Story::new(2);
    let mut died = 0;
    for call in (1..).step_by(3) {
        let objects = other(&story.objects, true, IdHash::default()).unwrap();
        let faulty = FaultyBackend::new(objects.backend()).on_write(call, WriteFault::DieBefore);
        let (source, target) = (open(story.objects.backend()).unwrap(), open(Arc::new(faulty)).unwrap());
        let options = transfer_options();
        let mut first = Transfer::new(&source, &target, &options).unwrap();
        let done =
            story.told.iter().try_for_each(|(archive, _)| first.copy(archive, &clock(), &Notes::new()).map(|_| ()));
        for archive in archives(&objects).0 {
            let (_, source) = story.told.iter().find(|(told, _)| told.record.start == archive.record.start).unwrap();
            assert_eq!(differences(&objects, &archive.record, source), Vec::<String>::new(), "died at write {call}");
        }
        transfer(&story.objects, &objects, &options).unwrap();
        is_copied(&story, &objects);
        if done.is_ok() {
            break;
        }
        died += 1;
    }
    assert!(died > 3, "{died}");
}

#[test]
fn related_repositories_have_one_id_hash() {
    let first = new_repository();
    let error = other(&first, true, IdHash::Blake2b).unwrap_err();
    assert_eq!((error.kind(), error.context("id hash")), (ErrorKind::InvalidInput, Some("blake3")));
    let related = other(&first, true, IdHash::default()).unwrap();
    let (first, second) = (open(first.backend()).unwrap(), open(related.backend()).unwrap());
    assert!(first.names_chunks_as(&second).unwrap());
    assert_eq!(first.cut_key().unwrap(), second.cut_key().unwrap());
    assert_ne!(first.id(), second.id());
    let stranger = open(other(&related, false, IdHash::default()).unwrap().backend()).unwrap();
    assert!(!first.names_chunks_as(&stranger).unwrap());
    let keys = |repository: &Repository| crate::engine::keyring(repository).encode().to_vec();
    // purpose and key, after the count: the first three are shared
    assert_eq!(keys(&first)[..100], keys(&second)[..100]);
    assert!((3..8).all(|at| keys(&first)[1 + at * 33..][..33] != keys(&second)[1 + at * 33..][..33]));
}
