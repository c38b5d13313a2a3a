//! Regular expressions in Python's syntax, run by `fancy-regex`.
//!
//! Look-around and back-references work by backtracking; the steps are limited, so
//! that no expression stops a backup. What differs in syntax between the two is
//! translated here; what can not be is an error of the compiler, never another
//! meaning in silence.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use fancy_regex::RegexBuilder;

use super::text;

/// Backtracking steps of one match.
const STEPS_MAX: usize = 200_000;
/// Bytes of memory of one compiled expression.
const COMPILED_BYTES_MAX: usize = 2 << 20;

/// A compiled regular expression that remembers whether it ever ran out of steps.
pub struct Regex {
    compiled: fancy_regex::Regex,
    gave_up: AtomicBool,
}

impl Regex {
    /// Compiles an expression in Python's syntax that may match anywhere.
    pub fn search(expression: &[u8]) -> Result<Self, Invalid> {
        let Ok(expression) = std::str::from_utf8(expression) else { return Err(Invalid::NotText) };
        let (flags, body) = translate(expression);
        Self::compile(&format!("{flags}{body}"))
    }

    /// Compiles an expression in Python's syntax that must match a text as a whole.
    pub fn whole(expression: &str) -> Result<Self, Invalid> {
        let (flags, body) = translate(expression);
        Self::compile(&format!(r"{flags}\A(?:{body})\z"))
    }

    /// Compiles an expression in the syntax of the engine.
    pub fn compile(expression: &str) -> Result<Self, Invalid> {
        let compiled = RegexBuilder::new(expression)
            .backtrack_limit(STEPS_MAX)
            .delegate_size_limit(COMPILED_BYTES_MAX)
            .delegate_dfa_size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|error| Invalid::Syntax(Box::new(error)))?;
        Ok(Self { compiled, gave_up: AtomicBool::new(false) })
    }

    /// Whether the expression fits; `false` if that takes too many steps.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.compiled.is_match(&*text::decode(path)).unwrap_or_else(|_| {
            self.gave_up.store(true, Ordering::Relaxed);
            false
        })
    }

    /// Whether a match was ever given up.
    pub fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Relaxed)
    }
}

/// Why an expression can not be used.
#[derive(Debug)]
pub enum Invalid {
    NotText,
    Syntax(Box<fancy_regex::Error>),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("a regular expression must be UTF-8"),
            Self::Syntax(error) => fmt::Display::fmt(error, f),
        }
    }
}

/// Python's syntax to the engine's: flags to put in front, and the rest.
///
/// `(?i)` counts for the whole expression wherever it stands (older Pythons took
/// it so and Borg's manual has examples of it), `\Z` is the very end, and inside
/// of `[...]` the characters `[ & ~` mean themselves.
fn translate(expression: &str) -> (String, String) {
    let mut flags = String::new();
    let mut out = String::with_capacity(expression.len() + 8);
    let mut rest = expression;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        rest = match character {
            '\\' => escape(after, &mut out),
            '[' => set(after, &mut out),
            '(' => match global_flags(after) {
                Some((letters, after)) => {
                    flags.push_str(&format!("(?{letters})"));
                    after
                }
                None => {
                    out.push('(');
                    after
                }
            },
            other => {
                out.push(other);
                after
            }
        };
    }
    (flags, out)
}

/// Copies the character after a backslash.
fn escape<'a>(after: &'a str, out: &mut String) -> &'a str {
    out.push('\\');
    let Some(character) = after.chars().next() else { return after };
    out.push(if character == 'Z' { 'z' } else { character });
    &after[character.len_utf8()..]
}

/// Copies the rest of a `[...]`; without its end, the compiler will complain.
fn set<'a>(after: &'a str, out: &mut String) -> &'a str {
    out.push('[');
    let mut rest = after;
    if let Some(negated) = rest.strip_prefix('^') {
        out.push('^');
        rest = negated;
    }
    if let Some(bracket) = rest.strip_prefix(']') {
        out.push_str(r"\]");
        rest = bracket;
    }
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '\\' => rest = escape(rest, out),
            ']' => {
                out.push(']');
                break;
            }
            '[' | '&' | '~' => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    rest
}

/// The letters of `(?letters)` and what follows it, if this is one.
fn global_flags(after: &str) -> Option<(&str, &str)> {
    let (letters, rest) = after.strip_prefix('?')?.split_once(')')?;
    let plain = !letters.is_empty() && letters.bytes().all(|c| matches!(c, b'i' | b'm' | b's' | b'x' | b'u'));
    plain.then_some((letters, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_syntax_keeps_its_meaning() {
        // expression, what it finds, what it does not
        let rows: &[(&str, &str, &str)] = &[
            (r"\.jpe?g(?i)$", "a.JPG", "a.JPX"),
            (r"(?i)BAR|ME$", "xbarx", "nam"),
            (r"(.)\1", "aab", "aba"),
            (r"^(?!srv|foo|opt)", "home", "srv/x"),
            (r"(?<=a)b", "ab", "cb"),
            (r"(?P<c>.)x(?P=c)", "axa", "axb"),
            (r"end\Z", "the end", "end."),
            (r"^[[a]$", "[", "b"),
            (r"^[]a]$", "]", "b"),
            (r"^[^]a]$", "b", "]"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[\]x]$", "]", "y"),
            (r"^\[$", "[", "a"),
            (r"^a{,2}$", "aa", "aaa"),
            (r"^.$", "\u{fffd}", "ab"),
        ];
        for (expression, found, not_found) in rows {
            let regex = Regex::search(expression.as_bytes()).unwrap();
            assert!(regex.matches(found.as_bytes()), "{expression} should find {found}");
            assert!(!regex.matches(not_found.as_bytes()), "{expression} should not find {not_found}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for expression in ["(", "[a", "*", r"\", "(?P<a>x", "a{1000000000}"] {
            assert!(Regex::search(expression.as_bytes()).is_err(), "{expression}");
        }
        assert!(Regex::search(b"\xff").is_err());
    }

    #[test]
    fn endless_backtracking_is_given_up() {
        let regex = Regex::search(br"^(?=(a+)+$)((a+)+)+\1b$").unwrap();
        assert!(!regex.gave_up());
        assert!(!regex.matches("a".repeat(60).as_bytes()));
        assert!(regex.gave_up());
    }

    #[test]
    fn whole_expressions_do_not_leak_out_of_an_alternative() {
        let regex = Regex::whole("pc1|pc2").unwrap();
        assert!(regex.matches(b"pc1") && regex.matches(b"pc2"));
        assert!(!regex.matches(b"pc1x") && !regex.matches(b"xpc2"));
    }
}
