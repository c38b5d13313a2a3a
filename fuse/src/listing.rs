//! Listing directories, and looking up names in them.
//!
//! A directory of one archive is listed by the numbers of its entries, from anywhere. One that several are merged
//! in is listed by a cursor that stands in each of them; who jumps about in it starts again. In both cases no more
//! than one leaf per layer is held.

use std::sync::Arc;

use gabion_core::archive::entry::Entry;
use gabion_core::archive::metadata::FileType;
use gabion_core::archive::node_cache::Leaf;
use gabion_core::archive::walk::{Walk, WalkEvent};
use gabion_core::archive::{Content, DirectoryRef};
use gabion_core::error::Result;
use gabion_core::pattern::Decision;

use crate::directory::{Child, Contents, Directory, Found, Layer};
use crate::inodes::LeafPlace;
use crate::view::View;

/// Entries below a directory that are looked at, to see whether anything in it is shown.
const GLANCE: usize = 4096;

/// Where a listing stands.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// Where the next child is: what [`Child::next`] of the one before said.
    position: u64,
    /// Some, once there was a question.
    layers: Option<Vec<LayerCursor>>,
    /// A child that was taken and not used.
    waiting: Option<Child>,
    /// Whether entries could not be read.
    pub damaged: bool,
}

#[derive(Debug)]
struct LayerCursor {
    index: usize,
    layer: Layer,
    next: u64,
    leaf: Option<(u64, Leaf, Arc<LeafPlace>)>,
}

impl Cursor {
    /// The child was not used: it comes again.
    pub fn put_back(&mut self, child: Child, position: u64) {
        self.waiting = Some(child);
        self.position = position;
    }
}

impl View {
    /// The next child; `position` is 0, or what [`Child::next`] said of the one before.
    pub(crate) fn next_child(
        &self,
        directory: &Arc<Directory>,
        cursor: &mut Cursor,
        position: u64,
    ) -> Result<Option<Child>> {
        if cursor.position != position || cursor.layers.is_none() {
            self.seek(directory, cursor, position)?;
        }
        let child = match cursor.waiting.take() {
            Some(child) => Some(child),
            None => self.step(directory, cursor),
        };
        if let Some(child) = &child {
            cursor.position = child.next;
        }
        Ok(child)
    }

    fn seek(&self, directory: &Arc<Directory>, cursor: &mut Cursor, position: u64) -> Result<()> {
        let layers = match &directory.contents {
            Contents::Archives => Arc::default(),
            _ => self.layers(directory)?,
        };
        let cursors = layers.iter().cloned().enumerate();
        let mut cursors: Vec<_> =
            cursors.map(|(index, layer)| LayerCursor { index, layer, next: 0, leaf: None }).collect();
        cursor.waiting = None;
        match &mut cursors[..] {
            [only] if versions(directory) == 0 => only.next = position,
            [] if matches!(directory.contents, Contents::Archives) => {}
            _ => {
                (cursor.layers, cursor.position) = (Some(cursors), 0);
                while cursor.position < position {
                    let Some(child) = self.step(directory, cursor) else { break };
                    cursor.position = child.next;
                }
                return Ok(());
            }
        }
        (cursor.layers, cursor.position) = (Some(cursors), position);
        Ok(())
    }

    fn step(&self, directory: &Arc<Directory>, cursor: &mut Cursor) -> Option<Child> {
        match &directory.contents {
            Contents::Archives => return self.archive_child(directory.number, usize::try_from(cursor.position).ok()?),
            Contents::Entries { versions, .. } => {
                let version = usize::try_from(cursor.position).ok().and_then(|position| versions.get(position));
                if let Some(version) = version {
                    return Some(self.version_child(directory, version, cursor.position + 1));
                }
            }
            Contents::Top(_) | Contents::AllTops => {}
        }
        let damaged = &mut cursor.damaged;
        let layers = cursor.layers.as_mut()?;
        if let [only] = &mut layers[..] {
            let found = self.peek(directory, only, damaged)?;
            only.next += 1;
            let next = if versions(directory) == 0 { only.next } else { cursor.position + 1 };
            return self.child(directory, vec![found], next);
        }
        loop {
            let heads: Vec<Option<Found>> =
                layers.iter_mut().map(|layer| self.peek(directory, layer, damaged)).collect();
            let name = heads.iter().flatten().filter_map(|found| Some(&found.entry()?.name)).min()?.clone();
            let mut found = Vec::new();
            for (layer, head) in layers.iter_mut().zip(heads) {
                if let Some(head) = head.filter(|head| head.entry().is_some_and(|entry| entry.name == name)) {
                    layer.next += 1;
                    found.push(head);
                }
            }
            if !is_version(directory, &name) {
                return self.child(directory, found, cursor.position + 1);
            }
        }
    }

