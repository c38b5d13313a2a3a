//! A repository that has seen something of life, and what can be done to its objects.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gabion_core::backend::Store;
use gabion_core::crypto::kdf::KdfParams;
use gabion_core::id::SegmentId;
use gabion_core::ops::create::CreateOptions;
use gabion_core::repository::{Client, KeyLocation, NewRepository, NewSlot, Repository};
use gabion_core::segment::Class;
use gabion_tests::{FaultyBackend, HookedBackend, Method, Notes, Objects, Random, WriteFault};

use crate::engine::{archives, back_up, backed_up, clock, collect, new_repository, open, options, remove};

/// A part of a repository that may be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Config,
    Key,
    /// A data segment; where in it a bit flips.
    Data(Spot),
    /// A tree segment.
    Tree(Spot),
    Index,
    /// The record of the newest archive.
    Archive,
    Pending,
    Doom,
}

/// A place in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    Head,
    Middle,
    Directory,
    Tail,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    Delete,
    Truncate,
    /// One bit.
    Flip,
    /// With the longest other one of its kind.
    Swap,
    /// With the longest segment that a collector has doomed.
    SwapDoomed,
    /// An older object of its kind, deleted since, comes back.
    Replay,
}

/// A repository and its past.
pub struct Scene {
    pub place: tempfile::TempDir,
    pub source: PathBuf,
    pub objects: Objects,
    /// What was deleted.
    past: Objects,
}

impl Scene {
    /// Two archives and one that was removed and collected, a key that was removed, two pendings nobody finished, and
    /// the dooms of two collectors that died.
    pub fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("tree");
        std::fs::create_dir_all(source.join("below")).unwrap();
        let scene = Self { place, source, objects: new_repository(), past: Objects::new() };
        let mut random = Random::new(17);
        scene.write("old", 5, &mut random);
        backed_up(&scene.objects, &scene.source);
        std::fs::remove_file(scene.source.join("old 1")).unwrap();
        scene.write("file", 3, &mut random);
        scene.run(|backend| back_up(backend, &scene.source, &options(), &Notes::new()).map(|_| ()).unwrap());
        let first = archives(&scene.objects).0.remove(0);
        scene.run(|backend| remove(backend, &first).unwrap());
        scene.run(|backend| collect(backend, &Notes::new()).map(|_| ()).unwrap());
        scene.write("new", 2, &mut random);
        scene.run(|backend| back_up(backend, &scene.source, &options(), &Notes::new()).map(|_| ()).unwrap());
        scene.keys();
        scene.unfinished();
        scene.dooms(&mut random);
        scene
    }

    /// Does something, and remembers what it deletes.
    fn run(&self, work: impl FnOnce(Arc<HookedBackend>)) {
        let (objects, past) = (self.objects.clone(), self.past.clone());
        work(Arc::new(HookedBackend::new(self.objects.backend(), move |method, name| {
            if let (Method::Delete, Ok(bytes)) = (method, objects.get(name)) {
                past.put(name, bytes).unwrap();
            }
        })));
    }

    fn write(&self, name: &str, files: usize, random: &mut Random) {
        for number in 0..files {
            std::fs::write(self.source.join(format!("{name} {number}")), random.bytes(70_000)).unwrap();
            std::fs::write(self.source.join(format!("below/{name} {number}")), random.bytes(2_000)).unwrap();
        }
    }

    fn keys(&self) {
        self.run(|backend| {
            let repository = open(backend).unwrap();
            let slot = NewSlot {
                passphrase: None,
                kdf: KdfParams::weak_for_tests(),
                label: String::new(),
                location: KeyLocation::Repository,
            };
            let added = repository.add_key(&slot, &clock()).unwrap();
            repository.remove_key(KeyLocation::Repository, &added).unwrap();
        });
    }

    /// Clients that die when they would put the archive leave two pendings each.
    fn unfinished(&self) {
        let fork = self.objects.fork().unwrap();
        let counting = FaultyBackend::new(fork.fork().unwrap().backend());
        // Without a base nothing is known to be unchanged, and the complete root is announced too.
        let stranger = CreateOptions { name: "unfinished".into(), host: "elsewhere".into(), ..options() };
        back_up(Arc::new(counting.clone()), &self.source, &stranger, &Notes::new()).unwrap();
        // the archive, its two pendings; nothing is stored
        let dies = FaultyBackend::new(self.objects.backend()).on_write(counting.writes() - 2, WriteFault::DieBefore);
        back_up(Arc::new(dies), &self.source, &stranger, &Notes::new()).unwrap_err();
        assert!(!self.objects.names("pending").unwrap().is_empty());
    }

    /// Two collectors that die as soon as their doom is there.
    fn dooms(&self, random: &mut Random) {
        for round in 0..2 {
            let waste = self.place.path().join(format!("waste {round}"));
            std::fs::create_dir(&waste).unwrap();
            std::fs::write(waste.join("waste"), random.bytes(70_000)).unwrap();
            let created = backed_up(&self.objects, &waste);
            let archive = archives(&self.objects).0.into_iter().find(|archive| archive.id == created.id).unwrap();
            remove(self.objects.backend(), &archive).unwrap();
            let dooms = self.objects.names("gc/doom").unwrap().len();
            for number in 1.. {
                let fork = self.objects.fork().unwrap();
                let dies = FaultyBackend::new(fork.backend()).on_write(number, WriteFault::DieAfter);
                collect(Arc::new(dies), &Notes::new()).unwrap_err();
                if fork.names("gc/doom").unwrap().len() > dooms {
                    let dies = FaultyBackend::new(self.objects.backend()).on_write(number, WriteFault::DieAfter);
                    collect(Arc::new(dies), &Notes::new()).unwrap_err();
                    break;
                }
            }
        }
    }

    /// The objects of a part: all segments of its class that an archive may need, or the newest of its kind.
    pub fn objects_of(&self, part: Part, harm: Harm) -> Vec<String> {
        let names = |prefix: &str| self.objects.names(prefix).unwrap();
        if harm == Harm::Replay {
            let old = self.past.names(part.prefix()).unwrap();
            return old.into_iter().filter(|name| part.fits(name, &self.past)).take(3).collect();
        }
        match part {
            Part::Archive => {
                let newest = archives(&self.objects).0.pop().unwrap();
                vec![format!("archives/{}", newest.id)]
            }
            _ => {
                let mut all = names(part.prefix());
                // That a doomed segment is gone harms nobody.
                let alive = matches!(harm, Harm::Delete | Harm::Swap | Harm::SwapDoomed);
                all.retain(|name| part.fits(name, &self.objects) && !(alive && self.is_doomed(name)));
                all
            }
        }
    }

    fn is_doomed(&self, name: &str) -> bool {
        let session = open(self.objects.backend()).unwrap().session().unwrap();
        name.strip_prefix("segments/").is_some_and(|id| session.is_doomed(&id.parse().unwrap()))
    }

    /// Does it to a copy of the repository.
    pub fn harmed(&self, part: Part, harm: Harm, name: &str) -> Objects {
        let objects = self.objects.fork().unwrap();
        let bytes = || self.objects.get(name).unwrap();
        match harm {
            Harm::Delete => objects.remove(name).unwrap(),
            Harm::Truncate => objects.put(name, bytes().slice(..bytes().len() / 2)).unwrap(),
            Harm::Flip => {
                let (mut spoilt, at) = (bytes().to_vec(), part.flip_at(name, &self.objects));
                spoilt[at] ^= 0x10;
                objects.put(name, spoilt).unwrap();
            }
            Harm::Swap | Harm::SwapDoomed => {
                let all = objects.names(part.prefix()).unwrap();
                let doomed = harm == Harm::SwapDoomed;
                let fits = |other: &&String| {
                    *other != name && part.fits(other, &self.objects) && self.is_doomed(other) == doomed
                };
                // The list tells when one became shorter.
                let bytes_of = |other: &&String| objects.get(other).unwrap().len();
                let other = all.iter().filter(fits).max_by_key(bytes_of).expect("another of its kind");
                objects.put(name, objects.get(other).unwrap()).unwrap();
                objects.put(other, bytes()).unwrap();
            }
            Harm::Replay if part == Part::Config => objects.put(name, other_config()).unwrap(),
            Harm::Replay => objects.put(name, self.past.get(name).unwrap()).unwrap(),
        }
        objects
    }
}

