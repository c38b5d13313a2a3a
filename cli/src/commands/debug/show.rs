//! Objects and entries as JSON, with everything that is stored of them.

use anyhow::Result;
use gabion_backends::Access;
use gabion_core::archive::catalog::Archive;
use gabion_core::archive::{
    ArchiveRecord, AttributesRef, Content, ContentItem, DirectoryRef, PendingRecord, StatRef, StatRow, WalkItem,
};
use gabion_core::backend::ObjectName;
use gabion_core::clock::Timestamp;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::gc::DoomRecord;
use gabion_core::id::{ArchiveId, parse_object_id};
use gabion_core::index::Fragment;
use gabion_core::limits::RECORD_BYTES_MAX;
use gabion_core::repository::{ClosedRepository, Config, Repository};
use gabion_core::seal::Kind;
use gabion_core::segment::{Directory, SegmentRecord};
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json, json};

use super::super::key;
use crate::context::Context;
use crate::output::json::{base64, put_bytes};
use crate::output::{archive as archives, time};

type Object = Map<String, Json>;

/// What the object with this name says. The configuration and key slots need no key.
pub fn object(context: &Context, name: &ObjectName) -> Result<Object> {
    let kind = super::kind(name).ok_or_else(|| unknown(name))?;
    let mut object = Map::new();
    object.insert("object".to_owned(), json!(name.to_string()));
    object.insert("kind".to_owned(), json!(kind.to_string()));
    let said = match kind {
        Kind::Config => config(closed(context)?.config())?,
        Kind::KeySlot => key_slot(context, name)?,
        Kind::Index => fragment(&context.open()?.index_fragment(name)?),
        Kind::Segment => {
            let id = name.last_part().parse()?;
            let (record, directory) = context.open()?.segment_directory(&id)?;
            segment(&record, &directory)
        }
        _ => record(&context.open()?, kind, name, context.zone())?,
    };
    object.extend(said);
    Ok(object)
}

fn unknown(name: &ObjectName) -> Error {
    Error::new(ErrorKind::InvalidInput, "parse object").with("object", name).with("reason", "not of a known kind")
}

fn closed(context: &Context) -> Result<ClosedRepository> {
    Ok(ClosedRepository::look(context.store(Access::Existing)?, context.client()?)?)
}

