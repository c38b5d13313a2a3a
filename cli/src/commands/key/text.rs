//! A key slot as text: short for files, with checksums for paper.
//!
//! ```text
//! GABION_KEY <repository id> <key id>
//! base64 of the slot, 64 characters a line
//! ```
//! and on paper:
//! ```text
//! GABION_KEY <repository id> <key id> - <check>
//!  1: 16 bytes of the slot as groups of 4 hexadecimal digits - <check>
//! ```
//! A check is the first 2 bytes of the BLAKE3 hash of the line's number (u16,
//! little-endian; 0 for the first line) and its bytes. It finds typing errors; that the
//! slot is whole and unchanged is found by the hash the slot ends with.

use std::fmt::Write as _;

use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::id::{KeyId, RepositoryId, write_hex};

use crate::output::json::base64;

const MARK: &str = "GABION_KEY";
const BASE64_LINE: usize = 64;
/// Bytes of the slot on one line of paper.
const PAPER_BYTES: usize = 16;
/// More lines than any slot has.
const PAPER_LINES_MAX: usize = 4096;

/// A slot and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The repository it opens.
    pub repository: RepositoryId,
    /// Its name.
    pub key: KeyId,
    /// All its bytes.
    pub slot: Vec<u8>,
}

/// Text that is no key, or not all of one.
pub fn invalid(reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::KeyInvalid, "import key").with("reason", reason)
}

/// The form for files.
pub fn compact(exported: &Exported) -> String {
    let mut out = format!("{MARK} {} {}\n", exported.repository, exported.key);
    let mut digits = &*base64(&exported.slot);
    while !digits.is_empty() {
        let (line, rest) = digits.split_at(BASE64_LINE.min(digits.len()));
        out.push_str(line);
        out.push('\n');
        digits = rest;
    }
    out
}

/// The form for paper.
pub fn paper(exported: &Exported) -> String {
    let check0 = check(0, &head_bytes(&exported.repository, &exported.key));
    let mut out = format!("{MARK} {} {} - {check0}\n", exported.repository, exported.key);
    for (number, bytes) in (1..).zip(exported.slot.chunks(PAPER_BYTES)) {
        // writing to a String can not fail
        let _ = write!(out, "{number:2}:");
        for group in bytes.chunks(2) {
            out.push(' ');
            let _ = write_hex(&mut out, group);
        }
        let _ = writeln!(out, " - {}", check(number, bytes));
    }
    out
}

/// Reads either form. Lines that are empty or begin with `#` do not count.
///
/// Errors are of kind [`ErrorKind::KeyInvalid`] and name the line.
pub fn parse(text: &str) -> Result<Exported> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let head = lines.next().ok_or_else(|| invalid("it is empty"))?;
    if head.contains(" - ") {
        let mut paper = Paper::default();
        paper.line(head)?;
        lines.try_for_each(|line| paper.line(line))?;
        return paper.finish();
    }
    let (repository, key) = parse_head(head)?;
    let digits: String = lines.collect();
    let slot = decode_base64(&digits).ok_or_else(|| invalid("its lines are not base64"))?;
    Ok(Exported { repository, key, slot })
}

/// A key that is read from paper, line by line.
#[derive(Debug, Default)]
pub struct Paper {
    head: Option<(RepositoryId, KeyId)>,
    lines: u16,
    slot: Vec<u8>,
}

impl Paper {
    /// What stands before the next line.
    pub fn prompt(&self) -> String {
        match self.head {
            None => "first line:".to_owned(),
            Some(_) => format!("{:2}:", self.lines + 1),
        }
    }

    /// Takes the next line, with or without its number. A line that is wrong changes nothing.
    pub fn line(&mut self, line: &str) -> Result<()> {
        let next = if self.head.is_none() { 0 } else { self.lines + 1 };
        let wrong = |what: &str| invalid(format_args!("line {next}: {what}"));
        let (content, stated) = line.rsplit_once('-').ok_or_else(|| wrong("the check after `-` is missing"))?;
        let stated = stated.trim().to_ascii_lowercase();
        if next == 0 {
            let (repository, key) = parse_head(content).map_err(|_| wrong("not the first line of a key"))?;
            if check(0, &head_bytes(&repository, &key)) != stated {
                return Err(wrong("typing error"));
            }
            self.head = Some((repository, key));
            return Ok(());
        }
        let digits = match content.split_once(':') {
            None => content,
            Some((number, digits)) if number.trim().parse() == Ok(next) => digits,
            Some((number, _)) => return Err(wrong(&format!("it has the number {}", number.trim().escape_debug()))),
        };
        let bytes = decode_hex(digits).ok_or_else(|| wrong("typing error: not pairs of 0-9 and a-f"))?;
        if bytes.len() > PAPER_BYTES || usize::from(next) > PAPER_LINES_MAX {
            return Err(wrong("too long"));
        }
        if check(next, &bytes) != stated {
            return Err(wrong("typing error"));
        }
        self.slot.extend_from_slice(&bytes);
        self.lines = next;
        Ok(())
    }

