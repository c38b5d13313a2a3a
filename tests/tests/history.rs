//! What a client notices of a repository's past: archives that vanished, stores that went back, clients that were
//! cloned. A backup succeeds all the same, and everything is told once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gabion_core::archive::catalog::{Archive, Catalog};
use gabion_core::archive::history::History;
use gabion_core::archive::record::ArchiveRecord;
use gabion_core::archive::removal::RemovalRecord;
use gabion_core::backend::Store;
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::local_state::{LocalState, MemoryState};
use gabion_core::monitor::Warning;
use gabion_core::ops::compact::{CompactOptions, Compacted, compact};
use gabion_core::ops::create::{Created, Input, Plan, Wanted, create};
use gabion_core::ops::delete::{Remover, delete};
use gabion_core::ops::republish::replace;
use gabion_core::repository::{Client, Repository};
use gabion_tests::{FaultyBackend, HookedBackend, Method, Notes, Objects, WriteFault};

use crate::engine::{clock, differences, new_repository, options};

/// A machine with a memory.
#[derive(Clone)]
struct Machine(Client);

impl Machine {
    fn new() -> Self {
        Self(Client::default())
    }

    /// Another machine that remembers the same from now on.
    fn cloned(&self) -> Self {
        let state = MemoryState::default();
        for name in self.0.state.list().unwrap() {
            state.put(&name, &self.0.state.get(&name).unwrap().unwrap()).unwrap();
        }
        Self(Client { state: Arc::new(state), ..Client::default() })
    }

    fn open(&self, objects: &Objects) -> Repository {
        Repository::open(Store::new(objects.backend()).unwrap(), self.0.clone(), &mut |_| Ok(None)).unwrap()
    }

    /// Backs up, and returns what was told beside.
    fn backs_up(&self, objects: &Objects, source: &Path) -> (Created, Vec<String>) {
        let repository = self.open(objects);
        let above = PathBuf::from(format!("{}/./tree", source.parent().unwrap().display()));
        let plan = Plan::new([above.as_path()], Wanted::All);
        let notes = Notes::new();
        let created = create(&repository, Input::Files(&plan), &options(), &clock(), &notes).unwrap();
        for (warning, _, kind) in notes.warnings() {
            assert_eq!((warning, kind), (Warning::History, ErrorKind::History));
        }
        (created, notes.complaints())
    }

    /// Looks at the archives, and returns what was told.
    fn looks(&self, objects: &Objects) -> Vec<String> {
        let (repository, notes) = (self.open(objects), Notes::new());
        History::of(&repository).compare(&Catalog::load(&repository).unwrap(), &notes).unwrap();
        notes.complaints()
    }

    /// Collects. Of everything that archives needed at most the removed go.
    fn compacts(&self, objects: &Objects, accept_lost: bool) -> Result<Compacted> {
        let writer = options().writer;
        let options = CompactOptions { threshold_percent: 0, accept_lost, writer, ..CompactOptions::default() };
        compact(&self.open(objects), &options, &clock(), &Notes::new())
    }

    /// Backs up; nothing is told.
    fn quietly_backs_up(&self, objects: &Objects, source: &Path) -> Created {
        let (created, told) = self.backs_up(objects, source);
        assert_eq!(told, Vec::<String>::new());
        created
    }
}

fn scene() -> (tempfile::TempDir, PathBuf, Objects) {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("tree");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "content").unwrap();
    (place, source, new_repository())
}

fn mark(record: &ArchiveRecord) -> (u64, bool) {
    let mark = record.client.unwrap();
    (mark.sequence, mark.previous.is_some())
}

#[test]
fn archives_of_a_client_are_a_chain() {
    let (_place, source, objects) = scene();
    let (first, second) = (Machine::new(), Machine::new());
    let made: Vec<Created> =
        [&first, &second, &first, &first].map(|machine| machine.quietly_backs_up(&objects, &source)).into();
    assert_eq!([0, 1, 2, 3].map(|n: usize| mark(&made[n].record)), [(1, false), (1, false), (2, true), (3, true)]);
    assert_eq!(made[3].record.client.unwrap().previous, Some(made[2].id));
    assert_eq!(made[0].record.heads, []);
    let mut heads: Vec<_> = made[3].record.heads.iter().map(|head| head.archive).collect();
    heads.sort();
    let mut newest = vec![made[1].id, made[2].id];
    newest.sort();
    assert_eq!(heads, newest);
    assert!(made[3].record.heads.is_sorted_by_key(|head| head.client));
}

