//! What was stored of files that were read already, by the chunks they were made of.

use std::collections::HashMap;

use crate::archive::content::Content;
use crate::borg1::Borg1Chunk;

/// Files that are remembered; of more the content is read again.
const FILES_MAX: usize = 1_000_000;

/// Remembers about 150 bytes a file.
#[derive(Debug, Default)]
pub(super) struct Memo(HashMap<[u8; 32], (Content, u64)>);

impl Memo {
    /// What was stored of a file made of these chunks. Whether it is still stored is for the caller to find out.
    pub fn get(&self, chunks: &[Borg1Chunk]) -> Option<(Content, u64)> {
        self.0.get(&name(chunks)).cloned()
    }

    pub fn put(&mut self, chunks: &[Borg1Chunk], content: &Content, size: u64) {
        // Very small files are read as quickly as they are remembered.
        if self.0.len() < FILES_MAX && !matches!(content, Content::None | Content::Inline(_)) {
            self.0.insert(name(chunks), (content.clone(), size));
        }
    }
}

fn name(chunks: &[Borg1Chunk]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for chunk in chunks {
        hasher.update(&chunk.id).update(&chunk.bytes.to_le_bytes());
    }
    hasher.finalize().into()
}
