//! Archives that are made at the same time of the same plan, and read each file once for all.
//!
//! Each is made as if it were alone: it walks the plan by itself, has its own base, opens files itself and cuts them
//! its own way. All walk in the same order, so that of two of them one is ahead. What one reads of a file is kept until
//! every other has used it, has passed that file, or has left. Nobody leads: who needs what nobody has read yet reads it,
//! from the file that it has opened itself. So an error is told to the one who met it, and who fails leaves a gap for nobody.
//!
//! What is kept is bounded: when there is no more room, who is ahead of somebody waits until those behind have come on.
//! Who is behind all others, or level with them, never waits for room. So of those that wait for it the last always has
//! somebody behind it who does not, and all come to an end.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::stream::Special;
use crate::chunker::{Input, Read};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::stat::Stat;
use crate::limits::MIB;

/// Bytes that are kept for those behind. Each archive may exceed it by one block.
const WINDOW_BYTES: usize = 16 * MIB;
/// Bytes of the longest block.
const BLOCK_BYTES: usize = MIB;
/// What a block, and a file, count beside their content.
const OVERHEAD_BYTES: usize = 1024;

/// One of several archives that are made at the same time: what one of them reads, the others need not read.
///
/// Each is made by a thread of its own, by [`create`](super::create) with [`Input::Shared`](super::Input::Shared) and the
/// same plan and rules for all. The slowest sets the pace; up to 16 MiB, and 1 MiB for each archive, are kept for it. One
/// that is dropped is waited for no more, and so is one whose files have to be looked at again: it reads by itself from then on.
pub struct Member {
    number: usize,
    group: Arc<Group>,
}

/// As many members as archives are made at the same time. All must be used or dropped: the others wait for them.
pub fn together(count: usize) -> Vec<Member> {
    within(count, WINDOW_BYTES)
}

fn within(count: usize, window: usize) -> Vec<Member> {
    let place = || Place { position: Some(Vec::new()), opened: false, waits: None };
    let members = (0..count).map(|_| place()).collect();
    let state = State { members, readings: BTreeMap::new(), window, kept: 0, full: false, began: None };
    let group = Arc::new(Group { state: Mutex::new(state), changed: Condvar::new() });
    (0..count).map(|number| Member { number, group: Arc::clone(&group) }).collect()
}

/// What content belongs to: the same content only if all of it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The stream of the plan.
    Stream,
    /// A device or pipe, or a link to one, by device and inode: times change as it is used.
    Special(u64, u64),
    /// A file in one state: who came before it changed has read something else.
    File { device: u64, inode: u64, size: u64, modified: Timestamp, changed: Timestamp },
}

impl Identity {
    pub fn of(opened: &Stat) -> Self {
        let Stat { device, inode, size, modified, changed, .. } = *opened;
        if opened.is_file() {
            Self::File { device, inode, size, modified, changed }
        } else {
            Self::Special(device, inode)
        }
    }
}

struct Group {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    members: Vec<Place>,
    /// What is being read, by position.
    readings: BTreeMap<Vec<u8>, Vec<Reading>>,
    window: usize,
    kept: usize,
    /// From when there is no more room until half of it is free, so that nobody is woken for little.
    full: bool,
    began: Option<Timestamp>,
}

/// Where a member is.
struct Place {
    /// Its path, with NUL for slashes: bytes are then in the order of the walk. None once it has left.
    position: Option<Vec<u8>>,
    /// Whether it has opened what it found there.
    opened: bool,
    /// The block it waits for.
    waits: Option<u64>,
}

/// Content that some use now, or will.
struct Reading {
    identity: Identity,
    /// The block each member is at; none if it wants no more of this.
    wanted: Vec<Option<u64>>,
    /// The number of the first block that is kept.
    first: u64,
    blocks: VecDeque<Block>,
    /// Where the next block begins.
    offset: u64,
    ended: bool,
    /// Who is reading the next block.
    reader: Option<usize>,
    special: Opened,
}

