//! The program that is measured, and what is asked of a benchmark.

use std::path::Path;
use std::process::{Command, Stdio};

use gabion_tests::servers::{ACCESS_KEY, SECRET_KEY};

/// Whether a part is wanted: one that stands behind `--`, or any if nothing does.
pub fn wanted(name: &str) -> bool {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    asked.is_empty() || asked.iter().any(|word| word == name)
}

/// A number from the environment.
pub fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How often each thing is measured.
pub fn rounds() -> usize {
    number("GABION_BENCH_ROUNDS", 3)
}

/// The one in the middle.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The program, with a home of its own.
pub fn command(home: &Path, repository: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gabion"));
    command.args(["-r", repository]).args(arguments).env("GABION_BASE_DIR", home).env("GABION_PASSPHRASE", "secret");
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs the program to its good end.
pub fn gabion(home: &Path, repository: &str, arguments: &[&str]) {
    let ended = command(home, repository, arguments).status().unwrap();
    assert!(ended.success(), "gabion {arguments:?}");
}
