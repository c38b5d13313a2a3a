//! `gabion with-lock` and `gabion break-lock`

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context as _, Result};
use gabion_core::clock::SystemClock;
use gabion_core::codec::Extensions;
use gabion_core::gc::LeaseRecord;
use gabion_core::ops::lease::take_lease;

use crate::child::{return_code, wait};
use crate::context::Context;
use crate::exit_code::{Code, Failure, Warnings};
use crate::progress::Level;

/// Bytes of a command that are told to others.
const PURPOSE_BYTES_MAX: usize = 200;

/// Run a command while `compact` deletes no data from the repository.
///
/// For programs that copy a repository with other means. Backups may go on at the same time. If `compact` is running, this
/// waits for it (see --lock-wait). The return code is that of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gabion -r /srv/repo with-lock rsync -a /srv/repo/ /mnt/copy/")]
pub struct WithLock {
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Let `compact` go on where a program died that kept it away.
///
/// Use it when no `with-lock` is running any more. No archive depends on it: a lease is a wish, not a protection.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gabion -r /srv/repo break-lock")]
pub struct BreakLock {}

/// Runs the command under a lease.
pub fn run(context: &Context, args: &WithLock) -> Result<Warnings> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::command("which command?").into());
    };
    let repository = context.open()?;
    let reporter = context.reporter(context.settings())?;
    let lease = LeaseRecord {
        host: context.placeholders.hostname.clone(),
        user: context.placeholders.user.clone(),
        process: u64::from(std::process::id()),
        purpose: purpose(&args.command),
        since: context.now(),
        extensions: Extensions::none(),
    };
    let id = take_lease(&repository, &lease, context.lock_wait()?, &SystemClock, &reporter)?;
    let ended = Command::new(program)
        .args(arguments)
        .spawn()
        .with_context(|| format!("can not run `{}`", program.to_string_lossy().escape_debug()))
        .and_then(|child| wait(child, &reporter, false));
    // however the command ended
    repository.end_lease(&id)?;
    let rc = return_code(ended?);
    let mut warnings = reporter.warnings();
    if rc != 0 {
        warnings.add(Code { rc, msgid: "CommandFailed" });
    }
    Ok(warnings)
}

fn purpose(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    let mut text: String = words.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    while text.len() > PURPOSE_BYTES_MAX {
        text.pop();
    }
    text
}

/// Ends all leases.
pub fn break_lock(context: &Context, _args: &BreakLock) -> Result<Warnings> {
    let repository = context.open()?;
    let reporter = context.reporter(context.settings())?;
    for (id, lease) in repository.leases()? {
        repository.end_lease(&id)?;
        let whose = match lease {
            Ok(lease) => format!("{}@{}, process {}: {}", lease.user, lease.host, lease.process, lease.purpose),
            Err(error) => error.to_string(),
        };
        reporter.log(Level::Info, None, &format!("Ended the lease {id} of {whose}"));
    }
    Ok(reporter.warnings())
}
