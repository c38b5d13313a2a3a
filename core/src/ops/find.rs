//! Finds entries in many archives.
//!
//! A directory below which nothing was found is not searched again, in however many archives it occurs at the same
//! place: what most searches are about lies in few places.

use std::collections::HashSet;

use crate::archive::content::Content;
use crate::archive::record::ArchiveRecord;
use crate::archive::walk::{Walk, WalkEvent, WalkItem};
use crate::error::Result;
use crate::monitor::{Monitor, Warning};
use crate::ops::unread::pass_over;
use crate::pattern::{Decision, Matcher};
use crate::repository::Reader;

/// A search that goes on from archive to archive.
pub struct Finder<'a> {
    reader: &'a Reader,
    matcher: &'a Matcher,
    monitor: &'a dyn Monitor,
    stat: bool,
    /// Hashes of the paths and nodes of directories without anything that is looked for.
    barren: HashSet<[u8; 16]>,
}

impl<'a> Finder<'a> {
    /// Looks for what `matcher` takes; `stat` says whether to tell what change detection remembers, too.
    pub fn new(reader: &'a Reader, matcher: &'a Matcher, stat: bool, monitor: &'a dyn Monitor) -> Self {
        Self { reader, matcher, monitor, stat, barren: HashSet::new() }
    }

    /// Calls `visit` for everything that is found in one archive, parents before children, names in byte order.
    ///
    /// What can not be read is reported to the monitor and passed over.
    ///
    /// # Errors
    /// `Interrupted`, a connection that is lost, and whatever `visit` returns.
    pub fn search(&mut self, record: &ArchiveRecord, visit: &mut dyn FnMut(WalkItem) -> Result<()>) -> Result<()> {
        let (matcher, barren) = (self.matcher, &self.barren);
        let descend = |item: &WalkItem| {
            matcher.decide(&item.path) != Decision::ExcludeNoRecurse
                && matcher.may_descend(&item.path)
                && !key(item).is_some_and(|key| barren.contains(&key))
        };
        // how often something happened, and how often it had when each open directory was entered
        let (mut happened, mut before) = (0u64, Vec::new());
        let mut found_barren = Vec::new();
        let stat = record.stat_root.as_ref().filter(|_| self.stat);
        for event in Walk::new(self.reader, &record.root, stat, descend) {
            self.monitor.stop_if_asked("find files")?;
            match event {
                Ok(WalkEvent::Entry(item)) => {
                    let (wanted, depth) = (matcher.decide(&item.path) == Decision::Include, item.depth);
                    if wanted {
                        happened += 1;
                        visit(item)?;
                    }
                    before.resize(depth + 1, 0);
                    before[depth] = happened;
                }
                Ok(WalkEvent::Leave(item)) if before.get(item.depth) == Some(&happened) => {
                    found_barren.extend(key(&item));
                }
                Ok(WalkEvent::Leave(_)) => {}
                Err(failed) => {
                    happened += 1;
                    pass_over(self.monitor, Warning::Item, &failed.path, failed.error)?;
                }
            }
        }
        self.barren.extend(found_barren);
        Ok(())
    }
}

/// What names a directory at its place.
fn key(item: &WalkItem) -> Option<[u8; 16]> {
    let Content::Directory(directory) = &item.entry.content else { return None };
    let mut key = [0; 16];
    let mut hasher = blake3::Hasher::new();
    hasher.update(directory.root.as_bytes()).update(&item.path).finalize_xof().fill(&mut key);
    Some(key)
}
