//! Raw bytes, such as file names, where people read them.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Bytes as one line that can not move the cursor: control characters, characters that turn the
/// direction of writing, and bytes that are no UTF-8 become `\n`, `\x1b`, `\u{202e}` and the like.
pub fn printable(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(is_unprintable)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                other if other.is_ascii_control() => escape_byte(other as u8, &mut out),
                other if is_unprintable(other) => out.extend(other.escape_unicode()),
                other => out.push(other),
            }
        }
        chunk.invalid().iter().for_each(|byte| escape_byte(*byte, &mut out));
    }
    Cow::Owned(out)
}

fn escape_byte(byte: u8, out: &mut String) {
    // writing to a String can not fail
    let _ = write!(out, "\\x{byte:02x}");
}

fn is_unprintable(character: char) -> bool {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || turns
}

/// Bytes as text with a `?` for each byte that is no UTF-8.
pub fn approximate(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| '?'));
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unprintable_is_printed() {
        for (bytes, printed, approximated) in [
            (&b"plain \xc3\xa4"[..], "plain ä", "plain ä"),
            (b"a\nb\tc\r", "a\\nb\\tc\\r", "a\nb\tc\r"),
            (b"\x1b[31m\x7f", "\\x1b[31m\\x7f", "\x1b[31m\x7f"),
            (b"x\xff\xc3", "x\\xff\\xc3", "x??"),
            (b"a\xe2\x80\xaeb", "a\\u{202e}b", "a\u{202e}b"),
            (b"\xc2\x9b", "\\u{9b}", "\u{9b}"),
            (b"", "", ""),
        ] {
            assert_eq!((&*printable(bytes), &*approximate(bytes)), (printed, approximated));
        }
    }
}
