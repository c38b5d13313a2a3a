//! The voice of a running command on standard error: what becomes of files, how far
//! it is, what goes wrong, as lines for people or as JSON lines for drivers.
//!
//! One [`Reporter`] per command. It never fails: when nobody reads standard error,
//! the work goes on.

pub mod lines;
mod rate;

use std::io::{IsTerminal as _, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gabion_core::clock::Clock;
use gabion_core::monitor::{Counters, Event, FileStatus, Monitor};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit_code::{self, Code, Warnings};
use crate::output::text::printable;
use crate::output::units::Units;
use crate::signals::Signals;
use lines::Snapshot;
use rate::Rate;

/// How often progress is shown.
const INTERVAL: Duration = Duration::from_millis(200);
/// How often it is shown as a line of its own, which nothing wipes out again.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// How the reporter speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines for people; progress one line at a time.
    Plain,
    /// Lines for people, and a bar below them. Standard error must be a terminal.
    Terminal,
    /// One JSON object per line.
    Json,
}

impl Form {
    /// JSON if asked for, else as fits standard error.
    pub fn choose(json: bool) -> Self {
        match (json, std::io::stderr().is_terminal()) {
            (true, _) => Self::Json,
            (false, true) => Self::Terminal,
            (false, false) => Self::Plain,
        }
    }
}

/// What kind of work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing that takes long enough to tell how far it is; who asks by a signal gets a line.
    Untold,
    /// An archive is made: `archive_progress`.
    Archive,
    /// Something with a known end: `progress_percent`.
    Steps {
        /// The message id of the operation, such as `extract`.
        msgid: &'static str,
        /// What people read, such as `Extracting`.
        label: &'static str,
    },
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For developers.
    Debug,
    /// For the curious.
    Info,
    /// Something is missing or odd.
    Warning,
    /// The command failed.
    Error,
    /// Everything failed.
    Critical,
}

/// What the reporter tells.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How.
    pub form: Form,
    /// Of which work.
    pub work: Work,
    /// Whether to show progress, if the work has any.
    pub progress: bool,
    /// Whether to tell what becomes of each file.
    pub list: bool,
    /// Only of files with one of these status letters; `None` for all.
    pub filter: Option<String>,
    /// Messages below this are not told.
    pub level: Level,
    /// How sizes are shown.
    pub units: Units,
    /// The letters of what becomes of files.
    pub letters: fn(FileStatus) -> char,
}

impl Default for Settings {
    /// Plain warnings and errors only.
    fn default() -> Self {
        Self {
            form: Form::Plain,
            work: Work::Untold,
            progress: false,
            list: false,
            filter: None,
            level: Level::Warning,
            units: Units::default(),
            letters: lines::letter,
        }
    }
}

impl Settings {
    fn shows_progress(&self) -> bool {
        self.progress && self.work != Work::Untold
    }
}

/// Tells what a command does. Progress is shown from a thread of its own until it is dropped.
pub struct Reporter {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    settings: Settings,
    operation: u32,
    counters: Counters,
    signals: Signals,
    clock: Box<dyn Clock>,
    started: Instant,
    path: Mutex<Vec<u8>>,
    warnings: Mutex<Warnings>,
    voice: Mutex<Voice>,
    stop: (Mutex<bool>, Condvar),
}

struct Voice {
    out: Box<dyn Write + Send>,
    bar: Option<ProgressBar>,
    rate: Rate,
    /// When progress was last shown as a line.
    shown: Option<Duration>,
    finished: bool,
}

/// What a reporter has counted, also after it is gone.
pub struct Count(Arc<Shared>);

impl Count {
    /// Files, bytes in them, new bytes, and bytes stored for these.
    pub fn get(&self) -> [u64; 4] {
        let Counters { files, bytes, new_bytes, stored_bytes, .. } = &self.0.counters;
        [files, bytes, new_bytes, stored_bytes].map(Counters::get)
    }
}

impl Reporter {
    /// What it counts from now on.
    pub fn count(&self) -> Count {
        Count(Arc::clone(&self.shared))
    }

