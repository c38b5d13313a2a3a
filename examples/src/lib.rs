//! The examples of Gabion; see the `[[example]]` entries of the manifest.
