//! Mends a repository, as far as what is there allows.
//!
//! First a check, then a plan that can be looked at, then its steps. A repair never makes it worse: what could be
//! read before can be read after, whenever it dies. Nothing is deleted without a copy in quarantine; segments go as a
//! collector lets them go, so clients and collectors may work at the same time; and what can not be mended is
//! recorded, so that the next backup that sees the content stores it again.

mod lost;
mod other;
mod plan;
mod run;

use crate::clock::Clock;
use crate::error::Result;
use crate::monitor::Monitor;
use crate::ops::check::{CheckOptions, Checked, Report, check_and_keep};
use crate::repository::{Repository, WriterOptions};

pub use plan::{Left, Plan};
pub use run::{Repaired, repair};

/// How a repository is mended.
#[derive(Clone, Debug, Default)]
pub struct RepairOptions {
    /// Open every chunk and compare it with its name before; else only those of segments whose hash is wrong.
    pub data: bool,
    /// How chunks are written again.
    pub writer: WriterOptions,
    /// Look for archives whose records are gone, and put them back.
    pub find_lost: bool,
    /// The user is sure that no collector works anywhere: dooms that can not be read go.
    pub no_collector: bool,
}

/// Checks everything and tells what [`repair`] would do, without changing anything.
///
/// # Errors
/// Those of a check.
pub fn plan(
    repository: &Repository,
    options: &RepairOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
    report: &mut Report<'_>,
) -> Result<(Checked, Plan)> {
    let check = CheckOptions { data: options.data, ..CheckOptions::default() };
    let (checked, session) = check_and_keep(repository, &check, clock, monitor, report)?;
    let mut plan = Plan::new(&session, &checked, &repository.quarantined_segments()?);
    if options.find_lost {
        plan.archives = lost::find_lost(repository, &session, clock.now(), monitor)?;
    }
    Ok((checked, plan))
}
