//! `gabion transfer`

use std::io::Write as _;

use anyhow::Result;
use clap::ValueEnum;
use gabion_core::archive::catalog::Archive;
use gabion_core::chunker::ChunkerParams;
use gabion_core::clock::SystemClock;
use gabion_core::compress::Compression;
use gabion_core::ops::transfer::{Transfer, TransferOptions, already_there};

use super::recreate::chunker;
use crate::archives::ArchiveFilter;
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::sink::Sink;
use crate::progress::{Level, Settings, Work};
use crate::resources::Resources;

/// Copy archives from another repository into this one.
///
/// All archives of the other repository, or those that are selected, are copied, oldest first, each as a whole or not at all.
/// An archive that is here already is passed over: it is told by its name, its times, its host and its user. So a transfer
/// that was interrupted goes on, and one that is repeated brings what is new.
///
/// If this repository was made by `repo-create --other-repo`, pieces of data that are here already are not even read. Nothing
/// is changed in the other repository.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion -r /mnt/new repo-create --other-repo /mnt/old\n  \
                  gabion -r /mnt/new transfer --other-repo /mnt/old --dry-run\n  \
                  gabion -r /mnt/new transfer --other-repo /mnt/old -a 'sh:home*' --last 10")]
pub struct Args {
    /// Change nothing, tell what would be copied
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// The repository to copy from [env: GABION_OTHER_REPO]; its passphrase comes from GABION_OTHER_PASSPHRASE,
    /// GABION_OTHER_PASSCOMMAND or GABION_OTHER_PASSPHRASE_FD
    #[arg(long, value_name = "URL")]
    other_repo: Option<String>,
    /// How what is copied is compressed
    #[arg(short = 'C', long, value_name = "COMPRESSION", default_value_t)]
    compression: Compression,
    /// Accepted, without effect: what is copied is always compressed anew, see -C
    #[arg(long, value_name = "MODE", default_value = "always")]
    recompress: Recompress,
    /// Cut all files anew, such as fastcdc,19,23,21,2; `default` for the parameters of new archives
    #[arg(long, value_name = "PARAMS", value_parser = chunker)]
    chunker_params: Option<ChunkerParams>,
    #[command(flatten)]
    resources: Resources,
    #[command(flatten)]
    archives: ArchiveFilter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Recompress {
    /// Always
    Always,
    /// As always
    Never,
}

/// Copies.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let options = TransferOptions {
        chunker: args.chunker_params,
        writer: args.resources.writer(context, args.compression, args.chunker_params)?,
    };
    let elsewhere = context.other(args.other_repo.as_deref())?;
    let here = context.open()?;
    let source = elsewhere.open_to_read()?;
    let work = Work::Steps { msgid: "transfer", label: "Copying" };
    let reporter = context.reporter(Settings { work, ..context.settings() })?;
    let archives = args.archives.select(context, context.catalog(&source, &reporter)?)?;
    let mut catalog = context.catalog(&here, &reporter)?;
    let mut transfer = Transfer::new(&source, &here, &options)?;
    let mut out = Sink::new();
    let (mut copied, mut present) = (0, 0);
    for archive in archives.iter().map(|listed| &listed.archive) {
        if let Some(there) = already_there(&catalog, &archive.record) {
            present += 1;
            reporter.log(Level::Info, None, &format!("{} is here already, as {}", of(archive), there.id));
            continue;
        }
        copied += 1;
        if args.dry_run {
            writeln!(out, "Would copy {}", of(archive))?;
            continue;
        }
        let made = transfer.copy(archive, &SystemClock, &reporter)?;
        reporter.log(Level::Info, None, &format!("{} copied, as {}", of(archive), made.id));
        catalog.archives.push(made);
    }
    reporter.finish();
    out.flush()?;
    let verb = if args.dry_run { "would be copied" } else { "copied" };
    reporter.log(Level::Info, None, &format!("{copied} archives {verb}, {present} were here already"));
    Ok(reporter.warnings())
}

fn of(archive: &Archive) -> String {
    format!("archive {} ({})", archive.record.name.escape_debug(), archive.id)
}
