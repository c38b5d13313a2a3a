//! `opendal+SERVICE:...`: `opendal+webdav://host/path`, `opendal+b2://bucket/path?bucket-id=...`, `opendal+fs:///path`.

use std::fmt;
use std::time::Duration;

use gabion_core::error::{Error, ErrorKind, Result};

use crate::Hidden;
use crate::url::{Url, encoded, invalid};

/// What stands before the name of a service.
pub(crate) const SCHEME: &str = "opendal+";

/// A place in one of the services, without what is secret but a password that was written into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpendalLocation {
    pub(super) service: Service,
    /// From the top of the service, with a leading slash.
    pub(super) root: String,
    list_staleness: Option<Duration>,
}

/// Which service it is, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// A directory of this machine.
    Fs,
    /// This process's memory.
    Memory,
    /// A WebDAV server.
    Webdav {
        /// Host and port.
        server: String,
        tls: bool,
        user: Option<String>,
        password: Option<Hidden>,
    },
    /// Backblaze B2.
    B2 { bucket: String, bucket_id: String },
}

impl Service {
    /// As OpenDAL calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fs => "fs",
            Self::Memory => "memory",
            Self::Webdav { .. } => "webdav",
            Self::B2 { .. } => "b2",
        }
    }
}

impl OpendalLocation {
    /// Understands what stands behind `opendal+SERVICE:`.
    pub(crate) fn parse(service: &str, rest: &str) -> Result<Self> {
        if service == "memory" {
            return match rest {
                "" => Ok(Self { service: Service::Memory, root: "/".to_owned(), list_staleness: None }),
                _ => Err(invalid("opendal+memory: stands alone")),
            };
        }
        let of = match service {
            "fs" => directory,
            "webdav" => webdav,
            "b2" => b2,
            _ => {
                let error = Error::new(ErrorKind::Unsupported, "understand location");
                let error = error.with("reason", "this program has no such service of OpenDAL");
                return Err(error.with("service", service.escape_debug()).with("services", "b2, fs, memory, webdav"));
            }
        };
        let mut url = Url::parse(rest)?;
        let list_staleness = url.parameters.take_as("list-staleness")?.map(Duration::from_secs);
        let service = of(&mut url)?;
        url.parameters.finish()?;
        if url.path.split('/').any(|part| part == "." || part == "..") {
            return Err(invalid("the path has a part that is a dot or two"));
        }
        let root = format!("/{}", url.path.trim_matches('/'));
        Ok(Self { service, root, list_staleness })
    }

    /// The top of the same service.
    pub(super) fn top(&self) -> Self {
        Self { root: "/".to_owned(), ..self.clone() }
    }

    /// How old lists may be: what is on this machine is current, others are not known.
    pub(super) fn staleness(&self) -> Duration {
        let usual = if self.is_remote() { crate::UNKNOWN_STALENESS } else { Duration::ZERO };
        self.list_staleness.unwrap_or(usual)
    }

    /// Whether it is reached over a network.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.service, Service::Webdav { .. } | Service::B2 { .. })
    }
}

fn directory(url: &mut Url) -> Result<Service> {
    if !url.host.is_empty() || url.user.is_some() || url.port.is_some() {
        return Err(invalid("a directory of this machine is written opendal+fs:///path"));
    }
    match url.path.trim_matches('/') {
        "" => Err(invalid("the path is missing")),
        _ => Ok(Service::Fs),
    }
}

fn webdav(url: &mut Url) -> Result<Service> {
    if url.host.is_empty() || url.host.contains(['/', '?', '#', '@', ' ']) {
        return Err(invalid("the host is missing, or is none"));
    }
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let port = url.port.map(|port| format!(":{port}")).unwrap_or_default();
    Ok(Service::Webdav {
        server: host + &port,
        tls: url.parameters.take_as("tls")?.unwrap_or(true),
        user: url.user.take(),
        password: url.password.take(),
    })
}

fn b2(url: &mut Url) -> Result<Service> {
    if url.user.is_some() || url.password.is_some() || url.port.is_some() {
        return Err(invalid("a bucket has neither user nor port; keys belong to the environment"));
    }
    let bucket_id = url.parameters.take("bucket-id").filter(|id| !id.is_empty());
    let bucket_id = bucket_id.ok_or_else(|| invalid("a parameter is missing").with("parameter", "bucket-id"))?;
    match url.host.is_empty() {
        true => Err(invalid("the bucket is missing")),
        false => Ok(Service::B2 { bucket: url.host.clone(), bucket_id }),
    }
}

impl fmt::Display for OpendalLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, root) = (self.service.name(), encoded(&self.root));
        let root = if root == "/" { "" } else { &root };
        write!(f, "{SCHEME}{name}:")?;
        match &self.service {
            Service::Memory => Ok(()),
            Service::Fs => write!(f, "//{root}"),
            Service::Webdav { server, tls, .. } => {
                write!(f, "//{server}{root}{}", if *tls { "" } else { "?tls=false" })
            }
            Service::B2 { bucket, bucket_id } => write!(f, "//{bucket}{root}?bucket-id={}", encoded(bucket_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_places_and_parameters() {
        for (service, rest, shown, staleness) in [
            ("fs", "///srv/a%20b/", "opendal+fs:///srv/a%20b", 0),
            ("memory", "", "opendal+memory:", 0),
            ("webdav", "//me:hunter2@h:8080/d/e?tls=false", "opendal+webdav://h:8080/d/e?tls=false", 90),
            ("webdav", "//[::1]/?list-staleness=3", "opendal+webdav://[::1]", 3),
            ("b2", "//bucket/a?bucket-id=1f", "opendal+b2://bucket/a?bucket-id=1f", 90),
        ] {
            let location = OpendalLocation::parse(service, rest).unwrap();
            assert_eq!(location.to_string(), shown);
            assert_eq!(location.staleness(), Duration::from_secs(staleness), "{shown}");
            assert!(!format!("{location:?}").contains("hunter2"));
            let rest = shown.strip_prefix(&format!("opendal+{service}:")).unwrap();
            assert_eq!(OpendalLocation::parse(service, rest).unwrap().to_string(), shown);
        }
        let error = OpendalLocation::parse("gdrive", "//hunter2").unwrap_err();
        assert_eq!((error.kind(), error.context("service")), (ErrorKind::Unsupported, Some("gdrive")));
    }

    #[test]
    fn nonsense_is_refused_without_its_secrets() {
        for (service, rest, parameter) in [
            ("fs", "", None),
            ("fs", "///", None),
            ("fs", "//host/path", None),
            ("fs", "///a/../b", None),
            ("fs", "///a?token=hunter2", Some("token")),
            ("memory", "//x", None),
            ("webdav", "///path", None),
            ("webdav", "//u:hunter2@h/a?tls=hunter2", Some("tls")),
            ("webdav", "//h%2F..%2Fx/a", None),
            ("b2", "//bucket/a", Some("bucket-id")),
            ("b2", "//k:hunter2@bucket/a?bucket-id=1", None),
        ] {
            let error = OpendalLocation::parse(service, rest).unwrap_err();
            assert_eq!((error.kind(), error.context("parameter")), (ErrorKind::InvalidInput, parameter), "{rest}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
