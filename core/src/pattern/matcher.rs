//! Ordered rules: the first that fits decides.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Pattern, Style, invalid, is_below};
use crate::error::Result;

/// What a rule does with the paths its pattern fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `+` takes them.
    Include,
    /// `-` leaves them out, but looks into directories for what other rules include.
    Exclude,
    /// `!` leaves them out and does not look into directories.
    ExcludeNoRecurse,
}

/// A pattern and what to do with the paths it fits.
#[derive(Debug)]
pub struct Rule {
    /// What to do.
    pub command: Command,
    /// With which paths.
    pub pattern: Pattern,
}

impl Rule {
    /// The rule of an exclude option: [`Command::ExcludeNoRecurse`], `fm:` unless the text says otherwise.
    ///
    /// # Errors
    /// [`PatternInvalid`](crate::error::ErrorKind::PatternInvalid).
    pub fn exclude(text: &(impl AsRef<[u8]> + ?Sized)) -> Result<Self> {
        if text.as_ref().is_empty() {
            return Err(invalid(b"", "the pattern is empty"));
        }
        Ok(Self { command: Command::ExcludeNoRecurse, pattern: Pattern::parse(text, Style::Fnmatch)? })
    }
}

/// What to do with one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take it.
    Include,
    /// Leave it out; if it is a directory, things in it may still be taken.
    Exclude,
    /// Leave it out, and if it is a directory, all that is in it.
    ExcludeNoRecurse,
}

/// Decides which paths an operation takes.
///
/// Rules are asked in the order they were added, include-paths after all rules, and
/// the first pattern that fits decides; `pf:` patterns are asked before all others.
/// What no pattern fits is taken, unless there are include-paths.
#[derive(Debug, Default)]
pub struct Matcher {
    rules: Vec<Rule>,
    includes: Vec<IncludePath>,
    /// The `pf:` patterns, sorted so that those below a directory are found at once.
    full: BTreeMap<Vec<u8>, FullRule>,
}

#[derive(Debug)]
struct IncludePath {
    text: String,
    /// `None` for `pf:`, which is in [`Matcher::full`].
    pattern: Option<Pattern>,
    matched: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct FullRule {
    command: Command,
    include: Option<usize>,
}

impl Matcher {
    /// A matcher that takes everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule after those that were added before. Of several `pf:` patterns for one path the last counts.
    pub fn add_rule(&mut self, rule: Rule) {
        match rule.pattern.full_path() {
            Some(path) => {
                self.full.insert(path.to_vec(), FullRule { command: rule.command, include: None });
            }
            None => self.rules.push(rule),
        }
    }

    /// Adds a path argument: from now on only paths are taken which a rule or such an argument includes.
    pub fn add_include_path(&mut self, pattern: Pattern) {
        let text = pattern.to_string();
        let mut kept = Some(pattern);
        if let Some(path) = kept.as_ref().and_then(Pattern::full_path) {
            let rule = FullRule { command: Command::Include, include: Some(self.includes.len()) };
            self.full.insert(path.to_vec(), rule);
            kept = None;
        }
        self.includes.push(IncludePath { text, pattern: kept, matched: AtomicBool::new(false) });
    }

    /// Whether rules were given, beside include-paths.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty() || self.full.values().any(|rule| rule.include.is_none())
    }

    /// Whether every path is taken, so that nobody needs to ask.
    pub fn takes_everything(&self) -> bool {
        self.rules.is_empty() && self.includes.is_empty() && self.full.is_empty()
    }

