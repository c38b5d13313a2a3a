//! A connection that is made anew when it was lost, by whoever needs it first.

use std::sync::Arc;
use std::time::Instant;

use gabion_core::error::{Error, ErrorKind, Result};
use tokio::sync::Mutex;

use super::CONNECT;
use super::loss::Loss;

/// The connection there is, shared by all who use it.
#[derive(Debug)]
pub(crate) struct Reconnect<C>(Arc<Mutex<Last<C>>>);

/// What became of the last attempt to connect.
#[derive(Debug)]
enum Last<C> {
    Connected(Arc<C>),
    Failed(Loss, Instant),
    None,
}

impl<C: Send + Sync + 'static> Reconnect<C> {
    /// Begins with a connection, or without one.
    pub fn new(connection: Option<Arc<C>>) -> Self {
        Self(Arc::new(Mutex::new(connection.map_or(Last::None, Last::Connected))))
    }

    /// The connection there is, or a new one. Whoever comes first connects; the others wait, without a thread, and get
    /// what came of it: whoever asked before an attempt failed makes no other one.
    pub async fn get(
        &self,
        asked: Instant,
        is_alive: impl Fn(&C) -> bool,
        connect: impl Future<Output = Result<Arc<C>, Loss>> + Send + 'static,
    ) -> Result<Arc<C>, Loss> {
        let mut last = Arc::clone(&self.0).lock_owned().await;
        match &*last {
            Last::Connected(connection) if is_alive(connection) => return Ok(Arc::clone(connection)),
            Last::Failed(loss, when) if *when >= asked => return Err(loss.clone()),
            _ => {}
        }
        // It goes on if the caller loses interest: whoever comes next wants it as well.
        let connected = tokio::spawn(async move {
            let connected = connect.await;
            *last = match &connected {
                Ok(connection) => Last::Connected(Arc::clone(connection)),
                Err(loss) => Last::Failed(loss.clone(), Instant::now()),
            };
            connected
        });
        let ended = |error| Err(Loss::refused(&Error::new(ErrorKind::System, CONNECT).because(error)));
        connected.await.unwrap_or_else(ended)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::super::errors::REFUSED_PATH;
    use super::*;

    #[tokio::test]
    async fn who_asked_before_a_server_refused_is_refused_without_another_attempt() {
        let reconnect = Reconnect::<()>::new(None);
        let attempts = Arc::new(AtomicUsize::new(0));
        let refused = async |asked| {
            let attempts = Arc::clone(&attempts);
            let connect = async move {
                attempts.fetch_add(1, Ordering::Relaxed);
                let error = Error::new(ErrorKind::PermissionDenied, "open repository").with(REFUSED_PATH, "/x");
                Err(Loss::refused(&error))
            };
            let error = reconnect.get(asked, |()| true, connect).await.unwrap_err().error(CONNECT, None);
            assert_eq!((error.kind(), error.context(REFUSED_PATH)), (ErrorKind::PermissionDenied, Some("/x")));
        };
        let asked = Instant::now();
        refused(asked).await;
        refused(asked).await;
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
        refused(asked + Duration::from_secs(3600)).await;
        assert_eq!(attempts.load(Ordering::Relaxed), 2);
    }
}
