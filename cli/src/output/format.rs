//! Format strings: `{archive:<36} {time} [{id}]{NL}`.
//!
//! The syntax is that of Python's `str.format` as far as listings need it: fill,
//! alignment, width, precision, and for numbers sign, zeros, grouping and base. For
//! times, what contains a `%` is a `strftime` format.

use std::borrow::Cow;
use std::fmt;

use gabion_core::clock::Timestamp;
use jiff::tz::TimeZone;

use super::{text, time};
use crate::exit_code::Failure;

/// Keys that every format has, and what they stand for.
const FIXED: [(&str, &str); 7] =
    [("NEWLINE", "\n"), ("NL", "\n"), ("NUL", "\0"), ("SPACE", " "), ("TAB", "\t"), ("CR", "\r"), ("LF", "\n")];

/// Columns of the widest field: more is a mistake, and memory.
const WIDTH_MAX: usize = 4096;

/// The value of a key.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Raw bytes that should be text, such as a path.
    Bytes(Cow<'a, [u8]>),
    /// A whole number.
    Number(i128),
    /// A moment.
    Time(Timestamp),
}

/// How values are shown.
#[derive(Clone, Debug)]
pub struct Manner {
    /// The zone of times.
    pub zone: TimeZone,
    /// Whether control characters in text are shown instead of sent: for terminals.
    pub escape: bool,
}

/// A format string that was understood and has known keys only.
#[derive(Debug)]
pub struct Format(Vec<Part>);

#[derive(Debug)]
enum Part {
    Literal(String),
    Field { key: String, spec: FieldSpec },
}

#[derive(Debug)]
enum FieldSpec {
    Plain(Spec),
    Strftime(String),
}

impl Format {
    /// Understands `text`, in which the keys `known` may be used.
    ///
    /// # Errors
    /// A command error that names the unknown keys and those known.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, Failure> {
        let wrong = |why: SyntaxError| Failure::command(format!("invalid format `{text}`: {why}"));
        let mut parts = Vec::new();
        for piece in pieces(text).map_err(wrong)? {
            match piece {
                Piece::Literal(literal) => push_literal(&mut parts, &literal),
                Piece::Field { key, spec } => match FIXED.iter().find(|(name, _)| *name == key) {
                    Some((_, fixed)) => push_literal(&mut parts, &Spec::parse(spec).map_err(wrong)?.pad(fixed)),
                    None if !known.contains(&key) => return Err(unknown_key(key, known)),
                    None if spec.contains('%') => {
                        parts.push(Part::Field { key: key.to_owned(), spec: FieldSpec::Strftime(spec.to_owned()) });
                    }
                    None => {
                        let spec = FieldSpec::Plain(Spec::parse(spec).map_err(wrong)?);
                        parts.push(Part::Field { key: key.to_owned(), spec });
                    }
                },
            }
        }
        Ok(Self(parts))
    }

    /// The keys that are used, in order, without the fixed ones.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Field { key, .. } => Some(key.as_str()),
        })
    }

    /// Appends one item to `out`; `value` tells the value of a key, `None` counts as empty.
    ///
    /// # Errors
    /// If a `strftime` format makes no sense, or is used on what is no time.
    pub fn render<'a>(
        &self,
        value: impl Fn(&str) -> Option<Value<'a>>,
        manner: &Manner,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        for part in &self.0 {
            match part {
                Part::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
                Part::Field { key, spec } => {
                    let value = value(key).unwrap_or(Value::Text(Cow::Borrowed("")));
                    render_field(key, &value, spec, manner, out)?;
                }
            }
        }
        Ok(())
    }
}

fn push_literal(parts: &mut Vec<Part>, literal: &str) {
    match parts.last_mut() {
        Some(Part::Literal(last)) => last.push_str(literal),
        _ => parts.push(Part::Literal(literal.to_owned())),
    }
}

