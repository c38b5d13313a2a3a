//! Lengths: what does not fit in one's head is taken apart.

use super::source::{Source, closing, one, words};
use super::{Complaint, all_sources, assert_tidy};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// Files that were too long when the rule came, with their lines. The list only shrinks.
const LONG_FILES: &[(&str, usize)] = &[];
/// Functions that were too long when the rule came, as `path::function`, with their lines. The list only shrinks.
const LONG_FUNCTIONS: &[(&str, usize)] = &[];

/// Something with a length: its place, its name in the lists, its lines.
struct Measured {
    path: String,
    line: usize,
    name: String,
    lines: usize,
}

fn files(sources: &[Source]) -> Vec<Measured> {
    let measured = |source: &Source| {
        let (path, lines) = (source.path.clone(), source.text.lines().count());
        Measured { name: path.clone(), path, line: 1, lines }
    };
    sources.iter().map(measured).collect()
}

/// Functions that are not only built for tests: those are often tables.
fn functions(sources: &[Source]) -> Vec<Measured> {
    let mut measured = Vec::new();
    for source in sources {
        let code = &source.lasting;
        for start in words(code, "fn") {
            let signature = &code[start + 2..];
            let name: String =
                signature.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // A function pointer has no name, a declaration no body.
            let Some(end) = body_or_end(code, start).filter(|_| !name.is_empty()) else { continue };
            let lines = code[start..end].matches('\n').count() + 1;
            let name = format!("{}::{name}", source.path);
            measured.push(Measured { path: source.path.clone(), line: source.line_at(start), name, lines });
        }
    }
    measured
}

/// The end of the body of the function at `start`; `None` if there is no body.
fn body_or_end(code: &str, start: usize) -> Option<usize> {
    let mut position = start;
    loop {
        let next = position + code[position..].find(['(', '[', '{', ';'])?;
        match &code[next..=next] {
            "{" => return Some(closing(code, next)),
            ";" => return None,
            _ => position = closing(code, next),
        }
    }
}

/// Everything over the limit that is not in the list with exactly its lines, and entries of the list that are done.
fn too_long(measured: &[Measured], limit: usize, list: &[(&str, usize)]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for item in measured {
        let listed = list.iter().find(|(name, _)| *name == item.name).map(|(_, lines)| *lines);
        let advice = match listed {
            None if item.lines > limit => format!("{} lines, {limit} are enough: take it apart", item.lines),
            Some(listed) if item.lines > listed => format!("{} lines, it had {listed}: take it apart", item.lines),
            Some(_) if item.lines <= limit => "short enough now: take it off the list in tidy/length.rs".to_owned(),
            Some(listed) if item.lines < listed => format!("shorter now: write {} in tidy/length.rs", item.lines),
            _ => continue,
        };
        complaints.push(Complaint::new(&item.path, item.line, format!("{}: {advice}", item.name)));
    }
    for (name, _) in list.iter().filter(|(name, _)| !measured.iter().any(|item| item.name == *name)) {
        let advice = format!("{name} is gone: take it off the list");
        complaints.push(Complaint::new("tests/tests/tidy/length.rs", 0, advice));
    }
    complaints
}

#[test]
fn files_are_short() {
    assert_tidy(&too_long(&files(&all_sources()), FILE_LINES, LONG_FILES));
}

#[test]
fn functions_are_short() {
    assert_tidy(&too_long(&functions(&all_sources()), FUNCTION_LINES, LONG_FUNCTIONS));
}

#[test]
fn a_long_file_is_found() {
    let long = one("core/src/id.rs", &"//\n".repeat(11));
    assert_eq!(too_long(&files(&[long]), 10, &[]).len(), 1);
}

#[test]
fn a_long_function_is_found_with_its_line() {
    let text = "fn short(x: [u8; 3]) -> Y;\n\nimpl Z {\n    fn long<T>()\n    where\n        T: Fn(u8),\n    {\n        \"}\";\n    }\n}\n";
    let measured = functions(&[one("core/src/id.rs", text)]);
    let complaints = too_long(&measured, 5, &[]);
    assert_eq!(complaints.len(), 1);
    assert_eq!((measured[0].lines, complaints[0].line), (6, 4));
    assert_eq!(functions(&[one("core/src/id.rs", "#[cfg(test)]\nmod tests {\n fn f() {\n }\n}")]).len(), 0);
}

#[test]
fn the_lists_only_shrink() {
    let measured = |lines| [Measured { path: "a.rs".to_owned(), line: 1, name: "a.rs".to_owned(), lines }];
    assert_eq!(too_long(&measured(20), 10, &[("a.rs", 20)]), []);
    for (lines, list) in [(21, ("a.rs", 20)), (19, ("a.rs", 20)), (10, ("a.rs", 20)), (5, ("b.rs", 20))] {
        assert_eq!(too_long(&measured(lines), 10, &[list]).len(), 1, "{lines} lines, listed {list:?}");
    }
}
