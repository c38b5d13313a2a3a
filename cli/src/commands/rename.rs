//! `gabion rename`

use anyhow::Result;
use gabion_core::clock::SystemClock;
use gabion_core::ops::republish::replace;

use crate::archives::{find, new_name};
use crate::context::Context;
use crate::exit_code::Warnings;

/// Rename an archive.
///
/// It gets a new id. An archive may have the name of others: they form a series.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gabion rename home@2 home-before-upgrade")]
pub struct Args {
    /// The archive: its name (the newest of the series), name@N or aid:HEX
    #[arg(value_name = "OLDNAME")]
    old: String,
    /// The new name
    #[arg(value_name = "NEWNAME")]
    new: String,
}

/// Renames the archive.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let name = new_name(context, &args.new)?;
    let repository = context.open()?;
    let reporter = context.reporter(context.settings())?;
    let old = find(context, context.catalog(&repository, &reporter)?, &args.old)?;
    let mut record = old.record.clone();
    record.name = name;
    if record != old.record {
        replace(&repository, &old, &record, &context.remover("rename"), &SystemClock, &reporter)?;
    }
    Ok(reporter.warnings())
}
