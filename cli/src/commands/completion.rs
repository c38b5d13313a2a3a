//! `gabion completion`

use std::io::Write as _;

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit_code::Warnings;
use crate::output::sink::Sink;

/// Print a script that lets a shell complete commands and options
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion completion bash > /etc/bash_completion.d/gabion\n  gabion completion zsh > /usr/local/share/zsh/site-functions/_gabion\n  gabion completion fish > ~/.config/fish/completions/gabion.fish"
)]
pub struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> Result<Warnings> {
    // into memory first: the generator has no way to say that nobody reads any more
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gabion", &mut script);
    let mut out = Sink::new();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Warnings::default())
}