    /// What to do with `path` (raw bytes; a leading `/` is ignored).
    pub fn decide(&self, path: &[u8]) -> Decision {
        let path = relative(path);
        if let Some(rule) = self.full.get(path) {
            if let Some(include) = rule.include.and_then(|index| self.includes.get(index)) {
                include.matched.store(true, Ordering::Relaxed);
            }
            return rule.command.into();
        }
        if let Some(rule) = self.rules.iter().find(|rule| rule.pattern.matches(path)) {
            return rule.command.into();
        }
        if self.includes.is_empty() {
            return Decision::Include;
        }
        let fits = |include: &&IncludePath| include.pattern.as_ref().is_some_and(|pattern| pattern.matches(path));
        match self.includes.iter().find(fits) {
            Some(include) => {
                include.matched.store(true, Ordering::Relaxed);
                Decision::Include
            }
            None => Decision::Exclude,
        }
    }

    /// Whether anything below the directory `path` may be taken; `true` when in doubt.
    ///
    /// A `!` rule that decides about the directory keeps everything below it out.
    pub fn may_descend(&self, path: &[u8]) -> bool {
        let path = relative(path);
        if self.takes_everything() {
            return true;
        }
        if self.decide(path) == Decision::ExcludeNoRecurse {
            return false;
        }
        if self.full_include_below(path) {
            return true;
        }
        for rule in &self.rules {
            let pattern = &rule.pattern;
            match rule.command {
                Command::Include if pattern.may_match_below(path) => return true,
                Command::Exclude | Command::ExcludeNoRecurse if pattern.matches_all_below(path) => return false,
                _ => {}
            }
        }
        let reaches = |include: &IncludePath| include.pattern.as_ref().is_some_and(|p| p.may_match_below(path));
        self.includes.is_empty() || self.includes.iter().any(reaches)
    }

    /// The include-paths that never decided about a path, as they were written.
    pub fn never_matched(&self) -> Vec<String> {
        let unused = self.includes.iter().filter(|include| !include.matched.load(Ordering::Relaxed));
        unused.map(|include| include.text.clone()).collect()
    }

    /// The patterns whose matching was given up at least once, because it took too many steps.
    pub fn gave_up(&self) -> Vec<String> {
        let includes = self.includes.iter().filter_map(|include| include.pattern.as_ref());
        let patterns = self.rules.iter().map(|rule| &rule.pattern).chain(includes);
        patterns.filter(|pattern| pattern.gave_up()).map(Pattern::to_string).collect()
    }

    fn full_include_below(&self, directory: &[u8]) -> bool {
        let mut first = directory.to_vec();
        if !directory.is_empty() {
            first.push(b'/');
        }
        let below = self.full.range::<[u8], _>((Bound::Included(&first[..]), Bound::Unbounded));
        let mut below = below.take_while(|(path, _)| is_below(path, directory));
        below.any(|(_, rule)| rule.command == Command::Include)
    }
}

impl From<Command> for Decision {
    fn from(command: Command) -> Self {
        match command {
            Command::Include => Self::Include,
            Command::Exclude => Self::Exclude,
            Command::ExcludeNoRecurse => Self::ExcludeNoRecurse,
        }
    }
}

