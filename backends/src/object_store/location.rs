//! `s3://bucket/prefix?endpoint=...&region=...`, `gs://bucket/prefix`, `az://container/prefix?account=...`.

use std::fmt;
use std::time::Duration;

use gabion_core::error::Result;
use gabion_core::limits::MIB;
use object_store::path::Path;

use crate::url::{Url, encoded, invalid};

/// Whose service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    S3,
    Google,
    Azure,
}

impl Service {
    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

/// A bucket, and a part of the names in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStoreLocation {
    pub(crate) service: Service,
    pub(crate) bucket: String,
    /// Without slashes at its ends; empty for the whole bucket.
    pub(crate) prefix: String,
    /// The server, if it is not the service's own.
    pub(crate) endpoint: Option<String>,
    /// Of S3.
    pub(crate) region: Option<String>,
    /// Of S3: the profile of the user's AWS files.
    pub(crate) profile: Option<String>,
    /// Of S3: whether the bucket stands in the path of requests; else it is a part of the host's name.
    pub(crate) path_style: Option<bool>,
    /// Of Azure.
    pub(crate) account: Option<String>,
    /// What data segments are stored as; everything else keeps the bucket's own class.
    pub(crate) storage_class: Option<String>,
    /// Requests are not signed.
    pub(crate) anonymous: bool,
    /// How old lists may be, if the user knows.
    pub(crate) list_staleness: Option<Duration>,
    /// Larger objects are sent in parts of this size.
    pub(crate) part_bytes: usize,
}

/// Bytes of the parts of large objects. All but the largest segments are sent in one request.
const PART_BYTES: usize = 64 * MIB;
/// S3 takes no smaller parts.
const PART_BYTES_MIN: usize = 5 * MIB;

impl ObjectStoreLocation {
    /// Understands what stands behind `s3:`, `gs:` or `az:`.
    pub(crate) fn parse(service: Service, rest: &str) -> Result<Self> {
        let mut url = Url::parse(rest)?;
        if url.user.is_some() || url.password.is_some() || url.port.is_some() {
            return Err(invalid("a bucket has neither user nor port; name a server by the parameter endpoint"));
        }
        if url.host.is_empty() {
            return Err(invalid("the bucket is missing"));
        }
        let prefix = url.path.trim_matches('/').to_owned();
        if Path::parse(&prefix).is_err() {
            return Err(invalid("the path in the bucket has an empty part, a dot, two dots or a control character"));
        }
        let parameters = &mut url.parameters;
        let of_s3 = service == Service::S3;
        let location = Self {
            service,
            bucket: url.host,
            prefix,
            endpoint: parameters.take("endpoint").map(endpoint).transpose()?,
            region: if of_s3 { parameters.take("region") } else { None },
            profile: if of_s3 { parameters.take("profile") } else { None },
            path_style: if of_s3 { parameters.take_as("path-style")? } else { None },
            account: if service == Service::Azure { parameters.take("account") } else { None },
            storage_class: parameters.take("storage-class"),
            anonymous: parameters.take_as("anonymous")?.unwrap_or(false),
            list_staleness: parameters.take_as("list-staleness")?.map(Duration::from_secs),
            part_bytes: parameters.take_as::<usize>("part-mib")?.map_or(PART_BYTES, |mib| mib.saturating_mul(MIB)),
        };
        if !(PART_BYTES_MIN..=1024 * MIB).contains(&location.part_bytes) {
            return Err(invalid("parts have from 5 to 1024 MiB").with("parameter", "part-mib"));
        }
        url.parameters.finish()?;
        Ok(location)
    }

    /// The name of an object, or of all that begin with some parts, in the bucket.
    pub(crate) fn key(&self, name: &str) -> Path {
        match (self.prefix.as_str(), name) {
            ("", name) => Path::from(name),
            (prefix, "") => Path::from(prefix),
            (prefix, name) => Path::from(format!("{prefix}/{name}")),
        }
    }

