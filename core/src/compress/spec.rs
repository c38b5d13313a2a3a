//! The language in which people choose a compression.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

use super::obfuscate::Obfuscation;

/// A choice of compression, parsed from `[obfuscate,SPEC,][auto,]CODEC[,LEVEL]`:
///
/// | text | meaning |
/// |---|---|
/// | `none` | store as it is |
/// | `lz4` | very fast |
/// | `zstd[,L]` | L 1 to 22, or -1 to -128 for speed; 3 |
/// | `zlib[,L]` | L 0 to 9; 6 |
/// | `lzma[,L]` | L 0 to 9; 6 |
/// | `auto,C` | C where LZ4 shrinks a frame by 3 % at least, nothing elsewhere |
/// | `obfuscate,SPEC,C` | C or `auto,C`, then padding that hides the size |
///
/// SPEC is 1 to 6 (90 % of frames grow by a random part between 0.1 % and 1 % times 10^SPEC, 9 % by up
/// to ten times that, and so on), 110 to 123 (up to 2^(SPEC-100) random bytes), or 250 (Padmé: at most
/// 12 %). The default is `zstd,3`. `Display` is the canonical form, level included; records hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Compression {
    pub(super) algorithm: Algorithm,
    pub(super) auto: bool,
    pub(super) obfuscation: Option<Obfuscation>,
}

/// A codec and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Algorithm {
    None,
    Lz4,
    Zstd(i32),
    Zlib(u32),
    Lzma(u32),
}

impl Compression {
    /// Stores everything as it is.
    pub const NONE: Self = Self { algorithm: Algorithm::None, auto: false, obfuscation: None };
}

impl Default for Compression {
    fn default() -> Self {
        Self { algorithm: Algorithm::Zstd(3), auto: false, obfuscation: None }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(obfuscation) = self.obfuscation {
            write!(f, "obfuscate,{},", obfuscation.spec())?;
        }
        if self.auto {
            f.write_str("auto,")?;
        }
        match self.algorithm {
            Algorithm::None => f.write_str("none"),
            Algorithm::Lz4 => f.write_str("lz4"),
            Algorithm::Zstd(level) => write!(f, "zstd,{level}"),
            Algorithm::Zlib(level) => write!(f, "zlib,{level}"),
            Algorithm::Lzma(level) => write!(f, "lzma,{level}"),
        }
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|reason| {
            Error::new(ErrorKind::InvalidInput, "parse compression").with("text", text).with("reason", reason)
        })
    }
}

impl From<Compression> for String {
    fn from(value: Compression) -> Self {
        value.to_string()
    }
}

impl TryFrom<String> for Compression {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

fn parse(text: &str) -> Result<Compression, &'static str> {
    let parts: Vec<&str> = text.split(',').collect();
    let mut rest = parts.as_slice();
    let mut obfuscation = None;
    if let ["obfuscate", others @ ..] = rest {
        let [spec, others @ ..] = others else { return Err("obfuscate needs a number") };
        let spec = number(spec).and_then(|spec| u8::try_from(spec).ok());
        obfuscation =
            Some(spec.and_then(Obfuscation::new).ok_or("obfuscation is none of 1 to 6, 110 to 123, and 250")?);
        rest = others;
    }
    let mut auto = false;
    if let ["auto", others @ ..] = rest {
        (auto, rest) = (true, others);
    }
    Ok(Compression { algorithm: parse_algorithm(rest)?, auto, obfuscation })
}

fn parse_algorithm(parts: &[&str]) -> Result<Algorithm, &'static str> {
    let small_level = |level: &str| {
        let level = number(level).and_then(|level| u32::try_from(level).ok());
        level.filter(|level| *level <= 9).ok_or("the level is not 0 to 9")
    };
    match parts {
        ["none"] => Ok(Algorithm::None),
        ["lz4"] => Ok(Algorithm::Lz4),
        ["zstd"] => Ok(Algorithm::Zstd(3)),
        ["zstd", level] => number(level)
            .filter(|level| (1..=22).contains(level) || (-128..=-1).contains(level))
            .map(Algorithm::Zstd)
            .ok_or("the level is neither 1 to 22 nor -1 to -128"),
        ["zlib"] => Ok(Algorithm::Zlib(6)),
        ["zlib", level] => small_level(level).map(Algorithm::Zlib),
        ["lzma"] => Ok(Algorithm::Lzma(6)),
        ["lzma", level] => small_level(level).map(Algorithm::Lzma),
        ["none" | "lz4", _, ..] => Err("this codec has no level"),
        ["zstd" | "zlib" | "lzma", ..] => Err("something follows the level"),
        _ => Err("the codec is none of none, lz4, zstd, zlib, lzma"),
    }
}

/// A decimal number without the plus sign Rust would accept.
fn number(text: &str) -> Option<i32> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_specs_have_a_canonical_form() {
        for (text, canonical) in [
            ("none", "none"),
            ("lz4", "lz4"),
            ("zstd", "zstd,3"),
            ("zstd,1", "zstd,1"),
            ("zstd,22", "zstd,22"),
            ("zstd,-1", "zstd,-1"),
            ("zstd,-128", "zstd,-128"),
            ("zlib", "zlib,6"),
            ("zlib,0", "zlib,0"),
            ("lzma", "lzma,6"),
            ("lzma,9", "lzma,9"),
            ("auto,zstd", "auto,zstd,3"),
            ("auto,lzma,2", "auto,lzma,2"),
            ("obfuscate,1,none", "obfuscate,1,none"),
            ("obfuscate,110,lz4", "obfuscate,110,lz4"),
            ("obfuscate,123,auto,zstd,7", "obfuscate,123,auto,zstd,7"),
            ("obfuscate,250,zstd", "obfuscate,250,zstd,3"),
        ] {
            let spec: Compression = text.parse().unwrap();
            assert_eq!(spec.to_string(), canonical);
            assert_eq!(canonical.parse::<Compression>().unwrap(), spec);
        }
        assert_eq!(Compression::default().to_string(), "zstd,3");
        assert_eq!("none".parse::<Compression>().unwrap(), Compression::NONE);
    }

    #[test]
    fn bad_specs_are_refused_and_named() {
        for text in [
            "",
            ",",
            "gzip",
            "ZSTD",
            " zstd",
            "none,1",
            "lz4,1",
            "zstd,",
            "zstd,0",
            "zstd,23",
            "zstd,-129",
            "zstd,+3",
            "zstd,3,3",
            "zstd,3x",
            "zlib,10",
            "zlib,-1",
            "lzma,10",
            "auto",
            "auto,",
            "auto,auto,lz4",
            "obfuscate",
            "obfuscate,1",
            "obfuscate,0,lz4",
            "obfuscate,7,lz4",
            "obfuscate,109,lz4",
            "obfuscate,124,lz4",
            "obfuscate,506,lz4",
            "obfuscate,x,lz4",
            "obfuscate,1,obfuscate,1,lz4",
            "auto,obfuscate,1,lz4",
        ] {
            let error = text.parse::<Compression>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert_eq!(error.context("text"), Some(text));
        }
    }

    #[test]
    fn records_hold_the_text() {
        let bytes = rmp_serde::to_vec(&Compression::default()).unwrap();
        assert_eq!(rmp_serde::from_slice::<String>(&bytes).unwrap(), "zstd,3");
        assert_eq!(rmp_serde::from_slice::<Compression>(&bytes).unwrap(), Compression::default());
        assert!(rmp_serde::from_slice::<Compression>(&rmp_serde::to_vec("zstd,99").unwrap()).is_err());
    }
}