fn relative(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    path.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Line;

    fn matcher(lines: &[&str], includes: &[&str]) -> Matcher {
        let mut matcher = Matcher::new();
        for line in lines {
            match Line::parse(line, Style::Shell).unwrap() {
                Line::Rule(rule) => matcher.add_rule(rule),
                other => panic!("no rule: {other:?}"),
            }
        }
        for include in includes {
            matcher.add_include_path(Pattern::parse(include, Style::PathPrefix).unwrap());
        }
        matcher
    }

    #[test]
    fn the_first_that_fits_decides() {
        use Decision::{Exclude, ExcludeNoRecurse, Include};
        let rules = matcher(&["+ re:^a", "- re:^b", "- re:^z", "! re:^$"], &["nothing"]);
        for (path, decision) in
            [("", ExcludeNoRecurse), ("aaa", Include), ("bbb", Exclude), ("ccc", Exclude), ("/z", Exclude)]
        {
            assert_eq!(rules.decide(path.as_bytes()), decision, "{path}");
        }
        assert_eq!(Matcher::new().decide(b"x"), Include);
        let pics = matcher(&["+pics/2018/good", "-pics/2018"], &[]);
        for (path, decision) in
            [("pics", Include), ("pics/2018", Exclude), ("pics/2018/bad", Exclude), ("pics/2018/good/1", Include)]
        {
            assert_eq!(pics.decide(path.as_bytes()), decision, "{path}");
        }
    }

    #[test]
    fn full_paths_win_whatever_their_place() {
        let rules = matcher(&["- home/**", "+ pf:/home/bobby/special", "+ etc", "- pf:etc/shadow"], &[]);
        assert_eq!(rules.decide(b"home/bobby/other"), Decision::Exclude);
        assert_eq!(rules.decide(b"home/bobby/special"), Decision::Include);
        assert_eq!(rules.decide(b"home/bobby/special/below"), Decision::Exclude);
        assert_eq!(rules.decide(b"etc/shadow"), Decision::Exclude);
        assert_eq!(rules.decide(b"etc/shadow-"), Decision::Include);
    }

    #[test]
    fn walks_are_pruned_where_nothing_can_be_taken() {
        // rules, include-paths, directory, whether to look into it
        let rows: &[(&[&str], &[&str], &str, bool)] = &[
            (&[], &[], "a", true),
            (&["- a"], &[], "a", false),
            (&["- a"], &[], "b", true),
            (&["- a/"], &[], "a", true),
            (&["+ a/b/c", "- a"], &[], "a", true),
            (&["+ a/b/c", "- a"], &[], "a/b", true),
            (&["+ a/b/c", "- a"], &[], "a/x", false),
            (&["- a", "+ a/b/c"], &[], "a", false),
            (&["+ **/*.jpg", "- a"], &[], "a/x", true),
            (&["+ re:x", "- a"], &[], "a", true),
            (&["! a", "+ a/b"], &[], "a", false),
            (&["! a", "+ pf:a/b"], &[], "a", false),
            (&["- a", "+ pf:a/b/c"], &[], "a", true),
            (&["- a", "+ pf:a/b/c"], &[], "a/b", true),
            (&["- a", "+ pf:a/b/c"], &[], "a/c", false),
            (&["- a", "+ pf:a.b/c"], &[], "a", false),
            (&["- a", "- pf:a/b/c"], &[], "a/b", false),
            (&["- re:^a$"], &[], "a", true),
            (&[], &["home/leo"], "", true),
            (&[], &["home/leo"], "home", true),
            (&[], &["home/leo"], "home/leo", true),
            (&[], &["home/leo"], "home/leo/sub", true),
            (&[], &["home/leo"], "home/leonora", false),
            (&[], &["home/leo"], "etc", false),
            (&[], &["sh:home/l*/x"], "home/leo", true),
            (&[], &["sh:home/l*/x"], "home/max", false),
            (&[], &["pf:home/leo/a"], "home/leo", true),
            (&[], &["pf:home/leo/a"], "home/max", false),
            (&["- home"], &["home/leo"], "home/leo", false),
        ];
        for (rules, includes, directory, expected) in rows {
            let descends = matcher(rules, includes).may_descend(directory.as_bytes());
            assert_eq!(descends, *expected, "{rules:?} {includes:?} {directory}");
        }
    }

    #[test]
    fn include_paths_that_never_matched_are_told() {
        let rules = matcher(&["- b"], &["a", "b", "pf:c", "pf:d", "/e/"]);
        for path in ["a/1", "b/1", "c", "x"] {
            rules.decide(path.as_bytes());
        }
        assert_eq!(rules.never_matched(), ["b", "pf:d", "/e/"]);
    }

    #[test]
    fn patterns_that_gave_up_are_told() {
        let rules = matcher(&[r"- re:^(?=(a+)+$)((a+)+)+\1b$"], &[]);
        assert_eq!(rules.decide("a".repeat(60).as_bytes()), Decision::Include);
        assert_eq!(rules.gave_up().len(), 1);
    }
}
