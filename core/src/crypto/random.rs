//! The only randomness of the engine: the operating system's generator, asked anew
//! each time.
//!
//! There is no state in the process that a fork, a snapshot or a cloned machine
//! could duplicate.

use crate::error::{Error, ErrorKind, Result};
use crate::id::SALT_BYTES;

/// Fills `bytes` with random bytes; kind [`ErrorKind::System`] if there are none to be had.
pub fn fill(bytes: &mut [u8]) -> Result<()> {
    #[cfg(feature = "simulation")]
    if simulation::fill(bytes) {
        return Ok(());
    }
    getrandom::fill(bytes).map_err(|error| Error::new(ErrorKind::System, "draw random bytes").because(error))
}

/// Randomness that can be foreseen, so that a test can see the same run twice. Not for programs.
#[cfg(feature = "simulation")]
pub mod simulation {
    use std::cell::RefCell;

    thread_local! {
        static STREAM: RefCell<Option<blake3::OutputReader>> = const { RefCell::new(None) };
    }

    /// From now on all that this thread draws follows from `seed`.
    pub fn seed_this_thread(seed: u64) {
        let stream = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
        STREAM.with_borrow_mut(|slot| *slot = Some(stream));
    }

    /// Whether this thread was seeded, and if so, the next bytes.
    pub(super) fn fill(bytes: &mut [u8]) -> bool {
        STREAM.with_borrow_mut(|stream| stream.as_mut().map(|stream| stream.fill(bytes)).is_some())
    }
}

/// `N` random bytes.
pub fn array<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// The one draw of an object, to be made when its content is complete.
pub fn salt() -> Result<[u8; SALT_BYTES]> {
    array()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_and_fill_everything() {
        assert_ne!(salt().unwrap(), salt().unwrap());
        let mut bytes = [0; 4096];
        fill(&mut bytes).unwrap();
        assert!(bytes.chunks(16).all(|part| part != [0; 16]));
    }
}
