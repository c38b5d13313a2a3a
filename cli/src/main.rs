//! The gabion program.
#![allow(dead_code, reason = "commands are wired in the next commit")]

mod date;
mod directories;
mod environment;
mod exit_code;
mod hints;
mod output;
mod passphrase;
mod placeholders;
mod progress;
mod select;
mod signals;
mod timespan;
mod words;

fn main() {}
