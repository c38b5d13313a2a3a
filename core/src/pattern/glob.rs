//! Shell wildcards, translated to regular expressions without backtracking.
//!
//! A pattern is extended so that it also fits everything below what it names, and
//! is then compared with the path plus a `/`: one comparison answers for the path
//! itself and for all parents of it. Patterns without any wildcard, the most common
//! ones, are compared as bytes.

use super::regex::{Invalid, Regex};
use super::{is_at_or_below, normalize, text};

/// What `*`, `?` and `{` mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wildcards {
    /// `*` and `?` fit `/` too; braces mean themselves.
    Fnmatch,
    /// `*` and `?` stop at `/`, `**/` is any number of directories, `{a,b}` alternatives.
    Shell,
}

/// A compiled pattern of wildcards.
pub struct Glob {
    /// What every fitting path starts with, possibly followed by a `/`.
    literal_start: Vec<u8>,
    form: Form,
}

enum Form {
    /// What `literal_start` names (ending in `/`) and everything below it.
    Subtree,
    /// Everything below what `literal_start` names (ending in `/`), not itself.
    Content,
    Regex(Regex),
}

impl Glob {
    /// Compiles `pattern`.
    pub fn new(pattern: &[u8], wildcards: Wildcards) -> Result<Self, Invalid> {
        let content_only = pattern.ends_with(b"/");
        let normal = normalize(pattern);
        let normal = text::decode(&normal);
        let tokens = parse(&extend(&normal, wildcards, content_only), wildcards);
        let mut literal_start = Vec::new();
        for token in &tokens {
            let Token::Literal(character) = token else { break };
            text::encode(*character, &mut literal_start);
        }
        let plain = parse(&normal, wildcards).iter().all(Token::is_literal) && !normal.is_empty();
        let form = match (plain, content_only) {
            (true, false) => Form::Subtree,
            (true, true) => Form::Content,
            (false, _) => Form::Regex(Regex::compile(&expression(&tokens, wildcards))?),
        };
        Ok(Self { literal_start, form })
    }

    /// Whether the pattern fits `path` or, unless it ends in `/`, one of its parents.
    pub fn matches(&self, path: &[u8]) -> bool {
        match &self.form {
            Form::Subtree => is_at_or_below(path, &self.literal_start),
            Form::Content => path.starts_with(&self.literal_start),
            Form::Regex(regex) => is_at_or_below(path, &self.literal_start) && regex.matches(&[path, b"/"].concat()),
        }
    }

    /// What every fitting path starts with.
    pub fn literal_start(&self) -> &[u8] {
        &self.literal_start
    }
}

/// Compiles shell wildcards that must fit a text as a whole, such as a name.
pub fn whole(pattern: &str) -> Result<Regex, Invalid> {
    Regex::compile(&expression(&parse(pattern, Wildcards::Shell), Wildcards::Shell))
}

/// Makes the pattern fit, compared with a path and a `/`, all that is below what it names.
///
/// This is done before the wildcards are read: a `**` at the end meets a `/` and so
/// becomes any number of directories.
fn extend(normal: &str, wildcards: Wildcards, content_only: bool) -> String {
    // the root has no name of its own to put a slash behind
    let joint = if normal.is_empty() { "" } else { "/" };
    let below = match wildcards {
        Wildcards::Fnmatch => "*",
        Wildcards::Shell => "**/*",
    };
    let end = if content_only { "/" } else { "" };
    format!("{normal}{joint}{below}{end}")
}

fn parse(pattern: &str, wildcards: Wildcards) -> Vec<Token> {
    let mut tokens = tokenize(pattern, wildcards);
    pair_braces(&mut tokens);
    tokens
}

/// The expression that fits what the tokens fit, as a whole.
fn expression(tokens: &[Token], wildcards: Wildcards) -> String {
    let mut out = String::from(r"(?s)\A");
    tokens.iter().for_each(|token| token.write(wildcards, &mut out));
    out.push_str(r"\z");
    out
}

#[derive(Debug, PartialEq)]
enum Token {
    Literal(char),
    /// `*`
    Run,
    /// `**/`
    Directories,
    /// `?`
    One,
    /// `[...]`: whether it is negated, and ranges.
    Set(bool, Vec<(char, char)>),
    /// `{`, `,` or `}`, a wildcard only if paired with others.
    Brace(char),
    Open,
    Or,
    Close,
}

