//! `gabion list`

use anyhow::{Context as _, Result};
use gabion_core::archive::catalog::Catalog;
use gabion_core::monitor::Silent;
use gabion_core::ops::list::list;
use gabion_core::pattern::Matcher;

use crate::context::Context;
use crate::exit_code::Warnings;

/// List the files of an archive
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the archive
    name: String,
}

/// Lists.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let repository = context.open()?;
    let catalog = Catalog::load(&repository)?;
    let archive = catalog.series(&args.name).next_back().context("archive does not exist")?;
    let reader = repository.session()?.reader();
    list(&reader, &archive.record, &Matcher::default(), &Silent::new(), &mut |item| {
        println!("{}", String::from_utf8_lossy(&item.path));
        Ok(())
    })?;
    Ok(Warnings::default())
}
