//! `gabion serve`

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Result;
use gabion_backends::Sharing;
use gabion_backends::ssh::{ServeOptions, serve};
use gabion_core::backend::Permissions;

use crate::context::Context;
use crate::exit_code::{Failure, Warnings};
use crate::output::units;

/// Give clients that log in by ssh access to repositories of this machine.
///
/// It talks to one client over its standard input and output, and ends with it. Clients start it by themselves; what one
/// of them may do is said where its key is, in `~/.ssh/authorized_keys`. Paths are compared after all symbolic links
/// were followed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, one line of ~/.ssh/authorized_keys:\n  command=\"gabion serve --restrict-to-path \
                        /srv/backup/laptop --permissions no-delete\",restrict ssh-ed25519 AAAA... laptop")]
pub struct Args {
    /// Serve only repositories in this directory or below it; several times
    #[arg(long, value_name = "PATH")]
    restrict_to_path: Vec<PathBuf>,
    /// Serve only this repository; several times
    #[arg(long, value_name = "PATH")]
    restrict_to_repository: Vec<PathBuf>,
    /// What the client may do: all, no-delete, write-only, read-only
    #[arg(long, value_name = "PERMISSIONS", default_value_t)]
    permissions: Permissions,
    /// How much a repository may hold, such as 500G or 2Ti
    #[arg(long, value_name = "BYTES", alias = "storage-quota")]
    quota: Option<String>,
}

/// Serves until the client is gone.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    if std::io::stdin().is_terminal() {
        let message = "serve talks to a client, not to a person: name a repository as ssh://host/path elsewhere";
        return Err(Failure::command(message).into());
    }
    let options = ServeOptions {
        restrict_to_paths: args.restrict_to_path.clone(),
        restrict_to_repositories: args.restrict_to_repository.clone(),
        permissions: args.permissions,
        quota: args.quota.as_deref().map(units::parse).transpose()?,
        sharing: Sharing::Umask,
        home: context.environment.path("HOME"),
        program: env!("PROGRAM_VERSION").to_owned(),
    };
    serve(std::io::stdin(), std::io::stdout(), &options)?;
    Ok(Warnings::default())
}
