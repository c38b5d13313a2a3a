//! `gabion export-tar`

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use gabion_core::ops::export_tar::{ExportOptions, export_tar};
use gabion_core::tar::Format;

use super::tar_filter::{self, Output};
use crate::archives;
use crate::context::Context;
use crate::exit_code::{Failure, Warnings};
use crate::patterns::{self, Patterns};
use crate::progress::{Settings, Work};

/// Write an archive as a tar file.
///
/// PAX keeps everything: names of any length, nanoseconds, extended attributes, access control lists, owners, hard
/// links, and with --sparse holes. GNU is for programs that know nothing newer: it keeps no attributes and whole
/// seconds.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{}\n\nExamples:\n  gabion export-tar home home.tar.zst\n  gabion export-tar home - home/me/Documents | tar tv", tar_filter::HELP))]
pub struct Args {
    /// What compresses the tar file: auto, none, gzip, bzip2, xz, zstd, lz4, lzip, or a command
    #[arg(long, value_name = "FILTER", default_value = "auto")]
    tar_filter: String,
    /// Tell each file that is written
    #[arg(long)]
    list: bool,
    /// The format: PAX or GNU; BORG is the same as PAX, which keeps everything that is stored here
    #[arg(long, value_name = "FORMAT", default_value = "PAX", ignore_case = true, value_parser = ["PAX", "GNU", "BORG"])]
    tar_format: String,
    /// Keep holes of sparse files
    #[arg(long)]
    sparse: bool,
    /// Drop so many directories from the start of paths; what has no more is left out
    #[arg(long, value_name = "N", default_value_t = 0)]
    strip_components: usize,
    #[command(flatten)]
    patterns: Patterns,
    /// The archive: a name (the newest of the series), NAME@N (the Nth before it), or aid:HEX
    #[arg(value_name = "ARCHIVE")]
    name: String,
    /// The tar file, which is replaced if it exists; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only these paths and what is below them; pp: unless a style is given
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
}

/// Exports.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let format = if args.tar_format.eq_ignore_ascii_case("GNU") { Format::Gnu } else { Format::Pax };
    if args.sparse && format == Format::Gnu {
        return Err(Failure::command("--sparse needs --tar-format PAX").into());
    }
    let matcher = args.patterns.compile_with_paths(&args.paths)?;
    let repository = context.open_to_read()?;
    let work = Work::Steps { msgid: "export-tar", label: "Exporting" };
    let reporter = context.reporter(Settings { work, list: args.list, ..context.settings() })?;
    let archive = archives::find(context, context.catalog(&repository, &reporter)?, &args.name)?;
    let reader = repository.session()?.reader();
    let options = ExportOptions { matcher, strip_components: args.strip_components, format, sparse: args.sparse };
    let mut output = Output::open(&args.file, &args.tar_filter)?;
    let exported = export_tar(&reader, &archive.record, &mut output, &options, &reporter);
    let closed = output.close(exported);
    reporter.finish();
    closed?;
    patterns::report(&options.matcher, &reporter);
    Ok(reporter.warnings())
}
