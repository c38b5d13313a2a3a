//! `docs/cli.md`: all that `gabion help` says, on one page.

use std::fs;
use std::path::{Path, PathBuf};

use crate::help::{TOPICS, commands};
use crate::place::Place;

const ABOUT: &str = "# Command line

What `gabion help` says of every command and topic, on one page. A test holds it to the program;
`cargo test -p gabion --test cli -- --ignored the_reference_is_written` writes it anew.

Options that all commands know stand once, at the end of the commands. `gabion man --dir DIR` makes pages for `man` of the same.
";

/// The heading above the options that all commands know.
const COMMON: &str = "\nCommon options:\n";

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md")
}

/// A help: what stands before the common options, the common options, what stands after them.
fn parts(help: &str) -> (&str, &str, &str) {
    let Some((before, rest)) = help.split_once(COMMON) else { return (help, "", "") };
    let options = rest.split_inclusive('\n').take_while(|line| line.starts_with([' ', '\n'])).map(str::len).sum();
    let (common, after) = rest.split_at(options);
    (before, common, after)
}

fn section(page: &mut String, heading: &str, text: &str) {
    assert!(!text.contains("```"), "{heading} would end its block");
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    *page += &format!("\n{heading}\n\n```text\n{}\n```\n", lines.join("\n"));
}

fn reference() -> String {
    let place = Place::bare();
    let help = |words: &[&str]| place.run(&[&["help"], words].concat()).succeeded().out;
    let mut page = ABOUT.to_owned();
    let mut command = |words: &[&str]| {
        let help = help(words);
        let (before, _, after) = parts(&help);
        section(
            &mut page,
            &format!("{} gabion {}", "#".repeat(words.len() + 1), words.join(" ")),
            &format!("{before}\n{after}"),
        );
    };
    for name in commands(&place, &[]) {
        command(&[&name]);
        for inside in commands(&place, &[&name]) {
            command(&[&name, &inside]);
        }
    }
    section(&mut page, "## Common options", parts(&help(&["tag"])).1);
    for topic in TOPICS {
        section(&mut page, &format!("## gabion help {topic}"), &help(&[topic]));
    }
    page
}

#[test]
fn common_options_are_cut_out() {
    assert_eq!(parts("a\n\nCommon options:\n  -r\n\n  -v\n\nEnd:\n"), ("a\n", "  -r\n\n  -v\n\n", "End:\n"));
    assert_eq!(parts("a\n"), ("a\n", "", ""));
}

#[test]
fn the_reference_is_what_the_program_says() {
    let (page, expected) = (fs::read_to_string(file()).unwrap(), reference());
    for (at, (is, should)) in page.lines().zip(expected.lines()).enumerate() {
        assert_eq!(is, should, "line {} of docs/cli.md; it says itself how to write it anew", at + 1);
    }
    assert_eq!(page.len(), expected.len(), "docs/cli.md is cut or goes on; it says itself how to write it anew");
}

#[test]
#[ignore = "writes into the sources"]
fn the_reference_is_written() {
    fs::write(file(), reference()).unwrap();
}
