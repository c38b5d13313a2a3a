//! Borg's variables in the place of this program's.

use std::ffi::{OsStr, OsString};

use super::{Generation, location};
use crate::environment::VARIABLES;

/// What tells a passphrase: if one of them is set for Borg, this program's own do not count.
const PASSPHRASES: [&[&str]; 2] = [
    &["PASSPHRASE", "PASSCOMMAND", "PASSPHRASE_FD"],
    &["OTHER_PASSPHRASE", "OTHER_PASSCOMMAND", "OTHER_PASSPHRASE_FD"],
];

/// Variables of Borg that have another name here.
const RENAMED: [(&str, &str); 1] = [("SECURITY_DIR", "DATA_DIR")];

/// Sets the variables of this program by those of Borg, which outweigh them.
pub fn translated(mut variables: Vec<(OsString, OsString)>, generation: Generation) -> Vec<(OsString, OsString)> {
    let set = |name: &str| variables.iter().any(|(found, _)| *found == *format!("BORG_{name}"));
    let told: Vec<&str> = PASSPHRASES
        .iter()
        .filter(|group| group.iter().any(|name| set(name)))
        .flat_map(|group| group.iter())
        .copied()
        .collect();
    variables.retain(|(name, _)| !told.iter().any(|told| *name == *format!("GABION_{told}")));
    let own: Vec<(OsString, OsString)> =
        variables.iter().filter_map(|(name, value)| Some((counterpart(name)?.into(), meant(name, value)?))).collect();
    variables.retain(|(name, _)| !own.iter().any(|(own, _)| own == name));
    variables.extend(own);
    if generation == Generation::One && !variables.iter().any(|(name, _)| name == "GABION_EXIT_CODES") {
        // Its modern codes have to be asked for.
        variables.push(("GABION_EXIT_CODES".into(), "legacy".into()));
    }
    variables
}

/// The variable of this program that means the same.
fn counterpart(name: &OsStr) -> Option<&'static str> {
    let borg = name.to_str()?.strip_prefix("BORG_")?;
    let rest = RENAMED.iter().find(|(old, _)| *old == borg).map_or(borg, |(_, new)| new);
    let known = VARIABLES.iter().find(|variable| variable.name.strip_prefix("GABION_") == Some(rest));
    known.map(|variable| variable.name)
}

/// Its value, as this program understands it; `None` for what says nothing here.
fn meant(name: &OsStr, value: &OsStr) -> Option<OsString> {
    match name.to_str()? {
        "BORG_REPO" | "BORG_OTHER_REPO" => Some(location::translated(value)),
        "BORG_REMOTE_PATH" => location::remote_program(value).map(OsStr::to_owned),
        _ => Some(value.to_owned()),
    }
}
