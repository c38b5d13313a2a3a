//! The local backend: the contract, and what only a directory can show.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use gabion_core::backend::conformance::{Options, check};
use gabion_core::error::Retry;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::*;

const ID: &str = "ab0123456789abcdef0123456789abcd";

/// A repository directory, a backend on it and blocking calls of the backend.
struct Fixture {
    backend: Arc<LocalBackend>,
    path: PathBuf,
    runtime: Runtime,
    _place: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("repository");
        Self::at(place, path)
    }

    fn at(place: TempDir, path: PathBuf) -> Self {
        let backend = Arc::new(LocalBackend::create(&path).unwrap());
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { backend, path, runtime, _place: place }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.runtime.block_on(self.backend.put(&named(name), Payload::from(bytes.to_vec()), PutMode::Write))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.runtime.block_on(self.backend.put(&named(name), Payload::from(bytes.to_vec()), PutMode::ReplaceExisting))
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        self.runtime.block_on(self.backend.get(&named(name), ByteRange::WHOLE))
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.runtime.block_on(self.backend.delete(&named(name)))
    }

    fn list(&self, prefix: &Prefix) -> Result<Vec<String>> {
        let listed: Vec<ObjectMeta> = self.runtime.block_on(self.backend.list(prefix).try_collect())?;
        let mut names: Vec<_> = listed.into_iter().map(|object| object.name.to_string()).collect();
        names.sort();
        Ok(names)
    }

    /// Names of temporary files in the whole directory.
    fn temporary_files(&self) -> Vec<PathBuf> {
        fn walk(path: PathBuf, found: &mut Vec<PathBuf>) {
            if path.is_dir() {
                fs::read_dir(path).unwrap().for_each(|entry| walk(entry.unwrap().path(), found));
            } else if path.file_name().unwrap().to_str().unwrap().starts_with('.') {
                found.push(path);
            }
        }
        let mut found = Vec::new();
        walk(self.path.clone(), &mut found);
        found
    }
}

fn named(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

#[test]
fn keeps_the_contract() {
    let fixture = Fixture::new();
    let options = if all_required() { Options::full() } else { Options::quick() };
    let report = fixture.runtime.block_on(check(fixture.backend.clone(), options));
    assert!(report.is_clean(), "{report}");
    assert_eq!(fixture.list(&Prefix::all()).unwrap(), Vec::<String>::new());
    assert_eq!(fixture.temporary_files(), Vec::<PathBuf>::new());
}

#[test]
fn keeps_the_contract_where_segments_fan_out() {
    let fixture = Fixture::new();
    let options = Options { top: Some("segments".to_owned()), ..Options::quick() };
    let report = fixture.runtime.block_on(check(fixture.backend.clone(), options));
    assert!(report.is_clean(), "{report}");
    assert_eq!(fixture.list(&Prefix::all()).unwrap(), Vec::<String>::new());
}

#[test]
fn a_new_directory_has_256_folders_for_segments() {
    let fixture = Fixture::new();
    assert_eq!(fs::read_dir(fixture.path.join("segments")).unwrap().count(), 256);
    fixture.put(&format!("segments/{ID}"), b"segment").unwrap();
    assert_eq!(fs::read(fixture.path.join("segments/ab").join(ID)).unwrap(), b"segment");
    assert_eq!(fixture.list(&Prefix::new("segments").unwrap()).unwrap(), [format!("segments/{ID}")]);
    // The place of one object is not another object, even though the name would be valid.
    let error = fixture.put(&format!("segments/ab/{ID}"), b"other").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn folders_that_are_missing_are_made_again() {
    let fixture = Fixture::new();
    fs::remove_dir_all(fixture.path.join("segments")).unwrap();
    fixture.put(&format!("segments/{ID}"), b"segment").unwrap();
    assert_eq!(fs::read_dir(fixture.path.join("segments")).unwrap().count(), 256);
    fixture.put("gc/doom/1", b"").unwrap();
    fs::remove_dir_all(fixture.path.join("gc")).unwrap();
    fixture.put("gc/doom/2", b"").unwrap();
    assert_eq!(fixture.list(&Prefix::new("gc").unwrap()).unwrap(), ["gc/doom/2"]);
}

#[test]
fn a_directory_that_holds_something_is_only_opened() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("thesis"), "text").unwrap();
    LocalBackend::create(place.path()).unwrap();
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn places_without_a_directory_are_told_apart() {
    let place = tempfile::tempdir().unwrap();
    let (missing, deep, file) = (place.path().join("x"), place.path().join("x/y/z"), place.path().join("file"));
    fs::write(&file, "").unwrap();
    assert_eq!(LocalBackend::open(&missing).unwrap_err().kind(), ErrorKind::RepositoryNotFound);
    assert_eq!(LocalBackend::open(&file).unwrap_err().kind(), ErrorKind::NotARepository);
    assert_eq!(LocalBackend::create(&file).unwrap_err().kind(), ErrorKind::NotARepository);
    let error = LocalBackend::create(&deep).unwrap_err();
    assert_eq!((error.kind(), error.context("path")), (ErrorKind::NotFound, place.path().join("x/y").to_str()));
}

#[test]
fn a_removed_directory_is_no_empty_repository() {
    let fixture = Fixture::new();
    fs::remove_dir_all(&fixture.path).unwrap();
    for prefix in [Prefix::all(), Prefix::new("archives").unwrap()] {
        assert_eq!(fixture.list(&prefix).unwrap_err().kind(), ErrorKind::RepositoryNotFound);
    }
    for result in [fixture.get("config").map(drop), fixture.get("a/b").map(drop), fixture.put("config", b"")] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::RepositoryNotFound);
    }
}

