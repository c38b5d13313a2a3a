//! Operations: one file each, control flow only. They take an open
//! [`Repository`](crate::repository::Repository), plain options, and a
//! [`Monitor`](crate::monitor::Monitor), and never print.

pub mod create;
pub mod extract;
pub mod list;
