//! From a location and the environment to a client of the library.

use std::sync::Arc;
use std::time::Duration;

use gabion_core::error::{Error, ErrorKind, Result};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider};

use super::credentials;
use super::given::Given;
use super::location::{ObjectStoreLocation, Service};
use crate::Variables;

const OPERATION: &str = "connect to store";
/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long nothing may be received. The time a request is sent counts too, so this says how slow an upload may be.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Variables of S3 that are passed on as they are.
const S3_VARIABLES: [&str; 7] = [
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];
const GOOGLE_VARIABLES: [&str; 2] = ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY"];
const AZURE_VARIABLES: [&str; 7] = [
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
];

/// A client for the location, and the server it speaks with if that is not the service's own, whoever named it. Nothing is
/// sent yet.
pub(super) fn connect(
    location: &ObjectStoreLocation,
    variables: &Variables,
) -> Result<(Arc<dyn ObjectStore>, Option<String>)> {
    // Another part of the program may have chosen already; that is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let named = location.endpoint.clone();
    match location.service {
        Service::S3 => s3(location, variables),
        Service::Google => Ok((google(location, variables)?, named)),
        Service::Azure => Ok((azure(location, variables)?, named)),
    }
}

fn refused(error: object_store::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, OPERATION).because(error)
}

/// A few quick repetitions of single requests, so that the parts of an object and the pages of a list need not be
/// begun anew; patience is the retry layer's.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            ..BackoffConfig::default()
        },
        max_retries: 2,
        retry_timeout: Duration::from_secs(60),
    }
}

fn client(location: &ObjectStoreLocation) -> ClientOptions {
    let plain = location.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT)
        .with_allow_http(plain)
}

fn s3(location: &ObjectStoreLocation, variables: &Variables) -> Result<(Arc<dyn ObjectStore>, Option<String>)> {
    let profile = credentials::profile(location.profile.as_deref(), variables)?;
    let variable = |name: &str| variables.get(name).map(str::to_owned);
    let region = location.region.clone().or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
    let endpoint = location.endpoint.clone().or_else(|| variable("AWS_ENDPOINT_URL_S3"));
    let endpoint = endpoint.or_else(|| variable("AWS_ENDPOINT_URL")).or(profile.endpoint);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&location.bucket)
        .with_region(region.or(profile.region).unwrap_or_else(|| "us-east-1".to_owned()))
        .with_virtual_hosted_style_request(location.path_style.is_some_and(|path| !path))
        .with_skip_signature(location.anonymous)
        .with_disable_bulk_delete(true)
        .with_retry(retry())
        .with_client_options(client(location).with_allow_http(is_plain(endpoint.as_deref())));
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    // A profile that was named by the location outweighs the environment.
    let own = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
    let own = own.filter(|_| location.profile.is_none());
    match (own, profile.key_id, profile.secret_key) {
        (Some((key_id, secret_key)), _, _) => {
            builder = builder.with_access_key_id(key_id).with_secret_access_key(secret_key);
            builder = pass(builder, &S3_VARIABLES[..1], variables, s3_key);
        }
        (None, Some(key_id), Some(secret_key)) => {
            builder = builder.with_access_key_id(key_id).with_secret_access_key(secret_key.expose());
            if let Some(token) = profile.token {
                builder = builder.with_token(token.expose());
            }
        }
        _ => builder = pass(builder, &S3_VARIABLES[1..], variables, s3_key),
    }
    let metadata = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if let Some(metadata) = &metadata {
        builder = builder.with_metadata_endpoint(metadata.trim_end_matches('/'));
    }
    let keys = [AmazonS3ConfigKey::AccessKeyId, AmazonS3ConfigKey::RoleArn];
    let found = keys.iter().any(|key| builder.get_config_value(key).is_some())
        || S3_VARIABLES[4..].iter().any(|name| variables.get(name).is_some());
    if !found && !location.anonymous {
        if let Some(setting) = profile.elsewhere {
            return Err(no_credentials("the profile has no keys of its own").with("setting", setting));
        }
        // Only a machine of the service itself has somebody to ask, unless it is said who that is.
        if endpoint.is_some() && metadata.is_none() {
            return Err(no_credentials("neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor a profile has keys"));
        }
    }
    let given = Given::by(builder.clone().build().map_err(refused)?.credentials());
    Ok((Arc::new(builder.with_credentials(given).build().map_err(refused)?), endpoint))
}

