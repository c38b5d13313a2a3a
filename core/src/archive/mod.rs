//! The model: what was backed up.
//!
//! An archive is a record that names a tree of directories. Directories and long content lists are
//! trees of nodes; a node is a chunk of class tree, named by its content: equal
//! directories are one chunk, in however many archives they occur. The modules
//! here are pure: chunks go to a [`crate::repository::ChunkSink`] and come from a
//! [`crate::repository::ChunkSource`], and everything that comes is checked as if an enemy had made it.

pub mod assembly;
pub mod attributes;
pub mod builder;
pub mod catalog;
pub mod content;
pub mod content_tree;
pub mod cut;
pub mod entry;
#[cfg(test)]
mod format_doc_tests;
pub mod history;
pub mod metadata;
pub mod node;
pub mod node_cache;
pub mod record;
pub mod removal;
mod spine;
pub mod stat;
#[cfg(test)]
mod testing;
pub mod tree;
pub mod walk;
mod wire;

pub use attributes::AttributesRef;
pub use builder::DirectoryBuilder;
pub use content::{Content, ContentItem, ContentTree, DirectoryRef};
pub use content_tree::{ContentBuilder, ContentReader};
pub use cut::CutKey;
pub use entry::Entry;
pub use metadata::{Attributes, FileType, Metadata};
pub use node::Node;
pub use node_cache::NodeCache;
pub use record::{
    ArchiveRecord, BaseRef, ClientMark, Head, PendingRecord, Statistics, TopDirectory, check_archive_name,
};
pub use removal::RemovalRecord;
pub use stat::{StatRef, StatRow};
pub use tree::DirectoryReader;
pub use walk::{Walk, WalkError, WalkEvent, WalkItem, find_path};
