//! Names, headers and words: what things are called, and what does not belong in the project.

use std::fs;

use super::source::{Source, line_at, one};
use super::{Complaint, all_sources, assert_tidy, files_in, project};

/// What lies at the top of the project; names that start with a dot may lie there too.
const TOP: [&str; 10] =
    ["Cargo.toml", "Cargo.lock", "core", "backends", "cli", "fuse", "tests", "docs", "examples", "README.md"];
const TOP_TOO: [&str; 2] = ["LICENSE", "target"];

/// Module names that say nothing.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "misc", "helper", "helpers", "common"];

/// Words that belong to a place of work and not to the project. Put together here, so that this file has none.
const FOREIGN_WORDS: [&str; 2] = [concat!("/wo", "rk/"), concat!("sub", "agent")];

/// Every source says at its head what it is.
fn headers(sources: &[Source]) -> Vec<Complaint> {
    let without = sources.iter().filter(|source| !source.text.starts_with("//! "));
    without.map(|source| Complaint::new(&source.path, 1, "begin with a `//!` header that says what this is")).collect()
}

fn empty_names(sources: &[Source]) -> Vec<Complaint> {
    let says_nothing = |path: &str| path.trim_end_matches(".rs").split('/').any(|part| EMPTY_NAMES.contains(&part));
    let found = sources.iter().filter(|source| says_nothing(&source.path));
    found.map(|source| Complaint::new(&source.path, 0, "name the module after what it does")).collect()
}

fn foreign_words(path: &str, text: &str) -> Vec<Complaint> {
    let lower = text.to_ascii_lowercase();
    let found = FOREIGN_WORDS.iter().flat_map(|word| lower.match_indices(word));
    found.map(|(start, word)| Complaint::new(path, line_at(text, start), format!("take `{word}` out"))).collect()
}

/// What is at the top but should not, and what should be but is not. `complete` is false while the project is so young
/// that something may be missing.
fn top_level(names: &[String], complete: bool) -> Vec<Complaint> {
    let known = |name: &str| name.starts_with('.') || TOP.contains(&name) || TOP_TOO.contains(&name);
    let extra = names.iter().filter(|name| !known(name));
    let mut complaints: Vec<_> =
        extra.map(|name| Complaint::new(name, 0, "move it into a folder: the top of the project is full")).collect();
    if complete {
        let missing = TOP.iter().chain(["LICENSE"].iter()).filter(|name| !names.iter().any(|there| there == *name));
        complaints.extend(missing.map(|name| Complaint::new(name, 0, "must be at the top of the project")));
    }
    complaints
}

#[test]
fn every_source_has_a_header() {
    assert_tidy(&headers(&all_sources()));
}

#[test]
fn modules_have_names() {
    assert_tidy(&empty_names(&all_sources()));
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let mut complaints = Vec::new();
    for path in files_in(&[""]) {
        // What is no text has no words.
        if let Ok(text) = fs::read_to_string(project().join(&path)) {
            complaints.extend(foreign_words(&path, &text));
        }
    }
    assert_tidy(&complaints);
}

#[test]
fn the_top_level_is_known() {
    let entries = fs::read_dir(project()).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let complete = project().join("docs/architecture.md").exists();
    assert_tidy(&top_level(&names, complete));
}

#[test]
fn a_missing_header_is_found() {
    assert_eq!(headers(&[one("core/src/id.rs", "use std::fmt;\n")]).len(), 1);
    assert_eq!(headers(&[one("core/src/id.rs", "// a comment\n//! late\n")]).len(), 1);
    assert_eq!(headers(&[one("core/src/id.rs", "//! Identifiers.\n")]), []);
}

#[test]
fn an_empty_name_is_found() {
    for path in ["core/src/util.rs", "cli/src/common/mod.rs", "backends/src/ssh/helpers.rs"] {
        assert_eq!(empty_names(&[one(path, "")]).len(), 1, "{path}");
    }
    assert_eq!(empty_names(&[one("core/src/utility_bill.rs", "")]), []);
}

#[test]
fn a_foreign_word_is_found_with_its_line() {
    for word in FOREIGN_WORDS {
        let complaints = foreign_words("docs/x.md", &format!("a\nb {} c\n", word.to_ascii_uppercase()));
        assert_eq!((complaints.len(), complaints[0].line), (1, 2));
    }
}

#[test]
fn a_crowded_or_bare_top_is_found() {
    let full: Vec<_> = TOP.iter().chain(&TOP_TOO).chain(&[".ci"]).map(|&name| name.to_owned()).collect();
    assert_eq!(top_level(&full, true), []);
    assert_eq!(top_level(&[full.clone(), vec!["NOTES.md".to_owned()]].concat(), false).len(), 1);
    assert_eq!(top_level(&full[1..], true).len(), 1);
    assert_eq!(top_level(&full[1..], false), []);
}
