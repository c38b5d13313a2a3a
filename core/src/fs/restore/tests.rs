//! Restoring metadata: everything that was kept, and nothing that was not.

use std::fs::File;
use std::os::fd::AsFd;

use serde_bytes::ByteBuf;

use super::*;
use crate::archive::metadata::FileType;
use crate::fs::attributes::AttributeOptions;
use crate::fs::source::SourceDirectory;
use crate::fs::stat::{MetadataOptions, metadata};
use crate::fs::target::{Target, TargetDirectory};
use crate::fs::testing;

struct Place {
    directory: tempfile::TempDir,
    users: Users,
}

impl Place {
    fn new() -> Self {
        let users = Users::parse(b"alice:x:2001:\nbob:x:2002:\n", b"staff:x:3001:\n");
        Self { directory: tempfile::tempdir().unwrap(), users }
    }

    fn root(&self) -> TargetDirectory {
        Target::open(self.directory.path()).unwrap().root()
    }

    fn options(&self) -> RestoreOptions<'_> {
        RestoreOptions::all(&self.users)
    }

    fn stat(&self, name: &str) -> Stat {
        SourceDirectory::open(self.directory.path()).unwrap().stat(name.as_bytes()).unwrap()
    }

    fn attributes(&self, name: &str) -> Attributes {
        let directory = SourceDirectory::open(self.directory.path()).unwrap();
        directory.attributes(name.as_bytes(), &self.stat(name), AttributeOptions::default()).unwrap()
    }

    /// Makes a file and sets everything; the errors.
    fn file(
        &self,
        name: &str,
        metadata: &Metadata,
        attributes: &Attributes,
        options: &RestoreOptions<'_>,
    ) -> Vec<Error> {
        let file = self.root().create_file(name.as_bytes()).unwrap();
        file.write_at(0, b"content").unwrap();
        file.finish(metadata, attributes, options)
    }
}

fn sample(mode: u32) -> Metadata {
    Metadata {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        user: None,
        group: None,
        modified: Timestamp::new(-1, 999_999_999),
        born: None,
        accessed: Some(Timestamp::new(4_000_000_000, 1)),
        flags: 0,
    }
}

fn attributes(given: &[(&[u8], &[u8])]) -> Attributes {
    Attributes(given.iter().map(|(name, value)| (ByteBuf::from(*name), ByteBuf::from(*value))).collect())
}

fn report(errors: &[Error]) -> Vec<(&'static str, ErrorKind)> {
    errors.iter().map(|error| (error.operation(), error.kind())).collect()
}

#[test]
fn a_file_comes_back_with_everything() {
    if !testing::attributes_work() {
        return;
    }
    let place = Place::new();
    let acl = read_only(&testing::access_acl(1234));
    let given = attributes(&[(b"user.a", b"1"), (b"user.\xff", &[7; 3000]), (ACCESS_ACL, &acl)]);
    // Group bits are those of the ACL's mask; the owner may not write.
    let wanted = sample(0o4470);
    assert_eq!(report(&place.file("file", &wanted, &given, &place.options())), []);
    let stat = place.stat("file");
    let options = MetadataOptions { atime: true, birthtime: false, numeric_ids: true, flags: true };
    assert_eq!(metadata(&stat, &place.users, &options), wanted);
    assert_eq!(place.attributes("file"), given);
    assert_eq!(std::fs::read(place.directory.path().join("file")).unwrap(), b"content");
}

/// The ACL with the owner's entry `r--`.
fn read_only(acl: &[u8]) -> Vec<u8> {
    let mut acl = acl.to_vec();
    acl[6] = 4;
    acl
}

#[test]
fn directories_links_and_pipes_come_back_with_everything() {
    let place = Place::new();
    let root = place.root();
    let directory = root.create_directory(b"directory").unwrap();
    let wanted = sample(0o3751);
    assert_eq!(report(&directory.set_own_metadata(&wanted, &attributes(&[]), &place.options())), []);
    root.fifo(b"fifo").unwrap();
    root.symlink(b"link", b"x").unwrap();
    for (name, file_type) in [("fifo", FileType::Fifo), ("link", FileType::Symlink)] {
        let errors = root.set_metadata(name.as_bytes(), file_type, &wanted, &attributes(&[]), &place.options());
        assert_eq!(report(&errors), []);
    }
    for (name, mode) in [("directory", 0o3751), ("fifo", 0o3751), ("link", 0o777)] {
        let stat = place.stat(name);
        assert_eq!((stat.mode, stat.modified), (mode, wanted.modified), "{name}");
        assert_eq!(Some(stat.accessed), wanted.accessed, "{name}");
    }
}

