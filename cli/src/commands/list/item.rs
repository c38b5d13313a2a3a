//! What can be told of one entry of an archive.

use gabion_core::archive::catalog::Archive;
use gabion_core::archive::metadata::FileType;
use gabion_core::archive::walk::WalkItem;
use gabion_core::archive::{Content, ContentItem, ContentReader, StatRow};
use gabion_core::clock::Timestamp;
use gabion_core::repository::Reader;
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json};

use super::hashes;
use crate::compat;
use crate::output::archive::put_value;
use crate::output::format::Value;
use crate::output::mode::{flags_text, mode_text, type_letter};
use crate::output::time;

const KEYS: &[&str] = &[
    "type",
    "mode",
    "uid",
    "gid",
    "user",
    "group",
    "path",
    "target",
    "hlid",
    "inode",
    "flags",
    "size",
    "num_chunks",
    "mtime",
    "ctime",
    "atime",
    "isomtime",
    "isoctime",
    "isoatime",
    "fingerprint",
    "health",
    "extra",
    "archiveid",
    "archivename",
];

/// Keys that every item has in JSON.
const JSON_KEYS: [&str; 10] = ["type", "mode", "user", "group", "uid", "gid", "path", "target", "flags", "mtime"];

/// All keys of a format.
pub fn keys() -> Vec<&'static str> {
    KEYS.iter().copied().chain(hashes::names()).chain(compat::keys::names()).collect()
}

/// Whether a key needs what change detection remembers.
pub fn is_from_stat(key: &str) -> bool {
    matches!(key, "inode" | "ctime" | "isoctime")
}

/// An entry, and all that is needed to tell of it.
pub struct Item<'a> {
    pub archive: &'a Archive,
    pub item: &'a WalkItem,
    /// The hashes that were asked for.
    pub digests: &'a [(&'static str, String)],
    pub reader: &'a Reader,
}

impl<'a> Item<'a> {
    /// The value of a key; `None` if this entry has none.
    pub fn value(&self, key: &str, zone: &TimeZone) -> Option<Value<'a>> {
        let entry = &self.item.entry;
        let metadata = &entry.metadata;
        let iso = |moment: Timestamp| Value::Text(time::iso(moment, zone).into());
        Some(match compat::keys::own(key) {
            "type" => Value::Text(type_letter(entry.file_type).to_string().into()),
            "mode" => Value::Text(mode_text(entry.file_type, metadata.mode).into()),
            "uid" => Value::Number(metadata.uid.into()),
            "gid" => Value::Number(metadata.gid.into()),
            "user" => owner(metadata.user.as_ref().map(|name| &name[..]), metadata.uid),
            "group" => owner(metadata.group.as_ref().map(|name| &name[..]), metadata.gid),
            "path" => Value::Bytes((&self.item.path[..]).into()),
            "target" => Value::Bytes(self.target()?.into()),
            "extra" => Value::Bytes([b" -> ", self.target()?].concat().into()),
            "hlid" => Value::Text(format!("{:016x}", entry.hard_link?).into()),
            "flags" => Value::Text(flags_text(metadata.flags).into()),
            "size" => Value::Number(entry.size.into()),
            "num_chunks" => Value::Number(self.chunks().into()),
            "mtime" => Value::Time(metadata.modified),
            "isomtime" => iso(metadata.modified),
            "atime" => Value::Time(metadata.accessed?),
            "isoatime" => iso(metadata.accessed?),
            "ctime" => Value::Time(self.stat()?.1),
            "isoctime" => iso(self.stat()?.1),
            "inode" => Value::Number(self.stat()?.0.into()),
            "fingerprint" => Value::Text(self.fingerprint()?.into()),
            "health" => Value::Text(if self.is_healthy() { "healthy" } else { "broken" }.into()),
            "archiveid" => Value::Text(self.archive.id.to_string().into()),
            "archivename" => Value::Text((&*self.archive.record.name).into()),
            other => Value::Text(self.digests.iter().find(|(name, _)| *name == other)?.1.clone().into()),
        })
    }

    /// The item as JSON: what every item has, and `more`.
    pub fn json<'k>(&self, more: impl Iterator<Item = &'k str>, zone: &TimeZone) -> Map<String, Json> {
        let mut object = Map::new();
        let fixed = JSON_KEYS.into_iter().chain(["size"]);
        for key in fixed.chain(more) {
            if object.contains_key(key) {
                continue;
            }
            match self.value(key, zone) {
                Some(value) => put_value(&mut object, key, &value, zone),
                None => drop(object.insert(key.to_owned(), Json::from(""))),
            }
        }
        object
    }

    fn target(&self) -> Option<&'a [u8]> {
        match &self.item.entry.content {
            Content::Target(target) => Some(target),
            _ => None,
        }
    }

    fn stat(&self) -> Option<(u64, Timestamp)> {
        match self.item.stat? {
            StatRow::File { inode, changed } => Some((inode, changed)),
            StatRow::None | StatRow::Directory(_) => None,
        }
    }

    fn chunks(&self) -> u64 {
        match &self.item.entry.content {
            Content::List(items) => {
                items.iter().filter(|item| matches!(item, ContentItem::Chunk { .. })).count() as u64
            }
            // holes count too: the leaves are not read for this
            Content::Tree(tree) => tree.items,
            _ => 0,
        }
    }

    /// Whether every chunk of the content is stored, as far as the index knows.
    fn is_healthy(&self) -> bool {
        let entry = &self.item.entry;
        if !matches!(entry.content, Content::List(_) | Content::Tree(_)) {
            return true;
        }
        let known = |item| {
            matches!(item, Ok(ContentItem::Hole { .. }))
                || matches!(item, Ok(ContentItem::Chunk { id, .. }) if self.reader.knows(&id))
        };
        ContentReader::open(self.reader, &entry.content, entry.size).is_ok_and(|mut items| items.all(known))
    }

    /// A name of the content: equal for files cut equally, in any archive of the repository.
    fn fingerprint(&self) -> Option<String> {
        let entry = &self.item.entry;
        if entry.file_type != FileType::File {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        if let Content::Inline(bytes) = &entry.content {
            hasher.update(bytes);
        } else {
            for item in ContentReader::open(self.reader, &entry.content, entry.size).ok()? {
                match item.ok()? {
                    ContentItem::Chunk { id, bytes } => {
                        hasher.update(id.as_bytes()).update(&u64::from(bytes).to_le_bytes());
                    }
                    ContentItem::Hole { bytes } => {
                        hasher.update(&[0; 32]).update(&bytes.to_le_bytes());
                    }
                }
            }
        }
        Some(hasher.finalize().to_hex()[..32].to_owned())
    }
}

fn owner(name: Option<&[u8]>, number: u32) -> Value<'_> {
    match name {
        Some(name) => Value::Bytes(name.into()),
        None => Value::Text(number.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique() {
        let mut all = keys();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
