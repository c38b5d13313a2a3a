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
    ///
    /// A loss is an attempt that failed; what a server refused may be asked again at once.
    pub async fn get(
        &self,
        asked: Instant,
        is_alive: impl Fn(&C) -> bool,
        connect: impl Future<Output = Result<Result<Arc<C>>, Loss>> + Send + 'static,
    ) -> Result<Result<Arc<C>>, Loss> {
        let mut last = Arc::clone(&self.0).lock_owned().await;
        match &*last {
            Last::Connected(connection) if is_alive(connection) => return Ok(Ok(Arc::clone(connection))),
            Last::Failed(loss, when) if *when >= asked => return Err(loss.clone()),
            _ => {}
        }
        // It goes on if the caller loses interest: whoever comes next wants it as well.
        let connected = tokio::spawn(async move {
            let connected = connect.await;
            match &connected {
                Ok(Ok(connection)) => *last = Last::Connected(Arc::clone(connection)),
                Ok(Err(_)) => {}
                Err(loss) => *last = Last::Failed(loss.clone(), Instant::now()),
            }
            connected
        });
        connected.await.unwrap_or_else(|error| Ok(Err(Error::new(ErrorKind::System, CONNECT).because(error))))
    }
}
