//! What the directories of archives are called in a mount.
//!
//! An archive whose name is its own has that; those of a series add when they were made. A format of the user's own
//! replaces both. Names that are the same all the same add the beginning of the archive's id.

use std::collections::HashMap;

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
/// Digits of an id that tell archives apart.
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
    let mut used: HashMap<Vec<u8>, usize> = HashMap::new();
    for name in &names {
        *used.entry(name.clone()).or_default() += 1;
    }
    for (name, archive) in names.iter_mut().zip(archives) {
        if used.get(name).is_some_and(|count| *count > 1) {
            let id = archive.id.to_string();
            name.truncate(BYTES_MAX - DIGITS - 1);
            name.extend_from_slice(format!("-{}", id.get(..DIGITS).unwrap_or(&id)).as_bytes());
        }
    }
    Ok(names)
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
