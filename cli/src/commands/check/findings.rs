//! What a check found, for people and for programs.

use anyhow::Result;
use gabion_core::ops::check::{About, Checked, Finding};
use serde_json::{Map, Value as Json, json};

use crate::context::Context;
use crate::output::archive::answer;
use crate::output::json::put_bytes;
use crate::output::rows::rows;
use crate::output::text::printable;

/// What a finding is about: a word for programs, and what is concerned.
fn about(about: &About) -> (&'static str, String) {
    match about {
        About::Foreign(name) => ("foreign", name.clone()),
        About::Object(name) => ("object", name.clone()),
        About::MissingSegment(id) => ("missing_segment", format!("segments/{id}")),
        About::StaleEntry(id) => ("stale_entry", format!("segments/{id}")),
        About::Unnamed(count) => ("unnamed_segments", count.to_string()),
        About::Unfinished(id) => ("unfinished_archive", id.to_string()),
        About::Chunk(id) => ("chunk", id.to_string()),
        About::Archive(id) => ("archive", id.to_string()),
        About::Path(archive, path) => ("path", format!("{} in archive {archive}", printable(path))),
    }
}

/// A finding in one line.
pub fn line(finding: &Finding) -> String {
    let (word, what) = about(&finding.about);
    format!("{}: {what}: {}", word.replace('_', " "), finding.error)
}

/// A finding as JSON.
pub fn object(finding: &Finding) -> Json {
    let (word, what) = about(&finding.about);
    let mut object = Map::new();
    object.insert("about".to_owned(), json!(word));
    match &finding.about {
        About::Path(archive, path) => {
            object.insert("archive".to_owned(), json!(archive.to_string()));
            put_bytes(&mut object, "path", path);
        }
        _ => {
            object.insert("object".to_owned(), json!(what));
        }
    }
    object.insert("harmless".to_owned(), json!(finding.about.is_harmless()));
    object.insert("message".to_owned(), json!(finding.error.to_string()));
    Json::Object(object)
}

/// The members of a check's answer as JSON.
pub fn members(checked: &Checked, findings: Vec<Json>) -> Map<String, Json> {
    let mut root = Map::new();
    root.insert("objects".to_owned(), json!(checked.objects));
    root.insert("size".to_owned(), json!(checked.bytes));
    root.insert("skipped_segments".to_owned(), json!(checked.skipped_segments));
    root.insert("archives".to_owned(), json!(checked.archives));
    root.insert("chunks".to_owned(), json!(checked.chunks));
    root.insert("lost_chunks".to_owned(), json!(checked.lost.len()));
    root.insert("damages".to_owned(), json!(checked.damages));
    root.insert("findings".to_owned(), Json::Array(findings));
    root
}

/// The answer of a check as JSON.
pub fn summary(checked: &Checked, findings: Vec<Json>) -> Result<String> {
    answer(members(checked, findings))
}

/// The answer of a check for people.
pub fn table(context: &Context, checked: &Checked) -> String {
    let verdict = match checked.damages {
        0 => "no damage found".to_owned(),
        damages => format!("{damages} findings, {} chunks are lost", checked.lost.len()),
    };
    rows(&[
        ("Objects read", format!("{} ({})", checked.objects, context.units.format(checked.bytes))),
        ("Segments passed over", checked.skipped_segments.to_string()),
        ("Archives", checked.archives.to_string()),
        ("Chunks and tree nodes", checked.chunks.to_string()),
        ("Result", verdict),
    ])
}
