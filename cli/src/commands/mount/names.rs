//! What the directories of archives are called in a mount.
//!
//! An archive whose name is its own has that; those of a series add when they were made. A format of the user's own
//! replaces both. Names that are the same all the same add as much of the archive's id as makes them differ: an
//! archive without a name of its own could not be looked into.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use gabion_core::archive::catalog::Archive;

use crate::context::Context;
use crate::output::archive::{KEYS, value};
use crate::output::format::{Format, Manner};

/// The name of the only archive of a series.
const ALONE: &str = "{archive}";
/// The name of one of several.
const OF_SERIES: &str = "{archive}-{time:%Y-%m-%dT%H:%M:%S}";
/// Bytes of a name that every system takes.
const BYTES_MAX: usize = 255;
/// Digits of an id that tell archives apart, mostly.
const DIGITS: usize = 8;

/// A name for each archive, no two of them equal.
pub fn of_archives(archives: &[Archive], context: &Context) -> Result<Vec<Vec<u8>>> {
    let manner = Manner { escape: false, ..context.manner() };
    let own = context.environment.mount_archive_dir_format()?;
    let own = own.map(|format| Format::parse(format, KEYS)).transpose()?;
    names(archives, own.as_ref(), &manner)
}

fn names(archives: &[Archive], own: Option<&Format>, manner: &Manner) -> Result<Vec<Vec<u8>>> {
    let (alone, of_series) = (Format::parse(ALONE, KEYS)?, Format::parse(OF_SERIES, KEYS)?);
    let mut series: HashMap<&str, usize> = HashMap::new();
    for archive in archives {
        *series.entry(&archive.record.name).or_default() += 1;
    }
    let mut names = Vec::with_capacity(archives.len());
    for archive in archives {
        let several = series.get(archive.record.name.as_str()).is_some_and(|count| *count > 1);
        let format = own.unwrap_or(if several { &of_series } else { &alone });
        let mut name = Vec::new();
        format.render(|key| value(archive, key), manner, &mut name)?;
        names.push(safe(name));
    }
    distinguish(&mut names, |index| archives[index].id.to_string());
    Ok(names)
}

/// Adds to names that are the same what makes them differ, of the id of their archive.
fn distinguish(names: &mut [Vec<u8>], id: impl Fn(usize) -> String) {
    let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
    for name in &*names {
        *counts.entry(name.clone()).or_default() += 1;
    }
    let is_shared = |name: &Vec<u8>| counts.get(name).is_some_and(|count| *count > 1);
    let mut taken: HashSet<Vec<u8>> = names.iter().filter(|name| !is_shared(name)).cloned().collect();
    for (index, name) in names.iter_mut().enumerate().filter(|(_, name)| is_shared(name)) {
        let id = id(index);
        let beginning = id.get(..DIGITS).unwrap_or(&id).to_owned();
        // An archive may be called as another would be, by chance or on purpose, with its whole id even.
        let endings = [beginning, id.clone()].into_iter().chain((2..).map(|number: usize| format!("{id}-{number}")));
        let longer = endings.map(|ending| {
            let room = BYTES_MAX - ending.len() - 1;
            [name.get(..room).unwrap_or(name), b"-", ending.as_bytes()].concat()
        });
        if let Some(free) = longer.into_iter().find(|longer| !taken.contains(longer)) {
            taken.insert(free.clone());
            *name = free;
        }
    }
}

/// A name that can be a directory's.
fn safe(name: Vec<u8>) -> Vec<u8> {
    let mut name: Vec<u8> =
        name.into_iter().map(|byte| if matches!(byte, b'/' | 0) { b'_' } else { byte }).take(BYTES_MAX).collect();
    if matches!(&name[..], b"" | b"." | b"..") {
        name.push(b'_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distinguished(names: &[&str], ids: &[&str]) -> Vec<String> {
        let mut names: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        distinguish(&mut names, |index| ids[index].to_owned());
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "one hides another");
        assert!(names.iter().all(|name| name.len() <= BYTES_MAX));
        names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn no_archive_hides_another() {
        let (one, other) = ("0123456789abcdef", "0123456700000000");
        assert_eq!(distinguished(&["a", "b"], &[one, other]), ["a", "b"]);
        assert_eq!(distinguished(&["a", "a"], &[one, "ff00ff00ff"]), ["a-01234567", "a-ff00ff00"]);
        // Ids that begin alike, and archives that are called as others would be.
        assert_eq!(distinguished(&["a", "a"], &[one, other]), ["a-01234567", "a-0123456700000000"]);
        let names = ["a-01234567", "a", "a-0123456789abcdef", "a"];
        assert_eq!(
            distinguished(&names, &[one, one, one, one])[1..],
            ["a-0123456789abcdef-2", "a-0123456789abcdef", "a-0123456789abcdef-3"]
        );
        let long = "x".repeat(BYTES_MAX);
        distinguished(&[&long, &long, &long], &[one, one, other]);
    }

    #[test]
    fn any_name_can_be_a_directory() {
        for (name, expected) in [("a/b\0c", "a_b_c"), ("", "_"), (".", "._"), ("..", ".._"), ("...", "...")] {
            assert_eq!(safe(name.as_bytes().to_vec()), expected.as_bytes());
        }
        assert_eq!(safe(vec![b'x'; 300]).len(), BYTES_MAX);
    }
}
