//! What is mounted is what was backed up, by everyone who compares.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;

use gabion_fuse::{Layout, MountOptions, Owners, ViewOptions};
use gabion_tests::{Aspects, Random, TreeOptions, can_mount, compare, make_tree};

use crate::fixture::{Mount, Place, is_root, is_there, run};

/// Everything file systems can hold: the oddities of the testkit, and what it leaves out.
fn make_source(root: &Path) {
    make_tree(root, 3, &TreeOptions { entries: 150, ..TreeOptions::default() }).unwrap();
    fs::write(root.join("large"), Random::new(9).bytes(3_000_001)).unwrap();
    let holes = File::create(root.join("holes")).unwrap();
    for (number, offset) in (0..40u64).map(|number| (number, 4096 * number * number)) {
        holes.write_all_at(&[number as u8 + 1; 4096], offset).unwrap();
    }
    holes.set_len(1 << 33).unwrap();
    let many = root.join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..3000 {
        fs::write(many.join(format!("file {number}")), number.to_string()).unwrap();
    }
    symlink("many/file 7", root.join("link")).unwrap();
    let value = vec![b'v'; 3000];
    let flags = rustix::fs::XattrFlags::empty();
    for name in ["user.small", "user.large"] {
        let value: &[u8] = if name == "user.large" { &value } else { b"\x00\xff" };
        // Where the file system has no attributes there is nothing to compare.
        let _ = rustix::fs::setxattr(root.join("large"), name, value, flags);
        let _ = rustix::fs::setxattr(&many, name, value, flags);
    }
    if is_root() {
        for (name, kind, major, minor) in [
            ("char", rustix::fs::FileType::CharacterDevice, 1, 3),
            ("block", rustix::fs::FileType::BlockDevice, 7, 300),
        ] {
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(rustix::fs::CWD, root.join(name), kind, 0o640.into(), device).unwrap();
        }
        if is_there("setfacl") {
            run("setfacl", &["-m".as_ref(), "u:1:rw,g:12:r".as_ref(), root.join("large").as_os_str()]);
            run("setfacl", &["-d".as_ref(), "-m".as_ref(), "u:33:rx".as_ref(), many.as_os_str()]);
        }
    }
}

fn mounted(place: &Place) -> Mount {
    let owners = Owners { numeric_ids: true, ..Owners::default() };
    place.mount(place.shown(), ViewOptions { layout: Layout::Single, owners, ..ViewOptions::default() })
}

#[test]
fn a_mounted_tree_is_the_source() {
    if !can_mount("a_mounted_tree_is_the_source") {
        return;
    }
    let place = Place::new();
    let source = place.path("tree");
    make_source(&source);
    place.back_up("tree");
    let mount = mounted(&place);
    let shown = mount.path("tree");
    let aspects = Aspects { holes: true, ..Aspects::default() };
    assert_eq!(compare(&source, &shown, &aspects).unwrap(), Vec::<String>::new());

    if is_there("rsync") {
        let slash = |path: &Path| format!("{}/", path.display());
        let (from, to) = (slash(&source), slash(&shown));
        let options = ["-naXAH", "--numeric-ids", "--delete", "--itemize-changes", "--checksum"];
        let words: Vec<&std::ffi::OsStr> =
            options.iter().copied().chain([from.as_str(), to.as_str()]).map(AsRef::as_ref).collect();
        assert_eq!(run("rsync", &words), "", "rsync finds nothing to do");
    }

    // What is different in the mount is found; otherwise nothing above would show anything.
    fs::write(source.join("many/file 1700"), "other").unwrap();
    let found = compare(&source, &shown, &aspects).unwrap();
    let expected = ["was modified at", "has data at [(0, 5)] and [(0, 4)]", "differs from byte 0 on"];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(&format!("many/file 1700: {expected}")), "{found}");
    }
    assert_eq!(mount.notes.complaints(), Vec::<String>::new());
}

#[test]
fn diff_finds_no_difference() {
    if !can_mount("diff_finds_no_difference") || !is_there("diff") {
        return;
    }
    let place = Place::new();
    let source = place.path("tree");
    // diff calls two pipes different, whatever they are.
    make_tree(&source, 8, &TreeOptions { pipes: false, ..TreeOptions::default() }).unwrap();
    place.back_up("tree");
    let mount = mounted(&place);
    let shown = mount.path("tree");
    let words = ["-r".as_ref(), "--no-dereference".as_ref(), source.as_os_str(), shown.as_os_str()];
    assert_eq!(run("diff", &words), "");
    fs::write(source.join("new"), "x").unwrap();
    assert_eq!(Command::new("diff").args(words).output().unwrap().status.code(), Some(1));
}

