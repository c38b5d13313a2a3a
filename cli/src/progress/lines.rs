//! The lines themselves: pure functions from facts to text.

use std::sync::atomic::{AtomicU32, Ordering};

use gabion_core::clock::Timestamp;
use gabion_core::monitor::FileStatus;
use serde_json::{Map, Value, json};

use super::Level;
use crate::exit_code::Code;
use crate::output::json::put_bytes;
use crate::output::text::printable;
use crate::output::time;
use crate::output::units::Units;

/// How far the work is.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Files handled.
    pub files: u64,
    /// Bytes handled.
    pub bytes: u64,
    /// Bytes of new chunks.
    pub new_bytes: u64,
    /// Bytes of new chunks after compression.
    pub stored_bytes: u64,
    /// Files expected, or 0.
    pub files_expected: u64,
    /// Bytes expected, or 0.
    pub bytes_expected: u64,
    /// Bytes per second.
    pub rate: f64,
    /// The path of the last file, raw bytes.
    pub path: Vec<u8>,
}

impl Snapshot {
    /// Seconds until the end, if that can be guessed.
    pub fn eta(&self) -> Option<u64> {
        let missing = self.bytes_expected.checked_sub(self.bytes)?;
        let seconds = missing as f64 / self.rate;
        // more than ten years is no guess
        (self.bytes_expected > 0 && seconds < 3e8).then_some(seconds as u64)
    }

    fn percent(&self) -> f64 {
        match self.bytes_expected {
            0 => 0.0,
            expected => (self.bytes as f64 * 100.0 / expected as f64).min(100.0),
        }
    }
}

/// The letter that drivers and `--filter` know a status by.
pub fn letter(status: FileStatus) -> char {
    match status {
        FileStatus::Added => 'A',
        FileStatus::Modified => 'M',
        FileStatus::Unchanged => 'U',
        FileStatus::Changed => 'C',
        FileStatus::Error => 'E',
        FileStatus::Directory => 'd',
        FileStatus::Symlink => 's',
        FileStatus::HardLink => 'h',
        FileStatus::BlockDevice => 'b',
        FileStatus::CharacterDevice => 'c',
        FileStatus::Fifo => 'f',
        FileStatus::Stream => 'i',
        FileStatus::Excluded => '-',
        // what a dry run would take, and what a real one took out
        FileStatus::Included | FileStatus::Extracted => '+',
        FileStatus::Deleted => 'D',
        _ => '?',
    }
}

