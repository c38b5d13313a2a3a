//! Versions of a file: a directory with its name, and in it one file for each content it ever had.
//!
//! `letter.txt` becomes `letter.txt/letter.00001.txt`, `letter.txt/letter.00002.txt` and so on, the oldest first.

use gabion_core::archive::Content;

use crate::directory::Found;

/// One content of a file.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// The name it is shown under.
    pub name: Vec<u8>,
    /// The newest entry with this content.
    pub found: Found,
}

/// The versions of a file, from its entries in archives, the oldest first.
pub(crate) fn of_file<'a>(name: &[u8], entries: impl Iterator<Item = &'a Found>) -> Vec<Version> {
    let mut versions: Vec<Version> = Vec::new();
    for found in entries {
        match versions.iter_mut().find(|version| content(&version.found) == content(found)) {
            Some(version) => version.found = found.clone(),
            None => {
                let name = version_name(name, versions.len() + 1);
                versions.push(Version { name, found: found.clone() });
            }
        }
    }
    versions
}

fn content(found: &Found) -> Option<(u64, &Content)> {
    found.entry().map(|entry| (entry.size, &entry.content))
}

/// The number goes before the extension, so that programs know what to do with the file.
fn version_name(name: &[u8], number: usize) -> Vec<u8> {
    let stem = name.iter().take_while(|byte| **byte == b'.').count();
    let dot = name[stem..].iter().rposition(|byte| *byte == b'.').map_or(name.len(), |dot| stem + dot);
    let (start, extension) = name.split_at(dot);
    [start, format!(".{number:05}").as_bytes(), extension].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_stay_at_the_end() {
        for (name, expected) in [
            (&b"letter.txt"[..], &b"letter.00007.txt"[..]),
            (b"a.tar.gz", b"a.tar.00007.gz"),
            (b"README", b"README.00007"),
            (b".bashrc", b".bashrc.00007"),
            (b"..x.y", b"..x.00007.y"),
            (b"...", b"....00007"),
            (b"end.", b"end.00007."),
            (b"\xff.\xfe", b"\xff.00007.\xfe"),
        ] {
            assert_eq!(version_name(name, 7), expected, "{}", name.escape_ascii());
        }
        assert_eq!(version_name(b"a.b", 123_456), b"a.123456.b");
    }
}
