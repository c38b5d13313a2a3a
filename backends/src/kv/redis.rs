//! `redis://host/db?prefix=...`: a repository in Redis, or in what speaks its language.
//!
//! Redis keeps everything in memory and answers before it is on a disk, so it is not durable. `SET ... GET` needs
//! Redis 6.2 or newer. One connection carries all calls; when it breaks, the next call makes another one.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::MIB;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo,
};
use tokio::sync::Mutex;

use super::{KvStore, KvTraits, Swap};
use crate::seen::Seen;
use crate::url::{Url, encoded, invalid};
use crate::{Hidden, Variables};

/// Bytes of parts: far below the 512 MiB of Redis, so that no call keeps all others waiting for long.
const VALUE_BYTES: usize = MIB;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the answer to one call may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Keys that the server looks at in one step of a scan.
const SCAN_COUNT: usize = 1000;

/// A server, a database of it, and what all keys begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisLocation {
    tls: bool,
    user: Option<String>,
    password: Option<Hidden>,
    host: String,
    port: u16,
    database: u16,
    prefix: String,
}

impl RedisLocation {
    /// Understands what stands behind `redis:` or, with `tls`, `rediss:`.
    pub(crate) fn parse(tls: bool, rest: &str) -> Result<Self> {
        let mut url = Url::parse(rest)?;
        if url.host.is_empty() {
            return Err(invalid("the host is missing"));
        }
        let database = match url.path.trim_matches('/') {
            "" => 0,
            number => number.parse().map_err(|_| invalid("the path of a redis URL is the number of a database"))?,
        };
        let prefix = url.parameters.take("prefix").unwrap_or_else(|| "gabion:".to_owned());
        if prefix.len() > 200 || prefix.chars().any(char::is_control) {
            return Err(invalid("the value of a parameter makes no sense").with("parameter", "prefix"));
        }
        url.parameters.finish()?;
        let Url { user, password, host, port, .. } = url;
        Ok(Self { tls, user, password, host, port: port.unwrap_or(6379), database, prefix })
    }
}

impl fmt::Display for RedisLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { encoded(&self.host) };
        write!(f, "{scheme}://{host}:{}/{}?prefix={}", self.port, self.database, encoded(&self.prefix))
    }
}

/// Keys of a Redis database that begin with a prefix.
#[derive(Clone)]
pub struct RedisStore {
    client: Client,
    connection: std::sync::Arc<Mutex<Option<MultiplexedConnection>>>,
    prefix: String,
    shown: String,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.shown).finish()
    }
}

impl RedisStore {
    /// A client for the location; it connects with the first call. The password is that of the location, or the
    /// variable `REDISCLI_AUTH`.
    ///
    /// # Errors
    /// `InvalidInput` if the library can not make sense of it.
    pub fn new(location: &RedisLocation, variables: &Variables) -> Result<Self> {
        let refused = |error: redis::RedisError| Error::new(ErrorKind::InvalidInput, "connect to store").because(error);
        let (host, port) = (location.host.clone(), location.port);
        let address = if location.tls {
            let _ = rustls::crypto::ring::default_provider().install_default();
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut settings = RedisConnectionInfo::default().set_db(i64::from(location.database)).set_skip_set_lib_name();
        let password = location.password.as_ref().map(Hidden::expose).or_else(|| variables.get("REDISCLI_AUTH"));
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        if let Some(user) = &location.user {
            settings = settings.set_username(user);
        }
        let info = address.into_connection_info().map_err(refused)?.set_redis_settings(settings);
        Ok(Self {
            client: Client::open(info).map_err(refused)?,
            connection: std::sync::Arc::default(),
            prefix: location.prefix.clone(),
            shown: location.to_string(),
        })
    }

    async fn connection(&self) -> redis::RedisResult<MultiplexedConnection> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        let new = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        *connection = Some(new.clone());
        Ok(new)
    }

