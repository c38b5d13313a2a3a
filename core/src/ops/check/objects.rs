//! Stored objects, and the index against them.

use std::collections::BTreeSet;

use super::reading::at_once;
use super::{About, Check, Look, Spoilt};
use crate::backend::ObjectName;
use crate::clock::{Clock, Timestamp};
use crate::compress::Decompressor;
use crate::crypto::envelope::Kind;
use crate::error::{Error, ErrorKind, Result, is_finding};
use crate::id::SegmentId;
use crate::monitor::Counters;
use crate::ops::memory::Memory;
use crate::repository::{Named, Repository, SegmentState, Session};

impl Check<'_, '_> {
    /// Reads what is to be read, and compares the index with what exists.
    pub(super) fn objects(&mut self) -> Result<()> {
        let (mut segments, mut records, mut total) = (Vec::new(), Vec::new(), 0);
        for object in self.repository.list_objects()? {
            match Named::of(&object.name) {
                Named::Object(Kind::Segment, id) => {
                    segments.push(SegmentId::from_bytes(id));
                    total += object.bytes;
                }
                Named::Object(..) => records.push(object.name),
                Named::Config | Named::Plain => {}
                Named::Foreign => {
                    let error = Error::new(ErrorKind::InvalidInput, "check object").with("reason", "unknown name");
                    self.find(About::Foreign(object.name.to_string()), error);
                }
            }
        }
        Counters::set(&self.monitor.counters().bytes_expected, total);
        for (name, error) in self.repository.spoilt_configs()? {
            self.damaged(&name, error);
        }
        self.records(&records)?;
        self.index(&segments.iter().copied().collect())?;
        self.segments(segments)
    }

    /// Everything but segments.
    fn records(&mut self, names: &[ObjectName]) -> Result<()> {
        let Self { repository, options, monitor, .. } = *self;
        let read = at_once(names, options.workers, &|| monitor.interrupted(), &|| (), &|name, ()| {
            repository.verify_record(name)
        });
        for (name, read) in read.into_iter().filter_map(|(number, read)| Some((names.get(number)?, read))) {
            match read {
                Ok(bytes) => {
                    self.checked.objects += 1;
                    self.checked.bytes += bytes;
                }
                // Gone since it was listed: somebody works here.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if is_finding(&error) => self.damaged(name, error),
                Err(error) => return Err(error),
            }
        }
        self.monitor.stop_if_asked("check")?;
        // What the session could not open for another reason than its hash.
        let unreadable = self.look.session.damaged_fragments().iter();
        let unreadable: Vec<(ObjectName, Error)> = unreadable
            .map(|(name, error)| (name.clone(), Error::damaged("check object", error).with("object", name)))
            .collect();
        for (name, error) in unreadable {
            self.damaged(&name, error);
        }
        Ok(())
    }

    fn damaged(&mut self, name: &ObjectName, error: Error) {
        if self.checked.damaged.insert(name.clone()) {
            self.find(About::Object(name.to_string()), error);
        }
    }

    /// What the index says of segments.
    fn index(&mut self, listed: &BTreeSet<SegmentId>) -> Result<()> {
        let mut missing = missing_segments(&self.look.session);
        missing.retain(|id| !listed.contains(id));
        if !missing.is_empty() && self.look.has_moved(self.repository)? {
            // A collector dooms a segment before it goes, and lifts the doom after the index has forgotten it: so this
            // look, which began after the segment was gone, sees the doom, or the index without it.
            self.look = Look::take(self.repository, self.options.archives)?;
            let still = missing_segments(&self.look.session);
            missing.retain(|id| still.contains(id));
        }
        self.gone = missing;
        let unnamed = self.look.session.unnamed_segments().len() + self.look.session.recovered_segments().count();
        if unnamed > 0 {
            let error = Error::new(ErrorKind::NotFound, "check index").with("segments without index", unnamed);
            self.find(About::Unnamed(unnamed), error);
        }
        Ok(())
    }

    /// Tells which segments are missing. If every archive was visited and nothing of it is lost, they are no loss: who
    /// merges fragments while a collector rewrites them may bring an entry back.
    pub(super) fn tell_missing_segments(&mut self) {
        let all_visited = self.options.archives && self.options.only.is_none();
        let needless = all_visited && self.checked.lost.is_empty() && self.look.catalog.unreadable.is_empty();
        for id in std::mem::take(&mut self.gone) {
            let error = Error::new(ErrorKind::NotFound, "check index").with("segment", id);
            self.find(if needless { About::StaleEntry(id) } else { About::MissingSegment(id) }, error);
        }
    }