#[test]
fn what_is_no_object_is_neither_listed_nor_touched() {
    let fixture = Fixture::new();
    let foreign = [
        ".tmp-0123",
        "README",
        "lost+found/x",
        "archives/.tmp-0123",
        "archives/Copy of 1",
        "archives/a b",
        &format!("segments/{ID}"),
        "a/b/c/d",
        "segments/ab/.nfs0001",
    ];
    for file in foreign {
        let path = fixture.path.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "foreign").unwrap();
    }
    symlink("nowhere", fixture.path.join("archives/.link")).unwrap();
    symlink("nowhere", fixture.path.join("Link to photos")).unwrap();
    fixture.put("archives/1", b"archive").unwrap();
    fixture.put("config", b"config").unwrap();
    assert_eq!(fixture.list(&Prefix::all()).unwrap(), ["archives/1", "config"]);
    assert_eq!(fixture.list(&Prefix::new("archives").unwrap()).unwrap(), ["archives/1"]);
    for file in foreign {
        assert_eq!(fs::read(fixture.path.join(file)).unwrap(), b"foreign", "{file}");
    }
}

#[test]
fn the_ruin_of_a_put_is_replaced() {
    let fixture = Fixture::new();
    fixture.put("archives/1", b"whole").unwrap();
    for ruin in ["who", "", "whule", "whole and more"] {
        fs::write(fixture.path.join("archives/1"), ruin).unwrap();
        fixture.put("archives/1", b"whole").unwrap();
        assert_eq!(fixture.get("archives/1").unwrap(), "whole");
    }
    assert_eq!(fixture.temporary_files(), Vec::<PathBuf>::new());
}

#[test]
fn the_same_put_again_leaves_the_file_alone() {
    use std::os::unix::fs::MetadataExt;
    let fixture = Fixture::new();
    fixture.put("archives/1", b"whole").unwrap();
    let before = fs::metadata(fixture.path.join("archives/1")).unwrap();
    assert_eq!(before.permissions().mode() & 0o177, 0, "for the owner alone");
    fixture.put("archives/1", b"whole").unwrap();
    let after = fs::metadata(fixture.path.join("archives/1")).unwrap();
    assert_eq!(before.ino(), after.ino());
    assert_eq!(fixture.temporary_files(), Vec::<PathBuf>::new());
}

#[test]
fn links_in_place_of_objects_are_not_followed() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    fixture.put("archives/1", b"archive").unwrap();
    symlink(&secret, fixture.path.join("archives/2")).unwrap();
    for result in [
        fixture.get("archives/2").map(drop),
        fixture.runtime.block_on(fixture.backend.head(&named("archives/2"))).map(drop),
        fixture.put("archives/2", b"overwritten"),
        fixture.replace("archives/2", b"overwritten"),
        fixture.list(&Prefix::new("archives").unwrap()).map(drop),
    ] {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Damaged, Retry::Permanent), "{error}");
    }
    fixture.delete("archives/2").unwrap();
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
    assert_eq!(fixture.list(&Prefix::all()).unwrap(), ["archives/1"]);
    assert_eq!(fixture.temporary_files(), Vec::<PathBuf>::new());
}

