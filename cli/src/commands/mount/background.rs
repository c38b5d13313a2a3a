//! A mount in the background: a process of its own, that tells this one when it is ready.
//!
//! It is started anew and not forked, so no thread of this process is lost in it. It shares the terminal until it is
//! ready, so it can ask for a passphrase and tell errors; what it returns, this process returns. Then it leaves the
//! session of the terminal, and nobody who waits for this process's output waits for it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::fs::{FileType, fstat};

use crate::exit_code::{self, Warnings};

/// What the process in the background says when it is ready.
const READY: &[u8] = b"ready";

/// Starts this command again in the background, and waits until it is ready. Does not return if that fails: then
/// everything was told.
pub fn start() -> Result<Warnings> {
    let mut words = std::env::args_os();
    // As it is called, so that it is found among the processes; by the kernel's own link if it was replaced since.
    let program = std::env::current_exe().ok().filter(|path| path.exists());
    let mut command = Command::new(program.unwrap_or_else(|| "/proc/self/exe".into()));
    if let Some(called) = words.next() {
        command.arg0(called);
    }
    command.args(words).env("GABION_MOUNT_READY", "1").stdout(Stdio::piped());
    let mut child = command.spawn().context("start a process in the background")?;
    let mut said = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(READY.len() as u64).read_to_end(&mut said).context("wait for the process in the background")?;
    }
    if said == READY {
        return Ok(Warnings::default());
    }
    let status = child.wait().context("wait for the process in the background")?;
    let signalled = status.signal().map(|signal| 128 + signal);
    std::process::exit(status.code().or(signalled).unwrap_or(exit_code::ERROR.rc.into()));
}

/// Tells the process that waits that this one is ready, and lets go of everything it shares with it.
pub fn detach() -> Result<()> {
    // Nobody may be waiting any more: then the mount ends with its unmounting, as any other.
    let _ = rustix::process::setsid();
    let nothing = File::options().read(true).write(true).open("/dev/null").context("open /dev/null")?;
    rustix::stdio::dup2_stdin(&nothing).context("detach from the terminal")?;
    if !is_file(&io::stderr()) {
        rustix::stdio::dup2_stderr(&nothing).context("detach from the terminal")?;
    }
    // Who started this in a directory can remove it.
    std::env::set_current_dir("/").context("detach from the directory")?;
    let mut output = io::stdout();
    let told = output.write_all(READY).and_then(|()| output.flush());
    rustix::stdio::dup2_stdout(&nothing).context("detach from the terminal")?;
    told.context("tell that the mount is ready")
}

/// A file can be written to for as long as the mount lives; a pipe or a terminal has somebody who waits for its end.
fn is_file(output: &io::Stderr) -> bool {
    fstat(output).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}
