//! Blocks of one size, for disk images and databases that change in place.
//!
//! Blocks lie on a grid over the file, so a hole before them does not shift them.

use super::Scan;

/// The fixed-size chunker.
pub(super) struct Fixed {
    size: usize,
    header: usize,
}

impl Fixed {
    /// Blocks of `size` bytes, not zero, behind `header` bytes.
    pub(super) fn new(size: usize, header: usize) -> Self {
        Self { size, header }
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.size.max(self.header)
    }

    /// See [`super::Chunker::scan`].
    pub(super) fn scan(&self, scan: &Scan, data: &[u8]) -> Option<usize> {
        let (size, header) = (self.size as u64, self.header as u64);
        let wanted = match scan.offset.checked_sub(header) {
            None => header - scan.offset,
            Some(behind) => size - behind % size,
        };
        // At most the size or the header, both of which fit.
        let wanted = wanted as usize;
        (wanted <= data.len()).then_some(wanted)
    }
}
