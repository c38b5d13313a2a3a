//! A monitor that writes everything down.

use std::sync::{Mutex, PoisonError};

use gabion_core::error::ErrorKind;
use gabion_core::monitor::{Counters, Event, FileStatus, Monitor, Warning};

/// What an operation told.
#[derive(Debug, Default)]
pub struct Notes {
    counters: Counters,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    files: Vec<(FileStatus, Vec<u8>)>,
    warnings: Vec<(Warning, Vec<u8>, ErrorKind, String)>,
    checkpoints: usize,
}

impl Notes {
    /// Nothing told yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The paths that were told with this status, in the order in which they were told.
    pub fn files(&self, status: FileStatus) -> Vec<String> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let with_status = told.files.iter().filter(|(told, _)| *told == status);
        with_status.map(|(_, path)| path.escape_ascii().to_string()).collect()
    }

    /// All warnings, with the path and the kind of error.
    pub fn warnings(&self) -> Vec<(Warning, String, ErrorKind)> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.warnings.iter().map(|(warning, path, kind, _)| (*warning, shown(path), *kind)).collect()
    }

    /// All warnings as sentences.
    pub fn complaints(&self) -> Vec<String> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.warnings.iter().map(|(_, path, _, text)| format!("{}: {text}", shown(path))).collect()
    }

    /// How many checkpoints were published.
    pub fn checkpoints(&self) -> usize {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).checkpoints
    }
}

fn shown(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

impl Monitor for Notes {
    fn event(&self, event: &Event<'_>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::File { status, path } => told.files.push((*status, path.to_vec())),
            Event::Warning { warning, path, error } => {
                told.warnings.push((*warning, path.to_vec(), error.kind(), error.to_string()));
            }
            Event::Checkpoint => told.checkpoints += 1,
            _ => {}
        }
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn interrupted(&self) -> bool {
        false
    }
}
