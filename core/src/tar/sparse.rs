//! Where sparse files have data: four ways to write it down.

use super::header::{Block, number};
use super::{BLOCK_BYTES, STRETCHES_MAX, invalid, padding};
use crate::error::Result;

/// Stretches of data as start and length.
pub(super) type Stretches = Vec<(u64, u64)>;

/// Stretches in a header of GNU's old way: four in the header, and in each block that follows it 21.
const IN_HEADER: std::ops::Range<usize> = 386..482;
const EXTENDED: usize = 482;
const REAL_SIZE: std::ops::Range<usize> = 483..495;
const IN_BLOCK: std::ops::Range<usize> = 0..504;
const MORE: usize = 504;
const PAIR_BYTES: usize = 24;

/// The old way: stretches and real size of a header of type `S`; `next` reads the blocks that follow it.
pub(super) fn old(header: &Block, next: &mut dyn FnMut() -> Result<Block>) -> Result<(Stretches, u64)> {
    let mut stretches = Vec::new();
    let mut more = pairs(&header[IN_HEADER], &mut stretches)? && header[EXTENDED] != 0;
    while more {
        let block = next()?;
        more = pairs(&block[IN_BLOCK], &mut stretches)? && block[MORE] != 0;
        if stretches.len() > STRETCHES_MAX {
            return Err(invalid("too many stretches of data"));
        }
    }
    let size = number(&header[REAL_SIZE]).and_then(|number| u64::try_from(number).ok());
    Ok((stretches, size.ok_or_else(|| invalid("a number makes no sense"))?))
}

/// Takes pairs of numbers up to one that is empty; tells whether there was none.
fn pairs(bytes: &[u8], stretches: &mut Stretches) -> Result<bool> {
    for pair in bytes.chunks_exact(PAIR_BYTES) {
        if pair[0] == 0 || pair[12] == 0 {
            return Ok(false);
        }
        let part = |bytes| number(bytes).and_then(|number| u64::try_from(number).ok());
        match (part(&pair[..12]), part(&pair[12..])) {
            (Some(start), Some(length)) => stretches.push((start, length)),
            _ => return Err(invalid("a number makes no sense")),
        }
    }
    Ok(true)
}

/// PAX 0.0 and 0.1: the numbers stand in records.
pub(super) fn of_records(numbers: &[u64]) -> Stretches {
    numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// PAX 1.0: the numbers stand before the data, one per line, up to the end of a block. Returns the bytes they take too.
pub(super) fn in_data(next: &mut dyn FnMut() -> Result<Block>) -> Result<(Stretches, u64)> {
    let mut lines = Lines { block: [0; BLOCK_BYTES], position: BLOCK_BYTES, blocks: 0, next };
    let count = usize::try_from(lines.number()?).unwrap_or(usize::MAX);
    if count > STRETCHES_MAX {
        return Err(invalid("too many stretches of data"));
    }
    let mut stretches = Vec::new();
    for _ in 0..count {
        stretches.push((lines.number()?, lines.number()?));
    }
    Ok((stretches, lines.blocks * BLOCK_BYTES as u64))
}

struct Lines<'a> {
    block: Block,
    position: usize,
    blocks: u64,
    next: &'a mut dyn FnMut() -> Result<Block>,
}

impl Lines<'_> {
    fn number(&mut self) -> Result<u64> {
        let mut number = 0u64;
        for digits in 0.. {
            if self.position == BLOCK_BYTES {
                (self.block, self.position, self.blocks) = ((self.next)()?, 0, self.blocks + 1);
            }
            let byte = self.block[self.position];
            self.position += 1;
            match byte {
                b'0'..=b'9' if digits < 20 => {
                    let more = number.checked_mul(10).and_then(|number| number.checked_add(u64::from(byte - b'0')));
                    number = more.ok_or_else(|| invalid("a number makes no sense"))?;
                }
                b'\n' if digits > 0 => break,
                _ => return Err(invalid("a map of a sparse file makes no sense")),
            }
        }
        Ok(number)
    }
}

/// What stands before the data of a sparse file of PAX 1.0.
pub(super) fn encode(stretches: &[(u64, u64)]) -> Vec<u8> {
    let mut map = format!("{}\n", stretches.len()).into_bytes();
    for (start, length) in stretches {
        map.extend_from_slice(format!("{start}\n{length}\n").as_bytes());
    }
    map.resize(map.len() + padding(map.len() as u64), 0);
    map
}

/// Refuses stretches that overlap, go backwards, or lie behind the end; takes out empty ones.
pub(super) fn check(stretches: &mut Stretches, size: u64, stored: u64) -> Result<()> {
    let wrong = || invalid("a map of a sparse file makes no sense");
    stretches.retain(|(_, length)| *length > 0);
    let (mut end, mut sum) = (0u64, 0u64);
    for (start, length) in stretches.iter() {
        if *start < end {
            return Err(wrong());
        }
        end = start.checked_add(*length).filter(|end| *end <= size).ok_or_else(wrong)?;
        sum += length;
    }
    if sum == stored { Ok(()) } else { Err(wrong()) }
}
