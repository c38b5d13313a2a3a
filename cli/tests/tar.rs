//! `export-tar` and `import-tar`, against the tar of the system.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use gabion_tests::{Aspects, TreeOptions, compare, make_tree};

use crate::place::{Place, Run};

/// Whether the system has GNU tar.
fn has_gnu_tar(test: &str) -> bool {
    let said = Command::new("tar").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let has = said.starts_with(b"tar (GNU tar)");
    if !has {
        assert!(!gabion_tests::all_required(), "{test}: no GNU tar");
        eprintln!("skipped {test}: no GNU tar");
    }
    has
}

/// Runs tar; it must succeed.
#[track_caller]
fn tar(place: &Place, arguments: &[&str]) {
    let mut command = Command::new("tar");
    place.surround(&mut command);
    let run = Run::of(command.args(["--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"]).args(arguments));
    run.succeeded();
}

/// A tree with everything, in `src` of a place.
fn make_source(place: &Place) {
    let source = place.path("src");
    make_tree(&source, 21, &TreeOptions { entries: 120, bytes_max: 200_000, ..TreeOptions::default() }).unwrap();
    let holes = File::create(source.join("holes")).unwrap();
    for number in 0..30u64 {
        holes.write_all_at(&[number as u8 + 1; 5000], number * 40_960).unwrap();
    }
    holes.set_len(20 << 20).unwrap();
    fs::create_dir_all(source.join("deep").join("d".repeat(120)).join("e".repeat(120))).unwrap();
    fs::write(source.join("deep").join("d".repeat(120)).join("e".repeat(120)).join("f"), "deep").unwrap();
    std::os::unix::fs::symlink("t".repeat(300), source.join("long link")).unwrap();
    let acl = |arguments: &[&str]| Command::new("setfacl").args(arguments).arg(&source).status();
    let _ = acl(&["-m", "u:7:rx,g:8:r"]);
    let _ = acl(&["-d", "-m", "u:9:rwx"]);
}

fn everything() -> Aspects {
    Aspects { holes: false, ..Aspects::default() }
}

#[track_caller]
fn same(left: &Path, right: &Path, aspects: &Aspects) {
    assert_eq!(compare(left, right, aspects).unwrap(), Vec::<String>::new());
}

#[test]
fn tar_extracts_what_was_exported() {
    if !has_gnu_tar("tar_extracts_what_was_exported") {
        return;
    }
    let place = Place::new();
    make_source(&place);
    place.run(&["create", "a", "src"]).succeeded();
    for (name, options) in
        [("plain.tar", &[][..]), ("sparse.tar", &["--sparse"]), ("borg.tar.gz", &["--tar-format=BORG"])]
    {
        place.run(&[&["export-tar", "a", name], options].concat()).succeeded();
        let target = place.path(&format!("{name}.d"));
        fs::create_dir(&target).unwrap();
        tar(&place, &["-xpf", name, "-C", target.to_str().unwrap()]);
        same(&place.path("src"), &target.join("src"), &everything());
    }
    let size = |name: &str| fs::metadata(place.path(name)).unwrap().len();
    assert!(size("sparse.tar") + (15 << 20) < size("plain.tar"), "holes are not written");
}

#[test]
fn the_format_of_gnu_keeps_files_and_seconds() {
    if !has_gnu_tar("the_format_of_gnu_keeps_files_and_seconds") {
        return;
    }
    let place = Place::new();
    let tree = TreeOptions { entries: 60, attributes: false, ..TreeOptions::default() };
    make_tree(&place.path("src"), 5, &tree).unwrap();
    place.run(&["create", "a", "src"]).succeeded();
    place.run(&["export-tar", "--tar-format", "gnu", "a", "a.tar"]).succeeded();
    fs::create_dir(place.path("out")).unwrap();
    tar(&place, &["-xpf", "a.tar", "-C", "out"]);
    same(
        &place.path("src"),
        &place.path("out/src"),
        &Aspects { times: false, attributes: false, ..Aspects::default() },
    );
    place.run(&["export-tar", "--tar-format", "GNU", "--sparse", "a", "b.tar"]).failed(4, "--sparse needs", "");
}

