//! Floors: a module imports only from floors below it, and within a floor there are no circles.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Named, Source, one};
use super::{Complaint, assert_tidy, sources_in};

/// The modules of `core/src` from the ground up.
const FLOORS: [&[&str]; 8] = [
    &["id", "error", "codec", "limits", "clock", "monitor", "local_state", "recent", "acl"],
    &["chunker", "compress", "crypto", "seal", "pattern", "tar"],
    &["backend"],
    &["segment", "index", "gc", "borg1"],
    &["repository"],
    &["archive"],
    &["fs"],
    &["ops"],
];

fn floor_of(unit: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&unit))
}

/// The modules between `core/src` and a file, its own name included: `["backend", "memory"]`.
fn modules_of(path: &str) -> Vec<String> {
    let inside = path.strip_prefix("core/src/").unwrap_or(path).trim_end_matches(".rs");
    let mut modules: Vec<_> = inside.split('/').map(str::to_owned).collect();
    if modules.last().is_some_and(|last| last == "mod" || last == "lib") {
        modules.pop();
    }
    modules
}

/// The module right below the root of the crate that a path leads to; `None` if it leads out of the crate or stays
/// within its own module.
fn unit_of(from: &[String], named: &Named) -> Option<String> {
    let mut parts = named.path.split("::").peekable();
    let mut modules = match *parts.peek()? {
        "crate" => Vec::new(),
        "super" | "self" => from.to_vec(),
        _ => return None,
    };
    while let Some(part) = parts.next_if(|part| matches!(*part, "crate" | "super" | "self")) {
        if part == "super" {
            modules.pop();
        }
    }
    modules.extend(parts.map(str::to_owned));
    let unit = modules.first()?.clone();
    (from.first() != Some(&unit)).then_some(unit)
}

/// Every import that does not go downstairs.
fn upstairs(sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("core/src/")) {
        let modules = modules_of(&source.path);
        // The root only declares modules.
        let Some(own) = modules.first() else { continue };
        let Some(floor) = floor_of(own) else {
            complaints.push(Complaint::new(
                &source.path,
                1,
                format!("give `{own}` a floor in tests/tests/tidy/floors.rs"),
            ));
            continue;
        };
        for named in source.named() {
            let Some(unit) = unit_of(&modules, &named) else { continue };
            let advice = match floor_of(&unit) {
                None => format!("`{}` is on no floor: import from the module that defines it", named.path),
                Some(other) if other > floor => format!(
                    "`{}` is upstairs: {own} is on floor {floor}, {unit} on floor {other}; move what both need down",
                    named.path
                ),
                Some(_) => continue,
            };
            complaints.push(Complaint::new(&source.path, named.line, advice));
        }
    }
    complaints
}

/// Circles of imports between modules of one floor.
fn circles(sources: &[Source]) -> Vec<Complaint> {
    let mut imports: BTreeMap<String, BTreeMap<String, (String, usize)>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.path.starts_with("core/src/")) {
        let modules = modules_of(&source.path);
        let Some(own) = modules.first() else { continue };
        for named in source.named() {
            if let Some(unit) = unit_of(&modules, &named).filter(|unit| floor_of(unit) == floor_of(own)) {
                imports.entry(own.clone()).or_default().entry(unit).or_insert((source.path.clone(), named.line));
            }
        }
    }
    let reached = |from: &String| {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(unit) = waiting.pop() {
            let next = imports.get(unit).into_iter().flat_map(BTreeMap::keys);
            waiting.extend(next.filter(|next| seen.insert((*next).clone())));
        }
        seen
    };
    let mut complaints = Vec::new();
    for (own, others) in &imports {
        for (other, (path, line)) in others {
            if reached(other).contains(own) {
                let advice =
                    format!("{own} and {other} import each other: move what both need to one of them, or down");
                complaints.push(Complaint::new(path, *line, advice));
            }
        }
    }
    complaints
}

/// Imports that hide what is imported.
fn globs(sources: &[Source]) -> Vec<Complaint> {
    let everything = |path: &str| {
        path.strip_suffix("::*").is_some_and(|start| start.split("::").all(|part| matches!(part, "crate" | "super")))
    };
    let mut complaints = Vec::new();
    for source in sources {
        for named in source.named().into_iter().filter(|named| everything(&named.path)) {
            let advice = format!("name what is needed instead of `{}`", named.path);
            complaints.push(Complaint::new(&source.path, named.line, advice));
        }
    }
    complaints
}

#[test]
fn imports_go_downstairs() {
    assert_tidy(&upstairs(&sources_in(&["core/src"])));
}

#[test]
fn imports_go_in_no_circles() {
    assert_tidy(&circles(&sources_in(&["core/src"])));
}

#[test]
fn imports_name_what_they_need() {
    assert_tidy(&globs(&super::all_sources()));
}

#[test]
fn an_import_from_upstairs_is_found() {
    let bad = [
        "use crate::error::Error;\nuse crate::{id::ChunkId, repository::open};\n",
        "use super::super::archive::Node;\n",
        "fn f() {\n\n    crate::ops::create::run();\n}\n",
        "use crate::nonsense::Thing;\n",
    ];
    for (text, line) in bad.into_iter().zip([2, 1, 3, 1]) {
        let complaints = upstairs(&[one("core/src/segment/writer.rs", text)]);
        assert_eq!(complaints.iter().map(|complaint| complaint.line).collect::<Vec<_>>(), [line], "{text}");
    }
    let good = "use super::Directory;\nuse super::super::backend::Store;\n#[cfg(test)]\nmod tests { use crate::ops::x; }\n// crate::ops\n";
    assert_eq!(upstairs(&[one("core/src/segment/writer.rs", good)]), []);
    assert_eq!(upstairs(&[one("core/src/attic.rs", "")]).len(), 1, "a module without a floor");
}

#[test]
fn a_circle_is_found() {
    let circle = [
        one("core/src/segment/mod.rs", "use crate::index::Table;"),
        one("core/src/index/load.rs", "\nuse crate::gc::Doom;"),
        one("core/src/gc/doom.rs", "use super::super::segment::Class;"),
    ];
    assert_eq!(circles(&circle).len(), 3);
    assert_eq!(circles(&circle)[1].line, 2);
    assert_eq!(circles(&circle[..2]), []);
}

#[test]
fn a_glob_is_found() {
    for bad in ["use crate::*;", "use super::*;", "use super::{super::*, x};"] {
        assert_eq!(globs(&[one("core/src/gc/doom.rs", bad)]).len(), 1, "{bad}");
    }
    assert_eq!(globs(&[one("core/src/gc/doom.rs", "#[cfg(test)]\nmod tests { use super::*; }")]), []);
}
