//! Which file an object is.
//!
//! The parts of a name are folders and a file, except that `segments/<id>` fans out into 256 folders named by the
//! first two digits of the id: a directory of a hundred thousand files is slow on some file systems, 65 536 folders
//! are slow on all. The mapping is one to one, so that no two objects share a file and every file is one object.
//!
//! ```text
//! config                 config
//! archives/<id>          archives/<id>
//! gc/doom/<id>           gc/doom/<id>
//! segments/<32 digits>   segments/<first 2 digits>/<32 digits>
//! ```

use std::collections::BTreeSet;

use gabion_core::backend::ObjectName;
use gabion_core::crypto::random;
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::repository::{ERASURE, KEYS, SPARE, is_of_repository};

/// The folder that fans out.
pub(crate) const SEGMENTS: &str = "segments";
/// Digits of an id that has a fan-out folder.
const ID_DIGITS: usize = 32;
/// What stands before 32 digits in the name of a file that is no object yet.
const TEMPORARY: &str = ".tmp-";
/// What stands before the name of a file that stepped aside for a put.
pub(crate) const ASIDE: &str = ".old-";

/// The file of an object: folders from the root down, and a name in the last of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub folders: Vec<String>,
    pub file: String,
}

/// Where an object lies; `None` for the few names whose place belongs to another name.
fn spot_of(name: &ObjectName) -> Option<Spot> {
    let mut parts: Vec<String> = name.as_str().split('/').map(str::to_owned).collect();
    let file = parts.pop()?;
    match parts.as_slice() {
        [top] if top == SEGMENTS && is_id(&file) => parts.push(file[..2].to_owned()),
        [top, folder] if top == SEGMENTS && fans_out(folder, &file) => return None,
        _ => {}
    }
    Some(Spot { folders: parts, file })
}

/// Where an object lies; `InvalidInput` if its place belongs to another name.
pub(crate) fn find_spot(operation: &'static str, name: &ObjectName) -> Result<Spot> {
    spot_of(name).ok_or_else(|| {
        let error = Error::new(ErrorKind::InvalidInput, operation).with("object", name);
        error.with("reason", "the place of another object")
    })
}

/// What the file of a put is called before it has its name.
pub(crate) fn temporary_name() -> Result<String> {
    Ok(format!("{TEMPORARY}{:032x}", u128::from_le_bytes(random::array()?)))
}

/// Whether a file is called as those of puts are.
pub(crate) fn is_temporary(file: &str) -> bool {
    let digits = file.strip_prefix(TEMPORARY).unwrap_or_default();
    digits.len() == 32 && is_hex(digits)
}

/// Whether a file is what a writer left that was killed: an object that was never complete, or one of a repository that
/// stepped aside.
pub(crate) fn is_leftover(folders: &[String], file: &str) -> bool {
    let object = || name_of(folders, file.strip_prefix(ASIDE)?);
    is_temporary(file) || object().is_some_and(|object| is_of_repository(&object))
}

/// The folders of a repository, those in others first.
pub(crate) fn folders() -> impl Iterator<Item = Vec<String>> {
    let parts = |namespace: &str| namespace.split('/').map(str::to_owned).collect::<Vec<_>>();
    let namespaces = ERASURE.into_iter().chain([KEYS, SPARE]).map(parts);
    let all = namespaces.chain(fan_out().map(|folder| vec![SEGMENTS.to_owned(), folder]));
    let and_above = |folders: Vec<String>| (1..=folders.len()).map(move |depth| folders[..depth].to_vec());
    all.flat_map(and_above).collect::<BTreeSet<_>>().into_iter().rev()
}

/// Which object a file is; `None` for files that are no objects.
pub(crate) fn name_of(folders: &[String], file: &str) -> Option<ObjectName> {
    let text = match folders {
        [top] if top == SEGMENTS && is_id(file) => return None,
        [top, folder] if top == SEGMENTS && fans_out(folder, file) => format!("{top}/{file}"),
        [] => file.to_owned(),
        _ => format!("{}/{file}", folders.join("/")),
    };
    ObjectName::new(text).ok()
}

