//! `extract --in-place --delete`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use gabion_tests::{Aspects, compare};
use serde_json::Value;

use crate::place::{Place, Run, tree};

/// Extracts the archive `a` to `target` in place.
fn extract(place: &Place, arguments: &[&str]) -> Run {
    place.run(&[&["extract", "--in-place", "--delete", "--list", "--target", "target", "a"], arguments].concat())
}

/// What a run told that it deletes.
fn deleted(run: &Run) -> Vec<&str> {
    let mut told: Vec<_> = run.err.lines().filter_map(|line| line.strip_prefix("deleting ")).collect();
    told.sort();
    told
}

/// A place with an archive `a` of `src`, made as `.` there, and a copy of it in `target`.
fn restored() -> Place {
    let place = Place::new();
    place.file("src/same", "same");
    place.file("src/d/more/deep", "deep");
    place.file("src/d/file", "a file");
    symlink("same", place.path("src/link")).unwrap();
    fs::set_permissions(place.path("src/d"), fs::Permissions::from_mode(0o750)).unwrap();
    Run::of(place.command(&["create", "a", "."]).current_dir(place.path("src"))).succeeded();
    place.run(&["extract", "--target", "target", "a"]).succeeded();
    place
}

fn exists(place: &Place, name: &str) -> bool {
    fs::symlink_metadata(place.path(name)).is_ok()
}

#[test]
fn what_the_archive_does_not_have_goes() {
    let place = restored();
    place.file("outside/precious", "precious");
    let odd = OsStr::from_bytes(b"target/d/\xff\xfe");
    fs::write(place.path(".").join(odd), "x").unwrap();
    for name in ["-rf", "new\nline", "d/more/deeper", "d/x/y/z", "d/x/w", "zzz"] {
        place.file(&format!("target/{name}"), "surplus");
    }
    symlink("../outside", place.path("target/out")).unwrap();
    symlink(place.path("outside"), place.path("target/d/x/out")).unwrap();
    // where the archive has a directory, there is now a link to one outside
    fs::rename(place.path("target/d/more"), place.path("target/d/less")).unwrap();
    symlink(place.path("outside"), place.path("target/d/more")).unwrap();
    fs::write(place.path("target/same"), "other").unwrap();

    let before = tree(&place.path("target"));
    let expected = [
        "-rf",
        r"d/\xff\xfe",
        "d/less",
        "d/less/deep",
        "d/less/deeper",
        "d/x",
        "d/x/out",
        "d/x/w",
        "d/x/y",
        "d/x/y/z",
        r"new\nline",
        "out",
        "zzz",
    ];
    let pretended = extract(&place, &["--dry-run"]).succeeded();
    assert_eq!(deleted(&pretended), expected, "{pretended:?}");
    assert_eq!(tree(&place.path("target")), before, "a dry run changes nothing");
    assert_eq!(deleted(&extract(&place, &[]).succeeded()), expected);
    assert_eq!(compare(&place.path("src"), &place.path("target"), &Aspects::default()).unwrap(), Vec::<String>::new());
    assert_eq!(tree(&place.path("outside")).len(), 2);
    assert_eq!(fs::read(place.path("outside/precious")).unwrap(), b"precious");
    assert_eq!(deleted(&extract(&place, &[]).succeeded()), [""; 0]);

    fs::write(place.path(".").join(odd), "x").unwrap();
    let run = extract(&place, &["--log-json"]).succeeded();
    let lines: Vec<Value> = run.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().filter(|line| line["status"] == "D").collect();
    assert!(told.len() == 1 && told[0]["type"] == "file_status" && told[0]["path_b64"] == "ZC///g==", "{run:?}");
}

