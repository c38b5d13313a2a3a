//! What a segment holds, by the fifth byte of its header: all that a store ever looks at.

use gabion_core::backend::{ObjectName, Payload};
use gabion_core::segment::Class;

/// The class that the first bytes of a segment claim.
pub(crate) fn class(header: &[u8]) -> Option<Class> {
    header.get(4).and_then(|number| Class::try_from(*number).ok())
}

/// Whether an object is a segment that holds data: the bulk of a repository, which only restoring reads.
#[cfg(feature = "s3")]
pub(crate) fn holds_data(name: &ObjectName, payload: &Payload) -> bool {
    let first = payload.pieces().first().map_or(&[][..], |piece| piece);
    name.as_str().starts_with("segments/") && class(first) == Some(Class::Data)
}
