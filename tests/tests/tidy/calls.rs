//! Banned calls: time, randomness, environment and files come in through one door each.

use super::source::{Source, one, words};
use super::{Complaint, assert_tidy, sources_in};

/// A path or word, where alone it may stand (starts of paths), and what to use elsewhere.
struct Ban {
    what: &'static str,
    homes: &'static [&'static str],
    instead: &'static str,
}

const BANS: [Ban; 11] = [
    Ban { what: "SystemTime::now", homes: &["core/src/clock.rs"], instead: "ask a `Clock`" },
    Ban { what: "std::env", homes: &[], instead: "take an option: the environment is the program's business" },
    Ban { what: "println!", homes: &[], instead: "tell a `Monitor`" },
    Ban { what: "eprintln!", homes: &[], instead: "tell a `Monitor`" },
    Ban { what: "print!", homes: &[], instead: "tell a `Monitor`" },
    Ban { what: "eprint!", homes: &[], instead: "tell a `Monitor`" },
    Ban { what: "process::exit", homes: &[], instead: "return an `Error`" },
    Ban {
        what: "std::fs",
        homes: &["core/src/fs/", "core/src/local_state.rs"],
        instead: "use the `fs` module, or a `LocalState`",
    },
    Ban { what: "getrandom", homes: &["core/src/crypto/random.rs"], instead: "use `crypto::random`" },
    Ban { what: "thread_rng", homes: &[], instead: "use `crypto::random`" },
    Ban { what: "unsafe", homes: &["core/src/fs/platform"], instead: "find a safe way" },
];

impl Ban {
    /// Whether a path of the code, such as `std::fs::read`, is what is banned.
    fn covers(&self, path: &str) -> bool {
        let (path, what) = (format!("::{path}::"), format!("::{}::", self.what));
        path.contains(&what)
    }

    fn lines_in(&self, source: &Source) -> Vec<usize> {
        // Imports may be written in braces, so paths are looked at as they are meant.
        if self.what.contains("::") {
            return source.named().iter().filter(|named| self.covers(&named.path)).map(|named| named.line).collect();
        }
        let word = self.what.trim_end_matches('!');
        let rest = &self.what[word.len()..];
        let found = words(&source.lasting, word).filter(|start| source.lasting[start + word.len()..].starts_with(rest));
        found.map(|start| source.line_at(start)).collect()
    }
}

fn banned_calls(sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources {
        for ban in BANS.iter().filter(|ban| !ban.homes.iter().any(|home| source.path.starts_with(home))) {
            for line in ban.lines_in(source) {
                complaints.push(Complaint::new(&source.path, line, format!("no `{}` here: {}", ban.what, ban.instead)));
            }
        }
    }
    complaints
}

#[test]
fn the_engine_has_one_door_for_each_thing() {
    assert_tidy(&banned_calls(&sources_in(&["core/src"])));
}

#[test]
fn every_banned_call_is_found() {
    let bad = [
        "use std::time::SystemTime;\nfn f() { SystemTime::now(); }",
        "\nfn f() { std::time::SystemTime::now(); }",
        "\nuse std::{env, fmt};",
        "\nfn f() { std::env::var(x); }",
        "\nfn f() { println!(); }",
        "\nfn f() { eprint!(x); }",
        "\nfn f() { process::exit(1); }",
        "\nuse std::fs;",
        "use std::{\n    fs::{self as files},\n    io,\n};",
        "\nfn f() { getrandom::fill(x); }",
        "\nfn f() { rand::thread_rng(); }",
        "\nfn f() { unsafe { g() } }",
    ];
    for text in bad {
        let complaints = banned_calls(&[one("core/src/gc/doom.rs", text)]);
        assert_eq!(complaints.iter().map(|complaint| complaint.line).collect::<Vec<_>>(), [2], "{text}");
    }
}

#[test]
fn what_is_no_call_or_at_home_is_fine() {
    let good = [
        ("core/src/clock.rs", "fn f() { SystemTime::now(); }"),
        ("core/src/fs/open.rs", "use std::fs::File;"),
        ("core/src/gc/doom.rs", "// println!\nfn f() { g(\"std::env\"); }\n#[cfg(test)]\nmod tests { use std::fs; }"),
        ("core/src/gc/doom.rs", "use crate::fs::open;\nfn pretty_print() { my_println!(); }\n#![deny(unsafe_code)]"),
    ];
    for (path, text) in good {
        assert_eq!(banned_calls(&[one(path, text)]), [], "{text}");
    }
}
