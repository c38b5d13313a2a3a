//! What can not be read while much is.

use crate::error::{Error, Result, is_finding};
use crate::monitor::{Event, Monitor, Warning};

/// Reports what can not be read, so that the rest goes on.
///
/// # Errors
/// The error itself if it says nothing about what is stored, such as that the connection is lost: then all the rest would
/// seem to be damaged.
pub(super) fn pass_over(monitor: &dyn Monitor, warning: Warning, path: &[u8], error: Error) -> Result<()> {
    if !is_finding(&error) {
        return Err(error);
    }
    monitor.event(&Event::Warning { warning, path, error: &error });
    Ok(())
}
