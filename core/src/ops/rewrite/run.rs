//! One run that makes an archive out of another: announce, build, with checkpoints, commit.

use crate::archive::content::DirectoryRef;
use crate::archive::record::{ArchiveRecord, BaseRef, PendingRecord};
use crate::archive::stat::StatRef;
use crate::clock::Clock;
use crate::codec::Extensions;
use crate::error::Result;
use crate::id::ArchiveId;
use crate::limits::CHECKPOINT_BYTES;
use crate::monitor::{Event, Monitor, Warning};
use crate::ops::publish::publish;
use crate::repository::{Repository, Writer, WriterOptions};

/// How often a run begins anew because a collector was faster.
pub(in crate::ops) const ATTEMPTS_MAX: u32 = 5;

/// An archive in the making.
pub(in crate::ops) struct Run<'a> {
    pub writer: Writer,
    base: Option<BaseRef>,
    clock: &'a dyn Clock,
    monitor: &'a dyn Monitor,
}

impl<'a> Run<'a> {
    /// Looks at the repository and announces the archive. The caller makes sure that the archive of `base` is still live.
    pub fn begin(
        repository: &Repository,
        base: Option<BaseRef>,
        options: &WriterOptions,
        clock: &'a dyn Clock,
        monitor: &'a dyn Monitor,
    ) -> Result<Self> {
        let writer = repository.session()?.into_writer(options)?;
        let run = Self { writer, base, clock, monitor };
        run.writer.announce(&run.pending(None).encode()?)?;
        Ok(run)
    }

    fn pending(&self, record: Option<ArchiveRecord>) -> PendingRecord {
        let (started, complete) = (self.clock.now(), record.is_some());
        PendingRecord { started, base: self.base, record, complete, extensions: Extensions::none() }
    }

    /// Publishes what is stored so far if that is much since `published`, so that another run finds it.
    pub fn checkpoint_if_due(&self, published: &mut u64) -> Result<()> {
        let stored = self.writer.totals().new_bytes;
        if stored - *published < CHECKPOINT_BYTES {
            return Ok(());
        }
        self.writer.checkpoint(&self.pending(None).encode()?)?;
        *published = stored;
        self.monitor.event(&Event::Checkpoint);
        Ok(())
    }

    /// Publishes the archive: `record` with this tree. Returns its id and all of the record.
    pub fn commit(
        self,
        mut record: ArchiveRecord,
        (root, stat_root): (DirectoryRef, StatRef),
    ) -> Result<(ArchiveId, ArchiveRecord)> {
        (record.root, record.stat_root) = (root, Some(stat_root));
        (record.statistics.files, record.statistics.bytes) = (root.files, root.bytes);
        let complete = self.pending(Some(record.clone())).encode()?;
        let (id, untidy) = publish(self.writer, Some(complete), &record, self.clock)?;
        if let Some(error) = untidy {
            self.monitor.event(&Event::Warning { warning: Warning::Repository, path: b"", error: &error });
        }
        Ok((id, record))
    }
}
