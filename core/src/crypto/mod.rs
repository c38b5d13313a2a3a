//! The cryptography of the engine: every key, nonce, tag and random byte is made
//! here or in [`crate::seal`].
//!
//! Primitives come from well-kept libraries; this module fixes how they are put
//! together. Each object has a key of its own, derived from its salt, which is
//! drawn once when its content is complete; within an object the caller counts
//! what it seals. So no nonce ever repeats under a key, however often a machine
//! is cloned or a run is repeated, and there is no counter to remember.

pub mod aead;
pub mod envelope;
pub mod id_hash;
pub mod kdf;
pub mod key;
pub mod key_slot;
pub mod random;
pub mod secret;