#[test]
fn unknown_access_times_are_left_alone() {
    let place = Place::new();
    place.file("file", &Metadata { accessed: None, ..sample(0o600) }, &attributes(&[]), &place.options());
    let stat = place.stat("file");
    assert_eq!(stat.modified, Timestamp::new(-1, 999_999_999));
    assert!(stat.accessed.seconds > 1_500_000_000);
}

#[test]
fn root_gives_files_to_their_owners_by_name_before_number() {
    if !testing::is_root() {
        return;
    }
    let place = Place::new();
    let named = |user: &[u8], group: &[u8]| Metadata {
        uid: 77,
        gid: 78,
        user: Some(ByteBuf::from(user)),
        group: Some(ByteBuf::from(group)),
        ..sample(0o6755)
    };
    let all = place.options();
    let numeric = RestoreOptions { numeric_ids: true, ..all };
    let nobody = RestoreOptions { owner: false, ..all };
    let cases = [
        ("known", named(b"alice", b"staff"), all, (2001, 3001, 0o6755)),
        ("unknown", named(b"carol", b"crew"), all, (77, 78, 0o6755)),
        ("numeric", named(b"alice", b"staff"), numeric, (77, 78, 0o6755)),
        // Not given away: it must not act in the name of root.
        ("kept", named(b"alice", b"staff"), nobody, (0, 0, 0o755)),
    ];
    for (name, wanted, options, expected) in cases {
        assert_eq!(report(&place.file(name, &wanted, &attributes(&[]), &options)), [], "{name}");
        let stat = place.stat(name);
        assert_eq!((stat.uid, stat.gid, stat.mode), expected, "{name}");
    }
    let root = place.root();
    root.symlink(b"link", b"known").unwrap();
    let wanted = named(b"bob", b"staff");
    assert_eq!(report(&root.set_metadata(b"link", FileType::Symlink, &wanted, &attributes(&[]), &all)), []);
    assert_eq!((place.stat("link").uid, place.stat("known").uid), (2002, 2001));
}

#[test]
fn numbers_the_system_takes_for_commands_are_refused() {
    let place = Place::new();
    for metadata in [Metadata { uid: u32::MAX, ..sample(0o4755) }, Metadata { gid: u32::MAX, ..sample(0o2755) }] {
        let errors = place.file("file", &metadata, &attributes(&[]), &place.options());
        assert_eq!(report(&errors), [("set owner", ErrorKind::InvalidInput)]);
        assert_eq!(place.stat("file").mode, 0o755);
    }
    for nanoseconds in [1_000_000_000, (1 << 30) - 1, (1 << 30) - 2, u32::MAX] {
        let metadata = Metadata { modified: Timestamp::new(1, nanoseconds), ..sample(0o600) };
        let errors = place.file("file", &metadata, &attributes(&[]), &place.options());
        assert_eq!(report(&errors), [("set times", ErrorKind::InvalidInput)]);
    }
    let errors = place.file("file", &sample(u32::MAX), &attributes(&[]), &place.options());
    assert_eq!((report(&errors), place.stat("file").mode), (vec![], 0o7777));
}

#[test]
fn hostile_attributes_are_reported_one_by_one() {
    if !testing::attributes_work() {
        return;
    }
    let place = Place::new();
    let long = [b"user.".as_slice(), &[b'x'; 300]].concat();
    let given = attributes(&[
        (b"", b"1"),
        (b"user.a\0b", b"1"),
        (b"nonsense", b"1"),
        (&long, b"1"),
        (b"user.huge", &[0; 65_537]),
        (ACCESS_ACL, b"broken"),
        (b"user.good", b"1"),
    ]);
    let errors = place.file("file", &sample(0o600), &given, &place.options());
    assert_eq!(errors.len(), 6, "{errors:?}");
    assert!(errors.iter().all(|error| error.operation() == "set attribute"));
    assert_eq!(place.attributes("file"), attributes(&[(b"user.good", b"1")]));
}

