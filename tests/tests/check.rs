//! What a check finds: whatever is done to a store is named, down to the files that are hurt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gabion_core::backend::Store;
use gabion_core::clock::{FixedClock, Timestamp};
use gabion_core::error::{ErrorKind, Result};
use gabion_core::local_state::MemoryState;
use gabion_core::ops::check::{About, CheckOptions, Checked, Told, check};
use gabion_core::repository::{Client, Repository};
use gabion_tests::{FaultyBackend, HookedBackend, Notes, Objects, Random, ReadFault, WriteFault};

use crate::engine::{back_up, backed_up, clock, collect, new_repository, open, options, remove};
use crate::life::Story;

/// Everything, with the data.
fn whole() -> CheckOptions {
    CheckOptions { data: true, ..CheckOptions::default() }
}

fn checked(objects: &Objects, options: &CheckOptions) -> Result<(Checked, Vec<About>)> {
    let mut found = Vec::new();
    let repository = open(objects.backend())?;
    let checked = check(&repository, options, &clock(), &Notes::new(), &mut |told| note(told, &mut found))?;
    Ok((checked, found))
}

fn note(told: Told<'_>, found: &mut Vec<About>) {
    if let Told::Finding(finding) = told {
        found.push(finding.about);
    }
}

/// What a check of everything finds, except harmless things.
fn findings(objects: &Objects) -> Vec<About> {
    let (checked, mut found) = checked(objects, &whole()).unwrap();
    found.retain(|about| !about.is_harmless());
    assert_eq!(checked.damages, found.len());
    found
}

/// Changes one byte of an object.
fn flip(objects: &Objects, name: &str, at: usize) {
    let mut bytes = objects.get(name).unwrap().to_vec();
    bytes[at] ^= 1;
    objects.put(name, bytes).unwrap();
}

fn largest(objects: &Objects, prefix: &str) -> String {
    let names = objects.names(prefix).unwrap();
    names.into_iter().max_by_key(|name| objects.get(name).unwrap().len()).unwrap()
}

fn paths(found: &[About]) -> Vec<&[u8]> {
    found
        .iter()
        .filter_map(|about| if let About::Path(_, path) = about { Some(path.as_slice()) } else { None })
        .collect()
}

