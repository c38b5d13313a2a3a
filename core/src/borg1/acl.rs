//! POSIX access control lists: Borg's text, and the bytes Linux keeps in an attribute.
//!
//! Text: lines (or parts between commas) `user:NAME:rwx:UID`, `user::rwx`, `group:NAME:r-x:GID`, `mask::r-x`,
//! `other::r--`. Bytes: `version 2 u32`, then entries `tag u16 | permissions u16 | id u32`, all little-endian, in the
//! order the kernel asks for.

const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;

/// The bytes of an access control list; `None` if the text is not understood.
pub(super) fn from_text(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let lines = text.split(['\n', ',']).map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut entries = lines.filter(|line| !line.is_empty()).map(entry).collect::<Option<Vec<_>>>()?;
    entries.sort_unstable();
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    Some(bytes)
}

/// `(tag, id, permissions)`: tags ascend in the order of the kernel.
fn entry(line: &str) -> Option<(u16, u32, u16)> {
    // Behind the permissions stand tabs where a comment on the effective ones was.
    let mut fields = line.split(':').map(str::trim);
    let (kind, name, letters) = (fields.next()?, fields.next()?, fields.next()?);
    let id = match fields.next().filter(|id| !id.is_empty()) {
        Some(id) => Some(id.parse().ok()?),
        None => name.parse().ok(),
    };
    let tag = match (kind, name.is_empty()) {
        ("user" | "u", true) => 0x01,
        ("user" | "u", false) => 0x02,
        ("group" | "g", true) => 0x04,
        ("group" | "g", false) => 0x08,
        ("mask" | "m", true) => 0x10,
        ("other" | "o", true) => 0x20,
        _ => return None,
    };
    let id = if name.is_empty() { NO_ID } else { id? };
    Some((tag, id, permissions(letters)?))
}

fn permissions(letters: &str) -> Option<u16> {
    let mut bits = 0;
    for letter in letters.chars() {
        bits |= match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            '-' => 0,
            _ => return None,
        };
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_what_the_kernel_keeps() {
        let text = b"user::rw-\nuser:kei:r--:1001\ngroup::r--\t\t\ngroup:staff:rwx\t:50\nmask::rwx\nother::---\n";
        let bytes = from_text(text).unwrap();
        let entry = |tag: u8, bits: u8, id: u32| [&[tag, 0, bits, 0][..], &id.to_le_bytes()].concat();
        let expected = [
            vec![2, 0, 0, 0],
            entry(1, 6, NO_ID),
            entry(2, 4, 1001),
            entry(4, 4, NO_ID),
            entry(8, 7, 50),
            entry(0x10, 7, NO_ID),
            entry(0x20, 0, NO_ID),
        ];
        assert_eq!(bytes, expected.concat());
        // A name nobody resolved is the number itself.
        assert_eq!(from_text(b"user:7:r-x"), from_text(b"user:x:r-x:7"));
    }

    #[test]
    fn nonsense_is_not_understood() {
        for text in [&b"user"[..], b"user:kei:rwx", b"who::rwx", b"user::abc", b"mask:x:rwx:1", b"\xff", b"user:a:r:x"]
        {
            assert_eq!(from_text(text), None, "{text:?}");
        }
    }
}
