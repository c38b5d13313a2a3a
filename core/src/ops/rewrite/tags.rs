//! Directories that are left out because of what lies in them.

use crate::archive::content::DirectoryRef;
use crate::archive::metadata::FileType;
use crate::archive::tree::DirectoryReader;
use crate::chunker::{Input as _, Read};
use crate::error::Result;
use crate::fs::source::CACHEDIR_TAG;
use crate::limits::MIB;
use crate::ops::archived_input::ArchivedInput;
use crate::repository::Reader;

/// Which directories are left out because of an entry they have.
#[derive(Clone, Debug, Default)]
pub struct TagRules {
    /// Those that hold a `CACHEDIR.TAG` with the agreed signature.
    pub exclude_caches: bool,
    /// Those that hold an entry of one of these names.
    pub exclude_if_present: Vec<Vec<u8>>,
    /// Keep the directory itself and its tags.
    pub keep_exclude_tags: bool,
}

impl TagRules {
    /// Whether no directory is left out.
    pub fn is_empty(&self) -> bool {
        !self.exclude_caches && self.exclude_if_present.is_empty()
    }

    /// The tags a directory has, if it has any.
    pub(super) fn found_in(&self, reader: &Reader, directory: &DirectoryRef) -> Result<Option<Vec<Vec<u8>>>> {
        let mut found = Vec::new();
        if self.exclude_caches && is_cache(reader, directory)? {
            found.push(CACHEDIR_TAG.0.to_vec());
        }
        for name in &self.exclude_if_present {
            if DirectoryReader::open(reader, directory, None).find(name)?.is_some() {
                found.push(name.clone());
            }
        }
        Ok((!found.is_empty()).then_some(found))
    }
}

fn is_cache(reader: &Reader, directory: &DirectoryRef) -> Result<bool> {
    let (name, signature) = CACHEDIR_TAG;
    let Some((tag, _)) = DirectoryReader::open(reader, directory, None).find(name)? else { return Ok(false) };
    if tag.file_type != FileType::File || tag.size < signature.len() as u64 {
        return Ok(false);
    }
    let (mut input, mut buffer, mut start) = (ArchivedInput::open(reader, &tag)?, vec![0; MIB], Vec::new());
    while start.len() < signature.len() {
        match input.read(&mut buffer)? {
            Read::Data(bytes) => start.extend_from_slice(&buffer[..bytes]),
            Read::Hole(_) | Read::End => return Ok(false),
        }
    }
    Ok(start.starts_with(signature))
}
