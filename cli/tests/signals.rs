//! Stopping: the first signal at the next safe point, the second at once.
//!
//! A named pipe that is backed up like a file stops the program where the test wants it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::place::{Place, Run};

/// Begins a backup and returns when it waits for the content of the pipe.
fn at_the_pipe(place: &Place) -> (Child, File) {
    at_the_pipe_with(place, &[])
}

fn at_the_pipe_with(place: &Place, options: &[&str]) -> (Child, File) {
    place.file("d/a", vec![1; 700_000]);
    place.file("d/b", "b");
    if !place.path("d/z").exists() {
        assert!(Command::new("mkfifo").arg(place.path("d/z")).status().unwrap().success());
    }
    place.settle();
    let mut command = place.command(&[&["create", "--read-special", "-v"], options, &["one", "d"]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // opens when somebody reads
    let pipe = File::options().write(true).open(place.path("d/z")).unwrap();
    (child, pipe)
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn the_first_signal_leaves_a_checkpoint_that_the_next_backup_uses() {
    for (signal, rc) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = Place::new();
        let (child, mut pipe) = at_the_pipe(&place);
        send(&child, signal);
        // the program sees the signal when content comes; then it reads no more
        let more = vec![5; 1 << 16];
        while pipe.write_all(&more).is_ok() {}
        let run = Run::from(child.wait_with_output().unwrap()).ended(rc);
        assert!(run.err.contains(&format!("stopped by signal {}", rc - 128)), "{run:?}");
        assert!(run.err.contains("goes on there"), "{run:?}");
        assert_eq!(place.archives(), [""; 0]);
        let unfinished = place.run(&["repo-list", "--consider-checkpoints", "--short"]).succeeded().out;
        assert_eq!(unfinished, "one.checkpoint\n");

        let next = place.run(&["create", "--list", "one", "d"]).succeeded();
        assert!(next.err.contains("U d/a\n") && next.err.contains("U d/b\n"), "{next:?}");
        assert_eq!(place.listed("one"), ["d", "d/a", "d/b", "d/z"]);
    }
}

#[test]
fn a_signal_leaves_a_checkpoint_in_every_repository() {
    let place = Place::new();
    for name in ["second", "third"] {
        place.run(&["repo-create", "-e", "none", "-r", name]).succeeded();
    }
    let (child, mut pipe) = at_the_pipe_with(&place, &["--also-to", "second", "--also-to", "third"]);
    // so much is not read before all have come to it
    pipe.write_all(&vec![5; 40 << 20]).unwrap();
    send(&child, Signal::INT);
    let more = vec![5; 1 << 16];
    while pipe.write_all(&more).is_ok() {}
    let run = Run::from(child.wait_with_output().unwrap()).ended(130);
    assert_eq!(run.err.matches("goes on there").count(), 3, "{run:?}");
    for repository in ["repo", "second", "third"] {
        let unfinished = place.run(&["repo-list", "-r", repository, "--consider-checkpoints", "--short"]).succeeded();
        assert_eq!(unfinished.out, "one.checkpoint\n", "{repository}");
        let next = place.run(&["create", "-r", repository, "--list", "one", "d"]).succeeded();
        assert!(next.err.contains("U d/a\n") && next.err.contains("U d/b\n"), "{next:?}");
    }
}

#[test]
fn the_second_signal_ends_at_once() {
    let place = Place::new();
    let (mut child, _pipe) = at_the_pipe(&place);
    // nothing is written to the pipe, so the program can not see the first one
    let status = loop {
        send(&child, Signal::INT);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::yield_now();
    };
    assert_eq!(status.code(), Some(130));
    assert_eq!(place.archives(), [""; 0]);
}

#[test]
fn progress_is_told_to_who_asks_for_it() {
    let place = Place::new();
    // What another archive of this machine holds says nothing of this one, what the last of the series holds does.
    place.file("small", "x");
    place.run(&["create", "other", "small"]).succeeded();
    for progress in ["2 files, 700.00 kB", "2 of 3 files, 700.00 kB"] {
        let (mut child, pipe) = at_the_pipe(&place);
        let mut told = BufReader::new(child.stderr.take().unwrap());
        send(&child, Signal::USR1);
        let mut line = String::new();
        while !line.contains(" files, ") {
            line.clear();
            assert_ne!(told.read_line(&mut line).unwrap(), 0, "it ended without a word");
        }
        assert!(line.starts_with(progress), "{line}");
        drop(pipe);
        let mut rest = String::new();
        told.read_to_string(&mut rest).unwrap();
        assert!(child.wait().unwrap().success(), "{rest}");
    }
    assert_eq!(place.archives(), ["other", "one", "one"]);
}

/// The command for the passphrase is run while the repository is opened.
#[test]
fn nobody_is_killed_by_asking_for_progress() {
    let place = Place::bare();
    place.run_with(&[("GABION_PASSPHRASE", "x")], &["repo-create"]).succeeded();
    let asking = [("GABION_PASSCOMMAND", "sh -c 'kill -USR1 $PPID; echo x'")];
    place.run_with(&asking, &["repo-list"]).succeeded();
}
