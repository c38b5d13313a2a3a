//! The life of a repository: archives come and go, and what nobody needs goes with them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gabion_core::archive::ArchiveRecord;
use gabion_core::archive::catalog::Archive;
use gabion_core::archive::removal::RemovalRecord;
use gabion_core::archive::walk::Walk;
use gabion_core::backend::Store;
use gabion_core::clock::{FixedClock, Timestamp};
use gabion_core::local_state::MemoryState;
use gabion_core::ops::compact::{CompactOptions, Compacted, Reason, compact, plan};
use gabion_core::ops::delete::Remover;
use gabion_core::ops::hold::Hold;
use gabion_core::ops::republish::{replace, restore};
use gabion_core::repository::{Client, Reader, Repository};
use gabion_tests::{
    FaultyBackend, HookedBackend, Method, Notes, Objects, Random, RecordingBackend, TreeOptions, WriteFault,
    change_tree, make_tree,
};

use crate::engine::{
    archives, back_up, backed_up, clock, collect, copied, differences, new_repository, open, options, remove,
};

/// A repository with archives of a tree that changes, and a copy of the tree as each archive has it.
pub struct Story {
    place: tempfile::TempDir,
    pub objects: Objects,
    pub source: PathBuf,
    /// Every archive and its source.
    pub told: Vec<(Archive, PathBuf)>,
    random: Random,
}

impl Story {
    /// With so many archives.
    pub fn new(count: usize) -> Self {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("tree");
        let tree = TreeOptions { entries: 12, bytes_max: 20_000, owners: false, ..TreeOptions::default() };
        make_tree(&source, 11, &tree).unwrap();
        let mut story = Self { objects: new_repository(), place, source, told: Vec::new(), random: Random::new(5) };
        for number in 0..count {
            story.change(number);
            story.tell();
        }
        story
    }

    /// Changes the tree.
    pub fn change(&mut self, number: usize) {
        change_tree(&self.source, number as u64, 3).unwrap();
        for name in ["large", &format!("new {number}")] {
            std::fs::write(self.source.join(name), self.random.bytes(90_000)).unwrap();
        }
        // small ones, so that groups are needed in part
        for name in 0..6 {
            std::fs::write(self.source.join(format!("small {number} {name}")), self.random.bytes(3000)).unwrap();
        }
    }

    /// Makes an archive of the tree.
    pub fn tell(&mut self) {
        let created = backed_up(&self.objects, &self.source);
        let kept = self.keep();
        self.told.push((Archive { id: created.id, record: created.record }, kept));
    }

    /// A copy of the tree as it is now, under the same name.
    pub fn keep(&self) -> PathBuf {
        let above = tempfile::tempdir_in(self.place.path()).unwrap().keep();
        copied(&self.source, &above.join("tree"))
    }

    /// Every archive that is live is one of the story, and whole.
    pub fn is_true(&self, objects: &Objects, when: &str) {
        let (live, unreadable) = archives(objects);
        assert_eq!(unreadable, 0, "{when}");
        for archive in &live {
            let told = self.told.iter().find(|(told, _)| told.record.root == archive.record.root);
            // one that a test made on the way has the source of some archive
            let candidates = told.map_or(self.told.as_slice(), std::slice::from_ref);
            let wrong: Vec<_> =
                candidates.iter().map(|(_, source)| differences(objects, &archive.record, source)).collect();
            assert!(wrong.iter().any(Vec::is_empty), "{when}: archive {}: {wrong:?}", archive.id);
        }
    }
}

/// Does something else while a store waits: its thread must not block on another store.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

fn segments(objects: &Objects) -> usize {
    objects.names("segments").unwrap().len()
}