#[test]
fn links_in_place_of_folders_are_not_followed() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join(ID), "outside").unwrap();
    fs::remove_dir(fixture.path.join("segments/ab")).unwrap();
    symlink(outside.path(), fixture.path.join("segments/ab")).unwrap();
    symlink(outside.path(), fixture.path.join("archives")).unwrap();
    for name in [format!("segments/{ID}"), format!("archives/{ID}")] {
        for result in [fixture.get(&name).map(drop), fixture.put(&name, b"new"), fixture.delete(&name)] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Damaged, "{name}");
        }
    }
    for prefix in ["segments", "archives"] {
        let error = fixture.list(&Prefix::new(prefix).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "an empty list would look as if all were deleted");
    }
    assert_eq!(fs::read(outside.path().join(ID)).unwrap(), b"outside");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn folders_and_pipes_in_place_of_objects_are_errors() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.path.join("archives/1")).unwrap();
    let pipe = fixture.path.join("archives/2");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for name in ["archives/1", "archives/2"] {
        assert_eq!(fixture.get(name).unwrap_err().kind(), ErrorKind::Damaged, "{name}");
        assert_eq!(fixture.put(name, b"x").unwrap_err().kind(), ErrorKind::Damaged, "{name}");
    }
    assert_eq!(fixture.delete("archives/1").unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(fixture.put("archives/2/x", b"x").unwrap_err().kind(), ErrorKind::Damaged);
    fixture.put("config", b"x").unwrap();
    assert_eq!(fixture.put("config/x", b"x").unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fixture.get("config/x").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fixture.temporary_files(), Vec::<PathBuf>::new());
}

