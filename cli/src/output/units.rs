//! Sizes for people.

use crate::exit_code::Failure;

/// How sizes are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Units {
    /// Powers of 1000: `1.23 MB`.
    #[default]
    Si,
    /// Powers of 1024: `1.17 MiB`.
    Iec,
    /// Bytes: `1234567 B`.
    Raw,
}

impl Units {
    /// The units called `si`, `iec` or `raw`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "si" => Self::Si,
            "iec" => Self::Iec,
            "raw" => Self::Raw,
            _ => return None,
        })
    }

    /// A number of bytes with two decimals and a unit.
    pub fn format(self, bytes: u64) -> String {
        let (power, prefixes) = match self {
            Self::Si => (1000.0, ["", "k", "M", "G", "T", "P", "E"]),
            Self::Iec => (1024.0, ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]),
            Self::Raw => return format!("{bytes} B"),
        };
        let mut number = bytes as f64;
        let mut index = 0;
        // 999.995 would be shown as 1000.00: that is the next unit
        while (number * 100.0).round() / 100.0 >= power && index + 1 < prefixes.len() {
            number /= power;
            index += 1;
        }
        match index {
            0 => format!("{bytes} B"),
            _ => format!("{number:.2} {}B", prefixes[index]),
        }
    }
}

/// Reads a size such as `1234`, `55G`, `1.7T` or `64Ki`, with or without a `B`.
pub fn parse(text: &str) -> Result<u64, Failure> {
    let wrong = || Failure::command(format!("not a size: `{text}`, write a number and none or one of K M G T P"));
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (letter, power) = match unit.strip_suffix('i') {
        Some(letter) if !letter.is_empty() => (letter, 1024u64),
        Some(_) => return Err(wrong()),
        None => (unit, 1000),
    };
    let exponent = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == letter).ok_or_else(wrong)?;
    let factor = power.pow(u32::try_from(exponent).map_err(|_| wrong())?);
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(wrong);
    }
    let size = number.parse::<f64>().map_err(|_| wrong())? * factor as f64;
    // beyond this a float has no whole numbers any more
    if size < 9e15 { Ok(size as u64) } else { Err(wrong()) }
}

/// Reads a rate: a size that is not nothing.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    match parse(text) {
        Ok(0) => Err("a rate of nothing would never end: leave the option out for no limit".to_owned()),
        Ok(rate) => Ok(rate),
        Err(failure) => Err(failure.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, si, iec) in [
            (0, "0 B", "0 B"),
            (1, "1 B", "1 B"),
            (999, "999 B", "999 B"),
            (1000, "1.00 kB", "1000 B"),
            (1001, "1.00 kB", "1001 B"),
            (1024, "1.02 kB", "1.00 KiB"),
            (1234, "1.23 kB", "1.21 KiB"),
            (1235, "1.24 kB", "1.21 KiB"),
            (999_990_001, "999.99 MB", "953.66 MiB"),
            (999_995_000, "1.00 GB", "953.67 MiB"),
            (1 << 20, "1.05 MB", "1.00 MiB"),
            (1 << 30, "1.07 GB", "1.00 GiB"),
            (1_000_000_000_000, "1.00 TB", "931.32 GiB"),
            (1_000_000_000_000_000_000, "1.00 EB", "888.18 PiB"),
            (u64::MAX, "18.45 EB", "16.00 EiB"),
        ] {
            assert_eq!((&*Units::Si.format(bytes), &*Units::Iec.format(bytes)), (si, iec));
            assert_eq!(Units::Raw.format(bytes), format!("{bytes} B"));
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("20", 20),
            ("5K", 5000),
            ("5k", 5000),
            ("1.75M", 1_750_000),
            ("55G", 55_000_000_000),
            ("64Ki", 65_536),
            ("1 MiB", 1 << 20),
            ("10MB", 10_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
        for text in
            ["", "K", "-1", "5 Äpfel", "4E", "1i", "1..2", "18446744073709551616", "18446744073709551615K", "99999.5P"]
        {
            assert_eq!(parse(text).unwrap_err().code.rc, 4, "{text}");
        }
    }
}
