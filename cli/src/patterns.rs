//! Options that include and exclude paths.
//!
//! The first pattern that fits decides, so their order counts: `--pattern` and
//! `--exclude` as they stand on the command line, then the files of `--patterns-from`,
//! then those of `--exclude-from`.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use gabion_core::error::Error;
use gabion_core::ops::recreate::TagRules;
use gabion_core::pattern::{Line, Matcher, Pattern, Rule, Style, parse_exclude_file, parse_patterns_file};

use crate::exit_code;
use crate::output::text::printable;
use crate::progress::{Level, Reporter};

const HEADING: &str = "Include and exclude";

/// The options, in their order.
#[derive(Debug, Default)]
pub struct Patterns {
    ordered: Vec<Given>,
    patterns_from: Vec<OsString>,
    exclude_from: Vec<OsString>,
}

#[derive(Debug, PartialEq, Eq)]
enum Given {
    Exclude(OsString),
    Pattern(OsString),
}

/// Directories that are left out by a mark in them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Include and exclude")]
pub struct TagFiles {
    /// Leave out directories that hold a CACHEDIR.TAG
    #[arg(long)]
    pub exclude_caches: bool,
    /// Leave out directories that hold something of this name
    #[arg(long, value_name = "NAME")]
    pub exclude_if_present: Vec<OsString>,
    /// Of such directories keep themselves and what marks them
    #[arg(long)]
    pub keep_exclude_tags: bool,
}

impl TagFiles {
    /// The same for directories of an archive.
    pub fn rules(&self) -> TagRules {
        TagRules {
            exclude_caches: self.exclude_caches,
            exclude_if_present: self.exclude_if_present.iter().map(|name| name.as_bytes().to_vec()).collect(),
            keep_exclude_tags: self.keep_exclude_tags,
        }
    }
}

/// A matcher, and the roots that patterns named.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The rules.
    pub matcher: Matcher,
    /// Paths of `R` lines.
    pub roots: Vec<PathBuf>,
}

impl Patterns {
    /// Reads the files and compiles everything.
    pub fn compile(&self) -> anyhow::Result<Compiled> {
        let mut compiled = Compiled::default();
        let mut style = Style::Shell;
        for given in &self.ordered {
            match given {
                Given::Exclude(text) => compiled.matcher.add_rule(Rule::exclude(text.as_bytes())?),
                Given::Pattern(text) => match Line::parse(text.as_bytes(), style)? {
                    Line::Style(new) => style = new,
                    line => compiled.add(line),
                },
            }
        }
        for file in &self.patterns_from {
            let lines = parse_patterns_file(&read(file)?).map_err(|error| in_file(error, file))?;
            lines.into_iter().for_each(|line| compiled.add(line));
        }
        for file in &self.exclude_from {
            let rules = parse_exclude_file(&read(file)?).map_err(|error| in_file(error, file))?;
            rules.into_iter().for_each(|rule| compiled.matcher.add_rule(rule));
        }
        Ok(compiled)
    }

    /// [`Patterns::compile`] for a command that takes paths of an archive: those, and the roots, are all it takes.
    pub fn compile_with_paths(&self, paths: &[OsString]) -> anyhow::Result<Matcher> {
        let Compiled { mut matcher, roots } = self.compile()?;
        let roots = roots.iter().map(|root| root.as_os_str());
        for path in paths.iter().map(OsString::as_os_str).chain(roots) {
            matcher.add_include_path(Pattern::parse(path.as_bytes(), Style::PathPrefix)?);
        }
        Ok(matcher)
    }
}

impl Compiled {
    fn add(&mut self, line: Line) {
        match line {
            Line::Root(path) => self.roots.push(OsString::from_vec(path).into()),
            Line::Rule(rule) => self.matcher.add_rule(rule),
            // the files are done with these
            Line::Style(_) => {}
        }
    }
}

/// Tells of paths that fitted nothing, and of patterns that took too long, when everything was decided.
pub fn report(matcher: &Matcher, reporter: &Reporter) {
    for path in matcher.never_matched() {
        reporter.log(
            Level::Warning,
            Some(exit_code::NEVER_MATCHED),
            &format!("include pattern `{path}` never matched"),
        );
    }
    report_effort(matcher, reporter);
}

fn report_effort(matcher: &Matcher, reporter: &Reporter) {
    for pattern in matcher.gave_up() {
        let message = format!("pattern `{pattern}` took too many steps; paths it was given up on count as not fitting");
        reporter.log(Level::Warning, Some(exit_code::WARNING), &message);
    }
}

