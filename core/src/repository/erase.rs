//! Erasing a repository: its own objects, and nothing else that lies in the store.
//!
//! The order is such that what is left after every step says what it is. Archives go first, so the rest needs nothing
//! that is gone; keys, `config` and at the very end its copy go last, so that until then it is a repository, which can be
//! looked at and erased again.

use super::identity::{config_name, is_config};
use super::{ClosedRepository, Prefix};
use crate::backend::{ObjectMeta, ObjectName};
use crate::error::{ErrorKind, Result};
use crate::id::parse_object_id;

/// The namespaces of a repository, in the order in which they are erased; keys and `config` come after them.
pub const ERASURE: [&str; 13] = [
    "archives",
    "pending",
    "index",
    "segments",
    "removed",
    "damage",
    "gc/doom",
    "gc/epoch",
    "gc/expired",
    "gc/probe",
    "locks",
    "reserve",
    "quarantine",
];
/// The namespace of key slots, which are erased last but `config`.
pub const KEYS: &str = "keys";
/// The namespace of the copy of `config`.
pub const SPARE: &str = "spare";

/// Whether this is the object that is erased after all others, the copy of `config`. A store that keeps a repository in
/// folders removes these with it.
pub fn is_erased_last(name: &ObjectName) -> bool {
    *name == super::identity::copy_name()
}

/// Whether a repository keeps objects under such a name. What has another name belongs to somebody else.
pub fn is_of_repository(name: &ObjectName) -> bool {
    let is_in = |namespace: &str| {
        let rest = name.as_str().strip_prefix(namespace).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| !rest.contains('/') && is_ours(namespace, rest))
    };
    is_config(name.as_str()) || ERASURE.into_iter().chain([KEYS]).any(is_in)
}

impl ClosedRepository {
    /// The repository's own objects of a namespace. What has another name belongs to somebody else.
    pub fn objects(&self, namespace: &'static str) -> Result<Vec<ObjectMeta>> {
        let mut listed = self.object_store().list(&Prefix::of(namespace))?;
        listed.retain(|object| is_ours(namespace, object.name.last_part()));
        Ok(listed)
    }

    /// Whether somebody holds a lease.
    pub fn is_leased(&self) -> Result<bool> {
        Ok(!self.objects("locks")?.is_empty())
    }

    /// Deletes an object of the repository; one that is gone is fine.
    pub fn erase_object(&self, object: &ObjectMeta) -> Result<()> {
        self.object_store().delete(&object.name)
    }

    /// Deletes the keys, then `config`: nobody opens it any more who kept no key. Only after all of [`ERASURE`].
    pub fn erase_keys(&self) -> Result<()> {
        self.objects(KEYS)?.iter().try_for_each(|key| self.erase_object(key))?;
        self.object_store().delete(&config_name())
    }

    /// The end: what is left of a repository without this can be erased by nobody.
    pub fn erase_identity(&self) -> Result<()> {
        match self.object_store().delete(&super::identity::copy_name()) {
            // A repetition whose first answer was lost: the place went with it.
            Err(error) if error.kind() == ErrorKind::RepositoryNotFound => Ok(()),
            done => done,
        }
    }
}

fn is_ours(namespace: &str, name: &str) -> bool {
    let id = |text: &str| parse_object_id(text).is_some();
    match namespace {
        "index" => name.split_once('.').is_some_and(|(level, rest)| level.len() == 1 && id(rest)),
        "removed" => name.split_once('.').is_some_and(|(archive, own)| id(archive) && id(own)),
        // some name, and the beginning of a hash
        "quarantine" => name.rsplit_once('.').is_some_and(|(_, hash)| {
            hash.len() == 2 * super::quarantine::HASH_BYTES
                && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        }),
        "reserve" => name.bytes().all(|byte| byte.is_ascii_digit()),
        _ => id(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_left_alone() {
        let id = "ab".repeat(16);
        let (fragment, removal) = (format!("0.{id}"), format!("{id}.{id}"));
        for (namespace, ours, foreign) in [
            ("segments", &*id, "readme.txt"),
            ("index", &*fragment, &*id),
            ("removed", &*removal, &*id),
            ("reserve", "12", "x"),
            ("keys", &*id, "backup.key"),
            ("quarantine", "segments.ab.0123456789abcdef", "notes.txt"),
        ] {
            assert!(is_ours(namespace, ours) && !is_ours(namespace, foreign), "{namespace}");
            let named = |last: &str| ObjectName::new(format!("{namespace}/{last}")).unwrap();
            assert!(is_of_repository(&named(ours)) && !is_of_repository(&named(foreign)), "{namespace}");
        }
        let of_repository = |name: &str| is_of_repository(&ObjectName::new(name).unwrap());
        assert!(of_repository("config") && of_repository("spare/identity") && of_repository(&format!("gc/epoch/{id}")));
        for foreign in ["notes", "spare/notes", &format!("archives/x/{id}"), &id] {
            assert!(!of_repository(foreign), "{foreign}");
        }
    }
}
