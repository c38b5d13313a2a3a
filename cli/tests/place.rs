//! A place of its own for each test: a home, a repository, files, and the program.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_gabion");

/// A directory for one test.
pub struct Place {
    directory: TempDir,
    /// Whether the program takes a repository it does not know, or that moved, as it is.
    trusting: bool,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Run {
    pub rc: i32,
    pub out: String,
    pub err: String,
}

/// What a client that may only add is not let do to an archive `old`.
pub const MORE_THAN_ADDING: [&[&str]; 5] = [
    &["delete", "old"],
    &["prune", "--keep-last", "1", "-a", "sh:*"],
    &["compact"],
    &["rename", "old", "new"],
    &["tag", "old", "--add", "t"],
];

impl Place {
    /// A place without a repository.
    pub fn bare() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), trusting: true }
    }

    /// A place where nothing is taken on trust.
    pub fn wary() -> Self {
        Self { trusting: false, ..Self::bare() }
    }

    /// A place with a repository that needs no passphrase.
    pub fn new() -> Self {
        let place = Self::bare();
        place.run(&["repo-create", "-e", "none"]).succeeded();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, and the directories above it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Waits until files made so far are older than the program's doubt about clocks: those that changed within
    /// a tick before a backup are read again by the next one.
    pub fn settle(&self) {
        std::thread::sleep(Duration::from_millis(60));
    }

    /// The program in this place, with nothing in its environment but what belongs to the place.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        self.surround(&mut command);
        command
    }

    /// Sets directory and environment.
    pub fn surround(&self, command: &mut Command) {
        command
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TZ", "UTC")
            .env("GABION_REPO", self.path("repo"))
            .stdin(Stdio::null());
        if self.trusting {
            for variable in ["GABION_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "GABION_RELOCATED_REPO_ACCESS_IS_OK"] {
                command.env(variable, "yes");
            }
        }
    }

    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        Run::of(&mut self.command(arguments))
    }

    /// Runs with a variable set, or without if the value is empty.
    pub fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied().filter(|(_, value)| !value.is_empty()));
        for (name, _) in variables.iter().filter(|(_, value)| value.is_empty()) {
            command.env_remove(name);
        }
        Run::of(&mut command)
    }

    /// Runs with `input` on standard input.
    pub fn run_fed(&self, input: &[u8], arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Run::from(child.wait_with_output().unwrap())
    }

    /// What `list --short` says.
    pub fn listed(&self, archive: &str) -> Vec<String> {
        self.run(&["list", "--short", archive]).succeeded().out.lines().map(str::to_owned).collect()
    }

    /// The names of all archives, oldest first.
    pub fn archives(&self) -> Vec<String> {
        self.run(&["repo-list", "--short"]).succeeded().out.lines().map(str::to_owned).collect()
    }
}

impl Run {
    pub fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    #[track_caller]
    pub fn succeeded(self) -> Self {
        self.ended(0)
    }

    #[track_caller]
    pub fn ended(self, rc: i32) -> Self {
        assert_eq!(self.rc, rc, "{self:#?}");
        self
    }

    /// Checks that an error was told in one line, and advice in another that contains `hint`.
    #[track_caller]
    pub fn failed(self, rc: i32, error: &str, hint: &str) -> Self {
        let told: Vec<&str> = self.err.lines().filter(|line| line.starts_with("Error: ")).collect();
        assert!(told.len() == 1 && told[0].contains(error), "{self:#?}");
        let advice = self.err.lines().find(|line| line.starts_with("Hint: "));
        assert_eq!(advice.is_some(), !hint.is_empty(), "{self:#?}");
        assert!(advice.unwrap_or_default().contains(hint), "{self:#?}");
        assert_eq!(self.out, "", "an error says nothing on standard output");
        self.ended(rc)
    }
}

impl Run {
    /// Checks that a program whose output is for programs told an error on the side.
    #[track_caller]
    pub fn failed_with_output(self, rc: i32, error: &str) {
        assert!(self.err.contains(error), "{self:#?}");
        self.ended(rc);
    }
}

impl From<std::process::Output> for Run {
    fn from(output: std::process::Output) -> Self {
        Self {
            rc: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Every path below `directory` with type, permissions and content, sorted.
pub fn tree(directory: &Path) -> Vec<(String, u32, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt as _;

    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(path) = waiting.pop() {
        let about = std::fs::symlink_metadata(&path).unwrap();
        let content = if about.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if about.is_symlink() {
            std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else {
            std::fs::read(&path).unwrap()
        };
        let name = path.strip_prefix(directory).unwrap().to_string_lossy().into_owned();
        found.push((name, about.mode(), content));
    }
    found.sort();
    found
}

/// The bytes of all files below `directory`, while others may make, rename and delete them.
pub fn size_of(directory: &Path) -> u64 {
    // Not there yet, or not any more.
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => size_of(&entry.path()),
        Ok(about) => about.len(),
        // Renamed meanwhile.
        Err(_) => 0,
    });
    sizes.sum()
}

/// Looks again and again, for a minute at most, until something that another process does has happened.
#[track_caller]
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !happened() {
        assert!(Instant::now() < deadline, "it never happened that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