#[test]
fn compact_frees_what_removed_archives_needed_and_nothing_else() {
    let story = Story::new(4);
    let objects = &story.objects;
    let before = segments(objects);
    assert_eq!(collect(objects.backend(), &Notes::new()).unwrap().deleted, 0, "everything is needed");
    remove(objects.backend(), &story.told[0].0).unwrap();
    remove(objects.backend(), &story.told[2].0).unwrap();
    assert_eq!(segments(objects), before, "removing archives deletes nothing");
    let done = collect(objects.backend(), &Notes::new()).unwrap();
    assert!(done.deleted > 0 && done.deleted_bytes > done.kept_bytes + 90_000, "{done:?}");
    assert_eq!(archives(objects).0.len(), 2);
    story.is_true(objects, "after compact");
    // at rest a second one finds nothing to do
    let again = collect(objects.backend(), &Notes::new()).unwrap();
    assert_eq!((again.deleted, again.stuck, again.adopted), (0, 0, 0));
    for (_, record) in [1, 3].map(|kept| &story.told[kept]).map(|(archive, _)| ((), archive)) {
        remove(objects.backend(), record).unwrap();
    }
    collect(objects.backend(), &Notes::new()).unwrap();
    assert_eq!(objects.names("segments").unwrap(), Vec::<String>::new(), "no archive needs no segment");
    assert_eq!(objects.names("index").unwrap(), Vec::<String>::new(), "and no index");
    assert_eq!(objects.names("gc/doom").unwrap(), Vec::<String>::new());
    assert_eq!(objects.names("gc/epoch").unwrap().len(), 1);
}

#[test]
fn what_is_mostly_waste_is_rewritten_and_small_segments_are_merged() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    std::fs::create_dir(&source).unwrap();
    let objects = new_repository();
    let mut random = Random::new(3);
    let mut write = |name: &str| std::fs::write(source.join(name), random.bytes(16_000)).unwrap();
    ["a", "b"].iter().for_each(|name| write(name));
    let first = backed_up(&objects, &source);
    std::fs::remove_file(source.join("a")).unwrap();
    let second = backed_up(&objects, &source);
    remove(objects.backend(), &Archive { id: first.id, record: first.record }).unwrap();
    let with =
        |threshold_percent| CompactOptions { threshold_percent, writer: options().writer, ..CompactOptions::default() };
    let chosen = |threshold: u8| {
        let plan = plan(&open(objects.backend()).unwrap(), &with(threshold), &clock(), &Notes::new()).unwrap();
        let of = |reason| plan.victims.iter().filter(|victim| victim.reason == reason).count();
        [Reason::Dead, Reason::Waste, Reason::Small].map(of)
    };
    // The tree of the first archive is dead, and half of its data is waste.
    assert_eq!((chosen(90), chosen(30)), ([1, 0, 0], [1, 1, 0]));
    for number in 0..9 {
        write(&format!("new {number}"));
        backed_up(&objects, &source);
    }
    assert_eq!(chosen(90), [1, 0, 20], "each archive has a segment of data and one of trees");
    let done = compact(&open(objects.backend()).unwrap(), &with(90), &clock(), &Notes::new()).unwrap();
    let why: Vec<(Reason, usize)> = done.why.into_iter().collect();
    assert_eq!((done.deleted, why), (21, vec![(Reason::Dead, 1), (Reason::Small, 20)]));
    assert!(segments(&objects) < 8, "{:?}", objects.names("segments"));
    let (live, _) = archives(&objects);
    assert!(live.len() == 10 && live.iter().any(|archive| archive.id == second.id));
    for archive in &live {
        let target = tempfile::tempdir().unwrap();
        let notes = crate::engine::restore(objects.backend(), &archive.record, target.path(), 0).unwrap();
        assert_eq!(notes.complaints(), [""; 0]);
    }
    assert_eq!(differences(&objects, &live[9].record, &source), [""; 0]);
}

#[test]
fn a_store_that_does_not_list_what_was_put_gets_no_collector() {
    let story = Story::new(2);
    remove(story.objects.backend(), &story.told[0].0).unwrap();
    let (before, inside) = (segments(&story.objects), story.objects.clone());
    let forgets = HookedBackend::new(story.objects.backend(), move |method, name| {
        if (method, name) == (Method::List, "gc/probe") {
            inside.names("gc/probe").unwrap().iter().for_each(|probe| inside.remove(probe).unwrap());
        }
    });
    let error = collect(Arc::new(forgets), &Notes::new()).unwrap_err();
    assert!(error.to_string().contains("a list lacks what was put before"), "{error}");
    assert_eq!((segments(&story.objects), story.objects.names("gc/doom").unwrap()), (before, Vec::new()));
}

#[test]
fn the_index_names_what_exists_after_compact() {
    let story = Story::new(3);
    remove(story.objects.backend(), &story.told[1].0).unwrap();
    collect(story.objects.backend(), &Notes::new()).unwrap();
    let session = open(story.objects.backend()).unwrap().session().unwrap();
    assert_eq!(session.holdings().segments, segments(&story.objects));
    assert!(!session.is_damaged() && !session.is_incomplete());
}

