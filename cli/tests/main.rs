//! The program as people and drivers meet it: commands in, output and exit codes out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what can not be set up is a failed test")]

mod also_to;
mod benchmark;
mod borgmatic;
mod care;
mod compat;
mod crowd;
mod debug;
mod demo;
mod diff;
mod errors;
mod find;
mod git_ignore;
mod help;
mod import;
mod in_place;
mod info;
mod input;
mod keys;
mod killed;
mod life;
mod machine;
#[cfg(target_os = "linux")]
mod memory;
mod mount;
mod output;
mod package;
mod pages;
mod place;
mod policies;
mod privileged;
mod reference;
mod remote;
mod repair;
mod rewrite;
mod round_trip;
mod run;
mod scrub;
mod signals;
mod sshd;
mod stores;
mod surplus;
mod tar;
mod terminal;
mod trust;