fn object_of(json: Json) -> Object {
    match json {
        Json::Object(object) => object,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

fn config(config: &Config) -> Result<Object> {
    Ok(object_of(json!({
        "version": config.version,
        "id": config.id.to_string(),
        "encryption": config.suite()?.to_string(),
        "id_hash": config.id_hash()?.to_string(),
        "created": time::iso_utc(config.created),
    })))
}

/// What is not secret of a slot.
fn key_slot(context: &Context, name: &ObjectName) -> Result<Object> {
    let (slots, _) = closed(context)?.key_slots()?;
    let id = name.last_part();
    let found = slots.iter().find(|slot| slot.id.to_string() == id);
    let found = found.ok_or_else(|| Error::new(ErrorKind::NotFound, "parse object").with("object", name))?;
    Ok(object_of(key::object(found, context.zone())))
}

fn record(repository: &Repository, kind: Kind, name: &ObjectName, zone: &TimeZone) -> Result<Object> {
    let id = parse_object_id(name.last_part()).ok_or_else(|| unknown(name))?;
    let mut read = repository.read_records(kind, vec![id], RECORD_BYTES_MAX);
    let plain = read.next().map(|(_, plain)| plain).transpose()?.unwrap_or_default();
    Ok(match kind {
        Kind::Archive => {
            archive(&Archive { id: ArchiveId::from_bytes(id), record: ArchiveRecord::decode(&plain)? }, zone)
        }
        Kind::Pending => pending(&PendingRecord::decode(&plain)?, zone),
        Kind::Doom => {
            let segments: Vec<String> = DoomRecord::decode(&plain)?.segments.iter().map(ToString::to_string).collect();
            object_of(json!({ "segments": segments }))
        }
        _ => object_of(json!({ "bytes": plain.len(), "plain_b64": base64(&plain) })),
    })
}

/// All of an archive's record.
pub fn archive(archive: &Archive, zone: &TimeZone) -> Object {
    let record = &archive.record;
    let mut object = archives::details(archive, zone);
    let client = record.client.as_ref().map(|client| {
        let previous = client.previous.map(|previous| previous.to_string());
        json!({ "id": client.id.to_string(), "sequence": client.sequence, "previous": previous })
    });
    let heads = record.heads.iter().map(|head| {
        json!({
            "client": head.client.to_string(), "archive": head.archive.to_string(), "sequence": head.sequence,
        })
    });
    object.insert("chunker".to_owned(), json!(record.chunker));
    object.insert("root".to_owned(), directory_ref(&record.root));
    object.insert("stat_root".to_owned(), json!(record.stat_root.as_ref().map(stat_ref)));
    object.insert("base".to_owned(), json!(record.base.map(|base| base.to_string())));
    object.insert("paths".to_owned(), record.paths.iter().map(|path| bytes(path)).collect());
    object.insert("client".to_owned(), json!(client));
    object.insert("heads".to_owned(), heads.collect());
    object
}

fn pending(pending: &PendingRecord, zone: &TimeZone) -> Object {
    let base = pending.base.as_ref().map(|base| {
        json!({
            "archive": base.archive.map(|archive| archive.to_string()),
            "root": directory_ref(&base.root),
            "stat_root": base.stat_root.as_ref().map(stat_ref),
        })
    });
    let record = pending.record.as_ref().map(|record| {
        // it has no id before it is finished
        let unfinished = Archive { id: ArchiveId::from_bytes([0; 16]), record: record.clone() };
        let mut object = archive(&unfinished, zone);
        object.remove("id");
        object
    });
    object_of(json!({
        "started": time::iso_utc(pending.started), "base": base, "complete": pending.complete, "record": record,
    }))
}

fn directory_ref(directory: &DirectoryRef) -> Json {
    json!({
        "root": directory.root.to_string(),
        "depth": directory.depth,
        "entries": directory.entries,
        "files": directory.files,
        "bytes": directory.bytes,
    })
}

fn stat_ref(stat: &StatRef) -> Json {
    json!({ "root": stat.root.to_string(), "depth": stat.depth })
}

/// Bytes that should be text: a string, or an object with `b64` if they are none.
fn bytes(raw: &[u8]) -> Json {
    std::str::from_utf8(raw).map_or_else(|_| json!({ "b64": base64(raw) }), |text| json!(text))
}

fn fragment(fragment: &Fragment) -> Object {
    let segments = fragment.segments.iter().map(|entry| {
        let mut object = segment_record(&entry.record);
        object.insert("frames".to_owned(), json!(entry.places.frames()));
        object.insert("chunks".to_owned(), json!(entry.places.chunks()));
        Json::Object(object)
    });
    object_of(json!({
        "level": fragment.level,
        "replaces": fragment.replaces.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "entries": fragment.keys.len(),
        "segments": segments.collect::<Vec<_>>(),
    }))
}

fn segment_record(record: &SegmentRecord) -> Object {
    let class = format!("{:?}", record.class).to_ascii_lowercase();
    object_of(json!({ "id": record.id.to_string(), "class": class, "bytes": record.bytes }))
}

fn segment(record: &SegmentRecord, directory: &Directory) -> Object {
    let mut chunks = directory.chunks.iter();
    let frames = directory.frames.iter().map(|frame| {
        let own = chunks.by_ref().take(frame.chunks as usize);
        let own = own.map(|chunk| json!({ "id": chunk.id.to_string(), "bytes": chunk.bytes }));
        json!({
            "stored_bytes": frame.stored_bytes,
            "plain_bytes": frame.plain_bytes,
            "codec": frame.codec,
            "chunks": own.collect::<Vec<_>>(),
        })
    });
    let frames: Json = frames.collect();
    let mut object = segment_record(record);
    object.insert("frames".to_owned(), frames);
    object
}

/// An entry of an archive.
pub fn item(item: &WalkItem, zone: &TimeZone) -> Object {
    let (entry, metadata) = (&item.entry, &item.entry.metadata);
    let mut object = Map::new();
    put_bytes(&mut object, "path", &item.path);
    let moment = |moment: &Timestamp| json!(time::iso_utc(*moment));
    object.extend(object_of(json!({
        "type": format!("{:?}", entry.file_type).to_ascii_lowercase(),
        "mode": format!("{:04o}", metadata.mode),
        "uid": metadata.uid,
        "gid": metadata.gid,
        "user": metadata.user.as_ref().map(|name| bytes(name)),
        "group": metadata.group.as_ref().map(|name| bytes(name)),
        "size": entry.size,
        "mtime": time::iso(metadata.modified, zone),
        "mtime_utc": moment(&metadata.modified),
        "mtime_ns": metadata.modified.nanoseconds,
        "birthtime_utc": metadata.born.as_ref().map(moment),
        "atime_utc": metadata.accessed.as_ref().map(moment),
        "flags": metadata.flags,
        "hard_link": entry.hard_link.map(|number| format!("{number:016x}")),
        "attributes": attributes(&entry.attributes),
        "content": content(&entry.content),
        "stat": item.stat.as_ref().map(stat),
    })));
    object
}

fn attributes(attributes: &AttributesRef) -> Json {
    match attributes {
        AttributesRef::None => Json::Null,
        AttributesRef::Inline(attributes) => {
            let pair = |(name, value): (&_, &_)| json!({ "name": bytes(name), "value_b64": base64(value) });
            attributes.0.iter().map(|(name, value)| pair((&**name, &**value))).collect()
        }
        AttributesRef::Chunk(id) => json!({ "chunk": id.to_string() }),
    }
}

fn content(content: &Content) -> Json {
    match content {
        Content::None => Json::Null,
        Content::Inline(inline) => json!({ "inline_b64": base64(inline) }),
        Content::List(items) => items.iter().map(content_item).collect(),
        Content::Tree(tree) => {
            json!({ "tree": { "root": tree.root.to_string(), "depth": tree.depth, "items": tree.items } })
        }
        Content::Directory(directory) => json!({ "directory": directory_ref(directory) }),
        Content::Target(target) => json!({ "target": bytes(target) }),
        Content::Device { major, minor } => json!({ "major": major, "minor": minor }),
    }
}

fn content_item(item: &ContentItem) -> Json {
    match item {
        ContentItem::Chunk { id, bytes } => json!({ "chunk": id.to_string(), "bytes": bytes }),
        ContentItem::Hole { bytes } => json!({ "hole": bytes }),
    }
}

fn stat(row: &StatRow) -> Json {
    match row {
        StatRow::None => Json::Null,
        StatRow::File { inode, changed } => {
            json!({ "inode": inode, "ctime_utc": time::iso_utc(*changed), "ctime_ns": changed.nanoseconds })
        }
        StatRow::Directory(stat) => json!({ "directory": stat_ref(stat) }),
    }
}
