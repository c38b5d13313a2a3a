//! Servers that are programs of others.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::BUCKET;
use crate::all_required;

/// How long a server may take until it can be reached.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server. It is killed when dropped, with all processes it began.
#[derive(Debug)]
pub struct Program {
    /// The leader of a group of processes; `None` after it was killed.
    child: Option<Child>,
    /// Where it listens on the loopback.
    pub port: u16,
}

impl Program {
    /// Starts a program that listens on the port it is given; `None`, with a word about it, if it is not installed.
    ///
    /// # Panics
    /// If it is required and missing, or can not be reached within a minute.
    pub fn start(name: &str, arguments: impl FnOnce(&mut Command, u16)) -> Option<Self> {
        let port = free_port();
        Self::start_at(name, port, arguments)
    }

    /// Starts a program on a port that is known to be free, such as that of one that was killed.
    ///
    /// # Panics
    /// As [`Program::start`].
    pub fn start_at(name: &str, port: u16, arguments: impl FnOnce(&mut Command, u16)) -> Option<Self> {
        let mut command = Command::new(name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Some programs only run the server.
        command.process_group(0);
        arguments(&mut command, port);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                assert!(!all_required(), "{name} is required: {error}");
                eprintln!("skipped: {name} is not installed");
                return None;
            }
        };
        let mut program = Self { child: Some(child), port };
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(!program.has_ended(), "{name} ended at once");
            assert!(Instant::now() < deadline, "{name} can not be reached");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(program)
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Kills it without a warning.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // All may have ended by themselves.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port nobody listens on at this moment.
pub fn free_port() -> u16 {
    #[expect(clippy::unwrap_used, reason = "a machine without a free port runs no tests")]
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}

/// A Redis server that keeps nothing on disk.
pub fn redis(directory: &Path) -> Option<Program> {
    redis_at(directory, free_port(), &["--appendonly", "no"])
}

/// A Redis server on a port that is known to be free, which keeps its files in the directory, if any.
pub fn redis_at(directory: &Path, port: u16, keeping: &[&str]) -> Option<Program> {
    Program::start_at("redis-server", port, |command, port| {
        command.args(["--bind", "127.0.0.1", "--save", ""]).args(keeping);
        command.arg("--port").arg(port.to_string()).arg("--dir").arg(directory);
    })
}

/// An S3 server with one bucket that keeps everything in memory, the second opinion beside [`super::S3Server`].
///
/// # Panics
/// If the bucket can not be made.
pub fn moto() -> Option<Program> {
    let server = Program::start("moto_server", |command, port| {
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    })?;
    put(&format!("http://127.0.0.1:{}/{BUCKET}", server.port));
    Some(server)
}

/// The location of a repository in the bucket of [`moto`] as Google's interface reaches it, which speaks the language of
/// S3 and takes any token.
pub fn google_url(port: u16, prefix: &str) -> String {
    format!("gs://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{port}&list-staleness=0")
}

/// Makes what a URL names.
#[expect(clippy::unwrap_used, reason = "a server that can not be set up is a failed test")]
pub(super) fn put(url: &str) {
    let made = Command::new("curl").args(["-sf", "-X", "PUT", "-H", "content-length: 0", url]).status();
    assert!(made.unwrap().success(), "{url} can not be made");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_began_ends_with_it() {
        let serve = "python3 -m http.server --bind 127.0.0.1";
        let Some(mut server) = Program::start("sh", |command, port| {
            command.arg("-c").arg(format!("{serve} {port}; exit"));
        }) else {
            return;
        };
        server.kill();
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(("127.0.0.1", server.port)).is_ok() {
            assert!(Instant::now() < deadline, "it goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