    /// The number of the signal that asked to stop.
    pub fn signal(&self) -> Option<u8> {
        self.shared.signals.number()
    }

    /// Speaks to standard error.
    pub fn new(settings: Settings, signals: Signals) -> Self {
        let bar = (settings.shows_progress() && settings.form == Form::Terminal)
            .then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
        let clock = Box::new(gabion_core::clock::SystemClock);
        let mut reporter = Self::silent(settings, signals, Box::new(std::io::stderr()), bar, clock);
        let shared = Arc::clone(&reporter.shared);
        let ticker = std::thread::Builder::new().name("progress".to_owned()).spawn(move || shared.run());
        // without a thread there is no progress, but there is work
        reporter.ticker = ticker.ok();
        reporter
    }

    /// A reporter without a thread: somebody must call [`Shared::tick`].
    fn silent(
        settings: Settings,
        signals: Signals,
        out: Box<dyn Write + Send>,
        bar: Option<ProgressBar>,
        clock: Box<dyn Clock>,
    ) -> Self {
        let shared = Shared {
            settings,
            operation: lines::next_operation(),
            counters: Counters::default(),
            signals,
            clock,
            started: Instant::now(),
            path: Mutex::default(),
            warnings: Mutex::default(),
            voice: Mutex::new(Voice { out, bar, rate: Rate::default(), shown: None, finished: false }),
            stop: (Mutex::new(false), Condvar::new()),
        };
        Self { shared: Arc::new(shared), ticker: None }
    }

    /// Tells a message. `code` is its message id and, for a warning, how the command will end.
    pub fn log(&self, level: Level, code: Option<Code>, message: &str) {
        self.shared.log(level, code, message);
    }

    /// Tells a line that was asked for, whatever the level.
    pub fn say(&self, message: &str) {
        self.shared.say(Level::Info, None, message);
    }

    /// The warnings so far.
    pub fn warnings(&self) -> Warnings {
        lock(&self.shared.warnings).clone()
    }

    /// Ends the display of progress. Messages are still told.
    pub fn finish(&self) {
        self.shared.finish();
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        *lock(&self.shared.stop.0) = true;
        self.shared.stop.1.notify_all();
        if let Some(ticker) = self.ticker.take() {
            // a thread that panicked has nothing more to say
            let _ = ticker.join();
        }
        self.shared.finish();
    }
}

impl Monitor for Reporter {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::File { status, path } => self.shared.file(*status, path),
            Event::Warning { warning, path, error } => {
                let code = exit_code::of_warning(*warning, error);
                let place = if path.is_empty() { String::new() } else { format!("{}: ", printable(path)) };
                self.shared.log(Level::Warning, Some(code), &format!("{place}{error}"));
            }
            Event::Checkpoint => self.shared.log(Level::Debug, None, "checkpoint"),
            _ => {}
        }
    }

    fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    fn interrupted(&self) -> bool {
        self.shared.signals.interrupted()
    }
}

impl Shared {
    fn run(&self) {
        let mut stop = lock(&self.stop.0);
        while !*stop {
            let waited = self.stop.1.wait_timeout(stop, INTERVAL).unwrap_or_else(PoisonError::into_inner);
            stop = waited.0;
            if !*stop {
                self.tick(self.started.elapsed());
            }
        }
    }

    /// Shows how far the work is; `elapsed` is the time since it began.
    fn tick(&self, elapsed: Duration) {
        let wanted = self.signals.take_report();
        if !wanted && !self.settings.shows_progress() {
            return;
        }
        let mut voice = lock(&self.voice);
        if voice.finished {
            return;
        }
        let snapshot = self.snapshot(&mut voice.rate, elapsed);
        match self.settings.form {
            Form::Json => voice.line(&self.progress_json(&snapshot, false)),
            Form::Plain => {
                if wanted || voice.shown.is_none_or(|shown| elapsed.saturating_sub(shown) >= LINE_INTERVAL) {
                    voice.shown = Some(elapsed);
                    voice.line(&lines::plain(&snapshot, self.settings.units, true));
                }
            }
            Form::Terminal => {
                if let Some(bar) = &voice.bar {
                    draw(bar, &snapshot, self.settings.units);
                }
                if wanted {
                    voice.line(&lines::plain(&snapshot, self.settings.units, true));
                }
            }
        }
    }

