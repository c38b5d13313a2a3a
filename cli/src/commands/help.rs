//! `gabion help`: topics, and the help of commands.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;
use clap::CommandFactory as _;

use crate::args::Cli;
use crate::environment;
use crate::exit_code::{Failure, TABLE, Warnings};
use crate::hints;
use crate::output::sink::Sink;

/// Explain a command or a topic
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Topics: stores, patterns, placeholders, match-archives, compression, environment, exit-codes\n\n\
    Examples:\n  gabion help patterns\n  gabion help key export"
)]
pub struct Args {
    /// A topic, or a command such as `create` or `key add`
    #[arg(value_name = "TOPIC")]
    topic: Vec<String>,
}

/// The name of a topic, and what makes its text.
pub type Topic = (&'static str, fn() -> String);

/// All topics.
pub const TOPICS: [Topic; 7] = [
    ("stores", || include_str!("../help/stores.txt").to_owned()),
    ("patterns", || include_str!("../help/patterns.txt").to_owned()),
    ("placeholders", || include_str!("../help/placeholders.txt").to_owned()),
    ("match-archives", || include_str!("../help/match-archives.txt").to_owned()),
    ("compression", || include_str!("../help/compression.txt").to_owned()),
    ("environment", environment),
    ("exit-codes", exit_codes),
];

/// Prints the help.
pub fn run(args: &Args) -> Result<Warnings> {
    let text = match &args.topic[..] {
        [] => command(&[])?,
        [topic] => match TOPICS.iter().find(|(name, _)| name == topic) {
            Some((_, text)) => text(),
            None => command(&args.topic)?,
        },
        words => command(words)?,
    };
    let mut out = Sink::new();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(Warnings::default())
}

/// The help of a command; no words are the program itself.
fn command(words: &[String]) -> Result<String> {
    let mut root = Cli::command();
    // options that every command has are known to a command only afterwards
    root.build();
    let mut found = &mut root;
    for word in words {
        let names: Vec<String> = found.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        found = match names.iter().any(|name| name == word) {
            true => found.find_subcommand_mut(word).ok_or_else(|| unknown("", word, &names))?,
            false => return Err(unknown(found.get_name(), word, &names).into()),
        };
    }
    let help = found.render_long_help();
    if !words.is_empty() {
        return Ok(help.to_string());
    }
    let topics: Vec<&str> = TOPICS.iter().map(|(name, _)| *name).collect();
    Ok(format!("{help}\nTopics of `gabion help TOPIC`: {}.\n", topics.join(", ")))
}

fn unknown(command: &str, word: &str, commands: &[String]) -> Failure {
    if let Some(message) = hints::for_absent(command, word) {
        return Failure::command(message);
    }
    let topics = TOPICS.iter().map(|(name, _)| *name);
    let known = commands.iter().map(String::as_str).chain(topics);
    let near = hints::for_verb(word).or_else(|| hints::nearest(word, known));
    let hint = near.map_or_else(|| "see `gabion help`".to_owned(), |near| format!("did you mean `{near}`?"));
    Failure::command(format!("there is neither a command nor a topic `{}`: {hint}", word.escape_debug()))
}

fn environment() -> String {
    format!(
        "Environment variables. Options of the command line win over them.\n\n{}\n\
         Under the name `borg`, or with GABION_COMPAT=borg, BORG_X outweighs GABION_X for each X above, and\n\
         BORG_SECURITY_DIR is GABION_DATA_DIR.\n",
        environment::help()
    )
}

fn exit_codes() -> String {
    let mut out = "Return codes, and the message ids that stand beside them with --log-json.\n\n\
        0 is success, also when nobody reads the output any more. An error outweighs warnings; the first one\n\
        decides. Warnings of one kind give the code of that kind, warnings of several kinds give 1. 128+N is\n\
        the end by signal N.\n\n"
        .to_owned();
    for code in TABLE {
        // writing to a String can not fail
        let _ = writeln!(out, "  {:3}  {}", code.rc, code.msgid);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_text_that_fits_a_terminal() {
        for (name, text) in TOPICS {
            let text = text();
            assert!(text.len() > 300 && text.ends_with('\n'), "{name}");
            for line in text.lines().filter(|line| !line.contains("GABION_")) {
                assert!(line.chars().count() <= 110, "{name}: {line}");
            }
        }
    }

    /// The commands of this program in an example, which may stand behind variables, in pipes and before `>`.
    fn typed(example: &str) -> Vec<Vec<String>> {
        let example = example.split(" #").next().unwrap_or_default();
        let pieces = example.split(" | ").flat_map(|piece| piece.split(" && "));
        let words = pieces.map(|piece| crate::words::split(piece.split(" > ").next().unwrap_or_default()).unwrap());
        let own = words.map(|words| words.into_iter().skip_while(|word| word.contains('=')).collect::<Vec<_>>());
        own.filter(|words| words.first().is_some_and(|word| word == "gabion")).collect()
    }

    #[test]
    fn every_command_has_examples_and_they_can_be_typed() {
        let mut root = Cli::command();
        root.build();
        let mut commands: Vec<&clap::Command> = root.get_subcommands().collect();
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands());
            let name = command.get_bin_name().unwrap_or_default();
            let help = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
            let help = help.unwrap_or_default();
            let (_, examples) = help.split_once("Example").unwrap_or_else(|| panic!("{name} has no example"));
            let lines = examples.lines().filter_map(|line| line.strip_prefix("  "));
            let typed: Vec<_> = lines.flat_map(typed).collect();
            // What stands in authorized_keys is typed by nobody.
            assert!(name.ends_with(" serve") || !typed.is_empty(), "{name}: {help}");
            for words in typed {
                let understood = Cli::command().try_get_matches_from(&words);
                assert!(understood.is_ok(), "{name}: {words:?}: {}", understood.unwrap_err());
            }
        }
    }

    #[test]
    fn commands_inside_commands_are_found() {
        let help = |words: &[&str]| command(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert!(help(&["key", "export"]).unwrap().contains("--paper"));
        assert!(help(&["create"]).unwrap().contains("--exclude"));
        assert!(help(&[]).unwrap().contains("match-archives"));
        let told = |words: &[&str]| help(words).unwrap_err().to_string();
        assert!(told(&["crate"]).ends_with("did you mean `create`?"), "{}", told(&["crate"]));
        assert!(told(&["snapshots"]).ends_with("did you mean `repo-list`?"));
        assert!(told(&["key", "zzzzzz"]).ends_with("see `gabion help`"));
        assert!(told(&["webdav"]).starts_with("webdav is not supported: "));
        assert!(told(&["debug", "put-obj"]).starts_with("put-obj is not supported: "));
    }
}
