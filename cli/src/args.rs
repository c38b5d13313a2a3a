//! What was typed: the command line as clap reads it.

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// Deduplicating, compressing, encrypting backups.
#[derive(Debug, Parser)]
#[command(name = "gabion", version, propagate_version = false, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes, before or after its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Repository: a path or URL [env: GABION_REPO]
    #[arg(short, long, global = true, value_name = "URL")]
    pub repo: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new repository
    RepoCreate(commands::repo_create::Args),
    /// List the archives of a repository
    RepoList(commands::repo_list::Args),
    /// Back up files into a new archive
    Create(commands::create::Args),
    /// Restore files from an archive
    Extract(commands::extract::Args),
    /// List the files of an archive
    List(commands::list::Args),
}
