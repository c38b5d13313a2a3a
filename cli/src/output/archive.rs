//! Repositories and archives as listings and JSON show them.

use gabion_core::archive::catalog::{Archive, Catalog};
use gabion_core::clock::Timestamp;
use gabion_core::repository::{Holdings, Repository};
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json, json};

use super::format::Value;
use super::{json::put_bytes, time};
use crate::context::Context;

/// Keys of an archive in a format string.
pub const KEYS: &[&str] = &[
    "archive",
    "name",
    "comment",
    "id",
    "tags",
    "time",
    "start",
    "end",
    "command_line",
    "hostname",
    "username",
    "size",
    "nfiles",
];

/// The value of one of [`KEYS`].
pub fn value<'a>(archive: &'a Archive, key: &str) -> Option<Value<'a>> {
    let record = &archive.record;
    let text = |text: &'a str| Value::Text(text.into());
    Some(match key {
        "archive" | "name" => text(&record.name),
        "comment" => text(&record.comment),
        "id" => Value::Text(archive.id.to_string().into()),
        "tags" => Value::Text(record.tags.iter().map(String::as_str).collect::<Vec<_>>().join(",").into()),
        "time" | "start" => Value::Time(record.start),
        "end" => Value::Time(record.end),
        "command_line" => Value::Text(record.command_line.join(" ").into()),
        "hostname" => text(&record.host),
        "username" => text(&record.user),
        "size" => Value::Number(record.statistics.bytes.into()),
        "nfiles" => Value::Number(record.statistics.files.into()),
        _ => return None,
    })
}

/// Sets `key` to a value as JSON has it: times are local and without zone.
pub fn put_value(object: &mut Map<String, Json>, key: &str, value: &Value<'_>, zone: &TimeZone) {
    let json = match value {
        Value::Text(text) => Json::from(&**text),
        Value::Bytes(bytes) => return put_bytes(object, key, bytes),
        Value::Number(number) => i64::try_from(*number).map_or_else(|_| json!(number.to_string()), Json::from),
        Value::Time(moment) => Json::from(time::iso(*moment, zone)),
    };
    object.insert(key.to_owned(), json);
}

/// Sets `key` to what it tells of an archive; the command line is a list of words here.
pub fn put_key(object: &mut Map<String, Json>, archive: &Archive, key: &str, zone: &TimeZone) {
    match value(archive, key) {
        Some(_) if key == "command_line" => drop(object.insert(key.to_owned(), json!(archive.record.command_line))),
        Some(value) => put_value(object, key, &value, zone),
        None => {}
    }
}

/// Sets `key` to the local time and `key_utc` to the same moment with its zone.
fn put_time(object: &mut Map<String, Json>, key: &str, moment: Timestamp, zone: &TimeZone) {
    object.insert(key.to_owned(), json!(time::iso(moment, zone)));
    object.insert(format!("{key}_utc"), json!(time::iso_utc(moment)));
}

/// An archive in a list.
pub fn brief(archive: &Archive, zone: &TimeZone) -> Map<String, Json> {
    let mut object = Map::new();
    object.insert("archive".to_owned(), json!(archive.record.name));
    object.insert("name".to_owned(), json!(archive.record.name));
    object.insert("id".to_owned(), json!(archive.id.to_string()));
    put_time(&mut object, "start", archive.record.start, zone);
    object.insert("time".to_owned(), json!(time::iso(archive.record.start, zone)));
    object
}