fn tokenize(pattern: &str, wildcards: Wildcards) -> Vec<Token> {
    let shell = wildcards == Wildcards::Shell;
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        let (token, after) = match character {
            '*' if shell && after.starts_with("*/") => (Token::Directories, &after[2..]),
            '*' => (Token::Run, after),
            '?' => (Token::One, after),
            '[' => parse_set(after).unwrap_or((Token::Literal('['), after)),
            '{' | ',' | '}' if shell => (Token::Brace(character), after),
            '\\' if shell => match after.chars().next() {
                Some(next @ ('{' | ',' | '}')) => (Token::Literal(next), &after[1..]),
                _ => (Token::Literal('\\'), after),
            },
            other => (Token::Literal(other), after),
        };
        // repeated, they say no more than once
        if !(matches!(token, Token::Run | Token::Directories) && tokens.last() == Some(&token)) {
            tokens.push(token);
        }
        rest = after;
    }
    tokens
}

/// Reads a set after its `[`; without a `]` it is none.
fn parse_set(after: &str) -> Option<(Token, &str)> {
    let (negated, body) = match after.strip_prefix('!') {
        Some(body) => (true, body),
        None => (false, after),
    };
    // a `]` in first place is a member
    let first = body.chars().next()?.len_utf8();
    let end = first + body.get(first..)?.find(']')?;
    let members: Vec<char> = body[..end].chars().collect();
    let mut ranges = Vec::new();
    let mut index = 0;
    while let Some(&start) = members.get(index) {
        if let (Some('-'), Some(&last)) = (members.get(index + 1), members.get(index + 2)) {
            ranges.push((start, last));
            index += 3;
        } else {
            ranges.push((start, start));
            index += 1;
        }
    }
    ranges.retain(|(start, last)| start <= last);
    Some((Token::Set(negated, ranges), &body[end + 1..]))
}

/// Turns braces that belong together, with a comma between, into alternatives; the others mean themselves.
fn pair_braces(tokens: &mut [Token]) {
    // per open brace: its place and the places of the commas since
    let mut open: Vec<(usize, Vec<usize>)> = Vec::new();
    for index in 0..tokens.len() {
        match tokens[index] {
            Token::Brace('{') => open.push((index, Vec::new())),
            Token::Brace(',') => {
                if let Some((_, commas)) = open.last_mut() {
                    commas.push(index);
                }
            }
            Token::Brace('}') => {
                let Some((start, commas)) = open.pop() else { continue };
                let alternatives = !commas.is_empty() || tokens[start..index].contains(&Token::Or);
                if alternatives {
                    tokens[start] = Token::Open;
                    tokens[index] = Token::Close;
                    commas.iter().for_each(|comma| tokens[*comma] = Token::Or);
                }
            }
            _ => {}
        }
    }
    for token in tokens {
        if let Token::Brace(character) = *token {
            *token = Token::Literal(character);
        }
    }
}

impl Token {
    fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    fn write(&self, wildcards: Wildcards, out: &mut String) {
        match (self, wildcards) {
            (Self::Literal(character) | Self::Brace(character), _) => write_character(*character, out),
            (Self::Run, Wildcards::Fnmatch) => out.push_str(".*"),
            (Self::Run, Wildcards::Shell) => out.push_str("[^/]*"),
            (Self::Directories, _) => out.push_str("(?:[^/]*/)*"),
            (Self::One, Wildcards::Fnmatch) => out.push('.'),
            (Self::One, Wildcards::Shell) => out.push_str("[^/]"),
            (Self::Set(negated, ranges), _) => write_set(*negated, ranges, out),
            (Self::Open, _) => out.push_str("(?:"),
            (Self::Or, _) => out.push('|'),
            (Self::Close, _) => out.push(')'),
        }
    }
}

fn write_character(character: char, out: &mut String) {
    if character.is_ascii_alphanumeric() || character == '/' || character == '_' {
        out.push(character);
    } else {
        out.push_str(&format!("\\x{{{:x}}}", u32::from(character)));
    }
}

fn write_set(negated: bool, ranges: &[(char, char)], out: &mut String) {
    if ranges.is_empty() {
        // nothing at all, or anything
        out.push_str(if negated { "." } else { r"[^\x{0}-\x{10ffff}]" });
        return;
    }
    out.push_str(if negated { "[^" } else { "[" });
    for (start, last) in ranges {
        out.push_str(&format!("\\x{{{:x}}}-\\x{{{:x}}}", u32::from(*start), u32::from(*last)));
    }
    out.push(']');
}
