//! Makes the repositories of `tests/data`: `cargo run -p gabion-tests --bin make-golden DIR`.
//!
//! Run once per version of the format; what it made is never edited afterwards.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let place = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name a directory")?;
    gabion_tests::golden::make(&place)
}
