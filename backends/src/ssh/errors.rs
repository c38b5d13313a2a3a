//! Errors on their way from a server to its client: kinds as numbers, facts by name.

use gabion_core::error::{Error, ErrorKind};

/// Kinds a store can tell, by their numbers. Numbers are never given anew.
const KINDS: [(u8, ErrorKind); 15] = [
    (1, ErrorKind::NotFound),
    (2, ErrorKind::AlreadyExists),
    (3, ErrorKind::PermissionDenied),
    (4, ErrorKind::NoSpace),
    (5, ErrorKind::Io),
    (6, ErrorKind::Connection),
    (7, ErrorKind::TimedOut),
    (8, ErrorKind::Damaged),
    (9, ErrorKind::Unsupported),
    (10, ErrorKind::InvalidInput),
    (11, ErrorKind::LimitExceeded),
    (12, ErrorKind::RepositoryNotFound),
    (13, ErrorKind::RepositoryExists),
    (14, ErrorKind::NotARepository),
    (15, ErrorKind::System),
];

/// Facts that may travel. Of others only the value is told, as a cause.
const FACTS: [&str; 12] = [
    "reason",
    "path",
    "folder",
    "found",
    "bytes",
    "limit",
    "quota",
    "used",
    "permissions",
    REFUSED_PATH,
    CLIENT_SENT,
    CAUSE,
];
const CAUSE: &str = "cause";
/// The fact that tells a path which the server does not serve.
pub const REFUSED_PATH: &str = "path not allowed";
/// The fact that tells what a client sent against the protocol.
pub const CLIENT_SENT: &str = "client sent";
/// The fact that tells what a server sent against the protocol.
pub const SERVER_SENT: &str = "server sent";
/// The fact that tells which versions of the protocol a server speaks, if the client speaks none of them.
pub const SERVER_SPEAKS: &str = "server speaks";

/// The number of a kind; of one that no store tells, that of `System`.
pub fn number(kind: ErrorKind) -> u8 {
    KINDS.iter().find(|(_, known)| *known == kind).map_or(15, |(number, _)| *number)
}

/// The kind of a number, if it is known.
pub fn kind(number: u8) -> Option<ErrorKind> {
    KINDS.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind)
}

/// The name of a fact, if it may travel.
pub fn known_fact(name: &str) -> Option<&'static str> {
    FACTS.into_iter().find(|known| *known == name)
}

/// What an error has to tell, by name. The client knows the object it asked for.
pub fn facts(error: &Error) -> Vec<(&'static str, String)> {
    let told = |name| Some((name, error.context(name)?.to_owned()));
    let mut facts: Vec<_> = FACTS.into_iter().filter_map(told).collect();
    let source = std::error::Error::source(error);
    facts.extend(source.map(|source| (CAUSE, source.to_string())));
    facts
}
