//! Reads the fragments of a repository.

use std::collections::HashSet;

use super::fragment::{Fragment, parse_name};
use super::merge::merge;
use crate::backend::{ObjectMeta, ObjectName, Prefix, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::INDEX_BYTES_MAX;
use crate::seal::Sealer;

/// What was found under `index/`.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The fragments that were read.
    pub fragments: Vec<ObjectMeta>,
    /// Those that exist but do not open, and why.
    pub damaged: Vec<(ObjectName, Error)>,
}

/// Reads all fragments and hands each to `take`; one or two of them are in memory at a time.
///
/// A fragment that vanishes while it is read was merged by another client: then the list is read
/// again. A damaged one is noted and passed over, because the index can be made anew from segments.
pub fn load(store: &Store, sealer: &Sealer<'_>, take: &mut dyn FnMut(&Fragment) -> Result<()>) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    // What vanished once is gone for good; a store that lists it for ever must not hold us for ever.
    let mut gone: HashSet<ObjectName> = HashSet::new();
    loop {
        let listed = store.list(&Prefix::of("index"))?;
        let known = |name: &ObjectName, loaded: &Loaded| {
            loaded.fragments.iter().any(|object| object.name == *name)
                || loaded.damaged.iter().any(|(damaged, _)| damaged == name)
        };
        let new: Vec<ObjectMeta> = listed
            .into_iter()
            .filter(|object| parse_name(&object.name).is_ok() && !known(&object.name, &loaded))
            .filter(|object| !gone.contains(&object.name))
            .collect();
        let mut vanished = false;
        for object in new {
            match read(store, sealer, &object.name) {
                Ok(fragment) => {
                    take(&fragment)?;
                    loaded.fragments.push(object);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    gone.insert(object.name);
                    vanished = true;
                }
                Err(error) if is_damage(&error) => loaded.damaged.push((object.name, error)),
                Err(error) => return Err(error),
            }
        }
        if !vanished {
            return Ok(loaded);
        }
    }
}

/// Merges stored fragments. `None` if one of them vanished or does not open: then nothing is to be replaced.
pub fn merge_stored(
    store: &Store,
    sealer: &Sealer<'_>,
    level: u8,
    names: &[ObjectName],
) -> Result<Option<Vec<Fragment>>> {
    let mut inputs = Vec::with_capacity(names.len());
    for name in names {
        match read(store, sealer, name) {
            Ok(fragment) => inputs.push((parse_name(name)?.1, fragment)),
            Err(error) if error.kind() == ErrorKind::NotFound || is_damage(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    merge(level, inputs).map(Some)
}

/// Reads one fragment.
pub fn read(store: &Store, sealer: &Sealer<'_>, name: &ObjectName) -> Result<Fragment> {
    let bytes = store.get_bounded(name, INDEX_BYTES_MAX)?;
    Fragment::open(sealer, name, &bytes)
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::LimitExceeded)
}
