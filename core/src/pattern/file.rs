//! Files of patterns, and single lines of them.
//!
//! White space (ASCII) around a line is no part of it; empty lines and those that
//! start with `#` say nothing. There is no quoting.

use super::{Command, Pattern, Rule, Style, invalid};
use crate::error::{Error, Result};

/// What one line of a patterns file, or one `--pattern` option, says.
#[derive(Debug)]
pub enum Line {
    /// `R path` A root to back up, raw bytes.
    Root(Vec<u8>),
    /// `P style` The style of the following patterns without one of their own.
    Style(Style),
    /// `+ pattern`, `- pattern` or `! pattern`
    Rule(Rule),
}

impl Line {
    /// Reads one line that is neither empty nor a comment.
    ///
    /// # Errors
    /// [`PatternInvalid`](crate::error::ErrorKind::PatternInvalid) with the facts `pattern` and `reason`.
    pub fn parse(text: &(impl AsRef<[u8]> + ?Sized), default: Style) -> Result<Self> {
        let text = text.as_ref();
        let [letter, rest @ ..] = text else { return Err(invalid(text, "the line is empty")) };
        let rest = rest.trim_ascii_start();
        let rule = |command| Ok(Self::Rule(Rule { command, pattern: Pattern::parse(rest, default)? }));
        match letter {
            b'+' | b'-' | b'!' | b'R' | b'r' | b'P' | b'p' if rest.is_empty() => {
                Err(invalid(text, "nothing follows the command"))
            }
            b'+' => rule(Command::Include),
            b'-' => rule(Command::Exclude),
            b'!' => rule(Command::ExcludeNoRecurse),
            b'R' | b'r' => Ok(Self::Root(rest.to_vec())),
            b'P' | b'p' => std::str::from_utf8(rest)
                .ok()
                .and_then(Style::from_name)
                .map(Self::Style)
                .ok_or_else(|| invalid(text, "unknown pattern style, known are fm, sh, re, pp, pf")),
            _ => Err(invalid(text, "a line must start with one of + - ! R P")),
        }
    }
}

/// Reads a file of excludes: one pattern per line, `fm:` by default. The order is that of the file.
///
/// # Errors
/// [`PatternInvalid`](crate::error::ErrorKind::PatternInvalid) with the facts `pattern`, `reason` and `line`.
pub fn parse_exclude_file(text: &(impl AsRef<[u8]> + ?Sized)) -> Result<Vec<Rule>> {
    lines(text.as_ref()).map(|(number, line)| Rule::exclude(line).map_err(at(number))).collect()
}

/// Reads a file of patterns: roots and rules in the order of the file, `sh:` by default. Lines that
/// change the default style are followed and left out of the result.
///
/// # Errors
/// [`PatternInvalid`](crate::error::ErrorKind::PatternInvalid) with the facts `pattern`, `reason` and `line`.
pub fn parse_patterns_file(text: &(impl AsRef<[u8]> + ?Sized)) -> Result<Vec<Line>> {
    let mut default = Style::Shell;
    let mut parsed = Vec::new();
    for (number, line) in lines(text.as_ref()) {
        match Line::parse(line, default).map_err(at(number))? {
            Line::Style(style) => default = style,
            line => parsed.push(line),
        }
    }
    Ok(parsed)
}

fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let trimmed = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    trimmed.enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#")).map(|(i, line)| (i + 1, line))
}

