//! Views that are really mounted, and looked at by the system's own tools.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "what can not be set up is a failed test")]

mod collected;
mod damaged;
mod equal;
mod fixture;
mod views;
