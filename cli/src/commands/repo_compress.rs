//! `gabion repo-compress`

use std::io::Write as _;

use anyhow::Result;
use gabion_core::clock::SystemClock;
use gabion_core::compress::Compression;
use gabion_core::ops::compact::{CompactOptions, recompress};

use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::rows::rows;
use crate::output::sink::Sink;
use crate::progress::{Level, Settings, Work};
use crate::resources::Resources;

/// Compress everything in the repository anew.
///
/// All data is read, checked and written again; what no archive needs goes, as with `compact`. It can run at any time and be
/// stopped at any time, but the next run begins anew: how hard something was compressed is recorded nowhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gabion repo-compress -C zstd,19 --stats")]
pub struct Args {
    /// How: none, lz4, zstd[,LEVEL], zlib[,LEVEL], lzma[,LEVEL], auto,...; see `gabion help compression`
    #[arg(short = 'C', long, value_name = "COMPRESSION", default_value_t)]
    compression: Compression,
    /// Tell what was done
    #[arg(short, long)]
    stats: bool,
    #[command(flatten)]
    resources: Resources,
}

/// Compresses.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let repository = context.open()?;
    let work = Work::Steps { msgid: "repository.compress", label: "Compressing" };
    let reporter = context.reporter(Settings { work, ..context.settings() })?;
    let options = CompactOptions {
        writer: args.resources.writer(context, args.compression, None)?,
        lease_wait: context.lock_wait()?,
        ..CompactOptions::default()
    };
    let before = repository.session()?.holdings().bytes;
    let done = recompress(&repository, &options, &SystemClock, &reporter)?;
    reporter.finish();
    if done.stuck > 0 {
        let message = format!("{} segments stay until `gabion check --repair` has seen them", done.stuck);
        reporter.log(Level::Warning, None, &message);
    }
    if args.stats {
        let after = repository.session()?.holdings().bytes;
        let table = rows(&[
            ("Compression", args.compression.to_string()),
            ("Stored bytes before", context.units.format(before)),
            ("Stored bytes after", context.units.format(after)),
            ("Segments written anew", done.deleted.to_string()),
        ]);
        let mut out = Sink::new();
        out.write_all(table.as_bytes())?;
        out.flush()?;
    }
    Ok(reporter.warnings())
}
