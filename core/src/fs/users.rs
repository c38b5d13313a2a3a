//! Names of users and groups.
//!
//! Read once from `/etc/passwd` and `/etc/group`, the format of `passwd(5)`. Names that only a
//! network directory knows (LDAP, SSSD through NSS) are not found; their numbers are kept and
//! restored instead. Asking NSS would need C code that loads modules into this process.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;

use crate::limits::MIB;

/// Bytes of a database that are read; more are ignored.
const DATABASE_BYTES_MAX: u64 = 64 * MIB as u64;

/// Translates between numbers and names, in both directions.
#[derive(Debug, Default)]
pub struct Users {
    users: Names,
    groups: Names,
}

impl Users {
    /// The users and groups of this machine, read when the first one is asked for.
    ///
    /// A database that can not be read is an empty one.
    pub fn system() -> &'static Self {
        static SYSTEM: OnceLock<Users> = OnceLock::new();
        SYSTEM.get_or_init(|| Self::parse(&read(Path::new("/etc/passwd")), &read(Path::new("/etc/group"))))
    }

    /// Users and groups from the text of a `passwd(5)` and a `group(5)` database.
    /// Lines that make no sense are passed over; of several entries the first counts.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        Self { users: Names::parse(passwd), groups: Names::parse(group) }
    }

    /// The name of the user `uid`, raw bytes.
    pub fn user_name(&self, uid: u32) -> Option<&[u8]> {
        self.users.by_number.get(&uid).map(Vec::as_slice)
    }

    /// The name of the group `gid`, raw bytes.
    pub fn group_name(&self, gid: u32) -> Option<&[u8]> {
        self.groups.by_number.get(&gid).map(Vec::as_slice)
    }

    /// The number of the user `name`.
    pub fn user_id(&self, name: &[u8]) -> Option<u32> {
        self.users.by_name.get(name).copied()
    }

    /// The number of the group `name`.
    pub fn group_id(&self, name: &[u8]) -> Option<u32> {
        self.groups.by_name.get(name).copied()
    }
}

#[derive(Debug, Default)]
struct Names {
    by_number: HashMap<u32, Vec<u8>>,
    by_name: HashMap<Vec<u8>, u32>,
}

impl Names {
    fn parse(text: &[u8]) -> Self {
        let mut names = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let Some((name, number)) = parse_line(line) else { continue };
            names.by_number.entry(number).or_insert_with(|| name.to_vec());
            names.by_name.entry(name.to_vec()).or_insert(number);
        }
        names
    }
}

/// `name:password:number:...`; both databases agree so far.
fn parse_line(line: &[u8]) -> Option<(&[u8], u32)> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty() && !matches!(name[0], b'#' | b'+' | b'-'))?;
    let number = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    Some((name, number))
}

fn read(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    let complete = File::open(path).and_then(|file| file.take(DATABASE_BYTES_MAX).read_to_end(&mut text));
    if complete.is_ok() { text } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n# note:x:5:\n+nis:x:6:\n\nshort:x\n\
        big:x:4294967296:1::/:\nneg:x:-1:1::/:\n\xffna\xefve:x:1000:1000:a:b:c\nroot:x:17:0::/:\n";

    #[test]
    fn the_first_entry_counts_in_both_directions() {
        let users = Users::parse(PASSWD, b"wheel:x:0:root\n");
        assert_eq!(users.user_name(0), Some(&b"root"[..]));
        assert_eq!(users.user_id(b"root"), Some(0));
        assert_eq!(users.user_id(b"toor"), Some(0));
        assert_eq!(users.user_name(17), Some(&b"root"[..]));
        assert_eq!(users.user_name(1000), Some(&b"\xffna\xefve"[..]));
        assert_eq!((users.group_id(b"wheel"), users.group_name(0)), (Some(0), Some(&b"wheel"[..])));
        assert_eq!((users.group_id(b"root"), users.group_name(1000)), (None, None));
    }

    #[test]
    fn lines_that_make_no_sense_are_passed_over() {
        let users = Users::parse(PASSWD, b"");
        for name in [&b"# note"[..], b"+nis", b"short", b"big", b"neg", b""] {
            assert_eq!(users.user_id(name), None, "{name:?}");
        }
        assert_eq!(users.users.by_name.len(), 3);
    }

    #[test]
    fn this_machine_knows_its_root() {
        assert_eq!(Users::system().user_id(b"root"), Some(0));
        assert_eq!(Users::system().user_name(0), Some(&b"root"[..]));
    }
}