#[test]
fn options_leave_out_attributes_and_acls() {
    if !testing::attributes_work() {
        return;
    }
    let place = Place::new();
    let acl = testing::access_acl(1234);
    let given = attributes(&[(b"user.a", b"1"), (ACCESS_ACL, &acl)]);
    for (xattrs, acls) in [(false, false), (true, false), (false, true)] {
        let options = RestoreOptions { xattrs, acls, ..place.options() };
        assert_eq!(report(&place.file("file", &sample(0o670), &given, &options)), []);
        let found = place.attributes("file");
        assert_eq!(
            (found.0.contains_key(Bytes::new(b"user.a")), found.0.contains_key(Bytes::new(ACCESS_ACL))),
            (xattrs, acls)
        );
    }
}

#[test]
fn capabilities_survive_the_change_of_owner() {
    if !testing::is_root() || !testing::attributes_work() {
        return;
    }
    let place = Place::new();
    // Revision 2: cap_net_raw permitted and effective.
    let capability = [&[1, 0, 0, 2, 0, 0x20, 0, 0][..], &[0; 12]].concat();
    let given = attributes(&[(b"security.capability", &capability)]);
    let wanted = Metadata { uid: 77, gid: 78, ..sample(0o4755) };
    assert_eq!(report(&place.file("file", &wanted, &given, &place.options())), []);
    assert_eq!(place.attributes("file"), given);
    assert_eq!((place.stat("file").uid, place.stat("file").mode), (77, 0o4755));
}

#[test]
fn flags_come_back_and_are_really_last() {
    if !testing::is_root() || !testing::flags_work() {
        return;
    }
    let place = Place::new();
    let cases =
        [("n", flag::NODUMP), ("i", flag::IMMUTABLE), ("a", flag::APPEND), ("all", 7), ("hint", flag::COMPRESSED)];
    let path = |name| place.directory.path().join(name);
    for (name, flags) in cases {
        let (given, path) = (attributes(&[(b"user.a", b"1")]), path(name));
        let _unprotect = testing::Unprotect(&path);
        let wanted = Metadata { flags, uid: 77, ..sample(0o640) };
        assert_eq!(report(&place.file(name, &wanted, &given, &place.options())), [], "{name}");
        let stat = place.stat(name);
        assert_eq!(stat.flags & !flag::COMPRESSED, flags & !flag::COMPRESSED, "{name}");
        assert_eq!((stat.uid, stat.mode, stat.modified), (77, 0o640, wanted.modified), "{name}");
        assert_eq!(place.attributes(name), given);
    }
    let directory = place.root().create_directory(b"directory").unwrap();
    let directory_path = path("directory");
    let _unprotect = testing::Unprotect(&directory_path);
    let wanted = Metadata { flags: flag::APPEND, ..sample(0o750) };
    assert_eq!(report(&directory.set_own_metadata(&wanted, &attributes(&[]), &place.options())), []);
    assert_eq!((place.stat("directory").flags, place.stat("directory").mode), (flag::APPEND, 0o750));
    let options = RestoreOptions { flags: false, ..place.options() };
    place.file("without", &Metadata { flags: 7, ..sample(0o640) }, &attributes(&[]), &options);
    assert_eq!(place.stat("without").flags, 0);
}

#[test]
fn flags_that_can_not_be_set_are_reported() {
    let place = Place::new();
    let root = place.root();
    root.fifo(b"fifo").unwrap();
    let wanted = Metadata { flags: flag::IMMUTABLE, ..sample(0o600) };
    // Special files have no flags to lose.
    assert_eq!(report(&root.set_metadata(b"fifo", FileType::Fifo, &wanted, &attributes(&[]), &place.options())), []);
    let proc = File::open("/proc/self/status").unwrap();
    let before = platform::stat_open(proc.as_fd()).unwrap();
    let error = set_flags(Subject::Open(proc.as_fd()), &before, flag::NODUMP).unwrap_err();
    assert_eq!((error.operation(), error.kind()), ("set flags", ErrorKind::Unsupported));
    set_flags(Subject::Open(proc.as_fd()), &before, flag::COMPRESSED).unwrap();
    set_flags(Subject::Open(proc.as_fd()), &before, 0).unwrap();
}
