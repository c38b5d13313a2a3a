//! `gabion create`

pub(crate) mod answer;
mod here;
mod input;
mod options;

use std::ffi::OsString;

use anyhow::Result;
use clap::Args as Group;
use gabion_core::chunker::ChunkerParams;
use gabion_core::clock::SystemClock;
use gabion_core::compress::Compression;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::monitor::{Event, FileStatus, Monitor as _};
use gabion_core::ops::create::{CreateOptions, Input, create, dry_run};
use gabion_core::repository::Repository;

use crate::args::parse_mode;
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::patterns::{Compiled, Patterns, TagFiles};
use crate::progress::{Level, Reporter, Settings, Work};
use crate::resources::Resources;
use here::Here;
use input::Source;
use options::{ChangeSign, FilesCache, Size};

/// Back up files into a new archive.
///
/// Archives may share a name: they form a series, and unchanged files of its newest archive are not read again. An
/// interrupted backup goes on where its last checkpoint was. The repository itself, and the cache and the memory of
/// this program, are never backed up.
///
/// Placeholders such as {hostname}, {user}, {now:%Y-%m-%d} work in the name and the comment.
#[derive(Debug, Group)]
pub struct Args {
    /// Make the repository if it is missing
    #[arg(long)]
    init: bool,
    /// Store nothing, tell what would be stored
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Tell how much was stored
    #[arg(short, long)]
    stats: bool,
    /// Tell each file and what became of it: A added, M modified, U unchanged, C changed while it was read, E error,
    /// d directory, s symbolic link, h hard link, b c f devices and pipes, i stream, - left out, + would be stored
    #[arg(long)]
    list: bool,
    /// Of these tell only those with one of these letters
    #[arg(long, value_name = "STATUSCHARS")]
    filter: Option<String>,
    /// Print one JSON object about the archive
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    archive: About,
    #[command(flatten)]
    resources: Resources,
    #[command(flatten)]
    patterns: Patterns,
    #[command(flatten)]
    tags: TagFiles,
    /// Name of the archive
    #[arg(value_name = "NAME")]
    name: String,
    /// What to back up; `-` is standard input. With --content-from-command and --paths-from-command: the command
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
}

/// Where content comes from.
#[derive(Debug, Group)]
#[command(next_help_heading = "Content")]
struct Content {
    /// Name of the file that standard input, or the output of a command, becomes
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    stdin_name: OsString,
    /// Its owner
    #[arg(long, value_name = "USER", default_value = "root")]
    stdin_user: String,
    /// Its group
    #[arg(long, value_name = "GROUP", default_value = "root")]
    stdin_group: String,
    /// Its permissions, octal
    #[arg(long, value_name = "M", default_value = "0660", value_parser = parse_mode)]
    stdin_mode: u32,
    /// Back up the output of a command, given as PATHs (after `--`); if it fails, there is no archive
    #[arg(long, group = "from")]
    content_from_command: bool,
    /// Read the paths to back up from standard input; directories are not entered
    #[arg(long, group = "from")]
    paths_from_stdin: bool,
    /// Read them from the output of a command, given as PATHs (after `--`)
    #[arg(long, group = "from")]
    paths_from_command: bool,
    /// The same with a shell: the PATHs are what it runs
    #[arg(long, group = "from")]
    paths_from_shell_command: bool,
    /// What stands between these paths; \0 \n \r \t \\ are understood
    #[arg(long, value_name = "DELIM", default_value = "\\n")]
    paths_delimiter: String,
}

/// Which files, and what of them.
#[derive(Debug, Group)]
#[command(next_help_heading = "Files")]
struct Files {
    /// Stay in the file systems of the given paths
    #[arg(short = 'x', long)]
    one_file_system: bool,
    /// Leave out regular files larger than this, such as 500M or 2Gi
    #[arg(long, value_name = "SIZE")]
    exclude_larger_than: Option<Size>,
    /// Keep numbers of owners only, not their names
    #[arg(long)]
    numeric_ids: bool,
    /// Keep times of last access
    #[arg(long)]
    atime: bool,
    /// Accepted, without effect: times of change are never restored
    #[arg(long)]
    noctime: bool,
    /// In work trees of git leave out what their .gitignore files and .git/info/exclude do; what is given is taken
    #[arg(long)]
    git_ignore: bool,
    /// Do not keep times of creation
    #[arg(long)]
    nobirthtime: bool,
    /// Do not keep file flags (immutable, append, nodump)
    #[arg(long)]
    noflags: bool,
    /// Do not keep access control lists
    #[arg(long)]
    noacls: bool,
    /// Do not keep extended attributes
    #[arg(long)]
    noxattrs: bool,
    /// Accepted, without effect: holes are always kept exactly
    #[arg(long)]
    sparse: bool,
    /// Accepted, without effect: this system has no files without their data
    #[arg(long, hide = true)]
    exclude_dataless: bool,
    /// What a file must keep not to be read again: ctime or mtime, size, inode; or disabled
    #[arg(long, value_name = "MODE", default_value = "ctime,size,inode")]
    files_cache: FilesCache,
    /// What shows that a file changed while it was read: ctime, mtime or disabled
    #[arg(long, value_name = "MODE", default_value = "ctime")]
    files_changed: ChangeSign,
    /// Read devices and named pipes, also those that symbolic links lead to, as if they were files. Some never end, such
    /// as /dev/zero
    #[arg(long)]
    read_special: bool,
}

