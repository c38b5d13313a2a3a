//! From a location and the environment to an operator of the library, and what it must be able to do.

use std::path::Path;
use std::time::Duration;

use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::MIB;
use opendal::services::{B2, Fs, Memory, Webdav};
use opendal::{Capability, HttpTransporter, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;

use super::error::translated;
use super::location::{OpendalLocation, Service};
use crate::{Access, Hidden, Variables};

const OPERATION: &str = "open store";
/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long nothing may be received.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes of the largest object a service must take at least: a full segment with room to spare.
const OBJECT_BYTES_MIN: usize = 64 * MIB;

/// A client for the location. No server is asked yet.
///
/// Errors: `RepositoryNotFound` if a directory is expected and there is none, `Unsupported` with the fact `missing` if
/// the service can not do what a repository needs.
pub(super) fn connect(location: &OpendalLocation, access: Access, variables: &Variables) -> Result<Operator> {
    let operator = match &location.service {
        Service::Fs => {
            // The library makes what is missing: a disk that is not mounted would become an empty directory.
            if access != Access::Create && !Path::new(&location.root).is_dir() {
                return Err(Error::new(ErrorKind::RepositoryNotFound, OPERATION).with("path", &location.root));
            }
            Operator::new(Fs::default().root(&location.root))
        }
        Service::Memory => Operator::new(Memory::default()),
        Service::Webdav { server, tls, user, password } => {
            let user = user.as_deref().or_else(|| variables.get("WEBDAV_USERNAME"));
            let password = password.as_ref().map(Hidden::expose).or_else(|| variables.get("WEBDAV_PASSWORD"));
            let service = Webdav::default()
                .endpoint(&format!("http{}://{server}", if *tls { "s" } else { "" }))
                .root(&location.root)
                .username(user.unwrap_or_default())
                .password(password.unwrap_or_default())
                .token(variables.get("WEBDAV_TOKEN").unwrap_or_default());
            Operator::new(service)
        }
        Service::B2 { bucket, bucket_id } => {
            let needed = |name| {
                let error = Error::new(ErrorKind::PermissionDenied, OPERATION).with("variable is not set", name);
                variables.get(name).ok_or(error)
            };
            let service = B2::default()
                .bucket(bucket)
                .bucket_id(bucket_id)
                .root(&location.root)
                .application_key_id(needed("B2_APPLICATION_KEY_ID")?)
                .application_key(needed("B2_APPLICATION_KEY")?);
            Operator::new(service)
        }
    };
    let operator = operator.map_err(|error| translated(OPERATION, error))?;
    let missing = missing(&operator.info().capability());
    if !missing.is_empty() {
        let error = Error::new(ErrorKind::Unsupported, OPERATION).with("service", location.service.name());
        return Err(error.with("missing", missing.join(", ")));
    }
    if location.is_remote() { with_http(operator) } else { Ok(operator) }
}

/// What a repository needs and the service has not.
fn missing(capability: &Capability) -> Vec<&'static str> {
    let enough = capability.write_total_max_size.is_none_or(|bytes| bytes >= OBJECT_BYTES_MIN);
    let needed = [
        (capability.read, "reading ranges"),
        (capability.stat, "telling sizes"),
        (capability.list, "listing"),
        (capability.write, "writing"),
        (capability.write_can_empty, "empty objects"),
        (enough, "objects of 64 MiB"),
        (capability.delete, "deleting"),
    ];
    needed.into_iter().filter(|(there, _)| !there).map(|(_, what)| what).collect()
}

/// The HTTP client of this program: its cryptography, and times after which it gives up.
fn with_http(operator: Operator) -> Result<Operator> {
    // Another part of the program may have chosen already; that is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    let client = client.map_err(|error| Error::new(ErrorKind::System, OPERATION).because(error))?;
    let context = operator.base_context().with_http_transport(HttpTransporter::new(ReqwestTransport::new(client)));
    Ok(operator.with_context(context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_lacks_is_named() {
        let able = Operator::new(Memory::default()).unwrap().info().capability();
        assert!(missing(&able).is_empty());
        let poor = Capability { list: false, delete: false, write_total_max_size: Some(1 << 20), ..able };
        assert_eq!(missing(&poor), ["listing", "objects of 64 MiB", "deleting"]);
        assert_eq!(missing(&Capability::default()).len(), 6);
    }

    #[test]
    fn keys_that_are_needed_are_asked_for_by_name() {
        let location = OpendalLocation::parse("b2", "//bucket/a?bucket-id=1").unwrap();
        let error = connect(&location, Access::Existing, &Variables::default()).unwrap_err();
        assert_eq!(error.context("variable is not set"), Some("B2_APPLICATION_KEY_ID"));
        let keys = Variables::from_iter([("B2_APPLICATION_KEY_ID", "x"), ("B2_APPLICATION_KEY", "hunter2")]);
        let operator = connect(&location, Access::Existing, &keys).unwrap();
        assert!(!format!("{operator:?}").contains("hunter2"));
    }
}
