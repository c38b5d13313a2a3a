//! `gabion repo-list`

use anyhow::Result;
use gabion_core::archive::catalog::Catalog;

use crate::context::Context;
use crate::exit_code::Warnings;

/// List the archives of a repository
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Lists the archives.
pub fn run(context: &Context, _args: &Args) -> Result<Warnings> {
    for archive in Catalog::load(&context.open()?)?.archives {
        println!("{:<36} {} [{}]", archive.record.name, archive.record.start.seconds, archive.id);
    }
    Ok(Warnings::default())
}
