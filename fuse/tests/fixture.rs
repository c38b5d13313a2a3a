//! A repository in memory, archives of a tree, and mounts of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;

use gabion_core::archive::catalog::{Archive, Catalog};
use gabion_core::backend::Store;
use gabion_core::clock::{FixedClock, SystemClock, Timestamp};
use gabion_core::error::Result;
use gabion_core::local_state::MemoryState;
use gabion_core::ops::compact::{CompactOptions, compact};
use gabion_core::ops::create::{CreateOptions, Input, Plan, Wanted, create};
use gabion_core::ops::delete::{Remover, delete};
use gabion_core::repository::{Client, NewRepository, Repository, WriterOptions};
use gabion_fuse::{MountOptions, Shown, Stopper, View, ViewOptions, mount};
use gabion_tests::{Notes, Objects};
use tempfile::TempDir;

/// Whether this test runs as root, without which some of it would show nothing.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A place with a repository.
pub struct Place {
    directory: TempDir,
    pub objects: Objects,
    /// What the machine that collects remembers.
    collector: Arc<MemoryState>,
}

impl Place {
    pub fn new() -> Self {
        let objects = Objects::new();
        let store = Store::new(objects.backend()).unwrap();
        Repository::create(store, Client::default(), &NewRepository::plain(), &clock()).unwrap();
        Self { directory: tempfile::tempdir().unwrap(), objects, collector: Arc::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn open(&self) -> Repository {
        self.open_as(Client::default())
    }

    fn open_as(&self, client: Client) -> Repository {
        Repository::open(Store::new(self.objects.backend()).unwrap(), client, &mut |_| Ok(None)).unwrap()
    }

    /// Backs up the tree `source`, which is then the only thing at the top of the archive.
    pub fn back_up(&self, source: &str) -> Archive {
        let notes = Notes::new();
        let path = self.path(&format!("./{source}"));
        let plan = Plan::new([path.as_path()], Wanted::All);
        let created = create(&self.open(), Input::Files(&plan), &options(), &clock(), &notes).unwrap();
        assert_eq!(notes.complaints(), Vec::<String>::new());
        Archive { id: created.id, record: created.record }
    }

    /// All archives, the oldest first, named by their order.
    pub fn shown(&self) -> Vec<Shown> {
        let archives = Catalog::load(&self.open()).unwrap().archives.into_iter();
        archives
            .enumerate()
            .map(|(number, archive)| Shown { name: format!("{number}").into_bytes(), archive })
            .collect()
    }

    pub fn remove(&self, archive: &Archive) {
        delete(&self.open(), &[archive], &Remover::default(), &clock()).unwrap();
    }

    /// Collects what no archive needs; segments with any waste are rewritten. Returns how many segments went.
    pub fn collect(&self) -> u64 {
        let options = CompactOptions { threshold_percent: 0, writer: options().writer, ..CompactOptions::default() };
        let client = Client { state: self.collector.clone(), ..Client::default() };
        compact(&self.open_as(client), &options, &clock(), &Notes::new()).unwrap().deleted as u64
    }

    /// Mounts `archives` at a directory of this place.
    pub fn mount(&self, archives: Vec<Shown>, options: ViewOptions) -> Mount {
        self.mount_with(archives, options, &MountOptions::default())
    }

    pub fn mount_with(&self, archives: Vec<Shown>, options: ViewOptions, how: &MountOptions) -> Mount {
        let mountpoint = tempfile::tempdir_in(self.directory.path()).unwrap().keep();
        let notes = Arc::new(Notes::new());
        let view = View::new(&self.open(), archives, options, Arc::new(SystemClock), notes.clone()).unwrap();
        let mounted = mount(view, &mountpoint, how).unwrap();
        let stopper = mounted.stopper();
        let waiting = Some(std::thread::spawn(move || mounted.wait()));
        Mount { path: mountpoint, notes, stopper, waiting }
    }
}

/// Later than every file of a test and than every clock before.
pub fn clock() -> FixedClock {
    static NEXT: AtomicI64 = AtomicI64::new(8_000_000_000);
    FixedClock(Timestamp::new(NEXT.fetch_add(1, Ordering::Relaxed), 0))
}

fn options() -> CreateOptions {
    CreateOptions {
        name: "work".to_owned(),
        writer: WriterOptions {
            compression: "none".parse().unwrap(),
            workers: 0,
            segment_bytes: 64 << 10,
            ..WriterOptions::default()
        },
        chunker: "fixed,16384".parse().unwrap(),
        ..CreateOptions::default()
    }
}

/// Something mounted; unmounted when it is dropped.
pub struct Mount {
    path: PathBuf,
    pub notes: Arc<Notes>,
    stopper: Stopper,
    waiting: Option<JoinHandle<Result<()>>>,
}

impl Mount {
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Unmounts and waits for the end.
    pub fn end(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.stopper.stop();
            waiting.join().unwrap().unwrap();
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The end may never come when a test has failed; the mount must not stay.
            let _ = rustix::mount::unmount(&self.path, rustix::mount::UnmountFlags::DETACH);
        } else {
            self.end();
        }
    }
}

/// What a command says on both outputs; it must succeed.
#[track_caller]
pub fn run(command: &str, arguments: &[&std::ffi::OsStr]) -> String {
    let output = Command::new(command).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat().escape_ascii().to_string();
    assert!(output.status.success(), "{command} {arguments:?}: {said}");
    said
}

/// Whether a command is there; if not, what needs it is skipped, or fails if everything is required.
pub fn is_there(command: &str) -> bool {
    let there = Command::new(command).arg("--version").output().is_ok();
    if !there {
        assert!(!gabion_tests::all_required(), "{command} is not installed");
        eprintln!("skipped: {command} is not installed");
    }
    there
}
