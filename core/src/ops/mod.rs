//! Operations: one file or folder each, control flow only. They take an open
//! [`Repository`](crate::repository::Repository), plain options, and a
//! [`Monitor`](crate::monitor::Monitor), and never print.

pub mod analyze;
mod archived_input;
pub mod check;
pub mod compact;
pub mod create;
pub mod delete;
pub mod diff;
pub mod erase;
pub mod export_tar;
pub mod extract;
pub mod find;
pub mod hold;
pub mod import;
pub mod lease;
pub mod list;
mod memory;
pub mod prune;
mod publish;
pub mod recreate;
pub mod repair;
pub mod republish;
mod resolve;
mod rewrite;
mod scope;
pub mod transfer;
mod unread;