/// What the archive says of itself, and how it is stored.
#[derive(Debug, Group)]
#[command(next_help_heading = "Archive")]
struct About {
    /// A comment
    #[arg(long, value_name = "COMMENT", default_value = "")]
    comment: String,
    /// Tags, separated by commas
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
    /// The time to record instead of now, such as 2026-11-22T21:30, or a file whose time of modification it is
    #[arg(long, value_name = "TIMESTAMP")]
    timestamp: Option<String>,
    /// How files are cut: fastcdc,MIN,MAX,BITS[,LEVEL], buzhash,MIN,MAX,BITS,WINDOW or fixed,SIZE[,HEADER]
    #[arg(long, value_name = "PARAMS", default_value_t)]
    chunker_params: ChunkerParams,
    /// Compression: none, lz4, zstd[,L], zlib[,L], lzma[,L], auto,C[,L], obfuscate,SPEC,C[,L]
    #[arg(short = 'C', long, value_name = "COMPRESSION", default_value_t)]
    compression: Compression,
}

/// Makes the archive.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let compiled = args.patterns.compile()?;
    let options = args.options(context)?;
    let repository = open(context, args)?;
    let work = Work::Archive;
    let settings = Settings { work, list: args.list, filter: args.filter.clone(), ..context.settings() };
    let reporter = context.reporter(settings)?;
    let Compiled { matcher, roots } = compiled;
    let source = args.source(context, roots)?;
    let options = CreateOptions { matcher, paths: source.given(), ..options };
    if args.dry_run {
        return pretend(context, args, &source, &options, repository.as_ref(), &reporter);
    }
    match &repository {
        Some(repository) => store(context, args, source, &options, repository, &reporter),
        // a dry run only does without one
        None => Ok(reporter.warnings()),
    }
}

/// Opens the repository; makes it if it is missing and that is wished. A dry run leaves it missing.
fn open(context: &Context, args: &Args) -> Result<Option<Repository>> {
    match context.open() {
        Err(error) if args.init && is_missing(&error) => {
            if args.dry_run {
                return Ok(None);
            }
            super::repo_create::make(context, &super::repo_create::Choice::default()).map(Some)
        }
        other => other.map(Some),
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().map(Error::kind) == Some(ErrorKind::RepositoryNotFound)
}

fn store(
    context: &Context,
    args: &Args,
    source: Source,
    options: &CreateOptions,
    repository: &Repository,
    reporter: &Reporter,
) -> Result<Warnings> {
    reporter.log(Level::Info, None, &format!("Making archive `{}`", options.name));
    let mut command_failure = None;
    let input = match &source {
        Source::Files { plan, .. } => Input::Files(plan),
        Source::Stream(stream) => Input::Stream(stream.start(&mut command_failure)?),
    };
    let created = create(repository, input, options, &SystemClock, &Here::new(&source, reporter));
    reporter.finish();
    if let Some(failure) = command_failure {
        return Err(failure.into());
    }
    let created = created.inspect_err(|error| {
        if error.kind() == ErrorKind::Interrupted {
            reporter.log(
                Level::Info,
                None,
                "A checkpoint is kept; the next `gabion create` of this name goes on there.",
            );
        }
    })?;
    let archive = gabion_core::archive::catalog::Archive { id: created.id, record: created.record };
    if args.stats {
        answer::stats(context, repository, &archive, reporter);
    }
    if args.json {
        answer::json(context, repository, &archive, reporter)?;
    }
    Ok(reporter.warnings())
}

fn pretend(
    context: &Context,
    args: &Args,
    source: &Source,
    options: &CreateOptions,
    repository: Option<&Repository>,
    reporter: &Reporter,
) -> Result<Warnings> {
    let statistics = match source {
        Source::Files { plan, .. } => dry_run(plan, &options.rules, &options.matcher, &Here::new(source, reporter))?,
        Source::Stream(stream) => {
            reporter.event(&Event::File { status: FileStatus::Included, path: stream.name() });
            Default::default()
        }
    };
    reporter.finish();
    if args.stats {
        answer::dry_stats(context, &statistics, reporter);
    }
    if args.json {
        answer::dry_json(context, repository, &statistics, reporter)?;
    }
    Ok(reporter.warnings())
}