fn unknown_key(key: &str, known: &[&str]) -> Failure {
    let mut known: Vec<&str> = known.iter().copied().chain(FIXED.iter().map(|(name, _)| *name)).collect();
    known.sort_unstable();
    Failure::command(format!("invalid format key `{key}`, known are: {}", known.join(", ")))
}

fn render_field(
    key: &str,
    value: &Value<'_>,
    spec: &FieldSpec,
    manner: &Manner,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let spec = match (spec, value) {
        (FieldSpec::Plain(spec), _) => spec,
        (FieldSpec::Strftime(format), Value::Time(moment)) => {
            out.extend_from_slice(time::strftime(*moment, &manner.zone, format)?.as_bytes());
            return Ok(());
        }
        (FieldSpec::Strftime(format), _) => {
            return Err(Failure::command(format!("`{key}` is no time, it can not be formatted as `{format}`")));
        }
    };
    match value {
        Value::Text(text) if manner.escape => spec.pad_bytes(text::printable(text.as_bytes()).as_bytes(), out),
        Value::Text(text) => spec.pad_bytes(text.as_bytes(), out),
        Value::Bytes(bytes) if manner.escape => spec.pad_bytes(text::printable(bytes).as_bytes(), out),
        Value::Bytes(bytes) => spec.pad_bytes(bytes, out),
        Value::Number(number) => out.extend_from_slice(spec.number(*number).as_bytes()),
        Value::Time(moment) => spec.pad_bytes(time::human(*moment, &manner.zone).as_bytes(), out),
    }
    Ok(())
}

/// A piece of a format string.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text, with `{{` and `}}` undone.
    Literal(Cow<'a, str>),
    /// `{key:spec}`
    Field {
        /// What is asked for.
        key: &'a str,
        /// How it shall look, without the colon.
        spec: &'a str,
    },
}

/// Why a format string can not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// A `{` or `}` stands alone.
    Brace(char),
    /// `{}`
    NoKey,
    /// What follows a colon.
    Spec,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brace(brace) => write!(f, "a `{brace}` stands alone, write `{brace}{brace}` to mean itself"),
            Self::NoKey => f.write_str("no key between `{` and `}`"),
            Self::Spec => f.write_str("what follows a `:` must be [[fill]<>^][+][0][width][,][.precision][type]"),
        }
    }
}

/// Takes a format string apart.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, SyntaxError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        if !before.is_empty() {
            pieces.push(Piece::Literal(Cow::Borrowed(before)));
        }
        if let Some(brace) = ["{{", "}}"].into_iter().find(|double| after.starts_with(double)) {
            pieces.push(Piece::Literal(Cow::Borrowed(&brace[..1])));
            rest = &after[2..];
            continue;
        }
        let field = after.strip_prefix('{').ok_or(SyntaxError::Brace('}'))?;
        let (field, after) = field.split_once('}').ok_or(SyntaxError::Brace('{'))?;
        if field.contains('{') {
            return Err(SyntaxError::Brace('{'));
        }
        let (key, spec) = field.split_once(':').unwrap_or((field, ""));
        if key.is_empty() {
            return Err(SyntaxError::NoKey);
        }
        pieces.push(Piece::Field { key, spec });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(Cow::Borrowed(rest)));
    }
    Ok(pieces)
}

/// How a field is padded and cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    fill: Option<char>,
    align: Option<Align>,
    plus: bool,
    zeros: bool,
    width: usize,
    grouping: bool,
    precision: Option<usize>,
    base: Base,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
    Center,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Base {
    #[default]
    Decimal,
    Hexadecimal,
    Octal,
}

