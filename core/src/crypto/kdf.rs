//! From a passphrase to a key, slowly on purpose.
//!
//! The costs come from the store, so they are held against the limits before any
//! memory is asked for. Whatever the memory used, it is free again on return.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};
use sha2::Sha256;

use super::secret::{Passphrase, Secret};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SALT_BYTES;
use crate::limits::{KDF_ITERATIONS_MAX, KDF_LANES_MAX, KDF_MEMORY_KIB_MAX, KDF_PASSES_MAX};

/// The fewest iterations of PBKDF2 a new slot may have (OWASP, 2023).
pub const PBKDF2_ITERATIONS_MIN: u32 = 600_000;
/// Argon2 needs this much memory for each lane.
const MEMORY_KIB_PER_LANE: u32 = 8;
/// Memory of the default, in KiB.
const DEFAULT_MEMORY_KIB: u32 = 64 * 1024;
/// Passes of the default.
const DEFAULT_PASSES: u32 = 3;
/// Lanes of the default.
const DEFAULT_LANES: u32 = 4;
/// What a strong derivation takes on this machine.
const STRONG: Duration = Duration::from_secs(1);

/// A derivation function and its costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdfParams {
    /// Argon2id, version 0x13 (RFC 9106).
    Argon2id {
        /// Memory in KiB: at least 8 per lane, at most [`KDF_MEMORY_KIB_MAX`].
        memory_kib: u32,
        /// Passes over the memory: 1 to [`KDF_PASSES_MAX`].
        passes: u32,
        /// Lanes: 1 to [`KDF_LANES_MAX`].
        lanes: u32,
    },
    /// PBKDF2 with HMAC-SHA256 (RFC 8018).
    Pbkdf2HmacSha256 {
        /// Iterations: 1 to [`KDF_ITERATIONS_MAX`].
        iterations: u32,
    },
}

impl Default for KdfParams {
    /// Argon2id with 64 MiB, three passes, four lanes: the second choice of RFC 9106.
    fn default() -> Self {
        Self::Argon2id { memory_kib: DEFAULT_MEMORY_KIB, passes: DEFAULT_PASSES, lanes: DEFAULT_LANES }
    }
}

impl KdfParams {
    /// Costs that protect nothing but take no time, for tests; the only ones below
    /// the default that a new slot may have.
    pub const fn weak_for_tests() -> Self {
        Self::Argon2id { memory_kib: MEMORY_KIB_PER_LANE, passes: 1, lanes: 1 }
    }

    /// Argon2id that takes about one second on this machine, with at most
    /// `memory_kib_max` KiB: never below the default nor above the format's limit.
    ///
    /// Memory is raised before passes, because memory is what an attacker lacks.
    pub fn calibrate_strong(memory_kib_max: u32) -> Result<Self> {
        let passphrase = Passphrase::new(vec![b'x'; 16]);
        calibrate(memory_kib_max, |params| {
            let start = Instant::now();
            params.derive(&passphrase, &[0; SALT_BYTES])?;
            Ok(start.elapsed())
        })
    }

    /// Refuses costs no slot may have; kind [`ErrorKind::LimitExceeded`].
    pub fn check_limits(&self) -> Result<()> {
        let fits = match *self {
            Self::Argon2id { memory_kib, passes, lanes } => {
                (1..=KDF_LANES_MAX).contains(&lanes)
                    && (1..=KDF_PASSES_MAX).contains(&passes)
                    && (MEMORY_KIB_PER_LANE * lanes..=KDF_MEMORY_KIB_MAX).contains(&memory_kib)
            }
            Self::Pbkdf2HmacSha256 { iterations } => (1..=KDF_ITERATIONS_MAX).contains(&iterations),
        };
        if fits { Ok(()) } else { Err(self.refused(ErrorKind::LimitExceeded)) }
    }

