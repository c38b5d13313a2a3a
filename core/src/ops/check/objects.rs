//! Stored objects, and the index against them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{About, Check, CheckOptions, Memory, Spoilt};
use crate::backend::ObjectName;
use crate::clock::{Clock, Timestamp};
use crate::compress::Decompressor;
use crate::crypto::envelope::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::id::SegmentId;
use crate::monitor::{Counters, Monitor};
use crate::repository::{Named, Repository, SegmentState, is_finding};

impl Check<'_, '_> {
    /// Reads what is to be read, and compares the index with what exists.
    pub(super) fn objects(&mut self) -> Result<()> {
        let (mut segments, mut records) = (Vec::new(), Vec::new());
        for object in self.repository.list_objects()? {
            match Named::of(&object.name) {
                Named::Object(Kind::Segment, id) => segments.push((SegmentId::from_bytes(id), object.bytes)),
                Named::Object(..) => records.push(object.name),
                Named::Plain => {}
                Named::Foreign => {
                    let error = Error::new(ErrorKind::InvalidInput, "check object").with("reason", "unknown name");
                    self.find(About::Foreign(object.name.to_string()), error);
                }
            }
        }
        let total: u64 = segments.iter().map(|(_, bytes)| bytes).sum();
        Counters::set(&self.monitor.counters().bytes_expected, total);
        for name in records {
            self.record(&name)?;
        }
        self.index(&segments.iter().copied().collect());
        self.segments(segments)
    }

    fn record(&mut self, name: &ObjectName) -> Result<()> {
        if self.monitor.interrupted() {
            return Err(Error::new(ErrorKind::Interrupted, "check"));
        }
        match self.repository.verify_object(name) {
            Ok(bytes) => {
                self.checked.objects += 1;
                self.checked.bytes += bytes;
            }
            // Gone since it was listed: somebody works here.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if is_finding(&error) => self.find(About::Object(name.to_string()), error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What the index says of segments.
    fn index(&mut self, listed: &BTreeMap<SegmentId, u64>) {
        let damaged: Vec<String> = self.session.damaged_fragments().iter().map(|(name, _)| name.to_string()).collect();
        for name in damaged {
            self.find(About::Object(name), Error::damaged("check index", "fragment does not open"));
        }
        for id in self.session.gone_segments().to_vec() {
            if !listed.contains_key(&id) {
                let error = Error::new(ErrorKind::NotFound, "check index").with("segment", id);
                self.find(About::MissingSegment(id), error);
            }
        }
        for record in self.session.segment_records() {
            // A list may tell more than the length (contract 10); what is too long is found when it is read.
            if listed.get(&record.id).is_some_and(|bytes| *bytes < record.bytes) {
                let error = Error::damaged("check index", "segment has another length").with("segment", record.id);
                self.find(About::Object(format!("segments/{}", record.id)), error);
            }
        }
        let unnamed = self.session.unnamed_segments().len();
        if unnamed > 0 {
            let error = Error::new(ErrorKind::NotFound, "check index").with("segments without index", unnamed);
            self.find(About::Unnamed(unnamed), error);
        }
    }

    /// Reads segments on all cores, those first that were not read for the longest time.
    fn segments(&mut self, segments: Vec<(SegmentId, u64)>) -> Result<()> {
        let now = self.clock.now();
        let mut memory = Memory::load(self.repository, self.options.data)?;
        memory.retain(|id| segments.iter().any(|(segment, _)| segment == id));
        let mut waiting: Vec<SegmentId> = segments.into_iter().map(|(id, _)| id).collect();
        waiting.sort_by_key(|id| (memory.verified(id), *id));
        if let Some(age) = self.options.age_max {
            let before = waiting.len();
            waiting.retain(|id| !memory.is_fresh(id, now, age));
            self.checked.skipped_segments += before - waiting.len();
        }
        let Self { repository, options, clock, monitor, .. } = *self;
        let read = Segments { repository, options, clock, monitor, began: now }.read(&waiting)?;
        self.checked.skipped_segments += waiting.len() - read.len();
        for (id, state) in read {
            if self.note(id, state)? {
                memory.note(id, now);
            } else {
                memory.forget(&id);
            }
        }
        // What can not be remembered is read again.
        let _ = memory.save(self.repository);
        Ok(())
    }

    /// Whether the segment is whole.
    fn note(&mut self, id: SegmentId, state: Result<SegmentState>) -> Result<bool> {
        let name = || format!("segments/{id}");
        match state {
            Ok(SegmentState { wrong: None, spoilt, bytes, .. }) if spoilt.is_empty() => {
                self.checked.objects += 1;
                self.checked.bytes += bytes;
                return Ok(true);
            }
            Ok(SegmentState { wrong, spoilt, .. }) => {
                let chunks = spoilt.iter().map(|(chunk, _)| *chunk).collect();
                let part = if spoilt.is_empty() { Spoilt::Nothing } else { Spoilt::Chunks(chunks) };
                self.checked.spoilt.insert(id, part);
                let first = spoilt.into_iter().next().map(|(_, error)| error);
                let error = wrong.or(first).unwrap_or_else(|| Error::damaged("check segment", "damaged"));
                self.find(About::Object(name()), error);
            }
            // Gone since it was listed: a collector works here.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if is_finding(&error) => {
                // Without opening frames nobody knows how much of it is hurt.
                let part = if self.options.data { Spoilt::Whole } else { Spoilt::Nothing };
                self.checked.spoilt.insert(id, part);
                self.find(About::Object(name()), error);
            }
            Err(error) => return Err(error),
        }
        Ok(false)
    }
}

/// Reads segments on all cores.
struct Segments<'a> {
    repository: &'a Repository,
    options: &'a CheckOptions,
    clock: &'a dyn Clock,
    monitor: &'a dyn Monitor,
    began: Timestamp,
}

impl Segments<'_> {
    /// What became of each segment, as far as there was time. Every thread holds one segment at a time.
    fn read(&self, waiting: &[SegmentId]) -> Result<Vec<(SegmentId, Result<SegmentState>)>> {
        let (next, read) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            let mut decompressor = Decompressor::new();
            while !self.monitor.interrupted() && !self.time_is_up() {
                let Some(id) = waiting.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let state = self.read_one(id, &mut decompressor);
                let bytes = state.as_ref().map_or(0, |state| state.bytes);
                Counters::add(&self.monitor.counters().bytes, bytes);
                read.lock().unwrap_or_else(PoisonError::into_inner).push((*id, state));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.options.workers.max(1) {
                scope.spawn(work);
            }
            work();
        });
        if self.monitor.interrupted() {
            return Err(Error::new(ErrorKind::Interrupted, "check"));
        }
        Ok(read.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn read_one(&self, id: &SegmentId, decompressor: &mut Decompressor) -> Result<SegmentState> {
        if self.options.data {
            return self.repository.verify_segment(id, decompressor);
        }
        let bytes = self.repository.verify_object(&ObjectName::of("segments", id))?;
        Ok(SegmentState { wrong: None, spoilt: Vec::new(), chunks: 0, bytes })
    }

    fn time_is_up(&self) -> bool {
        let spent = self.clock.now().seconds.saturating_sub(self.began.seconds);
        self.options.seconds_max.is_some_and(|most| spent >= i64::try_from(most).unwrap_or(i64::MAX))
    }
}
