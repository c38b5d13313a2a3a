//! A client that may only add turns hostile: it has the key, and writes whatever its permissions let it write. Nothing
//! of it makes an older archive unreadable, the next collection by someone with all permissions included.

#![expect(clippy::unwrap_used, reason = "what can not be set up is a failed test")]

use std::path::Path;
use std::sync::Arc;

use gabion_backends::layer::PermitBackend;
use gabion_core::archive::catalog::Catalog;
use gabion_core::backend::{MemoryBackend, ObjectName, Payload, Permissions, Prefix, Store};
use gabion_core::clock::SystemClock;
use gabion_core::crypto::aead::Suite;
use gabion_core::crypto::key::Keyring;
use gabion_core::crypto::key_slot::KeySlot;
use gabion_core::error::ErrorKind;
use gabion_core::id::{ArchiveId, ChunkId, RepositoryId, SegmentId};
use gabion_core::index::Fragment;
use gabion_core::limits::SEGMENT_BYTES_MAX;
use gabion_core::monitor::Silent;
use gabion_core::ops::compact::{CompactOptions, compact};
use gabion_core::ops::create::{CreateOptions, Input, Plan, Wanted, create};
use gabion_core::ops::delete::{Remover, delete, remove};
use gabion_core::ops::extract::{ExtractOptions, extract};
use gabion_core::repository::{Client, NewRepository, Repository};
use gabion_core::seal::{Kind, Sealer};
use gabion_core::segment::{ChunkEntry, Directory, SegmentBuilder, SegmentRecord, open_directory};

/// A repository in memory, its owner, and a client that may only add.
struct Scene {
    place: tempfile::TempDir,
    admin: Store,
    hostile: Store,
    repository: Repository,
    keyring: Keyring,
}

impl Scene {
    /// With an old archive, and one that is about to go.
    fn new() -> Self {
        let backend = Arc::new(MemoryBackend::new());
        let admin = Store::new(Arc::clone(&backend) as _).unwrap();
        let hostile = Store::new(Arc::new(PermitBackend::strict(backend, Permissions::NoDelete))).unwrap();
        let new = NewRepository::plain();
        let repository = Repository::create(admin.clone(), Client::default(), &new, &SystemClock).unwrap();
        let slot = admin.list(&Prefix::new("keys").unwrap()).unwrap().remove(0).name;
        let bytes = admin.get_bounded(&slot, 1 << 20).unwrap();
        let slot = KeySlot::parse(&bytes, &slot.last_part().parse().unwrap()).unwrap();
        let keyring = slot.open(None, repository.id()).unwrap();
        let scene = Self { place: tempfile::tempdir().unwrap(), admin, hostile, repository, keyring };
        scene.write("a", 1);
        scene.write("b", 2);
        scene.back_up("old");
        scene.write("b", 3);
        scene.back_up("new");
        scene.write("b", 2);
        scene
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.path().join(name)
    }

    /// A file that does not compress and is cut into several chunks.
    fn write(&self, name: &str, seed: u64) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let noise = (0..400_000).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        std::fs::create_dir_all(self.path("source")).unwrap();
        std::fs::write(self.path("source").join(name), noise.collect::<Vec<_>>()).unwrap();
    }

    fn back_up(&self, name: &str) {
        let source = self.place.path().join("./source");
        let plan = Plan::new([&*source], Wanted::All);
        let options = CreateOptions { name: name.into(), ..CreateOptions::default() };
        create(&self.repository, Input::Files(&plan), &options, &SystemClock, &Silent::new()).unwrap();
    }

    fn sealer(&self) -> Sealer<'_> {
        let id: RepositoryId = *self.repository.id();
        Sealer::new(&self.keyring, id, Suite::None)
    }

    fn segments(&self) -> Vec<(SegmentRecord, Directory)> {
        let listed = self.admin.list(&Prefix::new("segments").unwrap()).unwrap();
        let open = |name: &ObjectName| {
            let id: SegmentId = name.last_part().parse().unwrap();
            open_directory(&self.sealer(), &id, &self.admin.get_bounded(name, SEGMENT_BYTES_MAX).unwrap()).unwrap()
        };
        listed.iter().map(|object| open(&object.name)).collect()
    }

    /// The hostile client publishes what it says of segments, several times: which of all fragments is read first is
    /// a matter of their random names.
    fn say(&self, segments: &[(SegmentRecord, Directory)]) {
        for _ in 0..6 {
            for fragment in Fragment::from_segments(0, segments).unwrap() {
                let (_, name, bytes) = fragment.seal(&self.sealer()).unwrap();
                self.hostile.put(&name, Payload::from(bytes)).unwrap();
            }
        }
    }

    /// The owner removes the newer archive and collects, twice; the old archive comes back as it was each time.
    fn collect_and_restore(&self) {
        self.restore();
        for _ in 0..2 {
            let catalog = Catalog::load(&self.repository).unwrap();
            let newer: Vec<_> = catalog.archives.iter().filter(|archive| archive.record.name == "new").collect();
            delete(&self.repository, &newer, &Remover::default(), &SystemClock).unwrap();
            let options = CompactOptions { threshold_percent: 0, ..CompactOptions::default() };
            compact(&self.repository, &options, &SystemClock, &Silent::new()).unwrap();
            self.restore();
        }
    }

    fn restore(&self) {
        let target = tempfile::tempdir().unwrap();
        let catalog = Catalog::load(&self.repository).unwrap();
        let old = catalog.series("old").next().unwrap();
        let reader = self.repository.session().unwrap().reader();
        extract(&reader, &old.record, target.path(), &ExtractOptions::default(), &Silent::new()).unwrap();
        for name in ["a", "b"] {
            let read = |root: &Path| std::fs::read(root.join("source").join(name)).unwrap();
            assert!(read(target.path()) == read(self.place.path()), "{name} came back differently");
        }
    }
}