    /// Refuses costs a new slot may not have: kind [`ErrorKind::InvalidInput`] below
    /// the default, [`ErrorKind::LimitExceeded`] above the limits.
    pub fn check_strength(&self) -> Result<()> {
        self.check_limits()?;
        let strong = match *self {
            Self::Argon2id { memory_kib, passes, .. } => memory_kib >= DEFAULT_MEMORY_KIB && passes >= DEFAULT_PASSES,
            Self::Pbkdf2HmacSha256 { iterations } => iterations >= PBKDF2_ITERATIONS_MIN,
        };
        if strong || *self == Self::weak_for_tests() { Ok(()) } else { Err(self.refused(ErrorKind::InvalidInput)) }
    }

    /// The key of 32 bytes for this passphrase and salt.
    ///
    /// Kinds of errors: [`ErrorKind::LimitExceeded`] for costs out of bounds, before
    /// memory is asked for; [`ErrorKind::System`] if there is not so much memory.
    pub fn derive(&self, passphrase: &Passphrase, salt: &[u8; SALT_BYTES]) -> Result<Secret> {
        self.check_limits()?;
        Secret::fill_with(|key| match *self {
            Self::Argon2id { memory_kib, passes, lanes } => {
                let failed = |error: argon2::Error| self.refused(ErrorKind::System).because(error);
                let params = Params::new(memory_kib, passes, lanes, Some(Secret::BYTES)).map_err(failed)?;
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon2.hash_password_into(passphrase.expose(), salt, key).map_err(failed)
            }
            Self::Pbkdf2HmacSha256 { iterations } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.expose(), salt, iterations, key);
                Ok(())
            }
        })
    }

    fn refused(&self, kind: ErrorKind) -> Error {
        Error::new(kind, "derive key").with("costs", format_args!("{self:?}"))
    }
}

