//! Directories of the target that are being filled.

use std::sync::Arc;

use crate::archive::attributes::AttributesRef;
use crate::archive::metadata::Metadata;
use crate::error::Error;
use crate::fs::restore::RestoreOptions;
use crate::fs::target::TargetDirectory;
use crate::monitor::{Event, Monitor, Warning};
use crate::repository::Reader;

/// A directory that is kept open as long as something below it is not complete.
pub(super) struct Place {
    pub directory: TargetDirectory,
    /// What it gets in the end; the target itself gets nothing.
    pub finish: Option<Finish>,
    pub parent: Option<Arc<Place>>,
}

/// Metadata to set when everything below is complete.
pub(super) struct Finish {
    pub path: Vec<u8>,
    pub metadata: Metadata,
    pub attributes: AttributesRef,
}

impl Place {
    /// Gives a share back. Whoever gives the last one back completes the directory, and then its parent.
    pub fn release(place: Arc<Self>, reader: &Reader, options: &RestoreOptions<'_>, monitor: &dyn Monitor) {
        let mut last = Arc::into_inner(place);
        while let Some(Place { directory, finish, parent }) = last {
            if let Some(finish) = finish {
                complete(&directory, &finish, reader, options, monitor);
            }
            last = parent.and_then(Arc::into_inner);
        }
    }
}

fn complete(
    directory: &TargetDirectory,
    finish: &Finish,
    reader: &Reader,
    options: &RestoreOptions<'_>,
    monitor: &dyn Monitor,
) {
    let warn =
        |error: &Error| monitor.event(&Event::Warning { warning: Warning::Attribute, path: &finish.path, error });
    let attributes = finish.attributes.load(reader).unwrap_or_else(|error| {
        warn(&error);
        Default::default()
    });
    directory.set_own_metadata(&finish.metadata, &attributes, options).iter().for_each(warn);
}
