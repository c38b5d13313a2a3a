//! The testkit: stores that record, fail on cue or take everything literally, and trees of files that are made from
//! a seed and compared to the last byte.
//!
//! It depends on the libraries alone, so that every crate of the workspace can use it in its tests.

pub mod bad_spots;
pub mod compare;
pub mod faulty;
pub mod files;
pub mod fuzz;
pub mod golden;
pub mod hooked;
pub mod notes;
pub mod objects;
pub mod recording;
pub mod servers;
pub mod strict;

pub use bad_spots::BadSpots;
pub use compare::{Aspects, compare};
pub use faulty::{FaultyBackend, ReadFault, WriteFault};
pub use files::{Random, TreeOptions, change_tree, make_tree};
pub use hooked::HookedBackend;
pub use notes::Notes;
pub use objects::Objects;
pub use recording::{Call, Method, RecordingBackend};
pub use strict::StrictBackend;

/// Whether a test that can not run here must fail instead of being skipped: `GABION_TEST_REQUIRE=all`.
pub fn all_required() -> bool {
    std::env::var_os("GABION_TEST_REQUIRE").is_some_and(|value| value == "all")
}

/// Whether file systems can be mounted here; if not, the test is skipped with a word about it.
///
/// # Panics
/// If they can not and everything is required.
pub fn can_mount(test: &str) -> bool {
    let can = std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !can {
        assert!(!all_required(), "{test}: no /dev/fuse");
        eprintln!("skipped {test}: no /dev/fuse");
    }
    can
}
