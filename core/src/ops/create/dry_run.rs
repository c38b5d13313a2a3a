//! Tells what would be archived, without touching the repository.

use super::plan::Plan;
use super::traversal::{Rules, Step, Traversal};
use crate::archive::record::Statistics;
use crate::error::Result;
use crate::monitor::{Counters, Event, FileStatus, Monitor};
use crate::pattern::Matcher;

/// Walks the plan and reports every item as included or excluded; counts files and bytes.
pub fn dry_run(plan: &Plan, rules: &Rules, matcher: &Matcher, monitor: &dyn Monitor) -> Result<Statistics> {
    plan.check()?;
    let mut statistics = Statistics::default();
    let mut traversal = Traversal::new(plan, rules, matcher, monitor);
    while let Some(step) = traversal.step() {
        monitor.stop_if_asked("create archive")?;
        let found = match step {
            Step::Enter { found, implied: false } | Step::Item(found) => found,
            Step::Enter { implied: true, .. } | Step::Leave => continue,
            Step::Stream { path, .. } => {
                monitor.event(&Event::File { status: FileStatus::Included, path: &path });
                continue;
            }
        };
        if found.stat.is_file() {
            statistics.files += 1;
            statistics.bytes += found.stat.size;
            Counters::add(&monitor.counters().files, 1);
            Counters::add(&monitor.counters().bytes, found.stat.size);
        }
        monitor.event(&Event::File { status: FileStatus::Included, path: &found.path });
    }
    Ok(statistics)
}