/// What was opened once for all.
type Opened = Arc<Mutex<Option<Arc<Special>>>>;

#[derive(Clone)]
enum Block {
    Data(Arc<[u8]>),
    Hole(u64),
}

/// What a member does next.
enum Turn {
    Use(Block),
    End,
    /// It reads the next block, which others want too or not.
    Read {
        offset: u64,
        shared: bool,
    },
}

impl Member {
    /// When the first of those that have begun so far began: what it read, another may use later.
    pub(super) fn begin(&self, now: Timestamp) -> Timestamp {
        let mut state = self.group.lock();
        let began = state.began.map_or(now, |began| began.min(now));
        state.began = Some(began);
        began
    }

    /// Comes to what is archived under `path`, and passes all before it.
    pub(super) fn come_to(&self, path: &[u8]) {
        let mut state = self.group.lock();
        state.come_to(self.number, path);
        self.group.tell(state);
    }

    /// The content that `input` has, where the member is now.
    pub(super) fn read<'a>(&'a self, identity: Identity, input: &'a mut dyn Input) -> Shared<'a> {
        let mut state = self.group.lock();
        state.open(self.number, identity);
        self.group.tell(state);
        Shared { member: self, input, next: 0, block: Arc::default(), used: 0 }
    }

    /// What `open` opens where the member is now: whoever comes first does it for all.
    pub(super) fn open_once(
        &self,
        identity: Identity,
        open: impl FnOnce() -> Result<Option<Special>>,
    ) -> Result<Option<Arc<Special>>> {
        let mut state = self.group.lock();
        let opened = state.open(self.number, identity);
        self.group.tell(state);
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.is_none() {
            *opened = open()?.map(Arc::new);
        }
        if opened.is_none() {
            // It is nothing to be read, and nothing to be kept.
            let mut state = self.group.lock();
            state.forget(self.number, identity);
            self.group.tell(state);
        }
        Ok(opened.clone())
    }

    fn turn(&self, next: u64) -> Result<Turn> {
        let mut state = self.group.lock();
        state.advance(self.number, next);
        loop {
            let turn = state.turn(self.number, next);
            if let Some(turn) = turn? {
                state.members[self.number].waits = None;
                self.group.tell(state);
                return Ok(turn);
            }
            state.members[self.number].waits = Some(next);
            if state.wake() {
                self.group.changed.notify_all();
            }
            state = self.group.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hands on what was read as block number `next - 1`; none if it is the end.
    fn add(&self, block: Option<Block>, bytes: u64, next: u64) {
        let mut state = self.group.lock();
        state.add(self.number, block, bytes, next);
        self.group.tell(state);
    }

    fn give_up(&self) {
        let mut state = self.group.lock();
        if let Some(here) = state.members[self.number].position.clone() {
            let range = (Bound::Included(&here[..]), Bound::Included(&here[..]));
            state.give_up(self.number, range, |_| true);
        }
        self.group.tell(state);
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.group.lock();
        state.members[self.number].position = None;
        state.give_up(self.number, .., |_| true);
        self.group.tell(state);
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go, and wakes those who wait if one of them can go on.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let wakes = state.wake();
        drop(state);
        if wakes {
            self.changed.notify_all();
        }
    }
}

impl State {
    fn come_to(&mut self, number: usize, path: &[u8]) {
        let path = path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte });
        let place = &mut self.members[number];
        let Some(position) = &mut place.position else { return };
        if position.iter().copied().ge(path.clone()) {
            return;
        }
        let passed = std::mem::replace(position, path.collect());
        place.opened = false;
        let here = position.clone();
        self.give_up(number, (Bound::Included(&passed[..]), Bound::Excluded(&here[..])), |_| true);
    }

