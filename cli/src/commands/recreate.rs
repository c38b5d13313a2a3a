//! `gabion recreate`

use std::ffi::OsString;
use std::io::Write as _;

use anyhow::Result;
use gabion_core::archive::catalog::Archive;
use gabion_core::chunker::ChunkerParams;
use gabion_core::clock::SystemClock;
use gabion_core::compress::Compression;
use gabion_core::ops::recreate::{RecreateOptions, preview, recreate};
use gabion_core::repository::Repository;

use crate::archives::{ArchiveFilter, new_name};
use crate::context::Context;
use crate::date::parse_moment_or_file;
use crate::exit_code::{Failure, Warnings};
use crate::output::rows::rows;
use crate::output::sink::Sink;
use crate::patterns::{self, Patterns, TagFiles};
use crate::progress::{Level, Reporter, Settings, Work};
use crate::resources::Resources;

/// Make archives again, without files that should not have been in them.
///
/// Of all archives, or of those that are selected, what the patterns leave out goes, and if paths are given, only these stay.
/// An archive that changes gets a new id, and the old one is removed last, so an interruption costs nothing; `gabion
/// compact` gives the room back. Files are not read unless --chunker-params says how to cut them anew.
///
/// -C compresses what is written anew; `gabion repo-compress` is for all the rest. An archive with the tag @PROT loses no
/// file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion recreate -e 'sh:**/.cache' --dry-run --list\n  \
                  gabion recreate -a home --exclude-caches\n  \
                  gabion recreate -a aid:8f3a --target home-documents home/u/Documents")]
pub struct Args {
    /// Tell what becomes of each file: - left out, U kept, M cut anew, d s b c f others
    #[arg(long)]
    list: bool,
    /// Tell only of files with one of these letters
    #[arg(long, value_name = "STATUSCHARS")]
    filter: Option<String>,
    /// Change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Tell how much there was and is
    #[arg(short, long)]
    stats: bool,
    /// Make a new archive of this name and keep the old one; one archive must be selected
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Have this comment
    #[arg(long, value_name = "COMMENT")]
    comment: Option<String>,
    /// Have this start time: a date, or a file whose time of modification it is
    #[arg(long, value_name = "TIMESTAMP")]
    timestamp: Option<String>,
    /// How what is written anew is compressed
    #[arg(short = 'C', long, value_name = "COMPRESSION", default_value_t)]
    compression: Compression,
    /// Cut all files anew, such as fastcdc,19,23,21,2; `default` for the parameters of new archives
    #[arg(long, value_name = "PARAMS", value_parser = chunker)]
    chunker_params: Option<ChunkerParams>,
    /// Accepted for drivers; see -C
    #[arg(long, value_name = "MODE", hide = true)]
    recompress: Option<String>,
    #[command(flatten)]
    resources: Resources,
    #[command(flatten)]
    patterns: Patterns,
    #[command(flatten)]
    tags: TagFiles,
    #[command(flatten)]
    archives: ArchiveFilter,
    /// Only these paths and what is below them; pp: unless a style is given
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
}

/// Reads parameters of a chunker.
pub fn chunker(text: &str) -> Result<ChunkerParams, gabion_core::error::Error> {
    if text == "default" { Ok(ChunkerParams::default()) } else { text.parse() }
}

/// Makes the archives again.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let options = args.options(context)?;
    let repository = context.open()?;
    let settings = Settings {
        work: Work::Steps { msgid: "recreate", label: "Recreating" },
        list: args.list,
        filter: args.filter.clone(),
        ..context.settings()
    };
    let reporter = context.reporter(settings)?;
    let archives = args.archives.select(context, context.catalog(&repository, &reporter)?)?;
    if args.target.is_some() && archives.len() != 1 {
        let found = archives.len();
        return Err(Failure::command(format!("--target makes one archive, but {found} are selected")).into());
    }
    let mut out = Sink::new();
    for listed in &archives {
        let told = args.one(context, &repository, &listed.archive, &options, &reporter)?;
        out.write_all(told.as_bytes())?;
    }
    reporter.finish();
    out.flush()?;
    patterns::report(&options.matcher, &reporter);
    Ok(reporter.warnings())
}

impl Args {
    fn options(&self, context: &Context) -> Result<RecreateOptions> {
        let zone = context.zone();
        Ok(RecreateOptions {
            matcher: self.patterns.compile_with_paths(&self.paths)?,
            tags: self.tags.rules(),
            chunker: self.chunker_params,
            writer: self.resources.writer(context, self.compression, self.chunker_params)?,
            target: self.target.as_deref().map(|name| new_name(context, name)).transpose()?,
            comment: self.comment.as_deref().map(|text| context.placeholders.replace(text)).transpose()?,
            timestamp: self.timestamp.as_deref().map(|text| parse_moment_or_file(text, zone)).transpose()?,
        })
    }

    fn one(
        &self,
        context: &Context,
        repository: &Repository,
        archive: &Archive,
        options: &RecreateOptions,
        reporter: &Reporter,
    ) -> Result<String> {
        let name = &archive.record.name;
        let before = (archive.record.root.files, archive.record.root.bytes);
        let after = if self.dry_run {
            preview(repository, archive, options, reporter)?
        } else {
            match recreate(repository, archive, options, &context.remover("recreate"), &SystemClock, reporter)? {
                Some(made) => {
                    reporter.log(Level::Info, None, &format!("Archive {name} ({}) is now {}", archive.id, made.id));
                    (made.record.root.files, made.record.root.bytes)
                }
                None => {
                    reporter.log(Level::Info, None, &format!("Archive {name} ({}) stays as it is", archive.id));
                    before
                }
            }
        };
        if !self.stats {
            return Ok(String::new());
        }
        let size = |(files, bytes): (u64, u64)| format!("{files} files, {}", context.units.format(bytes));
        Ok(rows(&[("Archive", name.clone()), ("Before", size(before)), ("After", size(after))]))
    }
}