/// The archive was there for a moment, and others saw it.
#[test]
fn an_archive_that_was_taken_back_is_not_missed() {
    let (_place, source, objects) = scene();
    let (first, second) = (Machine::new(), Machine::new());
    second.quietly_backs_up(&objects, &source);
    // What is put is there, and the answer is lost.
    let failing = FaultyBackend::new(objects.backend()).on_write(5, WriteFault::AnswerLost);
    let (sees, inside) = (second.clone(), objects.clone());
    let client = HookedBackend::new(Arc::new(failing), move |method, name| {
        let taken_back = matches!(method, Method::Put | Method::Delete) && !name.starts_with("pending");
        if taken_back && inside.names("archives").unwrap().len() == 2 {
            std::thread::scope(|scope| scope.spawn(|| sees.looks(&inside)).join().unwrap());
        }
    });
    let repository = Repository::open(Store::new(Arc::new(client)).unwrap(), first.0, &mut |_| Ok(None)).unwrap();
    let plan = Plan::new([source.as_path()], Wanted::All);
    let error = create(&repository, Input::Files(&plan), &options(), &clock(), &Notes::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert_eq!(objects.names("archives").unwrap().len(), 1, "it was taken back");
    assert_eq!(second.looks(&objects), Vec::<String>::new());
    let removals = repository.removals().unwrap();
    let removal = RemovalRecord::load(&repository, &removals[0]).unwrap();
    assert!(removals.len() == 1 && removal.reason.contains("not done"), "{removal:?}");
}

#[test]
fn an_archive_that_vanishes_is_told_once_and_one_that_was_removed_is_not() {
    let (_place, source, objects) = scene();
    let (first, second) = (Machine::new(), Machine::new());
    let made: Vec<Created> = (0..4).map(|_| first.quietly_backs_up(&objects, &source)).collect();
    second.quietly_backs_up(&objects, &source);
    let repository = first.open(&objects);
    let catalog = Catalog::load(&repository).unwrap();
    let removed = catalog.archives.iter().find(|archive| archive.id == made[1].id).unwrap();
    delete(&repository, &[removed], &Remover::default(), &clock()).unwrap();
    second.quietly_backs_up(&objects, &source);

    objects.remove(&format!("archives/{}", made[2].id)).unwrap();
    for machine in [&first, &second] {
        let (created, told) = machine.backs_up(&objects, &source);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&made[2].id.to_string()) && !told[0].contains(&made[1].id.to_string()), "{told:?}");
        assert_eq!(differences(&objects, &created.record, &source), Vec::<String>::new());
        machine.quietly_backs_up(&objects, &source);
    }
}

#[test]
fn renamed_archives_are_no_fork() {
    let (_place, source, objects) = scene();
    let machine = Machine::new();
    machine.quietly_backs_up(&objects, &source);
    machine.quietly_backs_up(&objects, &source);
    let repository = machine.open(&objects);
    let old = Catalog::load(&repository).unwrap().archives.remove(0);
    let record = ArchiveRecord { name: "other".to_owned(), ..old.record.clone() };
    replace(&repository, &old, &record, &Remover::default(), &clock(), &Notes::new()).unwrap();
    machine.quietly_backs_up(&objects, &source);
    Machine::new().quietly_backs_up(&objects, &source);
}

#[test]
fn a_store_that_goes_back_is_noticed() {
    let (_place, source, objects) = scene();
    let (first, second) = (Machine::new(), Machine::new());
    first.quietly_backs_up(&objects, &source);
    let last_week = objects.fork().unwrap();
    let lost: Vec<Created> = (0..2).map(|_| first.quietly_backs_up(&objects, &source)).collect();
    second.quietly_backs_up(&objects, &source);

    let (_, told) = first.backs_up(&last_week, &source);
    assert!(told.len() == 1 && lost.iter().all(|lost| told[0].contains(&lost.id.to_string())), "{told:?}");
    first.quietly_backs_up(&last_week, &source);
    let (_, told) = second.backs_up(&last_week, &source);
    assert_eq!(told.len(), 1, "{told:?}");
    second.quietly_backs_up(&last_week, &source);
    // Who never was there learns it from what others wrote: the second client names the newest it knew.
    objects.remove(&format!("archives/{}", lost[1].id)).unwrap();
    let (_, told) = Machine::new().backs_up(&objects, &source);
    assert!(told.len() == 1 && told[0].contains(&lost[1].id.to_string()), "{told:?}");
}

