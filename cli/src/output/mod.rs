//! What people and programs read: sizes, times, formats, JSON.

pub mod archive;
pub mod chart;
pub mod format;
pub mod json;
pub mod mode;
pub mod new_file;
pub mod rows;
pub mod sink;
pub mod sort;
pub mod text;
pub mod time;
pub mod units;
