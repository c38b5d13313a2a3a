//! What people write to say where a repository is: one variant per store, understood by a parser beside the store.
//!
//! A location that can not be understood is refused with facts that never repeat it as a whole, because it may
//! contain a password. Locations that hold other locations (`parity:`, `erasure:`) hand each of them to
//! [`Location::parse`] again. `@name` is a place that the program knows by a name; what it listens to is its own.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use gabion_core::error::{Error, ErrorKind, Result};

use crate::Variables;
use crate::erasure::{self, Split};
#[cfg(feature = "redb")]
use crate::kv::RedbLocation;
#[cfg(feature = "redis")]
use crate::kv::RedisLocation;
use crate::local;
#[cfg(feature = "s3")]
use crate::object_store::{ObjectStoreLocation, Service};
#[cfg(feature = "opendal")]
use crate::opendal::{self, OpendalLocation};
use crate::parity::{self, Percent};
use crate::ssh::Target;
use crate::url::invalid;

/// A place that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Where it is.
    pub location: Location,
    /// What its stores listen to, in place of what others do.
    pub variables: Variables,
}

/// Finds out what a name stands for: a location as people write it, and what its stores listen to.
pub type Names<'a> = dyn Fn(&str) -> Result<(String, Variables)> + 'a;

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A directory: `/path`, `some/path`, `file:///path`.
    Local(PathBuf),
    /// `memory:`, gone with the program.
    Memory,
    /// `parity:10%:URL`: parity in every object of a store.
    Parity(Percent, Box<Location>),
    /// `erasure:4+2:URL,URL,...`: objects spread over stores.
    Erasure(Split, Vec<Location>),
    /// `ssh://[user@]host[:port]/path`: a server over there.
    Ssh(Target),
    /// `sftp://[user@]host[:port]/path`.
    #[cfg(feature = "sftp")]
    Sftp(Target),
    /// A bucket: `s3://bucket/path`, `gs://bucket/path`, `az://container/path`.
    #[cfg(feature = "s3")]
    ObjectStore(Box<ObjectStoreLocation>),
    /// A database in one file: `redb:/path/file.redb`.
    #[cfg(feature = "redb")]
    Redb(RedbLocation),
    /// A Redis server: `redis://host/database`, `rediss://` with TLS.
    #[cfg(feature = "redis")]
    Redis(RedisLocation),
    /// A service that OpenDAL knows: `opendal+webdav://host/path`.
    #[cfg(feature = "opendal")]
    Opendal(Box<OpendalLocation>),
    /// `@name`: a place with a name.
    Named(Box<Named>),
}

/// How many names may lead to one another.
const NAMES_DEPTH_MAX: usize = 4;
/// Schemes of stores that are planned but not built.
const LATER: [&str; 4] = ["rest", "http", "https", "rclone"];
/// Schemes of stores that a program may be built without.
const OPTIONAL: [&str; 7] = ["sftp", "s3", "gs", "az", "redb", "redis", "rediss"];

