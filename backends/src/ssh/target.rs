//! What stands behind `ssh:` and `sftp:`.

use std::fmt;
use std::time::Duration;

use gabion_core::error::Result;

use super::protocol::RemotePath;
use crate::url::{Url, encoded, invalid};

/// A directory on another machine: `//[user@]host[:port]/path`, where `/./path` and `/~/path` are relative to the home
/// directory over there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Who logs in; the configuration of ssh decides if `None`.
    pub user: Option<String>,
    /// The machine, or its name in the configuration of ssh.
    pub host: String,
    /// The port; the configuration of ssh decides if `None`.
    pub port: Option<u16>,
    /// Whether the path is relative to the home directory.
    pub in_home: bool,
    /// The path.
    pub path: String,
    /// How old a list may be, if the user knows better than the program: `?list-staleness=SECONDS`.
    pub list_staleness: Option<Duration>,
}

impl Target {
    /// Understands what stands behind `scheme:`.
    ///
    /// # Errors
    /// `InvalidInput` for what is no such URL, what would be an option of ssh, and passwords.
    pub fn parse(rest: &str) -> Result<Self> {
        let Url { user, password, host, port, path, mut parameters } = Url::parse(rest)?;
        let list_staleness =
            parameters.take_as::<u32>("list-staleness")?.map(|seconds| Duration::from_secs(seconds.into()));
        parameters.finish()?;
        if password.is_some() {
            return Err(invalid("ssh asks for passwords itself: a URL is no place for one"));
        }
        if !is_harmless(&host) || host.contains(['@', '/']) {
            return Err(invalid("the name of the host makes no sense"));
        }
        if user.as_deref().is_some_and(|user| !is_harmless(user)) {
            return Err(invalid("the name of the user makes no sense"));
        }
        let (in_home, path) = match path.strip_prefix("/./").or_else(|| path.strip_prefix("/~/")) {
            Some(relative) => (true, relative.trim_start_matches('/').to_owned()),
            None if path == "/~" || path == "/." => (true, String::new()),
            None if path.starts_with("/~") => {
                return Err(invalid("homes of others are not known here: write the whole path"));
            }
            None => (false, path),
        };
        if path.is_empty() {
            return Err(invalid("the path of the repository is missing"));
        }
        Ok(Self { user, host, port, in_home, path, list_staleness })
    }

    /// How ssh calls it: `user@host`.
    pub(crate) fn destination(&self) -> String {
        match &self.user {
            Some(user) => format!("{user}@{}", self.host),
            None => self.host.clone(),
        }
    }

    /// The path for a server.
    pub(crate) fn remote_path(&self) -> RemotePath {
        RemotePath { in_home: self.in_home, bytes: self.path.clone().into_bytes() }
    }
}

/// Nothing that ssh, or a shell that someone put in its place, takes for something else.
fn is_harmless(word: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\"'`$&;|<>(){}*?!#".contains(c);
    !word.is_empty() && !word.starts_with('-') && !word.contains(odd)
}

impl fmt::Display for Target {
    /// What stands behind `scheme:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("//")?;
        if let Some(user) = &self.user {
            write!(f, "{}@", encoded(user))?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&encoded(&self.host))?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}{}", if self.in_home { "/./" } else { "" }, encoded(&self.path))?;
        match self.list_staleness {
            Some(staleness) => write!(f, "?list-staleness={}", staleness.as_secs()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_and_come_back() {
        for (text, destination, port, in_home, path) in [
            ("//host/srv/backup", "host", None, false, "/srv/backup"),
            ("//me@host.example:2222/srv", "me@host.example", Some(2222), false, "/srv"),
            ("//host/./back%20up", "host", None, true, "back up"),
            ("//host/~/a/b", "host", None, true, "a/b"),
            ("//me@[fe80::1]:22/x", "me@fe80::1", Some(22), false, "/x"),
            ("//host//x", "host", None, false, "//x"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.destination().as_str(), target.port), (destination, port), "{text}");
            assert_eq!((target.in_home, target.path.as_str()), (in_home, path), "{text}");
            assert_eq!(Target::parse(&target.to_string()).unwrap(), target, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_or_would_be_an_option_is_refused() {
        for text in [
            "host/path",
            "//host",
            "//host/~",
            "//host/./",
            "///path",
            "//-oProxyCommand=x/path",
            "//-l@host/path",
            "//%2doProxyCommand=x/path",
            "//me:hunter2@host/path",
            "//ho%20st/path",
            "//a;b/path",
            "//host/~other/path",
            "//host/path?x=hunter2",
            "//host:0/path",
            "//a@b@host/path",
        ] {
            let error = Target::parse(text).map(|target| target.to_string());
            if text == "//a@b@host/path" {
                // Some user names hold an @.
                assert_eq!(error.unwrap(), "//a%40b@host/path");
                continue;
            }
            let error = error.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
