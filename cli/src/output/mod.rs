//! What people and programs read: sizes, times, formats, JSON.

pub mod format;
pub mod json;
pub mod text;
pub mod time;
pub mod units;
