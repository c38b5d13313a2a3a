//! Mounting archives as a file system.
//!
//! Not built yet: this library is empty. It will be handed an open repository
//! and present its archives read-only through FUSE.