impl Location {
    /// Understands a location.
    ///
    /// Anything with a `/` before its first colon, or without a colon, is a path. Errors: `Unsupported` for stores
    /// this version does not have, `InvalidInput` for everything that can not be understood; among that
    /// `host:path`, for which the fact `did you mean` tells the unambiguous spelling.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_with(text, &|_| Err(invalid("names of places mean nothing here")))
    }

    /// The directories and files of this machine that hold it, or a part of it.
    pub fn local_paths(&self) -> Vec<&Path> {
        match self {
            Self::Local(path) => vec![path],
            Self::Parity(_, inner) => inner.local_paths(),
            Self::Erasure(_, stores) => stores.iter().flat_map(Self::local_paths).collect(),
            Self::Named(named) => named.location.local_paths(),
            #[cfg(feature = "redb")]
            Self::Redb(RedbLocation(path)) => vec![path],
            _ => Vec::new(),
        }
    }

    /// As [`Location::parse`], with names: `@name` anywhere in it stands for what `names` knows by it.
    pub fn parse_with(text: &str, names: &Names<'_>) -> Result<Self> {
        Self::read(text, names, 0)
    }

    fn read(text: &str, names: &Names<'_>, depth: usize) -> Result<Self> {
        if let Some(name) = text.strip_prefix('@') {
            if depth >= NAMES_DEPTH_MAX {
                return Err(invalid("names lead to names, too deep or in a circle").with("name", name.escape_debug()));
            }
            let (text, variables) = names(name)?;
            return Ok(Self::Named(Box::new(Named { location: Self::read(&text, names, depth + 1)?, variables })));
        }
        if text.is_empty() {
            return Err(invalid("location is empty"));
        }
        if text.contains('\0') {
            return Err(invalid("location contains a NUL"));
        }
        match text.split_once(':') {
            Some((scheme, rest)) if !scheme.contains('/') => {
                let read = Self::with_scheme(scheme, rest, |text| Self::read(text, names, depth));
                read.map_err(|error| match meant(scheme, rest) {
                    Some(meant) => invalid("this is how another program writes it").with("did you mean", meant),
                    None => error,
                })
            }
            _ => Ok(Self::Local(text.into())),
        }
    }

    /// The location itself, whatever its name.
    pub fn unnamed(&self) -> &Self {
        match self {
            Self::Named(named) => named.location.unnamed(),
            own => own,
        }
    }

    /// How many sets of stores are stacked in it.
    pub(crate) fn sets(&self) -> u8 {
        match self {
            Self::Named(named) => named.location.sets(),
            Self::Parity(_, store) => store.sets(),
            Self::Erasure(_, stores) => stores.iter().map(Self::sets).max().unwrap_or(0).saturating_add(1),
            _ => 0,
        }
    }

    /// Whether the store is reached over a network, so that copies on this machine are worth their room.
    pub fn is_remote(&self) -> bool {
        match self {
            Self::Local(_) | Self::Memory => false,
            Self::Named(named) => named.location.is_remote(),
            Self::Parity(_, store) => store.is_remote(),
            Self::Erasure(_, stores) => stores.iter().any(Self::is_remote),
            Self::Ssh(_) => true,
            #[cfg(feature = "sftp")]
            Self::Sftp(_) => true,
            #[cfg(feature = "redb")]
            Self::Redb(_) => false,
            #[cfg(feature = "redis")]
            Self::Redis(_) => true,
            #[cfg(feature = "s3")]
            Self::ObjectStore(_) => true,
            #[cfg(feature = "opendal")]
            Self::Opendal(location) => location.is_remote(),
        }
    }

    fn with_scheme(scheme: &str, rest: &str, parse: impl Fn(&str) -> Result<Self>) -> Result<Self> {
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(invalid("memory: stands alone")),
            "file" => local::file_path(rest).map(Self::Local),
            "parity" => parity::location(rest, parse),
            "erasure" => erasure::location(rest, parse),
            "ssh" => Target::parse(rest).map(Self::Ssh),
            #[cfg(feature = "sftp")]
            "sftp" => Target::parse(rest).map(Self::Sftp),
            #[cfg(feature = "s3")]
            "s3" => bucket(Service::S3, rest),
            #[cfg(feature = "s3")]
            "gs" => bucket(Service::Google, rest),
            #[cfg(feature = "s3")]
            "az" => bucket(Service::Azure, rest),
            #[cfg(feature = "redb")]
            "redb" => RedbLocation::parse(rest).map(Self::Redb),
            #[cfg(feature = "redis")]
            "redis" | "rediss" => RedisLocation::parse(scheme == "rediss", rest).map(Self::Redis),
            #[cfg(feature = "opendal")]
            _ if scheme.starts_with(opendal::SCHEME) => {
                let service = &scheme[opendal::SCHEME.len()..];
                OpendalLocation::parse(service, rest).map(Box::new).map(Self::Opendal)
            }
            _ if OPTIONAL.contains(&scheme) || scheme.starts_with("opendal+") => {
                Err(not_there("this program was built without that store", scheme))
            }
            _ if LATER.contains(&scheme) => Err(not_there("this version does not have that store yet", scheme)),
            _ if rest.starts_with("//") => Err(invalid("unknown scheme").with("scheme", scheme.escape_debug())),
            host => Err(remote_path(host, rest)),
        }
    }
}

