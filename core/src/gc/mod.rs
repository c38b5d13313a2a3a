//! The records two parties shake hands with: whoever deletes segments publishes a
//! *doom* before it looks for the last time, whoever makes an archive publishes a
//! *pending* before it trusts anything it did not write. This module holds the
//! client's half: what it looks at, and the check it makes before it reports success.
//!
//! Order matters in every function here; `docs/architecture.md` names the steps.

mod doom;
mod look;

pub use doom::DoomRecord;
pub use look::{Look, Verdict};