#[test]
fn what_patterns_and_paths_leave_out_stays() {
    let place = restored();
    for name in ["keep.o", "go", "d/keep.o", "d/go", "new/keep.o", "new/sub/go", "gone/go"] {
        place.file(&format!("target/{name}"), "surplus");
    }
    let run = extract(&place, &["-n", "d"]).succeeded();
    assert_eq!(deleted(&run), ["d/go", "d/keep.o"], "only the path that was asked for");
    let run = extract(&place, &["-e", "*.o"]).succeeded();
    assert_eq!(deleted(&run), ["d/go", "go", "gone", "gone/go", "new/sub", "new/sub/go"]);
    for name in ["keep.o", "d/keep.o", "new/keep.o"] {
        assert!(exists(&place, &format!("target/{name}")), "{name}");
    }
    // a directory that is left out is not looked into, whatever is in it
    place.file("target/d/more/surplus", "surplus");
    let run = extract(&place, &["--pattern", "! d/more", "-e", "*.o"]).succeeded();
    assert_eq!(deleted(&run), [""; 0]);
    // single files that are asked for say nothing of their directory
    let run = extract(&place, &["re:deep$"]).succeeded();
    assert_eq!(deleted(&run), [""; 0]);
    let run = extract(&place, &["d/more"]).succeeded();
    assert_eq!(deleted(&run), ["d/more/surplus"]);
}

#[test]
fn directories_that_only_lead_to_what_was_archived_are_left_alone() {
    let place = Place::new();
    place.file("home/u/letter", "x");
    place.file("home/v/letter", "x");
    place.run(&["create", "a", "home/u", "home/./v"]).succeeded();
    for name in ["target/etc/passwd", "target/home/w/letter", "target/home/u/new", "target/v/new"] {
        place.file(name, "there before");
    }
    let run = extract(&place, &[]).succeeded();
    assert_eq!(deleted(&run), ["home/u/new", "v/new"]);
    assert!(exists(&place, "target/home/w/letter") && exists(&place, "target/etc/passwd"));
    assert!(exists(&place, "target/home/u/letter") && exists(&place, "target/v/letter"));
}

#[test]
fn nothing_goes_where_something_was_not_restored() {
    let place = restored();
    place.file("target/surplus", "surplus");
    fs::remove_file(place.path("target/same")).unwrap();
    // a directory with something in it is not replaced by a file
    place.file("target/same/inside", "x");
    let run = extract(&place, &[]);
    assert!(run.rc != 0 && run.err.contains("not everything is restored"), "{run:?}");
    assert_eq!(deleted(&run), [""; 0]);
    assert!(exists(&place, "target/surplus") && exists(&place, "target/same/inside"));
}

#[test]
fn archives_that_do_not_tell_what_was_there_are_refused() {
    let place = restored();
    place.file("target/surplus", "surplus");
    let refused = |name: &str, reason: &str| {
        let run = place.run(&["extract", "--in-place", "--delete", "--target", "target", name]);
        run.failed(4, reason, "");
        assert!(exists(&place, "target/surplus"));
    };
    let listed = b"src\nsrc/d\nsrc/d/file\n";
    place.run_fed(listed, &["create", "listed", "--paths-from-stdin"]).succeeded();
    refused("listed", "does not say of which directories");
    assert_eq!(place.run(&["create", "lacking", "src", "missing"]).rc, 107);
    refused("lacking", "could not be read");
    place.run(&["export-tar", "a", "a.tar"]).succeeded();
    place.run(&["import-tar", "tar", "a.tar"]).succeeded();
    refused("tar", "does not say of which directories");
    let extract = |arguments: &[&str]| place.run(&[&["extract", "--delete", "a"], arguments].concat());
    for (arguments, told) in [
        (&["--in-place"][..], "--target"),
        (&["--target", "target"], "--in-place"),
        (&["--in-place", "--target", "target", "--strip-components", "1"], "cannot be used with"),
    ] {
        let run = extract(arguments).ended(2);
        assert!(run.err.contains(told), "{run:?}");
    }
    assert!(exists(&place, "target/surplus"));
    // what it tells is told of comparisons, too
    let with_fs = place.run(&["diff", "listed", "--with-fs", "."]).succeeded().out;
    assert!(!with_fs.contains("added"), "{with_fs}");
}

