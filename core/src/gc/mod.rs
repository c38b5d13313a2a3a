//! The records two parties shake hands with: whoever deletes segments publishes a
//! *doom* before it looks for the last time, whoever makes an archive publishes a
//! *pending* before it trusts anything it did not write. This module holds what both write and look at, and
//! the check a client makes before it reports success.
//!
//! Order matters in every function here; `docs/architecture.md` names the steps.

mod damage;
mod doom;
mod epoch;
mod lease;
mod look;
mod records;

pub(crate) use damage::put_damage;
pub use damage::{Damage, DamageRecord, LostChunk, damage_records};
pub use doom::{Doom, DoomRecord};
pub use epoch::EpochRecord;
pub(crate) use epoch::{bump_epoch, withdraw_epoch};
pub use lease::LeaseRecord;
pub(crate) use look::list_segments;
pub use look::{Look, Verdict};
