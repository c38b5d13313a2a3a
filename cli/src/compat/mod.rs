//! Borg's command line, environment and names, for programs and habits that know Borg.
//!
//! Started under the name `borg`, or with `GABION_COMPAT=borg`, the program takes what either generation of Borg takes.
//! That becomes a command line and an environment of this program before anything else sees it, so no command knows
//! of it. What output needs beyond that is in [`Borg`] and [`keys`].

mod chunker;
mod encryption;
mod environment;
pub mod keys;
mod line;
mod location;
mod options;
#[cfg(test)]
mod table;
mod verbs;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use gabion_core::crypto::id_hash::IdHash;
use gabion_core::monitor::FileStatus;
use gabion_core::repository::Repository;
use serde_json::{Value as Json, json};

use crate::args;
use crate::environment::Environment;
use crate::exit_code::{Failure, Scale};
use crate::progress::lines::letter;

/// The variable that asks for this, whatever the program is called.
const VARIABLE: &str = "GABION_COMPAT";

/// What drivers look for to find mounts of Borg.
pub const MOUNT_SOURCE: &str = "borgfs";

/// Whose answers drivers expect: they choose their commands by the version they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    /// Borg 1.x.
    One,
    /// Borg 2.
    Two,
}

impl Generation {
    fn version(self) -> &'static str {
        match self {
            Self::One => "1.4.5",
            Self::Two => "2.0.0b23",
        }
    }

    fn named(name: &OsStr) -> Option<Self> {
        match name.to_str()? {
            "borg1" => Some(Self::One),
            "borg" | "borg2" => Some(Self::Two),
            _ => None,
        }
    }
}

/// What a process was started with: its words, the first of which is the program, and its environment.
#[derive(Debug, Default)]
pub struct Started {
    /// The command line.
    pub words: Vec<OsString>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// What output has to know, if Borg was meant.
    pub borg: Option<Borg>,
}

impl Started {
    /// What this process was started with.
    pub fn of_process() -> Self {
        Self { words: args::of_process(), variables: std::env::vars_os().collect(), borg: None }
    }
}

/// What is to be done with it.
#[derive(Debug)]
pub enum Translated {
    /// This command.
    Run(Started),
    /// Only this was asked for.
    Answer(String),
}

/// What output has to know of who speaks Borg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Borg {
    generation: Generation,
    /// What was asked for and has no effect, a sentence each.
    pub notes: Vec<String>,
}

/// Translates what is meant for Borg.
///
/// # Errors
/// For what Borg can do and this program can not, and for a generation nobody knows.
pub fn translate(started: Started) -> Result<Translated, Failure> {
    let Some(generation) = generation(&started)? else { return Ok(Translated::Run(started)) };
    if started.words.get(2).is_some_and(|word| word == "--repository-first") {
        // the helper of mount(8), which has a command line of its own
        return Ok(Translated::Run(started));
    }
    let Started { words, variables, .. } = started;
    let mut variables = environment::translated(variables, generation);
    let line = line::Line::parse(&words);
    if line.asks_for_version() {
        return Ok(Translated::Answer(format!("borg {} (gabion {})\n", generation.version(), env!("PROGRAM_VERSION"))));
    }
    let mut rewriting = options::rewritten(line)?;
    verbs::settle(&mut rewriting, &variables);
    variables.extend(rewriting.variables.into_iter().map(|(name, value)| (name.into(), value.into())));
    let program = words.into_iter().next().unwrap_or_default();
    let borg = Some(Borg { generation, notes: rewriting.notes });
    Ok(Translated::Run(Started { words: rewriting.line.words(program), variables, borg }))
}

/// By which codes this process ends where its words make no sense.
pub fn scale_of_process() -> Scale {
    let started = Started::of_process();
    let variables = match generation(&started) {
        Ok(Some(generation)) => environment::translated(started.variables, generation),
        _ => started.variables,
    };
    Environment::new(variables).exit_codes().unwrap_or_default()
}

/// Which Borg is meant, if any. The variable outweighs the name.
fn generation(started: &Started) -> Result<Option<Generation>, Failure> {
    let asked = started.variables.iter().find(|(name, value)| name == VARIABLE && !value.is_empty());
    if let Some((_, value)) = asked {
        let wrong = || Failure::command(format!("{VARIABLE} must be borg, borg1 or borg2, not {}", value.display()));
        return Generation::named(value).map(Some).ok_or_else(wrong);
    }
    let called = started.words.first().map(Path::new).and_then(Path::file_name);
    Ok(called.and_then(Generation::named))
}

impl Borg {
    /// What who is asked calls a variable of this program.
    pub fn variable(borg: Option<&Self>, own: &'static str) -> String {
        match (borg, own.strip_prefix("GABION_")) {
            (Some(_), Some(rest)) => format!("BORG_{rest}"),
            _ => own.to_owned(),
        }
    }

    /// The letters of what becomes of files.
    pub fn letters(&self) -> fn(FileStatus) -> char {
        match self.generation {
            Generation::One => |status| match status {
                FileStatus::Included => '-',
                FileStatus::Excluded => 'x',
                other => letter(other),
            },
            Generation::Two => letter,
        }
    }