#[test]
fn what_tar_made_is_imported_and_extracted_equal() {
    if !has_gnu_tar("what_tar_made_is_imported_and_extracted_equal") {
        return;
    }
    let place = Place::new();
    make_source(&place);
    for (name, options, whole_seconds) in [
        ("posix.tar", &["--format=posix"][..], false),
        ("sparse.tar", &["--format=posix", "--sparse"], false),
        ("sparse01.tar", &["--format=posix", "--sparse", "--sparse-version=0.1"], false),
        ("sparse00.tar", &["--format=posix", "--sparse", "--sparse-version=0.0"], false),
        ("gnu.tar", &["--format=gnu", "--sparse", "--no-xattrs", "--no-acls"], true),
        ("compressed.tar.gz", &["--format=posix", "-z"], false),
    ] {
        tar(&place, &[options, &["-cf", name, "src"]].concat());
        place.run(&["import-tar", name, name]).succeeded();
        let target = format!("{name}.d");
        place.run(&["extract", "--numeric-ids", "--target", &target, name]).succeeded();
        let aspects = Aspects { times: !whole_seconds, attributes: !whole_seconds, ..everything() };
        same(&place.path("src"), &place.path(&target).join("src"), &aspects);
    }
    let holes = place.path("sparse.tar.d/src/holes");
    assert!(std::os::unix::fs::MetadataExt::blocks(&fs::metadata(holes).unwrap()) < 2000, "holes are holes again");
}

#[test]
fn an_archive_that_was_exported_is_imported_as_it_was() {
    let place = Place::new();
    let tree = TreeOptions { entries: 60, ..TreeOptions::default() };
    make_tree(&place.path("src"), 6, &tree).unwrap();
    place.run(&["create", "--atime", "a", "src"]).succeeded();
    let export = Command::new("sh");
    let mut pipe = export;
    place.surround(&mut pipe);
    let script = "\"$gabion\" export-tar --sparse a - | \"$gabion\" import-tar --stats --list b -";
    let run = Run::of(pipe.args(["-c", script]).env("gabion", crate::place::PROGRAM)).succeeded();
    assert!(run.err.contains("Number of files") && run.err.lines().any(|line| line.starts_with("d src")), "{run:?}");
    let list = |archive: &str| {
        let format = "{type}{mode} {uid} {gid} {user} {group} {size} {mtime:%s.%f} {atime:%s.%f} {flags} {path} {target} {sha256}{NL}";
        place.run(&["list", "--format", format, archive]).succeeded().out
    };
    assert_eq!(list("a"), list("b"));
    place.run(&["extract", "--target", "out", "b"]).succeeded();
    same(&place.path("src"), &place.path("out/src"), &Aspects { holes: true, ..Aspects::default() });
}

