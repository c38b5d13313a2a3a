//! The code map of `docs/architecture.md` is the tree: every source is in it, and nothing else.
//!
//! In the section whose heading contains "code map", every path in backticks that begins with `core/src/`,
//! `backends/src/`, `cli/src/` or `fuse/src/` names a file; `core/src/chunker/{mod,stream}.rs` names several.

use std::collections::BTreeMap;
use std::fs;

use super::{Complaint, assert_tidy, files_in, project};

const MAP: &str = "docs/architecture.md";
const MAPPED: [&str; 4] = ["core/src", "backends/src", "cli/src", "fuse/src"];

/// The files a map names, with their lines: every one of them, if there are several.
fn mapped_files(text: &str) -> BTreeMap<String, Vec<usize>> {
    let mut files = BTreeMap::<String, Vec<usize>>::new();
    let mut inside = None;
    for (number, line) in text.lines().enumerate() {
        let depth = line.len() - line.trim_start_matches('#').len();
        if depth > 0 && inside.is_none_or(|outer| depth <= outer) {
            inside = line.to_ascii_lowercase().contains("code map").then_some(depth);
        }
        if inside.is_some() {
            let spans = line.split('`').skip(1).step_by(2);
            let paths = spans.filter(|span| MAPPED.iter().any(|folder| span.starts_with(&format!("{folder}/"))));
            for path in paths.filter(|path| path.ends_with(".rs")).flat_map(expanded) {
                files.entry(path).or_default().push(number + 1);
            }
        }
    }
    files
}

/// `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`.
fn expanded(path: &str) -> Vec<String> {
    let braces = path.split_once('{').and_then(|(start, rest)| Some((start, rest.split_once('}')?)));
    match braces {
        None => vec![path.to_owned()],
        Some((start, (names, end))) => {
            let each = names.split(',').map(|name| format!("{start}{}{end}", name.trim()));
            each.flat_map(|path| expanded(&path)).collect()
        }
    }
}

fn differences(map: &BTreeMap<String, Vec<usize>>, files: &[String]) -> Vec<Complaint> {
    let unknown = files.iter().filter(|file| !map.contains_key(*file));
    let mut complaints: Vec<_> =
        unknown.map(|file| Complaint::new(file, 0, format!("enter it in the code map of {MAP}"))).collect();
    for (file, lines) in map {
        let twice = lines.iter().skip(1).map(|line| (line, format!("{file} is in the map already")));
        let missing = (!files.contains(file)).then(|| format!("there is no {file}: take it off the map"));
        let missing = lines.iter().take(1).zip(missing);
        complaints.extend(missing.chain(twice).map(|(line, advice)| Complaint::new(MAP, *line, advice)));
    }
    complaints
}

#[test]
fn the_map_is_the_tree() {
    let map = project().join(MAP);
    if !map.exists() {
        eprintln!("skipped: there is no {MAP} yet");
        return;
    }
    let files: Vec<_> = files_in(&MAPPED).into_iter().filter(|path| path.ends_with(".rs")).collect();
    assert_tidy(&differences(&mapped_files(&fs::read_to_string(map).unwrap()), &files));
}

#[test]
fn paths_of_the_map_are_read() {
    let text = "# The house\n`core/src/not_here.rs`\n## Code map\n| `core/src/id.rs` | ids |\n### 1\n`core/src/b/{a, c}/{d,e}.rs` \
                `x.rs` `core/src/fs/`\n## Rules\n`cli/src/x.rs`\n";
    let b = ["a/d", "a/e", "c/d", "c/e"].map(|path| (format!("core/src/b/{path}.rs"), vec![6]));
    let expected = [b.to_vec(), vec![("core/src/id.rs".to_owned(), vec![4])]].concat();
    assert_eq!(mapped_files(text), expected.into_iter().collect());
}

#[test]
fn a_wrong_map_is_found() {
    let map = mapped_files("# Code map\n`core/src/id.rs` `core/src/gone.rs`\n`core/src/id.rs`\n");
    let files = ["core/src/id.rs", "core/src/new.rs"].map(str::to_owned);
    let complaints = differences(&map, &files);
    let told: Vec<_> = complaints.iter().map(|complaint| (complaint.path.as_str(), complaint.line)).collect();
    assert_eq!(told, [("core/src/new.rs", 0), (MAP, 2), (MAP, 3)]);
}