/// The names of the 256 folders below `segments`.
pub(crate) fn fan_out() -> impl Iterator<Item = String> {
    (0..=u8::MAX).map(|byte| format!("{byte:02x}"))
}

/// Whether `folders` is one of the 256.
pub(crate) fn is_fan_out(folders: &[String]) -> bool {
    matches!(folders, [top, folder] if top == SEGMENTS && folder.len() == 2 && is_hex(folder))
}

fn fans_out(folder: &str, file: &str) -> bool {
    is_id(file) && file.starts_with(folder) && folder.len() == 2
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ab0123456789abcdef0123456789abcd";

    fn path(name: &str) -> Option<String> {
        let spot = spot_of(&ObjectName::new(name).unwrap())?;
        Some(spot.folders.into_iter().chain([spot.file]).collect::<Vec<_>>().join("/"))
    }

    #[test]
    fn segments_fan_out_and_nothing_else_does() {
        assert_eq!(path("config").unwrap(), "config");
        assert_eq!(path(&format!("archives/{ID}")).unwrap(), format!("archives/{ID}"));
        assert_eq!(path(&format!("segments/{ID}")).unwrap(), format!("segments/ab/{ID}"));
        assert_eq!(path("segments/ab").unwrap(), "segments/ab");
        assert_eq!(path(&format!("segments/ac/{ID}")).unwrap(), format!("segments/ac/{ID}"));
        assert_eq!(path(&format!("segments/ab/{ID}")), None, "the place of another object");
        assert!(fan_out().count() == 256 && fan_out().all(|folder| is_fan_out(&[SEGMENTS.to_owned(), folder])));
    }

    #[test]
    fn folders_of_all_namespaces_are_known() {
        let all: Vec<String> = folders().map(|folders| folders.join("/")).collect();
        let position = |folder: &str| all.iter().position(|known| known == folder).unwrap();
        assert!(position("gc/doom") < position("gc") && position("segments/ff") < position("segments"));
        assert!(position("archives") < all.len() && all.len() == 256 + 16, "{all:?}");
    }

    #[test]
    fn what_steps_aside_is_an_object_of_a_repository() {
        let is_left = |folders: &[&str], file: &str| {
            is_leftover(&folders.iter().map(|folder| (*folder).to_owned()).collect::<Vec<_>>(), file)
        };
        assert!(is_left(&[], ".old-config") && is_left(&["spare"], ".old-identity"));
        assert!(is_left(&["segments", "ab"], &format!(".old-{ID}")) && is_left(&[], &format!(".tmp-{ID}")));
        for (folders, file) in [(&[][..], ".old-notes"), (&["archives"], ".old-config"), (&["gc"], ".old-notes")] {
            assert!(!is_left(folders, file), "{folders:?} {file}");
        }
        assert!(!is_left(&["segments"], &format!(".old-{ID}")) && !is_left(&[], "config"));
    }

    #[test]
    fn every_file_is_one_object() {
        for name in ["config", "a/b", "gc/doom/x", "segments/x", "segments/ab/x", &format!("segments/{ID}")] {
            let name = ObjectName::new(name).unwrap();
            let spot = spot_of(&name).unwrap();
            assert_eq!(name_of(&spot.folders, &spot.file), Some(name));
        }
        let in_folders = |folders: &[&str], file: &str| {
            name_of(&folders.iter().map(|folder| (*folder).to_owned()).collect::<Vec<_>>(), file)
        };
        assert_eq!(in_folders(&["segments"], ID), None, "a segment outside its folder");
        assert_eq!(in_folders(&["segments", "a"], ID).unwrap().as_str(), format!("segments/a/{ID}"));
        for foreign in [".tmp-1", "README", "a b", "lost+found"] {
            assert_eq!(in_folders(&["segments", "ab"], foreign), None);
        }
    }
}