#[test]
fn a_cloned_client_is_noticed_and_gets_a_name_of_its_own() {
    let (_place, source, objects) = scene();
    let original = Machine::new();
    original.quietly_backs_up(&objects, &source);
    let clone = original.cloned();
    original.quietly_backs_up(&objects, &source);
    // The clone sees an archive of its own name that it does not know of.
    let (created, told) = clone.backs_up(&objects, &source);
    assert!(told.len() == 1 && told[0].contains("cloned"), "{told:?}");
    assert_ne!(
        created.record.client.unwrap().id,
        original.quietly_backs_up(&objects, &source).record.client.unwrap().id
    );
    clone.quietly_backs_up(&objects, &source);

    // Two that make their next archive at the same time: both claim to be the same.
    let second = original.cloned();
    let before = objects.fork().unwrap();
    original.quietly_backs_up(&objects, &source);
    let (other, _) = second.backs_up(&before, &source);
    for name in before.names("").unwrap() {
        objects.put(&name, before.get(&name).unwrap()).unwrap();
    }
    let (_, told) = clone.backs_up(&objects, &source);
    assert!(told.len() == 1 && told[0].contains(&other.id.to_string()), "{told:?}");
    clone.quietly_backs_up(&objects, &source);
}

#[test]
fn a_client_that_can_not_remember_backs_up_all_the_same() {
    #[derive(Debug)]
    struct Broken;
    impl LocalState for Broken {
        fn get(&self, _: &str) -> Result<Option<Vec<u8>>> {
            Err(Error::new(ErrorKind::Io, "read local state"))
        }
        fn put(&self, _: &str, _: &[u8]) -> Result<()> {
            Err(Error::new(ErrorKind::NoSpace, "write local state"))
        }
        fn remove(&self, _: &str) -> Result<()> {
            Ok(())
        }
        fn list(&self) -> Result<Vec<String>> {
            Err(Error::new(ErrorKind::Io, "list local state"))
        }
    }
    let (_place, source, objects) = scene();
    let machine = Machine(Client { state: Arc::new(Broken), ..Client::default() });
    for _ in 0..2 {
        let (created, told) = machine.backs_up(&objects, &source);
        assert_eq!(created.record.client, None);
        // Nobody would notice that the store was rolled back.
        assert!(told[0].contains("can not be read") && told[1].contains("can not be remembered"), "{told:?}");
        assert_eq!(told.len(), 2, "{told:?}");
    }
    let (options, notes) = (CompactOptions { writer: options().writer, ..CompactOptions::default() }, Notes::new());
    compact(&machine.open(&objects), &options, &clock(), &notes).unwrap();
    let told = notes.complaints();
    // It looks twice, and tells that once; what it remembers of pendings is another thing.
    assert_eq!(told.iter().filter(|told| told.contains("can not be read")).count(), 1, "{told:?}");
}

#[test]
fn a_memory_full_of_nonsense_does_no_harm() {
    let (_place, source, objects) = scene();
    let machine = Machine::new();
    let made = machine.quietly_backs_up(&objects, &source);
    let state = &machine.0.state;
    let names = state.list().unwrap();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        let value = state.get(&name).unwrap().unwrap();
        state.put(&name, &value[..value.len() / 2]).unwrap();
    }
    let (again, told) = machine.backs_up(&objects, &source);
    assert!(told.len() == 1 && told[0].contains("can not be read"), "{told:?}");
    assert_eq!(again.record.base, Some(made.id));
    assert_eq!(differences(&objects, &again.record, &source), Vec::<String>::new());
}