fn at(line: usize) -> impl Fn(Error) -> Error {
    move |error| error.with("line", line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::pattern::{Decision, Matcher};

    fn taken<'a>(rules: Vec<Rule>, files: &[&'a str]) -> Vec<&'a str> {
        let mut matcher = Matcher::new();
        rules.into_iter().for_each(|rule| matcher.add_rule(rule));
        files.iter().copied().filter(|file| matcher.decide(file.as_bytes()) == Decision::Include).collect()
    }

    #[test]
    fn exclude_files() {
        let files = ["data/something00.txt", "more/data", "home", " #/wsfoobar", "\tstart/whitespace", "space/end\t"];
        let rows: &[(&str, &[usize])] = &[
            ("", &[0, 1, 2, 3, 4, 5]),
            ("# Comment only", &[0, 1, 2, 3, 4, 5]),
            ("*", &[]),
            ("# c\r\n*/something00.txt\r\n  *space*  \n #/ws*\n\n# EOF", &[1, 2, 3]),
            ("re:.*", &[]),
            (r"re:\s", &[0, 1, 2]),
            (r"re:(.)(\1)", &[1, 2, 4, 5]),
            (r"re:(m)(.)(\1)", &[0, 1, 2, 3, 4, 5]),
            ("\n\n# mixed\nre:(?i)DATA|ME$\n\n*space*\nfm:*/something00*", &[3]),
            (r"  re:^\s  ", &[0, 1, 2, 5]),
            (r"  re:\s$  ", &[0, 1, 2, 3, 4]),
            ("pp:./", &[0, 1, 2, 3, 4, 5]),
            ("pp:/", &[]),
            ("pp:aaabbb", &[0, 1, 2, 3, 4, 5]),
            ("pp:/data\npp: #/\npp:\tstart\npp:/space", &[1, 2]),
            ("/nomatch\n/more/*", &[0, 2, 3, 4, 5]),
            ("/more/*\n/nomatch", &[0, 2, 3, 4, 5]),
        ];
        for (text, expected) in rows {
            let expected: Vec<&str> = expected.iter().map(|index| files[*index]).collect();
            assert_eq!(taken(parse_exclude_file(text).unwrap(), &files), expected, "{text:?}");
        }
    }

    #[test]
    fn patterns_files() {
        let files = ["data", "data/a0.txt", "data/sub/a1.txt", "home", "home/leo", "home/leo/t", "home/other"];
        let rows: &[(&str, &[usize])] = &[
            ("", &[0, 1, 2, 3, 4, 5, 6]),
            ("# Comment only", &[0, 1, 2, 3, 4, 5, 6]),
            ("- *", &[]),
            ("-*/a?.txt", &[0, 2, 3, 4, 5, 6]),
            ("-fm:*/a0.txt", &[0, 2, 3, 4, 5, 6]),
            ("-fm:*/a?.txt", &[0, 3, 4, 5, 6]),
            ("+/*/a0.txt\n-/data", &[1, 3, 4, 5, 6]),
            ("+fm:*/a0.txt\n-/data", &[1, 3, 4, 5, 6]),
            ("+/home/leo\n-/home/*", &[0, 1, 2, 3, 4, 5]),
            ("-/home/*\n+/home/leo", &[0, 1, 2, 3]),
            ("+fm:/home/leo\n-/home/", &[0, 1, 2, 3, 4, 5]),
            ("P fm\n- */a?.txt", &[0, 3, 4, 5, 6]),
        ];
        for (text, expected) in rows {
            let rules = parse_patterns_file(text).unwrap().into_iter().map(|line| match line {
                Line::Rule(rule) => rule,
                other => panic!("no rule: {other:?}"),
            });
            let expected: Vec<&str> = expected.iter().map(|index| files[*index]).collect();
            assert_eq!(taken(rules.collect(), &files), expected, "{text:?}");
        }
    }

    #[test]
    fn roots_and_styles() {
        let text = "R /srv/my data \n+0\n p fm\n+1\nP re\n+2\n+3\nP pp\n+4\np pf\n! sh:5\n- 6\nr rel";
        let mut styles = Vec::new();
        let mut roots = Vec::new();
        for line in parse_patterns_file(text).unwrap() {
            match line {
                Line::Root(root) => roots.push(root),
                Line::Rule(rule) => styles.push((rule.command, rule.pattern.style())),
                Line::Style(style) => panic!("{style:?} is consumed"),
            }
        }
        assert_eq!(roots, [&b"/srv/my data"[..], b"rel"]);
        use Command::{Exclude, ExcludeNoRecurse, Include};
        use Style::{Fnmatch, PathFull, PathPrefix, Regex, Shell};
        let expected = [
            (Include, Shell),
            (Include, Fnmatch),
            (Include, Regex),
            (Include, Regex),
            (Include, PathPrefix),
            (ExcludeNoRecurse, Shell),
            (Exclude, PathFull),
        ];
        assert_eq!(styles, expected);
    }

    #[test]
    fn bad_lines_are_named() {
        for text in ["X /data", "/data", "+", "- ", "P xx", "P", "- zz:a", "- re:("] {
            let error = parse_patterns_file(&format!("# first\n{text}\n")).unwrap_err();
            assert_eq!((error.kind(), error.context("line")), (ErrorKind::PatternInvalid, Some("2")), "{text}");
        }
        assert_eq!(parse_exclude_file("a\n\nzz:a").unwrap_err().context("line"), Some("3"));
        assert!(Line::parse("", Style::Shell).is_err());
    }
}
