//! Credentials that somebody else gives for a while: a machine's metadata service, a container's, one for tokens.
//!
//! The library fetches them again before they end. That it gets none says nothing about the object that is asked for:
//! the answer of such a service must never be taken for that of the store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use object_store::CredentialProvider;

/// A provider whose errors are told from those of the store.
#[derive(Debug)]
pub(super) struct Given<C> {
    provider: Arc<dyn CredentialProvider<Credential = C>>,
    /// Whether it ever had any.
    had_some: AtomicBool,
}

impl<C> Given<C> {
    pub fn by(provider: &Arc<dyn CredentialProvider<Credential = C>>) -> Arc<Self> {
        Arc::new(Self { provider: Arc::clone(provider), had_some: AtomicBool::new(false) })
    }
}

#[async_trait]
impl<C: fmt::Debug + Send + Sync + 'static> CredentialProvider for Given<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        let had_some = self.had_some.load(Ordering::Relaxed);
        let given = self.provider.get_credential().await.map_err(|error| object_store::Error::Generic {
            store: "credentials",
            source: Box::new(NoneGiven { had_some, error }),
        })?;
        self.had_some.store(true, Ordering::Relaxed);
        Ok(given)
    }
}

/// There were no credentials.
#[derive(Debug)]
pub(super) struct NoneGiven {
    /// Whether there were some before: then it is worth waiting for.
    pub had_some: bool,
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
