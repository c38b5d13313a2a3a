//! Visits the entries of an archive that a matcher selects.

use crate::archive::record::ArchiveRecord;
use crate::archive::stat::StatRef;
use crate::archive::walk::{Walk, WalkEvent, WalkItem};
use crate::error::Result;
use crate::monitor::{Monitor, Warning};
use crate::ops::unread::pass_over;
use crate::pattern::{Decision, Matcher};
use crate::repository::Reader;

/// Calls `visit` for every selected entry, parents before children, names in byte order.
///
/// What can not be read is reported to the monitor and passed over, unless the connection is lost.
pub fn list(
    reader: &Reader,
    record: &ArchiveRecord,
    matcher: &Matcher,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(WalkItem) -> Result<()>,
) -> Result<()> {
    each(reader, record, None, matcher, monitor, visit)
}

/// [`list`] together with what change detection remembers of each entry, as far as that can be read.
pub fn list_with_stat(
    reader: &Reader,
    record: &ArchiveRecord,
    matcher: &Matcher,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(WalkItem) -> Result<()>,
) -> Result<()> {
    each(reader, record, record.stat_root.as_ref(), matcher, monitor, visit)
}

fn each(
    reader: &Reader,
    record: &ArchiveRecord,
    stat: Option<&StatRef>,
    matcher: &Matcher,
    monitor: &dyn Monitor,
    visit: &mut dyn FnMut(WalkItem) -> Result<()>,
) -> Result<()> {
    let descend =
        |item: &WalkItem| matcher.decide(&item.path) != Decision::ExcludeNoRecurse && matcher.may_descend(&item.path);
    for event in Walk::new(reader, &record.root, stat, descend) {
        monitor.stop_if_asked("list archive")?;
        match event {
            Ok(WalkEvent::Entry(item)) if matcher.decide(&item.path) == Decision::Include => visit(item)?,
            Ok(_) => {}
            Err(failed) => pass_over(monitor, Warning::Item, &failed.path, failed.error)?,
        }
    }
    Ok(())
}
