//! Credentials that somebody else gives for a while: a machine's metadata service, a container's, one for tokens.
//!
//! The library fetches them again before they end. That it gets none says nothing about the object that is asked for:
//! the answer of such a service must never be taken for that of the store. A service that does not answer, or not now, is
//! worth asking again; if it never gave any credentials, not for long: perhaps there is none on this machine.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use object_store::CredentialProvider;
use tokio::time::Instant;

use super::error::is_passing;

/// How long after its first failure a service that never gave any credentials is asked again.
const PATIENCE: Duration = Duration::from_secs(15);

/// A provider whose errors are told from those of the store.
#[derive(Debug)]
pub(super) struct Given<C> {
    provider: Arc<dyn CredentialProvider<Credential = C>>,
    /// Whether it ever had any.
    had_some: AtomicBool,
    /// When it failed for the first time.
    failed: OnceLock<Instant>,
}

impl<C> Given<C> {
    pub fn by(provider: &Arc<dyn CredentialProvider<Credential = C>>) -> Arc<Self> {
        Arc::new(Self { provider: Arc::clone(provider), had_some: AtomicBool::new(false), failed: OnceLock::new() })
    }
}

#[async_trait]
impl<C: fmt::Debug + Send + Sync + 'static> CredentialProvider for Given<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        let given = self.provider.get_credential().await.map_err(|error| {
            let is_early = self.failed.get_or_init(Instant::now).elapsed() < PATIENCE;
            let passes = self.had_some.load(Ordering::Relaxed) || is_early && is_passing(&error);
            object_store::Error::Generic { store: "credentials", source: Box::new(NoneGiven { passes, error }) }
        })?;
        self.had_some.store(true, Ordering::Relaxed);
        Ok(given)
    }
}

/// There were no credentials.
#[derive(Debug)]
pub(super) struct NoneGiven {
    /// Whether it is worth waiting for some.
    pub passes: bool,
    error: object_store::Error,
}

impl NoneGiven {
    /// Whether this is what is behind an error.
    pub fn behind(error: &object_store::Error) -> Option<&Self> {
        let mut cause = std::error::Error::source(error);
        while let Some(found) = cause {
            if let Some(none) = found.downcast_ref() {
                return Some(none);
            }
            cause = found.source();
        }
        None
    }
}

impl fmt::Display for NoneGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no credentials: {}", self.error)
    }
}

impl std::error::Error for NoneGiven {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_store::error::translated;
    use gabion_core::error::{ErrorKind, Retry};

    /// A service that always answers the same.
    #[derive(Debug)]
    struct Answers(&'static str);

    #[async_trait]
    impl CredentialProvider for Answers {
        type Credential = ();

        async fn get_credential(&self) -> object_store::Result<Arc<()>> {
            Err(object_store::Error::Generic { store: "S3", source: self.0.into() })
        }
    }

    #[test]
    fn a_service_that_never_gave_any_is_waited_for_but_not_for_long() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let busy = "Server returned error response status code: 503 Service Unavailable";
        let no_role = "Server returned non-2xx status code: 404 Not Found";
        for (answer, retry) in [(busy, Retry::Temporary), (no_role, Retry::Permanent)] {
            runtime.block_on(async {
                let given = Given::by(&(Arc::new(Answers(answer)) as Arc<dyn CredentialProvider<Credential = ()>>));
                for retry in [retry, Retry::Permanent] {
                    let error = translated("get object", given.get_credential().await.unwrap_err());
                    assert_eq!(error.retry(), retry, "{error}");
                    assert!(retry == Retry::Temporary || error.kind() == ErrorKind::PermissionDenied, "{error}");
                    tokio::time::sleep(PATIENCE).await;
                }
            });
        }
    }
}