/// A repository of three archives with files of their own, all made by one machine.
fn three_archives() -> (tempfile::TempDir, Machine, Objects, Vec<Created>) {
    let (place, source, objects) = scene();
    let machine = Machine::new();
    let make = |number: u8| {
        std::fs::write(source.join(format!("file {number}")), vec![number; 50_000]).unwrap();
        machine.quietly_backs_up(&objects, &source)
    };
    let made = [1, 2, 3].map(make).into();
    (place, machine, objects, made)
}

/// The store as it would be without these objects.
fn without(objects: &Objects, hidden: impl Fn(&str) -> bool) -> Objects {
    let fork = objects.fork().unwrap();
    fork.names("").unwrap().iter().filter(|name| hidden(name)).for_each(|name| fork.remove(name).unwrap());
    fork
}

/// Nothing is deleted, and why.
fn declines(machine: &Machine, objects: &Objects) -> String {
    let before = objects.names("").unwrap();
    let error = machine.compacts(objects, false).unwrap_err();
    assert_eq!((error.kind(), objects.names("").unwrap()), (ErrorKind::History, before), "{error}");
    error.to_string()
}

#[test]
fn nothing_is_collected_where_archives_vanished() {
    let (_place, machine, objects, made) = three_archives();
    let nothing_listed = without(&objects, |name| name.starts_with("archives/"));
    assert!(declines(&machine, &nothing_listed).contains("archives: 3"));
    // Who never was there sees segments that nobody ever needed.
    assert!(declines(&Machine::new(), &nothing_listed).contains("no archive"));

    let one_less = without(&objects, |name| name == format!("archives/{}", made[1].id));
    // Whoever looks: the next archive names the one that is gone. And it is told again as long as it is so.
    for machine in [&Machine::new(), &machine.cloned()] {
        machine.looks(&one_less);
        machine.looks(&one_less);
        assert!(declines(machine, &one_less).contains(&made[1].id.to_string()));
    }
    let rolled_back = without(&objects, |name| name == format!("archives/{}", made[2].id));
    assert!(declines(&machine.cloned(), &rolled_back).contains(&made[2].id.to_string()));

    // They were only out of sight: nothing was lost by asking.
    assert_eq!(machine.compacts(&objects, false).unwrap().deleted, 0);
    assert_eq!(machine.looks(&objects), Vec::<String>::new());
}

#[test]
fn archives_that_vanished_are_given_up_for_everybody() {
    let (_place, machine, objects, made) = three_archives();
    objects.remove(&format!("archives/{}", made[2].id)).unwrap();
    declines(&machine, &objects);
    assert!(machine.compacts(&objects, true).unwrap().deleted > 0);
    for machine in [&machine, &Machine::new()] {
        assert_eq!(machine.looks(&objects), Vec::<String>::new());
        machine.compacts(&objects, false).unwrap();
    }
    let removal = RemovalRecord::load(&machine.open(&objects), &machine.open(&objects).removals().unwrap()[0]).unwrap();
    assert!(removal.archive == made[2].id && removal.reason.contains("given up"), "{removal:?}");
}

/// What is not listed is not deleted, and an index that forgot it is made up for.
#[test]
fn a_short_list_of_segments_costs_nothing() {
    let (place, machine, objects, made) = three_archives();
    delete(&machine.open(&objects), &[&archive(&made[0])], &Remover::default(), &clock()).unwrap();
    for hidden in objects.names("segments").unwrap() {
        for all_others in [false, true] {
            let listed = without(&objects, |name| name.starts_with("segments/") && (name == hidden) != all_others);
            if let Err(error) = machine.cloned().compacts(&listed, false) {
                assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
            }
            for name in objects.names("segments").unwrap().iter().filter(|name| (**name == hidden) != all_others) {
                listed.put(name, objects.get(name).unwrap()).unwrap();
            }
            let newest = &made[2].record;
            assert_eq!(differences(&listed, newest, &place.path().join("tree")), Vec::<String>::new(), "{hidden}");
            machine.cloned().compacts(&listed, false).unwrap();
            assert_eq!(differences(&listed, newest, &place.path().join("tree")), Vec::<String>::new(), "{hidden}");
        }
    }
}

fn archive(made: &Created) -> Archive {
    Archive { id: made.id, record: made.record.clone() }
}