#[test]
fn holes_and_links_are_told_without_reading() {
    if !can_mount("holes_and_links_are_told_without_reading") {
        return;
    }
    let place = Place::new();
    let source = place.path("tree");
    fs::create_dir(&source).unwrap();
    File::create(source.join("hollow")).unwrap().set_len(1 << 40).unwrap();
    fs::write(source.join("one"), "x").unwrap();
    fs::hard_link(source.join("one"), source.join("two")).unwrap();
    place.back_up("tree");
    let mount = mounted(&place);
    let about = |name: &str| fs::symlink_metadata(mount.path("tree").join(name)).unwrap();
    let hollow = about("hollow");
    assert_eq!((hollow.len(), hollow.blocks()), (1 << 40, 0));
    let (one, two) = (about("one"), about("two"));
    assert_eq!((one.ino(), one.nlink() > 1), (two.ino(), true));
    // The same name has the same number in every mount.
    let number = hollow.ino();
    let again = mounted(&place);
    assert_eq!(fs::symlink_metadata(again.path("tree/hollow")).unwrap().ino(), number);
}

#[test]
fn a_label_that_is_not_there_is_not_asked_for_again() {
    if !can_mount("a_label_that_is_not_there_is_not_asked_for_again") {
        return;
    }
    let place = Place::new();
    let source = place.path("tree");
    fs::create_dir(&source).unwrap();
    for name in ["bare", "labelled"] {
        fs::write(source.join(name), "x").unwrap();
    }
    let (label, flags) = ("security.selinux", rustix::fs::XattrFlags::empty());
    let has_labels = rustix::fs::setxattr(source.join("labelled"), label, b"system_u:object_r:x:s0\0", flags).is_ok();
    place.back_up("tree");
    let mount = mounted(&place);
    let asked = |file: &str, name: &str| {
        let mut value = [0; 100];
        rustix::fs::getxattr(mount.path("tree").join(file), name, &mut value).map(|bytes| value[..bytes].to_vec())
    };
    // Where the system labels all files, the source has one as well.
    if rustix::fs::getxattr(source.join("bare"), label, &mut [0; 100]).is_err() {
        assert_eq!(asked("bare", label), Err(rustix::io::Errno::OPNOTSUPP));
    }
    assert_eq!(asked("bare", "user.other"), Err(rustix::io::Errno::NODATA));
    if has_labels {
        assert_eq!(asked("labelled", label).unwrap(), b"system_u:object_r:x:s0\0");
    }
}

#[test]
fn owners_and_permissions_can_be_changed_for_all() {
    if !can_mount("owners_and_permissions_can_be_changed_for_all") {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("tree")).unwrap();
    fs::write(place.path("tree/file"), "x").unwrap();
    place.back_up("tree");
    let owners = Owners { uid: Some(7), gid: Some(8), umask: 0o277, numeric_ids: false };
    let options = ViewOptions { layout: Layout::Single, owners, ..ViewOptions::default() };
    let mount =
        place.mount_with(place.shown(), options, &MountOptions { ignore_permissions: true, ..MountOptions::default() });
    let about = fs::metadata(mount.path("tree/file")).unwrap();
    assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777), (7, 8, 0o400));
    assert_eq!(fs::read(mount.path("tree/file")).unwrap(), b"x");
}

#[test]
fn nothing_can_be_changed() {
    if !can_mount("nothing_can_be_changed") {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("tree")).unwrap();
    fs::write(place.path("tree/file"), "x").unwrap();
    place.back_up("tree");
    let mount = mounted(&place);
    let read_only =
        |done: std::io::Result<()>| assert_eq!(done.unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    read_only(fs::write(mount.path("tree/file"), "y"));
    read_only(fs::write(mount.path("tree/new"), "y"));
    read_only(fs::remove_file(mount.path("tree/file")));
    read_only(fs::create_dir(mount.path("tree/dir")));
    read_only(fs::rename(mount.path("tree/file"), mount.path("tree/other")));
    assert_eq!(fs::read(mount.path("tree/file")).unwrap(), b"x");
}

#[test]
fn many_readers_at_once_read_the_same() {
    if !can_mount("many_readers_at_once_read_the_same") {
        return;
    }
    let place = Place::new();
    let source = place.path("tree");
    fs::create_dir(&source).unwrap();
    let contents: Vec<Vec<u8>> = (0..4).map(|seed| Random::new(seed).bytes(2_500_000)).collect();
    for (number, content) in contents.iter().enumerate() {
        fs::write(source.join(number.to_string()), content).unwrap();
    }
    place.back_up("tree");
    // Hardly any room, so that chunks come and go all the time.
    let options = ViewOptions { layout: Layout::Single, cache_bytes: 100_000, ..ViewOptions::default() };
    let mount = place.mount(place.shown(), options);
    std::thread::scope(|scope| {
        for reader in 0..8u64 {
            let (mount, contents) = (&mount, &contents);
            scope.spawn(move || {
                let content = &contents[reader as usize % 4];
                let file = File::open(mount.path("tree").join((reader % 4).to_string())).unwrap();
                let mut random = Random::new(reader);
                for _ in 0..200 {
                    let start = random.below(content.len() as u64) as usize;
                    let bytes = (random.below(200_000) as usize).min(content.len() - start);
                    let mut read = vec![0; bytes];
                    file.read_exact_at(&mut read, start as u64).unwrap();
                    assert!(read == content[start..start + bytes], "{start} {bytes}");
                }
            });
        }
    });
}
