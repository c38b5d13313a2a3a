//! Removing archives: the record of the removal first, then the archive goes.
//!
//! An archive counts as removed as soon as its removal record exists, so a client that dies between
//! the two steps has removed it all the same, and whoever removes it again repeats the second step. The
//! name of the record, `removed/<archive id>.<id>`, tells which archive is meant without being read; its own id is
//! drawn from its salt like every other.

use std::collections::BTreeSet;

use super::{ObjectName, Office, Payload, Prefix, Repository};
use crate::error::Result;
use crate::id::{ArchiveId, parse_object_id};
use crate::limits::RECORD_BYTES_MAX;
use crate::seal::Kind;

/// The name of a removal record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemovalName {
    /// The archive that was removed.
    pub archive: ArchiveId,
    /// The id of the record itself.
    pub id: [u8; 16],
}

impl RemovalName {
    /// Reads the last part of a name, `<archive id>.<id>`; foreign names are nothing.
    fn parse(part: &str) -> Option<Self> {
        let (archive, id) = part.split_once('.')?;
        Some(Self { archive: ArchiveId::from_bytes(parse_object_id(archive)?), id: parse_object_id(id)? })
    }

    /// What the name of an object says, if it is that of a removal record.
    pub fn of(name: &ObjectName) -> Option<Self> {
        name.as_str().strip_prefix("removed/").and_then(Self::parse)
    }

    fn object(&self) -> ObjectName {
        let id: String = self.id.iter().map(|byte| format!("{byte:02x}")).collect();
        ObjectName::of("removed", format_args!("{}.{id}", self.archive))
    }
}

/// Which archives there are and were.
#[derive(Clone, Debug, Default)]
pub struct ArchiveNames {
    /// Those that are there and were not removed.
    pub live: BTreeSet<ArchiveId>,
    /// Those that were removed.
    pub removed: BTreeSet<ArchiveId>,
}

impl Repository {
    /// The removal records, by archive.
    pub fn removals(&self) -> Result<Vec<RemovalName>> {
        let listed = self.office.store.list(&Prefix::of("removed"))?;
        let mut names: Vec<_> =
            listed.iter().filter_map(|object| RemovalName::parse(object.name.last_part())).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The archives there are, and those that were removed: one list of each namespace.
    ///
    /// `archives/` is listed before `removed/`, so an archive that is removed meanwhile is not among the live ones.
    pub fn archive_names(&self) -> Result<ArchiveNames> {
        let listed = self.record_ids(Kind::Archive)?;
        let removed = self.removed_archives()?;
        let live = listed.into_iter().map(ArchiveId::from_bytes).filter(|id| !removed.contains(id)).collect();
        Ok(ArchiveNames { live, removed })
    }

    /// The archives that were not removed.
    pub fn live_archives(&self) -> Result<Vec<ArchiveId>> {
        Ok(self.archive_names()?.live.into_iter().collect())
    }

    /// The archives that were removed.
    pub fn removed_archives(&self) -> Result<BTreeSet<ArchiveId>> {
        Ok(self.removals()?.into_iter().map(|name| name.archive).collect())
    }

    /// Opens a removal record.
    pub fn read_removal(&self, name: &RemovalName) -> Result<Vec<u8>> {
        let object = name.object();
        let bytes = self.office.store.get_bounded(&object, 2 * RECORD_BYTES_MAX)?;
        let plain = self.office.sealer().open(Kind::Removed, &name.id, &bytes, RECORD_BYTES_MAX);
        plain.map_err(|error| error.with("object", object))
    }

    /// Removes an archive: puts its removal record, then deletes it. An archive that is gone already is fine.
    ///
    /// On a full store a reserve is given up for it.
    pub fn remove_archive(&self, archive: &ArchiveId, record: &[u8]) -> Result<()> {
        self.office.remove_archive(archive, record)
    }
}

impl Office {
    /// As [`Repository::remove_archive`].
    pub fn remove_archive(&self, archive: &ArchiveId, record: &[u8]) -> Result<()> {
        let sealed = self.sealer().seal(Kind::Removed, record)?;
        let name = RemovalName { archive: *archive, id: sealed.id };
        let payload = Payload::from(sealed.bytes);
        self.with_reserve(|| self.store.put(&name.object(), payload.clone()))?;
        let deleted = self.store.delete(&ObjectName::of("archives", archive));
        deleted.map_err(|error| error.with("archive", archive))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_which_archive_is_meant() {
        let name = RemovalName { archive: ArchiveId::from_bytes([0xa1; 16]), id: [2; 16] };
        let object = name.object();
        assert_eq!(object.as_str(), format!("removed/{}.{}", "a1".repeat(16), "02".repeat(16)));
        assert_eq!(RemovalName::parse(object.last_part()), Some(name));
        for foreign in
            ["", "a1", &"a1".repeat(16), &format!("{}.", "a1".repeat(16)), &format!("{0}.{0}.", "a1".repeat(16))]
        {
            assert_eq!(RemovalName::parse(foreign), None, "{foreign}");
        }
    }
}