#[cfg(feature = "s3")]
fn bucket(service: Service, rest: &str) -> Result<Location> {
    ObjectStoreLocation::parse(service, rest).map(Box::new).map(Location::ObjectStore)
}

fn not_there(reason: &'static str, scheme: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "understand location").with("reason", reason).with("scheme", scheme)
}

/// How this program writes what restic, Borg 2 and others call a store.
fn meant(scheme: &str, rest: &str) -> Option<String> {
    let (name, path) = rest.split_once(':').unwrap_or_default();
    match scheme {
        "sftp" if !rest.starts_with("//") && !name.is_empty() && !path.contains('@') => {
            Some(format!("sftp://{name}{}{path}", if path.starts_with('/') { "" } else { "/./" }))
        }
        // An @ may stand behind a password, which is not repeated.
        _ if rest.contains('@') => None,
        "s3" if !rest.starts_with("//") => {
            let (transport, place) = rest.split_once("://").unwrap_or(("https", rest));
            let (server, bucket) = place.split_once('/')?;
            let is_amazon = server.ends_with("amazonaws.com");
            let endpoint = if is_amazon { String::new() } else { format!("?endpoint={transport}://{server}") };
            Some(format!("s3://{bucket}{endpoint}"))
        }
        "gs" | "azure" | "b2" if !name.is_empty() => {
            let (start, end) = match scheme {
                "gs" => ("gs", ""),
                "azure" => ("az", ""),
                _ => ("opendal+b2", "?bucket-id=ID"),
            };
            Some(format!("{start}://{name}/{}{end}", path.trim_start_matches('/')))
        }
        "webdav" | "dav" | "davs" if rest.starts_with("//") => Some(format!("opendal+webdav:{rest}")),
        _ => None,
    }
}