#[test]
fn a_whole_repository_has_no_findings_at_any_time_of_its_life() {
    let story = Story::new(3);
    let none: Vec<About> = Vec::new();
    for options in [
        whole(),
        CheckOptions::default(),
        CheckOptions { archives: false, ..whole() },
        CheckOptions { objects: false, ..CheckOptions::default() },
    ] {
        let (checked, found) = checked(&story.objects, &options).unwrap();
        assert_eq!(found, none, "{options:?}");
        assert_eq!(checked.archives, if options.archives { 3 } else { 0 });
    }
    remove(story.objects.backend(), &story.told[0].0).unwrap();
    assert_eq!(findings(&story.objects), none, "removed");
    collect(story.objects.backend(), &Notes::new()).unwrap();
    assert_eq!(findings(&story.objects), none, "compacted");
    assert_eq!(findings(&new_repository()), none, "empty");
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_objects_are_named() {
    let story = Story::new(2);
    let mut random = Random::new(3);
    for name in story.objects.names("").unwrap() {
        if name.starts_with("reserve/") || name.starts_with("keys/") {
            continue;
        }
        let length = story.objects.get(&name).unwrap().len();
        for _ in 0..20 {
            let objects = story.objects.fork().unwrap();
            let at = random.below(length as u64) as usize;
            flip(&objects, &name, at);
            let found = findings(&objects);
            let named = found.iter().any(|about| match about {
                About::Object(object) => *object == name,
                About::Archive(id) => name == format!("archives/{id}"),
                _ => false,
            });
            assert!(named, "{name} at {at}: {found:?}");
        }
    }
}

#[test]
fn lost_data_is_traced_to_the_files_it_hurts() {
    let story = Story::new(1);
    // the files of 90 000 bytes are in segments of their own kind of size
    let name = largest(&story.objects, "segments");
    let objects = story.objects.fork().unwrap();
    objects.remove(&name).unwrap();
    let found = findings(&objects);
    assert!(found.iter().any(|about| matches!(about, About::MissingSegment(id) if name.ends_with(&id.to_string()))));
    assert!(found.iter().any(|about| matches!(about, About::Chunk(_))), "{found:?}");
    let hurt = paths(&found);
    assert!(!hurt.is_empty() && hurt.iter().all(|path| path.starts_with(b"tree/")), "{found:?}");
    let (other, source) = (&story.told[0].0, &story.told[0].1);
    // exactly the files that extract complains of
    let place = tempfile::tempdir().unwrap();
    let notes = crate::engine::restore(objects.backend(), &other.record, place.path(), 0).unwrap();
    assert_eq!(hurt.len(), notes.complaints().len(), "{:?} of {source:?}", notes.complaints());
}

#[test]
fn a_tree_that_is_lost_names_its_directory() {
    let story = Story::new(1);
    trees(&story.objects).iter().for_each(|name| story.objects.remove(name).unwrap());
    let found = findings(&story.objects);
    assert!(paths(&found).contains(&&b""[..]), "the top can not be read: {found:?}");
}

/// The segments that hold nodes.
fn trees(objects: &Objects) -> Vec<String> {
    let records = open(objects.backend()).unwrap().session().unwrap().segment_records();
    let trees = records.iter().filter(|record| record.class == gabion_core::segment::Class::Tree);
    trees.map(|record| format!("segments/{}", record.id)).collect()
}

#[test]
fn what_lay_below_a_node_that_was_missing_for_a_moment_is_looked_for() {
    let story = Story::new(2);
    let objects = story.objects.clone();
    objects.remove(&largest(&objects, "segments")).unwrap();
    // An archive comes with the nodes, so that there is a reason to look again.
    let away = [trees(&objects), vec![format!("archives/{}", story.told[1].0.id)]].concat();
    let away: Vec<_> = away.into_iter().map(|name| (objects.get(&name).unwrap(), name)).collect();
    away.iter().for_each(|(_, name)| objects.remove(name).unwrap());
    let client = HookedBackend::new(story.objects.backend(), move |_, name| {
        if name == "pending" {
            away.iter().for_each(|(bytes, name)| objects.put(name, bytes.clone()).unwrap());
        }
    });
    let (repository, mut found) = (open(Arc::new(client)).unwrap(), Vec::new());
    let options = CheckOptions { objects: false, ..CheckOptions::default() };
    check(&repository, &options, &clock(), &Notes::new(), &mut |told| note(told, &mut found)).unwrap();
    assert!(!paths(&found).is_empty() && !paths(&found).contains(&&b""[..]), "{found:?}");
}

/// Somebody is at work until the last look, which sees other things missing than those before.
#[test]
fn a_last_look_that_is_certain_stands_alone() {
    let story = Story::new(2);
    let objects = story.objects.clone();
    objects.remove(&largest(&objects, "segments")).unwrap();
    let away = trees(&objects).into_iter().map(|name| (objects.get(&name).unwrap(), name)).collect::<Vec<_>>();
    away.iter().for_each(|(_, name)| objects.remove(name).unwrap());
    let comes_and_goes = format!("archives/{}", story.told[1].0.id);
    let record = objects.get(&comes_and_goes).unwrap();
    let lists = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&lists);
    let client = HookedBackend::new(story.objects.backend(), move |_, name| {
        if name != "archives" {
            return;
        }
        // Each look lists the archives, and lists them again to see whether it is certain.
        let number = counted.fetch_add(1, Ordering::Relaxed);
        if number == 8 {
            away.iter().for_each(|(bytes, name)| objects.put(name, bytes.clone()).unwrap());
        }
        match number {
            1 | 3 | 5 | 7 => objects.remove(&comes_and_goes).unwrap(),
            _ => objects.put(&comes_and_goes, record.clone()).unwrap(),
        }
    });
    let (repository, mut found) = (open(Arc::new(client)).unwrap(), Vec::new());
    lists.store(0, Ordering::Relaxed);
    let options = CheckOptions { objects: false, ..CheckOptions::default() };
    check(&repository, &options, &clock(), &Notes::new(), &mut |told| note(told, &mut found)).unwrap();
    assert_eq!(lists.load(Ordering::Relaxed), 10, "five looks");
    assert!(!paths(&found).is_empty() && !paths(&found).contains(&&b""[..]), "{found:?}");
}

/// What a dead client left stays for weeks, and is no reason to look again and again.
#[test]
fn an_open_pending_makes_a_check_look_twice_and_not_more() {
    let mut story = Story::new(2);
    story.change(9);
    let objects = &story.objects;
    let dies = FaultyBackend::new(objects.backend()).on_write(2, WriteFault::DieBefore);
    back_up(Arc::new(dies), &story.source, &options(), &Notes::new()).unwrap_err();
    assert_eq!(objects.names("pending").unwrap().len(), 1);
    objects.remove(&largest(objects, "segments")).unwrap();
    let looks = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&looks);
    let client = HookedBackend::new(objects.backend(), move |_, name| {
        counted.fetch_add(u64::from(name == "damage"), Ordering::Relaxed);
    });
    let (repository, mut found) = (open(Arc::new(client)).unwrap(), Vec::new());
    looks.store(0, Ordering::Relaxed);
    let options = CheckOptions { objects: false, ..CheckOptions::default() };
    check(&repository, &options, &clock(), &Notes::new(), &mut |told| note(told, &mut found)).unwrap();
    assert!(!paths(&found).is_empty(), "{found:?}");
    assert_eq!(looks.load(Ordering::Relaxed), 2);
}

