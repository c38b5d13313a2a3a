//! How scenarios drive the engine: a few calls with everything that matters spelled out.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use gabion_core::archive::catalog::{Archive, Catalog};
use gabion_core::archive::record::ArchiveRecord;
use gabion_core::backend::{Backend, Store};
use gabion_core::clock::{FixedClock, Timestamp};
use gabion_core::crypto::key::Keyring;
use gabion_core::error::Result;
use gabion_core::local_state::{LocalState, MemoryState};
use gabion_core::ops::compact::{CompactOptions, Compacted, compact};
use gabion_core::ops::create::{Checkpoint, CreateOptions, Created, Input, Plan, Wanted, create};
use gabion_core::ops::delete::{Remover, delete};
use gabion_core::ops::extract::{ExtractOptions, extract};
use gabion_core::repository::{Client, NewRepository, Repository, WriterOptions};
use gabion_tests::{Aspects, Notes, Objects, compare};

/// The name of every archive, unless a test says otherwise.
pub const SERIES: &str = "work";

/// A repository without encryption in a new store in memory.
pub fn new_repository() -> Objects {
    let objects = Objects::new();
    let store = Store::new(objects.backend()).unwrap();
    Repository::create(store, Client::default(), &NewRepository::plain(), &clock()).unwrap();
    objects
}

/// Opens the repository.
pub fn open(backend: Arc<dyn Backend>) -> Result<Repository> {
    Repository::open(Store::new(backend)?, Client::default(), &mut |_| Ok(None))
}

/// Later than every file of a test and than every clock before: no file is ever too young to be trusted.
pub fn clock() -> FixedClock {
    static NEXT: AtomicI64 = AtomicI64::new(8_000_000_000);
    FixedClock(Timestamp::new(NEXT.fetch_add(1, Ordering::Relaxed), 0))
}

/// One thread, small segments, no compression: the same calls in the same order every time.
pub fn options() -> CreateOptions {
    CreateOptions {
        name: SERIES.to_owned(),
        writer: WriterOptions {
            compression: "none".parse().unwrap(),
            workers: 0,
            segment_bytes: 64 << 10,
            ..WriterOptions::default()
        },
        chunker: "fixed,16384".parse().unwrap(),
        checkpoint: Checkpoint { seconds: 3600, bytes: u64::MAX },
        ..CreateOptions::default()
    }
}

/// What all clients of all tests remember of the archives they made; repositories are told apart by their ids. Of
/// everything else they remember nothing, because tests turn the time of stores back.
#[derive(Debug, Default)]
struct Reported(MemoryState);

impl LocalState for Reported {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.0.get(name)
    }

    fn put(&self, name: &str, value: &[u8]) -> Result<()> {
        if name.starts_with("reported") { self.0.put(name, value) } else { Ok(()) }
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.0.remove(name)
    }

    fn list(&self) -> Result<Vec<String>> {
        self.0.list()
    }
}

fn memory() -> Arc<Reported> {
    static MEMORY: OnceLock<Arc<Reported>> = OnceLock::new();
    Arc::clone(MEMORY.get_or_init(Arc::default))
}

/// Backs up a directory, which is then the only thing at the top of the archive.
pub fn back_up(backend: Arc<dyn Backend>, source: &Path, options: &CreateOptions, notes: &Notes) -> Result<Created> {
    let client = Client { state: memory(), ..Client::default() };
    let repository = Repository::open(Store::new(backend)?, client, &mut |_| Ok(None))?;
    let mut above = source.parent().unwrap().to_owned().into_os_string();
    above.push("/./");
    above.push(source.file_name().unwrap());
    let plan = Plan::new([Path::new(&above)], Wanted::All);
    create(&repository, Input::Files(&plan), options, &clock(), notes)
}

/// As [`back_up`] with [`options`]; nothing may be wrong.
pub fn backed_up(objects: &Objects, source: &Path) -> Created {
    let notes = Notes::new();
    let created = back_up(objects.backend(), source, &options(), &notes).unwrap();
    assert_eq!(notes.complaints(), Vec::<String>::new());
    created
}

/// Restores an archive; what is wrong with single files is in the notes.
pub fn restore(backend: Arc<dyn Backend>, record: &ArchiveRecord, target: &Path, workers: usize) -> Result<Notes> {
    let repository = open(backend)?;
    let notes = Notes::new();
    let options = ExtractOptions { workers, ..ExtractOptions::default() };
    extract(&repository.session()?.reader(), record, target, &options, &notes)?;
    Ok(notes)
}

/// What is wrong with a restored archive of `source`.
pub fn differences(objects: &Objects, record: &ArchiveRecord, source: &Path) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let notes = match restore(objects.backend(), record, place.path(), 0) {
        Ok(notes) => notes,
        Err(error) => return vec![error.to_string()],
    };
    let mut wrong = notes.complaints();
    let restored = place.path().join(source.file_name().unwrap());
    match compare(source, &restored, &Aspects::default()) {
        Ok(differences) => wrong.extend(differences),
        Err(error) => wrong.push(error.to_string()),
    }
    wrong
}

/// All archives, oldest first, and how many records do not open.
pub fn archives(objects: &Objects) -> (Vec<Archive>, usize) {
    let catalog = Catalog::load(&open(objects.backend()).unwrap()).unwrap();
    (catalog.archives, catalog.unreadable.len())
}

/// Collects garbage with small segments; a segment with any waste is rewritten.
pub fn collect(backend: Arc<dyn Backend>, notes: &Notes) -> Result<Compacted> {
    let writer = options().writer;
    let options = CompactOptions { threshold_percent: 0, writer, ..CompactOptions::default() };
    compact(&open(backend)?, &options, &clock(), notes)
}

/// Removes an archive.
pub fn remove(backend: Arc<dyn Backend>, archive: &Archive) -> Result<()> {
    delete(&open(backend)?, &[archive], &Remover::default(), &clock())
}

/// The keys of a repository without encryption.
pub fn keyring(repository: &Repository) -> Keyring {
    let (slots, _) = repository.key_slots().unwrap();
    slots[0].slot.open(None, repository.id()).unwrap()
}

/// A copy of a tree with all its metadata, made by the system's own tool.
pub fn copied(from: &Path, to: &Path) -> PathBuf {
    let status = std::process::Command::new("cp").arg("-a").arg("--sparse=always").arg(from).arg(to).status().unwrap();
    assert!(status.success());
    to.to_owned()
}
