//! `gabion undelete`

use std::collections::HashSet;

use anyhow::Result;
use gabion_core::archive::ArchiveRecord;
use gabion_core::archive::catalog::{Archive, Catalog};
use gabion_core::archive::removal::RemovalRecord;
use gabion_core::clock::{SystemClock, Timestamp};
use gabion_core::id::ChunkId;
use gabion_core::monitor::{Event, Monitor as _, Warning};
use gabion_core::ops::republish::restore;
use gabion_core::repository::Repository;

use super::delete::list;
use crate::archives::{ArchiveFilter, named_or_selected};
use crate::context::Context;
use crate::exit_code::Warnings;
use crate::progress::{Level, Reporter};

/// Bring removed archives back.
///
/// That works as long as `gabion compact` has not given their room back. An archive that comes back has a new id.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion repo-list --deleted\n  gabion undelete home")]
pub struct Args {
    /// The archive: its name (the newest that was removed), name@N or aid:HEX
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// List the archives that come back
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    filter: ArchiveFilter,
}

/// Brings the archives back.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let repository = context.open()?;
    let reporter = context.reporter(context.settings())?;
    let removals = removals(&repository, &reporter)?;
    let gone = match args.name.as_deref() {
        // whoever has an id from somewhere shall find it
        Some(name) if name.starts_with("aid:") => all(&removals),
        _ => catalog(&repository, &removals)?,
    };
    let archives = named_or_selected(context, gone, args.name.as_deref(), &args.filter)?;
    if args.list {
        list(context, &archives)?;
    }
    if args.dry_run {
        return Ok(reporter.warnings());
    }
    for archive in &archives {
        let Some(removal) = removals.iter().find(|removal| removal.archive == archive.id) else { continue };
        let id = restore(&repository, removal, &SystemClock, &reporter)?.id;
        reporter.log(Level::Info, None, &format!("Archive `{}` is back as {id}", archive.record.name));
    }
    Ok(reporter.warnings())
}

/// All removals; what can not be read is a warning.
pub fn removals(repository: &Repository, reporter: &Reporter) -> Result<Vec<RemovalRecord>> {
    let mut removals = Vec::new();
    for name in repository.removals()? {
        match RemovalRecord::load(repository, &name) {
            Ok(removal) => removals.push(removal),
            Err(error) => {
                let path = format!("removal of archive {}", name.archive);
                let warning = Warning::Repository;
                reporter.event(&Event::Warning { warning, path: path.as_bytes(), error: &error });
            }
        }
    }
    Ok(removals)
}

/// The removed archives, as far as they can come back; each once. Those that came back already are not gone, and neither
/// are those that go on under another name or with other tags.
pub fn catalog(repository: &Repository, removals: &[RemovalRecord]) -> Result<Catalog> {
    let live = Catalog::load(repository)?.archives;
    let successors: HashSet<(ChunkId, Timestamp)> = live.iter().map(|archive| tree(&archive.record)).collect();
    let mut known: HashSet<Vec<u8>> = live.into_iter().filter_map(|archive| identity(archive.record)).collect();
    let goes_on = |removal: &RemovalRecord| {
        let succeeded = removal.record.as_ref().is_some_and(|record| successors.contains(&tree(record)));
        succeeded && matches!(&*removal.reason, "rename" | "tag")
    };
    let mut gone = all(removals.iter().filter(|removal| !goes_on(removal)));
    gone.archives.retain(|archive| identity(archive.record.clone()).is_none_or(|identity| known.insert(identity)));
    Ok(gone)
}

/// The archives of removals, as far as these tell.
fn all<'a>(removals: impl IntoIterator<Item = &'a RemovalRecord>) -> Catalog {
    let archive = |removal: &RemovalRecord| Some(Archive { id: removal.archive, record: removal.record.clone()? });
    let mut archives: Vec<Archive> = removals.into_iter().filter_map(archive).collect();
    archives.sort_by_key(|archive| (archive.record.start, archive.id));
    Catalog { archives, ..Catalog::default() }
}

/// What an archive has in common with those that take its place under another name or with other tags.
fn tree(record: &ArchiveRecord) -> (ChunkId, Timestamp) {
    (record.root.root, record.start)
}

/// What an archive keeps when it comes back: everything but its place among those of the client that made it.
fn identity(record: ArchiveRecord) -> Option<Vec<u8>> {
    ArchiveRecord { client: None, ..record }.encode().ok()
}
