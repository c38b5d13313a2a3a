//! The program `gabion`: reads the command line, runs one command, and turns
//! what happened into an exit code.

mod args;
mod commands;
mod context;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use context::Context;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = Context::new(cli.common);
    let done = match cli.command {
        Command::RepoCreate(args) => commands::repo_create::run(&context, &args),
        Command::RepoList(args) => commands::repo_list::run(&context, &args),
        Command::Create(args) => commands::create::run(&context, &args),
        Command::Extract(args) => commands::extract::run(&context, &args),
        Command::List(args) => commands::list::run(&context, &args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gabion: {error:#}");
            ExitCode::from(2)
        }
    }
}
//! The gabion program.
#![allow(dead_code, reason = "commands are wired in the next commit")]

mod date;
mod directories;
mod environment;
mod exit_code;
mod hints;
mod output;
mod passphrase;
mod placeholders;
mod progress;
mod select;
mod signals;
mod timespan;
mod words;

fn main() {}
