//! What `create` takes: streams, lists of paths, patterns, marks.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::place::Place;

#[test]
fn standard_input_becomes_a_file() {
    let place = Place::new();
    let options = ["create", "--list", "--stdin-name", "dump.sql", "--stdin-mode", "0600", "--stdin-user", "1234"];
    let made = place.run_fed(b"select 1;", &[&options[..], &["s", "-"]].concat()).succeeded();
    assert!(made.err.contains("i dump.sql\n"), "{made:?}");
    let listed = place.run(&["list", "--format", "{mode} {uid} {size} {path}", "s"]).succeeded();
    assert_eq!(listed.out, "-rw------- 1234 9 dump.sql");
    assert_eq!(place.run(&["extract", "--stdout", "s"]).succeeded().out, "select 1;");
}

#[test]
fn standard_input_has_a_path_and_company() {
    let place = Place::new();
    place.file("d/1", "one");
    place.file("d/sub/2", "two");
    let made = |arguments: &[&str]| {
        let run = place.run_fed(b"piped", &[&["create", "--list", "m"], arguments].concat()).succeeded();
        assert_eq!(place.run(&["extract", "--stdout", "m", "re:p[^/]*$"]).succeeded().out, "piped");
        run.err
    };
    made(&["--stdin-name", "/var/dumps/p.sql", "-"]);
    assert_eq!(place.listed("m"), ["var", "var/dumps", "var/dumps/p.sql"]);
    made(&["-", "d", "--stdin-name", "p"]);
    assert_eq!(place.listed("m"), ["d", "d/1", "d/sub", "d/sub/2", "p"]);
    let told = made(&["d", "-", "--stdin-name", "d/new/p"]);
    assert!(told.contains("i d/new/p\n") && told.contains("U d/1\n"), "{told}");
    assert_eq!(place.listed("m"), ["d", "d/1", "d/new", "d/new/p", "d/sub", "d/sub/2"]);
    let pretended = place.run(&["create", "-n", "--list", "m", "d", "-", "--stdin-name", "d/p"]).succeeded().err;
    assert_eq!(pretended, "+ d\n+ d/1\n+ d/p\n+ d/sub\n+ d/sub/2\n");
    let refused = |name: &str, error: &str| {
        place.run(&["create", "--stdin-name", name, "m", "-", "d"]).failed(4, error, "");
    };
    refused("d", "two places would be archived under the same path");
    refused("..", "must be the path of a file");
    // what lies there is a file: no directory is made of it, and nothing is lost without a word
    let run = place.run_fed(b"piped", &["create", "n", "d", "-", "--stdin-name", "d/1/p"]);
    assert!(run.rc != 0 && run.err.contains("what is above its path was not entered"), "{run:?}");
    assert_eq!(place.listed("n"), ["d", "d/1", "d/sub", "d/sub/2"]);
}

#[test]
fn a_command_that_fails_commits_nothing() {
    let place = Place::new();
    let script = |code: &str| format!("head -c 3000000 /dev/urandom; exit {code}");
    let create = ["create", "c", "--content-from-command", "--", "sh", "-c"];
    place.run(&[&create[..], &[&script("3")]].concat()).failed(4, "`sh` failed: exit status: 3", "");
    assert_eq!(place.archives(), [""; 0]);
    place.run(&["create", "c", "--content-from-command", "--", "no-such-program"]).failed(4, "can not run command", "");
    place.run(&["create", "c", "--content-from-command"]).failed(4, "needs a command", "");
    place.run(&[&create[..], &[&script("0")]].concat()).succeeded();
    assert_eq!(place.run(&["list", "--format", "{size}", "c"]).succeeded().out, "3000000");
}

#[test]
fn paths_come_from_streams_and_commands() {
    let place = Place::new();
    for name in ["d/1", "d/2", "d/3"] {
        place.file(name, name);
    }
    place.run_fed(b"d/1\0d/3\0", &["create", "in", "--paths-from-stdin", "--paths-delimiter", "\\0"]).succeeded();
    assert_eq!(place.listed("in"), ["d", "d/1", "d/3"]);
    place.run(&["create", "cmd", "--paths-from-command", "--", "printf", "d/2\n"]).succeeded();
    assert_eq!(place.listed("cmd"), ["d", "d/2"]);
    place.run(&["create", "shell", "--paths-from-shell-command", "--", "ls -d d; exit 0"]).succeeded();
    assert_eq!(place.listed("shell"), ["d"]);
    place.run(&["create", "bad", "--paths-from-shell-command", "--", "echo d/1; exit 5"]).failed(
        4,
        "exit status: 5",
        "",
    );
    assert!(!place.archives().contains(&"bad".to_owned()));
}

#[test]
fn patterns_decide_in_their_order() {
    let place = Place::new();
    for name in ["d/keep/x.tmp", "d/keep/y", "d/drop/x.tmp", "d/drop/z", "d/w.tmp"] {
        place.file(name, "");
    }
    place.file("patterns", "# roots too\nR d\n! d/drop/z\n");
    let rows: &[(&[&str], &[&str])] = &[
        (&["d", "-e", "*.tmp"], &["d", "d/drop", "d/drop/z", "d/keep", "d/keep/y"]),
        (
            &["d", "--pattern", "+ **/keep/*.tmp", "-e", "*.tmp"],
            &["d", "d/drop", "d/drop/z", "d/keep", "d/keep/x.tmp", "d/keep/y"],
        ),
        (&["d", "-e", "*.tmp", "--pattern", "+ **/keep/*.tmp"], &["d", "d/drop", "d/drop/z", "d/keep", "d/keep/y"]),
        (&["d", "--pattern", "! d/drop"], &["d", "d/keep", "d/keep/x.tmp", "d/keep/y", "d/w.tmp"]),
        (&["--patterns-from", "patterns", "-e", "re:tmp$"], &["d", "d/drop", "d/keep", "d/keep/y"]),
    ];
    for (options, expected) in rows {
        place.run(&[&["create", "p"], *options].concat()).succeeded();
        assert_eq!(place.listed("p"), *expected, "{options:?}");
    }
    let listed = place.run(&["list", "--short", "p", "d/keep", "-e", "pf:d/keep/y"]).succeeded();
    assert_eq!(listed.out, "d/keep\n");
}