    /// How old lists may be: the services themselves show their current state, others are not known.
    pub(crate) fn staleness(&self) -> Duration {
        let unknown = if self.endpoint.is_some() { crate::UNKNOWN_STALENESS } else { Duration::ZERO };
        self.list_staleness.unwrap_or(unknown)
    }
}

/// A server is named by its URL. Passwords belong to the environment.
fn endpoint(url: String) -> Result<String> {
    let wrong = |reason| Err(invalid(reason).with("parameter", "endpoint"));
    match url.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() && !rest.starts_with('/') => {
            if rest.contains(['@', '?', '#', ' ']) {
                wrong("a server has neither user nor parameters")
            } else {
                Ok(url)
            }
        }
        _ => wrong("a server begins with https:// or http://"),
    }
}

impl fmt::Display for ObjectStoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.service.scheme(), encoded(&self.bucket))?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", encoded(&self.prefix))?;
        }
        let servers = [("account", &self.account), ("endpoint", &self.endpoint)];
        let told = servers.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        for (position, (name, value)) in told.enumerate() {
            write!(f, "{}{name}={value}", if position == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gabion_core::error::ErrorKind;

    use super::*;

    fn s3(rest: &str) -> Result<ObjectStoreLocation> {
        ObjectStoreLocation::parse(Service::S3, rest)
    }

    #[test]
    fn a_bucket_a_path_and_parameters() {
        let plain = s3("//bucket").unwrap();
        assert_eq!((plain.bucket.as_str(), plain.prefix.as_str(), plain.part_bytes), ("bucket", "", PART_BYTES));
        assert!(plain.staleness().is_zero());
        assert_eq!(plain.key("a/b").as_ref(), "a/b");
        let full = s3("//bucket/some/where/?endpoint=http://127.0.0.1:9000&region=eu-1&storage-class=STANDARD_IA&\
                       path-style=true&profile=p&anonymous=true&part-mib=8&list-staleness=3")
        .unwrap();
        assert_eq!((full.prefix.as_str(), full.region.as_deref()), ("some/where", Some("eu-1")));
        assert_eq!((full.path_style, full.anonymous, full.part_bytes), (Some(true), true, 8 * MIB));
        assert_eq!(full.staleness(), Duration::from_secs(3));
        assert_eq!(full.key("a/b").as_ref(), "some/where/a/b");
        assert_eq!(full.to_string(), "s3://bucket/some/where?endpoint=http://127.0.0.1:9000");
        assert_eq!(s3("//b?endpoint=https://minio.example/").unwrap().staleness(), Duration::from_secs(90));
        let azure = ObjectStoreLocation::parse(Service::Azure, "//c/p?account=me").unwrap();
        assert_eq!(azure.to_string(), "az://c/p?account=me");
        assert_eq!(ObjectStoreLocation::parse(Service::Google, "//c").unwrap().to_string(), "gs://c");
    }

    #[test]
    fn nonsense_is_refused_by_name_and_without_its_secrets() {
        for (rest, parameter) in [
            ("//", None),
            ("bucket", None),
            ("//bucket:9000/x", None),
            ("//key:hunter2@bucket", None),
            ("//bucket/a/../b", None),
            ("//bucket/a//b", None),
            ("//bucket?endpoint=minio", Some("endpoint")),
            ("//bucket?endpoint=https://u:hunter2@minio", Some("endpoint")),
            ("//bucket?secret=hunter2", Some("secret")),
            ("//bucket?account=x", Some("account")),
            ("//bucket?path-style=hunter2", Some("path-style")),
            ("//bucket?part-mib=4", Some("part-mib")),
            ("//bucket?part-mib=99999999999999999", Some("part-mib")),
        ] {
            let error = s3(rest).unwrap_err();
            assert_eq!((error.kind(), error.context("parameter")), (ErrorKind::InvalidInput, parameter), "{rest}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
