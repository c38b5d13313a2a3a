//! What files can be sorted by.

use gabion_core::archive::StatRow;
use gabion_core::archive::walk::WalkItem;

use crate::output::mode::type_letter;
use crate::output::sort::{SortKey, Sortable};

impl Sortable for WalkItem {
    const KEYS: &'static [SortKey<Self>] = &[
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
}

fn changed(item: &WalkItem) -> Option<gabion_core::clock::Timestamp> {
    match item.stat? {
        StatRow::File { changed, .. } => Some(changed),
        StatRow::None | StatRow::Directory(_) => None,
    }
}