#[test]
fn compact_keeps_what_an_unfinished_backup_announced() {
    let mut story = Story::new(1);
    story.change(1);
    let source = story.keep();
    // the collector runs at every step of a backup, whose base is removed at the first one
    let base = story.told[0].0.clone();
    let steps = AtomicU64::new(0);
    for step in 0.. {
        let objects = story.objects.fork().unwrap();
        let (inside, base) = (objects.clone(), base.clone());
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let client = HookedBackend::new(objects.backend(), move |_, _| {
            if counted.fetch_add(1, Ordering::Relaxed) == step {
                aside(|| {
                    remove(inside.backend(), &base).unwrap();
                    collect(inside.backend(), &Notes::new()).unwrap();
                });
            }
        });
        let created = back_up(Arc::new(client), &source, &options(), &Notes::new());
        if calls.load(Ordering::Relaxed) <= step {
            break;
        }
        let created = created.unwrap_or_else(|error| panic!("collected at call {step}: {error}"));
        assert_eq!(differences(&objects, &created.record, &source), Vec::<String>::new(), "collected at call {step}");
        collect(objects.backend(), &Notes::new()).unwrap();
        assert_eq!(differences(&objects, &created.record, &source), Vec::<String>::new(), "again after {step}");
        steps.fetch_add(1, Ordering::Relaxed);
    }
    assert!(steps.load(Ordering::Relaxed) > 20);
}

/// Collects, and takes every client for dead that began before.
fn collect_without_patience(objects: &Objects) -> Compacted {
    let writer = options().writer;
    let options =
        CompactOptions { threshold_percent: 0, writer, give_up_seconds: -1_000_000, ..CompactOptions::default() };
    compact(&open(objects.backend()).unwrap(), &options, &clock(), &Notes::new()).unwrap()
}

#[test]
fn an_interrupted_backup_is_given_up_after_a_while() {
    let mut story = Story::new(1);
    story.change(1);
    let objects = &story.objects;
    let dying = FaultyBackend::new(objects.backend()).on_write(5, WriteFault::DieBefore);
    back_up(Arc::new(dying), &story.source, &options(), &Notes::new()).unwrap_err();
    let (pendings, before) = (objects.names("pending").unwrap(), segments(objects));
    assert!(!pendings.is_empty());
    assert_eq!(collect(objects.backend(), &Notes::new()).unwrap().pendings, 0, "two weeks are not over");
    assert_eq!(collect_without_patience(objects).pendings, pendings.len());
    assert_eq!(objects.names("pending").unwrap(), Vec::<String>::new());
    assert_eq!(objects.names("gc/expired").unwrap().len(), pendings.len());
    collect(objects.backend(), &Notes::new()).unwrap();
    assert!(segments(objects) < before, "what only it needed goes");
    story.is_true(objects, "afterwards");
}

/// What a first backup leaves that died at any call is collected, although there is no archive and never was one.
#[test]
fn a_first_backup_that_is_given_up_leaves_nothing() {
    let story = Story::new(1);
    let mut collected = 0;
    for call in 1.. {
        let objects = new_repository();
        let dying = FaultyBackend::new(objects.backend()).on_write(call, WriteFault::DieBefore);
        if back_up(Arc::new(dying), &story.source, &options(), &Notes::new()).is_ok() {
            break;
        }
        if collect_without_patience(&objects).pendings > 0 {
            collect(objects.backend(), &Notes::new()).unwrap();
            assert_eq!(segments(&objects), 0, "died at write {call}");
            collected += 1;
        }
    }
    assert!(collected > 2, "{collected}");
}

#[test]
fn who_is_given_up_is_told_by_the_collectors_own_clock() {
    let story = Story::new(2);
    let objects = &story.objects;
    let client = Client { state: Arc::new(MemoryState::default()), ..Client::default() };
    let collector = Repository::open(Store::new(objects.backend()).unwrap(), client, &mut |_| Ok(None)).unwrap();
    let day = 24 * 60 * 60;
    let given_up = |days: i64| {
        let now = FixedClock(Timestamp::new(9_000_000_000 + days * day, 0));
        compact(&collector, &CompactOptions::default(), &now, &Notes::new()).unwrap().pendings
    };
    assert_eq!(given_up(0), 0);
    // Two who read for long; the clock of one is centuries behind, that of the other as far ahead.
    let times = [0, 20_000_000_000].map(|seconds| FixedClock(Timestamp::new(seconds, 0)));
    let holds = times.map(|time| Hold::take(&open(objects.backend()).unwrap(), &story.told[0].0, &time).unwrap());
    remove(objects.backend(), &story.told[0].0).unwrap();
    assert_eq!((given_up(1), given_up(14)), (0, 0));
    let reader = open(objects.backend()).unwrap().session().unwrap().reader();
    assert!(resolves(&reader, &story.told[0].0), "it is held");
    assert_eq!(given_up(15), 2, "seen for two weeks, by whatever clock");
    holds.into_iter().for_each(|hold| hold.release().unwrap());
}

