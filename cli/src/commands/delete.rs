//! `gabion delete`

use std::collections::BTreeSet;
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
#[command(after_help = "Examples:\n  gabion delete home@3 home@4\n  gabion delete -a 'sh:test-*' --dry-run --list")]
pub struct Args {
    /// The archives: each its name (the newest of the series), name@N or aid:HEX
    #[arg(value_name = "NAME")]
    names: Vec<String>,
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
    let archives = args.archives(context, catalog)?;
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
    fn archives(&self, context: &Context, catalog: Catalog) -> Result<Vec<Archive>> {
        let [_, _, ..] = &self.names[..] else {
            return named_or_selected(context, catalog, self.names.first().map(String::as_str), &self.filter);
        };
        let mut archives: Vec<Archive> = Vec::new();
        for name in &self.names {
            let catalog = Catalog { archives: catalog.archives.clone(), ..Catalog::default() };
            let named = named_or_selected(context, catalog, Some(name), &self.filter)?;
            archives.extend(named);
        }
        let mut seen = BTreeSet::new();
        archives.retain(|archive| seen.insert(archive.id));
        Ok(archives)
    }

    /// The archive that is meant, if it is one of those that can not be read and that may go all the same.
    fn unreadable(&self, catalog: &Catalog) -> Option<ArchiveId> {
        let [name] = &self.names[..] else { return None };
        let prefix = name.strip_prefix("aid:")?.to_ascii_lowercase();
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
