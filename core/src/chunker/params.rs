//! The language in which people choose a chunker.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::limits::CHUNK_BYTES_MAX;

/// The smallest exponent of a content-defined chunker's sizes.
const EXPONENT_MIN: u32 = 6;
/// The largest exponent.
const EXPONENT_MAX: u32 = CHUNK_BYTES_MAX.ilog2();
/// The highest normalization level.
const NORMALIZATION_MAX: u32 = 3;
/// Bytes of the smallest block of `fixed`.
const FIXED_BYTES_MIN: usize = 64;

/// A choice of chunker, valid by construction, parsed from Borg's spelling:
///
/// | text | meaning |
/// |---|---|
/// | `default` | `fastcdc,19,23,21,2` |
/// | `fastcdc,MIN,MAX,BITS[,LEVEL]` | gear hash; sizes 2^MIN to 2^MAX, about 2^BITS; normalization 0 to 3, 2 |
/// | `buzhash,MIN,MAX,BITS,WINDOW` | cyclic polynomial over WINDOW bytes, odd and at most 2^MIN |
/// | `fixed,SIZE[,HEADER]` | HEADER bytes, then blocks of SIZE bytes |
///
/// Exponents are 6 to 24 with MIN <= BITS <= MAX; no chunk exceeds [`CHUNK_BYTES_MAX`]. `Display`
/// is the canonical form; records hold that text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ChunkerParams(Method);

/// What the text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Method {
    Fastcdc { sizes: Sizes, normalization: u32 },
    Buzhash { sizes: Sizes, window: usize },
    Fixed { size: usize, header: usize },
}

/// Sizes of chunks as exponents of two, `min <= bits <= max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sizes {
    min: u32,
    max: u32,
    bits: u32,
}

impl Sizes {
    fn new(min: &str, max: &str, bits: &str) -> Result<Self, &'static str> {
        let (min, max, bits) = (exponent(min)?, exponent(max)?, exponent(bits)?);
        if min <= bits && bits <= max { Ok(Self { min, max, bits }) } else { Err("not MIN <= BITS <= MAX") }
    }

    /// Bytes of the shortest chunk, 64 at least.
    pub(super) fn min(self) -> usize {
        1 << self.min
    }

    /// Bytes of the longest chunk, at most [`CHUNK_BYTES_MAX`].
    pub(super) fn max(self) -> usize {
        1 << self.max
    }

    /// Bytes about which chunks should have.
    pub(super) fn average(self) -> usize {
        1 << self.bits
    }

    /// The exponent of the average.
    pub(super) fn bits(self) -> u32 {
        self.bits
    }
}

impl ChunkerParams {
    pub(super) fn method(&self) -> Method {
        self.0
    }

    /// Bytes of the longest chunk, at most [`CHUNK_BYTES_MAX`].
    pub fn max_bytes(&self) -> usize {
        match self.0 {
            Method::Fastcdc { sizes, .. } | Method::Buzhash { sizes, .. } => sizes.max(),
            Method::Fixed { size, header } => size.max(header),
        }
    }
}

impl Default for ChunkerParams {
    fn default() -> Self {
        Self(Method::Fastcdc { sizes: Sizes { min: 19, max: 23, bits: 21 }, normalization: 2 })
    }
}

impl fmt::Display for ChunkerParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Method::Fastcdc { sizes: Sizes { min, max, bits }, normalization } => {
                write!(f, "fastcdc,{min},{max},{bits},{normalization}")
            }
            Method::Buzhash { sizes: Sizes { min, max, bits }, window } => {
                write!(f, "buzhash,{min},{max},{bits},{window}")
            }
            Method::Fixed { size, header: 0 } => write!(f, "fixed,{size}"),
            Method::Fixed { size, header } => write!(f, "fixed,{size},{header}"),
        }
    }
}

impl FromStr for ChunkerParams {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map(Self).map_err(|reason| {
            Error::new(ErrorKind::InvalidInput, "parse chunker parameters").with("text", text).with("reason", reason)
        })
    }
}

impl From<ChunkerParams> for String {
    fn from(value: ChunkerParams) -> Self {
        value.to_string()
    }
}

