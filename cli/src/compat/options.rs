//! Options only Borg has, and what they become.

use std::ffi::{OsStr, OsString};

use super::line::{Given, Line};
use super::{chunker, encryption, location};
use crate::exit_code::Failure;

/// A command line on its way.
#[derive(Debug, Default)]
pub struct Rewriting {
    /// What it is by now.
    pub line: Line,
    /// Variables that say what options said.
    pub variables: Vec<(&'static str, String)>,
    /// What has no effect, a sentence each.
    pub notes: Vec<String>,
}

/// What becomes of an option.
enum Action {
    /// It is called so here.
    Is(&'static str),
    /// It has no effect; why.
    Without(&'static str),
    /// It says nothing that is not so anyway.
    Nothing,
    /// Something of its own.
    Value(fn(&str, &mut Rewriting) -> Result<(), Failure>),
}

/// An option of some commands.
struct Rule {
    /// The commands, separated by spaces; empty for all.
    verbs: &'static str,
    /// Its spellings.
    names: &'static [&'static str],
    takes_value: bool,
    action: Action,
}

const fn rule(verbs: &'static str, names: &'static [&'static str], takes_value: bool, action: Action) -> Rule {
    Rule { verbs, names, takes_value, action }
}

const NO_LOCKS: &str = "nothing is ever locked against reading and writing";
const CHECKPOINTS: &str = "checkpoints are made by themselves";
const SPACE: &str = "no command needs more room for want of it";
const QUOTA: &str = "limits are set where the repository is served: gabion serve --quota";
const APPEND_ONLY: &str = "it is granted where the repository is served: gabion serve --permissions no-delete";

/// The first that fits counts.
const RULES: [Rule; 37] = [
    rule("", &["--iec"], false, Action::Value(|_, to| to.variable("GABION_UNITS", "iec"))),
    rule("", &["--bypass-lock"], false, Action::Without(NO_LOCKS)),
    rule("", &["--remote-ratelimit"], true, Action::Is("--upload-ratelimit")),
    rule("", &["--upload-buffer", "--remote-buffer"], true, Action::Without("what waits to be sent is bounded anyway")),
    rule("", &["--consider-part-files"], false, Action::Without("there are no parts of files")),
    rule("", &["--debug-profile"], true, Action::Without("there is no profile")),
    rule("", &["--remote-path"], true, Action::Value(remote_path)),
    rule(
        "",
        &["-r", "--repo"],
        true,
        Action::Value(|value, to| to.option("--repo", location::translated(value.as_ref()))),
    ),
    rule(
        "",
        &["--other-repo"],
        true,
        Action::Value(|value, to| to.option("--other-repo", location::translated(value.as_ref()))),
    ),
    rule("", &["--save-space"], false, Action::Without(SPACE)),
    rule(
        "create delete import-tar prune recreate",
        &["-c", "--checkpoint-interval"],
        true,
        Action::Without(CHECKPOINTS),
    ),
    rule("create import-tar recreate", &["--checkpoint-volume"], true, Action::Without(CHECKPOINTS)),
    rule(
        "",
        &["-P", "--prefix"],
        true,
        Action::Value(|value, to| to.option("--match-archives", format!("sh:{value}*"))),
    ),
    rule(
        "",
        &["--glob-archives"],
        true,
        Action::Value(|value, to| to.option("--match-archives", format!("sh:{value}"))),
    ),
    rule("", &["-a", "--match-archives"], true, Action::Value(match_archives)),
    rule(
        "info mount check delete prune recreate",
        &["--consider-checkpoints"],
        false,
        Action::Without("unfinished archives are listed only"),
    ),
    rule("", &["--numeric-owner"], false, Action::Is("--numeric-ids")),
    rule("", &["--nobsdflags"], false, Action::Is("--noflags")),
    rule("create", &["--noatime"], false, Action::Nothing),
    rule("create", &["--exclude-nodump"], false, Action::Without("the flag is kept, and such files are backed up")),
    rule("create", &["--no-cache-sync"], false, Action::Nothing),
    rule("create import-tar recreate extract", &["--quick-stats"], false, Action::Is("--stats")),
    rule("delete prune", &["--quick-stats"], false, Action::Nothing),
    rule("prune", &["-s", "--stats"], false, Action::Nothing),
    rule("compact", &["--cleanup-commits"], false, Action::Nothing),
    rule("check", &["--max-duration"], true, Action::Value(max_duration)),
    rule("diff", &["--sort"], false, Action::Value(|_, to| to.option("--sort-by", "path"))),
    rule("init repo-create rcreate", &["-e", "--encryption"], true, Action::Value(encryption)),
    rule(
        "init repo-create rcreate",
        &["-i", "--id-hash"],
        true,
        Action::Value(|value, to| to.option("--id-hash", encryption::id_hash(value))),
    ),
    rule("init repo-create rcreate", &["--append-only"], false, Action::Without(APPEND_ONLY)),
    rule("init repo-create rcreate", &["--storage-quota"], true, Action::Without(QUOTA)),
    rule(
        "init repo-create rcreate",
        &["--copy-crypt-key"],
        false,
        Action::Without("every repository has a key of its own"),
    ),
    rule("transfer", &["--upgrader"], true, Action::Without("both repositories have the same format")),
    rule("serve", &["--append-only"], false, Action::Value(|_, to| to.option("--permissions", "no-delete"))),
    rule("serve", &["--rest"], false, Action::Nothing),
    rule("", &["--cockpit"], false, Action::Without("there is none")),
    rule(
        "create import-tar recreate transfer",
        &["--chunker-params"],
        true,
        Action::Value(|value, to| to.option("--chunker-params", chunker::nearest(value))),
    ),
];

fn find(verb: &str, name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| {
        let here = rule.verbs.is_empty() || rule.verbs == verb || rule.verbs.split(' ').any(|other| other == verb);
        here && rule.names.contains(&name)
    })
}

/// Whether an option that is none of this program takes a value.
pub fn takes_value(verb: &str, name: &str) -> Option<bool> {
    find(verb, name).map(|rule| rule.takes_value)
}

/// Replaces all options only Borg has.
pub fn rewritten(line: Line) -> Result<Rewriting, Failure> {
    let Line { verb, options, words } = line;
    let name = verb.join(" ");
    let mut to = Rewriting { line: Line { verb, options: Vec::new(), words }, ..Rewriting::default() };
    for given in options {
        let Some(rule) = find(&name, &given.name) else {
            to.line.options.push(given);
            continue;
        };
        match &rule.action {
            Action::Is(own) => to.line.options.push(Given { name: (*own).to_owned(), value: given.value }),
            Action::Without(why) => to.notes.push(format!("{} has no effect: {why}", given.name)),
            Action::Nothing => {}
            Action::Value(act) => match (given.value.as_deref().map(OsStr::to_str), rule.takes_value) {
                (Some(Some(value)), _) => act(value, &mut to)?,
                (None, false) => act("", &mut to)?,
                // no value, or one that is no text: others know what to say of it
                _ => to.line.options.push(given),
            },
        }
    }
    Ok(to)
}

impl Rewriting {
    fn option(&mut self, name: &str, value: impl Into<OsString>) -> Result<(), Failure> {
        self.line.options.push(Given::new(name, value));
        Ok(())
    }

