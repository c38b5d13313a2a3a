//! What is known of objects that were read in ranges before: whether they have parity, and how long they are.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gabion_core::backend::ObjectName;

use super::layout::HEADER_BYTES;

/// Objects that are remembered; then all are forgotten, which costs a small read each.
const FORMS_MAX: usize = 64 << 10;

/// How an object lies in its store, and the bytes of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Behind a header.
    Protected(u64),
    /// As it is.
    Plain(u64),
}

impl Form {
    pub fn bytes(self) -> u64 {
        match self {
            Self::Protected(bytes) | Self::Plain(bytes) => bytes,
        }
    }

    /// Where the data begins.
    pub fn start(self) -> usize {
        match self {
            Self::Protected(_) => HEADER_BYTES,
            Self::Plain(_) => 0,
        }
    }
}

/// The memory. What it says may be outdated by another client; then the bytes that are read are wrong, and who reads
/// them finds out.
#[derive(Debug, Default)]
pub(super) struct Forms(Mutex<HashMap<ObjectName, Form>>);

impl Forms {
    pub fn get(&self, name: &ObjectName) -> Option<Form> {
        self.map().get(name).copied()
    }

    pub fn note(&self, name: &ObjectName, form: Form) {
        let mut map = self.map();
        if map.len() >= FORMS_MAX {
            map.clear();
        }
        map.insert(name.clone(), form);
    }

    pub fn forget(&self, name: &ObjectName) {
        self.map().remove(name);
    }

    fn map(&self) -> MutexGuard<'_, HashMap<ObjectName, Form>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
