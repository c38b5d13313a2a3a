//! `gabion import-tar`

use std::path::PathBuf;

use anyhow::Result;
use gabion_core::archive::catalog::Archive;
use gabion_core::chunker::ChunkerParams;
use gabion_core::clock::SystemClock;
use gabion_core::compress::Compression;
use gabion_core::ops::create::{CreateOptions, Input, TarStream, create};

use super::create::answer;
use super::tar_filter::{self, Source};
use crate::archives;
use crate::context::Context;
use crate::date::parse_moment_or_file;
use crate::exit_code::Warnings;
use crate::progress::{Settings, Work};
use crate::resources::Resources;

/// Make an archive of a tar file.
///
/// Understood are ustar, GNU and PAX, with sparse files, extended attributes and access control lists. A leading `/` is
/// dropped from paths; members whose path leads out by `..` are told and left out. Directories that the tar file does not
/// describe belong to root. Every member takes some hundred bytes of memory until the end.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{}\n\nExamples:\n  gabion import-tar from-tar home.tar.gz\n  docker export shop | gabion import-tar shop -", tar_filter::HELP))]
pub struct Args {
    /// What decompresses the tar file: auto, none, gzip, bzip2, xz, zstd, lz4, lzip, or a command
    #[arg(long, value_name = "FILTER", default_value = "auto")]
    tar_filter: String,
    /// Tell how much was stored
    #[arg(short, long)]
    stats: bool,
    /// Tell each member and what became of it: A file, E error, d directory, s symbolic link, h hard link,
    /// b c f devices and pipes
    #[arg(long)]
    list: bool,
    /// Of these tell only those with one of these letters
    #[arg(long, value_name = "STATUSCHARS")]
    filter: Option<String>,
    /// Print one JSON object about the archive
    #[arg(long)]
    json: bool,
    /// Go on behind blocks of zeros, which end a tar file: for files that were joined
    #[arg(long)]
    ignore_zeros: bool,
    /// A comment
    #[arg(long, value_name = "COMMENT", default_value = "")]
    comment: String,
    /// The time to record instead of now, such as 2026-11-22T21:30, or a file whose time of modification it is
    #[arg(long, value_name = "TIMESTAMP")]
    timestamp: Option<String>,
    /// How files are cut: fastcdc,MIN,MAX,BITS[,LEVEL], buzhash,MIN,MAX,BITS,WINDOW or fixed,SIZE[,HEADER]
    #[arg(long, value_name = "PARAMS", default_value_t)]
    chunker_params: ChunkerParams,
    /// Compression: none, lz4, zstd[,L], zlib[,L], lzma[,L], auto,C[,L], obfuscate,SPEC,C[,L]
    #[arg(short = 'C', long, value_name = "COMPRESSION", default_value_t)]
    compression: Compression,
    #[command(flatten)]
    resources: Resources,
    /// Name of the archive
    #[arg(value_name = "NAME")]
    name: String,
    /// The tar file; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Imports.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let options = options(context, args)?;
    let source = Source::open(&args.file, &args.tar_filter)?;
    let repository = context.open()?;
    let settings = Settings { work: Work::Archive, list: args.list, filter: args.filter.clone(), ..context.settings() };
    let reporter = context.reporter(settings)?;
    let stream = TarStream { input: Box::new(source), ignore_zeros: args.ignore_zeros };
    let created = create(&repository, Input::Tar(stream), &options, &SystemClock, &reporter);
    reporter.finish();
    let created = created?;
    let archive = Archive { id: created.id, record: created.record };
    if args.stats {
        answer::stats(context, &repository, &archive, &reporter);
    }
    if args.json {
        answer::print(answer::json(context, &repository, &archive, created.holdings, &reporter)?)?;
    }
    Ok(reporter.warnings())
}

fn options(context: &Context, args: &Args) -> Result<CreateOptions> {
    Ok(CreateOptions {
        name: archives::new_name(context, &args.name)?,
        comment: context.placeholders.replace(&args.comment)?,
        timestamp: args.timestamp.as_deref().map(|text| parse_moment_or_file(text, context.zone())).transpose()?,
        host: context.placeholders.hostname.clone(),
        user: context.placeholders.user.clone(),
        command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        chunker: args.chunker_params,
        writer: args.resources.writer(context, args.compression, Some(args.chunker_params))?,
        ..CreateOptions::default()
    })
}
