//! Leases: somebody asks collectors to wait. Advice to people, no safety depends on one.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::codec::{self, Extensions};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{LABEL_BYTES_MAX, RECORD_BYTES_MAX};

/// Who asks collectors to wait, and what for. Stored as an array of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// The machine, at most 255 bytes.
    pub host: String,
    /// The user, at most 255 bytes.
    pub user: String,
    /// The process on this machine.
    pub process: u64,
    /// What for: a command, at most 255 bytes.
    pub purpose: String,
    /// Since when.
    pub since: Timestamp,
    /// Additions of later versions.
    pub extensions: Extensions,
}

impl LeaseRecord {
    /// The bytes of the record. What exceeds a bound of a field is `InvalidInput`.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let wrong = |what| Error::new(ErrorKind::InvalidInput, "encode lease").with("reason", what);
        self.check().map_err(wrong)?;
        codec::encode(self, RECORD_BYTES_MAX)
    }

    /// Reads what [`LeaseRecord::encode`] wrote; refuses everything else.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let record: Self = codec::decode(bytes, RECORD_BYTES_MAX)?;
        record.check().map_err(|what| Error::damaged("decode lease", what))?;
        record.extensions.check_critical()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), &'static str> {
        if [&self.host, &self.user, &self.purpose].into_iter().any(|text| text.len() > LABEL_BYTES_MAX) {
            return Err("host, user or purpose too long");
        }
        self.since.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> LeaseRecord {
        LeaseRecord {
            host: "laptop".to_owned(),
            user: "u".to_owned(),
            process: 4711,
            purpose: "rsync".to_owned(),
            since: Timestamp::new(1_790_000_000, 5),
            extensions: Extensions::none(),
        }
    }

    #[test]
    fn records_go_both_ways() {
        let bytes = record().encode().unwrap();
        assert_eq!(LeaseRecord::decode(&bytes).unwrap(), record());
        assert!(LeaseRecord::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn bounds_are_kept() {
        let long = LeaseRecord { purpose: "x".repeat(256), ..record() };
        assert_eq!(long.encode().unwrap_err().kind(), ErrorKind::InvalidInput);
        let late = LeaseRecord { since: Timestamp::new(0, 1_000_000_000), ..record() };
        assert_eq!(late.encode().unwrap_err().kind(), ErrorKind::InvalidInput);
        let bytes = codec::encode(&late, RECORD_BYTES_MAX).unwrap();
        assert_eq!(LeaseRecord::decode(&bytes).unwrap_err().kind(), ErrorKind::Damaged);
    }
}
