//! One tree with one of everything.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use gabion_tests::Random;
use rustix::fs::{AtFlags, CWD, FileType, Timespec, Timestamps, XattrFlags, lsetxattr, makedev, mknodat, utimensat};
use rustix::io::Errno;

use super::raw;

/// Makes the tree at `root`, which must not exist.
pub fn make_everything(root: &Path) {
    fs::create_dir(root).unwrap();
    let mut random = Random::new(99);
    sizes(root, &mut random);
    holes(&root.join("holes"), &mut random);
    names(&root.join("names"));
    special(&root.join("special"));
    hard_links(root, &mut random);
    attributes(&root.join("attributes"));
    modes_and_times(&root.join("modes"));
    crowd(&root.join("crowd"));
    deep(&root.join("deep"));
}

/// Around the limits of inline content, of groups and of chunkers.
fn sizes(root: &Path, random: &mut Random) {
    let folder = root.join("sizes");
    fs::create_dir(&folder).unwrap();
    let around = [512, 4096, 65_536, 128 << 10, 240 << 10, 512 << 10, 1 << 20];
    for size in around.iter().flat_map(|size| [size - 1, *size, size + 1]).chain([0, 1, 9 << 20, 17 << 20]) {
        fs::write(folder.join(format!("{size}")), random.bytes(size)).unwrap();
    }
    fs::write(folder.join("zeros"), vec![0; 700_000]).unwrap();
}

/// Holes at the start, in the middle, at the end, and nothing else; larger than any chunk.
fn holes(folder: &Path, random: &mut Random) {
    fs::create_dir(folder).unwrap();
    for (name, size, islands) in [
        ("start", 3u64 << 20, &[2u64 << 20][..]),
        ("middle", 3 << 20, &[0, (3 << 20) - 65_536]),
        ("end", 3 << 20, &[0]),
        ("all", 5 << 20, &[]),
        ("odd end", (3 << 20) + 77, &[0]),
        ("many", 30 << 20, &[0, 4 << 20, 9 << 20, 21 << 20]),
        ("huge", 3 << 30, &[1 << 30]),
    ] {
        let file = File::create(folder.join(name)).unwrap();
        file.set_len(size).unwrap();
        for island in islands {
            file.write_all_at(&random.bytes(65_536), *island).unwrap();
        }
    }
}

fn names(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let names: [&[u8]; 12] = [
        b"new\nline",
        b"\xff\xfe no text",
        &[b'x'; 255],
        b"-rf",
        b"--",
        b" ",
        b"\x01\x1b[0m",
        b"...",
        b"*",
        b"\\",
        b"\xc3\xa9",
        b"e\xcc\x81",
    ];
    for name in names {
        fs::write(folder.join(raw(name)), name).unwrap();
    }
    fs::create_dir(folder.join(raw(b"folder\n\xff"))).unwrap();
    fs::write(folder.join(raw(b"folder\n\xff")).join("in it"), "x").unwrap();
}

fn special(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for (name, target) in [("up", &b".."[..]), ("gone", b"gone/too"), ("absolute", b"/etc"), ("odd", b"\xff\n")] {
        symlink(raw(target), folder.join(name)).unwrap();
    }
    mknodat(CWD, folder.join("pipe"), FileType::Fifo, 0o640.into(), 0).unwrap();
    if rustix::process::geteuid().is_root() {
        for (name, kind) in [("block", FileType::BlockDevice), ("character", FileType::CharacterDevice)] {
            match mknodat(CWD, folder.join(name), kind, 0o600.into(), makedev(1, 7)) {
                // Some containers allow none.
                Ok(()) | Err(Errno::PERM) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Across directories, of a file that is restored in parts, of an empty one, and of a link.
fn hard_links(root: &Path, random: &mut Random) {
    for folder in ["links", "more links"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    let link = |from: &str, to: &str| fs::hard_link(root.join(from), root.join(to)).unwrap();
    fs::write(root.join("links/small"), "small").unwrap();
    fs::write(root.join("links/huge"), random.bytes(18 << 20)).unwrap();
    fs::write(root.join("links/empty"), "").unwrap();
    symlink("small", root.join("links/soft")).unwrap();
    for name in ["small", "huge", "empty", "soft"] {
        link(&format!("links/{name}"), &format!("more links/{name}"));
        link(&format!("links/{name}"), &format!("links/{name} again"));
    }
    link("links/small", "a name that is met first");
}

fn attributes(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for name in ["file", "folder", "acl"] {
        if name == "folder" {
            fs::create_dir(folder.join(name)).unwrap();
        } else {
            fs::write(folder.join(name), name).unwrap();
        }
    }
    let set =
        |file: &str, name: &str, value: &[u8]| match lsetxattr(folder.join(file), name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => panic!("{name}: {error}"),
        };
    set("file", "user.empty", b"");
    set("file", "user.bytes", b"\0\xff\n");
    // More than is kept in the entry.
    set("file", "user.large", &[7; 2000]);
    set("folder", "user.note", b"of a folder");
    // user::rw- user:1000:r-- group::r-- mask::rw- other::---
    let mut acl = vec![2, 0, 0, 0];
    for (tag, permissions, id) in
        [(1u16, 6u16, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (0x10, 6, u32::MAX), (0x20, 0, u32::MAX)]
    {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&permissions.to_le_bytes());
        acl.extend_from_slice(&id.to_le_bytes());
    }
    set("acl", "system.posix_acl_access", &acl);
    set("folder", "system.posix_acl_default", &acl);
    fs::write(folder.join("folder/inherits"), "x").unwrap();
}

fn modes_and_times(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for mode in [0o4755, 0o2755, 0o1777, 0o6711, 0o000, 0o444, 0o777] {
        let path = folder.join(format!("{mode:o}"));
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        fs::create_dir(path.with_extension("d")).unwrap();
        fs::set_permissions(path.with_extension("d"), Permissions::from_mode(mode | 0o700)).unwrap();
    }
    for (name, tv_sec, tv_nsec) in
        [("before 1970", -86_400, 1), ("just before", -1, 999_999_999), ("zero", 0, 0), ("later", 5_000_000_000, 123)]
    {
        let path = folder.join(name);
        symlink("x", &path).unwrap();
        fs::create_dir(folder.join(format!("{name}.d"))).unwrap();
        let time = Timespec { tv_sec, tv_nsec };
        let times = Timestamps { last_access: time, last_modification: time };
        for path in [path, folder.join(format!("{name}.d"))] {
            utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
    }
}

/// Enough entries for a tree of nodes.
fn crowd(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for number in 0..3000 {
        fs::write(folder.join(format!("{number}")), format!("{number}")).unwrap();
    }
}

fn deep(folder: &Path) {
    let mut path = folder.to_owned();
    for level in 0..200 {
        path.push(format!("{level}"));
    }
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("bottom"), "found").unwrap();
}
