//! The manifest, which names the archives, and what an archive says of itself.

use super::key::Key;
use super::record::{self, Map, raw};
use super::{Borg1Id, damaged};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};

/// Features a reader must know to read a repository; this one knows none.
const READ: &str = "read";

/// The name of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Borg1ArchiveName {
    /// As people know it.
    pub name: String,
    /// The object that describes it.
    pub id: Borg1Id,
    /// When it was begun, if that can be read.
    pub time: Option<Timestamp>,
}

impl Borg1ArchiveName {
    /// Whether it is what an interrupted `create` left.
    pub fn is_checkpoint(&self) -> bool {
        self.name.rsplit_once(".checkpoint").is_some_and(|(_, number)| {
            number.is_empty()
                || number.strip_prefix('.').is_some_and(|digits| digits.bytes().all(|c| c.is_ascii_digit()))
        })
    }
}

/// What an archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Borg1Archive {
    /// Its name.
    pub name: String,
    /// When it was begun.
    pub start: Timestamp,
    /// When it was complete.
    pub end: Timestamp,
    /// The machine.
    pub host: String,
    /// The user.
    pub user: String,
    /// The words of the command.
    pub command_line: Vec<String>,
    /// A comment.
    pub comment: String,
    /// The directory the command ran in.
    pub working_directory: Option<Vec<u8>>,
    pub(super) items: Vec<Borg1Id>,
}

#[derive(Debug)]
pub(super) struct Manifest {
    pub archives: Vec<Borg1ArchiveName>,
}

impl Manifest {
    pub fn decode(plain: &[u8], key: &Key, doubts: &mut Vec<Error>) -> Result<Self> {
        let map = Map::whole(plain)?;
        match map.uint("version") {
            Some(1 | 2) => {}
            other => {
                return Err(Error::new(ErrorKind::Unsupported, "read Borg manifest")
                    .with("manifest version", other.map_or("none".to_owned(), |version| version.to_string())));
            }
        }
        check_features(&map)?;
        // A manifest that should be authenticated and is not may be of somebody who wants archives forgotten.
        authenticate(&map, plain, "manifest", key, doubts)?;
        let named = map.map("archives").ok_or_else(|| damaged("manifest without archives"))?;
        let mut archives = Vec::new();
        for (name, value) in named.pairs() {
            let name = String::from_utf8_lossy(name).into_owned();
            let described = match value {
                rmpv::Value::Map(_) => named.map(&name),
                _ => None,
            };
            let id = described.as_ref().and_then(|map| record::id(map.get("id")?));
            let Some((id, map)) = id.zip(described) else {
                doubts.push(damaged("manifest names an archive it does not describe").with("archive", name));
                continue;
            };
            let time = map.text("time").and_then(|text| time(&text));
            archives.push(Borg1ArchiveName { name, id, time });
        }
        archives.sort_by(|a, b| (a.time, &a.name).cmp(&(b.time, &b.name)));
        Ok(Self { archives })
    }
}

impl Borg1Archive {
    pub(super) fn decode(plain: &[u8], key: &Key, doubts: &mut Vec<Error>) -> Result<Self> {
        let map = Map::whole(plain)?;
        if map.uint("version") != Some(1) {
            return Err(Error::new(ErrorKind::Unsupported, "read Borg archive").with("reason", "unknown version"));
        }
        let name = map.text("name").ok_or_else(|| damaged("archive without a name"))?;
        // Archives of before 1.2.5 have no code of their own; their content is authenticated all the same.
        if let Err(error) = authenticate(&map, plain, "archive", key, &mut Vec::new()) {
            doubts.push(error.with("archive", &name));
        }
        let start = map.text("time").and_then(|text| time(&text)).ok_or_else(|| damaged("archive without a time"))?;
        let listed = map.list("items").ok_or_else(|| damaged("archive without items"))?;
        let items: Option<Vec<Borg1Id>> = listed.iter().map(record::id).collect();
        let words = map.list("cmdline").unwrap_or_default();
        Ok(Self {
            name,
            start,
            end: map.text("time_end").and_then(|text| time(&text)).unwrap_or(start),
            host: map.text("hostname").unwrap_or_default(),
            user: map.text("username").unwrap_or_default(),
            command_line: words.iter().filter_map(|word| Some(String::from_utf8_lossy(raw(word)?).into())).collect(),
            comment: map.text("comment").unwrap_or_default(),
            working_directory: map.bytes("cwd").map(<[u8]>::to_vec),
            items: items.ok_or_else(|| damaged("archive with an item that is no id"))?,
        })
    }
}

