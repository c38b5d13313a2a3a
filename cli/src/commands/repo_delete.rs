//! `gabion repo-delete`

use std::io::Write as _;

use anyhow::Result;
use gabion_backends::Access;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::id::RepositoryId;
use gabion_core::ops::delete::is_protected;
use gabion_core::ops::erase::{Extent, erase, extent};
use gabion_core::repository::{Client, ClosedRepository};

use super::delete::list;
use crate::context::Context;
use crate::exit_code::{Failure, Warnings};
use crate::output::sink::Sink;
use crate::progress::{Level, Settings, Work};
use crate::question::Question;

const VARIABLE: &str = "GABION_DELETE_I_KNOW_WHAT_I_AM_DOING";

/// Delete a repository with everything in it.
///
/// What it holds is shown and has to be confirmed, which needs its passphrase; with --force neither is asked. Other things that
/// lie in the same place stay. If this is interrupted, what is left is a repository with fewer archives: run it again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion repo-delete --list\n  GABION_DELETE_I_KNOW_WHAT_I_AM_DOING=YES gabion repo-delete"
)]
pub struct Args {
    /// Change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// List the archives
    #[arg(long)]
    list: bool,
    /// Ask nothing, and let nobody keep you from it
    #[arg(long, action = clap::ArgAction::Count)]
    force: u8,
    /// Delete only what this machine remembers of the repository
    #[arg(long)]
    cache_only: bool,
    /// Keep what this machine remembers of the repository
    #[arg(long)]
    keep_security_info: bool,
}

/// Deletes.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let closed = ClosedRepository::look(context.store(Access::Existing)?, context.client()?)?;
    let id = *closed.id();
    if args.cache_only {
        let reporter = context.reporter(context.settings())?;
        if !args.dry_run {
            forget(&context.client()?, &id)?;
        }
        return Ok(reporter.warnings());
    }
    let extent = extent(&closed)?;
    if args.force == 0 {
        args.show_and_ask(context, &closed, &extent)?;
    }
    let work = Work::Steps { msgid: "repository.delete", label: "Deleting" };
    let reporter = context.reporter(Settings { work, ..context.settings() })?;
    if args.dry_run {
        reporter.log(Level::Info, None, "Would delete the repository");
        return Ok(reporter.warnings());
    }
    if args.force == 0 && closed.is_leased()? {
        return Err(Error::new(ErrorKind::Locked, "delete repository").into());
    }
    erase(&closed, &reporter)?;
    reporter.finish();
    if !args.keep_security_info {
        forget(&context.client()?, &id)?;
    }
    reporter.log(Level::Info, None, &format!("Repository {id} deleted"));
    Ok(reporter.warnings())
}

impl Args {
    /// Shows what there is; unless this is a dry run, somebody must agree.
    fn show_and_ask(&self, context: &Context, closed: &ClosedRepository, extent: &Extent) -> Result<()> {
        let repository = context.open_in(closed.object_store().clone())?;
        let catalog = gabion_core::archive::catalog::Catalog::load(&repository)?;
        if self.list {
            list(context, &catalog.archives)?;
        }
        let protected = catalog.archives.iter().filter(|archive| is_protected(&archive.record)).count();
        let location = closed.object_store().location();
        let what = format!(
            "repository {location} (id {}): {} archives ({protected} protected), {}",
            closed.id(),
            extent.archives,
            context.units.format(extent.bytes)
        );
        if self.dry_run {
            let mut out = Sink::new();
            out.write_all(format!("Would delete {what}\n").as_bytes())?;
            return Ok(out.flush()?);
        }
        let message = format!(
            "You requested to DELETE the following repository completely, with all archives it contains:\n{what}\n\
             Type 'YES' if you understand this and want to continue: "
        );
        Ok(Question { message: &message, variable: VARIABLE }.ask(context)?)
    }
}

/// Removes what this machine remembers of the repository. Key files stay: they may be the only ones.
fn forget(client: &Client, id: &RepositoryId) -> Result<(), Failure> {
    let id = id.to_string();
    let failed = |error: Error| Failure::command(format!("can not forget the repository: {error}"));
    let names = client.state.list().map_err(failed)?;
    names.iter().filter(|name| name.contains(&id)).try_for_each(|name| client.state.remove(name).map_err(failed))
}
