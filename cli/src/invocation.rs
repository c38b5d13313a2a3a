//! From words to a command: what was typed, completed by what a profile says.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind as Usage};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use crate::args::{Cli, takes_value};
use crate::directories::Directories;
use crate::environment::Environment;
use crate::exit_code::Failure;
use crate::hints;
use crate::profile::{FILE, Profile};

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Refusal {
    /// The words make no sense, or ask for help.
    Usage(clap::Error),
    /// The profile is missing or makes no sense, or what is asked for is not there, for a reason.
    Failure(Failure),
}

/// What is to be done, and where.
#[derive(Debug)]
pub struct Invocation {
    /// The command and its options.
    pub cli: Cli,
    /// The name of the command, such as `key export`.
    pub command: String,
    /// The repository, if one was named: by an option, the environment or a profile.
    pub repository: Option<String>,
}

/// Understands the command line; the first word is the program. With `repeats`, what is said twice counts as it was
/// said last.
pub fn read(words: Vec<OsString>, environment: &mut Environment, repeats: bool) -> Result<Invocation, Refusal> {
    let mut grammar = Cli::command().args_override_self(repeats);
    let typed = grammar.try_get_matches_from_mut(&words);
    let (names, named) = match &typed {
        Ok(matches) => (names(matches), find(matches)),
        Err(_) => (command_words(&words).0, repository(&words)),
    };
    let command = names.join(" ");
    let named = named.or_else(|| environment.repository().ok().flatten().map(str::to_owned));
    let profile = named.as_deref().and_then(|named| named.strip_prefix('@'));
    let Some(name) = profile.filter(|_| needs_profile(&typed, &names)) else {
        let cli = understood(&mut grammar, &command, typed)?;
        let repository = cli.common.repo.clone().or(named);
        return Ok(Invocation { cli, command, repository });
    };
    let directories = Directories::new(environment, None).map_err(Refusal::Failure)?;
    let profile = Profile::load(&directories.config.join(FILE), name).map_err(Refusal::Failure)?;
    profile.complete(environment).map_err(Refusal::Failure)?;
    let options = profile.options(&names).map(OsString::from).collect();
    let words = with_options(&words, &command_words(&words).1, options);
    let mut grammar = Cli::command().args_override_self(true);
    let completed = grammar.try_get_matches_from_mut(words);
    let cli = understood(&mut grammar, &command, completed)?;
    Ok(Invocation { cli, command, repository: Some(profile.url) })
}

/// Commands that know no repository, or one of their own.
const WITHOUT_PROFILE: [&str; 8] = ["help", "completion", "version", "benchmark cpu", "man", "run", "serve", "umount"];

/// The same words with options of a profile behind the command. What was typed comes behind these and outweighs them: also
/// what stood before the command, which every command takes.
fn with_options(words: &[OsString], places: &[usize], options: Vec<OsString>) -> Vec<OsString> {
    let end = places.last().map_or(words.len(), |last| last + 1);
    let numbered = words.iter().enumerate().take(end).skip(1);
    let (names, typed): (Vec<_>, Vec<_>) = numbered.partition(|(place, _)| places.contains(place));
    let word = |(_, word): (usize, &OsString)| word.clone();
    let program = words.first().cloned();
    let typed = typed.into_iter().map(word).chain(words[end..].iter().cloned());
    program.into_iter().chain(names.into_iter().map(word)).chain(options).chain(typed).collect()
}

/// Whether there is anything to complete: not for help, and not for commands that know no repository.
fn needs_profile(typed: &Result<ArgMatches, clap::Error>, names: &[String]) -> bool {
    if let Err(error) = typed
        && matches!(error.kind(), Usage::DisplayHelp | Usage::DisplayVersion | Usage::InvalidSubcommand)
    {
        return false;
    }
    !names.is_empty() && !WITHOUT_PROFILE.contains(&names.join(" ").as_str())
}

fn understood(
    grammar: &mut clap::Command,
    command: &str,
    words: Result<ArgMatches, clap::Error>,
) -> Result<Cli, Refusal> {
    let matches = words.map_err(|error| refused(command, error))?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| Refusal::Usage(error.format(grammar)))?;
    cli.settled().map_err(Refusal::Usage)
}

/// What to say where nobody knows an option or a command: why it is not there, if that is known.
fn refused(command: &str, error: clap::Error) -> Refusal {
    let unknown =
        [ContextKind::InvalidSubcommand, ContextKind::InvalidArg].into_iter().find_map(|kind| match error.get(kind) {
            Some(ContextValue::String(word)) => Some(word),
            _ => None,
        });
    let is_unknown = matches!(error.kind(), Usage::InvalidSubcommand | Usage::UnknownArgument);
    match unknown.filter(|_| is_unknown).and_then(|word| hints::for_absent(command, word)) {
        Some(message) => Refusal::Failure(Failure::command(message)),
        None => Refusal::Usage(error),
    }
}

