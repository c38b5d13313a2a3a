//! `gabion benchmark`: how fast this machine is, and a repository of it.

mod cpu;
mod crud;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;
use crate::exit_code::Warnings;

/// Measure how fast this machine is
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gabion benchmark cpu\n  gabion benchmark crud /var/tmp")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Cpu(cpu::Args),
    Crud(crud::Args),
}

/// Measures.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    match &args.command {
        Command::Cpu(args) => cpu::run(args),
        Command::Crud(args) => crud::run(context, args),
    }
}
