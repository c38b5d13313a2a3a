//! The one error type of the engine.
//!
//! An error says *what kind* of thing went wrong, whether trying again may help,
//! which operation failed and on what. It carries facts, never advice: hints are
//! the business of whoever talks to a person. `Display` is one line, `Debug` a
//! report with every source.

use std::error::Error as StdError;
use std::fmt;

/// Shorthand for results of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something that was named does not exist.
    NotFound,
    /// Something exists that must not.
    AlreadyExists,
    /// The store or the operating system refuses access.
    PermissionDenied,
    /// The store, or the place of a restored file, has no room left.
    NoSpace,
    /// The operating system reports a failed read or write.
    Io,
    /// The connection to a store was lost.
    Connection,
    /// The store did not answer in time.
    TimedOut,
    /// So many stores of a set are missing that it can not be done.
    StoreMissing,
    /// Stored bytes are not what was written.
    Damaged,
    /// A format, feature, or capability this version does not have.
    Unsupported,
    /// An argument makes no sense.
    InvalidInput,
    /// A length or count exceeds a limit of the format.
    LimitExceeded,
    /// There is no repository at this place.
    RepositoryNotFound,
    /// There is a repository at this place already.
    RepositoryExists,
    /// Another repository than the client met at this place before.
    RepositoryReplaced,
    /// A repository without encryption, where the client does not expect one.
    RepositoryUnencrypted,
    /// A repository without encryption that the client met at another place before.
    RepositoryMoved,
    /// A repository whose encryption is not the one it had before, which no repository does.
    EncryptionChanged,
    /// A repository lacks, or has twice, what there was before.
    History,
    /// The place holds something, but no repository of this program.
    NotARepository,
    /// No key slot opens with this passphrase.
    PassphraseWrong,
    /// There is no key slot to open.
    KeyNotFound,
    /// A key file or exported key that can not be used.
    KeyInvalid,
    /// No archive has this name or id.
    ArchiveNotFound,
    /// More than one archive fits where one is needed.
    ArchiveAmbiguous,
    /// A pattern can not be understood.
    PatternInvalid,
    /// The user asked to stop.
    Interrupted,
    /// Somebody asked to be left alone with the repository for a while.
    Locked,
    /// A collector deleted what this session relied on. A new session would look it up again.
    Overtaken,
    /// An earlier write of this session failed; it accepts no more.
    Poisoned,
    /// A source file changed or vanished while it was read.
    SourceChanged,
    /// A random source or another service of the system failed.
    System,
}

impl ErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "exists already",
            Self::PermissionDenied => "permission denied",
            Self::NoSpace => "no space left",
            Self::Io => "input/output error",
            Self::Connection => "connection lost",
            Self::TimedOut => "timed out",
            Self::StoreMissing => "too few stores are there",
            Self::Damaged => "damaged data",
            Self::Unsupported => "not supported",
            Self::InvalidInput => "invalid input",
            Self::LimitExceeded => "limit exceeded",
            Self::RepositoryNotFound => "repository does not exist",
            Self::RepositoryExists => "a repository exists there already",
            Self::RepositoryReplaced => "another repository than before",
            Self::RepositoryUnencrypted => "the repository is not encrypted",
            Self::RepositoryMoved => "the repository is at another place than before",
            Self::EncryptionChanged => "the encryption of the repository changed",
            Self::History => "the repository is not what it was",
            Self::NotARepository => "not a Gabion repository",
            Self::PassphraseWrong => "passphrase is wrong",
            Self::KeyNotFound => "no key found",
            Self::KeyInvalid => "unusable key",
            Self::ArchiveNotFound => "archive does not exist",
            Self::ArchiveAmbiguous => "more than one archive fits",
            Self::PatternInvalid => "invalid pattern",
            Self::Interrupted => "interrupted",
            Self::Locked => "somebody else is at work",
            Self::Overtaken => "overtaken by a collector",
            Self::Poisoned => "an earlier write failed",
            Self::SourceChanged => "source changed while it was read",
            Self::System => "the system failed",
        }
    }
}

/// Whether the same call may succeed when it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Repeating will not help.
    Permanent,
    /// Repeating the identical call may help.
    Temporary,
}

/// An error of the engine or of a backend.
pub struct Error(Box<Report>);

