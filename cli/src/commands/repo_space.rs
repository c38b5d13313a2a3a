//! `gabion repo-space`

use std::io::Write as _;

use anyhow::Result;
use serde_json::json;

use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::rows::rows;
use crate::output::sink::Sink;
use crate::output::units;

/// Show, set aside or give up room for the day the store is full.
///
/// Deleting archives and compacting need a little room before they free a lot. A repository sets one MiB aside for that, and
/// uses it by itself. More helps where other programs fill the same disk: --reserve sets it aside in pieces of 16 MiB,
/// --free gives everything up at once. `compact` sets the first MiB aside again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion repo-space --reserve 1G\n  gabion repo-space --free && gabion prune -d 7 && gabion compact"
)]
pub struct Args {
    /// Set at least so much aside, such as 500M or 2GiB
    #[arg(long, value_name = "SPACE", value_parser = units::parse, conflicts_with = "free")]
    reserve: Option<u64>,
    /// Give all of it up
    #[arg(long)]
    free: bool,
    /// Print one JSON object: `reserved`, or `freed`, in bytes
    #[arg(long)]
    json: bool,
}

/// Does it, and tells how much is set aside.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let repository = context.open()?;
    let reporter = context.reporter(context.settings())?;
    let (label, bytes) = match (args.reserve, args.free) {
        (Some(bytes), _) => ("Reserved", repository.reserve(bytes)?),
        (None, true) => ("Freed", repository.free_reserves()?),
        (None, false) => ("Reserved", repository.reserved_bytes()?),
    };
    let mut out = Sink::new();
    let told = match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&json!({ label.to_ascii_lowercase(): bytes }))?),
        false => rows(&[(label, context.units.format(bytes))]),
    };
    out.write_all(told.as_bytes())?;
    out.flush()?;
    Ok(reporter.warnings())
}
