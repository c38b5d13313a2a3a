//! The conformance suite: the contract of [`Backend`], put as questions to a store.
//!
//! Every check is one behaviour and cites the number of the contract it stands for. Checks do not panic: they
//! return [`Finding`]s, so a program can run them against a store before it is trusted. A panic inside the backend
//! is a finding too. All names begin with one random word (or the word in [`Options::top`]), so the suite can run
//! beside the objects of a repository; it removes what it put.
//!
//! The content of an object follows from its name, so whoever reads a name at whatever moment knows what must be
//! there. Nothing is timed, except that a store which admits to stale lists is given that time.

mod lists;
mod objects;
mod place;
mod races;

use std::fmt;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::Backend;
use crate::limits::{KIB, MIB};
use place::{Outcome, Place};

/// How much the suite asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Objects of the long list.
    pub names: usize,
    /// Bytes of the largest object.
    pub large_bytes: usize,
    /// Turns of each of the tasks that compete.
    pub rounds: usize,
    /// The first part of every name; drawn at random if `None`. Two checks also put one object each under
    /// `<top>-beside/` and one named `<top>-alone`.
    pub top: Option<String>,
}

impl Options {
    /// A few hundred calls: seconds on a disk.
    pub fn quick() -> Self {
        Self { names: 300, large_bytes: 4 * MIB + 13, rounds: 10, top: None }
    }

    /// What a store has to bear: 10 000 names, an object of 64 MiB.
    pub fn full() -> Self {
        Self { names: 10_000, large_bytes: 64 * MIB + 13, rounds: 60, top: None }
    }
}

/// One way in which a store breaks the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The number in the contract, see [`crate::backend`].
    pub rule: u8,
    /// The check that found it.
    pub check: &'static str,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "contract {}, {}: {}", self.rule, self.check, self.detail)
    }
}

/// What a run of the suite found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Checks that ran, in order.
    pub checks: Vec<&'static str>,
    /// Breaches of the contract; none is what one hopes for.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether the store kept the contract in everything that was tried.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && !self.checks.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} checks, {} findings", self.checks.len(), self.findings.len())?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

/// Runs every check over `backend`, one after the other, and removes the objects they put.
///
/// Must be awaited inside a tokio runtime; with several worker threads the competing tasks really compete.
pub async fn check(backend: Arc<dyn Backend>, options: Options) -> Report {
    let place = Place::new(backend, options);
    let mut report = Report::default();
    place.try_replacing().await;
    for (rule, name, run) in CHECKS {
        report.checks.push(name);
        // A task of its own turns a panic of the backend into a finding.
        let outcome = tokio::spawn(run(place.clone())).await.unwrap_or_else(|error| Err(error.to_string()));
        report.findings.extend(outcome.err().map(|detail| Finding { rule: *rule, check: name, detail }));
    }
    let check = "everything can be removed";
    report.checks.push(check);
    report.findings.extend(place.clean_up().await.err().map(|detail| Finding { rule: 4, check, detail }));
    report
}

type Check = fn(Place) -> BoxFuture<'static, Outcome>;

const CHECKS: &[(u8, &str, Check)] = &[
    (1, "an object comes back whole", |place| objects::round_trip(place).boxed()),
    (1, "an empty object is an object", |place| objects::empty(place).boxed()),
    (1, "pieces are joined in order", |place| objects::pieces(place).boxed()),
    (1, "a large object comes back whole", |place| objects::large(place).boxed()),
    (2, "the same put again is fine", |place| objects::same_again(place).boxed()),
    (2, "only what exists is replaced", |place| objects::replace_existing(place).boxed()),
    (3, "ranges are exact", |place| objects::ranges(place).boxed()),
    (3, "ranges past the end fail", |place| objects::ranges_past_the_end(place).boxed()),
    (3, "too long objects are refused", |place| objects::limits(place).boxed()),
    (3, "missing names are not found", |place| objects::missing(place).boxed()),
    (4, "deleted names are not found", |place| objects::delete(place).boxed()),
    (7, "errors name the object", |place| objects::errors_tell(place).boxed()),
    (9, "every valid name is a name", |place| objects::unusual_names(place).boxed()),
    (9, "lying ranges are refused", |place| objects::lying_ranges(place).boxed()),
    (5, "lists go by whole parts", |place| lists::whole_parts(place).boxed()),
    (5, "nothing is listed where nothing is", |place| lists::nothing(place).boxed()),
    (5, "lists follow puts and deletes", |place| lists::follow(place).boxed()),
    (10, "sizes are told", |place| lists::sizes(place).boxed()),
    (8, "a dropped put leaves nothing half-written", |place| races::dropped_put(place).boxed()),
    (1, "a reader never sees half a put", |place| races::reader_during_put(place).boxed()),
    (2, "a reader never sees half a replacement", |place| races::reader_during_replace(place).boxed()),
    (2, "a replacement never revives the deleted", |place| races::replace_against_delete(place).boxed()),
    (8, "the same put at once is fine", |place| races::same_put_at_once(place).boxed()),
    (8, "many tasks at once agree", |place| races::many_at_once(place).boxed()),
    (5, "stable names are listed once during change", |place| lists::during_change(place).boxed()),
    (5, "long lists are complete", |place| lists::long(place).boxed()),
];

/// Sizes worth trying: nothing, one byte, around a page, around what one system call may take of a pipe.
const SIZES: [usize; 6] = [0, 1, 4 * KIB - 1, 4 * KIB, 64 * KIB + 1, MIB + 3];

#[cfg(test)]
mod tests;
