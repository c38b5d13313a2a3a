//! Many things are read at once: on all cores, and while others wait for the store.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What `work` makes of each item, with the item's position, until `stop` says so. Every thread has one item at a time
/// and a `tool` of its own.
pub(super) fn at_once<T: Sync, U: Send, W>(
    items: &[T],
    threads: usize,
    stop: &(dyn Fn() -> bool + Sync),
    tool: &(dyn Fn() -> W + Sync),
    work: &(dyn Fn(&T, &mut W) -> U + Sync),
) -> Vec<(usize, U)> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    let run = || {
        let mut tool = tool();
        while !stop() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(number) else { break };
            let made = work(item, &mut tool);
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

    #[test]
    fn everything_is_done_once_and_in_order() {
        let items: Vec<u32> = (0..1000).collect();
        for threads in [0, 1, 3] {
            let done = at_once(&items, threads, &|| false, &|| (), &|item, ()| item * 2);
            assert!(done.iter().enumerate().all(|(at, (number, made))| at == *number && *made == 2 * at as u32));
            assert_eq!(done.len(), 1000);
        }
        assert_eq!(at_once(&items, 3, &|| true, &|| (), &|item, ()| *item), []);
    }
}
