//! What a restore in place would leave, write and delete, told by a walk over the archive and the target side by side.

use std::path::Path;

use super::surplus::{Surplus, Watched};
use super::{ExtractOptions, may_descend, read_content, stream};
use crate::archive::content::Content;
use crate::archive::record::ArchiveRecord;
use crate::archive::walk::{Walk, WalkEvent, WalkItem};
use crate::error::Result;
use crate::fs::target::{Target, TargetDirectory};
use crate::monitor::{Counters, FileStatus, Monitor, Warning};
use crate::ops::unread::pass_over;
use crate::pattern::Decision;
use crate::repository::Reader;

/// Tells what a restore of the archive to `target` in place would leave, write and delete, and reads every chunk of what it
/// would write to be sure that it can. Changes nothing.
///
/// # Errors
/// As [`extract`](super::extract).
pub fn preview(
    reader: &Reader,
    record: &ArchiveRecord,
    target: &Path,
    options: &ExtractOptions<'_>,
    monitor: &dyn Monitor,
) -> Result<()> {
    let surplus = Surplus::of(record, target, options)?;
    Counters::set(&monitor.counters().files_expected, record.root.files);
    Counters::set(&monitor.counters().bytes_expected, record.root.bytes);
    let monitor = &Watched::new(monitor);
    // The target, and directories in it that lead to where the walk is; none where the target has no such directory.
    let root = if target.exists() { Some(Target::open(target)?.root()) } else { None };
    let mut levels: Vec<Option<TargetDirectory>> = vec![root.clone()];
    let matcher = &options.matcher;
    for event in Walk::new(reader, &record.root, None, |item: &WalkItem| may_descend(matcher, item)) {
        monitor.stop_if_asked("compare target")?;
        match event {
            Ok(WalkEvent::Entry(item)) => {
                levels.truncate(item.depth);
                let above = levels.last().cloned().flatten();
                let is_stripped = item.depth <= options.strip_components;
                if matcher.decide(&item.path) == Decision::Include && !is_stripped {
                    tell(reader, above.as_ref(), &item, monitor)?;
                }
                if let Content::Directory(_) = item.entry.content {
                    let entered = |above: TargetDirectory| above.look_into(&item.entry.name);
                    levels.push(if is_stripped { above } else { above.and_then(entered) });
                }
            }
            Ok(WalkEvent::Leave(item)) => levels.truncate(item.depth),
            Err(failed) => pass_over(monitor, Warning::Item, &failed.path, failed.error)?,
        }
    }
    match (surplus, root) {
        (Some(surplus), Some(root)) => surplus.remove(reader, record, root, monitor, false),
        _ => Ok(()),
    }
}

fn tell(reader: &Reader, above: Option<&TargetDirectory>, item: &WalkItem, monitor: &dyn Monitor) -> Result<()> {
    if above.is_some_and(|above| above.holds(&item.entry)) {
        stream::count(item, FileStatus::Unchanged, monitor);
        return Ok(());
    }
    match read_content(reader, &item.entry, monitor, &mut |_| Ok(())) {
        Ok(()) => stream::count(item, FileStatus::Included, monitor),
        Err(error) => pass_over(monitor, Warning::Item, &item.path, error)?,
    }
    Ok(())
}
