//! Directories of the target that are being filled.

use std::sync::Arc;

use super::work::Worker;
use crate::archive::attributes::AttributesRef;
use crate::archive::metadata::Metadata;
use crate::fs::target::TargetDirectory;
use crate::monitor::Warning;

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
    pub fn release(place: Arc<Self>, worker: &Worker<'_>) {
        let mut last = Arc::into_inner(place);
        while let Some(Place { directory, finish, parent }) = last {
            if let Some(Finish { path, metadata, attributes }) = finish {
                let attributes = worker.attributes(&attributes, &path);
                let failed = directory.set_own_metadata(&metadata, &attributes, &worker.options.restore);
                failed.iter().for_each(|error| worker.warn(Warning::Attribute, &path, error));
            }
            last = parent.and_then(Arc::into_inner);
        }
    }
}
