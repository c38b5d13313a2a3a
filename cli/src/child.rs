//! Programs this program runs and waits for.

use std::process::{Child, ExitStatus};
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};

use crate::progress::Reporter;

/// How often a running command is looked after.
const INTERVAL: Duration = Duration::from_millis(50);

/// What ends a program politely, and may have been sent to this process alone. A SIGINT comes from a terminal, which sends
/// it to all of them: a second one would keep them from ending in order.
const HANDED_ON: Signal = Signal::TERM;

/// Waits for the command; a SIGTERM is handed on, once, unless it is `told` already.
pub fn wait(mut child: Child, reporter: &Reporter, mut told: bool) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if !told && reporter.signal().is_some_and(|number| i32::from(number) == HANDED_ON.as_raw()) {
            told = true;
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            // one that has ended meanwhile needs no signal
            let _ = pid.map(|pid| kill_process(pid, HANDED_ON));
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
