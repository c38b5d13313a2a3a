//! The archives that this client saw finished.
//!
//! An archive is put before its last validation. One whose client died in between, or was overtaken, is listed like
//! any other and may lack a chunk; whoever took its files over unread would inherit that. So a base is trusted as it
//! is only by the client that reported it; all others look its chunks up.

use crate::id::ArchiveId;
use crate::repository::Repository;

/// The newest are remembered.
const REMEMBERED: usize = 64;
const ID_BYTES: usize = 16;

/// Whether this client reported the archive. What is forgotten was not.
pub(super) fn knows(repository: &Repository, id: &ArchiveId) -> bool {
    remembered(repository).chunks_exact(ID_BYTES).any(|known| known == id.as_bytes())
}

/// Remembers an archive that is reported now. If that fails the next run looks more up.
pub(super) fn remember(repository: &Repository, id: &ArchiveId) {
    let mut ids = remembered(repository);
    ids.extend_from_slice(id.as_bytes());
    let surplus = (ids.len() / ID_BYTES).saturating_sub(REMEMBERED) * ID_BYTES;
    let _ = repository.state().put(&name(repository), &ids[surplus..]);
}

fn remembered(repository: &Repository) -> Vec<u8> {
    let mut ids = repository.state().get(&name(repository)).ok().flatten().unwrap_or_default();
    ids.truncate(ids.len() / ID_BYTES * ID_BYTES);
    ids
}

fn name(repository: &Repository) -> String {
    format!("reported.{}", repository.id())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::{MemoryBackend, Store};
    use crate::clock::SystemClock;
    use crate::repository::{Client, NewRepository};

    #[test]
    fn the_newest_are_remembered() {
        let store = Store::new(Arc::new(MemoryBackend::new())).unwrap();
        let repository = Repository::create(store, Client::default(), &NewRepository::plain(), &SystemClock).unwrap();
        let id = |number: u8| ArchiveId::from_bytes([number; 16]);
        (0..80).for_each(|number| remember(&repository, &id(number)));
        let known: Vec<u8> = (0..90).filter(|number| knows(&repository, &id(*number))).collect();
        assert_eq!(known, (16..80).collect::<Vec<_>>());
    }
}
