//! Differences as text and as JSON.

use std::borrow::Cow;

use gabion_core::archive::metadata::FileType;
use gabion_core::clock::Timestamp;
use gabion_core::ops::diff::{Change, ContentChange, Difference, Owner};
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json, json};

use crate::output::format::Value;
use crate::output::json::put_bytes;
use crate::output::mode::{flags_text, mode_text, type_letter};
use crate::output::time;
use crate::output::units::Units;

/// Keys of a format.
pub const KEYS: &[&str] = &[
    "path",
    "change",
    "content",
    "mode",
    "type",
    "owner",
    "group",
    "user",
    "link",
    "directory",
    "blkdev",
    "chrdev",
    "fifo",
    "xattrs",
    "flags",
    "mtime",
    "ctime",
    "isomtime",
    "isoctime",
];

/// Keys that `{change}` puts together, in this order.
const CHANGE_KEYS: [&str; 11] =
    ["content", "link", "directory", "blkdev", "chrdev", "fifo", "mode", "owner", "xattrs", "flags", "mtime"];

/// Columns of what became of content, so that the rest stands below each other.
const CONTENT_WIDTH: usize = 31;

/// A difference, and how it is shown.
pub struct Shown<'a> {
    pub difference: &'a Difference,
    pub zone: &'a TimeZone,
    pub units: Units,
}

impl Shown<'_> {
    /// The value of a key; empty if nothing of that kind changed.
    pub fn value(&self, key: &str) -> Option<Value<'_>> {
        let path = || Value::Bytes(Cow::Borrowed(&self.difference.path[..]));
        Some(match key {
            "path" => path(),
            "change" => Value::Bytes(self.all().into()),
            _ => Value::Bytes(self.one(key)?.into()),
        })
    }

    fn all(&self) -> Vec<u8> {
        let parts = CHANGE_KEYS.iter().chain(&["ctime"]).filter_map(|key| self.one(key));
        parts.collect::<Vec<_>>().join(&b' ')
    }

    fn one(&self, key: &str) -> Option<Vec<u8>> {
        let parts: Vec<Vec<u8>> = self.difference.changes.iter().filter_map(|change| self.text(change, key)).collect();
        (!parts.is_empty()).then(|| parts.join(&b' '))
    }

    /// What a change says to a key.
    fn text(&self, change: &Change, key: &str) -> Option<Vec<u8>> {
        let arrow = |old: &[u8], new: &[u8]| [b"[", old, b" -> ", new, b"]"].concat();
        let times = |name: &str, old: &Timestamp, new: &Timestamp, show: fn(Timestamp, &TimeZone) -> String| {
            format!("[{name}: {} -> {}]", show(*old, self.zone), show(*new, self.zone)).into_bytes()
        };
        Some(match (change, key) {
            (Change::Content(content), "content") => format!("{:<CONTENT_WIDTH$}", self.content(content)).into(),
            (Change::Added(what), _) if word(*what) == key => format!("{:<CONTENT_WIDTH$}", added(*what)).into(),
            (Change::Removed(what), _) if word(*what) == key => format!("{:<CONTENT_WIDTH$}", removed(*what)).into(),
            (Change::Target(..), "link") => format!("{:<CONTENT_WIDTH$}", "changed link").into(),
            (Change::Device(old, new), "blkdev" | "chrdev") if word(self.file_type()?) == key => {
                arrow(device(*old).as_bytes(), device(*new).as_bytes())
            }
            (Change::Type(old, new), "type") => arrow(&letter(*old), &letter(*new)),
            (Change::Mode(old, new), "mode") => {
                arrow(mode_text(old.0, old.1).as_bytes(), mode_text(new.0, new.1).as_bytes())
            }
            (Change::Owner(old, new), "owner") => arrow(&both(old), &both(new)),
            (Change::Owner(old, new), "user") if old.user != new.user => arrow(&old.user, &new.user),
            (Change::Owner(old, new), "group") if old.group != new.group => arrow(&old.group, &new.group),
            (Change::Attributes, "xattrs") => b"[xattrs changed]".to_vec(),
            (Change::Flags(old, new), "flags") => {
                format!("[flags: {} -> {}]", flags_text(*old), flags_text(*new)).into()
            }
            (Change::Modified(old, new), "mtime") => times("mtime", old, new, time::human),
            (Change::Modified(old, new), "isomtime") => times("mtime", old, new, time::iso),
            (Change::Changed(old, new), "ctime") => times("ctime", old, new, time::human),
            (Change::Changed(old, new), "isoctime") => times("ctime", old, new, time::iso),
            _ => return None,
        })
    }

    fn content(&self, content: &ContentChange) -> String {
        let size = |bytes: u64| self.units.format(bytes);
        match content {
            ContentChange::Added(bytes) => format!("added: {:>24}", size(*bytes)),
            ContentChange::Removed(bytes) => format!("removed: {:>22}", size(*bytes)),
            ContentChange::Modified(None) => "modified: (can't get size)".to_owned(),
            ContentChange::Modified(Some((added, removed))) => {
                let (plus, minus) = (format!("+{}", size(*added)), format!("-{}", size(*removed)));
                format!("modified: {plus:>10} {minus:>10}")
            }
        }
    }

    fn file_type(&self) -> Option<FileType> {
        self.difference.new.as_ref().map(|item| item.entry.file_type)
    }

    /// The difference as one object.
    pub fn json(&self) -> Map<String, Json> {
        let mut object = Map::new();
        put_bytes(&mut object, "path", &self.difference.path);
        let changes = self.difference.changes.iter().map(|change| Json::Object(self.change_json(change)));
        object.insert("changes".to_owned(), changes.collect());
        object
    }

    fn change_json(&self, change: &Change) -> Map<String, Json> {
        let iso = |moment: &Timestamp| time::iso(*moment, self.zone).into_bytes();
        let text = |text: String| text.into_bytes();
        match change {
            Change::Content(content) => content_json(content),
            Change::Added(what) => of_type(added(*what)),
            Change::Removed(what) => of_type(removed(*what)),
            Change::Target(old, new) => pairs("changed link".to_owned(), &[("target", old, new)]),
            Change::Device(old, new) => {
                let what = format!("changed {}", self.file_type().map_or("device", word));
                pairs(what, &[("device", &text(device(*old)), &text(device(*new)))])
            }
            Change::Type(old, new) => pairs("type".to_owned(), &[("type", &letter(*old), &letter(*new))]),
            Change::Mode(old, new) => {
                let [old, new] = [old, new].map(|(file_type, mode)| text(mode_text(*file_type, *mode)));
                pairs("mode".to_owned(), &[("mode", &old, &new)])
            }
            Change::Owner(old, new) => {
                let changed = [("user", &old.user, &new.user), ("group", &old.group, &new.group)];
                pairs("owner".to_owned(), &changed)
            }
            Change::Flags(old, new) => {
                pairs("flags".to_owned(), &[("flags", &text(flags_text(*old)), &text(flags_text(*new)))])
            }
            Change::Modified(old, new) => pairs("mtime".to_owned(), &[("mtime", &iso(old), &iso(new))]),
            Change::Changed(old, new) => pairs("ctime".to_owned(), &[("ctime", &iso(old), &iso(new))]),
            Change::Attributes => of_type("xattrs".to_owned()),
            _ => of_type("other".to_owned()),
        }
    }
}

