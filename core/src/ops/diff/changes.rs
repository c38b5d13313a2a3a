//! In which ways two entries differ.

use serde_bytes::ByteBuf;

use super::listing::Listing;
use super::{DiffOptions, Item, content};
use crate::archive::content::Content;
use crate::archive::entry::Entry;
use crate::archive::metadata::{FileType, Metadata};
use crate::clock::Timestamp;
use crate::error::Result;

/// A way in which two entries differ. Pairs are old and new.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The content of a regular file.
    Content(ContentChange),
    /// Something that is no regular file was added.
    Added(FileType),
    /// Something that is no regular file was removed.
    Removed(FileType),
    /// Where a symbolic link points to.
    Target(Vec<u8>, Vec<u8>),
    /// The numbers of a device.
    Device((u32, u32), (u32, u32)),
    /// What it is.
    Type(FileType, FileType),
    /// Permissions; with the types, because people read both as one.
    Mode((FileType, u32), (FileType, u32)),
    /// Owner and group, as names or numbers.
    Owner(Owner, Owner),
    /// The time of modification.
    Modified(Timestamp, Timestamp),
    /// The time of change; only beside other changes.
    Changed(Timestamp, Timestamp),
    /// Extended attributes.
    Attributes,
    /// File flags.
    Flags(u32, u32),
}

/// What became of the content of a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentChange {
    /// The file is new and has so many bytes.
    Added(u64),
    /// The file is gone and had so many bytes.
    Removed(u64),
    /// Bytes of pieces that were added and removed; `None` if the two were cut differently, so that nobody knows.
    Modified(Option<(u64, u64)>),
}

/// Whose a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name of the owner, or the number if there is no name.
    pub user: Vec<u8>,
    /// The same of the group.
    pub group: Vec<u8>,
}

impl Owner {
    /// The owners of both, by name where both have one.
    fn of(old: &Metadata, new: &Metadata, numeric: bool) -> [Self; 2] {
        let named = |name: fn(&Metadata) -> Option<&ByteBuf>| !numeric && name(old).is_some() && name(new).is_some();
        let (users, groups) = (named(|of| of.user.as_ref()), named(|of| of.group.as_ref()));
        let text = |name: &Option<ByteBuf>, by_name: bool, number: u32| match name {
            Some(name) if by_name => name.to_vec(),
            _ => number.to_string().into_bytes(),
        };
        [old, new].map(|of| Self { user: text(&of.user, users, of.uid), group: text(&of.group, groups, of.gid) })
    }
}

/// How entries are compared.
pub(super) struct Comparison<'a> {
    pub options: &'a DiffOptions,
    /// Whether equal content is made of equal pieces.
    pub same_cuts: bool,
}

type Side<'a, 'l> = (&'a Item, &'a (dyn Listing<'l> + 'l));

impl Comparison<'_> {
    /// All changes from the old side to the new one; a side is missing if nothing is there.
    pub fn changes(&self, old: Option<Side<'_, '_>>, new: Option<Side<'_, '_>>) -> Result<Vec<Change>> {
        let entry = |side: &Option<Side<'_, '_>>| side.map(|(item, _)| item.entry.file_type);
        let mut changes = Vec::new();
        let (Some(left), Some(right)) = (old, new) else {
            changes.extend(old.map(|(item, _)| removed(&item.entry)));
            changes.extend(new.map(|(item, _)| added(&item.entry)));
            return Ok(changes);
        };
        if entry(&old) == entry(&new) {
            changes.extend(self.inside(left, right)?);
        } else {
            changes.extend([removed(&left.0.entry), added(&right.0.entry)]);
        }
        if !self.options.content_only {
            self.metadata(left.0, right.0, &mut changes);
        }
        Ok(changes)
    }

    /// What differs in two entries of one type.
    fn inside(&self, old: Side<'_, '_>, new: Side<'_, '_>) -> Result<Option<Change>> {
        Ok(match (&old.0.entry.content, &new.0.entry.content) {
            (Content::Target(old), Content::Target(new)) if old != new => {
                Some(Change::Target(old.clone(), new.clone()))
            }
            (Content::Device { major: a, minor: b }, Content::Device { major: c, minor: d }) if (a, b) != (c, d) => {
                Some(Change::Device((*a, *b), (*c, *d)))
            }
            _ if old.0.entry.file_type == FileType::File => self.content(old, new)?.map(Change::Content),
            _ => None,
        })
    }

    fn content(&self, old: Side<'_, '_>, new: Side<'_, '_>) -> Result<Option<ContentChange>> {
        let (before, after) = (&old.0.entry, &new.0.entry);
        let same_size = before.size == after.size;
        // content of files in the file system is never filled in
        if same_size && (before.content == after.content || new.1.is_surely(new.0, old.0)) {
            return Ok(None);
        }
        if !self.same_cuts {
            let equal = same_size && content::is_equal(&mut *old.1.bytes(old.0)?, &mut *new.1.bytes(new.0)?)?;
            return Ok((!equal).then_some(ContentChange::Modified(None)));
        }
        let (left, right) = (old.1.pieces(old.0)?, new.1.pieces(new.0)?);
        if left == right {
            return Ok(None);
        }
        if !self.options.same_chunker_params
            && content::may_be_cut_otherwise(&left, &right)
            && content::is_equal(&mut *old.1.bytes(old.0)?, &mut *new.1.bytes(new.0)?)?
        {
            return Ok(None);
        }
        Ok(Some(ContentChange::Modified(Some(content::sizes(&left, &right)))))
    }

    fn metadata(&self, old: &Item, new: &Item, changes: &mut Vec<Change>) {
        let types = (old.entry.file_type, new.entry.file_type);
        let (before, after) = (&old.entry.metadata, &new.entry.metadata);
        if types.0 != types.1 {
            changes.push(Change::Type(types.0, types.1));
        }
        if types.0 != types.1 || before.mode != after.mode {
            changes.push(Change::Mode((types.0, before.mode), (types.1, after.mode)));
        }
        let [owner, now] = Owner::of(before, after, self.options.numeric_ids);
        if owner != now {
            changes.push(Change::Owner(owner, now));
        }
        if old.entry.attributes != new.entry.attributes {
            changes.push(Change::Attributes);
        }
        if before.flags != after.flags {
            changes.push(Change::Flags(before.flags, after.flags));
        }
        if before.modified != after.modified {
            changes.push(Change::Modified(before.modified, after.modified));
        }
        if let (Some(old), Some(new), false) = (old.changed(), new.changed(), changes.is_empty())
            && old != new
        {
            changes.push(Change::Changed(old, new));
        }
    }
}

fn added(entry: &Entry) -> Change {
    match entry.file_type {
        FileType::File => Change::Content(ContentChange::Added(entry.size)),
        other => Change::Added(other),
    }
}

fn removed(entry: &Entry) -> Change {
    match entry.file_type {
        FileType::File => Change::Content(ContentChange::Removed(entry.size)),
        other => Change::Removed(other),
    }
}
