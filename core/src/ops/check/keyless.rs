//! Checks without a key: every object ends in a hash of itself, and its name follows from its salt.

use super::objects::time_is_up;
use super::reading::at_once;
use super::{About, CheckOptions, Checked, Finding, Report, Told};
use crate::backend::{Prefix, Store};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::monitor::{Counters, Monitor};
use crate::repository::{Named, verify_stored};

/// Reads every object and compares it with its hash and name. What a disk or a wire does to an object is found; an
/// object that is missing, or that an enemy made, is not.
///
/// Of the options `workers` and `seconds_max` count.
///
/// # Errors
/// Only what keeps the check from going on: a connection that is lost, or the wish to stop.
pub fn check_without_key(
    store: &Store,
    options: &CheckOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
    report: &mut Report<'_>,
) -> Result<Checked> {
    let (mut checked, began) = (Checked::default(), clock.now());
    let listed = store.list(&Prefix::all())?;
    Counters::set(&monitor.counters().bytes_expected, listed.iter().map(|object| object.bytes).sum());
    let stop = || monitor.interrupted() || time_is_up(clock, began, options.seconds_max);
    let read = at_once(&listed, options.workers, &stop, &|| (), &|object, ()| {
        let read = verify_stored(store, &object.name);
        Counters::add(&monitor.counters().bytes, object.bytes);
        read
    });
    checked.skipped_segments = listed.len() - read.len();
    for (object, read) in read.into_iter().filter_map(|(number, read)| Some((listed.get(number)?, read))) {
        let error = match read {
            Ok(bytes) => {
                checked.objects += 1;
                checked.bytes += bytes;
                if Named::of(&object.name) != Named::Foreign {
                    continue;
                }
                Error::new(ErrorKind::InvalidInput, "check object").with("reason", "unknown name")
            }
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) if is_finding(&error) => error,
            Err(error) => return Err(error),
        };
        let about = match Named::of(&object.name) {
            Named::Foreign => About::Foreign(object.name.to_string()),
            _ => About::Object(object.name.to_string()),
        };
        checked.damages += usize::from(!about.is_harmless());
        report(Told::Finding(Finding { about, error }));
    }
    monitor.stop_if_asked("check")?;
    Ok(checked)
}