fn resolves(reader: &Reader, archive: &Archive) -> bool {
    Walk::new(reader, &archive.record.root, None, |_| true).all(|event| event.is_ok())
}

/// Each time the reader has found out where a chunk is now, it is moved again.
#[test]
fn a_reader_goes_after_what_is_moved_again_and_again() {
    let story = Story::new(6);
    let objects = &story.objects;
    let last = story.told[5].0.clone();
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let (answer, answered) = std::sync::mpsc::channel::<()>();
    let inside = objects.clone();
    let others: Vec<Archive> = story.told[..5].iter().map(|(archive, _)| archive.clone()).collect();
    let collecting = std::thread::spawn(move || {
        let mut others = others.into_iter();
        while asked.recv().is_ok() {
            if let Some(archive) = others.next() {
                remove(inside.backend(), &archive).unwrap();
                assert!(collect(inside.backend(), &Notes::new()).unwrap().deleted > 0);
            }
            answer.send(()).unwrap();
        }
    });
    let talk = Mutex::new((ask, answered));
    let (looked, moved) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&moved);
    // Before the first chunk is got, and before each that is got after the index was read again.
    let client = HookedBackend::new(objects.backend(), move |method, name| {
        if name == "index" {
            looked.fetch_add(1, Ordering::Relaxed);
        }
        let is_read = method == Method::GetRange && name.starts_with("segments/");
        if is_read && looked.swap(0, Ordering::Relaxed) > 0 {
            counted.fetch_add(1, Ordering::Relaxed);
            let talk = talk.lock().unwrap();
            talk.0.send(()).unwrap();
            talk.1.recv().unwrap();
        }
    });
    let reader = open(Arc::new(client)).unwrap().session().unwrap().reader();
    assert!(resolves(&reader, &last));
    assert!(moved.load(Ordering::Relaxed) > 1, "{moved:?}");
    drop(reader);
    collecting.join().unwrap();
}

#[test]
fn a_client_that_is_given_up_and_lives_loses_nothing() {
    let mut story = Story::new(1);
    story.change(1);
    let source = story.keep();
    let base = story.told[0].0.clone();
    for step in 0.. {
        let objects = story.objects.fork().unwrap();
        let (inside, base) = (objects.clone(), base.clone());
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let client = HookedBackend::new(objects.backend(), move |_, _| {
            if counted.fetch_add(1, Ordering::Relaxed) == step {
                aside(|| {
                    remove(inside.backend(), &base).unwrap();
                    collect_without_patience(&inside);
                    collect_without_patience(&inside);
                });
            }
        });
        let created = back_up(Arc::new(client), &source, &options(), &Notes::new());
        if calls.load(Ordering::Relaxed) <= step {
            assert!(step > 20);
            return;
        }
        let created = created.unwrap_or_else(|error| panic!("given up at call {step}: {error}"));
        collect(objects.backend(), &Notes::new()).unwrap();
        assert_eq!(differences(&objects, &created.record, &source), Vec::<String>::new(), "given up at call {step}");
    }
}

#[test]
fn a_backup_in_the_middle_of_compact_is_whole() {
    let mut story = Story::new(3);
    remove(story.objects.backend(), &story.told[0].0).unwrap();
    remove(story.objects.backend(), &story.told[1].0).unwrap();
    // what the collector is about to delete is new again
    let old = story.told[0].1.clone();
    story.change(7);
    for step in 0.. {
        let objects = story.objects.fork().unwrap();
        let (inside, source) = (objects.clone(), old.clone());
        let (calls, made) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(None)));
        let (counted, told) = (Arc::clone(&calls), Arc::clone(&made));
        let client = HookedBackend::new(objects.backend(), move |_, _| {
            if counted.fetch_add(1, Ordering::Relaxed) == step {
                let created = aside(|| back_up(inside.backend(), &source, &options(), &Notes::new()).unwrap());
                *told.lock().unwrap() = Some(created);
            }
        });
        collect(Arc::new(client), &Notes::new()).unwrap();
        let Some(created) = made.lock().unwrap().take() else { break };
        for when in ["beside", "again"] {
            let wrong = differences(&objects, &created.record, &old);
            assert_eq!(wrong, Vec::<String>::new(), "made at call {step} of a collector, {when}");
            collect(objects.backend(), &Notes::new()).unwrap();
        }
    }
}

