//! Figures of the last run of every command, in the text format that Prometheus reads.
//!
//! One file takes those of many commands and repositories: what this run has nothing to say of stays as it is.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::output::new_file::NewFile;

/// What is told of a run.
pub struct Figures<'a> {
    /// The command, such as `create`.
    pub command: &'a str,
    /// The repository, if it has one.
    pub repository: Option<&'a str>,
    /// When it ended, in seconds since 1970.
    pub end: i64,
    /// How long it took, in seconds.
    pub duration: f64,
    /// What it returned, and whether its work is done.
    pub rc: u8,
    pub succeeded: bool,
    /// Regular files handled, bytes in them, bytes that were new, and as which they were stored.
    pub counted: [u64; 4],
}

/// What is told, and what it means.
const GAUGES: [(&str, &str); 8] = [
    ("gabion_last_end_timestamp_seconds", "When the command ended last, in seconds since 1970."),
    ("gabion_last_success_timestamp_seconds", "When the command last ended with its work done."),
    ("gabion_last_duration_seconds", "How long the command took."),
    ("gabion_last_return_code", "What the command returned; 1 and 100 to 127 are warnings."),
    ("gabion_last_files", "Regular files handled."),
    ("gabion_last_bytes", "Bytes in these files."),
    ("gabion_last_new_bytes", "Bytes of them that the repository did not have."),
    ("gabion_last_stored_bytes", "Bytes that were stored for these."),
];

/// Writes the figures of a run to a file that everybody may read. What other runs told there stays.
///
/// # Errors
/// `InvalidData` if there is a file that holds something else, `InvalidInput` if it is no regular one; it is left alone.
pub fn record(path: &Path, figures: &Figures<'_>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Whoever comes meanwhile waits: what both tell is to be there in the end.
    let folder = File::open(folder)?;
    folder.lock()?;
    // Nobody writes to a pipe that is read, and a device has no figures to stay.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut samples = match fs::read_to_string(path) {
        Ok(text) => parse(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    samples.extend(figures.samples());
    let file = NewFile::create(path)?;
    let mut written = file.file()?;
    written.write_all(render(&samples).as_bytes())?;
    written.set_permissions(Permissions::from_mode(0o644))?;
    file.publish()
}

impl Figures<'_> {
    fn samples(&self) -> Vec<(String, String)> {
        let mut labels = format!("{{command=\"{}\"", escaped(self.command));
        if let Some(repository) = self.repository {
            labels.push_str(&format!(",repository=\"{}\"", escaped(repository)));
        }
        let success = self.succeeded.then(|| self.end.to_string());
        let fixed =
            [Some(self.end.to_string()), success, Some(format!("{:.3}", self.duration)), Some(self.rc.to_string())];
        let values = fixed.into_iter().chain(self.counted.map(|count| Some(count.to_string())));
        let named = GAUGES.iter().zip(values);
        named.filter_map(|((name, _), value)| Some((format!("{name}{labels}}}"), value?))).collect()
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Samples by what they are of. Anything else shows that the file is not one of these.
fn parse(text: &str) -> io::Result<BTreeMap<String, String>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let sample = |line: &str| {
        let (key, value) = line.rsplit_once(' ')?;
        let (name, _) = key.split_once('{')?;
        let is_ours = GAUGES.iter().any(|(gauge, _)| *gauge == name) && value.parse::<f64>().is_ok();
        is_ours.then(|| (key.to_owned(), value.to_owned()))
    };
    let samples: Option<BTreeMap<_, _>> = lines.map(sample).collect();
    samples.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it holds something else"))
}

fn render(samples: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, help) in GAUGES {
        let start = format!("{name}{{");
        let own: Vec<_> = samples.iter().filter(|(key, _)| key.starts_with(&start)).collect();
        if !own.is_empty() {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
            own.iter().for_each(|(key, value)| text.push_str(&format!("{key} {value}\n")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures<'a>(command: &'a str, repository: &'a str, rc: u8) -> Figures<'a> {
        let repository = Some(repository);
        Figures { command, repository, end: 1_800_000_000, duration: 1.5, rc, succeeded: rc < 2, counted: [1, 2, 3, 4] }
    }

    #[test]
    fn what_others_told_stays() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("gabion.prom");
        record(&path, &figures("create", "/a", 0)).unwrap();
        record(&path, &figures("check", "/\"b\\", 0)).unwrap();
        record(&path, &Figures { end: 1_800_000_060, ..figures("create", "/a", 2) }).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().take(9).collect();
        let expected = "# HELP gabion_last_end_timestamp_seconds When the command ended last, in seconds since 1970.
# TYPE gabion_last_end_timestamp_seconds gauge
gabion_last_end_timestamp_seconds{command=\"check\",repository=\"/\\\"b\\\\\"} 1800000000
gabion_last_end_timestamp_seconds{command=\"create\",repository=\"/a\"} 1800000060
# HELP gabion_last_success_timestamp_seconds When the command last ended with its work done.
# TYPE gabion_last_success_timestamp_seconds gauge
gabion_last_success_timestamp_seconds{command=\"check\",repository=\"/\\\"b\\\\\"} 1800000000
gabion_last_success_timestamp_seconds{command=\"create\",repository=\"/a\"} 1800000000
# HELP gabion_last_duration_seconds How long the command took.";
        assert_eq!(lines.join("\n"), expected);
        assert!(text.contains("gabion_last_return_code{command=\"create\",repository=\"/a\"} 2\n"), "{text}");
        assert!(text.ends_with("gabion_last_stored_bytes{command=\"create\",repository=\"/a\"} 4\n"), "{text}");
    }

    #[test]
    fn another_file_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        for text in ["a letter\n", "node_load1 2\n", "gabion_last_files{a=\"b\"} many\n"] {
            let path = place.path().join("file");
            fs::write(&path, text).unwrap();
            assert_eq!(record(&path, &figures("create", "/a", 0)).unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
