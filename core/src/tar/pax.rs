//! PAX records: `LENGTH KEY=VALUE\n`, values raw bytes of any length.

use std::collections::BTreeMap;

use super::{EXTENSION_BYTES_MAX, Member, STRETCHES_MAX, Time, invalid};
use crate::error::Result;

/// What extended attributes are called there; GNU tar, star and bsdtar agree.
const XATTR: &[u8] = b"SCHILY.xattr.";
const ACCESS_ACL: &[u8] = b"SCHILY.acl.access";
const DEFAULT_ACL: &[u8] = b"SCHILY.acl.default";
const FLAGS: &[u8] = b"SCHILY.fflags";
const BORN: &[u8] = b"LIBARCHIVE.creationtime";
/// What else is understood.
const KNOWN: [&[u8]; 13] = [
    b"path",
    b"linkpath",
    b"uname",
    b"gname",
    b"uid",
    b"gid",
    b"size",
    b"mtime",
    b"atime",
    BORN,
    ACCESS_ACL,
    DEFAULT_ACL,
    FLAGS,
];

/// Records in the making.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<u8>);

impl Records {
    /// Adds a record.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + digits(length) {
            length = rest + digits(length);
        }
        self.0.extend_from_slice(length.to_string().as_bytes());
        self.0.push(b' ');
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    /// Adds a moment, with as many digits of its fraction as it needs.
    pub fn put_time(&mut self, key: &[u8], time: Time) {
        self.put(key, show_time(time).as_bytes());
    }

    /// Adds what a header has no place for.
    pub fn put_extensions(&mut self, member: &Member) {
        for (name, value) in &member.attributes {
            // A key ends at the first `=`: such a name could not be read back.
            if !name.contains(&b'=') {
                self.put(&[XATTR, name].concat(), value);
            }
        }
        let texts = [(ACCESS_ACL, &member.access_acl), (DEFAULT_ACL, &member.default_acl)];
        for (key, text) in texts {
            if let Some(text) = text {
                self.put(key, text);
            }
        }
        if !member.flags.is_empty() {
            self.put(FLAGS, &member.flags);
        }
        if let Some(born) = member.born {
            self.put_time(BORN, born);
        }
        if let Some(accessed) = member.accessed {
            self.put_time(b"atime", accessed);
        }
    }

    /// The bytes of all records.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |digits| digits as usize + 1)
}

/// What a sparse file of PAX says of itself.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    /// The version, for 1.0; then the map stands before the data.
    pub in_data: bool,
    pub name: Option<Vec<u8>>,
    pub real_size: Option<u64>,
    /// Starts and lengths, one after the other.
    pub numbers: Vec<u64>,
    pub is_sparse: bool,
}

/// Records that were read, as far as they are understood; later ones replace earlier ones of the same key.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of all keys and values.
    bytes: usize,
    sparse: Sparse,
}

impl Parsed {
    /// Adds records.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<()> {
        let wrong = || invalid("a PAX header makes no sense");
        while !bytes.is_empty() {
            let space = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length = std::str::from_utf8(&bytes[..space]).ok().and_then(|digits| digits.parse::<usize>().ok());
            let record =
                length.filter(|length| *length > space + 1).and_then(|length| bytes.get(..length)).ok_or_else(wrong)?;
            bytes = &bytes[record.len()..];
            let [record @ .., b'\n'] = &record[space + 1..] else { return Err(wrong()) };
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                self.sparse.take(key, value)?;
            } else if KNOWN.contains(&key) || key.starts_with(XATTR) {
                self.put(key, value)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.bytes += key.len() + value.len();
        if let Some(replaced) = self.values.insert(key.to_vec(), value.to_vec()) {
            self.bytes -= key.len() + replaced.len();
        }
        if self.bytes > EXTENSION_BYTES_MAX { Err(invalid("PAX headers are too long together")) } else { Ok(()) }
    }

    /// Bytes of content that follow, if a record of the member or of all members says so.
    pub fn stored(&self, global: &Self) -> Result<Option<u64>> {
        let size = &b"size"[..];
        let value = self.values.get(size).or_else(|| global.values.get(size));
        value.filter(|value| !value.is_empty()).map(|value| whole(value)).transpose()
    }

    /// What is said of a sparse file, by the records of the member or by those of all members.
    pub fn sparse<'a>(&'a self, global: &'a Self) -> &'a Sparse {
        if self.sparse.is_sparse { &self.sparse } else { &global.sparse }
    }