fn check_features(manifest: &Map) -> Result<()> {
    let read = manifest.map("config").and_then(|config| config.map("feature_flags")).and_then(|flags| flags.map(READ));
    let mandatory = read.as_ref().and_then(|read| read.list("mandatory")).unwrap_or_default();
    match mandatory.first() {
        None => Ok(()),
        Some(feature) => Err(Error::new(ErrorKind::Unsupported, "read Borg manifest")
            .with("feature", String::from_utf8_lossy(raw(feature).unwrap_or_default()).escape_debug())),
    }
}

/// Compares a record with the code it carries. A record without a code is a doubt where codes are not required.
fn authenticate(map: &Map, plain: &[u8], context: &'static str, key: &Key, doubts: &mut Vec<Error>) -> Result<()> {
    let operation = "authenticate Borg record";
    let Some(tam) = map.map("tam") else {
        let missing = damaged("record is not authenticated").with("record", context);
        if key.requires_authentication() {
            return Err(missing);
        }
        doubts.push(missing);
        return Ok(());
    };
    let wrong = || Error::damaged(operation, "authentication code differs").with("record", context);
    if tam.bytes("type") != Some(b"HKDF_HMAC_SHA512") {
        return Err(Error::new(ErrorKind::Unsupported, operation).with("record", context));
    }
    let (Some(code), Some(salt)) = (tam.bytes("hmac").filter(|code| code.len() == 64), tam.bytes("salt")) else {
        return Err(wrong());
    };
    let at = plain.windows(code.len()).position(|window| window == code).ok_or_else(wrong)?;
    let mut blank = plain.to_vec();
    blank[at..at + code.len()].fill(0);
    let expected = key.record_code(salt, context, &blank)?;
    if bool::from(subtle::ConstantTimeEq::ct_eq(&expected[..], code)) { Ok(()) } else { Err(wrong()) }
}

/// `2026-11-28T03:30:34.123456`, UTC; the fraction may be missing, `+00:00` may follow.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix("+00:00").or_else(|| text.strip_suffix('Z')).unwrap_or(text);
    let (date, time) = text.split_once(['T', ' '])?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let fits = (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !fits || hour > 23 || minute > 59 || second > 60 || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = fraction.parse::<u32>().ok()? * 10u32.pow(9 - fraction.len() as u32);
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Timestamp::new(seconds, nanoseconds))
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.split(between).map(|part| {
        let digits = part.bytes().all(|c| c.is_ascii_digit()) && part.len() <= 4;
        digits.then(|| part.parse::<i64>().ok()).flatten()
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Days from 1970-01-01 in the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        for (text, seconds, nanoseconds) in [
            ("1970-01-01T00:00:00", 0, 0),
            ("1969-12-31T23:59:59.5", -1, 500_000_000),
            ("2000-02-29T12:00:00.000001", 951_825_600, 1000),
            ("2026-11-28T03:30:34.123456", 1_795_836_634, 123_456_000),
            ("2026-11-28T03:30:34+00:00", 1_795_836_634, 0),
        ] {
            assert_eq!(time(text), Some(Timestamp::new(seconds, nanoseconds)), "{text}");
        }
        for wrong in
            ["", "2026", "2026-11-28", "2026-13-01T00:00:00", "2026-1-1T1:1", "x-1-1T1:1:1", "1-1-1T1:1:1.1234567890"]
        {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn checkpoints_are_known_by_their_names() {
        let is = |name: &str| Borg1ArchiveName { name: name.to_owned(), id: [0; 32], time: None }.is_checkpoint();
        assert!(is("home.checkpoint") && is("home.checkpoint.12"));
        assert!(!is("home") && !is("home.checkpoints") && !is("home.checkpoint.x") && !is(".checkpoint-1"));
    }
}