    /// Reads segments, those first that were not read for the longest time.
    fn segments(&mut self, segments: Vec<SegmentId>) -> Result<()> {
        let now = self.clock.now();
        let what = if self.options.data { "checked-data" } else { "checked" };
        let mut memory = Memory::load(self.repository, what)?;
        let existing: BTreeSet<SegmentId> = segments.iter().copied().collect();
        memory.retain(|id| existing.contains(&SegmentId::from_bytes(*id)));
        let mut waiting = segments;
        waiting.sort_by_key(|id| (memory.minute(id.as_bytes()), *id));
        if let Some(age) = self.options.age_max {
            let before = waiting.len();
            waiting.retain(|id| !memory.is_fresh(id.as_bytes(), now, age));
            self.checked.skipped_segments += before - waiting.len();
        }
        let read = self.read_segments(&waiting, now);
        self.checked.skipped_segments += waiting.len() - read.len();
        let mut done = Ok(());
        for (id, state) in read.into_iter().filter_map(|(number, state)| Some((waiting.get(number)?, state))) {
            match self.note(*id, state) {
                Ok(true) => memory.note(*id.as_bytes(), now),
                Ok(false) => memory.forget(id.as_bytes()),
                // What was read all the same need not be read again.
                Err(error) => done = done.and(Err(error)),
            }
        }
        // What can not be remembered is read again.
        let _ = memory.save(self.repository);
        done.and_then(|()| self.monitor.stop_if_asked("check"))
    }

    /// What became of each segment, as far as there was time.
    fn read_segments(&self, waiting: &[SegmentId], began: Timestamp) -> Vec<(usize, Result<SegmentState>)> {
        let Self { repository, options, clock, monitor, ref look, ref recorded, .. } = *self;
        let stop = || monitor.interrupted() || time_is_up(clock, began, options.seconds_max);
        at_once(waiting, options.workers, &stop, &Decompressor::new, &|id, decompressor| {
            let data = options.data || recorded.contains(id);
            let state = read_segment(repository, &look.session, id, data, decompressor);
            let bytes = state.as_ref().map_or(0, |state| state.bytes);
            Counters::add(&monitor.counters().bytes, bytes);
            state
        })
    }

    /// Whether the segment is whole.
    fn note(&mut self, id: SegmentId, state: Result<SegmentState>) -> Result<bool> {
        let (spoilt, error) = match state {
            Ok(SegmentState { wrong, spoilt, why, bytes, .. }) => {
                self.checked.objects += 1;
                self.checked.bytes += bytes;
                match wrong.or(why) {
                    None if self.recorded.contains(&id) => return Ok(self.checked.whole.insert(id)),
                    None => return Ok(true),
                    Some(error) => (Spoilt::Chunks(spoilt), error),
                }
            }
            // Gone since it was listed: a collector works here.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) if is_finding(&error) => (Spoilt::Whole, error),
            Err(error) => return Err(error),
        };
        let error = match &spoilt {
            Spoilt::Chunks(chunks) => error.with("unreadable chunks", chunks.len()),
            Spoilt::Whole => error,
        };
        self.checked.spoilt.insert(id, spoilt);
        self.find(About::Object(format!("segments/{id}")), error);
        Ok(false)
    }
}

/// Segments that the index names and the store lacks, although nobody said that they would go.
pub(in crate::ops) fn missing_segments(session: &Session) -> BTreeSet<SegmentId> {
    let gone = session.gone_segments().iter().copied();
    gone.filter(|id| !session.exists(id) && !session.is_doomed(id)).collect()
}

/// Opens its chunks if `data` is to be checked, or to learn how much of it is hurt.
fn read_segment(
    repository: &Repository,
    session: &Session,
    id: &SegmentId,
    data: bool,
    decompressor: &mut Decompressor,
) -> Result<SegmentState> {
    if !data {
        match repository.verify_object(&ObjectName::of("segments", id)) {
            Err(error) if error.kind() != ErrorKind::NotFound && is_finding(&error) => {}
            done => return done.map(|bytes| SegmentState { bytes, ..SegmentState::default() }),
        }
    }
    session.verify_segment(id, decompressor)
}

/// Whether so many seconds have passed.
pub(super) fn time_is_up(clock: &dyn Clock, began: Timestamp, seconds_max: Option<u64>) -> bool {
    let spent = clock.now().seconds.saturating_sub(began.seconds);
    seconds_max.is_some_and(|most| spent >= i64::try_from(most).unwrap_or(i64::MAX))
}
