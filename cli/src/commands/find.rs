//! `gabion find`

use std::ffi::OsString;

use anyhow::Result;
use gabion_core::archive::walk::WalkItem;
use gabion_core::ops::find::Finder;

use super::list::item;
use super::list::printer::Printer;
use crate::archives::{ArchiveFilter, Listed};
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::format::Format;
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
    let mut printer = Printer::new(&reader, &reporter, &format, args.json_lines, context.manner());
    let mut finder = Finder::new(&reader, &matcher, format.keys().any(item::is_from_stat), &reporter);
    for Listed { archive, .. } in archives.iter().rev() {
        let searched = finder.search(&archive.record, &mut |item: WalkItem| printer.visit(archive, &item));
        printer.walked(searched)?;
    }
    printer.end()?;
    patterns::report(&matcher, &reporter);
    Ok(reporter.warnings())
}