#[test]
fn what_is_harmless_is_told_apart() {
    let story = Story::new(1);
    story.objects.put("notes/readme", vec![1]).unwrap();
    let fragment = largest(&story.objects, "index");
    story.objects.remove(&fragment).unwrap();
    let (_, found) = checked(&story.objects, &whole()).unwrap();
    assert!(found.contains(&About::Foreign("notes/readme".to_owned())), "{found:?}");
    assert!(found.iter().any(|about| matches!(about, About::Unnamed(count) if *count > 1)), "{found:?}");
}

/// As a client leaves it that merged fragments while a collector rewrote them.
#[test]
fn an_index_that_names_what_nobody_needs_any_more_is_no_damage() {
    let story = Story::new(3);
    remove(story.objects.backend(), &story.told[0].0).unwrap();
    let before = story.objects.fork().unwrap();
    collect(story.objects.backend(), &Notes::new()).unwrap();
    for name in before.names("index").unwrap() {
        story.objects.put(&name, before.get(&name).unwrap()).unwrap();
    }
    assert_eq!(findings(&story.objects), []);
    let (_, found) = checked(&story.objects, &whole()).unwrap();
    assert!(found.iter().any(|about| matches!(about, About::StaleEntry(_))), "{found:?}");
    let (partly, _) = checked(&story.objects, &CheckOptions { archives: false, ..whole() }).unwrap();
    assert!(partly.damages > 0, "who looks at no archive does not know");
}

#[test]
fn a_check_that_has_no_time_goes_on_where_it_stopped() {
    let story = Story::new(3);
    let repository = open(story.objects.backend()).unwrap();
    let run = |options: &CheckOptions| check(&repository, options, &clock(), &Notes::new(), &mut |_| {}).unwrap();
    let segments = story.objects.names("segments").unwrap().len();
    let none = run(&CheckOptions { seconds_max: Some(0), archives: false, ..whole() });
    assert_eq!(none.skipped_segments, segments);
    let all = run(&CheckOptions { archives: false, ..whole() });
    assert_eq!(all.skipped_segments, 0);
    let again = run(&CheckOptions { age_max: Some(3600), archives: false, ..whole() });
    assert_eq!(again.skipped_segments, segments, "all were read a moment ago");
    let others = run(&CheckOptions { age_max: Some(3600), archives: false, ..CheckOptions::default() });
    assert_eq!(others.skipped_segments, 0, "only a check of the data proves the data");
}

#[test]
fn a_check_that_is_cut_short_remembers_what_it_read() {
    let (story, state) = (Story::new(3), Arc::new(MemoryState::default()));
    let segments = story.objects.names("segments").unwrap().len();
    let run = |client: &FaultyBackend, state: &Arc<MemoryState>| {
        let local = Client { state: state.clone(), ..Client::default() };
        let store = Store::new(Arc::new(client.clone())).unwrap();
        let repository = Repository::open(store, local, &mut |_| Ok(None)).unwrap();
        let options = CheckOptions { archives: false, workers: 1, age_max: Some(3600), ..whole() };
        check(&repository, &options, &FixedClock(Timestamp::new(6000, 0)), &Notes::new(), &mut |_| {})
    };
    let counting = FaultyBackend::new(story.objects.fork().unwrap().backend());
    run(&counting, &Arc::default()).unwrap();
    let (last, mut client) = (counting.reads() - 3, FaultyBackend::new(story.objects.backend()));
    for read in last..last + 9 {
        client = client.on_read(read, ReadFault::Temporary(ErrorKind::Connection));
    }
    assert_eq!(run(&client, &state).unwrap_err().kind(), ErrorKind::Connection);
    assert_eq!(client.reads(), last, "the rest is not tried");
    let rest = run(&FaultyBackend::new(story.objects.backend()), &state).unwrap();
    assert_eq!(rest.skipped_segments, segments - 4);
}