/// Everything an archive says of itself.
pub fn details(archive: &Archive, zone: &TimeZone) -> Map<String, Json> {
    let record = &archive.record;
    let statistics = &record.statistics;
    let mut object = Map::new();
    object.insert("name".to_owned(), json!(record.name));
    object.insert("id".to_owned(), json!(archive.id.to_string()));
    put_time(&mut object, "start", record.start, zone);
    put_time(&mut object, "end", record.end, zone);
    object.insert("duration".to_owned(), json!(seconds(archive)));
    let saved = statistics.new_bytes.saturating_sub(statistics.stored_bytes);
    let stats = json!({
        "original_size": statistics.bytes,
        "compressed_size": statistics.bytes.saturating_sub(saved),
        "deduplicated_size": statistics.stored_bytes,
        "nfiles": statistics.files,
        "new_size": statistics.new_bytes,
        "errors": statistics.errors,
    });
    object.insert("stats".to_owned(), stats);
    object.insert("command_line".to_owned(), json!(record.command_line));
    object.insert("chunker_params".to_owned(), chunker_params(&record.chunker));
    object.insert("hostname".to_owned(), json!(record.host));
    object.insert("username".to_owned(), json!(record.user));
    object.insert("comment".to_owned(), json!(record.comment));
    object.insert("tags".to_owned(), json!(record.tags));
    if let Some(directory) = &record.working_directory {
        put_bytes(&mut object, "cwd", directory);
    }
    object
}

/// How long it took, in seconds.
pub fn seconds(archive: &Archive) -> f64 {
    (time::unix(archive.record.end) - time::unix(archive.record.start)).max(0.0)
}

/// `["fastcdc", 19, 23, 21, 2]`
fn chunker_params(text: &str) -> Json {
    text.split(',').map(|part| part.parse::<u64>().map_or_else(|_| json!(part), |number| json!(number))).collect()
}

/// What every answer about a repository begins with: `repository` and `encryption`.
pub fn repository(context: &Context, repository: &Repository, catalog: &Catalog) -> anyhow::Result<Map<String, Json>> {
    let zone = context.zone();
    let config = repository.config();
    let ends = catalog.archives.iter().map(|archive| archive.record.end);
    let mut about = Map::new();
    about.insert("id".to_owned(), json!(repository.id().to_string()));
    about.insert("location".to_owned(), json!(repository.object_store().location()));
    put_time(&mut about, "last_modified", ends.max().unwrap_or(config.created), zone);
    let mut encryption = json!({ "encryption": config.suite()?.to_string(), "id_hash": config.id_hash()?.to_string() });
    if let Some(borg) = &context.borg {
        borg.name_encryption(repository, &mut encryption)?;
    }
    let mut root = Map::new();
    root.insert("repository".to_owned(), Json::Object(about));
    root.insert("encryption".to_owned(), encryption);
    Ok(root)
}

/// `cache`: where copies are kept, and what the repository holds as the index knows it.
pub fn cache(context: &Context, catalog: &Catalog, holdings: Holdings) -> Json {
    let stats = json!({
        "total_chunks": holdings.chunks,
        "total_unique_chunks": holdings.chunks,
        "total_size": original_bytes(catalog),
        "unique_size": holdings.bytes,
    });
    let path = context.directories().ok().map(|directories| directories.cache.display().to_string());
    json!({ "path": path, "stats": stats })
}

/// Bytes of all files in all archives.
pub fn original_bytes(catalog: &Catalog) -> u64 {
    let bytes = catalog.archives.iter().map(|archive| archive.record.statistics.bytes);
    bytes.fold(0, u64::saturating_add)
}

/// The text of an answer: indented, so that people can read it too.
pub fn answer(root: Map<String, Json>) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&Json::Object(root))? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_words_and_numbers() {
        assert_eq!(chunker_params("fastcdc,19,23,21,2").to_string(), r#"["fastcdc",19,23,21,2]"#);
    }

    #[test]
    fn values_keep_their_type() {
        let mut object = Map::new();
        let zone = TimeZone::posix("CET-1").unwrap();
        put_value(&mut object, "n", &Value::Number(7), &zone);
        put_value(&mut object, "t", &Value::Time(Timestamp::new(0, 0)), &zone);
        put_value(&mut object, "b", &Value::Bytes((&b"a\xff"[..]).into()), &zone);
        put_time(&mut object, "start", Timestamp::new(0, 0), &zone);
        let expected = r#"{"n":7,"t":"1970-01-01T01:00:00.000000","b":"a?","b_b64":"Yf8=","start":"1970-01-01T01:00:00.000000","start_utc":"1970-01-01T00:00:00.000000Z"}"#;
        assert_eq!(Json::Object(object).to_string(), expected);
    }
}
