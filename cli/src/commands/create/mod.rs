//! `gabion create`

pub(crate) mod answer;
mod here;
mod input;
mod job;
mod options;
mod places;

use std::ffi::OsString;

use anyhow::Result;
use clap::Args as Group;
use gabion_core::chunker::ChunkerParams;
use gabion_core::compress::Compression;
use gabion_core::ops::create::CreateOptions;

use crate::args::parse_mode;
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::never;
use crate::patterns::{Compiled, Patterns, TagFiles};
use crate::progress::{Settings, Work};
use crate::resources::Resources;
use job::Job;
use options::{ChangeSign, FilesCache, Size};
use places::Outcome;

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
    /// d directory, s symbolic link, h hard link, b c f devices and pipes, i stream, - left out, + would be stored. With
    /// --also-to, in the first repository
    #[arg(long)]
    list: bool,
    /// Of these tell only those with one of these letters
    #[arg(long, value_name = "STATUSCHARS")]
    filter: Option<String>,
    /// Print one JSON object about the archive; with --also-to, one with a list of them, `repositories`. In the place of one
    /// that failed, that has `repository.location` and `error` with `message`, `msgid` and `rc`
    #[arg(long)]
    json: bool,
    /// Make the archive in this repository, too; may be repeated. A place, which is opened by the same passphrase, or @NAME
    /// of a profile, with the passphrase it names. All are done side by side, at the pace of the slowest, and what is new is
    /// read once. Each takes the memory of a backup (--memory-budget); 16 MiB, and 1 MiB for each, come on top. --list and
    /// --progress tell of the first. One that fails keeps no other from being done
    #[arg(long, value_name = "URL")]
    also_to: Vec<String>,
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
    /// What to back up; `-` is standard input, also beside others. With --content-from-command and --paths-from-command: the command
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
}

/// Where content comes from.
#[derive(Debug, Group)]
#[command(next_help_heading = "Content")]
struct Content {
    /// Path of the file in the archive that standard input, or the output of a command, becomes
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
    /// In work trees of git leave out what their .gitignore files and .git/info/exclude do; what is given is taken
    #[arg(long)]
    git_ignore: bool,
    /// Keep numbers of owners only, not their names
    #[arg(long)]
    numeric_ids: bool,
    /// Keep times of last access
    #[arg(long)]
    atime: bool,
    /// Accepted, without effect: times of change are never restored
    #[arg(long)]
    noctime: bool,
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

/// Makes the archive, in every repository.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let Compiled { matcher, roots } = args.patterns.compile()?;
    let beside = args.also_to.iter().map(|named| context.beside(named)).collect::<Result<Vec<_>, _>>()?;
    let contexts: Vec<&Context> = std::iter::once(context).chain(&beside).collect();
    let mut options = args.options(context)?;
    let (mut outcome, places) = Outcome::open(context, &contexts, args)?;
    // also those that were made just now
    options.rules.never = never::archived(&contexts)?;
    let source = args.source(context, roots)?;
    let options = CreateOptions { matcher, paths: source.given.clone(), ..options };
    let settings = Settings { work: Work::Archive, list: args.list, filter: args.filter.clone(), ..context.settings() };
    let job = Job { context, args, source: &source, options: &options, settings };
    if args.dry_run {
        job.pretend(&places, &mut outcome)?;
    } else {
        job.make_all(&places, &mut outcome)?;
    }
    for place in &beside {
        outcome.warn(place.tell_health());
        place.tell_requests();
    }
    outcome.end(args)
}
