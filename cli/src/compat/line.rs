//! A command line of Borg, taken apart: the verb, the options, all other words.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::CommandFactory as _;

use super::options;
use super::verbs::{VERBS, Verb};
use crate::args::{Cli, takes_value};

/// An option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// As it is written: `--lock-wait` or `-r`.
    pub name: String,
    /// What stands beside it.
    pub value: Option<OsString>,
}

impl Given {
    /// An option with a value.
    pub fn new(name: &str, value: impl Into<OsString>) -> Self {
        Self { name: name.to_owned(), value: Some(value.into()) }
    }
}

/// The parts of a command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The names of the command, such as `key` and `export`.
    pub verb: Vec<String>,
    /// The options, in their order.
    pub options: Vec<Given>,
    /// Whatever is no option.
    pub words: Vec<OsString>,
}

impl Line {
    /// Takes `words` apart, the first of which is the program. Unknown options are kept, for others to complain about.
    pub fn parse(words: &[OsString]) -> Self {
        let mut line = Self::default();
        let mut grammar = Grammar::new();
        let mut rest = words.get(1..).unwrap_or_default().iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                line.words.extend(rest.cloned());
                break;
            }
            match word.as_bytes() {
                [b'-', b'-', ..] => line.take_long(word, &grammar, &mut rest),
                [b'-', _, ..] => line.take_short(word, &grammar, &mut rest),
                _ if grammar.enter(word) => line.verb.extend(word.to_str().map(str::to_owned)),
                _ => line.words.push(word.clone()),
            }
            if grammar.ends_options(line.words.len()) {
                line.words.extend(rest.cloned());
                break;
            }
        }
        line
    }

    fn take_long<'a>(&mut self, word: &OsStr, grammar: &Grammar, rest: &mut impl Iterator<Item = &'a OsString>) {
        let bytes = word.as_bytes();
        let (name, mut value) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) => (&bytes[..at], Some(OsString::from_vec(bytes[at + 1..].to_vec()))),
            None => (bytes, None),
        };
        let name = String::from_utf8_lossy(name).into_owned();
        if value.is_none() && grammar.takes_value(&name) {
            value = rest.next().cloned();
        }
        self.options.push(Given { name, value });
    }

    /// Letters behind one dash; the first that takes a value takes the rest, or the next word.
    fn take_short<'a>(&mut self, word: &OsStr, grammar: &Grammar, rest: &mut impl Iterator<Item = &'a OsString>) {
        let letters = &word.as_bytes()[1..];
        for (at, letter) in letters.iter().enumerate() {
            let name = format!("-{}", char::from(*letter));
            if grammar.takes_value(&name) {
                let value = match &letters[at + 1..] {
                    [] => rest.next().cloned(),
                    value => Some(OsString::from_vec(value.to_vec())),
                };
                self.options.push(Given { name, value });
                return;
            }
            self.options.push(Given { name, value: None });
        }
    }

    /// Whether the version is asked for, and nothing else.
    pub fn asks_for_version(&self) -> bool {
        self.verb.is_empty() && self.options.iter().any(|given| ["-V", "--version"].contains(&&*given.name))
    }

    /// The value of the last option with one of these names.
    pub fn value(&self, names: &[&str]) -> Option<&OsStr> {
        let named = self.options.iter().rev().find(|given| names.contains(&&*given.name));
        named.and_then(|given| given.value.as_deref())
    }

    /// Whether an option with one of these names is there.
    pub fn has(&self, names: &[&str]) -> bool {
        self.options.iter().any(|given| names.contains(&&*given.name))
    }

    /// The command line again.
    pub fn words(self, program: OsString) -> Vec<OsString> {
        let mut all = vec![program];
        all.extend(self.verb.into_iter().map(OsString::from));
        for Given { name, value } in self.options {
            match value {
                None => all.push(name.into()),
                // joined, since a value may begin with a dash
                Some(value) => {
                    let between = if name.starts_with("--") { "=" } else { "" };
                    let mut joined = OsString::from(name + between);
                    joined.push(value);
                    all.push(joined);
                }
            }
        }
        if !self.words.is_empty() {
            all.push("--".into());
            all.extend(self.words);
        }
        all
    }
}

/// Which words are commands and which options take a value, as far as the line has been read.
struct Grammar {
    root: clap::Command,
    verb: Vec<String>,
    /// The commands of this program a verb may become.
    natives: Vec<clap::Command>,
    complete: bool,
}

impl Grammar {
    fn new() -> Self {
        let mut root = Cli::command();
        // Common options are known to commands only afterwards.
        root.build();
        Self { natives: vec![root.clone()], root, verb: Vec::new(), complete: false }
    }

    /// Takes the next word of the verb, if this is one.
    fn enter(&mut self, word: &OsStr) -> bool {
        let Some(word) = word.to_str().filter(|_| !self.complete) else { return false };
        if !self.verb.is_empty() && !self.natives.iter().any(|command| command.find_subcommand(word).is_some()) {
            self.complete = true;
            return false;
        }
        self.verb.push(word.to_owned());
        let native =
            |path: &str| path.split(' ').try_fold(&self.root, |command, name| command.find_subcommand(name)).cloned();
        let joined = self.verb.join(" ");
        let becomes = Verb::find(&joined).map_or(vec![&*joined], |verb| verb.natives.to_vec());
        self.natives = becomes.into_iter().filter_map(native).collect();
        let unfinished = self.natives.iter().any(clap::Command::has_subcommands);
        self.complete = !unfinished && !VERBS.iter().any(|verb| verb.name.starts_with(&format!("{joined} ")));
        true
    }

    fn takes_value(&self, name: &str) -> bool {
        let native = |command: &clap::Command| takes_value(command, name);
        options::takes_value(&self.verb.join(" "), name).unwrap_or_else(|| self.natives.iter().any(native))
    }

    /// Whether all that follows belongs to another command.
    fn ends_options(&self, words: usize) -> bool {
        words >= 1 && self.verb == ["with-lock"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Line {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Line::parse(&words)
    }

    #[test]
    fn lines_are_taken_apart() {
        for (line, verb, options, words) in [
            (
                "borg --log-json create -sC zstd,3 R::a p --dry-run",
                "create",
                "--log-json -s -C=zstd,3 --dry-run",
                "R::a p",
            ),
            ("borg --lock-wait 5 key export R -- -x", "key export", "--lock-wait=5", "R -x"),
            ("borg init -e repokey R", "init", "-e=repokey", "R"),
            ("borg list --prefix a- --json R", "list", "--prefix=a- --json", "R"),
            ("borg prune -P a- -d7 --keep-weekly=4 R", "prune", "-P=a- -d=7 --keep-weekly=4", "R"),
            ("borg with-lock R rsync -a --delete", "with-lock", "", "R rsync -a --delete"),
            ("borg create -c 600 --unknown R::a -", "create", "-c=600 --unknown", "R::a -"),
            ("borg --info --log-json key change-passphrase R", "key change-passphrase", "--info --log-json", "R"),
        ] {
            let found = parsed(line);
            let shown = |given: &Given| match &given.value {
                None => given.name.clone(),
                Some(value) => format!("{}={}", given.name, value.display()),
            };
            let shown: Vec<String> = found.options.iter().map(shown).collect();
            assert_eq!((found.verb.join(" ").as_str(), shown.join(" ").as_str()), (verb, options), "{line}");
            assert_eq!(found.words.join(OsStr::new(" ")), words, "{line}");
        }
        assert!(parsed("borg --log-json --version").asks_for_version() && parsed("borg -V").asks_for_version());
        assert!(!parsed("borg version").asks_for_version());
    }
}
