//! Why there is no connection: told to everybody who waits for it.

use std::process::ExitStatus;
use std::time::Duration;

use gabion_core::backend::ObjectName;
use gabion_core::error::{Error, ErrorKind, Retry};

use super::errors::{SERVER_SENT, SERVER_SPEAKS, facts};
use super::{CONNECT, Target};

/// The reason, which several calls get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    kind: ErrorKind,
    temporary: bool,
    facts: Vec<(&'static str, String)>,
    status: Option<String>,
}

impl Loss {
    /// It was closed.
    pub fn closed(why: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Connection, temporary: true, facts: vec![("reason", why.into())], status: None }
    }

    /// The server could not be started at all.
    pub fn not_started(why: impl Into<String>) -> Self {
        Self { temporary: false, ..Self::closed(why) }
    }

    /// The server sent what is no answer.
    pub fn garbage(what: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Connection, temporary: true, facts: vec![(SERVER_SENT, what.into())], status: None }
    }

    /// Another attempt will not help.
    pub fn for_good(self) -> Self {
        Self { temporary: false, ..self }
    }

    /// The server speaks no version of the protocol that is known here; the newest it knows is told.
    pub fn version(newest: u16) -> Self {
        let facts = vec![(SERVER_SPEAKS, format!("version {newest} of the protocol at most"))];
        Self { kind: ErrorKind::Unsupported, temporary: false, facts, status: None }
    }

    /// The server was silent for so long.
    pub fn silent(time: Duration) -> Self {
        let facts = vec![("reason", format!("no sign of life for {} seconds", time.as_secs()))];
        Self { kind: ErrorKind::TimedOut, temporary: true, facts, status: None }
    }

    /// The server was reached, and opens nothing.
    pub fn refused(error: &Error) -> Self {
        let temporary = error.retry() == Retry::Temporary;
        Self { kind: error.kind(), temporary, facts: facts(error), status: None }
    }

    /// The child ended like this. A shell that knows no such command ends with 127.
    pub fn after(self, status: ExitStatus) -> Self {
        let temporary = self.temporary && !matches!(status.code(), Some(126 | 127));
        match status.success() {
            true => self,
            false => Self { temporary, status: Some(status.to_string()), ..self },
        }
    }

    /// The error of an attempt to connect.
    pub fn of_host(&self, target: &Target) -> Error {
        self.error(CONNECT, None).with("host", target.destination())
    }

    /// The error of a call.
    pub fn error(&self, operation: &'static str, name: Option<&ObjectName>) -> Error {
        let mut error = Error::new(self.kind, operation);
        if let Some(name) = name {
            error = error.with("object", name);
        }
        for (name, fact) in &self.facts {
            error = error.with(name, fact);
        }
        if let Some(status) = &self.status {
            error = error.with("ssh ended with", status);
        }
        if self.temporary { error.temporary() } else { error }
    }
}