/// The value of `--repo`, whatever else is wrong with the words.
fn repository(words: &[OsString]) -> Option<String> {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    find(&matches)
}

fn find(matches: &ArgMatches) -> Option<String> {
    let own = || matches.try_get_one::<String>("repo").ok().flatten().cloned();
    matches.subcommand().and_then(|(_, inner)| find(inner)).or_else(own)
}

/// The names of the command, such as `key export`.
fn names(matches: &ArgMatches) -> Vec<String> {
    let all = std::iter::successors(Some(matches), |matches| matches.subcommand().map(|(_, inner)| inner));
    all.filter_map(|matches| Some(matches.subcommand_name()?.to_owned())).collect()
}

/// The same and their places, whatever else is wrong with the words.
fn command_words(words: &[OsString]) -> (Vec<String>, Vec<usize>) {
    let mut root = Cli::command();
    root.build();
    let (mut found, mut names, mut places) = (&root, Vec::new(), Vec::new());
    let mut position = 1;
    while position < words.len() && found.has_subcommands() {
        let word = words[position].to_string_lossy();
        position += 1;
        if word == "--" {
            break;
        }
        if word.starts_with('-') {
            position += usize::from(takes_next(found, &word));
            continue;
        }
        let Some(next) = found.find_subcommand(&*word) else { break };
        names.push(next.get_name().to_owned());
        places.push(position - 1);
        found = next;
    }
    (names, places)
}

/// Whether an option of this command takes the next word for its value.
fn takes_next(command: &clap::Command, word: &str) -> bool {
    if word.starts_with("--") {
        return !word.contains('=') && takes_value(command, word);
    }
    // Of letters behind one dash, the first that takes a value takes the rest, or the next word.
    let mut letters = word[1..].chars();
    letters.any(|letter| takes_value(command, &format!("-{letter}"))) && letters.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_command_is_found_among_options() {
        for (line, names, places) in [
            ("gabion create a b", "create", &[1][..]),
            ("gabion -r list create a", "create", &[3]),
            ("gabion -rlist --debug list x", "list", &[3]),
            ("gabion -vr list --umask 0 key export", "key export", &[5, 6]),
            ("gabion --repo=x -q key --log-json export -p", "key export", &[3, 5]),
            ("gabion --lock-wait 3 prune --keep 2", "prune", &[3]),
        ] {
            let (found, at) = command_words(&split(line));
            assert_eq!((found.join(" ").as_str(), &*at), (names, places), "{line}");
        }
    }

    #[test]
    fn the_repository_is_found_in_any_words() {
        for (line, expected) in [
            ("gabion -r @a list x", Some("@a")),
            ("gabion list --repo=@a", Some("@a")),
            ("gabion prune -r @a --nonsense", Some("@a")),
            ("gabion key export -r @b", Some("@b")),
            ("gabion list x", None),
        ] {
            assert_eq!(repository(&split(line)).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn what_is_typed_outweighs_a_profile() {
        let place = tempfile::tempdir().unwrap();
        let text = "[profiles.a]\nurl = \"/srv\"\noptions = [\"--connections\", \"3\"]\n\
                    [profiles.a.commands]\nprune = [\"--keep-daily\", \"7\", \"--dry-run\"]\n";
        std::fs::write(place.path().join(FILE), text).unwrap();
        let directory = place.path().to_str().unwrap();
        let read = |line: &str| {
            let set = ["HOME", "GABION_CONFIG_DIR"].map(|name| (name.into(), directory.into()));
            let mut environment = Environment::new(set);
            read(split(line), &mut environment, false)
        };
        let plain = read("gabion -r @a prune").unwrap();
        assert_eq!((plain.repository.as_deref(), plain.cli.common.connections), (Some("/srv"), Some(3)));
        let typed = read("gabion -r @a prune --connections 5 --keep-daily 9").unwrap();
        assert_eq!(typed.cli.common.connections, Some(5));
        let before = read("gabion --connections 6 -r @a prune --keep-daily 9").unwrap();
        assert_eq!((before.repository.as_deref(), before.cli.common.connections), (Some("/srv"), Some(6)));
        assert!(read("gabion -r @b man --dir x").is_ok(), "it knows no repository");
        assert!(matches!(read("gabion -r @b prune"), Err(Refusal::Failure(_))));
        assert!(matches!(read("gabion -r @b prune --help"), Err(Refusal::Usage(_))));
        assert!(read("gabion -r @b help environment").is_ok());
        assert!(matches!(read("gabion -r @a nonsense"), Err(Refusal::Usage(_))));
        assert_eq!(read("gabion -r here list x").unwrap().repository.as_deref(), Some("here"));
    }
}