impl Spec {
    /// Reads `[[fill]align][+][0][width][,][.precision][type]`.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let align = |character: Option<char>| match character? {
            '<' => Some(Align::Left),
            '>' => Some(Align::Right),
            '^' => Some(Align::Center),
            _ => None,
        };
        let mut spec = Self::default();
        let mut rest = text.chars();
        let (first, second) = (text.chars().next(), text.chars().nth(1));
        if let Some(found) = align(second) {
            (spec.fill, spec.align) = (first, Some(found));
            rest.nth(1);
        } else if let Some(found) = align(first) {
            spec.align = Some(found);
            rest.next();
        }
        let mut rest = rest.as_str();
        spec.plus = take(&mut rest, "+");
        spec.zeros = take(&mut rest, "0");
        spec.width = number(&mut rest)?.unwrap_or(0);
        spec.grouping = take(&mut rest, ",");
        if take(&mut rest, ".") {
            spec.precision = Some(number(&mut rest)?.ok_or(SyntaxError::Spec)?);
        }
        spec.base = match rest {
            "" | "d" | "s" => Base::Decimal,
            "x" => Base::Hexadecimal,
            "o" => Base::Octal,
            _ => return Err(SyntaxError::Spec),
        };
        Ok(spec)
    }

    /// Pads and cuts text.
    pub fn pad(&self, text: &str) -> String {
        let mut out = Vec::new();
        self.pad_bytes(text.as_bytes(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Pads and cuts bytes; a byte that is no UTF-8 counts as one character.
    fn pad_bytes(&self, bytes: &[u8], out: &mut Vec<u8>) {
        let (bytes, length) = self.cut(bytes);
        self.align(bytes, length, Align::Left, out);
    }

    fn cut<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], usize) {
        let limit = self.precision.unwrap_or(usize::MAX);
        let mut end = 0;
        let mut count = 0;
        for chunk in bytes.utf8_chunks() {
            let sizes = chunk.valid().chars().map(char::len_utf8).chain(chunk.invalid().iter().map(|_| 1));
            for size in sizes {
                if count == limit {
                    return (&bytes[..end], count);
                }
                end += size;
                count += 1;
            }
        }
        (bytes, count)
    }

    fn align(&self, bytes: &[u8], length: usize, default: Align, out: &mut Vec<u8>) {
        let missing = self.width.saturating_sub(length);
        let before = match self.align.unwrap_or(default) {
            Align::Left => 0,
            Align::Right => missing,
            Align::Center => missing / 2,
        };
        let mut buffer = [0; 4];
        let fill = self.fill.unwrap_or(' ').encode_utf8(&mut buffer).as_bytes();
        (0..before).for_each(|_| out.extend_from_slice(fill));
        out.extend_from_slice(bytes);
        (before..missing).for_each(|_| out.extend_from_slice(fill));
    }

    fn number(&self, number: i128) -> String {
        let magnitude = number.unsigned_abs();
        let digits = match self.base {
            Base::Decimal => magnitude.to_string(),
            Base::Hexadecimal => format!("{magnitude:x}"),
            Base::Octal => format!("{magnitude:o}"),
        };
        let digits = if self.grouping { group(&digits) } else { digits };
        let sign = match number {
            ..0 => "-",
            _ if self.plus => "+",
            _ => "",
        };
        let zeros = if self.zeros { self.width.saturating_sub(sign.len() + digits.len()) } else { 0 };
        let text = format!("{sign}{}{digits}", "0".repeat(zeros));
        let mut out = Vec::new();
        self.align(text.as_bytes(), text.len(), Align::Right, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn group(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn take(rest: &mut &str, prefix: &str) -> bool {
    let found = rest.strip_prefix(prefix);
    *rest = found.unwrap_or(rest);
    found.is_some()
}

fn number(rest: &mut &str) -> Result<Option<usize>, SyntaxError> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok(None);
    }
    let number = rest[..digits].parse().ok().filter(|number| *number <= WIDTH_MAX).ok_or(SyntaxError::Spec)?;
    *rest = &rest[digits..];
    Ok(Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["name", "path", "size", "time"];

    fn render(format: &str, escape: bool) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        let manner = Manner { zone: TimeZone::UTC, escape };
        let value = |key: &str| match key {
            "name" => Some(Value::Text("näme".into())),
            "path" => Some(Value::Bytes((&b"a\n\xff"[..]).into())),
            "size" => Some(Value::Number(-1_234_567)),
            "time" => Some(Value::Time(Timestamp::new(1_795_379_400, 0))),
            _ => None,
        };
        Format::parse(format, &[KNOWN, &["none"]].concat())?.render(value, &manner, &mut out)?;
        Ok(out)
    }

    #[test]
    fn formats() {
        for (format, expected) in [
            ("", ""),
            ("plain {{x}} text", "plain {x} text"),
            ("{name}|{name:6}|{name:<6}|{name:>6}|{name:^7}", "näme|näme  |näme  |  näme| näme  "),
            ("{name:.2}|{name:4.2}|{name:*^6.2}|{name:->5s}", "nä|nä  |**nä**|-näme"),
            (
                "{size}|{size:12}|{size:<12}|{size:,}|{size:012}",
                "-1234567|    -1234567|-1234567    |-1,234,567|-00001234567",
            ),
            ("{time}", "Sun, 2026-11-22 20:30:00"),
            ("{time:%Y-%m-%d}|{time:.3}|{time:>26}", "2026-11-22|Sun|  Sun, 2026-11-22 20:30:00"),
            ("{NL}{NEWLINE}{NUL}{SPACE}{TAB}{CR}{LF}{NL:2}", "\n\n\0 \t\r\n\n "),
            ("[{none:3}]", "[   ]"),
        ] {
            assert_eq!(String::from_utf8(render(format, false).unwrap()).unwrap(), expected, "{format}");
        }
    }

    #[test]
    fn numbers() {
        for (spec, number, expected) in [
            ("x", 255, "ff"),
            ("o", 8, "10"),
            ("+", 5, "+5"),
            ("+,", 1000, "+1,000"),
            (",", 999, "999"),
            (",", 1_000_000, "1,000,000"),
            ("08x", 255, "000000ff"),
            ("d", -5, "-5"),
            ("_^5", 1, "__1__"),
        ] {
            assert_eq!(Spec::parse(spec).unwrap().number(number), expected, "{spec}");
        }
    }

    #[test]
    fn raw_bytes_stay_raw_but_on_a_terminal() {
        assert_eq!(render("{path}{NUL}", false).unwrap(), b"a\n\xff\0");
        assert_eq!(render("{path:4}|{path:.2}|", false).unwrap(), b"a\n\xff |a\n|");
        assert_eq!(render("{path}{NL}", true).unwrap(), b"a\\n\\xff\n");
    }

    #[test]
    fn mistakes_are_named() {
        for (format, part) in [
            ("{nosuch}", "known are: CR, LF, NEWLINE, NL, NUL, SPACE, TAB, name, path, size, time"),
            ("{", "`{` stands alone"),
            ("a } b", "`}` stands alone"),
            ("{}", "no key"),
            ("{name!r}", "invalid format key `name!r`"),
            ("{name.x}", "invalid format key `name.x`"),
            ("{name:zz}", "what follows"),
            ("{name:99999999}", "what follows"),
            ("{name:.}", "what follows"),
            ("{name:{size}}", "`{` stands alone"),
        ] {
            let failure = Format::parse(format, KNOWN).unwrap_err();
            assert!(failure.message.contains(part) && failure.code.rc == 4, "{format}: {failure}");
        }
        assert_eq!(render("{name:%Y}", false).unwrap_err().code.rc, 4);
        assert_eq!(render("{time:%!}", false).unwrap_err().code.rc, 5);
    }

    #[test]
    fn the_keys_in_use_are_told() {
        let format = Format::parse("{name} {NL}{time:%Y} {name}", KNOWN).unwrap();
        assert_eq!(format.keys().collect::<Vec<_>>(), ["name", "time", "name"]);
    }
}
