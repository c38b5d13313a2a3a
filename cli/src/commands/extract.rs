//! `gabion extract`

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use gabion_core::archive::catalog::Catalog;
use gabion_core::fs::restore::RestoreOptions;
use gabion_core::fs::users::Users;
use gabion_core::monitor::Silent;
use gabion_core::ops::extract::{ExtractOptions, extract};
use gabion_core::pattern::Matcher;

use crate::context::Context;
use crate::exit_code::Warnings;

/// Restore files from an archive
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to restore to
    #[arg(long, value_name = "DIR", default_value = ".")]
    target: PathBuf,
    /// Name of the archive
    name: String,
}

/// Restores.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let repository = context.open()?;
    let catalog = Catalog::load(&repository)?;
    let archive = catalog.series(&args.name).next_back().context("archive does not exist")?;
    let options = ExtractOptions {
        matcher: Matcher::default(),
        strip_components: 0,
        sparse: false,
        restore: RestoreOptions::all(Users::system()),
        workers: std::thread::available_parallelism().map_or(1, usize::from),
    };
    extract(&repository.session()?.reader(), &archive.record, &args.target, &options, &Silent::new())?;
    Ok(Warnings::default())
}
