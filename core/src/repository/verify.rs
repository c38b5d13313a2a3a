//! Whether stored objects are what was written.
//!
//! Every object ends in a hash of itself, and its name follows from its salt: that needs no key, and finds
//! whatever a disk or a wire does to it. What an enemy does is found by opening.

use bytes::Bytes;

use super::identity::is_config;
use super::{ObjectName, Prefix, Repository};
use crate::backend::{ObjectMeta, Store};
use crate::crypto::envelope::{Kind, verify_tail};
use crate::error::{Error, Result};
use crate::gc::{DamageRecord, DoomRecord};
use crate::id::{SALT_BYTES, parse_object_id};
use crate::limits::{CONFIG_BYTES_MAX, INDEX_BYTES_MAX, RECORD_BYTES_MAX, SEGMENT_BYTES_MAX};

/// Where the salt lies in every object.
const SALT_AT: usize = 8;

/// Where objects without an id of their own lie: reserves, a collector's probes, clients given up, copies that a repair kept.
const PLAIN: [&str; 4] = ["reserve/", "gc/probe/", "gc/expired/", "quarantine/"];

/// What the name of an object says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Of this kind, with this id.
    Object(Kind, [u8; 16]),
    /// The configuration, or the copy of it.
    Config,
    /// One that is not sealed: a reserve, a collector's probe, a client given up, a copy that a repair kept.
    Plain,
    /// Nothing of this program.
    Foreign,
}

impl Named {
    /// What `name` says.
    pub fn of(name: &ObjectName) -> Self {
        let text = name.as_str();
        if is_config(text) {
            return Self::Config;
        }
        if PLAIN.iter().any(|namespace| text.starts_with(namespace)) {
            return Self::Plain;
        }
        let Some((namespace, last)) = text.rsplit_once('/') else { return Self::Foreign };
        let Some(kind) = Kind::all().find(|kind| kind.namespace() == namespace) else { return Self::Foreign };
        let id = match kind {
            Kind::Index | Kind::Removed => last.split_once('.').and_then(|(_, id)| parse_object_id(id)),
            _ => parse_object_id(last),
        };
        id.map_or(Self::Foreign, |id| Self::Object(kind, id))
    }
}

impl Repository {
    /// Every object there is.
    pub fn list_objects(&self) -> Result<Vec<ObjectMeta>> {
        self.office.store.list(&Prefix::all())
    }

    /// Reads an object whole: its hash, its length and its name must fit. Needs no key.
    pub fn verify_object(&self, name: &ObjectName) -> Result<u64> {
        verify_stored(&self.office.store, name)
    }

    /// Opens the record that lies under this name although it was written under another: its own id, and the record.
    pub fn read_misplaced(&self, kind: Kind, id: &[u8; 16], limit: usize) -> Result<([u8; 16], Vec<u8>)> {
        let name = ObjectName::of_object(kind, id);
        let bytes = self.office.store.get_bounded(&name, 2 * RECORD_BYTES_MAX)?;
        let own = own_id(kind, &bytes).ok_or_else(|| Error::damaged("read misplaced object", "truncated"))?;
        Ok((own, self.office.sealer().open(kind, &own, &bytes, limit)?))
    }

    /// As [`Repository::verify_object`]; a record is opened too, and what every session has to understand is decoded.
    pub fn verify_record(&self, name: &ObjectName) -> Result<u64> {
        let Named::Object(kind, id) = Named::of(name) else { return Ok(0) };
        let bytes = read_object(&self.office.store, name, kind, &id)?;
        if !matches!(kind, Kind::Config | Kind::KeySlot | Kind::Segment | Kind::Index) {
            let plain = self.office.sealer().open(kind, &id, &bytes, 2 * RECORD_BYTES_MAX)?;
            match kind {
                Kind::Doom => drop(DoomRecord::decode(&plain)?),
                Kind::Damage => drop(DamageRecord::decode(&plain)?),
                _ => {}
            }
        }
        Ok(bytes.len() as u64)
    }
}

/// Reads an object whole: its hash, its length and its name must fit. Tells its bytes. Needs no key; objects without
/// an id are not read, but `config`.
pub fn verify_stored(store: &Store, name: &ObjectName) -> Result<u64> {
    match Named::of(name) {
        Named::Object(kind, id) => Ok(read_object(store, name, kind, &id)?.len() as u64),
        Named::Config => {
            let bytes = store.get_bounded(name, CONFIG_BYTES_MAX)?;
            verify_tail(&bytes).map_err(|error| error.with("object", name))?;
            Ok(bytes.len() as u64)
        }
        Named::Plain | Named::Foreign => Ok(0),
    }
}

fn read_object(store: &Store, name: &ObjectName, kind: Kind, id: &[u8; 16]) -> Result<Bytes> {
    let limit = match kind {
        Kind::Segment => SEGMENT_BYTES_MAX,
        Kind::Index => INDEX_BYTES_MAX,
        _ => 2 * RECORD_BYTES_MAX,
    };
    let bytes = store.get_bounded(name, limit)?;
    verify_bytes(kind, id, &bytes).map_err(|error| error.with("object", name))?;
    Ok(bytes)
}

/// Whether these bytes are what was written under this name, as far as the object itself tells. Needs no key.
///
/// Fails with `Damaged` if not. Reserves and probes may be anything.
pub fn verify_object_bytes(name: &ObjectName, bytes: &[u8]) -> Result<()> {
    let verified = match Named::of(name) {
        Named::Object(kind, id) => verify_bytes(kind, &id, bytes),
        Named::Config => verify_tail(bytes),
        Named::Plain => Ok(()),
        Named::Foreign => Err(Error::damaged("verify object", "no object of a repository")),
    };
    verified.map_err(|error| error.with("object", name))
}

fn verify_bytes(kind: Kind, id: &[u8; 16], bytes: &[u8]) -> Result<()> {
    verify_tail(bytes)?;
    match own_id(kind, bytes) {
        None => Err(Error::damaged("verify object", "truncated")),
        Some(own) if own != *id => Err(Error::damaged("verify object", "salt does not give this name")),
        Some(_) => Ok(()),
    }
}

/// The id that follows from the salt of an object.
pub(super) fn own_id(kind: Kind, bytes: &[u8]) -> Option<[u8; 16]> {
    let salt: &[u8; SALT_BYTES] = bytes.get(SALT_AT..SALT_AT + SALT_BYTES)?.try_into().ok()?;
    Some(kind.id(salt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_objects_are() {
        let id = "0a".repeat(16);
        let named = |name: &str| Named::of(&ObjectName::new(name).unwrap());
        for (name, kind) in [
            (format!("segments/{id}"), Kind::Segment),
            (format!("index/3.{id}"), Kind::Index),
            (format!("removed/{id}.{id}"), Kind::Removed),
            (format!("gc/doom/{id}"), Kind::Doom),
            (format!("keys/{id}"), Kind::KeySlot),
        ] {
            assert_eq!(named(&name), Named::Object(kind, [10; 16]), "{name}");
        }
        assert_eq!((named("config"), named("spare/identity")), (Named::Config, Named::Config));
        for name in ["reserve/3", "gc/probe/x", "quarantine/segments.x"] {
            assert_eq!(named(name), Named::Plain, "{name}");
        }
        for name in ["segments/x", "index/0a", "removed/x", "else", "gc/else/0a", "spare/x"] {
            assert_eq!(named(name), Named::Foreign, "{name}");
        }
    }
}