#[test]
fn two_collectors_at_once_delete_nothing_that_is_needed() {
    let story = Story::new(3);
    remove(story.objects.backend(), &story.told[1].0).unwrap();
    for step in 0.. {
        let objects = story.objects.fork().unwrap();
        let inside = objects.clone();
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let client = HookedBackend::new(objects.backend(), move |_, _| {
            if counted.fetch_add(1, Ordering::Relaxed) == step {
                aside(|| collect(inside.backend(), &Notes::new()).unwrap());
            }
        });
        collect(Arc::new(client), &Notes::new()).unwrap_or_else(|error| panic!("at call {step}: {error}"));
        story.is_true(&objects, &format!("a second collector at call {step}"));
        if calls.load(Ordering::Relaxed) <= step {
            break;
        }
    }
}

#[test]
fn a_removed_archive_comes_back_until_compact() {
    let story = Story::new(2);
    let (gone, source) = &story.told[0];
    remove(story.objects.backend(), gone).unwrap();
    let repository = open(story.objects.backend()).unwrap();
    let names = repository.removals().unwrap();
    let removal = RemovalRecord::load(&repository, &names[0]).unwrap();
    assert_eq!((names.len(), removal.archive, removal.record.as_ref()), (1, gone.id, Some(&gone.record)));
    let fork = story.objects.fork().unwrap();
    restore(&repository, &removal, &clock(), &Notes::new()).unwrap();
    collect(story.objects.backend(), &Notes::new()).unwrap();
    let (live, _) = archives(&story.objects);
    assert_eq!(live.len(), 2);
    assert_eq!(differences(&story.objects, &live[0].record, source), Vec::<String>::new());

    collect(fork.backend(), &Notes::new()).unwrap();
    let error = restore(&open(fork.backend()).unwrap(), &removal, &clock(), &Notes::new()).unwrap_err();
    assert!(error.context("chunk").is_some() && error.context("reason").is_some(), "{error}");
    assert_eq!(fork.names("pending").unwrap(), Vec::<String>::new());
    story.is_true(&fork, "after an undelete that failed");
}

#[test]
fn an_archive_is_replaced_by_one_with_another_record() {
    let story = Story::new(2);
    let old = &story.told[0].0;
    let record = ArchiveRecord { name: "other".to_owned(), ..old.record.clone() };
    let repository = open(story.objects.backend()).unwrap();
    let made = replace(&repository, old, &record, &Remover::default(), &clock(), &Notes::new()).unwrap();
    let (live, _) = archives(&story.objects);
    assert_eq!(live.len(), 2);
    let new = live.iter().find(|archive| archive.id == made.id).unwrap();
    assert_eq!(*new, made, "it is told as it is stored");
    // It is an archive of its own of whoever renamed it.
    assert_ne!(new.record.client, record.client);
    assert_eq!(ArchiveRecord { client: record.client, ..new.record.clone() }, record);
    assert_ne!(live[0].id, old.id);
    story.is_true(&story.objects, "renamed");
    assert!(replace(&repository, old, &record, &Remover::default(), &clock(), &Notes::new()).is_err(), "it is gone");
}

#[test]
fn nothing_to_collect_costs_few_requests() {
    let story = Story::new(3);
    let recorder = RecordingBackend::new(story.objects.backend());
    collect(Arc::new(recorder.clone()), &Notes::new()).unwrap();
    assert_eq!(recorder.count(Method::Put, "segments") + recorder.count(Method::Delete, "segments"), 0);
    assert_eq!(recorder.count(Method::Put, "gc/epoch") + recorder.count(Method::Put, "gc/doom"), 0);
    assert_eq!(recorder.count(Method::List, "segments"), 1);
    assert_eq!(recorder.count(Method::Put, ""), 1, "the probe");
}
