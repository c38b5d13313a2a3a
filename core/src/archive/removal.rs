//! What is kept of an archive that was removed: its record, and who removed it, when and why.
//!
//! As long as its chunks are there, the record is enough to bring the archive back.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::codec::{self, Extensions};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ArchiveId;
use crate::limits::{LABEL_BYTES_MAX, RECORD_BYTES_MAX};
use crate::repository::{RemovalName, Repository};

use super::record::ArchiveRecord;

/// The removal of an archive. Stored as an array of its fields, at most 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalRecord {
    /// The archive.
    pub archive: ArchiveId,
    /// What it said of itself; `None` if that could not be read any more.
    pub record: Option<ArchiveRecord>,
    /// When it was removed.
    pub time: Timestamp,
    /// The machine it was removed from, at most 255 bytes.
    pub host: String,
    /// Who removed it, at most 255 bytes.
    pub user: String,
    /// Why: the command, or the rule that did not keep it; at most 255 bytes.
    pub reason: String,
    /// Additions of later versions.
    pub extensions: Extensions,
}

impl RemovalRecord {
    /// The bytes of the record. What exceeds a bound of a field is `InvalidInput`.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check().map_err(|what| Error::new(ErrorKind::InvalidInput, "encode removal").with("reason", what))?;
        codec::encode(self, RECORD_BYTES_MAX)
    }

    /// Reads what [`RemovalRecord::encode`] wrote; refuses everything else.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let removal: Self = codec::decode(bytes, RECORD_BYTES_MAX)?;
        removal.check().map_err(|what| Error::damaged("decode removal", what))?;
        removal.extensions.check_critical()?;
        Ok(removal)
    }

    /// Reads the removal record of that name.
    pub fn load(repository: &Repository, name: &RemovalName) -> Result<Self> {
        let removal = Self::decode(&repository.read_removal(name)?)?;
        if removal.archive == name.archive {
            return Ok(removal);
        }
        Err(Error::damaged("read removal", "record of another archive").with("archive", name.archive))
    }

    fn check(&self) -> Result<(), &'static str> {
        if [&self.host, &self.user, &self.reason].into_iter().any(|text| text.len() > LABEL_BYTES_MAX) {
            return Err("host, user or reason too long");
        }
        self.time.check()?;
        self.record.iter().try_for_each(ArchiveRecord::check)
    }
}