#[test]
fn marked_and_large_things_are_left_out() {
    let place = Place::new();
    place.file("d/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    place.file("d/cache/x", "");
    place.file("d/no/.nobackup", "");
    place.file("d/no/x", "");
    place.file("d/large", vec![0; 2000]);
    let options = ["--exclude-caches", "--exclude-if-present", ".nobackup", "--exclude-larger-than", "1K"];
    place.run(&[&["create", "m", "d"], &options[..]].concat()).succeeded();
    assert_eq!(place.listed("m"), ["d"]);
    place.run(&[&["create", "m", "d", "--keep-exclude-tags"], &options[..]].concat()).succeeded();
    assert_eq!(place.listed("m"), ["d", "d/cache", "d/cache/CACHEDIR.TAG", "d/no", "d/no/.nobackup"]);
}

#[test]
fn the_same_rules_hold_for_the_directory_one_stands_in() {
    let place = Place::new();
    place.file("f", "x");
    place.file(".nobackup", "");
    for (more, expected) in [(&[][..], &[][..]), (&["--keep-exclude-tags"], &[".nobackup"])] {
        let options = [&["create", "--exclude-if-present", ".nobackup", "m", "."], more].concat();
        place.run(&options).succeeded();
        assert_eq!(place.listed("m"), *expected);
    }
    let mut inside = place.command(&["create", "--list", "r", "."]);
    crate::place::Run::of(inside.current_dir(place.path("repo"))).succeeded();
    assert_eq!(place.listed("r"), Vec::<String>::new());
}

#[test]
fn a_directory_that_is_gone_is_told_and_the_archive_is_made() {
    let place = Place::new();
    let gone = place.path("gone");
    fs::create_dir(&gone).unwrap();
    let script = format!("rmdir ../gone && exec {} create g .", crate::place::PROGRAM);
    let mut command = Command::new("sh");
    place.surround(&mut command);
    let run = crate::place::Run::of(command.args(["-c", &script]).current_dir(gone));
    assert!(run.err.starts_with(".: "), "{run:?}");
    run.ended(107);
    assert_eq!(place.archives(), ["g"]);
}

#[cfg(target_os = "linux")]
#[test]
fn files_that_state_no_size_are_read_to_their_end() {
    let place = Place::new();
    place.run(&["create", "p", "/proc/version"]).succeeded();
    let read = place.run(&["extract", "--stdout", "p"]).succeeded().out;
    assert_eq!(read, fs::read_to_string("/proc/version").unwrap());
}

#[test]
fn directories_above_a_path_are_known_without_a_word() {
    let place = Place::new();
    place.file("deep/er/file", "x");
    let made = place.run(&["create", "i", "deep/er/file"]).succeeded();
    assert_eq!(made.err, "");
    assert_eq!(place.listed("i"), ["deep", "deep/er", "deep/er/file"]);
}

#[test]
fn names_comments_and_times_are_kept() {
    let place = Place::new();
    place.file("f", "x");
    let who = [("GABION_HOSTNAME", "pc"), ("GABION_USERNAME", "leo")];
    let options = ["--comment", "by {user}", "--tags", "a,b", "--timestamp", "2026-01-02T03:04:05"];
    place.run_with(&who, &[&["create", "{hostname}-{now:%Y}", "f"], &options[..]].concat()).succeeded();
    let format = "{archive:.3}|{comment}|{tags}|{start:%Y-%m-%dT%H:%M:%S}|{hostname}|{username}|{nfiles}|{size}";
    let listed = place.run(&["repo-list", "--format", format]).succeeded();
    assert_eq!(listed.out, "pc-|by leo|a,b|2026-01-02T03:04:05|pc|leo|1|1");
    for (filter, count) in [("date:2026-01", 1), ("date:2025", 0), ("tags:a", 1), ("user:leo", 1), ("host:x", 0)] {
        assert_eq!(place.run(&["repo-list", "--short", "-a", filter]).succeeded().out.lines().count(), count);
    }
}

#[test]
fn a_pipe_behind_a_link_is_read_like_a_file() {
    let place = Place::new();
    let pipe = place.path("pipe");
    assert!(Command::new("mkfifo").args(["-m", "640"]).arg(&pipe).status().unwrap().success());
    fs::create_dir(place.path("d")).unwrap();
    symlink("../pipe", place.path("d/device")).unwrap();
    symlink("nowhere", place.path("d/link")).unwrap();
    let writer = std::thread::spawn(move || fs::write(pipe, "what comes out of it").unwrap());
    place.run(&["create", "--read-special", "a", "d"]).succeeded();
    writer.join().unwrap();
    place.run(&["create", "b", "d"]).succeeded();
    let listed = |name: &str| place.run(&["list", "--format", "{mode} {path}{extra}{NL}", name]).succeeded().out;
    assert!(listed("a").contains("-rw-r----- d/device\nlrwxrwxrwx d/link -> nowhere\n"), "{}", listed("a"));
    assert!(listed("b").contains("lrwxrwxrwx d/device -> ../pipe\n"), "{}", listed("b"));
    assert_eq!(place.run(&["extract", "--stdout", "a", "d/device"]).succeeded().out, "what comes out of it");
}