    /// Finds the reading where the member is, or begins it. The member wants no other that is there.
    fn open(&mut self, number: usize, identity: Identity) -> Opened {
        self.members[number].opened = true;
        let Some(here) = self.members[number].position.clone() else { return Opened::default() };
        let range = (Bound::Included(&here[..]), Bound::Included(&here[..]));
        self.give_up(number, range, |reading| reading.identity != identity);
        if let Some(reading) = self.reading(number) {
            return Arc::clone(&reading.special);
        }
        let comes = |(other, place): (usize, &Place)| match &place.position {
            _ if other == number => Some(0),
            Some(position) if *position < here || (*position == here && !place.opened) => Some(0),
            _ => None,
        };
        let special = Opened::default();
        let reading = Reading {
            identity,
            wanted: self.members.iter().enumerate().map(comes).collect(),
            first: 0,
            blocks: VecDeque::new(),
            offset: 0,
            ended: false,
            reader: None,
            special: Arc::clone(&special),
        };
        self.account(OVERHEAD_BYTES + here.len(), 0);
        self.readings.entry(here).or_default().push(reading);
        special
    }

    /// What the member reads: of the readings at one position it wants one at most.
    fn reading(&self, number: usize) -> Option<&Reading> {
        let here = self.members[number].position.as_ref()?;
        self.readings.get(here)?.iter().find(|reading| reading.wanted[number].is_some())
    }

    fn reading_mut(&mut self, number: usize) -> Option<&mut Reading> {
        let here = self.members[number].position.as_ref()?;
        self.readings.get_mut(here)?.iter_mut().find(|reading| reading.wanted[number].is_some())
    }

    /// The member has used all before block number `next`.
    fn advance(&mut self, number: usize, next: u64) {
        let Some(reading) = self.reading_mut(number) else { return };
        reading.wanted[number] = Some(next);
        let freed = reading.trim();
        self.account(0, freed);
    }

    /// What the member does next; nothing if it has to wait.
    fn turn(&mut self, number: usize, next: u64) -> Result<Option<Turn>> {
        if !self.may_go_on(number, next) {
            return Ok(None);
        }
        let reading = self.reading_mut(number);
        let reading = reading.ok_or_else(|| Error::new(ErrorKind::System, "read what others read"))?;
        Ok(Some(match reading.block(next) {
            Some(block) => Turn::Use(block.clone()),
            None if reading.ended => Turn::End,
            None => {
                reading.reader = Some(number);
                Turn::Read { offset: reading.offset, shared: reading.wanted.iter().flatten().count() > 1 }
            }
        }))
    }

    /// Whether somebody who waits can go on, and has not been told so.
    fn wake(&mut self) -> bool {
        let mut wakes = false;
        for number in 0..self.members.len() {
            let Some(next) = self.members[number].waits else { continue };
            if self.may_go_on(number, next) {
                self.members[number].waits = None;
                wakes = true;
            }
        }
        wakes
    }

    fn may_go_on(&self, number: usize, next: u64) -> bool {
        let Some(reading) = self.reading(number) else { return true };
        if reading.block(next).is_some() || reading.ended {
            return true;
        }
        reading.reader.is_none() && (!self.full || !self.is_ahead(number, reading, next))
    }

    /// Whether anybody is behind a member that is at block number `next` of `reading`.
    fn is_ahead(&self, number: usize, reading: &Reading, next: u64) -> bool {
        let here = &self.members[number].position;
        let mut others = self.members.iter().zip(&reading.wanted).filter(|(place, _)| place.position.is_some());
        others.any(|(place, wanted)| {
            place.position < *here || (place.position == *here && wanted.is_some_and(|at| at < next))
        })
    }

    fn add(&mut self, number: usize, block: Option<Block>, bytes: u64, next: u64) {
        let Some(reading) = self.reading_mut(number) else { return };
        reading.reader = None;
        reading.offset = reading.offset.saturating_add(bytes);
        let Some(block) = block else {
            reading.ended = true;
            return;
        };
        reading.wanted[number] = Some(next);
        let kept = block.cost();
        reading.blocks.push_back(block);
        let freed = reading.trim();
        self.account(kept, freed);
    }

