//! `gabion create`

use std::path::PathBuf;

use anyhow::Result;
use gabion_backends::Access;
use gabion_core::clock::SystemClock;
use gabion_core::crypto::aead::Suite;
use gabion_core::error::ErrorKind;
use gabion_core::monitor::Silent;
use gabion_core::ops::create::{CreateOptions, Input, Plan, Wanted, create};

use crate::context::Context;
use crate::exit_code::Warnings;

/// Back up files into a new archive
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make the repository if it is missing
    #[arg(long)]
    init: bool,
    /// Compression, such as lz4 or zstd,3
    #[arg(short = 'C', long, value_name = "SPEC")]
    compression: Option<String>,
    /// Name of the archive
    name: String,
    /// What to back up
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// Makes the archive.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let repository = match context.open() {
        Err(error) if args.init && is_missing(&error) => {
            super::repo_create::make(context, context.store(Access::Create)?, Suite::fastest())?
        }
        other => other?,
    };
    let mut options = CreateOptions { name: args.name.clone(), ..CreateOptions::default() };
    if let Some(spec) = &args.compression {
        options.writer.compression = spec.parse()?;
    }
    let plan = Plan::new(args.paths.iter().map(PathBuf::as_path), Wanted::All);
    create(&repository, Input::Files(&plan), &options, &SystemClock, &Silent::new())?;
    Ok(Warnings::default())
}

fn is_missing(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<gabion_core::error::Error>().map(gabion_core::error::Error::kind);
    kind == Some(ErrorKind::RepositoryNotFound)
}
