//! Many things are read at once: on all cores, and while others wait for the store.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Result, is_finding};

/// What `work` makes of each item, with the item's position, until `stop` says so or an error that is no finding comes,
/// such as that the connection is lost. Every thread has one item at a time and a `tool` of its own.
pub(super) fn at_once<T: Sync, U: Send, W>(
    items: &[T],
    threads: usize,
    stop: &(dyn Fn() -> bool + Sync),
    tool: &(dyn Fn() -> W + Sync),
    work: &(dyn Fn(&T, &mut W) -> Result<U> + Sync),
) -> Vec<(usize, Result<U>)> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    let failed = AtomicBool::new(false);
    let run = || {
        let mut tool = tool();
        while !stop() && !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(number) else { break };
            let made = work(item, &mut tool);
            if made.as_ref().is_err_and(|error| !is_finding(error)) {
                failed.store(true, Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, made));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};

    #[test]
    fn everything_is_done_once_and_in_order() {
        let items: Vec<u32> = (0..1000).collect();
        for threads in [0, 1, 3] {
            let done = at_once(&items, threads, &|| false, &|| (), &|item, ()| Ok(item * 2));
            let made: Vec<_> = done.into_iter().map(|(number, made)| (number, made.unwrap())).collect();
            assert!(made.iter().enumerate().all(|(at, made)| *made == (at, 2 * at as u32)));
            assert_eq!(made.len(), 1000);
        }
        assert!(at_once(&items, 3, &|| true, &|| (), &|item, ()| Ok(*item)).is_empty());
    }

    #[test]
    fn only_an_error_that_is_no_finding_ends_it() {
        let failing = |error: fn() -> Error| at_once(&[0; 9], 1, &|| false, &|| (), &|_, ()| Err::<(), _>(error()));
        assert_eq!(failing(|| Error::new(ErrorKind::Damaged, "read")).len(), 9);
        assert_eq!(failing(|| Error::new(ErrorKind::Connection, "read").temporary()).len(), 1);
    }
}