/// A line for people.
pub fn plain(snapshot: &Snapshot, units: Units, with_path: bool) -> String {
    let mut line = format!("{} files", snapshot.files);
    if snapshot.files_expected > 0 {
        line = format!("{} of {} files", snapshot.files, snapshot.files_expected.max(snapshot.files));
    }
    line.push_str(&format!(", {}", units.format(snapshot.bytes)));
    if snapshot.stored_bytes > 0 {
        line.push_str(&format!(", {} new", units.format(snapshot.stored_bytes)));
    }
    line.push_str(&format!(", {}/s", units.format(snapshot.rate as u64)));
    if let Some(seconds) = snapshot.eta() {
        line.push_str(&format!(", ETA {}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    }
    if with_path && !snapshot.path.is_empty() {
        line.push_str(&format!(" {}", printable(&snapshot.path)));
    }
    line
}

/// `archive_progress`. Chunks that were there already count with their plain size in `compressed_size`.
pub fn archive_progress(snapshot: &Snapshot, now: Timestamp, finished: bool) -> String {
    let mut object = object("archive_progress");
    if !finished {
        let saved = snapshot.new_bytes.saturating_sub(snapshot.stored_bytes);
        object.insert("original_size".to_owned(), json!(snapshot.bytes));
        object.insert("compressed_size".to_owned(), json!(snapshot.bytes.saturating_sub(saved)));
        object.insert("deduplicated_size".to_owned(), json!(snapshot.stored_bytes));
        object.insert("nfiles".to_owned(), json!(snapshot.files));
        put_bytes(&mut object, "path", &snapshot.path);
    }
    object.insert("time".to_owned(), json!(time::unix(now)));
    object.insert("finished".to_owned(), json!(finished));
    Value::Object(object).to_string()
}

/// `progress_percent`, or `progress_message` as long as nobody knows the end.
pub fn steps(snapshot: &Snapshot, operation: u32, msgid: &str, label: &str, now: Timestamp, finished: bool) -> String {
    let known = snapshot.bytes_expected > 0;
    let mut object = object(if known { "progress_percent" } else { "progress_message" });
    object.insert("operation".to_owned(), json!(operation));
    object.insert("msgid".to_owned(), json!(msgid));
    object.insert("finished".to_owned(), json!(finished));
    let message = match (finished, known) {
        (true, _) => String::new(),
        (false, true) => format!("{:5.1}% {label}", snapshot.percent()),
        (false, false) => label.to_owned(),
    };
    object.insert("message".to_owned(), json!(message));
    if known && !finished {
        object.insert("current".to_owned(), json!(snapshot.bytes));
        object.insert("total".to_owned(), json!(snapshot.bytes_expected));
        object.insert("info".to_owned(), Value::Null);
    }
    object.insert("time".to_owned(), json!(time::unix(now)));
    Value::Object(object).to_string()
}

/// `file_status`
pub fn file_status(letter: char, path: &[u8]) -> String {
    let mut object = object("file_status");
    object.insert("status".to_owned(), json!(letter.to_string()));
    put_bytes(&mut object, "path", path);
    Value::Object(object).to_string()
}

/// `log_message`
pub fn log_message(level: Level, code: Option<Code>, message: &str, now: Timestamp) -> String {
    let name = match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
        Level::Critical => "CRITICAL",
    };
    let mut object = object("log_message");
    object.insert("time".to_owned(), json!(time::unix(now)));
    object.insert("levelname".to_owned(), json!(name));
    object.insert("name".to_owned(), json!("gabion"));
    object.insert("message".to_owned(), json!(message));
    if let Some(code) = code {
        object.insert("msgid".to_owned(), json!(code.msgid));
    }
    Value::Object(object).to_string()
}

/// A number that no other operation of this process has.
pub fn next_operation() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}

fn object(kind: &str) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), Value::from(kind))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            files: 12,
            bytes: 3_400_000,
            new_bytes: 2_000_000,
            stored_bytes: 500_000,
            rate: 1_000_000.0,
            path: b"home/a\nb".to_vec(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn lines_for_people() {
        let unknown = snapshot();
        assert_eq!(plain(&unknown, Units::Si, true), "12 files, 3.40 MB, 500.00 kB new, 1.00 MB/s home/a\\nb");
        let known = Snapshot { bytes_expected: 3_664_400_000, files_expected: 900, ..snapshot() };
        assert_eq!(plain(&known, Units::Si, false), "12 of 900 files, 3.40 MB, 500.00 kB new, 1.00 MB/s, ETA 1:01:01");
        assert_eq!(plain(&Snapshot::default(), Units::Raw, true), "0 files, 0 B, 0 B/s");
    }

    #[test]
    fn the_end_is_guessed_only_when_there_is_a_reason() {
        let known = Snapshot { bytes_expected: 4_400_000, ..snapshot() };
        for (snapshot, eta) in [
            (snapshot(), None),
            (known.clone(), Some(1)),
            (Snapshot { rate: 0.0, ..known.clone() }, None),
            (Snapshot { bytes: 5_000_000, ..known.clone() }, None),
            (Snapshot { bytes: 4_400_000, ..known }, Some(0)),
        ] {
            assert_eq!(snapshot.eta(), eta, "{snapshot:?}");
        }
    }

    #[test]
    fn lines_for_drivers() {
        let now = Timestamp::new(1000, 500_000_000);
        assert_eq!(
            archive_progress(&snapshot(), now, false),
            r#"{"type":"archive_progress","original_size":3400000,"compressed_size":1900000,"deduplicated_size":500000,"nfiles":12,"path":"home/a\nb","time":1000.5,"finished":false}"#
        );
        assert_eq!(
            archive_progress(&snapshot(), now, true),
            r#"{"type":"archive_progress","time":1000.5,"finished":true}"#
        );
        let known = Snapshot { bytes_expected: 6_800_000, ..snapshot() };
        assert_eq!(
            steps(&known, 7, "extract", "Extracting", now, false),
            r#"{"type":"progress_percent","operation":7,"msgid":"extract","finished":false,"message":" 50.0% Extracting","current":3400000,"total":6800000,"info":null,"time":1000.5}"#
        );
        assert_eq!(
            steps(&known, 7, "extract", "Extracting", now, true),
            r#"{"type":"progress_percent","operation":7,"msgid":"extract","finished":true,"message":"","time":1000.5}"#
        );
        assert_eq!(
            steps(&snapshot(), 7, "prune", "Pruning", now, false),
            r#"{"type":"progress_message","operation":7,"msgid":"prune","finished":false,"message":"Pruning","time":1000.5}"#
        );
        assert_eq!(file_status('A', b"x\xff"), r#"{"type":"file_status","status":"A","path":"x?","path_b64":"eP8="}"#);
        assert_eq!(
            log_message(Level::Error, Some(crate::exit_code::ERROR), "no", now),
            r#"{"type":"log_message","time":1000.5,"levelname":"ERROR","name":"gabion","message":"no","msgid":"Error"}"#
        );
    }

    #[test]
    fn letters() {
        for (status, expected) in [
            (FileStatus::Added, 'A'),
            (FileStatus::Unchanged, 'U'),
            (FileStatus::HardLink, 'h'),
            (FileStatus::Stream, 'i'),
            (FileStatus::Excluded, '-'),
            (FileStatus::Included, '+'),
            (FileStatus::Deleted, 'D'),
        ] {
            assert_eq!(letter(status), expected);
        }
        assert_ne!(next_operation(), next_operation());
    }
}
