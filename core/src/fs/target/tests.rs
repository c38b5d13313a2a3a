//! Target directories: names, modes, and links that lead out.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use serde_bytes::ByteBuf;

use super::*;
use crate::clock::Timestamp;
use crate::fs::testing;
use crate::fs::users::Users;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.0.path().join("outside")).unwrap();
        fs::write(place.outside("precious"), b"precious").unwrap();
        place
    }

    fn path(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.0.path().join("target").join(OsStr::from_bytes(name.as_ref()))
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.0.path().join("outside").join(name)
    }

    fn root(&self) -> TargetDirectory {
        Target::open(&self.path("")).unwrap().root()
    }

    /// Nothing outside has changed.
    fn assert_untouched(&self) {
        let names: Vec<_> =
            fs::read_dir(self.0.path().join("outside")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["precious"]);
        assert_eq!(fs::read(self.outside("precious")).unwrap(), b"precious");
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn plain(mode: u32) -> Metadata {
    Metadata {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        user: None,
        group: None,
        modified: Timestamp::new(1_000_000_007, 123_456_789),
        born: None,
        accessed: None,
        flags: 0,
    }
}

#[test]
fn a_missing_target_is_made() {
    let place = Place::new();
    let deep = place.path("a/b");
    Target::open(&deep).unwrap().root().create_file(b"file").unwrap();
    assert!(deep.join("file").is_file());
    fs::write(place.path("file"), b"").unwrap();
    assert_eq!(Target::open(&place.path("file")).unwrap_err().operation(), "open target directory");
}

#[test]
fn a_tree_is_written() {
    let place = Place::new();
    let root = place.root();
    let names = [&b"\xff\n-rf"[..], &[b'n'; 255], b"..."];
    for name in names {
        let directory = root.create_directory(name).unwrap();
        directory.create_file(name).unwrap().write_at(0, name).unwrap();
        directory.symlink(b"link", b"../\xff").unwrap();
        directory.fifo(b"fifo").unwrap();
        let path = place.path(name);
        assert_eq!(fs::read(path.join(OsStr::from_bytes(name))).unwrap(), name);
        assert_eq!(fs::read_link(path.join("link")).unwrap().as_os_str().as_bytes(), b"../\xff");
        assert!(fs::symlink_metadata(path.join("fifo")).unwrap().file_type().is_fifo());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(fs::metadata(path.join(OsStr::from_bytes(name))).unwrap().mode() & 0o7777, 0o600);
    }
}

#[test]
fn devices_need_privileges_and_come_out_exact() {
    let place = Place::new();
    let root = place.root();
    assert_eq!(kind(root.device(b"d", FileType::Fifo, 1, 3)), ErrorKind::InvalidInput);
    if !testing::is_root() {
        assert_eq!(kind(root.device(b"d", FileType::CharacterDevice, 1, 3)), ErrorKind::PermissionDenied);
        return;
    }
    root.device(b"c", FileType::CharacterDevice, 1, 3).unwrap();
    root.device(b"b", FileType::BlockDevice, 4095, 1_048_575).unwrap();
    let (c, b) = (fs::metadata(place.path("c")).unwrap(), fs::metadata(place.path("b")).unwrap());
    assert!(c.file_type().is_char_device() && b.file_type().is_block_device());
    assert_eq!((c.rdev(), b.rdev()), (rustix::fs::makedev(1, 3), rustix::fs::makedev(4095, 1_048_575)));
}

#[test]
fn hostile_names_are_refused_everywhere() {
    let place = Place::new();
    let root = place.root();
    root.create_file(b"file").unwrap();
    let users = Users::default();
    let options = RestoreOptions::all(&users);
    for name in [&b""[..], b".", b"..", b"../outside/x", b"a/b", b"/tmp/x", b"a\0b", b"file/"] {
        let invalid = ErrorKind::InvalidInput;
        assert_eq!(kind(root.create_directory(name)), invalid, "{name:?}");
        assert_eq!(kind(root.open_directory(name)), invalid);
        assert_eq!(kind(root.create_file(name)), invalid);
        assert_eq!(kind(root.symlink(name, b"t")), invalid);
        assert_eq!(kind(root.fifo(name)), invalid);
        assert_eq!(kind(root.device(name, FileType::BlockDevice, 1, 1)), invalid);
        assert_eq!(kind(root.hard_link(name, &root, b"file", FileType::File)), invalid);
        assert_eq!(kind(root.hard_link(b"new", &root, name, FileType::File)), invalid);
        let errors = root.set_metadata(name, FileType::File, &plain(0), &Attributes::default(), &options);
        assert_eq!(errors.iter().map(Error::kind).collect::<Vec<_>>(), [invalid]);
    }
    assert_eq!(kind(root.symlink(b"new", &[b'x'; LINK_TARGET_BYTES_MAX + 1])), ErrorKind::LimitExceeded);
    assert_eq!(root.symlink(b"new", b"").unwrap_err().operation(), "create symbolic link");
    assert_eq!(root.symlink(b"new", b"a\0b").unwrap_err().operation(), "create symbolic link");
    assert_eq!(fs::read_dir(place.path("")).unwrap().count(), 1);
    place.assert_untouched();
}

#[test]
fn symbolic_links_are_replaced_and_never_followed() {
    let place = Place::new();
    let root = place.root();
    for name in ["directory", "file", "link", "fifo"] {
        symlink("../outside", place.path(name)).unwrap();
    }
    symlink("../outside/precious", place.path("file2")).unwrap();
    assert_eq!(root.open_directory(b"directory").unwrap_err().operation(), "open directory");
    root.create_directory(b"directory").unwrap().create_file(b"inside").unwrap();
    root.create_file(b"file").unwrap().write_at(0, b"new").unwrap();
    root.create_file(b"file2").unwrap().write_at(0, b"new").unwrap();
    root.symlink(b"link", b"elsewhere").unwrap();
    root.fifo(b"fifo").unwrap();
    place.assert_untouched();
    assert!(fs::symlink_metadata(place.path("directory")).unwrap().is_dir());
    assert_eq!(fs::read(place.path("file")).unwrap(), b"new");
    assert_eq!(fs::read_link(place.path("link")).unwrap(), PathBuf::from("elsewhere"));
}

#[test]
fn a_directory_swapped_for_a_link_keeps_the_handle_where_it_was() {
    let place = Place::new();
    let directory = place.root().create_directory(b"directory").unwrap();
    fs::rename(place.path("directory"), place.path("moved")).unwrap();
    symlink("../outside", place.path("directory")).unwrap();
    directory.create_file(b"file").unwrap();
    assert!(place.path("moved/file").is_file());
    place.assert_untouched();
}

#[test]
fn an_existing_tree_is_replaced_and_others_are_left_alone() {
    let place = Place::new();
    let root = place.root();
    fs::create_dir_all(place.path("directory/full")).unwrap();
    fs::create_dir(place.path("directory/empty")).unwrap();
    fs::write(place.path("directory/other"), b"other").unwrap();
    fs::write(place.path("directory/full/x"), b"x").unwrap();
    fs::write(place.path("directory/file"), b"old and longer").unwrap();
    fs::hard_link(place.path("directory/file"), place.path("linked")).unwrap();
    fs::write(place.path("directory/was-file"), b"").unwrap();

    let directory = root.create_directory(b"directory").unwrap();
    directory.create_file(b"file").unwrap().write_at(0, b"new").unwrap();
    directory.create_file(b"empty").unwrap();
    assert_eq!(kind(directory.create_file(b"full")), ErrorKind::AlreadyExists);
    directory.create_directory(b"was-file").unwrap().create_file(b"x").unwrap();
    assert_eq!(fs::read(place.path("directory/file")).unwrap(), b"new");
    assert_eq!(fs::read(place.path("linked")).unwrap(), b"old and longer");
    assert_eq!(fs::read(place.path("directory/other")).unwrap(), b"other");
    assert_eq!(fs::read(place.path("directory/full/x")).unwrap(), b"x");
    assert!(place.path("directory/empty").is_file() && place.path("directory/was-file/x").is_file());
}

#[test]
fn hard_links_join_files_and_refuse_symbolic_links() {
    let place = Place::new();
    let root = place.root();
    let inner = root.create_directory(b"inner").unwrap();
    root.create_file(b"file").unwrap().write_at(0, b"content").unwrap();
    root.fifo(b"fifo").unwrap();
    root.symlink(b"link", b"../outside/precious").unwrap();
    symlink("../../outside", place.path("inner/taken")).unwrap();
    inner.hard_link(b"a", &root, b"file", FileType::File).unwrap();
    inner.hard_link(b"taken", &root, b"file", FileType::File).unwrap();
    inner.hard_link(b"fifo", &root, b"fifo", FileType::Fifo).unwrap();
    for _ in 0..2 {
        root.hard_link(b"file", &root, b"file", FileType::File).unwrap();
        root.hard_link(b"file", &inner, b"a", FileType::File).unwrap();
    }
    assert_eq!(fs::metadata(place.path("file")).unwrap().nlink(), 3);
    assert_eq!(fs::metadata(place.path("fifo")).unwrap().nlink(), 2);
    assert_eq!(fs::read(place.path("inner/taken")).unwrap(), b"content");
    assert_eq!(kind(root.hard_link(b"b", &root, b"link", FileType::File)), ErrorKind::InvalidInput);
    assert_eq!(kind(root.hard_link(b"b", &root, b"inner", FileType::File)), ErrorKind::InvalidInput);
    assert_eq!(kind(root.hard_link(b"b", &root, b"inner", FileType::Directory)), ErrorKind::InvalidInput);
    root.hard_link(b"b", &root, b"link", FileType::Symlink).unwrap();
    assert!(fs::symlink_metadata(place.path("b")).unwrap().is_symlink());
    fs::remove_file(place.path("b")).unwrap();
    assert_eq!(kind(root.hard_link(b"b", &root, b"missing", FileType::File)), ErrorKind::NotFound);
    assert!(fs::symlink_metadata(place.path("b")).is_err());
    place.assert_untouched();
}

#[test]
fn protected_files_are_linked_and_stay_protected() {
    if !testing::is_root() || !testing::flags_work() {
        return;
    }
    let place = Place::new();
    let root = place.root();
    let users = Users::default();
    let metadata = Metadata { flags: flag::IMMUTABLE, ..plain(0o644) };
    let file = root.create_file(b"file").unwrap();
    let path = place.path("file");
    let _unprotect = testing::Unprotect(&path);
    assert!(file.finish(&metadata, &Attributes::default(), &RestoreOptions::all(&users)).is_empty());
    assert_eq!(fs::write(&path, b"x").unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    root.hard_link(b"again", &root, b"file", FileType::File).unwrap();
    let stat = platform::stat_at(root.handle.as_fd(), b"again").unwrap();
    assert_eq!((stat.links, stat.flags), (2, flag::IMMUTABLE));
    assert_eq!(kind(root.create_file(b"file")), ErrorKind::PermissionDenied);
}

#[test]
fn metadata_is_set_by_name_only_on_what_it_is_for() {
    let place = Place::new();
    let root = place.root();
    let users = Users::default();
    let set = |name: &[u8], file_type| {
        let errors =
            root.set_metadata(name, file_type, &plain(0o640), &Attributes::default(), &RestoreOptions::all(&users));
        errors.iter().map(Error::kind).collect::<Vec<_>>()
    };
    root.symlink(b"link", b"../outside/precious").unwrap();
    root.fifo(b"fifo").unwrap();
    root.create_file(b"file").unwrap();
    root.create_directory(b"directory").unwrap();
    let before = fs::metadata(place.outside("precious")).unwrap();
    assert_eq!(set(b"link", FileType::Symlink), []);
    assert_eq!(set(b"fifo", FileType::Fifo), []);
    assert_eq!(set(b"file", FileType::File), []);
    for name in ["link", "fifo", "file"] {
        let stat = fs::symlink_metadata(place.path(name)).unwrap();
        assert_eq!((stat.mtime(), stat.mtime_nsec()), (1_000_000_007, 123_456_789), "{name}");
        assert!(name == "link" || stat.mode() & 0o7777 == 0o640, "{name}");
    }
    assert_eq!(set(b"link", FileType::File), [ErrorKind::SourceChanged]);
    assert_eq!(set(b"file", FileType::Fifo), [ErrorKind::SourceChanged]);
    assert_eq!(set(b"directory", FileType::Directory), [ErrorKind::SourceChanged]);
    assert_eq!(set(b"missing", FileType::File), [ErrorKind::NotFound]);
    let after = fs::metadata(place.outside("precious")).unwrap();
    assert_eq!((before.mode(), before.mtime(), before.ctime_nsec()), (after.mode(), after.mtime(), after.ctime_nsec()));
}

#[test]
fn what_an_existing_directory_hands_down_is_taken_off() {
    if !testing::attributes_work() || !testing::flags_work() {
        return;
    }
    let place = Place::new();
    fs::create_dir_all(place.path("directory")).unwrap();
    let handle = fs::File::open(place.path("directory")).unwrap();
    let subject = Subject::Open(handle.as_fd());
    platform::set_attribute(subject, DEFAULT_ACL, &testing::access_acl(1234)).unwrap();
    platform::set_attribute(subject, b"user.old", b"1").unwrap();
    platform::change_flags(handle.as_fd(), 0, flag::NODUMP).unwrap();

    let users = Users::default();
    let options = RestoreOptions::all(&users);
    let kept = Attributes([(ByteBuf::from(&b"user.new"[..]), ByteBuf::from(&b"1"[..]))].into());
    let directory = place.root().create_directory(b"directory").unwrap();
    let inner = directory.create_directory(b"inner").unwrap();
    let file = inner.create_file(b"file").unwrap();
    assert!(file.finish(&plain(0o644), &kept, &options).is_empty());
    assert!(inner.set_own_metadata(&plain(0o755), &kept, &options).is_empty());
    assert!(directory.set_own_metadata(&plain(0o755), &kept, &options).is_empty());
    for name in ["directory/inner/file", "directory/inner", "directory"] {
        let file = fs::File::open(place.path(name)).unwrap();
        assert_eq!(attributes::list(Subject::Open(file.as_fd())).unwrap(), b"user.new\0", "{name}");
        assert_eq!(platform::stat_open(file.as_fd()).unwrap().flags, 0, "{name}");
    }
}

#[test]
fn new_files_do_not_outlive_a_closed_directory_mode() {
    let place = Place::new();
    let users = Users::default();
    let root = place.root();
    for _ in 0..2 {
        // The second time the directory is there already, and may not be written to.
        let directory = root.create_directory(b"closed").unwrap();
        directory.create_file(b"file").unwrap();
        assert!(
            directory.set_own_metadata(&plain(0o555), &Attributes::default(), &RestoreOptions::all(&users)).is_empty()
        );
        assert_eq!(fs::metadata(place.path("closed")).unwrap().mode() & 0o7777, 0o555);
    }
    fs::set_permissions(place.path("closed"), fs::Permissions::from_mode(0o755)).unwrap();
}