impl TryFrom<String> for ChunkerParams {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

fn parse(text: &str) -> Result<Method, &'static str> {
    let parts: Vec<&str> = text.split(',').collect();
    match parts[..] {
        ["default"] => Ok(ChunkerParams::default().0),
        ["fastcdc", min, max, bits] => Ok(Method::Fastcdc { sizes: Sizes::new(min, max, bits)?, normalization: 2 }),
        ["fastcdc", min, max, bits, level] => {
            let sizes = Sizes::new(min, max, bits)?;
            let level = number(level).and_then(|level| u32::try_from(level).ok());
            let normalization =
                level.filter(|level| *level <= NORMALIZATION_MAX).ok_or("the normalization level is not 0 to 3")?;
            Ok(Method::Fastcdc { sizes, normalization })
        }
        ["buzhash", min, max, bits, window] => {
            let sizes = Sizes::new(min, max, bits)?;
            let window = number(window).filter(|window| window % 2 == 1 && *window <= sizes.min());
            Ok(Method::Buzhash { sizes, window: window.ok_or("the window is not odd and at most 2^MIN")? })
        }
        ["fixed", size] => Ok(Method::Fixed { size: block(size)?, header: 0 }),
        ["fixed", size, header] => {
            let header = number(header).filter(|header| *header <= CHUNK_BYTES_MAX);
            Ok(Method::Fixed { size: block(size)?, header: header.ok_or("the header is longer than a chunk may be")? })
        }
        ["fastcdc" | "buzhash" | "fixed", ..] => Err("wrong number of parameters"),
        _ => Err("the chunker is none of fastcdc, buzhash, fixed"),
    }
}

fn exponent(text: &str) -> Result<u32, &'static str> {
    let exponent = number(text).and_then(|exponent| u32::try_from(exponent).ok());
    exponent.filter(|exponent| (EXPONENT_MIN..=EXPONENT_MAX).contains(exponent)).ok_or("an exponent is not 6 to 24")
}

fn block(text: &str) -> Result<usize, &'static str> {
    let size = number(text).filter(|size| (FIXED_BYTES_MIN..=CHUNK_BYTES_MAX).contains(size));
    size.ok_or("the block size is not 64 to 16777216")
}

/// A decimal number without the plus sign Rust would accept.
fn number(text: &str) -> Option<usize> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_texts_have_a_canonical_form() {
        for (text, canonical) in [
            ("default", "fastcdc,19,23,21,2"),
            ("fastcdc,19,23,21", "fastcdc,19,23,21,2"),
            ("fastcdc,6,24,24,0", "fastcdc,6,24,24,0"),
            ("fastcdc,10,10,10,3", "fastcdc,10,10,10,3"),
            ("buzhash,19,23,21,4095", "buzhash,19,23,21,4095"),
            ("buzhash,6,7,6,63", "buzhash,6,7,6,63"),
            ("fixed,64", "fixed,64"),
            ("fixed,16777216,0", "fixed,16777216"),
            ("fixed,4194304,512", "fixed,4194304,512"),
        ] {
            let params: ChunkerParams = text.parse().unwrap();
            assert_eq!(params.to_string(), canonical);
            assert_eq!(canonical.parse::<ChunkerParams>().unwrap(), params);
        }
        assert_eq!(ChunkerParams::default().to_string(), "fastcdc,19,23,21,2");
    }

    #[test]
    fn bad_texts_are_refused_and_named() {
        for text in [
            "",
            "rabin,19,23,21",
            "fastcdc",
            "fastcdc,19,23",
            "fastcdc,5,23,21",
            "fastcdc,19,25,21",
            "fastcdc,19,23,18",
            "fastcdc,19,23,24",
            "fastcdc,23,19,21",
            "fastcdc,19,23,21,4",
            "fastcdc,19,23,21,-1",
            "fastcdc,19,23,21,2,2",
            "fastcdc,+19,23,21",
            "fastcdc,19 ,23,21",
            "buzhash,19,23,21",
            "buzhash,19,23,21,4096",
            "buzhash,6,23,21,65",
            "buzhash,19,23,21,0",
            "fixed",
            "fixed,63",
            "fixed,16777217",
            "fixed,4096,16777217",
            "fixed,4096,1,1",
            "fixed,99999999999999999999",
            "default,1",
        ] {
            let error = text.parse::<ChunkerParams>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert_eq!(error.context("text"), Some(text));
        }
    }

    #[test]
    fn records_hold_the_text() {
        let bytes = rmp_serde::to_vec(&ChunkerParams::default()).unwrap();
        assert_eq!(rmp_serde::from_slice::<String>(&bytes).unwrap(), "fastcdc,19,23,21,2");
        assert_eq!(rmp_serde::from_slice::<ChunkerParams>(&bytes).unwrap(), ChunkerParams::default());
        assert!(rmp_serde::from_slice::<ChunkerParams>(&rmp_serde::to_vec("fastcdc,19,99,21").unwrap()).is_err());
    }
}
