//! Makes sure that everything a new tree refers to is stored, chunk by chunk.
//!
//! Needed when a collector dropped the pending that protected the base, and for archives that were removed and come back.

use crate::archive::content::DirectoryRef;
use crate::archive::node::Node;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ChunkId;
use crate::repository::Writer;
use crate::segment::Class;

/// Visits every node of the tree and asks for every chunk.
pub(super) fn resolve(writer: &Writer, root: &DirectoryRef) -> Result<()> {
    let reader = writer.reader();
    let mut nodes: Vec<ChunkId> = vec![root.root];
    while let Some(id) = nodes.pop() {
        require(writer, &id)?;
        let mut missing = None;
        Node::fetch(&reader, &id)?.for_each_chunk(&mut |class, child| match class {
            Class::Tree => nodes.push(child),
            Class::Data if !writer.knows(&child) => missing = Some(child),
            Class::Data => {}
        });
        if let Some(missing) = missing {
            require(writer, &missing)?;
        }
    }
    Ok(())
}

fn require(writer: &Writer, id: &ChunkId) -> Result<()> {
    if writer.knows(id) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotFound, "validate archive").with("chunk", id))
}