/// The same for who may expect that some paths fit nothing: they are told on request only, and are no warning.
pub fn mention(matcher: &Matcher, reporter: &Reporter) {
    for path in matcher.never_matched() {
        reporter.log(Level::Info, None, &format!("include pattern `{path}` never matched"));
    }
    report_effort(matcher, reporter);
}

fn read(file: &OsStr) -> anyhow::Result<Vec<u8>> {
    if file == "-" {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text)?;
        return Ok(text);
    }
    std::fs::read(file).with_context(|| format!("can not read patterns from {}", printable(file.as_bytes())))
}

fn in_file(error: Error, file: &OsStr) -> Error {
    error.with("file", file.to_string_lossy().escape_debug())
}

impl Args for Patterns {
    fn augment_args(command: Command) -> Command {
        let option = |name: &'static str, value: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name(value)
                .help(help)
                .help_heading(HEADING)
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .value_parser(ValueParser::os_string())
        };
        command
            .arg(option("exclude", "PATTERN", "Leave out what fits; fm: unless a style is given").short('e'))
            .arg(option("exclude-from", "FILE", "Read exclude patterns from a file, one per line"))
            .arg(option("pattern", "PATTERN", "`+ PATTERN` takes, `- PATTERN` leaves out, `! PATTERN` does not even look into; sh: unless a style is given"))
            .arg(option("patterns-from", "FILE", "Read such patterns from a file, one per line"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Patterns {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let values = |name: &str| -> Vec<OsString> {
            matches.get_many::<OsString>(name).into_iter().flatten().cloned().collect()
        };
        let placed = |name: &str, make: fn(OsString) -> Given| -> Vec<(usize, Given)> {
            let places = matches.indices_of(name).into_iter().flatten();
            places.zip(values(name).into_iter().map(make)).collect()
        };
        let mut ordered = placed("exclude", Given::Exclude);
        ordered.extend(placed("pattern", Given::Pattern));
        ordered.sort_by_key(|(place, _)| *place);
        Ok(Self {
            ordered: ordered.into_iter().map(|(_, given)| given).collect(),
            patterns_from: values("patterns-from"),
            exclude_from: values("exclude-from"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use gabion_core::pattern::Decision;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        patterns: Patterns,
        paths: Vec<OsString>,
    }

    fn parse(words: &[&str]) -> Line {
        Line::try_parse_from(["x"].iter().chain(words)).unwrap()
    }

    #[test]
    fn the_order_of_the_command_line_is_kept() {
        let line = parse(&["--pattern", "+ a/keep", "-e", "a/*", "p", "--pattern=- b", "--exclude", "c"]);
        let Given::Pattern(first) = &line.patterns.ordered[0] else { panic!("{line:?}") };
        assert_eq!((first.to_str(), line.patterns.ordered.len()), (Some("+ a/keep"), 4));
        let matcher = line.patterns.compile().unwrap().matcher;
        for (path, taken) in [("a/keep", true), ("a/other", false), ("b", false), ("c/x", false), ("d", true)] {
            assert_eq!(matcher.decide(path.as_bytes()) == Decision::Include, taken, "{path}");
        }
        let matcher = parse(&["-e", "a/*", "--pattern", "+ a/keep"]).patterns.compile().unwrap().matcher;
        assert_eq!(matcher.decide(b"a/keep"), Decision::ExcludeNoRecurse);
    }

    #[test]
    fn files_come_after_options() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = place.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.into_os_string().into_string().unwrap()
        };
        let (patterns, excludes) = (file("p", "R /root\n+ x/1\n"), file("e", "x/*\n"));
        let line = parse(&["--exclude-from", &excludes, "--patterns-from", &patterns, "--pattern", "- x/2"]);
        let compiled = line.patterns.compile().unwrap();
        assert_eq!(compiled.roots, [PathBuf::from("/root")]);
        for (path, taken) in [("x/1", true), ("x/2", false), ("x/3", false), ("y", true)] {
            assert_eq!(compiled.matcher.decide(path.as_bytes()) == Decision::Include, taken, "{path}");
        }
        let matcher = parse(&["--patterns-from", &patterns]).patterns.compile_with_paths(&["x".into()]).unwrap();
        assert_eq!(matcher.decide(b"root/a"), Decision::Include);
        assert_eq!(matcher.decide(b"z"), Decision::Exclude);
        assert_eq!(matcher.never_matched(), ["x"]);
    }

    #[test]
    fn styles_of_the_command_line_last() {
        let matcher = parse(&["--pattern", "P fm", "--pattern", "- a*"]).patterns.compile().unwrap().matcher;
        assert_eq!(matcher.decide(b"a/b"), Decision::Exclude);
        assert!(parse(&["--pattern", "x"]).patterns.compile().is_err());
        assert!(parse(&["--exclude-from", "/no/such/file"]).patterns.compile().is_err());
    }
}
