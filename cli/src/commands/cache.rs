//! `gabion cache`: the copies of stored objects on this machine.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use gabion_backends::layer::cache::{clean, contents};
use serde_json::json;

use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::rows::rows;
use crate::output::sink::Sink;

/// Show or clean the copies of stored objects on this machine.
///
/// Of repositories that are reached over a network, small objects that never change (index, archives, trees) are kept
/// here, so that the next command need not fetch them again. All of it may be deleted at any time. GABION_CACHE_DIR
/// says where, GABION_CACHE_SIZE how much; --no-cache does without.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion cache info\n  gabion cache clean")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show where the copies are and how much room they take
    #[command(after_help = "Example:\n  gabion cache info --json")]
    Info {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove all copies
    #[command(after_help = "Example:\n  gabion cache clean")]
    Clean,
}

/// Does what was asked for.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let directory = context.directories()?.objects();
    match args.command {
        Command::Info { json } => info(context, &directory, json)?,
        Command::Clean => clean(&directory).with_context(|| format!("clean {}", directory.display()))?,
    }
    Ok(Warnings::default())
}

fn info(context: &Context, directory: &Path, json: bool) -> Result<()> {
    let stores = contents(directory);
    let (size, limit) = (stores.iter().map(|store| store.bytes).sum::<u64>(), context.environment.cache_size()?);
    let told = if json {
        let stores: Vec<_> = stores
            .iter()
            .map(|store| json!({ "location": store.location, "objects": store.objects, "size": store.bytes }))
            .collect();
        let all = json!({ "path": directory, "size": size, "limit": limit, "stores": stores });
        format!("{}\n", serde_json::to_string_pretty(&all)?)
    } else {
        let units = context.units;
        let mut table = vec![
            ("Path", directory.display().to_string()),
            ("Size", format!("{} of {} at most", units.format(size), units.format(limit))),
        ];
        table.extend(stores.iter().map(|store| {
            ("Store", format!("{}: {} objects, {}", store.location, store.objects, units.format(store.bytes)))
        }));
        rows(&table)
    };
    let mut out = Sink::new();
    out.write_all(told.as_bytes())?;
    Ok(out.flush()?)
}