#[test]
fn parts_are_exported_and_told() {
    if !has_gnu_tar("parts_are_exported_and_told") {
        return;
    }
    let place = Place::new();
    place.file("d/keep/a", "1");
    place.file("d/keep/b.o", "2");
    place.file("d/other", "3");
    place.run(&["create", "a", "d"]).succeeded();
    let run = place
        .run(&["export-tar", "--list", "--strip-components", "1", "-e", "*.o", "a", "a.tar", "d/keep"])
        .succeeded();
    assert!(run.err.contains("d/keep/a") && !run.err.contains("b.o"), "{run:?}");
    let listed = Command::new("tar").arg("-tf").arg(place.path("a.tar")).output().unwrap();
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "keep/\nkeep/a\n");
    place.run(&["export-tar", "a", "a.tar", "d/nothing"]).ended(101);
    place.run(&["export-tar", "b", "a.tar"]).failed(31, "archive does not exist", "did you mean `a`");
    place.run(&["export-tar", "--tar-filter", "no-such-program", "a", "a.tar"]).failed(2, "no-such-program", "");
    place.run(&["export-tar", "--tar-filter", "false", "a", "a.tar"]).failed(2, "`false` of --tar-filter failed", "");
    let mut command = place.command(&["export-tar", "a", "-"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    Run::from(child.wait_with_output().unwrap()).succeeded();
}

/// Appends a member of a tar file, with a right checksum.
fn member(bytes: &mut Vec<u8>, path: &str, kind: u8, target: &str, size: &str, content: &[u8]) {
    let mut block = [0u8; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, path.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, size.as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes.extend_from_slice(&block);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
}

#[test]
fn hostile_members_are_told_and_left_out() {
    let place = Place::new();
    let mut bytes = Vec::new();
    let none = "00000000000";
    member(&mut bytes, "good", b'0', "", "00000000002", b"ok");
    member(&mut bytes, "../../escape", b'0', "", "00000000002", b"no");
    member(&mut bytes, "a/../../escape", b'5', "", none, b"");
    member(&mut bytes, "/etc/absolute", b'0', "", "00000000002", b"ok");
    member(&mut bytes, "good/below a file", b'0', "", "00000000002", b"no");
    member(&mut bytes, "link", b'1', "missing", none, b"");
    member(&mut bytes, "link to /", b'1', "../../../etc/passwd", none, b"");
    member(&mut bytes, "volume", b'V', "", none, b"");
    member(&mut bytes, "empty link", b'2', "", none, b"");
    member(&mut bytes, "last", b'0', "", "00000000004", b"last");
    bytes.extend_from_slice(&[0; 1024]);
    place.file("hostile.tar", &bytes);
    let run = place.run(&["import-tar", "a", "hostile.tar"]);
    assert!(run.rc == 1 || (100..128).contains(&run.rc), "{run:?}");
    for told in ["../../escape: ", "leads out of the archive", "link: ", "did not come before it", "type: V"] {
        assert!(run.err.contains(told), "{told}: {}", run.err);
    }
    assert_eq!(place.listed("a"), ["etc", "etc/absolute", "good", "last"]);
    place.run(&["extract", "--target", "out", "a"]).succeeded();
    assert!(!place.path("escape").exists() && place.path("out/etc/absolute").exists());
}

#[test]
fn names_of_files_that_had_the_same_path_stay_apart() {
    let place = Place::new();
    let (mut bytes, none) = (Vec::new(), "00000000000");
    for (link, content) in [("b", b"v1"), ("c", b"v2")] {
        member(&mut bytes, "a", b'0', "", "00000000002", content);
        member(&mut bytes, link, b'1', "a", none, b"");
    }
    bytes.extend_from_slice(&[0; 1024]);
    place.file("a.tar", &bytes);
    place.run(&["import-tar", "a", "a.tar"]).succeeded();
    place.run(&["extract", "--target", "out", "a"]).succeeded();
    let read = |name: &str| fs::read_to_string(place.path("out").join(name)).unwrap();
    assert_eq!(["a", "b", "c"].map(read), ["v2", "v1", "v2"]);
}

#[test]
fn streams_that_are_no_whole_tar_make_no_archive() {
    let place = Place::new();
    let mut good = Vec::new();
    member(&mut good, "good", b'0', "", "00000000002", b"ok");
    let mut huge = good.clone();
    member(&mut huge, "huge", b'0', "", "77777777777", b"");
    let mut header = good.clone();
    member(&mut header, "pax", b'x', "", "77777777777", b"");
    for (name, bytes, part) in [
        ("empty", &[][..], "the stream is empty"),
        ("noise", &[b'x'; 5000], "not a tar archive"),
        ("cut", &good[..700], "ends too early"),
        ("huge", &huge, "ends too early"),
        ("header", &header, "too long"),
    ] {
        place.file(name, bytes);
        place.run(&["import-tar", "a", name]).failed(4, part, "");
    }
    place.run(&["import-tar", "a", "nowhere.tar"]).failed(2, "nowhere.tar", "");
    assert_eq!(place.archives(), Vec::<String>::new());
    // What gzip can not read to its end is no whole archive, even if all members have come.
    place.file("a.tar", [&good[..], &[0; 1024]].concat());
    let zipped = Command::new("gzip").arg("-kf").arg(place.path("a.tar")).status().unwrap();
    assert!(zipped.success());
    let mut bytes = fs::read(place.path("a.tar.gz")).unwrap();
    let end = bytes.len() - 6;
    bytes[end] ^= 1;
    place.file("b.tar.gz", &bytes);
    place.run(&["import-tar", "a", "b.tar.gz"]).failed(2, "gzip", "");
    assert_eq!(place.archives(), Vec::<String>::new());
    place.run(&["import-tar", "a", "a.tar.gz"]).succeeded();
    assert_eq!(place.listed("a"), ["good"]);
}