/// A name that no chunk bears.
fn nothing(number: usize) -> ChunkId {
    let mut bytes = [0xee; 32];
    bytes[0] = number as u8;
    ChunkId::from_bytes(bytes)
}

#[test]
fn nothing_that_exists_is_changed_or_deleted() {
    let scene = Scene::new();
    for object in scene.admin.list(&Prefix::all()).unwrap() {
        let denied = |result: gabion_core::error::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied, "{}", object.name);
        };
        denied(scene.hostile.delete(&object.name));
        denied(scene.hostile.put(&object.name, Payload::from(vec![1; 500])));
        denied(scene.hostile.put(&object.name, Payload::default()));
    }
    for kind in [Kind::Removed, Kind::Doom, Kind::Epoch, Kind::Damage, Kind::KeySlot] {
        let name = ObjectName::new(format!("{}/{}", kind.namespace(), "ab".repeat(16))).unwrap();
        assert_eq!(scene.hostile.put(&name, vec![1].into()).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    scene.collect_and_restore();
}

#[test]
fn an_index_that_hides_the_chunks_of_segments() {
    let scene = Scene::new();
    let lies = scene.segments().into_iter().map(|(record, directory)| {
        let mut frame = directory.frames[0];
        frame.chunks = 1;
        let chunk = ChunkEntry { id: nothing(0), bytes: frame.plain_bytes };
        (record, Directory { frames: vec![frame], chunks: vec![chunk] })
    });
    scene.say(&lies.collect::<Vec<_>>());
    scene.collect_and_restore();
}

#[test]
fn an_index_that_gives_chunks_other_names() {
    let scene = Scene::new();
    let lies = scene.segments().into_iter().map(|(record, mut directory)| {
        directory.chunks.iter_mut().enumerate().for_each(|(number, chunk)| chunk.id = nothing(number));
        (record, directory)
    });
    scene.say(&lies.collect::<Vec<_>>());
    scene.collect_and_restore();
}

#[test]
fn segments_that_claim_to_hold_what_others_hold() {
    let scene = Scene::new();
    let mut claims = Vec::new();
    for (record, directory) in scene.segments() {
        let mut builder = SegmentBuilder::new(record.class);
        for chunk in &directory.chunks {
            // Uncompressed bytes of the right length, and nothing else right about them.
            builder.append(0, &vec![0x55; chunk.bytes as usize], &[*chunk]);
        }
        let finished = builder.finish(&scene.sealer()).unwrap();
        let name = ObjectName::new(format!("segments/{}", finished.record.id)).unwrap();
        scene.hostile.put(&name, Payload::from(finished.bytes)).unwrap();
        claims.push((finished.record, finished.directory));
    }
    scene.say(&claims);
    scene.collect_and_restore();
}

#[test]
fn an_index_of_segments_that_do_not_exist() {
    let scene = Scene::new();
    let claims = scene.segments().into_iter().enumerate().map(|(number, (mut record, directory))| {
        record.id = SegmentId::from_bytes([number as u8; 16]);
        (record, directory)
    });
    scene.say(&claims.collect::<Vec<_>>());
    scene.collect_and_restore();
}

#[test]
fn archives_that_can_not_be_read_stop_the_collector_and_nothing_else() {
    let scene = Scene::new();
    for kind in [Kind::Archive, Kind::Pending] {
        let sealed = scene.sealer().seal(kind, b"no record").unwrap();
        let id: String = sealed.id.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = ObjectName::new(format!("{}/{id}", kind.namespace())).unwrap();
        scene.hostile.put(&name, Payload::from(sealed.bytes)).unwrap();
        let refused = compact(&scene.repository, &CompactOptions::default(), &SystemClock, &Silent::new()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged);
        scene.restore();
        if kind == Kind::Archive {
            let id = ArchiveId::from_bytes(sealed.id);
            remove(&scene.repository, &id, None, &Remover::default(), &SystemClock).unwrap();
        } else {
            scene.admin.delete(&name).unwrap();
        }
    }
    scene.collect_and_restore();
}
