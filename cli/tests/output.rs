//! What is printed for people.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::place::{Place, Run};

#[test]
fn listings_have_formats() {
    let place = Place::new();
    place.file("d/a", "abc");
    place.file("d/b", "");
    place.run(&["create", "one", "d"]).succeeded();
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for (options, expected) in [
        (&["--format", "{type}{size:>4}|{path:<5}|{NL}"][..], "d   0|d    |\n-   3|d/a  |\n-   0|d/b  |\n".to_owned()),
        (&["--format", "{path} {sha256}{NL}", "d/a"], format!("d/a {sha256}\n")),
        (&["--short", "--sort-by", ">size,path"], "d/a\nd\nd/b\n".to_owned()),
        (&["--short", "--depth", "0"], "d\n".to_owned()),
        (&["--short", "d/b"], "d/b\n".to_owned()),
    ] {
        assert_eq!(place.run(&[&["list", "one"], options].concat()).succeeded().out, expected, "{options:?}");
    }
    let usual = place.run(&["list", "one", "d/a"]).succeeded().out;
    assert!(usual.starts_with("-rw-r--r-- ") && usual.ends_with(" d/a\n"), "{usual}");
    let own = [("GABION_LIST_FORMAT", "{path}!"), ("GABION_REPO_LIST_FORMAT", "{archive}?")];
    assert_eq!(place.run_with(&own, &["list", "one", "d/a"]).succeeded().out, "d/a!");
    assert_eq!(place.run_with(&own, &["repo-list"]).succeeded().out, "one?");
}

#[test]
fn a_closed_pipe_is_success() {
    let place = Place::new();
    // far more than a pipe holds
    for number in 0..3000 {
        place.file(&format!("d/{}{number}", "long".repeat(20)), "");
    }
    place.run(&["create", "one", "d"]).succeeded();
    for arguments in [&["list", "one"][..], &["extract", "--stdout", "big"]] {
        if arguments[0] == "extract" {
            place.file("big", vec![b'x'; 2_000_000]);
            place.run(&["create", "big", "big"]).succeeded();
        }
        let mut command = place.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 10];
        std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut first).unwrap();
        let run = Run::from(child.wait_with_output().unwrap()).succeeded();
        assert_eq!(run.err, "", "{arguments:?}");
    }
}

#[test]
fn nothing_but_what_was_asked_for_goes_to_standard_output() {
    let place = Place::new();
    place.file("f", "x");
    let made = place.run(&["create", "--list", "--stats", "--progress", "-v", "one", "f"]).succeeded();
    assert_eq!(made.out, "");
    for word in ["A f\n", "Archive name:", "Number of files:", "Original size:"] {
        assert!(made.err.contains(word), "{word}: {made:?}");
    }
}

#[test]
fn names_can_not_move_the_cursor_of_people_who_list() {
    let place = Place::new();
    place.file("d/\u{1b}[2Jx", "");
    let made = place.run(&["create", "--list", "one", "d"]).succeeded();
    assert!(made.err.contains("A d/\\x1b[2Jx\n"), "{made:?}");
    // programs get the bytes
    assert!(place.run(&["list", "--short", "one"]).succeeded().out.contains("\u{1b}[2Jx"));
}

#[test]
fn the_last_line_tells_the_return_code() {
    let place = Place::new();
    let run = place.run(&["--show-rc", "--show-version", "repo-list"]).succeeded();
    let lines: Vec<&str> = run.err.lines().collect();
    assert_eq!(lines, [concat!("gabion ", env!("PROGRAM_VERSION")), "terminating with success status, rc 0"]);
    let run = place.run(&["list", "--show-rc", "none"]).ended(31);
    assert_eq!(run.err.lines().last(), Some("terminating with error status, rc 31"));
}

#[test]
fn debug_tells_everything_and_quiet_little() {
    let place = Place::new();
    let debug = place.run(&["--debug", "list", "none"]).ended(31);
    assert!(debug.err.contains("kind: ArchiveNotFound"), "{debug:?}");
    let quiet = place.run(&["-q", "create", "one", "nowhere"]).ended(107);
    assert_eq!(quiet.err, "");
    assert_eq!(place.run(&["--critical", "list", "none"]).ended(31).err, "");
}

#[test]
fn help_goes_to_standard_output() {
    let place = Place::bare();
    for arguments in [&["--help"][..], &["create", "--help"], &["--version"]] {
        let run = place.run(arguments).succeeded();
        assert!(run.err.is_empty() && run.out.contains("gabion"), "{run:?}");
    }
    let mut child = place.command(&["create", "--help"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(child.wait().unwrap().success() && line.starts_with("Back up files"));
}
