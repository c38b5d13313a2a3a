//! Programs this program runs and waits for.

use std::process::{Child, ExitStatus};
use std::time::Duration;

use anyhow::Result;
use gabion_core::monitor::Monitor as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::progress::Reporter;

/// How often a running command is looked after.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits for the command; a signal that asks this program to stop is handed on, once.
pub fn wait(mut child: Child, reporter: &Reporter) -> Result<ExitStatus> {
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if reporter.interrupted() && !told {
            told = true;
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            // one that has ended meanwhile needs no signal
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        }
        std::thread::sleep(INTERVAL);
    }
}

/// What a command returned, or 128 and the signal that ended it.
pub fn return_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