    /// Tells the encryption of a repository by the names of both generations.
    pub fn name_encryption(&self, repository: &Repository, encryption: &mut Json) -> anyhow::Result<()> {
        let (slots, _) = repository.key_slots()?;
        if let Some(name) = slots.iter().find_map(|found| encryption::asked_for(found.slot.label())) {
            encryption["encryption"] = json!(name);
        }
        encryption["mode"] = encryption["encryption"].clone();
        if repository.config().id_hash()? == IdHash::HmacSha256 {
            encryption["id_hash"] = json!("sha256");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(line: &str, variables: &[(&str, &str)]) -> Started {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Started { words: line.split(' ').map(OsString::from).collect(), variables, borg: None }
    }

    /// What a line of Borg becomes, without the program.
    fn becomes(line: &str, variables: &[(&str, &str)]) -> String {
        match translate(started(line, variables)) {
            Ok(Translated::Run(started)) => started.words[1..].join(OsStr::new(" ")).into_string().unwrap(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_of_both_generations() {
        for (line, own) in [
            ("borg init -e none R", "repo-create --encryption=none --label=borg:none --repo=R"),
            (
                "borg rcreate -r h:R -e repokey",
                "repo-create --repo=ssh://h/./R --key-location=repokey --label=borg:repokey",
            ),
            ("borg list R", "repo-list --repo=R"),
            ("borg list -r R", "repo-list --repo=R"),
            ("borg list R::A p", "list --repo=R -- A p"),
            ("borg list -r R A p", "list --repo=R -- A p"),
            ("borg info R", "repo-info --repo=R"),
            ("borg info --last 1 R", "info --last=1 --repo=R"),
            ("borg info -r R", "info --repo=R"),
            ("borg delete R", "repo-delete --repo=R"),
            ("borg delete --keep-security-info R::A", "delete --repo=R -- A"),
            ("borg delete R A B", "delete --repo=R -- A B"),
            ("borg delete -P x R", "delete --match-archives=sh:x* --repo=R"),
            ("borg delete --cache-only R", "repo-delete --cache-only --repo=R"),
            ("borg create R::A p -- -x", "create --repo=R -- A p -x"),
            ("borg check R::A", "check --repo=R --match-archives=name:id:A"),
            ("borg check --max-duration 0 R", "check --repo=R"),
            ("borg check --max-duration 9 R", "check --max-duration=9 --repo=R"),
            ("borg recreate R::aid:12 -e x", "recreate -ex --repo=R --match-archives=aid:12"),
            ("borg mount R::A m", "mount --repo=R --archive=A -ofsname=borgfs -- m"),
            ("borg mount -r R -a A m", "mount --repo=R --match-archives=A -ofsname=borgfs -- m"),
            ("borg prune --prefix=x- -d 7 R", "prune --match-archives=sh:x-* -d7 --repo=R"),
            ("borg rename R::A B", "rename --repo=R -- A B"),
            ("borg key import R -", "key import --repo=R"),
            ("borg with-lock R tar -c x", "with-lock --repo=R -- tar -c x"),
            ("borg list --json-lines R::A", "list --json-lines --repo=R --format={source}{linktarget}{health} -- A"),
            ("borg --remote-path borg serve --append-only", "serve --permissions=no-delete"),
            ("borg --iec repo-space -r R", "repo-space --repo=R"),
            ("borg debug dump-archive R::A f", "debug dump-archive --repo=R -- A f"),
            ("borg debug get-obj R config f", "debug get-obj --repo=R -- config f"),
            ("borg version R", "version --repo=R"),
            ("borg nonsense --x y", "nonsense --x -- y"),
        ] {
            assert_eq!(becomes(line, &[]), own, "{line}");
        }
        // The helper of mount(8) speaks for itself.
        assert_eq!(
            becomes("gabion mount --repository-first R m", &[(VARIABLE, "borg")]),
            "mount --repository-first R m"
        );
    }

    #[test]
    fn a_repository_that_is_named_needs_no_word() {
        let named = [("BORG_REPO", "h:R")];
        for (line, own) in [
            ("borg list", "repo-list"),
            ("borg list A", "list -- A"),
            ("borg list ::A", "list -- A"),
            ("borg list /R", "repo-list --repo=/R"),
            ("borg create A /p", "create -- A /p"),
            ("borg mount /m", "mount -ofsname=borgfs -- /m"),
            ("borg with-lock /bin/ls -l", "with-lock -- /bin/ls -l"),
            ("borg key export /k", "key export -- /k"),
            ("borg info A", "info -- A"),
            ("borg delete", "delete"),
        ] {
            assert_eq!(becomes(line, &named), own, "{line}");
        }
    }

    #[test]
    fn variables_of_borg_outweigh_others() {
        let variables = [
            ("BORG_REPO", "h:R"),
            ("BORG_PASSPHRASE_FD", "7"),
            ("GABION_PASSPHRASE", "not this"),
            ("BORG_SECURITY_DIR", "/s"),
            ("BORG_REMOTE_PATH", "borg"),
            ("GABION_UNITS", "raw"),
            ("BORG_NOBODY_KNOWS", "x"),
            ("GABION_REPO", "other"),
        ];
        let Ok(Translated::Run(told)) = translate(started("borg1 --iec list", &variables)) else { panic!() };
        let value = |name: &str| {
            let mut found = told.variables.iter().rev().filter(|(known, _)| known == name);
            found.next().map(|(_, value)| value.to_str().unwrap())
        };
        assert_eq!(value("GABION_REPO"), Some("ssh://h/./R"));
        assert_eq!((value("GABION_PASSPHRASE"), value("GABION_PASSPHRASE_FD")), (None, Some("7")));
        assert_eq!((value("GABION_DATA_DIR"), value("GABION_REMOTE_PATH")), (Some("/s"), None));
        assert_eq!((value("GABION_UNITS"), value("GABION_EXIT_CODES")), (Some("iec"), Some("legacy")));
        // Nothing changes for who does not speak Borg.
        let Ok(Translated::Run(told)) = translate(started("gabion list", &variables)) else { panic!() };
        assert!(told.borg.is_none() && told.variables.len() == variables.len());
    }
}
