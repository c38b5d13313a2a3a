//! `gabion repo-list`

use std::io::Write as _;

use anyhow::Result;
use gabion_core::archive::catalog::{Archive, Catalog};
use serde_json::Value as Json;

use super::undelete;
use crate::archives::ArchiveFilter;
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::archive::{self, KEYS};
use crate::output::format::Format;
use crate::output::sink::Sink;

const DEFAULT_FORMAT: &str = "{archive:<36} {time} [{id}]{NL}";
const SHORT_FORMAT: &str = "{archive}{NL}";

/// List the archives of a repository.
///
/// Keys of --format: archive name comment id tags time start end command_line hostname username size nfiles, and NL
/// NUL SPACE TAB CR LF. `{archive:<36}` pads, `{time:%Y-%m-%d}` formats a time.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion repo-list\n  gabion repo-list -a 'sh:home*' --last 10\n  gabion repo-list --format '{archive:<36} {time:%Y-%m-%d} {size}{NL}'"
)]
pub struct Args {
    /// Print names only
    #[arg(long, conflicts_with = "format")]
    short: bool,
    /// Print archives in this format [env: GABION_REPO_LIST_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print one JSON object; keys of --format are added to each archive
    #[arg(long)]
    json: bool,
    /// List archives that were removed instead
    #[arg(long)]
    deleted: bool,
    /// List backups too that were not finished, as NAME.checkpoint; the next backup goes on there
    #[arg(long, conflicts_with = "deleted")]
    consider_checkpoints: bool,
    #[command(flatten)]
    filter: ArchiveFilter,
}

/// Lists the archives.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let wanted = match (&args.format, args.short) {
        (Some(format), _) => format,
        (None, true) => SHORT_FORMAT,
        (None, false) => context.environment.repo_list_format()?.unwrap_or(DEFAULT_FORMAT),
    };
    let format = Format::parse(wanted, KEYS)?;
    let repository = context.open()?;
    let reporter = context.reporter(context.settings())?;
    let mut catalog = match args.deleted {
        true => undelete::catalog(&repository, &undelete::removals(&repository, &reporter)?)?,
        false => context.catalog(&repository, &reporter)?,
    };
    if args.consider_checkpoints {
        catalog.archives.extend(Catalog::unfinished(&repository)?.into_iter().map(as_checkpoint));
    }
    let mut out = Sink::new();
    if args.json {
        let mut root = archive::repository(context, &repository, &catalog)?;
        let listed = args.filter.select(context, catalog)?;
        let object = |listed: &crate::archives::Listed| {
            let mut object = archive::brief(&listed.archive, context.zone());
            for key in format.keys() {
                if !object.contains_key(key) {
                    archive::put_key(&mut object, &listed.archive, key, context.zone());
                }
            }
            Json::Object(object)
        };
        root.insert("archives".to_owned(), listed.iter().map(object).collect());
        out.write_all(archive::answer(root)?.as_bytes())?;
    } else {
        let (manner, mut line) = (context.manner(), Vec::new());
        for listed in args.filter.select(context, catalog)? {
            line.clear();
            format.render(|key| archive::value(&listed.archive, key), &manner, &mut line)?;
            out.write_all(&line)?;
        }
    }
    out.flush()?;
    Ok(reporter.warnings())
}

/// An archive that was not finished, under a name that says so.
fn as_checkpoint(mut archive: Archive) -> Archive {
    archive.record.name.push_str(".checkpoint");
    archive
}
