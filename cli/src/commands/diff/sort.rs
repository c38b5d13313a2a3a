//! What differences can be sorted by.

use gabion_core::archive::metadata::Metadata;
use gabion_core::clock::Timestamp;
use gabion_core::ops::diff::{Change, ContentChange, Difference, Item};

use crate::output::sort::{SortKey, Sortable};

impl Sortable for Difference {
    const KEYS: &'static [SortKey<Self>] = &[
        ("path", |a, b| a.path.cmp(&b.path)),
        ("size_added", |a, b| sizes(a).0.cmp(&sizes(b).0)),
        ("size_removed", |a, b| sizes(a).1.cmp(&sizes(b).1)),
        ("size_diff", |a, b| (sizes(a).0 - sizes(a).1).cmp(&(sizes(b).0 - sizes(b).1))),
        ("size", |a, b| size(a).cmp(&size(b))),
        ("user", |a, b| now(a).map(|of| &of.user).cmp(&now(b).map(|of| &of.user))),
        ("group", |a, b| now(a).map(|of| &of.group).cmp(&now(b).map(|of| &of.group))),
        ("uid", |a, b| now(a).map(|of| of.uid).cmp(&now(b).map(|of| of.uid))),
        ("gid", |a, b| now(a).map(|of| of.gid).cmp(&now(b).map(|of| of.gid))),
        ("ctime", |a, b| newest(a).and_then(Item::changed).cmp(&newest(b).and_then(Item::changed))),
        ("mtime", |a, b| now(a).map(|of| of.modified).cmp(&now(b).map(|of| of.modified))),
        ("ctime_diff", |a, b| step(a, Item::changed).cmp(&step(b, Item::changed))),
        ("mtime_diff", |a, b| step(a, modified).cmp(&step(b, modified))),
    ];
}

/// What is there now, or what was.
fn newest(difference: &Difference) -> Option<&Item> {
    difference.new.as_ref().or(difference.old.as_ref())
}

fn now(difference: &Difference) -> Option<&Metadata> {
    newest(difference).map(|item| &item.entry.metadata)
}

fn size(difference: &Difference) -> u64 {
    difference.new.as_ref().map_or(0, |item| item.entry.size)
}

fn modified(item: &Item) -> Option<Timestamp> {
    Some(item.entry.metadata.modified)
}

/// Bytes that came and went.
fn sizes(difference: &Difference) -> (i128, i128) {
    let content = difference.changes.iter().filter_map(|change| match change {
        Change::Content(ContentChange::Added(bytes)) => Some((*bytes, 0)),
        Change::Content(ContentChange::Removed(bytes)) => Some((0, *bytes)),
        Change::Content(ContentChange::Modified(Some(bytes))) => Some(*bytes),
        _ => None,
    });
    content.fold((0, 0), |sum, (added, removed)| (sum.0 + i128::from(added), sum.1 + i128::from(removed)))
}

/// How far a time moved, in nanoseconds.
fn step(difference: &Difference, time: fn(&Item) -> Option<Timestamp>) -> i128 {
    let nanoseconds = |item: &Option<Item>| {
        let moment = item.as_ref().and_then(time)?;
        Some(i128::from(moment.seconds) * 1_000_000_000 + i128::from(moment.nanoseconds))
    };
    nanoseconds(&difference.new).unwrap_or(0) - nanoseconds(&difference.old).unwrap_or(0)
}
