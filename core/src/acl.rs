//! Access control lists: as text, as tar files and Borg 1 have them, and as the system has them in an extended attribute.

/// The version of the system's form, and the number of nobody in particular.
const VERSION: u32 = 2;
const NOBODY: u32 = u32::MAX;
/// Bytes of an entry of the system's form.
const ENTRY_BYTES: usize = 8;
/// Entries of a list: more than any file system keeps.
const ENTRIES_MAX: usize = 8192;

const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The text of a list in the system's form: entries such as `user:1000:rw-`, separated by commas. Users and groups are
/// their numbers, which everybody understands. `None` for what is no such list.
pub fn to_text(list: &[u8]) -> Option<Vec<u8>> {
    let (version, entries) = list.split_first_chunk()?;
    if u32::from_le_bytes(*version) != VERSION || !entries.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let mut text = Vec::new();
    for entry in entries.chunks_exact(ENTRY_BYTES) {
        let (tag, rest) = entry.split_first_chunk()?;
        let (permissions, id) = rest.split_first_chunk()?;
        let permissions = u16::from_le_bytes(*permissions);
        let id = u32::from_le_bytes(*id.first_chunk()?);
        let id = id.to_string();
        let (who, id) = match u16::from_le_bytes(*tag) {
            OWNER => ("user", ""),
            USER => ("user", id.as_str()),
            OWNING_GROUP => ("group", ""),
            GROUP => ("group", id.as_str()),
            MASK => ("mask", ""),
            OTHER => ("other", ""),
            _ => return None,
        };
        let letter = |bit: u16, letter: char| if permissions & bit == 0 { '-' } else { letter };
        if !text.is_empty() {
            text.push(b',');
        }
        let letters: String = [letter(4, 'r'), letter(2, 'w'), letter(1, 'x')].into_iter().collect();
        text.extend_from_slice(format!("{who}:{id}:{letters}").as_bytes());
    }
    Some(text)
}

/// The system's form of a list that is text. `user` and `group` tell the number of a name; a name they do not know
/// has the number that stands behind the permissions, or is a number itself. `None` for what makes no sense.
pub fn from_text(
    text: &[u8],
    user: impl Fn(&[u8]) -> Option<u32>,
    group: impl Fn(&[u8]) -> Option<u32>,
) -> Option<Vec<u8>> {
    let mut entries: Vec<(u16, u32, u16)> = Vec::new();
    for entry in text.split(|byte| matches!(byte, b',' | b'\n')) {
        // What stands behind a `#` is a comment.
        let entry = entry.split(|byte| *byte == b'#').next()?.trim_ascii();
        if entry.is_empty() {
            continue;
        }
        if entries.len() >= ENTRIES_MAX {
            return None;
        }
        // Borg leaves tabs where a comment on the effective permissions was.
        let mut parts = entry.split(|byte| *byte == b':').map(<[u8]>::trim_ascii);
        let (who, name, letters, number) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
        let id = |look_up: &dyn Fn(&[u8]) -> Option<u32>| {
            let digits = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
            look_up(name).or_else(|| digits(number?)).or_else(|| digits(name))
        };
        let (tag, id) = match (who, name.is_empty()) {
            (b"user" | b"u", true) => (OWNER, NOBODY),
            (b"user" | b"u", false) => (USER, id(&user)?),
            (b"group" | b"g", true) => (OWNING_GROUP, NOBODY),
            (b"group" | b"g", false) => (GROUP, id(&group)?),
            (b"mask" | b"m", true) => (MASK, NOBODY),
            (b"other" | b"o", true) => (OTHER, NOBODY),
            _ => return None,
        };
        let mut permissions = 0;
        for letter in letters {
            permissions |= match letter {
                b'r' => 4,
                b'w' => 2,
                b'x' => 1,
                b'-' => 0,
                _ => return None,
            };
        }
        entries.push((tag, id, permissions));
    }
    if entries.is_empty() {
        return None;
    }
    // The system wants them in this order.
    entries.sort_unstable();
    let mut list = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&permissions.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Vec<u8>> {
        from_text(text.as_bytes(), |name| (name == b"joe").then_some(1000), |_| None)
    }

    #[test]
    fn lists_both_ways() {
        let text = "user::rw-,user:7:r--,user:1000:rwx,group::r--,group:12:---,mask::rwx,other::--x";
        let list = parsed(text).unwrap();
        assert_eq!(list.len(), 4 + 7 * ENTRY_BYTES);
        assert_eq!(&list[..12], [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255]);
        assert_eq!(to_text(&list).unwrap(), text.as_bytes());
        assert_eq!(parsed("other::--x\nu:joe:rwx # a friend\nuser::rw-,user:7:r--,g::r,g:12:,mask::rwx"), Some(list));
        assert_eq!(parsed("user::rw-,user:mary:r--:55"), parsed("user::rw-,user:55:r--"));
    }

    #[test]
    fn lists_as_borg_has_them() {
        let text = "user::rw-\nuser:kei:r--:1001\ngroup::r--\t\t\ngroup:staff:rwx\t:50\nmask::rwx\nother::---\n";
        assert_eq!(parsed(text), parsed("user::rw-,user:1001:r--,group::r--,group:50:rwx,mask::rwx,other::---"));
        assert_eq!(parsed("user:7:r-x:9"), parsed("user:9:r-x"), "what was recorded, not what the name looks like");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            ",",
            "user",
            "user::q",
            "user:mary:r--",
            "other:7:r",
            "nobody::r",
            "user::rw-,x",
            "mask:x:rwx:1",
            "u:a:r:x",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
        for bad in [&b""[..], &[2, 0, 0, 0, 1], &[3, 0, 0, 0], &[2, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(to_text(bad), None, "{bad:?}");
        }
    }
}
