//! The user's own `ssh`, with its configuration, agent, jump hosts and questions.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use super::target::Target;

/// How the other side is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshCommand {
    /// The program and its arguments, such as `ssh -i key`.
    pub program: Vec<OsString>,
    /// What is called over there; the shell over there reads it.
    pub remote_program: String,
}

impl Default for SshCommand {
    /// `ssh` and `gabion`, both found in the search path.
    fn default() -> Self {
        Self { program: vec!["ssh".into()], remote_program: "gabion".to_owned() }
    }
}

/// Starts what follows with SIGINT ignored: Ctrl-C is meant for us, who still have something to store.
const WITHOUT_INTERRUPTION: &str = r#"trap "" INT; exec "$@""#;

impl SshCommand {
    /// Starts `gabion serve` over there.
    pub(crate) fn serve(&self, target: &Target) -> Command {
        let mut command = self.command(target, &[]);
        command.arg(format!("{} serve", self.remote_program));
        command
    }

    /// Starts the subsystem `sftp` over there.
    #[cfg(feature = "sftp")]
    pub(crate) fn sftp(&self, target: &Target) -> Command {
        let mut command = self.command(target, &["-s"]);
        command.arg("sftp");
        command
    }

    /// What ssh says goes to the user.
    fn command(&self, target: &Target, options: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", WITHOUT_INTERRUPTION, "sh"]).args(&self.program);
        if let Some(port) = target.port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(options).arg(target.destination());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command
    }
}