fn of_type(name: String) -> Map<String, Json> {
    Map::from_iter([("type".to_owned(), Json::from(name))])
}

/// A change with what was and what is: `old_KEY`, `new_KEY`; of a single pair `item1` and `item2` too.
fn pairs(name: String, changed: &[(&str, &Vec<u8>, &Vec<u8>)]) -> Map<String, Json> {
    let mut object = of_type(name);
    for (key, old, new) in changed {
        put_bytes(&mut object, &format!("old_{key}"), old);
        put_bytes(&mut object, &format!("new_{key}"), new);
    }
    if let [(_, old, new)] = changed {
        put_bytes(&mut object, "item1", old);
        put_bytes(&mut object, "item2", new);
    }
    object
}

fn content_json(content: &ContentChange) -> Map<String, Json> {
    let (name, size, changed) = match content {
        ContentChange::Added(bytes) => ("added", Some(*bytes), Some((*bytes, 0))),
        ContentChange::Removed(bytes) => ("removed", Some(*bytes), Some((0, *bytes))),
        ContentChange::Modified(changed) => ("modified", None, *changed),
    };
    let mut object = of_type(name.to_owned());
    if let Some(size) = size {
        object.insert("size".to_owned(), json!(size));
    }
    if let Some((added, removed)) = changed {
        object.insert("added".to_owned(), json!(added));
        object.insert("removed".to_owned(), json!(removed));
    }
    object
}

fn added(what: FileType) -> String {
    format!("added {}", word(what))
}

fn removed(what: FileType) -> String {
    format!("removed {}", word(what))
}

fn word(what: FileType) -> &'static str {
    match what {
        FileType::File => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        FileType::BlockDevice => "blkdev",
        FileType::CharacterDevice => "chrdev",
        FileType::Fifo => "fifo",
    }
}

fn letter(what: FileType) -> Vec<u8> {
    type_letter(what).to_string().into_bytes()
}

fn device((major, minor): (u32, u32)) -> String {
    format!("{major}:{minor}")
}

fn both(owner: &Owner) -> Vec<u8> {
    [&owner.user[..], b":", &owner.group].concat()
}
