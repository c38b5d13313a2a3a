//! Borg's chunkers, and what is nearest to them here.

/// The parameters this program takes for those of Borg; what makes no sense stays, for others to complain about.
pub fn nearest(text: &str) -> String {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    match parts[..] {
        // Borg 1 had one chunker before it had names for them.
        [min, max, bits, window] if min.parse::<u32>().is_ok() => buzhash(min, max, bits, window),
        // The last parameter of buzhash64 chooses how it is keyed; here everything is.
        ["buzhash" | "buzhash64", min, max, bits, window] | ["buzhash64", min, max, bits, window, _] => {
            buzhash(min, max, bits, window)
        }
        ["toeplitz-aes" | "rabin-aes" | "goldilocks-aes", ref sizes @ ..] => format!("fastcdc,{}", sizes.join(",")),
        _ => text.to_owned(),
    }
}

/// No window here is longer than the shortest chunk.
fn buzhash(min: &str, max: &str, bits: &str, window: &str) -> String {
    let longest = min.parse().ok().and_then(|min| 1_u64.checked_shl(min)).map(|shortest| shortest.saturating_sub(1));
    match (window.parse::<u64>(), longest) {
        (Ok(wanted), Some(longest)) => format!("buzhash,{min},{max},{bits},{}", wanted.min(longest)),
        _ => format!("buzhash,{min},{max},{bits},{window}"),
    }
}

#[cfg(test)]
mod tests {
    use gabion_core::chunker::ChunkerParams;

    use super::*;

    #[test]
    fn all_chunkers_of_borg_have_a_place() {
        for (borg, own) in [
            ("default", "default"),
            ("19,23,21,4095", "buzhash,19,23,21,4095"),
            ("10,23,16,4095", "buzhash,10,23,16,1023"),
            ("buzhash,19,23,21,4095", "buzhash,19,23,21,4095"),
            ("buzhash64,19,23,21,4095", "buzhash,19,23,21,4095"),
            ("buzhash64,19,23,21,4095,2", "buzhash,19,23,21,4095"),
            ("toeplitz-aes,19,23,21,2", "fastcdc,19,23,21,2"),
            ("fastcdc,19,23,21", "fastcdc,19,23,21"),
            ("fixed,4096,512", "fixed,4096,512"),
        ] {
            assert_eq!(nearest(borg), own);
            assert!(own.parse::<ChunkerParams>().is_ok(), "{own}");
        }
        for text in ["", "x", "1,2,3,x", "buzhash,99,23,21,4095", "rolling,1,2"] {
            assert!(nearest(text).parse::<ChunkerParams>().is_err(), "{text}");
        }
    }
}
