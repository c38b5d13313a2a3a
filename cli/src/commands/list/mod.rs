//! `gabion list`

mod hashes;
pub mod item;
pub mod printer;
mod sort;

use std::ffi::OsString;

use anyhow::Result;
use gabion_core::archive::walk::WalkItem;
use gabion_core::ops::list::{list, list_with_stat};

use crate::archives;
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::format::Format;
use crate::output::sort::SortKeys;
use crate::patterns::{self, Patterns};
use crate::progress::{Settings, Work};
use printer::Printer;

const DEFAULT_FORMAT: &str = "{mode} {user:6} {group:6} {size:8} {mtime} {path}{extra}{NL}";
const SHORT_FORMAT: &str = "{path}{NL}";

/// List the files of an archive.
///
/// Keys of --format: type mode uid gid user group path target hlid inode flags size num_chunks mtime ctime atime isomtime
/// isoctime isoatime fingerprint health extra archiveid archivename; the hashes blake3 blake2b blake2s md5 sha1 sha224 sha256
/// sha384 sha512 sha3_224 sha3_256 sha3_384 sha3_512 xxh64, for which content is read; and NL NUL SPACE TAB CR LF.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion list home\n  gabion list home@1 home/me/Documents --format '{size:>12} {path}{NL}'\n  gabion list home 'sh:**/*.jpg' --json-lines"
)]
pub struct Args {
    /// Print paths only
    #[arg(long, conflicts_with = "format")]
    short: bool,
    /// Print files in this format [env: GABION_LIST_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print one JSON object per line; keys of --format are added
    #[arg(long)]
    json_lines: bool,
    /// List only so many directories deep; 0 is the top
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
    /// Sort by these, separated by commas: path, size, mtime, ctime, atime, type, mode, user, group, uid, gid; `>`
    /// before a key turns its order round. The whole list is held in memory
    #[arg(long, value_name = "SPEC")]
    sort_by: Option<SortKeys<WalkItem>>,
    #[command(flatten)]
    patterns: Patterns,
    /// The archive: a name (the newest of the series), NAME@N (the Nth before it), or aid:HEX
    #[arg(value_name = "ARCHIVE")]
    name: String,
    /// Only these paths and what is below them; pp: unless a style is given
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
}

/// Lists.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let wanted = match (&args.format, args.short) {
        (Some(format), _) => format,
        (None, true) => SHORT_FORMAT,
        (None, false) => context.environment.list_format()?.unwrap_or(DEFAULT_FORMAT),
    };
    let format = Format::parse(wanted, &item::keys())?;
    let matcher = args.patterns.compile_with_paths(&args.paths)?;
    let repository = context.open()?;
    let work = Work::Steps { msgid: "list", label: "Listing" };
    let reporter = context.reporter(Settings { work, ..context.settings() })?;
    let archive = archives::find(context, context.catalog(&repository, &reporter)?, &args.name)?;
    let reader = repository.session()?.reader();
    let needs_stat =
        format.keys().any(item::is_from_stat) || args.sort_by.iter().flat_map(SortKeys::names).any(item::is_from_stat);
    let mut printer = Printer::new(&reader, &reporter, &format, args.json_lines, context.manner());
    let mut collected = Vec::new();
    let mut visit = |item: WalkItem| {
        if args.depth.is_some_and(|depth| item.depth > depth + 1) {
            return Ok(());
        }
        if args.sort_by.is_some() {
            collected.push(item);
            return Ok(());
        }
        printer.visit(&archive, &item)
    };
    let walk = if needs_stat { list_with_stat } else { list };
    let walked = walk(&reader, &archive.record, &matcher, &reporter, &mut visit);
    printer.walked(walked)?;
    if let Some(keys) = &args.sort_by {
        keys.sort(&mut collected);
        collected.iter().try_for_each(|item| printer.print(&archive, item))?;
    }
    printer.end()?;
    // That nothing is listed tells it; drivers ask for many paths at once, and some are not in every archive.
    patterns::mention(&matcher, &reporter);
    Ok(reporter.warnings())
}