#[test]
fn two_openings_see_each_other() {
    let fixture = Fixture::new();
    let other = LocalBackend::open(&fixture.path).unwrap();
    fixture.put("archives/1", b"archive").unwrap();
    let got = fixture.runtime.block_on(other.get(&named("archives/1"), ByteRange::WHOLE)).unwrap();
    assert_eq!(got, "archive");
    fixture.runtime.block_on(other.delete(&named("archives/1"))).unwrap();
    assert_eq!(fixture.get("archives/1").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn objects_beyond_the_limit_are_refused_before_they_cost_memory() {
    let fixture = Fixture::new();
    let piece = Bytes::from(vec![0; 1 << 20]);
    let huge = Payload::from_pieces(vec![piece; 1025]);
    let error = fixture.runtime.block_on(fixture.backend.put(&named("a/b"), huge, PutMode::Write)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    // A file that claims a terabyte: sparse, so that it costs nothing.
    fixture.put("a/b", b"").unwrap();
    fs::File::options().write(true).open(fixture.path.join("a/b")).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(fixture.get("a/b").unwrap_err().kind(), ErrorKind::LimitExceeded);
    let range = ByteRange::Exact { offset: 1 << 39, length: 10 };
    assert_eq!(fixture.runtime.block_on(fixture.backend.get(&named("a/b"), range)).unwrap(), [0; 10][..]);
}

#[test]
fn a_list_needs_no_runtime_before_it_is_read() {
    let fixture = Fixture::new();
    fixture.put("config", b"x").unwrap();
    let list = fixture.backend.list(&Prefix::all());
    let read = fixture.runtime.block_on(list.collect::<Vec<_>>());
    assert_eq!(read.len(), 1);
    let homeless = futures_util::FutureExt::now_or_never(fixture.backend.get(&named("config"), ByteRange::WHOLE));
    assert_eq!(homeless.unwrap().unwrap_err().kind(), ErrorKind::System);
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    let Some(mounted) = Mounted::tmpfs("size=1m") else { return };
    let fixture = Fixture::at(tempfile::tempdir().unwrap(), mounted.path.path().join("repository"));
    assert!(!fixture.backend.capabilities().durable, "memory is not");
    fixture.put("archives/1", &[1; 400_000]).unwrap();
    for _ in 0..3 {
        for name in [format!("segments/{ID}"), "archives/2".to_owned()] {
            let error = fixture.put(&name, &[2; 2_000_000]).unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::NoSpace, Retry::Permanent));
            assert_eq!(error.context("object"), Some(name.as_str()));
        }
    }
    assert_eq!(fixture.replace("archives/1", &[3; 2_000_000]).unwrap_err().kind(), ErrorKind::NoSpace);
    assert_eq!(fixture.temporary_files(), Vec::<PathBuf>::new());
    assert_eq!(fixture.list(&Prefix::all()).unwrap(), ["archives/1"]);
    // What fits still fits, and room can be made.
    fixture.put("archives/2", &[2; 200_000]).unwrap();
    fixture.delete("archives/1").unwrap();
    fixture.put("archives/3", &[3; 600_000]).unwrap();
    drop(fixture);
}

#[test]
fn a_read_only_disk_denies_permission() {
    let Some(mounted) = Mounted::tmpfs("size=10m") else { return };
    let path = mounted.path.path().join("repository");
    let fixture = Fixture::at(tempfile::tempdir().unwrap(), path);
    fixture.put("archives/1", b"archive").unwrap();
    mounted.make_read_only();
    for result in [
        fixture.put("archives/1", b"archive"),
        fixture.put("archives/2", b"new"),
        fixture.put("new/1", b"new"),
        fixture.replace("archives/1", b"new"),
        fixture.delete("archives/1"),
        LocalBackend::create(&mounted.path.path().join("new")).map(drop),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    let reopened = LocalBackend::open(&fixture.path).unwrap();
    let got = fixture.runtime.block_on(reopened.get(&named("archives/1"), ByteRange::WHOLE)).unwrap();
    assert_eq!(got, "archive");
    assert_eq!(fixture.list(&Prefix::all()).unwrap(), ["archives/1"]);
}

/// A small file system, unmounted at the end.
struct Mounted {
    path: TempDir,
}

impl Mounted {
    /// `None`, with a word about it, where mounting is not permitted.
    fn tmpfs(options: &str) -> Option<Self> {
        let path = tempfile::tempdir().unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path.path()).output();
        if status.is_ok_and(|output| output.status.success()) {
            return Some(Self { path });
        }
        assert!(!all_required(), "mount is not permitted, and GABION_TEST_REQUIRE=all");
        eprintln!("skipped: mount is not permitted");
        None
    }

    fn make_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(self.path.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("--lazy").arg(self.path.path()).status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

fn all_required() -> bool {
    std::env::var_os("GABION_TEST_REQUIRE").is_some_and(|value| value == "all")
}

#[test]
fn what_a_killed_put_left_goes_after_two_weeks() {
    let fixture = Fixture::new();
    let temporary = |digit: &str| format!(".tmp-{}", digit.repeat(32));
    fixture.put(&format!("segments/{ID}"), b"segment").unwrap();
    let days_ago = |name: &str, days: u64| {
        let path = fixture.path.join(name);
        fs::write(&path, "half").unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 24 * 60 * 60);
        fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
        path
    };
    let old = [temporary("0"), format!("segments/ab/{}", temporary("a"))].map(|name| days_ago(&name, 15));
    let stay = [
        days_ago(&temporary("1"), 13),
        days_ago(&format!("segments/ab/{}", temporary("b")), 0),
        days_ago(".tmp-notes", 99),
        days_ago(&format!("{}.txt", temporary("2")), 99),
        days_ago("segments/ab/notes", 99),
    ];
    let link = fixture.path.join(temporary("3"));
    symlink("nowhere", &link).unwrap();
    fixture.put("gc/probe/x", b"x").unwrap();
    fixture.delete("gc/probe/x").unwrap();
    assert!(old.iter().all(|path| path.exists()), "nobody has listed anything");
    fixture.list(&Prefix::all()).unwrap();
    fixture.delete("gc/probe/none").unwrap();
    assert!(old.iter().all(|path| path.exists()), "nothing was deleted");
    fixture.put("gc/probe/y", b"y").unwrap();
    fixture.delete("gc/probe/y").unwrap();
    assert!(!old.iter().any(|path| path.exists()));
    assert!(stay.iter().all(|path| path.exists()) && link.symlink_metadata().is_ok());
    assert_eq!(fixture.get(&format!("segments/{ID}")).unwrap(), &b"segment"[..]);
}