impl Part {
    fn prefix(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "keys",
            Self::Data(_) | Self::Tree(_) => "segments",
            Self::Index => "index",
            Self::Archive => "archives",
            Self::Pending => "pending",
            Self::Doom => "gc/doom",
        }
    }

    /// Whether an object with this prefix is of this part: segments have their class in their header.
    fn fits(self, name: &str, objects: &Objects) -> bool {
        let class = |class: Class| objects.get(name).unwrap()[4] == class as u8;
        match self {
            Self::Data(_) => class(Class::Data),
            Self::Tree(_) => class(Class::Tree),
            _ => true,
        }
    }

    /// The byte with the bit that flips.
    fn flip_at(self, name: &str, objects: &Objects) -> usize {
        let length = objects.get(name).unwrap().len();
        let (Self::Data(spot) | Self::Tree(spot)) = self else { return length / 2 };
        let id: SegmentId = name.strip_prefix("segments/").unwrap().parse().unwrap();
        let (_, directory) = open(objects.backend()).unwrap().segment_directory(&id).unwrap();
        let frames: usize = directory.frames.iter().map(|frame| frame.stored_bytes as usize).sum();
        match spot {
            Spot::Head => 20,
            Spot::Middle => 72 + frames / 2,
            Spot::Directory => 72 + frames + 3,
            Spot::Tail => length - 60,
        }
    }
}

/// The configuration of another repository.
fn other_config() -> bytes::Bytes {
    let other = Objects::new();
    Repository::create(Store::new(other.backend()).unwrap(), Client::default(), &NewRepository::plain(), &clock())
        .unwrap();
    other.get("config").unwrap()
}

/// Where the tree of an archive lies when it was restored to `target`.
pub fn restored(target: &Path) -> PathBuf {
    target.join("tree")
}