    fn variable(&mut self, name: &'static str, value: &str) -> Result<(), Failure> {
        self.variables.push((name, value.to_owned()));
        Ok(())
    }
}

fn remote_path(value: &str, to: &mut Rewriting) -> Result<(), Failure> {
    match location::remote_program(value.as_ref()) {
        Some(program) => to.option("--remote-path", program),
        None => Ok(()),
    }
}

/// Borg 1 takes a glob, Borg 2 a name or a style and a pattern: wildcards tell which.
fn match_archives(value: &str, to: &mut Rewriting) -> Result<(), Failure> {
    let styles = ["id:", "sh:", "re:", "aid:", "name:", "user:", "host:", "tags:", "date:", "archive:"];
    let is_glob = value.contains(['*', '?', '[']) && !styles.iter().any(|style| value.starts_with(style));
    to.option("--match-archives", if is_glob { format!("sh:{value}") } else { value.to_owned() })
}

/// To Borg no seconds are no limit.
fn max_duration(seconds: &str, to: &mut Rewriting) -> Result<(), Failure> {
    if seconds == "0" { Ok(()) } else { to.option("--max-duration", seconds) }
}

/// Chooses what is nearest, and keeps the name that was asked for.
fn encryption(name: &str, to: &mut Rewriting) -> Result<(), Failure> {
    let choice = encryption::nearest(name)?;
    if let Some(suite) = choice.suite {
        to.option("--encryption", suite)?;
    }
    if choice.encrypts_more {
        to.notes.push(format!("{name}: what is authenticated is encrypted too"));
    }
    if let Some(place) = choice.key_location {
        to.option("--key-location", place)?;
    }
    if let Some(hash) = choice.id_hash.filter(|_| !to.line.has(&["--id-hash"])) {
        to.option("--id-hash", hash)?;
    }
    to.option("--label", encryption::label(name))
}
