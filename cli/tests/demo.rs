//! docs/demo.md is a session as it was: typed again, it says the same.
//!
//! `GABION_TEST_RECORD=1 cargo test -p gabion demo` records it anew.

use std::fs;

use crate::pages::{Machine, project};

/// Printed between commands.
const SEPARATOR: char = '\u{1e}';

/// A command, with all its lines, and what was said.
struct Step {
    typed: String,
    said: String,
}

/// What stands in a block: commands begin with `$ `, go on with `> `, and what is said follows.
fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), line.strip_prefix("> "), steps.last_mut()) {
            (Some(typed), ..) => steps.push(Step { typed: typed.to_owned() + "\n", said: String::new() }),
            (_, Some(more), Some(step)) if step.said.is_empty() => step.typed += &(more.to_owned() + "\n"),
            (.., Some(step)) => step.said += &(line.to_owned() + "\n"),
            (.., None) => panic!("{line}: no command before it"),
        }
    }
    steps
}

/// Types all commands in one shell; what each said, with the paths of the page.
fn replay(steps: &[Step]) -> Vec<String> {
    let machine = Machine::new();
    let typed = steps.iter().map(|step| format!("printf '\\036'\n{}", step.typed));
    let script = "exec 2>&1\n".to_owned() + &typed.collect::<String>();
    let output = machine.shell("-uc", &script).env("TZ", "UTC").env("LC_ALL", "C").output().unwrap();
    let root = machine.path("").display().to_string();
    let root = root.trim_end_matches('/');
    let said = String::from_utf8(output.stdout).unwrap();
    let said = said.replace(root, "").replace(&format!("{}/", &root[1..]), "");
    said.split(SEPARATOR).skip(1).map(str::to_owned).collect()
}

/// A text without what is different each time: ids, moments, lengths of time, and sizes, which depend on the key.
fn masked(text: &str) -> Vec<String> {
    let is =
        |word: &str, allowed: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || allowed.contains(c));
    let word = |word: &str| match word.trim_matches(['[', ']', '(', ')', ',', '.', ':', '+', '-']) {
        bare if bare.len() >= 8 && is(bare, "abcdef") => "<id>".to_owned(),
        bare if bare.contains(['-', ':']) && is(bare, "-:.") => "<moment>".to_owned(),
        "Mon" | "Tue" | "Wed" | "Thu" | "Fri" | "Sat" | "Sun" => "<day>".to_owned(),
        bare if bare.contains('.') && is(bare, ".") => "<measure>".to_owned(),
        _ => word.to_owned(),
    };
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // 17 B is as much a size as 1.70 kB.
        let measured = |at: usize| matches!(words.get(at + 1), Some(&("B" | "kB" | "MB")));
        let words = words.iter().enumerate().map(|(at, text)| match measured(at) && is(text, ".") {
            true => "<measure>".to_owned(),
            false => text.split('/').map(word).collect::<Vec<_>>().join("/"),
        });
        let line = words.collect::<Vec<_>>().join(" ");
        ["B", "kB", "MB"].iter().fold(line, |line, unit| line.replace(&format!("<measure> {unit}"), "<size>"))
    };
    text.lines().map(line).collect()
}

#[test]
fn the_session_is_as_it_was() {
    let path = project().join("docs/demo.md");
    let page = fs::read_to_string(&path).unwrap();
    let parts: Vec<(&str, &str)> =
        page.split("```console\n").skip(1).map(|rest| rest.split_once("```").unwrap()).collect();
    let blocks: Vec<Vec<Step>> = parts.iter().map(|(block, _)| steps(block)).collect();
    let counts: Vec<usize> = blocks.iter().map(Vec::len).collect();
    let all: Vec<Step> = blocks.into_iter().flatten().collect();
    assert!(all.len() > 15, "the session has lost its commands");
    let said = replay(&all);
    if std::env::var_os("GABION_TEST_RECORD").is_some() {
        let mut lines = all
            .iter()
            .zip(&said)
            .map(|(step, said)| format!("$ {}\n{said}", step.typed.trim_end().replace('\n', "\n> ")));
        let mut recorded = page.split("```console\n").next().unwrap().to_owned();
        for ((_, after), count) in parts.iter().zip(counts) {
            recorded += &format!("```console\n{}```{after}", lines.by_ref().take(count).collect::<String>());
        }
        fs::write(&path, recorded).unwrap();
        return;
    }
    assert_eq!(said.len(), all.len());
    for (step, said) in all.iter().zip(said) {
        assert_eq!(masked(&said), masked(&step.said), "{}", step.typed);
    }
}

#[test]
fn only_what_changes_by_itself_is_masked() {
    let said =
        "home  Sat, 2026-11-28 13:47:07  [0123abcdef]\nStored: 17 B, 3 files, 1.25 kB in 7 chunks\nx/ffffffff0 beef";
    let expected = ["home <day> <moment> <moment> <id>", "Stored: 17 B, 3 files, <size> in 7 chunks", "x/<id> beef"];
    assert_eq!(masked(said), expected);
}