    async fn ask<T: FromRedisValue>(&self, operation: &'static str, command: &Cmd) -> Result<T> {
        let answer = match self.connection().await {
            Ok(mut connection) => command.query_async(&mut connection).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if error.is_io_error() || error.is_unrecoverable_error() {
                    *self.connection.lock().await = None;
                }
                Err(told(operation, error))
            }
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

/// What an error of the library means.
fn told(operation: &'static str, error: redis::RedisError) -> Error {
    let (kind, temporary) = match error.code() {
        Some("OOM") => (ErrorKind::NoSpace, false),
        Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "READONLY") => (ErrorKind::PermissionDenied, false),
        Some("LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "MISCONF") => {
            (ErrorKind::Connection, true)
        }
        _ if error.kind() == redis::ErrorKind::AuthenticationFailed => (ErrorKind::PermissionDenied, false),
        _ if error.is_timeout() => (ErrorKind::TimedOut, true),
        _ if error.is_io_error() || error.is_unrecoverable_error() => (ErrorKind::Connection, true),
        _ => (ErrorKind::Io, false),
    };
    let error = Error::new(kind, operation).because(error);
    if temporary { error.temporary() } else { error }
}

/// In a pattern of Redis these characters are not themselves.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::new();
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "*"
}

#[async_trait]
impl KvStore for RedisStore {
    fn location(&self) -> &str {
        &self.shown
    }

    fn traits(&self) -> KvTraits {
        KvTraits { value_bytes_max: VALUE_BYTES, durable: false, list_staleness: Duration::ZERO, concurrency: 8 }
    }

    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        keys.iter().for_each(|key| _ = command.arg(self.key(key)));
        let values: Vec<Option<Bytes>> = self.ask("get object", &command).await?;
        if values.len() == keys.len() {
            return Ok(values);
        }
        Err(Error::damaged("get object", "the server answers with another number of values"))
    }

    async fn put(&self, pairs: Vec<(String, Bytes)>) -> Result<()> {
        if pairs.is_empty() {
            return Ok(());
        }
        let bytes = pairs.iter().map(|(key, value)| self.prefix.len() + key.len() + value.len()).sum::<usize>();
        let mut command = Cmd::with_capacity(1 + 2 * pairs.len(), "MSET".len() + bytes);
        command.arg("MSET");
        pairs.iter().for_each(|(key, value)| _ = command.arg(self.key(key)).arg(&value[..]));
        self.ask("put object", &command).await
    }

    async fn swap(&self, key: &str, value: Bytes, swap: Swap) -> Result<Option<Bytes>> {
        let mut command = redis::cmd("SET");
        command.arg(self.key(key)).arg(&value[..]);
        if swap == Swap::Existing {
            command.arg("XX");
        }
        self.ask("put object", command.arg("GET")).await
    }

    async fn take(&self, key: &str) -> Result<Option<Bytes>> {
        self.ask("delete object", redis::cmd("GETDEL").arg(self.key(key))).await
    }

    async fn delete(&self, keys: Vec<String>) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("DEL");
        keys.iter().for_each(|key| _ = command.arg(self.key(key)));
        self.ask("delete object", &command).await
    }

    /// A scan tells every key that stays, but some twice.
    fn scan(&self, prefix: &str) -> BoxStream<'static, Result<String>> {
        let start = (self.clone(), pattern(&self.key(prefix)), Some(0_u64), Seen::default());
        let batches = stream::try_unfold(start, |(store, pattern, cursor, mut seen)| async move {
            let Some(cursor) = cursor else { return Ok(None) };
            let mut command = redis::cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_COUNT);
            let (next, keys): (u64, Vec<Vec<u8>>) = store.ask("list objects", &command).await?;
            // A key that is no text is nobody's of ours.
            let keys = keys.into_iter().filter_map(|key| String::from_utf8(key).ok());
            let keys = keys.filter_map(|key| key.strip_prefix(&store.prefix).map(str::to_owned));
            let keys: Vec<_> = keys.filter(|key| seen.is_new(key)).map(Ok).collect();
            Ok::<_, Error>(Some((stream::iter(keys), (store, pattern, (next != 0).then_some(next), seen))))
        });
        batches.try_flatten().boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_and_their_secrets() {
        let location = RedisLocation::parse(false, "//me:hunter2@host:7000/3?prefix=my%20backup/").unwrap();
        assert_eq!(location.to_string(), "redis://host:7000/3?prefix=my%20backup/");
        assert!(!format!("{location:?}").contains("hunter2"));
        let plain = RedisLocation::parse(true, "//[::1]").unwrap();
        assert_eq!(plain.to_string(), "rediss://[::1]:6379/0?prefix=gabion%3A");
        for text in ["//", "//h/x", "//h/1/2", "//h/99999", "//h?x=hunter2", "//h?prefix=%0a"] {
            let error = RedisLocation::parse(false, text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn patterns_match_nothing_but_the_prefix() {
        assert_eq!(pattern("a[b]*?\\^-:"), "a\\[b\\]\\*\\?\\\\\\^\\-:*");
    }
}