/// `host:path` is a file name to one program and a remote directory to the next, so it is neither here.
fn remote_path(host: &str, path: &str) -> Error {
    let error = invalid("neither a path nor a URL");
    // With an @ behind the colon, what stands before it may be `user:password`.
    if host.is_empty() || path.contains('@') {
        return error;
    }
    // A remote path that is not absolute is relative to the home directory, which a URL spells /./
    let start = if path.starts_with('/') { "" } else { "/./" };
    error.with("did you mean", format_args!("ssh://{host}{start}{path}"))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", String::from_utf8_lossy(path.as_os_str().as_bytes())),
            Self::Memory => f.write_str("memory:"),
            Self::Named(named) => named.location.fmt(f),
            Self::Parity(percent, store) => write!(f, "parity:{percent}:{store}"),
            Self::Erasure(split, stores) => {
                write!(f, "erasure:{split}:")?;
                stores.iter().enumerate().try_for_each(|(number, store)| {
                    let comma = if number == 0 { "" } else { "," };
                    write!(f, "{comma}{}", store.to_string().replace(',', "%2C"))
                })
            }
            Self::Ssh(target) => write!(f, "ssh:{target}"),
            #[cfg(feature = "sftp")]
            Self::Sftp(target) => write!(f, "sftp:{target}"),
            #[cfg(feature = "s3")]
            Self::ObjectStore(location) => location.fmt(f),
            #[cfg(feature = "redb")]
            Self::Redb(location) => location.fmt(f),
            #[cfg(feature = "redis")]
            Self::Redis(location) => location.fmt(f),
            #[cfg(feature = "opendal")]
            Self::Opendal(location) => location.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn what_other_programs_write_is_told_in_other_words() {
        for (theirs, ours) in [
            ("s3:s3.amazonaws.com/bucket/a/b", Some("s3://bucket/a/b")),
            ("s3:https://minio.example:9000/bucket", Some("s3://bucket?endpoint=https://minio.example:9000")),
            ("s3:http://localhost:9000/bucket/a", Some("s3://bucket/a?endpoint=http://localhost:9000")),
            ("s3:key:hunter2@https://host/bucket", None),
            ("sftp:me@host:/srv/backup", Some("sftp://me@host/srv/backup")),
            ("sftp:host:backup", Some("sftp://host/./backup")),
            ("gs:bucket:/a", Some("gs://bucket/a")),
            ("azure:container:/a", Some("az://container/a")),
            ("b2:bucket:a/b", Some("opendal+b2://bucket/a/b?bucket-id=ID")),
            ("webdav://host/a", Some("opendal+webdav://host/a")),
            ("webdav://me:hunter2@host/a", None),
            ("s3://bucket?regoin=x", None),
            ("rclone:remote:a", None),
        ] {
            let error = Location::parse(theirs).unwrap_err();
            assert_eq!(error.context("did you mean"), ours, "{theirs}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{theirs}");
            let ours = ours.filter(|ours| !ours.contains("ID"));
            assert!(ours.is_none_or(|ours| Location::parse(ours).is_ok()), "{theirs}");
        }
    }

    fn local(text: &str) -> String {
        match Location::parse(text).unwrap() {
            Location::Local(path) => path.into_os_string().into_string().unwrap(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn paths_and_file_urls() {
        for path in ["/srv/backup", "backup", "./a:b", "/a:b/c", "a b", "~/x", "100%", "../x"] {
            assert_eq!(local(path), path);
        }
        assert_eq!(local("file:///srv/back%20up%25"), "/srv/back up%");
        assert_eq!(local("file://localhost/srv"), "/srv");
        assert_eq!(local("file:/srv"), "/srv");
        assert_eq!(
            Location::parse("file:///%ff").unwrap(),
            Location::Local(OsString::from_vec(b"/\xff".into()).into())
        );
        assert_eq!(Location::parse("memory:").unwrap(), Location::Memory);
        assert_eq!(Location::Memory.to_string(), "memory:");
        assert_eq!(Location::parse("file:///a%20b").unwrap().to_string(), "/a b");
    }

    #[test]
    fn stores_to_come_are_unsupported_and_their_secrets_stay_secret() {
        for text in [
            "opendal+gdrive:hunter2",
            "rest://h",
            "rest:https://u:hunter2@h",
            "http://h",
            "https://h",
            "rclone:remote:path",
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}");
            let named = error.context("scheme").or(error.context("service"));
            assert!(text.starts_with(named.unwrap()) || text.starts_with("opendal+gdrive"), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[cfg(feature = "sftp")]
    #[test]
    fn other_machines_are_named_without_secrets() {
        for text in ["ssh://me@host:22/srv/b", "ssh://host/./b", "sftp://me@host:22/srv/b?list-staleness=90"] {
            assert_eq!(Location::parse(text).unwrap().to_string(), text);
        }
        for text in ["ssh://u:hunter2@h/p", "sftp://u:hunter2@h/p"] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn locations_hold_locations() {
        for text in [
            "parity:10%:/srv/backup",
            "erasure:2+1:/a,/b,/c",
            "erasure:1+1:/a%2Cb,parity:5%:/c:d",
            "erasure:4+2:/1,/2,/3,/4,/5,/6",
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Location::parse("parity:25:x").unwrap().to_string(), "parity:25%:x");
        let Location::Erasure(split, stores) = Location::parse("erasure:1+1:file:///a%2cb,c").unwrap() else {
            panic!()
        };
        assert_eq!((split.needed(), split.spare()), (1, 1));
        assert_eq!(stores, [Location::Local("/a,b".into()), Location::Local("c".into())]);
        for (text, word) in [
            ("parity:", "percentage"),
            ("parity:/x", "percentage"),
            ("parity:0%:/x", "1% to 100%"),
            ("parity:101%:/x", "1% to 100%"),
            ("parity:-1%:/x", "1% to 100%"),
            ("parity:10%:", "empty"),
            ("parity:10%:parity:10%:/x", "once"),
            ("parity:10%:erasure:1+1:/a,/b", "below"),
            ("erasure:", "two numbers"),
            ("erasure:4+2", "two numbers"),
            ("erasure:4:/a", "two numbers"),
            ("erasure:4+0:/a,/b,/c,/d", "two numbers"),
            ("erasure:300+2:/a", "two numbers"),
            ("erasure:30+3:/a", "two numbers"),
            ("erasure:2+1:/a,/b", "number of stores"),
            ("erasure:2+1:/a,/b,", "empty"),
            ("erasure:1+1:/a,erasure:1+1:/b%2C/c", "nested"),
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
        let error = Location::parse("erasure:1+1:/a,foo://u:hunter2@h/b").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn names_stand_for_places_with_variables_of_their_own() {
        let names = |name: &str| match name {
            "a" => Ok(("/a,b".to_owned(), Variables::from_iter([("AWS_PROFILE", "mine")]))),
            "set" => Ok(("erasure:1+1:@a,/c".to_owned(), Variables::default())),
            "circle" => Ok(("parity:5%:@circle".to_owned(), Variables::default())),
            _ => Err(invalid("no such name")),
        };
        let parsed = |text| Location::parse_with(text, &names);
        let Location::Erasure(_, stores) = parsed("erasure:1+1:@a,parity:10%:/x").unwrap() else { panic!() };
        assert_eq!(stores[0].unnamed(), &Location::Local("/a,b".into()));
        let Location::Named(named) = &stores[0] else { panic!() };
        assert_eq!(named.variables.get("AWS_PROFILE"), Some("mine"));
        let nested = parsed("erasure:1+1:@set,/d").unwrap();
        assert_eq!((nested.sets(), nested.is_remote()), (2, false));
        for (text, word) in [
            ("@circle", "circle"),
            ("erasure:1+1:@nobody,/x", "no such name"),
            ("parity:10%:@set", "below"),
            ("@", "no such name"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(word), "{text}: {error}");
        }
        assert!(Location::parse("@a").is_err());
    }

    #[test]
    #[cfg(all(feature = "s3", feature = "redis", feature = "redb"))]
    fn stores_are_shown_without_their_secrets_and_understood_again() {
        for (text, shown, remote) in [
            ("s3://b/p/q?region=x", "s3://b/p/q", true),
            ("gs://b", "gs://b", true),
            ("az://b/p?account=a", "az://b/p?account=a", true),
            ("redb:/x/y", "redb:/x/y", false),
            ("redis://:hunter2@h/1", "redis://h:6379/1?prefix=gabion%3A", true),
            ("rediss://u@h", "rediss://h:6379/0?prefix=gabion%3A", true),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!((location.to_string().as_str(), location.is_remote()), (shown, remote), "{text}");
            assert!(!format!("{location:?}").contains("hunter2"));
            assert_eq!(Location::parse(shown).unwrap().to_string(), shown);
        }
        for text in ["s3://b/p?secret=hunter2", "redis://:hunter2@", "redb:?hunter2"] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn remote_paths_are_refused_with_the_right_spelling() {
        for (text, meant) in [
            ("host:path", Some("ssh://host/./path")),
            ("host:", Some("ssh://host/./")),
            ("me@host:/srv/b", Some("ssh://me@host/srv/b")),
            ("host:a/b:c", Some("ssh://host/./a/b:c")),
            ("me:hunter2@host:b", None),
            (":path", None),
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!((error.kind(), error.context("did you mean")), (ErrorKind::InvalidInput, meant), "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "a\0b",
            "file://host/path",
            "file:path",
            "file://",
            "file:///a%2",
            "file:///a%zz",
            "file:///a%00",
            "file:///a%+1",
            "file:///a?b=c",
            "memory:x",
            "memory://",
            "foo://user:hunter2@x",
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