    /// What the records say of a member, its own before those of all members. An empty value takes away a path, a target
    /// and the names of owners that a header says, and has no other meaning.
    pub fn apply(&self, global: &Self, member: &mut Member) -> Result<()> {
        let general = global.values.iter().filter(|(key, _)| !self.values.contains_key(*key));
        for (key, value) in general.chain(&self.values) {
            match &key[..] {
                b"path" => member.path.clone_from(value),
                b"linkpath" => member.target.clone_from(value),
                b"uname" => member.user.clone_from(value),
                b"gname" => member.group.clone_from(value),
                _ if value.is_empty() && !key.starts_with(XATTR) => {}
                b"uid" => member.uid = whole(value)?,
                b"gid" => member.gid = whole(value)?,
                b"mtime" => member.modified = time(value)?,
                b"atime" => member.accessed = Some(time(value)?),
                BORN => member.born = Some(time(value)?),
                ACCESS_ACL => member.access_acl = Some(value.clone()),
                DEFAULT_ACL => member.default_acl = Some(value.clone()),
                FLAGS => member.flags.clone_from(value),
                key => {
                    if let Some(name) = key.strip_prefix(XATTR) {
                        member.attributes.insert(name.to_vec(), value.clone());
                    }
                }
            }
        }
        if let Some(name) = &self.sparse(global).name {
            member.path.clone_from(name);
        }
        Ok(())
    }
}

impl Sparse {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.is_sparse = true;
        match key {
            b"major" => self.in_data = whole(value)? > 0,
            b"name" => self.name = Some(value.to_vec()),
            b"realsize" | b"size" => self.real_size = Some(whole(value)?),
            b"offset" | b"numbytes" => self.numbers.push(whole(value)?),
            b"map" => {
                self.numbers.clear();
                for number in value.split(|byte| *byte == b',') {
                    self.numbers.push(whole(number)?);
                }
            }
            _ => {}
        }
        if self.numbers.len() > 2 * STRETCHES_MAX { Err(invalid("too many stretches of data")) } else { Ok(()) }
    }
}

/// A whole number in decimal digits.
pub(super) fn whole(value: &[u8]) -> Result<u64> {
    let digits = std::str::from_utf8(value).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| invalid("a number makes no sense"))
}

/// Seconds, possibly negative, and a fraction; more than nine digits of it are cut.
fn time(value: &[u8]) -> Result<Time> {
    let wrong = || invalid("a time makes no sense");
    let text = std::str::from_utf8(value).map_err(|_| wrong())?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = seconds.starts_with('-');
    let seconds: i64 = seconds.parse().map_err(|_| wrong())?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let nine: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: u32 = nine.parse().map_err(|_| wrong())?;
    match (negative, nanoseconds) {
        (true, 1..) => Ok((seconds.checked_sub(1).ok_or_else(wrong)?, 1_000_000_000 - nanoseconds)),
        _ => Ok((seconds, nanoseconds)),
    }
}

fn show_time((seconds, nanoseconds): Time) -> String {
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    let (sign, whole, fraction) = match seconds {
        0.. => ("", seconds, nanoseconds),
        _ => ("-", -(seconds + 1), 1_000_000_000 - nanoseconds),
    };
    format!("{sign}{whole}.{fraction:09}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_both_ways() {
        for moment in [
            (0, 0),
            (1, 500_000_000),
            (-1, 500_000_000),
            (-2, 500_000_000),
            (-3, 0),
            (1_700_000_000, 123_456_789),
            (-1, 1),
        ] {
            assert_eq!(time(show_time(moment).as_bytes()).unwrap(), moment, "{}", show_time(moment));
        }
        assert_eq!(
            (show_time((-2, 500_000_000)), show_time((-1, 500_000_000))),
            ("-1.5".to_owned(), "-0.5".to_owned())
        );
        assert_eq!(time(b"1.1234567899").unwrap(), (1, 123_456_789));
        for bad in [&b""[..], b"x", b"1.x", b"9223372036854775808", b"-9223372036854775808.5", b"\xff"] {
            assert!(time(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn records_both_ways() {
        for length in (0..120).chain([990, 991, 992, 993, 994, 995, 9990, 99_980]) {
            let mut records = Records::default();
            records.put(b"path", &vec![b'\n'; length]);
            records.put(b"uid", b"7");
            let mut parsed = Parsed::default();
            parsed.read(records.bytes()).unwrap();
            assert_eq!(parsed.values[&b"path"[..]].len(), length);
            assert_eq!(parsed.values[&b"uid"[..]], b"7");
        }
    }

    #[test]
    fn what_is_replaced_does_not_count() {
        let mut parsed = Parsed::default();
        for length in [EXTENSION_BYTES_MAX / 2, EXTENSION_BYTES_MAX / 2, 7] {
            let mut records = Records::default();
            records.put(b"path", &vec![b'p'; length]);
            parsed.read(records.bytes()).unwrap();
        }
        assert_eq!(parsed.bytes, 4 + 7);
    }

    #[test]
    fn records_that_make_no_sense_are_refused() {
        for bad in [
            &b"x"[..],
            b"5 a=b",
            b"6 a=bc",
            b"0 a=b\n",
            b"99 a=b\n",
            b"6 ab\nxx",
            b"99999999999999999999 a=b\n",
            b"7 a=b\n",
        ] {
            assert!(Parsed::default().read(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