    fn account(&mut self, kept: usize, freed: usize) {
        self.kept = self.kept + kept - freed;
        self.full = self.kept >= self.window || (self.full && self.kept > self.window / 2);
    }

    /// The member wants no more of some readings in a range of positions.
    fn give_up(&mut self, number: usize, range: impl RangeBounds<[u8]>, which: impl Fn(&Reading) -> bool) {
        let (mut freed, mut gone) = (0, Vec::new());
        for (position, readings) in self.readings.range_mut(range) {
            readings.retain_mut(|reading| {
                if which(reading) {
                    reading.wanted[number] = None;
                    reading.reader = reading.reader.filter(|reader| *reader != number);
                }
                freed += reading.trim();
                let wanted = reading.wanted.iter().any(Option::is_some);
                freed += if wanted { 0 } else { OVERHEAD_BYTES + position.len() };
                wanted
            });
            if readings.is_empty() {
                gone.push(position.clone());
            }
        }
        for position in gone {
            self.readings.remove(&position);
        }
        self.account(0, freed);
    }

    /// Nobody wants what has no content.
    fn forget(&mut self, number: usize, identity: Identity) {
        let Some(here) = self.members[number].position.clone() else { return };
        for other in 0..self.members.len() {
            let range = (Bound::Included(&here[..]), Bound::Included(&here[..]));
            self.give_up(other, range, |reading| reading.identity == identity);
        }
    }
}

impl Reading {
    fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Forgets what all who want any of it have used; says how much that was.
    fn trim(&mut self) -> usize {
        let needed = self.wanted.iter().flatten().min().copied().unwrap_or(u64::MAX);
        let mut freed = 0;
        while self.first < needed
            && let Some(block) = self.blocks.pop_front()
        {
            self.first += 1;
            freed += block.cost();
        }
        freed
    }
}

impl Block {
    fn cost(&self) -> usize {
        let Self::Data(bytes) = self else { return OVERHEAD_BYTES };
        OVERHEAD_BYTES + bytes.len()
    }
}

/// The content of one file, stream or device for one member, whoever reads it.
pub(super) struct Shared<'a> {
    member: &'a Member,
    input: &'a mut dyn Input,
    /// The number of the block that comes next.
    next: u64,
    /// What is left of a block, from `used` on.
    block: Arc<[u8]>,
    used: usize,
}

impl Input for Shared<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Read> {
        if self.used == self.block.len() {
            let turn = self.member.turn(self.next)?;
            match turn {
                Turn::End => return Ok(Read::End),
                Turn::Read { offset, shared } => return self.read_for_all(offset, shared, buffer),
                Turn::Use(block) => {
                    self.next += 1;
                    match block {
                        Block::Hole(bytes) => return Ok(Read::Hole(bytes)),
                        Block::Data(bytes) => (self.block, self.used) = (bytes, 0),
                    }
                }
            }
        }
        let rest = self.block.get(self.used..).unwrap_or_default();
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        self.used += bytes;
        Ok(Read::Data(bytes))
    }
}

impl Shared<'_> {
    fn read_for_all(&mut self, offset: u64, shared: bool, buffer: &mut [u8]) -> Result<Read> {
        self.input.move_to(offset);
        let end = buffer.len().min(BLOCK_BYTES);
        let read = self.input.read(&mut buffer[..end])?;
        self.next += u64::from(read != Read::End);
        let (block, bytes) = match read {
            Read::Data(bytes) => {
                let content = if shared { buffer.get(..bytes).unwrap_or_default() } else { &[] };
                (Some(Block::Data(content.into())), bytes as u64)
            }
            Read::Hole(bytes) => (Some(Block::Hole(bytes)), bytes),
            Read::End => (None, 0),
        };
        self.member.add(block, bytes, self.next);
        Ok(read)
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        self.member.give_up();
    }
}

#[cfg(test)]
#[path = "together_tests.rs"]
mod tests;
