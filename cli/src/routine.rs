//! What `gabion run` does with a profile: which commands, with which words.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// What stands under `[profiles.NAME.run]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Routine {
    /// The name of the archives; placeholders are replaced.
    #[serde(default = "hostname")]
    archive: String,
    /// What is backed up. `~/` is the home directory.
    #[serde(default)]
    paths: Vec<String>,
    /// Patterns of what is left out, as for `create --exclude`.
    #[serde(default)]
    exclude: Vec<String>,
    /// Rules of `prune`: `daily = 7` is `--keep-daily 7`.
    #[serde(default)]
    keep: BTreeMap<String, Amount>,
    /// Other profiles, in whose repositories the same is done.
    #[serde(default)]
    also_to: Vec<String>,
    /// What is done.
    steps: Option<Vec<Step>>,
    /// Shell commands before the first step; one that fails keeps everything from being done.
    #[serde(default)]
    pub before: Vec<String>,
    /// Shell commands after the last step, if nothing failed.
    #[serde(default)]
    pub after: Vec<String>,
    /// Shell commands if anything failed.
    #[serde(default)]
    pub failed: Vec<String>,
}

fn hostname() -> String {
    "{hostname}".to_owned()
}

/// A number, or a span of time.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
enum Amount {
    Number(i64),
    Text(String),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// One thing to do.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Back up.
    Create,
    /// Remove archives that no rule keeps.
    Prune,
    /// Give their room back.
    Compact,
    /// Check the repository.
    Check,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Prune => "prune",
            Self::Compact => "compact",
            Self::Check => "check",
        })
    }
}

impl Routine {
    /// What is done, in this order: without a word about it a backup, and where there are rules of what to keep,
    /// `prune` and `compact`.
    pub fn steps(&self) -> Vec<Step> {
        let usual = match self.keep.is_empty() {
            true => vec![Step::Create],
            false => vec![Step::Create, Step::Prune, Step::Compact],
        };
        self.steps.clone().unwrap_or(usual)
    }

    /// The names of the other profiles in whose repositories it is done, too.
    pub fn also_to(&self) -> impl Iterator<Item = &str> {
        self.also_to.iter().map(|name| name.strip_prefix('@').unwrap_or(name))
    }

    /// The words of a step, behind its command. `home` stands for `~`.
    pub fn words(&self, step: Step, home: Option<&str>) -> Vec<String> {
        let mut words = Vec::new();
        match step {
            Step::Create => {
                words.extend(self.exclude.iter().map(|pattern| format!("--exclude={}", at_home(pattern, home))));
                words.extend(["--".to_owned(), self.archive.clone()]);
                words.extend(self.paths.iter().map(|path| at_home(path, home)));
            }
            Step::Prune => {
                words.extend(self.keep.iter().map(|(rule, amount)| match rule.as_str() {
                    "keep" => format!("--keep={amount}"),
                    rule => format!("--keep-{rule}={amount}"),
                }));
                words.extend(series(&self.archive));
            }
            Step::Compact | Step::Check => {}
        }
        words
    }
}

fn at_home(path: &str, home: Option<&str>) -> String {
    match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
        _ => path.to_owned(),
    }
}

/// How `prune` is told the archives of this name: by the name, or by a pattern where every archive has its own.
fn series(name: &str) -> Vec<String> {
    let (mut pattern, mut rest, mut varies) = (String::new(), name, false);
    while let Some(start) = rest.find('{') {
        let (before, placeholder) = rest.split_at(start);
        let end = placeholder.find('}').map_or(placeholder.len(), |end| end + 1);
        let changing = ["{now", "{utcnow", "{unixtime", "{pid"].iter().any(|kind| placeholder.starts_with(kind));
        varies |= changing;
        push_literal(&mut pattern, before);
        pattern.push_str(if changing { "*" } else { &placeholder[..end] });
        rest = &placeholder[end..];
    }
    push_literal(&mut pattern, rest);
    match varies {
        true => vec![format!("--match-archives=sh:{pattern}")],
        false => vec!["--".to_owned(), name.to_owned()],
    }
}

/// Adds what a pattern shall fit as it is.
fn push_literal(pattern: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '*' | '?' | '[' => pattern.extend(['[', character, ']']),
            plain => pattern.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routine(text: &str) -> Routine {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn steps_follow_from_what_is_to_be_kept() {
        assert_eq!(routine("paths = ['/a']").steps(), [Step::Create]);
        assert_eq!(routine("keep = { daily = 7 }").steps(), [Step::Create, Step::Prune, Step::Compact]);
        assert_eq!(routine("steps = ['check']\nkeep = { daily = 7 }").steps(), [Step::Check]);
        assert!(toml::from_str::<Routine>("steps = ['chekc']").is_err());
        assert!(toml::from_str::<Routine>("path = ['/a']").is_err());
    }

    #[test]
    fn each_step_has_its_words() {
        let text = "archive = 'a'\npaths = ['~/x', '~y', '/z']\nexclude = ['*.tmp', '~/t']\nkeep = { daily = 7, within = '2d', keep = -1 }";
        let words = |step| routine(text).words(step, Some("/h")).join(" ");
        assert_eq!(words(Step::Create), "--exclude=*.tmp --exclude=/h/t -- a /h/x ~y /z");
        assert_eq!(words(Step::Prune), "--keep-daily=7 --keep=-1 --keep-within=2d -- a");
        assert_eq!(words(Step::Check), "");
    }

    #[test]
    fn archives_with_names_of_their_own_are_told_by_a_pattern() {
        for (name, told) in [
            ("home", "-- home"),
            ("{hostname}", "-- {hostname}"),
            ("{hostname}-{now:%Y-%m-%d}", "--match-archives=sh:{hostname}-*"),
            ("a{pid}b{user}", "--match-archives=sh:a*b{user}"),
            ("a{now", "--match-archives=sh:a*"),
            ("{unixtime}", "--match-archives=sh:*"),
            ("a[1]*-{now}?", "--match-archives=sh:a[[]1][*]-*[?]"),
        ] {
            assert_eq!(series(name).join(" "), told, "{name}");
        }
    }
}