struct Report {
    kind: ErrorKind,
    retry: Retry,
    operation: &'static str,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A permanent error of `kind` while doing `operation` (a verb and its object,
    /// such as `"get object"`).
    pub fn new(kind: ErrorKind, operation: &'static str) -> Self {
        Self(Box::new(Report { kind, retry: Retry::Permanent, operation, context: Vec::new(), source: None }))
    }

    /// Classifies an error of the operating system.
    pub fn from_io(operation: &'static str, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, retry) = match source.kind() {
            Io::NotFound => (ErrorKind::NotFound, Retry::Permanent),
            Io::AlreadyExists => (ErrorKind::AlreadyExists, Retry::Permanent),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => (ErrorKind::PermissionDenied, Retry::Permanent),
            Io::StorageFull | Io::QuotaExceeded => (ErrorKind::NoSpace, Retry::Permanent),
            Io::TimedOut => (ErrorKind::TimedOut, Retry::Temporary),
            Io::Interrupted => (ErrorKind::Io, Retry::Temporary),
            Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe => (ErrorKind::Connection, Retry::Temporary),
            _ => (ErrorKind::Io, Retry::Permanent),
        };
        let error = Self::new(kind, operation).because(source);
        if retry == Retry::Temporary { error.temporary() } else { error }
    }

    /// Shorthand for stored bytes that are not what was written: `what` is wrong.
    pub fn damaged(operation: &'static str, what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Damaged, operation).with("reason", what)
    }

    /// Adds one fact, such as the object concerned.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Marks the error as one that a repetition may cure.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.0.retry = Retry::Temporary;
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether repeating may help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// What was being done.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The fact named `name`, if it is known.
    pub fn context(&self, name: &str) -> Option<&str> {
        self.0.context.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}

/// The fact that tells which file of this machine an error is about, where that is no part of a repository.
pub const LOCAL_PATH: &str = "local path";

/// Whether an error says something about what is stored, and not about the moment or about who asks.
///
/// A refusal is one: who may only write is not given everything, and what the file system does not give may be a lasting
/// fault of one file.
pub fn is_finding(error: &Error) -> bool {
    use ErrorKind::{Connection, Interrupted, Overtaken, Poisoned, StoreMissing, System, TimedOut};
    let of_the_moment =
        matches!(error.kind(), Interrupted | System | Connection | TimedOut | StoreMissing | Poisoned | Overtaken);
    error.retry() == Retry::Permanent && !of_the_moment
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.kind.text())?;
        for (index, (name, value)) in self.0.context.iter().enumerate() {
            write!(f, "{}{name}: {value}", if index == 0 { " (" } else { ", " })?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("retry", &self.0.retry)
            .field("operation", &self.0.operation)
            .field("context", &self.0.context)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_operation_kind_facts_and_cause() {
        let error = Error::new(ErrorKind::Damaged, "read segment")
            .with("object", "segments/ab")
            .with("offset", 72)
            .because(std::io::Error::other("tag mismatch"));
        assert_eq!(error.to_string(), "read segment: damaged data (object: segments/ab, offset: 72): tag mismatch");
        assert_eq!(error.context("offset"), Some("72"));
        assert_eq!(error.retry(), Retry::Permanent);
    }

    #[test]
    fn only_what_is_stored_is_a_finding() {
        use ErrorKind::{Connection, Interrupted, Overtaken, Poisoned, StoreMissing, System, TimedOut};
        for kind in [Connection, Interrupted, Overtaken, Poisoned, StoreMissing, System, TimedOut] {
            assert!(!is_finding(&Error::new(kind, "get object")), "{kind:?}");
        }
        for kind in [ErrorKind::Damaged, ErrorKind::Io, ErrorKind::NotFound, ErrorKind::PermissionDenied] {
            assert!(is_finding(&Error::new(kind, "get object")), "{kind:?}");
            assert!(!is_finding(&Error::new(kind, "get object").temporary()), "{kind:?}");
        }
    }

    #[test]
    fn operating_system_errors_keep_their_meaning() {
        let full = Error::from_io("put object", std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!((full.kind(), full.retry()), (ErrorKind::NoSpace, Retry::Permanent));
        let slow = Error::from_io("put object", std::io::Error::from(std::io::ErrorKind::TimedOut));
        assert_eq!((slow.kind(), slow.retry()), (ErrorKind::TimedOut, Retry::Temporary));
    }
}
