//! Source directories: names, races, tags, attributes.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use serde_bytes::ByteBuf;

use super::*;
use crate::archive::metadata::FileType;
use crate::clock::Timestamp;
use crate::fs::stat::FileKind;
use crate::fs::target::Target;
use crate::fs::testing;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.0.path().join(OsStr::from_bytes(name.as_ref()))
    }

    fn open(&self) -> SourceDirectory {
        SourceDirectory::open(self.0.path()).unwrap()
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn names_are_bytes_sorted_and_complete() {
    let place = Place::new();
    let long = [b'n'; 255];
    let mut expected = vec![&b"-rf"[..], b" ", b"a", b"a\nb", b"ab", b"\xff\xfe\x80", b"...", &long];
    for name in &expected {
        fs::write(place.path(name), b"").unwrap();
    }
    expected.sort();
    let names = place.open().names().unwrap();
    assert_eq!(names.iter().collect::<Vec<_>>(), expected);
    assert_eq!((names.len(), names.get(0), names.get(8)), (8, Some(&b" "[..]), None));
    assert!(names.contains(b"a\nb") && names.contains(&long) && !names.contains(b"b") && !names.contains(b"."));
    for name in names.iter() {
        assert!(place.open().stat(name).unwrap().is_file());
    }
}

#[test]
fn an_empty_directory_has_no_names_and_listing_can_be_repeated() {
    let place = Place::new();
    let directory = place.open();
    assert!(directory.names().unwrap().is_empty());
    fs::write(place.path("new"), b"").unwrap();
    assert_eq!(directory.names().unwrap().len(), 1);
    assert_eq!(directory.names().unwrap().len(), 1);
}

#[test]
fn listings_longer_than_one_buffer_are_complete() {
    let place = Place::new();
    for number in 0..3000 {
        fs::write(place.path(format!("{number:0100}")), b"").unwrap();
    }
    let names = place.open().names().unwrap();
    assert_eq!(names.len(), 3000);
    assert!(names.iter().enumerate().all(|(number, name)| name == format!("{number:0100}").as_bytes()));
}

#[test]
fn doubled_names_count_once() {
    let mut names = Names::default();
    for name in [&b"b"[..], b"", b"a", b".", b"b", b"..", b"a"] {
        names.push(name);
    }
    names.sort().unwrap();
    assert_eq!(names.iter().collect::<Vec<_>>(), [b"a", b"b"]);
}

#[test]
fn every_kind_of_file_is_known() {
    let place = Place::new();
    let target = Target::open(place.0.path()).unwrap().root();
    fs::write(place.path("file"), b"").unwrap();
    fs::create_dir(place.path("directory")).unwrap();
    symlink("nowhere", place.path("symlink")).unwrap();
    target.fifo(b"fifo").unwrap();
    let _socket = UnixListener::bind(place.path("socket")).unwrap();
    let mut expected = vec![
        ("file", FileKind::Stored(FileType::File)),
        ("directory", FileKind::Stored(FileType::Directory)),
        ("symlink", FileKind::Stored(FileType::Symlink)),
        ("fifo", FileKind::Stored(FileType::Fifo)),
        ("socket", FileKind::Socket),
    ];
    if testing::is_root() {
        target.device(b"character", FileType::CharacterDevice, 1, 3).unwrap();
        target.device(b"block", FileType::BlockDevice, 259, 70_000).unwrap();
        expected.push(("character", FileKind::Stored(FileType::CharacterDevice)));
        expected.push(("block", FileKind::Stored(FileType::BlockDevice)));
        assert_eq!(place.open().stat(b"character").unwrap().rdev, (1, 3));
        assert_eq!(place.open().stat(b"block").unwrap().rdev, (259, 70_000));
    }
    for (name, kind) in expected {
        assert_eq!(place.open().stat(name.as_bytes()).unwrap().file_type, kind, "{name}");
    }
    assert!(fs::metadata(place.path("fifo")).unwrap().file_type().is_fifo());
}

#[test]
fn stat_tells_what_the_system_knows() {
    let place = Place::new();
    fs::write(place.path("file"), vec![1; 10_000]).unwrap();
    fs::hard_link(place.path("file"), place.path("again")).unwrap();
    fs::set_permissions(place.path("file"), fs::Permissions::from_mode(0o6751)).unwrap();
    let time = std::time::UNIX_EPOCH - std::time::Duration::from_nanos(1);
    File::open(place.path("file")).unwrap().set_modified(time).unwrap();

    let stat = place.open().stat(b"file").unwrap();
    let expected = fs::metadata(place.path("file")).unwrap();
    assert_eq!((stat.mode, stat.size, stat.links, stat.blocks), (0o6751, 10_000, 2, expected.blocks()));
    assert_eq!(
        (stat.uid, stat.gid, stat.inode, stat.device),
        (expected.uid(), expected.gid(), expected.ino(), expected.dev())
    );
    assert_eq!(stat.modified, Timestamp::new(-1, 999_999_999));
    assert_eq!(stat.changed, Timestamp::new(expected.ctime(), expected.ctime_nsec() as u32));
    assert_eq!(stat.accessed, Timestamp::new(expected.atime(), expected.atime_nsec() as u32));
    assert_eq!(stat.born, expected.created().ok().map(Timestamp::from_system));
    assert_eq!(stat, place.open().stat(b"again").unwrap());
    assert_eq!(kind(place.open().stat(b"missing")), ErrorKind::NotFound);
}

#[test]
fn the_root_may_be_a_symbolic_link_and_entries_may_not() {
    let place = Place::new();
    fs::create_dir(place.path("real")).unwrap();
    symlink("real", place.path("link")).unwrap();
    SourceDirectory::open(&place.path("link")).unwrap();
    let directory = place.open();
    let (real, link) = (directory.stat(b"real").unwrap(), directory.stat(b"link").unwrap());
    directory.open_directory(b"real", &real).unwrap();
    assert_eq!(kind(directory.open_directory(b"link", &real)), ErrorKind::SourceChanged);
    assert_eq!(kind(directory.open_directory(b"link", &link)), ErrorKind::SourceChanged);
    assert_eq!(kind(directory.open_file(b"link", &link)), ErrorKind::SourceChanged);
    assert_eq!(kind(SourceDirectory::open(&place.path("missing"))), ErrorKind::NotFound);
}

#[test]
fn a_directory_replaced_meanwhile_is_noticed() {
    let place = Place::new();
    fs::create_dir(place.path("a")).unwrap();
    fs::create_dir(place.path("other")).unwrap();
    fs::create_dir(place.path("outside")).unwrap();
    let directory = place.open();
    let stat = directory.stat(b"a").unwrap();
    fs::rename(place.path("a"), place.path("b")).unwrap();
    assert_eq!(kind(directory.open_directory(b"a", &stat)), ErrorKind::NotFound);
    symlink("outside", place.path("a")).unwrap();
    assert_eq!(kind(directory.open_directory(b"a", &stat)), ErrorKind::SourceChanged);
    fs::remove_file(place.path("a")).unwrap();
    fs::rename(place.path("other"), place.path("a")).unwrap();
    assert_eq!(kind(directory.open_directory(b"a", &stat)), ErrorKind::SourceChanged);
    directory.open_directory(b"b", &stat).unwrap();
}

#[test]
fn a_file_replaced_meanwhile_is_noticed_and_nothing_waits() {
    let place = Place::new();
    fs::write(place.path("file"), b"content").unwrap();
    fs::write(place.path("other"), b"secret!").unwrap();
    let directory = place.open();
    let stat = directory.stat(b"file").unwrap();
    let mut file = directory.open_file(b"file", &stat).unwrap();
    fs::rename(place.path("file"), place.path("kept")).unwrap();

    assert_eq!(kind(directory.open_file(b"file", &stat)), ErrorKind::NotFound);
    // Nobody writes to this pipe: opening it carelessly would wait for ever.
    Target::open(place.0.path()).unwrap().root().fifo(b"file").unwrap();
    assert_eq!(kind(directory.open_file(b"file", &stat)), ErrorKind::SourceChanged);
    fs::remove_file(place.path("file")).unwrap();
    symlink("other", place.path("file")).unwrap();
    assert_eq!(kind(directory.open_file(b"file", &stat)), ErrorKind::SourceChanged);
    fs::remove_file(place.path("file")).unwrap();
    let _socket = UnixListener::bind(place.path("file")).unwrap();
    assert_eq!(kind(directory.open_file(b"file", &stat)), ErrorKind::SourceChanged);
    fs::remove_file(place.path("file")).unwrap();
    fs::rename(place.path("other"), place.path("file")).unwrap();
    assert_eq!(kind(directory.open_file(b"file", &stat)), ErrorKind::SourceChanged);

    let mut buffer = [0; 10];
    assert_eq!(file.read(&mut buffer).unwrap(), 7);
    assert_eq!(&buffer[..7], b"content");
}

#[test]
fn only_regular_files_are_opened_as_files() {
    let place = Place::new();
    fs::create_dir(place.path("directory")).unwrap();
    let directory = place.open();
    let stat = directory.stat(b"directory").unwrap();
    assert_eq!(kind(directory.open_file(b"directory", &stat)), ErrorKind::SourceChanged);
}

#[test]
fn special_files_can_be_read_on_demand() {
    let place = Place::new();
    Target::open(place.0.path()).unwrap().root().fifo(b"fifo").unwrap();
    let directory = place.open();
    let stat = directory.stat(b"fifo").unwrap();
    let path = place.path("fifo");
    let writer = std::thread::spawn(move || fs::write(path, b"through the pipe").unwrap());
    let mut read = Vec::new();
    directory.open_special(b"fifo", &stat).unwrap().unwrap().0.read_to_end(&mut read).unwrap();
    writer.join().unwrap();
    assert_eq!(read, b"through the pipe");
    let other = Stat { inode: 0, ..directory.stat(b"fifo").unwrap() };
    fs::remove_file(place.path("fifo")).unwrap();
    fs::write(place.path("fifo"), b"").unwrap();
    assert_eq!(kind(directory.open_special(b"fifo", &other)), ErrorKind::SourceChanged);
}

#[test]
fn link_targets_are_bytes() {
    let place = Place::new();
    let directory = place.open();
    for (name, target) in [("plain", &b"../a/b"[..]), ("bytes", b"\xff\n\x01"), ("long", &[b't'; 4095])] {
        symlink(OsStr::from_bytes(target), place.path(name)).unwrap();
        assert_eq!(directory.read_link(name.as_bytes()).unwrap(), target);
    }
    fs::write(place.path("file"), b"").unwrap();
    assert_eq!(kind(directory.read_link(b"file")), ErrorKind::SourceChanged);
    assert_eq!(kind(directory.read_link(b"missing")), ErrorKind::NotFound);
}

#[test]
fn attributes_of_entries_are_read_by_name() {
    if !testing::attributes_work() {
        return;
    }
    let place = Place::new();
    fs::write(place.path("file"), b"").unwrap();
    fs::write(place.path("bare"), b"").unwrap();
    symlink("file", place.path("link")).unwrap();
    let set = |name: &str, attribute: &[u8]| {
        let file = File::open(place.path(name)).unwrap();
        platform::set_attribute(Subject::Open(file.as_fd()), attribute, b"value").unwrap();
    };
    set("file", b"user.of-file");
    set("", b"user.of-directory");
    let directory = place.open();
    let options = AttributeOptions::default();
    let read = |name: &[u8]| {
        let stat = directory.stat(name).unwrap();
        let attributes = directory.attributes(name, &stat, options).unwrap();
        attributes.0.into_keys().map(ByteBuf::into_vec).collect::<Vec<_>>()
    };
    assert_eq!(read(b"file"), [b"user.of-file"]);
    assert!(read(b"bare").is_empty());
    assert!(read(b"link").is_empty());
    assert_eq!(directory.own_attributes(options).unwrap().0.len(), 1);
    let other = directory.stat(b"bare").unwrap();
    assert_eq!(kind(directory.attributes(b"file", &other, options)), ErrorKind::SourceChanged);
    assert_eq!(kind(directory.attributes(b"missing", &other, options)), ErrorKind::NotFound);
    let none = AttributeOptions { xattrs: false, acls: false };
    assert!(directory.attributes(b"file", &other, none).unwrap().0.is_empty());
}

#[test]
fn attributes_of_symbolic_links_and_devices_are_their_own() {
    if !testing::attributes_work() || !testing::is_root() {
        return;
    }
    let place = Place::new();
    fs::write(place.path("file"), b"").unwrap();
    symlink("file", place.path("link")).unwrap();
    Target::open(place.0.path()).unwrap().root().device(b"device", FileType::CharacterDevice, 1, 3).unwrap();
    let directory = place.open();
    for name in [&b"link"[..], b"device"] {
        let set = |_: &Stat, subject: Subject<'_>| platform::set_attribute(subject, b"trusted.own", name).unwrap();
        platform::with_reference(directory.handle.as_fd(), name, set).unwrap();
        let stat = directory.stat(name).unwrap();
        let read = directory.attributes(name, &stat, AttributeOptions::default()).unwrap();
        assert_eq!(read.0.values().map(|value| value.as_slice()).collect::<Vec<_>>(), [name]);
    }
    let stat = directory.stat(b"file").unwrap();
    assert!(directory.attributes(b"file", &stat, AttributeOptions::default()).unwrap().0.is_empty());
}

#[test]
fn cache_directories_are_recognised_by_their_signature() {
    let place = Place::new();
    let tagged = |content: &[u8]| {
        fs::write(place.path("CACHEDIR.TAG"), content).unwrap();
        is_cachedir_tag(&place.open())
    };
    assert!(!is_cachedir_tag(&place.open()));
    assert!(tagged(b"Signature: 8a477f597d28d172789f06886806bc55"));
    assert!(tagged(b"Signature: 8a477f597d28d172789f06886806bc55\n# more"));
    assert!(!tagged(b"Signature: 8a477f597d28d172789f06886806bc5"));
    assert!(!tagged(b"signature: 8a477f597d28d172789f06886806bc55"));
    fs::remove_file(place.path("CACHEDIR.TAG")).unwrap();
    fs::create_dir(place.path("CACHEDIR.TAG")).unwrap();
    assert!(!is_cachedir_tag(&place.open()));
}

#[test]
fn entries_are_found_without_following() {
    let place = Place::new();
    symlink("nowhere", place.path(".nobackup")).unwrap();
    let directory = place.open();
    assert!(has_entry(&directory, b".nobackup"));
    for name in [&b"missing"[..], b"..", b".", b"", b"/etc", b"a\0b"] {
        assert!(!has_entry(&directory, name), "{name:?}");
    }
}

#[test]
fn single_paths_are_opened_by_their_parent() {
    let place = Place::new();
    fs::create_dir_all(place.path("a/b")).unwrap();
    fs::write(place.path("a/b/\u{fc}"), b"content").unwrap();
    for path in ["a/b/\u{fc}", "a/b/\u{fc}/", "a//./b/../b/\u{fc}"] {
        let (directory, name) = source_parent(&place.path(path)).unwrap();
        assert_eq!(name, "\u{fc}".as_bytes());
        let stat = directory.stat(&name).unwrap();
        assert_eq!(directory.open_file(&name, &stat).unwrap().opened().size, 7);
    }
    let (directory, name) = source_parent(&place.path("a/missing")).unwrap();
    assert_eq!(kind(directory.stat(&name)), ErrorKind::NotFound);
    assert_eq!(kind(source_parent(&place.path("missing/x"))), ErrorKind::NotFound);
    for path in ["/", "", ".", "..", "a/.."] {
        assert_eq!(kind(source_parent(Path::new(path))), ErrorKind::InvalidInput, "{path}");
    }
    assert_eq!(source_parent(Path::new("Cargo.toml")).unwrap().1, b"Cargo.toml");
}

#[test]
fn reading_leaves_the_time_of_access_alone() {
    let place = Place::new();
    fs::write(place.path("file"), b"content").unwrap();
    let file = File::open(place.path("file")).unwrap();
    // Older than the modification: any plain read would renew it.
    file.set_times(fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH)).unwrap();
    let directory = place.open();
    let stat = directory.stat(b"file").unwrap();
    directory.open_file(b"file", &stat).unwrap().read(&mut [0; 10]).unwrap();
    assert_eq!(directory.stat(b"file").unwrap().accessed, Timestamp::new(0, 0));
}
