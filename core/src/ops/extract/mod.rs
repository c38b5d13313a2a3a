//! Restores an archive: directories by one thread in order, everything else in batches
//! by workers, huge files piece by piece.
//!
//! A directory gets its metadata when the last thing below it is complete, whoever
//! completes it. An item that fails is reported and the rest goes on, unless the connection is lost.

use std::collections::HashSet;
use std::path::Path;

use crate::archive::content::Content;
use crate::archive::record::ArchiveRecord;
use crate::archive::walk::{Walk, WalkEvent, WalkItem};
use crate::error::Result;
use crate::fs::restore::RestoreOptions;
use crate::fs::target::Target;
use crate::fs::users::Users;
use crate::monitor::{Counters, Event, FileStatus, Monitor, Warning};
use crate::ops::unread::pass_over;
use crate::pattern::{Decision, Matcher};
use crate::repository::Reader;

mod in_place;
mod place;
mod restorer;
mod stream;
mod surplus;
mod work;

use restorer::Restorer;
use surplus::{Surplus, Watched};

pub use in_place::preview;
pub(in crate::ops) use stream::each_item;
pub use stream::{extract_to_stream, read_content};

/// How an archive is restored.
#[derive(Debug)]
pub struct ExtractOptions<'a> {
    /// Which entries; paths as archived.
    pub matcher: Matcher,
    /// Leading parts of the path that are dropped; entries with no more parts are left out.
    pub strip_components: usize,
    /// Turn blocks of zeros into holes, beside the holes the archive knows.
    pub sparse: bool,
    /// Leave what is there as archived, judged by size and time of modification: it only gets its metadata.
    pub in_place: bool,
    /// Remove what is in the target and not in the archive, but not these files and directories, by device and inode.
    ///
    /// Only in directories that were archived with all that was in them, and only what the matcher includes: what it
    /// excludes stays, and so do the directories that hold that. Sockets stay, too, and whatever is mounted below such a
    /// directory. Nothing is removed if anything could not be restored.
    pub delete: Option<HashSet<(u64, u64)>>,
    /// Which metadata is restored.
    pub restore: RestoreOptions<'a>,
    /// Worker threads; 0 does everything in the calling thread.
    pub workers: usize,
}

impl Default for ExtractOptions<'static> {
    /// Everything with all its metadata, a worker per core.
    fn default() -> Self {
        Self {
            matcher: Matcher::default(),
            strip_components: 0,
            sparse: false,
            in_place: false,
            delete: None,
            restore: RestoreOptions::all(Users::system()),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Restores the selected entries below `target`, which is made if it is missing.
///
/// Nothing is ever written outside of `target`, whatever the archive says.
///
/// # Errors
/// `Interrupted`, and a connection that is lost; what can not be restored for another reason is reported. `InvalidInput` if
/// something shall be deleted and the archive does not tell what was there.
pub fn extract(
    reader: &Reader,
    record: &ArchiveRecord,
    target: &Path,
    options: &ExtractOptions<'_>,
    monitor: &dyn Monitor,
) -> Result<()> {
    let surplus = Surplus::of(record, target, options)?;
    let target = Target::open(target)?;
    Counters::set(&monitor.counters().files_expected, record.root.files);
    Counters::set(&monitor.counters().bytes_expected, record.root.bytes);
    let monitor = &Watched::new(monitor);
    work::with_workers(reader, options, monitor, |queue| {
        let mut restorer = Restorer::new(target.root(), options, monitor, queue);
        for event in Walk::new(reader, &record.root, None, |item: &WalkItem| may_descend(&options.matcher, item)) {
            monitor.stop_if_asked("extract archive")?;
            match event {
                Ok(WalkEvent::Entry(item)) => {
                    let included = options.matcher.decide(&item.path) == Decision::Include;
                    restorer.entry(item, included)?;
                }
                Ok(WalkEvent::Leave(item)) => restorer.leave(item.depth),
                Err(failed) => pass_over(monitor, Warning::Item, &failed.path, failed.error)?,
            }
        }
        restorer.finish()
    })?;
    if let Some(surplus) = surplus {
        surplus.remove(reader, record, target.root(), monitor, true)?;
    }
    restore_top(&target, record, options, monitor);
    Ok(())
}

/// A whole archive of `.` or `/` gives the target its metadata, when all is complete.
fn restore_top(target: &Target, record: &ArchiveRecord, options: &ExtractOptions<'_>, monitor: &dyn Monitor) {
    let Some(top) = &record.top else { return };
    if options.strip_components > 0 || !options.matcher.takes_everything() {
        return;
    }
    for error in target.root().set_own_metadata(&top.metadata, &top.attributes, &options.restore) {
        monitor.event(&Event::Warning { warning: Warning::Attribute, path: b"", error: &error });
    }
}

/// Reports what [`extract`] would restore, and reads every chunk of it to be sure that it can.
pub fn dry_run(reader: &Reader, record: &ArchiveRecord, matcher: &Matcher, monitor: &dyn Monitor) -> Result<()> {
    super::list::list(reader, record, matcher, monitor, &mut |item| {
        let read = read_content(reader, &item.entry, monitor, &mut |_| Ok(()));
        match read {
            Ok(()) => stream::count(&item, FileStatus::Included, monitor),
            Err(error) => pass_over(monitor, Warning::Item, &item.path, error)?,
        }
        Ok(())
    })
}

fn may_descend(matcher: &Matcher, item: &WalkItem) -> bool {
    matches!(item.entry.content, Content::Directory(_))
        && matcher.decide(&item.path) != Decision::ExcludeNoRecurse
        && matcher.may_descend(&item.path)
}

#[cfg(test)]
mod tests;