fn no_credentials(reason: &'static str) -> Error {
    Error::new(ErrorKind::PermissionDenied, OPERATION).with("reason", reason)
}

fn is_plain(endpoint: Option<&str>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
}

/// Hands variables on to a builder, under the names it knows them by.
fn pass<B>(builder: B, names: &[&str], variables: &Variables, set: impl Fn(B, &str, &str) -> B) -> B {
    let given = names.iter().filter_map(|name| Some((name.to_ascii_lowercase(), variables.get(name)?)));
    given.fold(builder, |builder, (name, value)| set(builder, &name, value))
}

fn s3_key(builder: AmazonS3Builder, name: &str, value: &str) -> AmazonS3Builder {
    match name.parse::<AmazonS3ConfigKey>() {
        Ok(key) => builder.with_config(key, value),
        Err(_) => builder,
    }
}

fn google(location: &ObjectStoreLocation, variables: &Variables) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_skip_signature(location.anonymous)
        .with_retry(retry())
        .with_client_options(client(location));
    builder =
        pass(builder, &GOOGLE_VARIABLES, variables, |builder, name, value| match name.parse::<GoogleConfigKey>() {
            Ok(key) => builder.with_config(key, value),
            Err(_) => builder,
        });
    // The library asks the machine for a token even if there is to be none, if it writes.
    let token = if location.anonymous { Some("") } else { variables.get("GOOGLE_ACCESS_TOKEN") };
    if let Some(token) = token {
        let token = StaticCredentialProvider::new(GcpCredential { bearer: token.to_owned() });
        builder = builder.with_credentials(Arc::new(token));
    }
    if let Some(path) = variables.get("GOOGLE_APPLICATION_CREDENTIALS") {
        builder = builder.with_application_credentials(path);
    }
    if let Some(endpoint) = &location.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    builder = builder.with_bucket_name(&location.bucket);
    let given = Given::by(builder.clone().build().map_err(refused)?.credentials());
    Ok(Arc::new(builder.with_credentials(given).build().map_err(refused)?))
}

fn azure(location: &ObjectStoreLocation, variables: &Variables) -> Result<Arc<dyn ObjectStore>> {
    let builder = MicrosoftAzureBuilder::new()
        .with_skip_signature(location.anonymous)
        .with_retry(retry())
        .with_client_options(client(location));
    let mut builder =
        pass(builder, &AZURE_VARIABLES, variables, |builder, name, value| match name.parse::<AzureConfigKey>() {
            Ok(key) => builder.with_config(key, value),
            Err(_) => builder,
        });
    if let Some(account) = &location.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &location.endpoint {
        builder = builder.with_endpoint(endpoint.clone()).with_allow_http(is_plain(Some(endpoint)));
    }
    builder = builder.with_container_name(&location.bucket);
    let given = Given::by(builder.clone().build().map_err(refused)?.credentials());
    Ok(Arc::new(builder.with_credentials(given).build().map_err(refused)?))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use gabion_core::backend::{Backend as _, ObjectName, PutMode};

    use super::super::ObjectStoreBackend;
    use super::*;

    #[test]
    fn who_is_nobody_asks_google_for_no_token() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let heard = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"the object") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            client.write_all(b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n").unwrap();
            String::from_utf8(request).unwrap()
        });
        let rest = format!("//bucket/a?anonymous=true&endpoint={server}");
        let location = ObjectStoreLocation::parse(Service::Google, &rest).unwrap();
        let backend = ObjectStoreBackend::new(&location, &Variables::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let name = ObjectName::new("config").unwrap();
        let put = backend.put(&name, b"the object".to_vec().into(), PutMode::Write);
        runtime.block_on(put).unwrap();
        let request = heard.join().unwrap();
        assert!(request.starts_with("PUT /bucket/a"), "{request}");
    }
}
