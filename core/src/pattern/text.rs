//! Paths as text, without loss.
//!
//! Wildcards and regular expressions work on characters, paths are bytes. A byte
//! that is no UTF-8 becomes one character of a private plane, 128 of them, and the
//! same is done to patterns. Such a byte is thus one character for `?` and `.`, and
//! equals only itself. (A name which really holds one of these private characters
//! is mistaken for the byte; nobody is harmed by that.)

use std::borrow::Cow;

/// The last 128 code points stand for the bytes 0x80 to 0xff.
const BYTE_BASE: u32 = 0x10_ff00;

fn character_of(byte: u8) -> char {
    char::from_u32(BYTE_BASE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Bytes as text; borrowed if they are UTF-8.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().copied().map(character_of));
    }
    Cow::Owned(text)
}

/// The bytes of one character of [`decode`]d text.
pub fn encode(character: char, out: &mut Vec<u8>) {
    match u32::from(character).checked_sub(BYTE_BASE).and_then(|byte| u8::try_from(byte).ok()) {
        Some(byte) if byte >= 0x80 => out.push(byte),
        _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_lost(bytes: Vec<u8>) {
            let mut again = Vec::new();
            decode(&bytes).chars().for_each(|character| encode(character, &mut again));
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn a_foreign_byte_is_one_character() {
        assert_eq!(decode(b"a\xff\xc3b").chars().count(), 4);
        assert_eq!(decode("ä".as_bytes()), "ä");
    }
}