    fn snapshot(&self, rate: &mut Rate, elapsed: Duration) -> Snapshot {
        let counters = &self.counters;
        let bytes = Counters::get(&counters.bytes);
        rate.update(elapsed, bytes);
        Snapshot {
            files: Counters::get(&counters.files),
            bytes,
            new_bytes: Counters::get(&counters.new_bytes),
            stored_bytes: Counters::get(&counters.stored_bytes),
            files_expected: Counters::get(&counters.files_expected),
            bytes_expected: Counters::get(&counters.bytes_expected),
            rate: rate.per_second(),
            path: lock(&self.path).clone(),
        }
    }

    fn progress_json(&self, snapshot: &Snapshot, finished: bool) -> String {
        let now = self.clock.now();
        match self.settings.work {
            Work::Untold => {
                lines::log_message(Level::Info, None, &lines::plain(snapshot, self.settings.units, true), now)
            }
            Work::Archive => lines::archive_progress(snapshot, now, finished),
            Work::Steps { msgid, label } => lines::steps(snapshot, self.operation, msgid, label, now, finished),
        }
    }

    fn file(&self, status: FileStatus, path: &[u8]) {
        if self.settings.progress {
            let mut last = lock(&self.path);
            last.clear();
            last.extend_from_slice(path);
        }
        let letter = (self.settings.letters)(status);
        if !self.settings.list || self.settings.filter.as_ref().is_some_and(|filter| !filter.contains(letter)) {
            return;
        }
        let line = match self.settings.form {
            Form::Json => lines::file_status(letter, path),
            Form::Plain | Form::Terminal if status == FileStatus::Extracted => printable(path).into_owned(),
            Form::Plain | Form::Terminal if status == FileStatus::Deleted => format!("deleting {}", printable(path)),
            Form::Plain | Form::Terminal => format!("{letter} {}", printable(path)),
        };
        lock(&self.voice).line(&line);
    }

    fn log(&self, level: Level, code: Option<Code>, message: &str) {
        if level == Level::Warning
            && let Some(code) = code
        {
            lock(&self.warnings).add(code);
        }
        if level < self.settings.level {
            return;
        }
        self.say(level, code, message);
    }

    fn say(&self, level: Level, code: Option<Code>, message: &str) {
        let line = match self.settings.form {
            Form::Json => lines::log_message(level, code, message, self.clock.now()),
            Form::Plain | Form::Terminal => message.to_owned(),
        };
        lock(&self.voice).line(&line);
    }

    fn finish(&self) {
        let mut voice = lock(&self.voice);
        if std::mem::replace(&mut voice.finished, true) {
            return;
        }
        if let Some(bar) = voice.bar.take() {
            bar.finish_and_clear();
        }
        if self.settings.shows_progress() && self.settings.form == Form::Json {
            let snapshot = self.snapshot(&mut voice.rate, self.started.elapsed());
            voice.line(&self.progress_json(&snapshot, true));
        }
    }
}

impl Voice {
    /// One line, above the bar if there is one.
    fn line(&mut self, line: &str) {
        let out = &mut self.out;
        // in one piece, so that lines of several processes do not mix
        let text = format!("{line}\n");
        // nobody listens any more: the work goes on
        let mut write = || drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

fn draw(bar: &ProgressBar, snapshot: &Snapshot, units: Units) {
    let known = snapshot.bytes_expected > 0;
    if bar.length().is_some() != known || bar.message().is_empty() {
        let template = if known { "{bar:20} {percent:>3}% {wide_msg}" } else { "{spinner} {wide_msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
    }
    if known {
        // what is found can be more than what was expected
        bar.set_length(snapshot.bytes_expected.max(snapshot.bytes));
        bar.set_position(snapshot.bytes);
    }
    bar.set_message(lines::plain(snapshot, units, true));
    bar.tick();
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // counters and text: nothing here can be left half done
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
