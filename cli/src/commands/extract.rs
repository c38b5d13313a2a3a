//! `gabion extract`

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use gabion_core::archive::catalog::Archive;
use gabion_core::fs::restore::RestoreOptions;
use gabion_core::fs::users::Users;
use gabion_core::monitor::{Counters, Monitor as _};
use gabion_core::ops::extract::{ExtractOptions, dry_run, extract, extract_to_stream, preview};
use gabion_core::pattern::Matcher;
use gabion_core::repository::Reader;

use crate::archives;
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::never;
use crate::output::sink::Sink;
use crate::patterns::{self, Patterns};
use crate::progress::{Reporter, Settings, Work};

/// Restore files from an archive.
///
/// Files are written below the current directory, or below --target. Files that exist there are replaced, others are
/// left alone, and nothing is ever written outside of it. --in-place writes only what differs, and with --delete removes
/// what the archive does not have.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion extract daily home/u/letter.txt\n  gabion extract --target /mnt/new daily\n  \
                  gabion extract --target / --in-place --delete --dry-run --list daily srv/www"
)]
pub struct Args {
    /// Tell each file that is restored, `deleting PATH` of what is deleted (letter D in JSON), and `- PATH` of sockets and
    /// mounts that stay although the archive does not have them
    #[arg(long)]
    list: bool,
    /// Tell how much was restored
    #[arg(short, long)]
    stats: bool,
    /// Write nothing, but read everything to be sure that it can be restored
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Write the content of regular files to standard output, one after the other
    #[arg(long, conflicts_with_all = ["dry_run", "target", "strip_components"])]
    stdout: bool,
    /// Restore to this directory; it is made if it is missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    target: PathBuf,
    /// Leave files that are there with the archived size and time of modification as they are, but for their metadata;
    /// also goes on where a restore was interrupted
    #[arg(long, visible_alias = "continue", conflicts_with = "stdout")]
    in_place: bool,
    /// With --in-place and --target: when all is restored, remove what is there and not in the archive, in directories that
    /// were backed up with all that is in them. What PATHs and patterns leave out stays, and so do sockets, what is mounted
    /// there, and repositories. If `create` left something out by patterns, the same ones are to be given; if by other rules,
    /// such as --exclude-caches or --one-file-system, it is refused. Look at --dry-run --list first
    #[arg(long, requires_all = ["in_place", "target"], conflicts_with = "strip_components")]
    delete: bool,
    /// Drop so many directories from the start of paths; what has no more is left out
    #[arg(long, value_name = "N", default_value_t = 0)]
    strip_components: usize,
    /// Restore owners by their numbers, even if their names are known here
    #[arg(long)]
    numeric_ids: bool,
    /// Do not restore file flags (immutable, append, nodump)
    #[arg(long)]
    noflags: bool,
    /// Do not restore access control lists
    #[arg(long)]
    noacls: bool,
    /// Do not restore extended attributes
    #[arg(long)]
    noxattrs: bool,
    /// Turn blocks of zeros into holes, beside the holes the archive knows
    #[arg(long)]
    sparse: bool,
    /// Threads that restore [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    #[command(flatten)]
    patterns: Patterns,
    /// The archive: a name (the newest of the series), NAME@N (the Nth before it), or aid:HEX
    #[arg(value_name = "ARCHIVE")]
    name: String,
    /// Only these paths and what is below them; pp: unless a style is given
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
}

/// Restores.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let matcher = args.patterns.compile_with_paths(&args.paths)?;
    let repository = context.open_to_read()?;
    let work = Work::Steps { msgid: "extract", label: "Extracting" };
    let reporter = context.reporter(Settings { work, list: args.list, ..context.settings() })?;
    let archive = archives::find(context, context.catalog(&repository, &reporter)?, &args.name)?;
    let reader = repository.session()?.reader();
    let matcher = restore(context, args, matcher, &reader, &archive, &reporter)?;
    reporter.finish();
    patterns::report(&matcher, &reporter);
    if args.stats {
        let counters = reporter.counters();
        reporter.say(&format!("Number of files: {}", Counters::get(&counters.files)));
        reporter.say(&format!("Size: {}", context.units.format(Counters::get(&counters.bytes))));
    }
    Ok(reporter.warnings())
}

/// Does what was asked for, and hands back the matcher that knows what fitted.
fn restore(
    context: &Context,
    args: &Args,
    matcher: Matcher,
    reader: &Reader,
    archive: &Archive,
    reporter: &Reporter,
) -> Result<Matcher> {
    let record = &archive.record;
    if args.dry_run && !args.in_place {
        dry_run(reader, record, &matcher, reporter)?;
        return Ok(matcher);
    }
    if args.stdout {
        let mut out = Sink::new();
        let written = extract_to_stream(reader, record, &matcher, &mut out, reporter);
        let flushed = out.flush();
        if let Some(failure) = out.failure() {
            return Err(failure.into());
        }
        written?;
        flushed?;
        return Ok(matcher);
    }
    let mut restore = RestoreOptions::all(Users::system());
    restore.numeric_ids = args.numeric_ids;
    restore.flags = !args.noflags;
    restore.acls = !args.noacls;
    restore.xattrs = !args.noxattrs;
    let options = ExtractOptions {
        matcher,
        strip_components: args.strip_components,
        sparse: args.sparse,
        in_place: args.in_place,
        delete: args.delete.then(|| never::archived(&[context])).transpose()?,
        restore,
        workers: args.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
    };
    let work = if args.dry_run { preview } else { extract };
    work(reader, record, &args.target, &options, reporter)?;
    Ok(options.matcher)
}
