//! Work for the processor, away from the threads that talk to stores.

use gabion_core::error::{Error, ErrorKind, Result};
use tokio::runtime::Handle;

/// Runs `work` on a thread that may take its time.
pub(crate) async fn computing<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| Error::new(ErrorKind::System, operation).because(error);
    let runtime = Handle::try_current().map_err(|error| failed(error.into()))?;
    runtime.spawn_blocking(work).await.map_err(|error| failed(error.into()))?
}