    /// The next entry of a layer that is shown.
    fn peek(&self, directory: &Arc<Directory>, cursor: &mut LayerCursor, damaged: &mut bool) -> Option<Found> {
        loop {
            if let Some((first, leaf, place)) = &cursor.leaf
                && let Some(position) =
                    cursor.next.checked_sub(*first).and_then(|position| usize::try_from(position).ok())
                && let Some(entry) = leaf.entries().get(position)
            {
                if self.shows(&cursor.layer, entry) {
                    let (leaf, place, layer) = (leaf.clone(), Arc::clone(place), cursor.layer.clone());
                    return Some(Found { leaf, place, position, layer });
                }
                cursor.next += 1;
                continue;
            }
            let stretch = self.nodes().stretch(&cursor.layer.directory, cursor.next)?;
            match stretch.leaf {
                Ok(leaf) => {
                    let place = LeafPlace { id: *leaf.id(), directory: Arc::clone(directory), layer: cursor.index };
                    cursor.leaf = Some((stretch.first, leaf, Arc::new(place)));
                }
                Err(error) => {
                    self.complain(&cursor.layer.path, &error);
                    *damaged = true;
                    cursor.next = stretch.first.saturating_add(stretch.entries);
                }
            }
        }
    }

    /// The child of this name.
    pub(crate) fn look_up(&self, directory: &Arc<Directory>, name: &[u8]) -> Result<Option<Child>> {
        match &directory.contents {
            Contents::Archives => {
                let archive = self.archives().iter().position(|shown| shown.name == name);
                return Ok(archive.and_then(|archive| self.archive_child(directory.number, archive)));
            }
            Contents::Entries { versions, .. } => {
                if let Some(version) = versions.iter().find(|version| version.name == name) {
                    return Ok(Some(self.version_child(directory, version, 0)));
                }
            }
            Contents::Top(_) | Contents::AllTops => {}
        }
        let layers = self.layers(directory)?;
        let mut found = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let looked_up = self.nodes().find(&layer.directory, name).inspect_err(|error| {
                self.complain(&layer.path_of(name), error);
            });
            let Some((leaf, position)) = looked_up? else { continue };
            let shown = leaf.entries().get(position).is_some_and(|entry| self.shows(layer, entry));
            if shown {
                let place = LeafPlace { id: *leaf.id(), directory: Arc::clone(directory), layer: index };
                found.push(Found { leaf, place: Arc::new(place), position, layer: layer.clone() });
            }
        }
        Ok(self.child(directory, found, 0))
    }

    /// Whether an entry is shown. A directory that is left out itself is shown if something in it is not.
    fn shows(&self, layer: &Layer, entry: &Entry) -> bool {
        let matcher = &self.options().matcher;
        if matcher.takes_everything() {
            return true;
        }
        let path = layer.path_of(&entry.name);
        match (matcher.decide(&path), &entry.content) {
            (Decision::Include, _) => true,
            (Decision::Exclude, Content::Directory(below)) => {
                matcher.may_descend(&path) && self.shows_something(&path, below)
            }
            _ => false,
        }
    }

    /// Whether something below a directory is shown. After so many entries that are not, it is taken to be so.
    fn shows_something(&self, path: &[u8], directory: &DirectoryRef) -> bool {
        let matcher = &self.options().matcher;
        let whole = |below: &[u8]| [path, b"/", below].concat();
        let descend = |item: &gabion_core::archive::WalkItem| {
            let path = whole(&item.path);
            matcher.decide(&path) != Decision::ExcludeNoRecurse && matcher.may_descend(&path)
        };
        let mut seen = 0;
        for event in Walk::new(self.nodes().source(), directory, None, descend) {
            seen += 1;
            match event {
                Ok(WalkEvent::Entry(item)) if matcher.decide(&whole(&item.path)) == Decision::Include => return true,
                // What can not be read may be there.
                Err(_) => return true,
                _ if seen >= GLANCE => return true,
                _ => {}
            }
        }
        false
    }

    /// The directories so many levels below the top of an archive, as far as they are shown.
    pub(crate) fn stripped(&self, archive: usize, top: Layer, levels: usize) -> Vec<Layer> {
        if levels == 0 {
            return vec![top];
        }
        let matcher = &self.options().matcher;
        let descend = |item: &gabion_core::archive::WalkItem| {
            item.depth < levels
                && matcher.decide(&item.path) != Decision::ExcludeNoRecurse
                && matcher.may_descend(&item.path)
        };
        let mut layers = Vec::new();
        for event in Walk::new(self.nodes().source(), &top.directory, None, descend) {
            match event {
                Ok(WalkEvent::Entry(item)) if item.depth == levels && item.entry.file_type == FileType::Directory => {
                    let taken = match matcher.decide(&item.path) {
                        Decision::Include => true,
                        Decision::Exclude => matcher.may_descend(&item.path),
                        Decision::ExcludeNoRecurse => false,
                    };
                    if let (true, Content::Directory(directory)) = (taken, item.entry.content) {
                        layers.push(Layer { archive, directory, path: item.path.into() });
                    }
                }
                Ok(_) => {}
                Err(failed) => self.complain(&failed.path, &failed.error),
            }
        }
        layers
    }
}

fn versions(directory: &Directory) -> usize {
    match &directory.contents {
        Contents::Entries { versions, .. } => versions.len(),
        _ => 0,
    }
}

/// A version of a file hides an entry of the same name.
fn is_version(directory: &Directory, name: &[u8]) -> bool {
    match &directory.contents {
        Contents::Entries { versions, .. } => versions.iter().any(|version| version.name == name),
        _ => false,
    }
}
