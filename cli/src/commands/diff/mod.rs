//! `gabion diff`

mod show;
mod sort;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use gabion_core::archive::catalog::{Archive, Catalog};
use gabion_core::error::{Error, ErrorKind};
use gabion_core::ops::diff::{DiffOptions, Difference, diff, diff_with_files};
use gabion_core::repository::Repository;
use serde_json::Value as Json;

use crate::archives::find;
use crate::context::Context;
use crate::exit_code::{Failure, Warnings};
use crate::output::format::{Format, Manner};
use crate::output::sink::Sink;
use crate::output::sort::SortKeys;
use crate::output::units::Units;
use crate::patterns::{self, Patterns};
use crate::progress::{Reporter, Settings, Work};
use show::Shown;

const FORMAT: &str = "{change} {path}{NL}";
const CONTENT_FORMAT: &str = "{content}{link}{directory}{blkdev}{chrdev}{fifo} {path}{NL}";

/// Show what differs between two archives, or between an archive and the files as they are now.
///
/// Directories that are the same in both archives are not read, so comparing two backups of the same files is quick. A
/// change time alone is no difference. With --with-fs, files whose size and times are as archived count as unchanged, and
/// all others are read.
///
/// Keys of --format: path change content mode type owner group user link directory blkdev chrdev fifo xattrs flags mtime
/// ctime isomtime isoctime, and NL NUL SPACE TAB CR LF.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion diff home@1 home\n  gabion diff home@7 home --json-lines home/u/Documents\n  \
                  gabion diff home --with-fs / --content-only\n  gabion diff home@1 home --sort-by '>size_added,path'"
)]
pub struct Args {
    /// Compare owners by their numbers only
    #[arg(long, alias = "numeric-owner")]
    numeric_ids: bool,
    /// Take for granted that both archives were cut by the same --chunker-params
    #[arg(long)]
    same_chunker_params: bool,
    /// Print differences in this format [env: GABION_DIFF_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    json_lines: bool,
    /// Sort by these, separated by commas: path, size_added, size_removed, size_diff, size, user, group, uid, gid, ctime,
    /// mtime, ctime_diff, mtime_diff; `>` before a key turns its order round
    #[arg(long, value_name = "KEYS")]
    sort_by: Option<SortKeys<Difference>>,
    /// Compare content only, not what is known of files
    #[arg(long)]
    content_only: bool,
    /// Compare ARCHIVE1 with the files in this directory, which stands for the top of the archive: / or what is above
    /// the paths that were backed up
    #[arg(long, value_name = "DIRECTORY")]
    with_fs: Option<PathBuf>,
    #[command(flatten)]
    patterns: Patterns,
    /// The archive: a name (the newest of the series), NAME@N (the Nth before it), or aid:HEX
    #[arg(value_name = "ARCHIVE1")]
    name: String,
    /// The other archive, unless --with-fs is given; then only these paths and what is below them, pp: unless a style is
    /// given
    #[arg(value_name = "ARCHIVE2] [PATH")]
    more: Vec<OsString>,
}

/// Compares.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let (other, paths) = args.other_and_paths()?;
    let wanted = match (&args.format, args.content_only) {
        (Some(format), _) => format,
        (None, true) => CONTENT_FORMAT,
        (None, false) => context.environment.diff_format()?.unwrap_or(FORMAT),
    };
    let format = Format::parse(wanted, show::KEYS)?;
    let options = DiffOptions {
        matcher: args.patterns.compile_with_paths(paths)?,
        numeric_ids: args.numeric_ids,
        content_only: args.content_only,
        same_chunker_params: args.same_chunker_params,
    };
    let repository = context.open()?;
    let work = Work::Steps { msgid: "diff", label: "Comparing" };
    let reporter = context.reporter(Settings { work, ..context.settings() })?;
    let catalog = context.catalog(&repository, &reporter)?;
    let right = other.map(|name| find(context, copy(&catalog), name)).transpose()?;
    let left = find(context, catalog, &args.name)?;
    let mut printer = Printer {
        format: &format,
        json: args.json_lines,
        manner: context.manner(),
        units: context.units,
        out: Sink::new(),
        line: Vec::new(),
    };
    args.compare(&repository, (&left, right.as_ref()), &options, &reporter, &mut printer)?;
    printer.out.flush()?;
    patterns::report(&options.matcher, &reporter);
    Ok(reporter.warnings())
}

/// The archives alone: errors can not be copied, and nobody asks for them twice.
fn copy(catalog: &Catalog) -> Catalog {
    Catalog { archives: catalog.archives.clone(), removed: catalog.removed.clone(), unreadable: Vec::new() }
}

impl Args {
    fn other_and_paths(&self) -> Result<(Option<&str>, &[OsString])> {
        if self.with_fs.is_some() {
            return Ok((None, &self.more));
        }
        let Some((other, paths)) = self.more.split_first() else {
            return Err(Failure::command("compare with what? name a second archive, or files by --with-fs").into());
        };
        let Some(other) = other.to_str() else {
            return Err(Failure::command("the name of the second archive is not UTF-8").into());
        };
        Ok((Some(other), paths))
    }

    fn compare(
        &self,
        repository: &Repository,
        (left, right): (&Archive, Option<&Archive>),
        options: &DiffOptions,
        reporter: &Reporter,
        printer: &mut Printer<'_>,
    ) -> Result<()> {
        let reader = repository.session()?.reader();
        let (mut collected, mut failed) = (Vec::new(), None);
        let mut visit = |difference: Difference| {
            if self.sort_by.is_some() {
                collected.push(difference);
                return Ok(());
            }
            printer.print(&difference).map_err(|error| {
                failed = Some(error);
                // stops the walk; what really happened is told below
                Error::new(ErrorKind::Io, "write differences")
            })
        };
        let done = match (right, &self.with_fs) {
            (Some(right), _) => diff(repository, &reader, &left.record, &right.record, options, reporter, &mut visit),
            (None, Some(top)) => diff_with_files(repository, &reader, &left.record, top, options, reporter, &mut visit),
            (None, None) => Ok(()),
        };
        if let Some(error) = failed {
            return Err(error);
        }
        done?;
        if let Some(keys) = &self.sort_by {
            keys.sort(&mut collected);
            collected.iter().try_for_each(|difference| printer.print(difference))?;
        }
        Ok(())
    }
}

struct Printer<'a> {
    format: &'a Format,
    json: bool,
    manner: Manner,
    units: Units,
    out: Sink,
    line: Vec<u8>,
}

impl Printer<'_> {
    fn print(&mut self, difference: &Difference) -> Result<()> {
        let shown = Shown { difference, zone: &self.manner.zone, units: self.units };
        self.line.clear();
        if self.json {
            serde_json::to_writer(&mut self.line, &Json::Object(shown.json()))?;
            self.line.push(b'\n');
        } else {
            self.format.render(|key| shown.value(key), &self.manner, &mut self.line)?;
        }
        // a format may tell nothing of what changed
        if !self.line.trim_ascii().is_empty() {
            self.out.write_all(&self.line)?;
        }
        Ok(())
    }
}
