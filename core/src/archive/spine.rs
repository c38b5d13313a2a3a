//! The levels of a tree above its leaves, while it is built from left to right.
//!
//! Only one node per level is open at any time, so the memory does not depend on the number of
//! leaves. Where nodes end is a pure function of the children's marks: a tree has
//! one shape, however and in how many sittings it was built.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::NODE_DEPTH_MAX;
use crate::repository::ChunkSink;

use super::cut::{Cut, CutKey};

/// What kind of tree is built.
pub(super) trait Shape {
    /// An interior node in the making; empty by default.
    type Open: Clone + std::fmt::Debug + Default;
    /// A finished node, as its parent names it.
    type Child: Clone + std::fmt::Debug;
    /// Which cuts it follows.
    const CUT: Cut;

    /// Adds a child at the end.
    fn append(open: &mut Self::Open, child: &Self::Child) -> Result<()>;
    /// Stores the node, whose first child is `first`, and leaves it empty.
    fn close(open: &mut Self::Open, first: Self::Child, sink: &dyn ChunkSink) -> Result<Self::Child>;
    /// What a cut after this child is decided by.
    fn mark(child: &Self::Child) -> &[u8];
}

#[derive(Debug)]
struct Level<S: Shape> {
    open: S::Open,
    first: Option<S::Child>,
    count: usize,
}

impl<S: Shape> Default for Level<S> {
    fn default() -> Self {
        Self { open: S::Open::default(), first: None, count: 0 }
    }
}

impl<S: Shape> Clone for Level<S> {
    fn clone(&self) -> Self {
        Self { open: self.open.clone(), first: self.first.clone(), count: self.count }
    }
}

impl<S: Shape> Level<S> {
    fn append(&mut self, child: S::Child) -> Result<()> {
        S::append(&mut self.open, &child)?;
        self.first.get_or_insert(child);
        self.count += 1;
        Ok(())
    }

    fn close(&mut self, sink: &dyn ChunkSink) -> Result<Option<S::Child>> {
        self.count = 0;
        self.first.take().map(|first| S::close(&mut self.open, first, sink)).transpose()
    }
}

/// The open interior nodes, lowest level first.
#[derive(Debug)]
pub(super) struct Spine<S: Shape> {
    levels: Vec<Level<S>>,
}

impl<S: Shape> Default for Spine<S> {
    fn default() -> Self {
        Self { levels: Vec::new() }
    }
}

impl<S: Shape> Clone for Spine<S> {
    fn clone(&self) -> Self {
        Self { levels: self.levels.clone() }
    }
}

impl<S: Shape> Spine<S> {
    /// Takes the next leaf and stores the nodes that end with it.
    pub(super) fn push(&mut self, leaf: S::Child, key: &CutKey, sink: &dyn ChunkSink) -> Result<()> {
        let mut child = leaf;
        let mut height = 1;
        loop {
            let level = self.level(height)?;
            let ends = key.ends(S::CUT, height, S::mark(&child), level.count + 1);
            level.append(child)?;
            if !ends {
                return Ok(());
            }
            match level.close(sink)? {
                Some(closed) => child = closed,
                None => return Ok(()),
            }
            height += 1;
        }
    }

    /// The open node `height` levels above the leaves, at least 1.
    fn level(&mut self, height: u8) -> Result<&mut Level<S>> {
        let index = usize::from(height).saturating_sub(1);
        if index >= self.levels.len() {
            self.levels.push(Level::default());
        }
        match self.levels.get_mut(index) {
            Some(level) if usize::from(height) < NODE_DEPTH_MAX => Ok(level),
            _ => Err(Error::new(ErrorKind::LimitExceeded, "build tree").with("levels", height)),
        }
    }

    /// Stores all open nodes. Returns the root and its height above the leaves; `None` if there was no leaf.
    pub(super) fn finish(mut self, sink: &dyn ChunkSink) -> Result<Option<(S::Child, u8)>> {
        let mut carried = None;
        let mut height = 0;
        let top = self.levels.len();
        for (index, level) in self.levels.iter_mut().enumerate() {
            if let Some(child) = carried.take() {
                level.append(child)?;
            }
            // A single node needs no parent.
            if index + 1 == top && level.count == 1 {
                carried = level.first.take();
                break;
            }
            carried = level.close(sink)?;
            height += 1;
        }
        Ok(carried.map(|root| (root, height)))
    }

    /// Children held in memory.
    pub(super) fn held(&self) -> usize {
        self.levels.iter().map(|level| level.count).sum()
    }
}
