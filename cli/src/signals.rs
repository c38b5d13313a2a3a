//! Signals: the first SIGINT or SIGTERM asks to stop at the next safe point, the
//! second ends the process at once; SIGUSR1 asks for a line about progress.
//!
//! The handlers only set flags, or call `_exit`.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// Whether SIGUSR1 came, from the start of the process on.
#[cfg(unix)]
static REPORT: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Keeps SIGUSR1 from ending the process. What it asks for is told as soon as there is something to tell of.
#[cfg(unix)]
pub fn await_report() {
    // Without it the signal does what it did: it ends a process that nothing else keeps from working.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&REPORT));
}

/// What signals have asked for.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    stop: Arc<AtomicBool>,
    number: Arc<AtomicUsize>,
    report: Arc<AtomicBool>,
}

impl Signals {
    /// Listens to the process's signals from now on.
    pub fn install() -> io::Result<Self> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::flag;

        let signals = Self {
            #[cfg(unix)]
            report: Arc::clone(&REPORT),
            ..Self::default()
        };
        for signal in [SIGINT, SIGTERM] {
            // in this order: the first signal finds the flag not set yet
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&signals.stop))?;
            flag::register_usize(signal, Arc::clone(&signals.number), usize::try_from(signal).unwrap_or(0))?;
            flag::register(signal, Arc::clone(&signals.stop))?;
        }
        Ok(signals)
    }

    /// Whether to stop at the next safe point.
    pub fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The number of the signal that asked to stop.
    pub fn number(&self) -> Option<u8> {
        let number = self.number.load(Ordering::Relaxed);
        u8::try_from(number).ok().filter(|number| *number != 0 && self.interrupted())
    }

    /// Whether a line about progress was asked for since the last call.
    pub fn take_report(&self) -> bool {
        self.report.swap(false, Ordering::Relaxed)
    }

    /// As if SIGUSR1 had come.
    #[cfg(test)]
    pub fn ask_report(&self) {
        self.report.store(true, Ordering::Relaxed);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use signal_hook::consts::{SIGTERM, SIGUSR1};
    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn signals_set_flags() {
        await_report();
        let signals = Signals::install().unwrap();
        assert!(!signals.interrupted() && !signals.take_report());
        assert_eq!(signals.number(), None);
        raise(SIGUSR1).unwrap();
        assert!(signals.take_report() && !signals.take_report());
        assert!(!signals.interrupted());
        raise(SIGTERM).unwrap();
        assert_eq!((signals.interrupted(), signals.number()), (true, Some(15)));
    }
}