/// See [`KdfParams::calibrate_strong`]; `measure` tells how long costs take.
fn calibrate(memory_kib_max: u32, mut measure: impl FnMut(KdfParams) -> Result<Duration>) -> Result<KdfParams> {
    let with = |memory_kib, passes| KdfParams::Argon2id { memory_kib, passes, lanes: DEFAULT_LANES };
    let memory_kib_max = memory_kib_max.min(KDF_MEMORY_KIB_MAX);
    let mut memory_kib = DEFAULT_MEMORY_KIB;
    let mut time = measure(with(memory_kib, DEFAULT_PASSES))?;
    while memory_kib <= memory_kib_max / 2 && time <= STRONG / 2 {
        // a machine without the memory for a step stays where it is
        let Ok(longer) = measure(with(memory_kib * 2, DEFAULT_PASSES)) else { break };
        memory_kib *= 2;
        time = longer;
    }
    let passes = u128::from(DEFAULT_PASSES) * STRONG.as_nanos() / time.as_nanos().max(1);
    let passes = u32::try_from(passes).unwrap_or(KDF_PASSES_MAX).clamp(DEFAULT_PASSES, KDF_PASSES_MAX);
    Ok(with(memory_kib, passes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; SALT_BYTES] = [9; SALT_BYTES];

    fn argon2id(memory_kib: u32, passes: u32, lanes: u32) -> KdfParams {
        KdfParams::Argon2id { memory_kib, passes, lanes }
    }

    #[test]
    fn costs_out_of_bounds_are_refused_before_any_memory_is_taken() {
        for hostile in [
            argon2id(u32::MAX, 1, 1),
            argon2id(KDF_MEMORY_KIB_MAX + 1, 1, 1),
            argon2id(1024, 1, 0),
            argon2id(1024, 0, 1),
            argon2id(1024, KDF_PASSES_MAX + 1, 1),
            argon2id(1024, 1, KDF_LANES_MAX + 1),
            argon2id(1024, 1, u32::MAX),
            argon2id(31, 1, 4),
            argon2id(0, 1, 1),
            KdfParams::Pbkdf2HmacSha256 { iterations: 0 },
            KdfParams::Pbkdf2HmacSha256 { iterations: KDF_ITERATIONS_MAX + 1 },
        ] {
            let error = hostile.derive(&Passphrase::new(vec![]), &SALT).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{hostile:?}");
        }
    }

    #[test]
    fn new_slots_are_at_least_as_strong_as_the_default() {
        for good in [
            KdfParams::default(),
            argon2id(KDF_MEMORY_KIB_MAX, 3, 1),
            KdfParams::Pbkdf2HmacSha256 { iterations: PBKDF2_ITERATIONS_MIN },
            KdfParams::weak_for_tests(),
        ] {
            good.check_strength().unwrap();
        }
        for bad in [
            argon2id(DEFAULT_MEMORY_KIB - 1, 3, 4),
            argon2id(DEFAULT_MEMORY_KIB, 2, 4),
            argon2id(8, 2, 1),
            KdfParams::Pbkdf2HmacSha256 { iterations: PBKDF2_ITERATIONS_MIN - 1 },
        ] {
            assert_eq!(bad.check_strength().unwrap_err().kind(), ErrorKind::InvalidInput, "{bad:?}");
            bad.check_limits().unwrap();
        }
    }

    #[test]
    fn keys_are_those_of_other_implementations() {
        let key = |params: KdfParams| {
            let key = params.derive(&Passphrase::from("passwd".to_owned()), &SALT).unwrap();
            blake3::Hash::from_bytes(*key.expose()).to_hex().to_string()
        };
        assert_eq!(key(KdfParams::default()), "cb6afd18204baec5047f44a9a7cc5c13c7fe6f40a54271c5aee6c6dc66b75682");
        assert_eq!(
            key(KdfParams::Pbkdf2HmacSha256 { iterations: 2 }),
            "19f00dfb5465e206ae835eec6b123686164c89ce52f3de82e32bc5686a02f11a"
        );
    }

    #[test]
    fn the_key_depends_on_passphrase_salt_and_costs() {
        let key = |params: KdfParams, text: &str, salt: u8| {
            params.derive(&Passphrase::from(text.to_owned()), &[salt; SALT_BYTES]).unwrap()
        };
        let weak = KdfParams::weak_for_tests();
        assert_eq!(key(weak, "a", 1), key(weak, "a", 1));
        assert_ne!(key(weak, "a", 1), key(weak, "b", 1));
        assert_ne!(key(weak, "a", 1), key(weak, "a", 2));
        assert_ne!(key(weak, "a", 1), key(argon2id(8, 2, 1), "a", 1));
        assert_ne!(key(weak, "a", 1), key(KdfParams::Pbkdf2HmacSha256 { iterations: 1 }, "a", 1));
    }

    #[test]
    fn calibration_raises_memory_then_passes_and_never_goes_below_the_default() {
        // time proportional to the work; `unit` is what the default takes
        let machine = |unit: Duration| {
            move |params: KdfParams| {
                let KdfParams::Argon2id { memory_kib, passes, .. } = params else { panic!("{params:?}") };
                Ok(unit * (memory_kib / DEFAULT_MEMORY_KIB) * passes / DEFAULT_PASSES)
            }
        };
        let limit = 1024 * 1024;
        let chosen = |milliseconds| calibrate(limit, machine(Duration::from_millis(milliseconds))).unwrap();
        assert_eq!(chosen(5000), KdfParams::default());
        assert_eq!(chosen(600), argon2id(DEFAULT_MEMORY_KIB, 5, 4));
        assert_eq!(chosen(100), argon2id(8 * DEFAULT_MEMORY_KIB, 3, 4));
        assert_eq!(chosen(10), argon2id(limit, 18, 4));
        assert_eq!(chosen(0), argon2id(limit, KDF_PASSES_MAX, 4));
        let unbounded = calibrate(u32::MAX, machine(Duration::ZERO)).unwrap();
        assert_eq!(unbounded, argon2id(KDF_MEMORY_KIB_MAX, KDF_PASSES_MAX, 4));
        unbounded.check_strength().unwrap();
    }

    #[test]
    fn calibration_stays_where_memory_ends() {
        let chosen = calibrate(u32::MAX, |params| match params {
            KdfParams::Argon2id { memory_kib, .. } if memory_kib <= 2 * DEFAULT_MEMORY_KIB => {
                Ok(Duration::from_millis(100))
            }
            _ => Err(Error::new(ErrorKind::System, "derive key")),
        });
        assert_eq!(chosen.unwrap(), argon2id(2 * DEFAULT_MEMORY_KIB, 30, 4));
    }
}
