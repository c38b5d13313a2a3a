//! The order of a list.

use std::cmp::Ordering;
use std::str::FromStr;

use gabion_core::archive::StatRow;
use gabion_core::archive::walk::WalkItem;

use super::item::type_letter;
use crate::exit_code::Failure;

type Compare = fn(&WalkItem, &WalkItem) -> Ordering;

const KEYS: [(&str, Compare); 11] = [
    ("path", |a, b| a.path.cmp(&b.path)),
    ("size", |a, b| a.entry.size.cmp(&b.entry.size)),
    ("mtime", |a, b| a.entry.metadata.modified.cmp(&b.entry.metadata.modified)),
    ("ctime", |a, b| changed(a).cmp(&changed(b))),
    ("atime", |a, b| a.entry.metadata.accessed.cmp(&b.entry.metadata.accessed)),
    ("type", |a, b| type_letter(a.entry.file_type).cmp(&type_letter(b.entry.file_type))),
    ("mode", |a, b| a.entry.metadata.mode.cmp(&b.entry.metadata.mode)),
    ("user", |a, b| a.entry.metadata.user.cmp(&b.entry.metadata.user)),
    ("group", |a, b| a.entry.metadata.group.cmp(&b.entry.metadata.group)),
    ("uid", |a, b| a.entry.metadata.uid.cmp(&b.entry.metadata.uid)),
    ("gid", |a, b| a.entry.metadata.gid.cmp(&b.entry.metadata.gid)),
];

fn changed(item: &WalkItem) -> Option<gabion_core::clock::Timestamp> {
    match item.stat? {
        StatRow::File { changed, .. } => Some(changed),
        StatRow::None | StatRow::Directory(_) => None,
    }
}

/// Keys in the order of their weight.
#[derive(Clone, Debug)]
pub struct SortKeys(Vec<Key>);

#[derive(Clone, Copy, Debug)]
struct Key {
    name: &'static str,
    compare: Compare,
    descending: bool,
}

impl SortKeys {
    /// The names of the keys.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|key| key.name)
    }

    /// Sorts; items that are equal in all keys keep their order.
    pub fn sort(&self, items: &mut [WalkItem]) {
        items.sort_by(|a, b| {
            let by_key = self.0.iter().map(|key| {
                let order = (key.compare)(a, b);
                if key.descending { order.reverse() } else { order }
            });
            by_key.fold(Ordering::Equal, Ordering::then)
        });
    }
}

impl FromStr for SortKeys {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let key = |word: &str| {
            let (name, descending) = match word.trim() {
                word if word.starts_with('>') => (&word[1..], true),
                word => (word.strip_prefix('<').unwrap_or(word), false),
            };
            let known = KEYS.iter().find(|(known, _)| *known == name);
            known.map(|(name, compare)| Key { name, compare: *compare, descending }).ok_or_else(|| {
                let known: Vec<_> = KEYS.iter().map(|(name, _)| *name).collect();
                Failure::command(format!("can not sort by `{name}`, known are: {}", known.join(", ")))
            })
        };
        text.split(',').map(key).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        let keys: SortKeys = ">size, <mtime,path".parse().unwrap();
        assert_eq!(keys.names().collect::<Vec<_>>(), ["size", "mtime", "path"]);
        assert_eq!(keys.0.iter().map(|key| key.descending).collect::<Vec<_>>(), [true, false, false]);
        assert!("colour".parse::<SortKeys>().is_err() && "".parse::<SortKeys>().is_err());
    }
}