#[test]
fn what_no_backup_has_stays() {
    let place = Place::new();
    place.file("d/file", "x");
    place.run(&["create", "a", "."]).succeeded();
    place.file("d/surplus", "x");
    let _socket = UnixListener::bind(place.path("d/socket")).unwrap();
    fs::create_dir(place.path("with")).unwrap();
    let _other = UnixListener::bind(place.path("with/socket")).unwrap();
    let run = place.run(&["extract", "--in-place", "--delete", "--list", "--target", ".", "a"]).succeeded();
    assert_eq!(deleted(&run), ["d/surplus"]);
    assert!(exists(&place, "d/socket") && exists(&place, "with/socket"));
    let stays = |run: &Run| {
        let paths = run.err.lines().filter_map(|line| Some(line.strip_prefix("- ")?.to_owned()));
        paths.filter(|path| path.ends_with("socket")).collect::<Vec<_>>()
    };
    assert_eq!(stays(&run), ["d/socket", "with/socket"], "{run:?}");
    let preview = ["extract", "--in-place", "--delete", "--list", "--dry-run", "--target", ".", "a"];
    assert_eq!(stays(&place.run(&preview).succeeded()), ["d/socket", "with/socket"]);
    assert_eq!(place.archives(), ["a"]);
    assert!(Path::new(&place.path("home/.local/share/gabion")).is_dir());
}

#[test]
fn what_was_left_out_is_not_taken_for_surplus() {
    let place = restored();
    let again = |arguments: &[&str]| {
        let create = [&["create", "a"], arguments, &["."]].concat();
        Run::of(place.command(&create).current_dir(place.path("src"))).succeeded();
    };
    place.file("src/left.o", "left out");
    place.file("target/left.o", "left out");
    for rule in
        ["--one-file-system", "--exclude-caches", "--git-ignore", "--exclude-larger-than=1k", "--exclude-if-present=x"]
    {
        again(&[rule]);
        extract(&place, &[]).failed(4, "rules beside patterns left something out", "");
    }
    again(&["-e", "*.o"]);
    extract(&place, &["d"]).failed(4, "patterns left something out when the archive was made: give the same ones", "");
    assert_eq!(deleted(&extract(&place, &["-e", "*.o"]).succeeded()), [""; 0]);
    again(&[]);
    place.run(&["recreate", "-a", "sh:a", "-e", "*.o"]).succeeded();
    extract(&place, &["-e", "*.o"]).failed(4, "rules beside patterns left something out", "");
    assert!(exists(&place, "target/left.o"));
}

#[test]
fn repositories_stay() {
    let place = restored();
    place.run(&["repo-create", "-e", "none", "-r", "target/d/other"]).succeeded();
    place.file("target/d/borg/data/0/1", "x");
    place.file("target/d/borg/config", "x");
    place.file("target/d/borg/hints.1", "x");
    // Many a directory has such names.
    place.file("target/d/program/data/0", "x");
    place.file("target/d/program/config", "x");
    place.file("target/d/surplus", "x");
    let run = extract(&place, &[]);
    assert!(run.rc >= 100 && run.err.matches("it looks like a repository").count() == 2, "{run:?}");
    let program = ["d/program", "d/program/config", "d/program/data", "d/program/data/0"];
    assert_eq!(deleted(&run), [&program[..], &["d/surplus"]].concat());
    assert!(exists(&place, "target/d/other/config") && exists(&place, "target/d/borg/data/0/1"));
}

#[test]
fn an_archive_of_some_directory_does_not_empty_the_root() {
    let place = restored();
    let run = place.run(&["extract", "--in-place", "--delete", "--dry-run", "--target", "/", "a"]);
    run.failed(4, "which is not `/`", "");
}
