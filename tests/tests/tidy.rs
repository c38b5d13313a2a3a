//! Keeps the house: the rules of `docs/architecture.md` that a compiler does not know.
//!
//! Every rule is a small function from sources to complaints. One test runs it over the project, another over a bad
//! example. A complaint names the file, the line, and what to do.

mod calls;
mod code_map;
mod floors;
mod length;
mod source;
mod words;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// What is wrong where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Complaint {
    path: String,
    /// The first line is 1; 0 means the file as a whole.
    line: usize,
    advice: String,
}

impl Complaint {
    fn new(path: &str, line: usize, advice: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, advice: advice.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.advice)
    }
}

fn assert_tidy(complaints: &[Complaint]) {
    let told: Vec<_> = complaints.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "\n{}", told.join("\n"));
}

/// The top of the project.
fn project() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

/// Files below the given folders of the project, by their paths from its top, sorted. What git is told to ignore and
/// what starts with a dot is left out.
fn files_in(folders: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting: Vec<String> = folders.iter().map(|&folder| folder.to_owned()).collect();
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(project().join(&folder)) else { continue };
        for entry in entries {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            match entry.file_type().unwrap().is_dir() {
                _ if name.starts_with('.') || path == "target" => {}
                true => waiting.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// The Rust sources below the given folders.
fn sources_in(folders: &[&str]) -> Vec<Source> {
    let rust = files_in(folders).into_iter().filter(|path| path.ends_with(".rs"));
    let sources = source::parse_all(rust.map(|path| {
        let text = fs::read_to_string(project().join(&path)).unwrap();
        (path, text)
    }));
    assert!(!sources.is_empty(), "no sources in {folders:?}: the rule would hold for nothing");
    sources
}

/// All Rust sources of the project.
fn all_sources() -> Vec<Source> {
    sources_in(&["core", "backends", "cli", "fuse", "tests", "examples"])
}
