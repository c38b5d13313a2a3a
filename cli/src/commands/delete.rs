//! `gabion delete`

use std::io::Write as _;

use anyhow::Result;
use gabion_core::archive::catalog::{Archive, Catalog};
use gabion_core::clock::SystemClock;
use gabion_core::id::ArchiveId;
use gabion_core::ops::delete::{delete, remove};

use crate::archives::{ArchiveFilter, named_or_selected};
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::output::format::Format;
use crate::output::sink::Sink;
use crate::output::{archive, archive::KEYS};
use crate::progress::Level;

const FORMAT: &str = "{archive:<36} {time} [{id}]{NL}";

/// Remove archives.
///
/// Their room is given back by `gabion compact`; until then `gabion undelete` brings them back. An archive with the tag
/// @PROT is not removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion delete home@3\n  gabion delete -a 'sh:test-*' --dry-run --list")]
pub struct Args {
    /// The archive: its name (the newest of the series), name@N or aid:HEX
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// List the archives that are removed
    #[arg(long)]
    list: bool,
    /// Remove an archive too whose record can not be read, named by aid: and its id
    #[arg(long, action = clap::ArgAction::Count)]
    force: u8,
    /// Accepted; the numbers are told by `gabion compact --stats`
    #[arg(short, long, hide = true)]
    stats: bool,
    #[command(flatten)]
    filter: ArchiveFilter,
}

/// Removes the archives.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let repository = context.open()?;
    if !args.dry_run {
        repository.permissions().require_all("delete")?;
    }
    let reporter = context.reporter(context.settings())?;
    let catalog = context.catalog(&repository, &reporter)?;
    if let Some(id) = args.unreadable(&catalog) {
        if !args.dry_run {
            remove(&repository, &id, None, &context.remover("delete"), &SystemClock)?;
        }
        return Ok(reporter.warnings());
    }
    let archives = named_or_selected(context, catalog, args.name.as_deref(), &args.filter)?;
    if args.list {
        list(context, &archives)?;
    }
    if args.dry_run {
        return Ok(reporter.warnings());
    }
    delete(&repository, &archives.iter().collect::<Vec<_>>(), &context.remover("delete"), &SystemClock)?;
    reporter.log(
        Level::Info,
        None,
        &format!("Removed {} archives; `gabion compact` gives their room back", archives.len()),
    );
    Ok(reporter.warnings())
}

impl Args {
    /// The archive that is meant, if it is one of those that can not be read and that may go all the same.
    fn unreadable(&self, catalog: &Catalog) -> Option<ArchiveId> {
        let prefix = self.name.as_deref()?.strip_prefix("aid:")?.to_ascii_lowercase();
        let mut fitting = catalog.unreadable.iter().map(|(id, _)| *id).filter(|id| id.starts_with(&prefix));
        let only = fitting.next().filter(|_| fitting.next().is_none() && self.force > 0)?;
        // one that can be read is meant first
        catalog.archives.iter().all(|archive| !archive.id.starts_with(&prefix)).then_some(only)
    }
}

/// Prints archives as `repo-list` does.
pub fn list(context: &Context, archives: &[Archive]) -> Result<()> {
    let (format, manner, mut out) = (Format::parse(FORMAT, KEYS)?, context.manner(), Sink::new());
    let mut line = Vec::new();
    for listed in archives {
        line.clear();
        format.render(|key| archive::value(listed, key), &manner, &mut line)?;
        out.write_all(&line)?;
    }
    Ok(out.flush()?)
}
