//! The program at a terminal, as people have it. `script` makes one.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::{PROGRAM, Place};

/// The program at a terminal of its own.
struct Session {
    child: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: String,
    /// What was waited for is before this.
    seen: usize,
}

impl Session {
    /// `words` are for a shell. A bar needs a width.
    fn start(place: &Place, words: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new("script");
        place.surround(&mut command);
        command.args([
            "--quiet",
            "--return",
            "--command",
            &format!("stty cols 100; exec {PROGRAM} {words}"),
            "/dev/null",
        ]);
        command.env("TERM", "xterm").env("SHELL", "/bin/sh").envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keyboard, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, keyboard, screen, shown: String::new(), seen: 0 }
    }

    /// Reads on until this is shown, after what was waited for before.
    #[track_caller]
    fn until(&mut self, text: &str) {
        let mut bytes = [0; 1000];
        while !self.shown[self.seen..].contains(text) {
            let count = self.screen.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "it ended without `{text}`: {}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        self.seen += self.shown[self.seen..].find(text).unwrap() + text.len();
    }

    /// Waits until what is typed is not shown.
    fn unseen(&self) {
        let script = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{script}/task/{script}/children")).unwrap();
        let program = children.split_whitespace().next().unwrap();
        let terminal = std::fs::read_link(format!("/proc/{program}/fd/0")).unwrap();
        let is_seen = || {
            let told = Command::new("stty").arg("-a").arg("-F").arg(&terminal).output().unwrap();
            !String::from_utf8_lossy(&told.stdout).split_whitespace().any(|word| word == "-echo")
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while is_seen() {
            assert!(Instant::now() < deadline, "what is typed is shown");
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// How it ended, and what was shown.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).unwrap();
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        (self.child.wait().unwrap().code(), self.shown)
    }
}

#[test]
fn a_passphrase_is_typed_unseen() {
    let place = Place::bare();
    place.run_with(&[("GABION_PASSPHRASE", "geheim")], &["repo-create"]).succeeded();
    place.file("f", "x");
    place.run_with(&[("GABION_PASSPHRASE", "geheim")], &["create", "one", "f"]).succeeded();
    let mut session = Session::start(&place, "list --short one", &[]);
    session.until("Enter passphrase for ");
    session.unseen();
    session.press("wrong\n");
    // asked again
    session.until("Enter passphrase for ");
    session.unseen();
    session.press("geheim\n");
    let (code, shown) = session.end();
    assert!(code == Some(0) && shown.contains("f\r\n") && !shown.contains("geheim"), "{code:?} {shown}");
}

#[test]
fn the_question_for_a_passphrase_can_be_left() {
    let place = Place::bare();
    place.run_with(&[("GABION_PASSPHRASE", "geheim")], &["repo-create"]).succeeded();
    let mut session = Session::start(&place, "create one .", &[]);
    session.until("Enter passphrase for ");
    session.press("\x03");
    let (code, shown) = session.end();
    assert_eq!(code, Some(130), "{shown}");
}

#[test]
fn a_bar_shows_how_far_it_is_and_goes_away() {
    let place = Place::new();
    place.file("d/a", vec![1; 700_000]);
    assert!(Command::new("mkfifo").arg(place.path("d/z")).status().unwrap().success());
    let mut session = Session::start(&place, "create --progress --read-special one d", &[]);
    let pipe = std::fs::File::options().write(true).open(place.path("d/z")).unwrap();
    session.until("1 files, 700.00 kB");
    drop(pipe);
    let (code, shown) = session.end();
    assert_eq!(code, Some(0), "{shown}");
    // the line it stood in is empty at the end
    let last = shown.rsplit(['\r', '\n']).find(|line| !line.is_empty()).unwrap();
    assert!(last.contains("\x1b[2K") || last.trim().is_empty(), "{shown:?}");
}

#[test]
fn colours_are_shown_unless_they_are_not_wanted() {
    let place = Place::bare();
    for (variables, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let (code, shown) = Session::start(&place, "crate", variables).end();
        assert_eq!((code, shown.contains("\x1b[")), (Some(2), coloured), "{shown:?}");
    }
}