/// Whatever others do at whatever call of a check, nothing seems to be lost that is not.
fn nothing_is_found_while(story: &Story, others: &(dyn Fn(&Objects) + Sync)) {
    for step in 0.. {
        let objects = story.objects.fork().unwrap();
        let (calls, inside) = (Arc::new(AtomicU64::new(0)), objects.clone());
        let counted = Arc::clone(&calls);
        std::thread::scope(|scope| {
            let (ask, asked) = std::sync::mpsc::channel::<()>();
            let (answer, answered) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                while asked.recv().is_ok() {
                    others(&inside);
                    answer.send(()).unwrap();
                }
            });
            let talk = std::sync::Mutex::new((ask, answered));
            let client = HookedBackend::new(objects.backend(), move |_, _| {
                if counted.fetch_add(1, Ordering::Relaxed) == step {
                    let talk = talk.lock().unwrap();
                    talk.0.send(()).unwrap();
                    talk.1.recv().unwrap();
                }
            });
            let mut found = Vec::new();
            let options = CheckOptions { workers: 1, ..whole() };
            let repository = open(Arc::new(client)).unwrap();
            check(&repository, &options, &clock(), &Notes::new(), &mut |told| note(told, &mut found)).unwrap();
            found.retain(|about| !about.is_harmless());
            assert_eq!(found, [], "others at call {step}");
        });
        if calls.load(Ordering::Relaxed) <= step {
            assert!(step > 20, "{step}");
            return;
        }
    }
}

#[test]
fn what_others_make_and_collect_meanwhile_is_no_finding() {
    let mut story = Story::new(3);
    story.change(9);
    let (gone, source) = (story.told[1].0.clone(), story.source.clone());
    nothing_is_found_while(&story, &|objects| {
        backed_up(objects, &source);
        remove(objects.backend(), &gone).unwrap();
        collect(objects.backend(), &Notes::new()).unwrap();
    });
}

#[test]
fn a_collector_that_died_anywhere_left_nothing_to_be_found() {
    let story = Story::new(3);
    remove(story.objects.backend(), &story.told[1].0).unwrap();
    for number in 1.. {
        let objects = story.objects.fork().unwrap();
        let collector = FaultyBackend::new(objects.backend()).on_write(number, WriteFault::DieBefore);
        let done = collect(Arc::new(collector.clone()), &Notes::new());
        assert_eq!(findings(&objects), [], "died before write {number}: {done:?}");
        if !collector.is_dead() {
            assert!(number > 10);
            return;
        }
    }
}

/// What is truly lost is told also where nobody ever holds still.
#[test]
fn what_is_lost_is_found_in_a_crowd() {
    let story = Story::new(3);
    let lost = largest(&story.objects, "segments");
    story.objects.remove(&lost).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let source = elsewhere.path().join("tree");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "other content").unwrap();
    let inside = story.objects.clone();
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let (answer, answered) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        while asked.recv().is_ok() {
            backed_up(&inside, &source);
            answer.send(()).unwrap();
        }
    });
    let talk = std::sync::Mutex::new((ask, answered));
    let client = HookedBackend::new(story.objects.backend(), move |_, name| {
        if name == "index" {
            let talk = talk.lock().unwrap();
            talk.0.send(()).unwrap();
            talk.1.recv().unwrap();
        }
    });
    let mut found = Vec::new();
    let repository = open(Arc::new(client)).unwrap();
    check(&repository, &whole(), &clock(), &Notes::new(), &mut |told| note(told, &mut found)).unwrap();
    drop(repository);
    other.join().unwrap();
    assert!(found.iter().any(|about| matches!(about, About::MissingSegment(id) if lost.ends_with(&id.to_string()))));
}

/// Its client died after it had put the archive, and before it asked whether everything is still there.
#[test]
fn an_archive_that_nobody_reported_may_lack_something() {
    let mut story = Story::new(2);
    story.change(9);
    let objects = &story.objects;
    let before = objects.names("segments").unwrap();
    let counting = FaultyBackend::new(objects.fork().unwrap().backend());
    back_up(Arc::new(counting.clone()), &story.source, &options(), &Notes::new()).unwrap();
    for number in 1..=counting.writes() {
        let fork = objects.fork().unwrap();
        let dies = FaultyBackend::new(fork.backend()).on_write(number, WriteFault::DieAfter);
        if back_up(Arc::new(dies), &story.source, &options(), &Notes::new()).is_ok()
            || fork.names("archives").unwrap().len() < 3
        {
            continue;
        }
        let new = fork.names("segments").unwrap().into_iter().find(|name| !before.contains(name)).unwrap();
        fork.remove(&new).unwrap();
        let about = |found: &[About], what: fn(&About) -> bool| found.iter().any(what);
        let (_, found) = checked(&fork, &whole()).unwrap();
        assert!(about(&found, |about| matches!(about, About::Unfinished(_))), "{found:?}");
        assert!(!about(&found, |about| matches!(about, About::Chunk(_) | About::Path(..))), "{found:?}");
        fork.names("pending").unwrap().iter().for_each(|name| fork.remove(name).unwrap());
        assert!(about(&findings(&fork), |about| matches!(about, About::Path(..))), "nobody is about to mend it");
        return;
    }
    panic!("no archive was put");
}
