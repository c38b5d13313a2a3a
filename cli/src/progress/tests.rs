//! What a reporter says, heard by a listener in memory.

use gabion_core::clock::{FixedClock, Timestamp};
use gabion_core::error::{Error, ErrorKind};
use gabion_core::monitor::Warning;

use super::*;

#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<u8>>>);

impl Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Listener {
    fn take(&self) -> Vec<String> {
        let heard = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(heard).unwrap().lines().map(str::to_owned).collect()
    }
}

fn reporter(settings: Settings) -> (Reporter, Listener, Signals) {
    let (listener, signals) = (Listener::default(), Signals::default());
    let bar = (settings.form == Form::Terminal).then(ProgressBar::hidden);
    let clock = Box::new(FixedClock(Timestamp::new(9, 0)));
    (Reporter::silent(settings, signals.clone(), Box::new(listener.clone()), bar, clock), listener, signals)
}

fn file(reporter: &Reporter, status: FileStatus, path: &[u8]) {
    reporter.event(&Event::File { status, path });
}

fn warn(reporter: &Reporter, warning: Warning, kind: ErrorKind) {
    reporter.event(&Event::Warning { warning, path: b"a\nb", error: &Error::new(kind, "open file") });
}

#[test]
fn files_are_listed_as_far_as_the_filter_lets_them() {
    let files = [(FileStatus::Added, &b"new"[..]), (FileStatus::Unchanged, b"old"), (FileStatus::Excluded, b"x\xff")];
    let rows: [(bool, Option<&str>, &[&str]); 4] = [
        (false, None, &[]),
        (true, None, &["A new", "U old", "- x\\xff"]),
        (true, Some("AM-"), &["A new", "- x\\xff"]),
        (true, Some(""), &[]),
    ];
    for (list, filter, expected) in rows {
        for form in [Form::Plain, Form::Terminal] {
            let filter = filter.map(str::to_owned);
            let (reporter, listener, _) = reporter(Settings { list, filter, form, ..Settings::default() });
            files.iter().for_each(|(status, path)| file(&reporter, *status, path));
            assert_eq!(listener.take(), expected);
        }
    }
    let (reporter, listener, _) = reporter(Settings { list: true, ..Settings::default() });
    file(&reporter, FileStatus::Extracted, b"path only");
    assert_eq!(listener.take(), ["path only"]);
}

#[test]
fn warnings_are_told_and_counted() {
    let (reporter, listener, _) = reporter(Settings::default());
    assert_eq!(reporter.warnings().rc(), 0);
    warn(&reporter, Warning::Item, ErrorKind::PermissionDenied);
    assert_eq!(listener.take(), ["a\\nb: open file: permission denied"]);
    assert_eq!(reporter.warnings().rc(), 105);
    warn(&reporter, Warning::FileChanged, ErrorKind::SourceChanged);
    assert_eq!(reporter.warnings().rc(), 1);
}

#[test]
fn unwanted_levels_are_silent_but_count() {
    let (reporter, listener, _) = reporter(Settings { level: Level::Error, ..Settings::default() });
    warn(&reporter, Warning::Item, ErrorKind::Io);
    reporter.log(Level::Info, None, "by the way");
    reporter.event(&Event::Checkpoint);
    reporter.log(Level::Error, Some(exit_code::ERROR), "it failed");
    assert_eq!(listener.take(), ["it failed"]);
    assert_eq!(reporter.warnings().rc(), 106);
}

#[test]
fn drivers_get_one_object_per_line() {
    let settings =
        Settings { form: Form::Json, work: Work::Archive, list: true, progress: true, ..Settings::default() };
    let (reporter, listener, _) = reporter(settings);
    file(&reporter, FileStatus::Added, b"a\nb");
    warn(&reporter, Warning::Item, ErrorKind::NotFound);
    Counters::add(&reporter.counters().bytes, 10);
    reporter.shared.tick(Duration::from_secs(1));
    reporter.finish();
    reporter.finish();
    reporter.shared.tick(Duration::from_secs(2));
    drop(reporter);
    let lines: Vec<serde_json::Value> =
        listener.take().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["file_status", "log_message", "archive_progress", "archive_progress"]);
    assert_eq!(lines[1]["msgid"], "BackupFileNotFoundError");
    assert_eq!((&lines[2]["path"], &lines[2]["original_size"]), (&"a\nb".into(), &10.into()));
    assert_eq!((&lines[2]["finished"], &lines[3]["finished"]), (&false.into(), &true.into()));
}

#[test]
fn progress_is_shown_only_if_wanted_or_asked_for() {
    let (reporter, listener, signals) = reporter(Settings::default());
    reporter.shared.tick(Duration::from_secs(1));
    assert!(listener.take().is_empty());
    signals.ask_report();
    reporter.shared.tick(Duration::from_secs(2));
    reporter.shared.tick(Duration::from_secs(3));
    assert_eq!(listener.take(), ["0 files, 0 B, 0 B/s"]);
}

#[test]
fn work_without_progress_tells_none_unless_asked() {
    for (form, line) in [(Form::Plain, "0 files, 0 B, 0 B/s"), (Form::Json, "\"levelname\":\"INFO\"")] {
        let (reporter, listener, signals) = reporter(Settings { form, progress: true, ..Settings::default() });
        reporter.shared.tick(Duration::from_secs(1));
        assert!(listener.take().is_empty());
        signals.ask_report();
        reporter.shared.tick(Duration::from_secs(2));
        let told = listener.take();
        assert!(told.len() == 1 && told[0].contains(line), "{told:?}");
        reporter.finish();
        assert!(listener.take().is_empty());
    }
}

#[test]
fn lines_that_stay_come_seldom() {
    let (reporter, listener, signals) =
        reporter(Settings { progress: true, work: Work::Archive, ..Settings::default() });
    for (second, asked, lines) in [(1, false, 1), (2, false, 0), (3, true, 1), (7, false, 0), (8, false, 1)] {
        if asked {
            signals.ask_report();
        }
        reporter.shared.tick(Duration::from_secs(second));
        assert_eq!(listener.take().len(), lines, "{second}");
    }
}

#[test]
fn a_bar_follows_what_is_known() {
    let settings = Settings { form: Form::Terminal, work: Work::Archive, progress: true, ..Settings::default() };
    let (reporter, listener, _) = reporter(settings);
    let bar = lock(&reporter.shared.voice).bar.clone().unwrap();
    Counters::add(&reporter.counters().bytes, 50);
    reporter.shared.tick(Duration::from_secs(1));
    assert_eq!((bar.length(), bar.message().as_str()), (None, "0 files, 50 B, 50 B/s"));
    Counters::add(&reporter.counters().bytes_expected, 150);
    reporter.shared.tick(Duration::from_secs(2));
    assert_eq!((bar.length(), bar.position()), (Some(150), 50));
    Counters::add(&reporter.counters().bytes, 150);
    reporter.shared.tick(Duration::from_secs(3));
    assert_eq!((bar.length(), bar.position()), (Some(200), 200));
    reporter.finish();
    assert!(bar.is_finished() && listener.take().is_empty());
}

#[test]
fn the_thread_ends_with_the_reporter() {
    let reporter = Reporter::new(Settings::default(), Signals::default());
    let shared = Arc::downgrade(&reporter.shared);
    assert!(!reporter.interrupted());
    drop(reporter);
    assert!(shared.upgrade().is_none());
}
