//! `gabion find`

use std::ffi::OsString;
use std::io::Write as _;

use anyhow::Result;
use gabion_core::archive::walk::WalkItem;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::ops::find::Finder;

use super::list::hashes::Hashes;
use super::list::item;
use super::list::printer::Printer;
use crate::archives::ArchiveFilter;
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::format::Format;
use crate::output::sink::Sink;
use crate::patterns::{self, Patterns};
use crate::progress::{Settings, Work};

const DEFAULT_FORMAT: &str =
    "{archiveid:.8} {archivename} {mode} {user:6} {group:6} {size:8} {mtime} {path}{extra}{NL}";

/// Find files in many archives.
///
/// All archives are searched, or those that are selected, from the newest to the oldest. A directory that is the same in
/// several archives is read once if nothing is found in it.
///
/// Keys of --format are those of `gabion list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion find home/u/letter.txt\n  gabion find 'sh:**/*.jpg' --last 3\n  \
                  gabion find -a 'sh:home*' --format '{archivename} {path}{NL}' 're:[Tt]ax'")]
pub struct Args {
    /// Print files in this format [env: GABION_FIND_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print one JSON object per line; keys of --format are added
    #[arg(long)]
    json_lines: bool,
    #[command(flatten)]
    filter: ArchiveFilter,
    #[command(flatten)]
    patterns: Patterns,
    /// Paths, and what is below them; pp: unless a style is given
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
}

/// Finds.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let wanted = match &args.format {
        Some(format) => format,
        None => context.environment.find_format()?.unwrap_or(DEFAULT_FORMAT),
    };
    let format = Format::parse(wanted, &item::keys())?;
    let matcher = args.patterns.compile_with_paths(&args.paths)?;
    let repository = context.open()?;
    let work = Work::Steps { msgid: "find", label: "Searching" };
    let reporter = context.reporter(Settings { work, ..context.settings() })?;
    let archives = args.filter.select(context, context.catalog(&repository, &reporter)?)?;
    let reader = repository.session()?.reader();
    let hashes = Hashes::named(format.keys());
    let mut printer = Printer {
        reader: &reader,
        reporter: &reporter,
        format: &format,
        hashes: &hashes,
        json: args.json_lines,
        manner: context.manner(),
        out: Sink::new(),
        line: Vec::new(),
    };
    let mut finder = Finder::new(&reader, &matcher, format.keys().any(item::is_from_stat), &reporter);
    let mut failed = None;
    for listed in archives.iter().rev() {
        let mut visit = |item: WalkItem| {
            printer.print(&listed.archive, &item).map_err(|error| {
                failed = Some(error);
                // stops the search; what really happened is told below
                Error::new(ErrorKind::Io, "write list")
            })
        };
        let searched = finder.search(&listed.archive.record, &mut visit);
        if let Some(error) = failed {
            return Err(error);
        }
        searched?;
    }
    printer.out.flush()?;
    patterns::report(&matcher, &reporter);
    Ok(reporter.warnings())
}