    /// What was read; whether it is all of a slot, the slot itself tells.
    pub fn finish(self) -> Result<Exported> {
        let (repository, key) = self.head.ok_or_else(|| invalid("it is empty"))?;
        Ok(Exported { repository, key, slot: self.slot })
    }
}

fn parse_head(line: &str) -> Result<(RepositoryId, KeyId)> {
    let mut words = line.split_whitespace();
    let wrong = || invalid("the first line is not that of an exported key");
    let right = words.next() == Some(MARK);
    let ids = words.next().and_then(|id| id.to_ascii_lowercase().parse().ok());
    let ids = ids.zip(words.next().and_then(|id| id.to_ascii_lowercase().parse().ok()));
    ids.filter(|_| right && words.next().is_none()).ok_or_else(wrong)
}

fn head_bytes(repository: &RepositoryId, key: &KeyId) -> Vec<u8> {
    [&repository.as_bytes()[..], key.as_bytes()].concat()
}

fn check(number: u16, bytes: &[u8]) -> String {
    let hash = blake3::Hasher::new().update(&number.to_le_bytes()).update(bytes).finalize();
    let mut out = String::new();
    // writing to a String can not fail
    let _ = write_hex(&mut out, &hash.as_bytes()[..2]);
    out
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    pairs.collect()
}

/// RFC 4648 base64 with padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for digit in chunk {
            bits = bits << 6 | base64_value(*digit)?;
        }
        bits <<= 6 * (4 - chunk.len());
        out.extend_from_slice(bits.to_be_bytes().get(1..chunk.len())?);
    }
    // one value, one form: no digits that mean nothing
    (base64(&out) == text).then_some(out)
}

fn base64_value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(bytes: usize) -> Exported {
        let slot = (0..bytes).map(|number| (number * 37 % 251) as u8).collect();
        Exported { repository: RepositoryId::from_bytes([7; 16]), key: KeyId::from_bytes([0xab; 16]), slot }
    }

    fn reason(text: &str) -> String {
        let error = parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyInvalid);
        error.context("reason").unwrap().to_string()
    }

    #[test]
    fn both_forms_come_back() {
        for bytes in [0, 1, 2, 3, 15, 16, 17, 48, 49, 400] {
            let key = exported(bytes);
            assert_eq!(parse(&compact(&key)).unwrap(), key, "{bytes}");
            assert_eq!(parse(&paper(&key)).unwrap(), key, "{bytes}");
            let untidy = paper(&key).to_ascii_uppercase().replace('\n', "  \r\n\n# note\n");
            assert_eq!(parse(&untidy).unwrap(), key, "{bytes}");
        }
    }

    #[test]
    fn every_wrong_digit_on_paper_is_located() {
        let good = paper(&exported(40));
        for (number, line) in good.lines().enumerate() {
            let digits = line.find(|c| c == ' ' && number == 0 || c == ':').unwrap()..line.len();
            for position in digits.filter(|at| line.as_bytes()[*at].is_ascii_hexdigit()) {
                let other = if line.as_bytes()[position] == b'0' { "1" } else { "0" };
                let mut typed = line.to_owned();
                typed.replace_range(position..=position, other);
                let told = reason(&good.replace(line, &typed));
                assert!(told.starts_with(&format!("line {number}: ")), "{typed}: {told}");
            }
        }
    }

    #[test]
    fn lines_left_out_or_swapped_are_noticed() {
        let good = paper(&exported(64));
        let lines: Vec<&str> = good.lines().collect();
        let without = [lines[0], lines[1], lines[3], lines[4]].join("\n");
        assert_eq!(reason(&without), "line 2: it has the number 3");
        let unnumbered = |line: &str| line.split_once(':').unwrap().1.to_owned();
        let swapped = [lines[0].to_owned(), unnumbered(lines[2]), unnumbered(lines[1])].join("\n");
        assert_eq!(reason(&swapped), "line 1: typing error");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert_eq!(reason(""), "it is empty");
        assert_eq!(reason("something else"), "the first line is not that of an exported key");
        let good = compact(&exported(40));
        for bad in [good.replace("==", "="), good.replace('\n', "\n!"), format!("{good}A")] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
        assert_eq!(decode_base64("Zh=="), None);
        assert_eq!(decode_base64("Zg=="), Some(b"f".to_vec()));
    }
}
