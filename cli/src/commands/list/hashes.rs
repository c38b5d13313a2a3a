//! Hashes of the content of files, all in one pass.

use gabion_core::archive::metadata::FileType;
use gabion_core::archive::walk::WalkItem;
use gabion_core::error::{Result, is_finding};
use gabion_core::monitor::{Event, Monitor as _, Warning};
use gabion_core::ops::extract::read_content;
use gabion_core::repository::Reader;
use sha2::Digest;
use xxhash_rust::xxh64::Xxh64;

use crate::progress::Reporter;

type Make = fn() -> Box<dyn Hash>;

const ALL: [(&str, Make); 14] = [
    ("blake3", || Box::new(blake3::Hasher::new())),
    ("blake2b", of::<blake2::Blake2b512>),
    ("blake2s", of::<blake2::Blake2s256>),
    ("md5", of::<md5::Md5>),
    ("sha1", of::<sha1::Sha1>),
    ("sha224", of::<sha2::Sha224>),
    ("sha256", of::<sha2::Sha256>),
    ("sha384", of::<sha2::Sha384>),
    ("sha512", of::<sha2::Sha512>),
    ("sha3_224", of::<sha3::Sha3_224>),
    ("sha3_256", of::<sha3::Sha3_256>),
    ("sha3_384", of::<sha3::Sha3_384>),
    ("sha3_512", of::<sha3::Sha3_512>),
    ("xxh64", || Box::new(Xxh64::new(0))),
];

trait Hash {
    fn update(&mut self, bytes: &[u8]);
    fn finish(self: Box<Self>) -> String;
}

impl Hash for blake3::Hasher {
    fn update(&mut self, bytes: &[u8]) {
        Self::update(self, bytes);
    }

    fn finish(self: Box<Self>) -> String {
        self.finalize().to_hex().to_string()
    }
}

impl Hash for Xxh64 {
    fn update(&mut self, bytes: &[u8]) {
        Self::update(self, bytes);
    }

    fn finish(self: Box<Self>) -> String {
        format!("{:016x}", self.digest())
    }
}

struct Of<D>(D);

impl<D: Digest> Hash for Of<D> {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self: Box<Self>) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn of<D: Digest + 'static>() -> Box<dyn Hash> {
    Box::new(Of(D::new()))
}

/// The names of all hashes.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// The hashes that were asked for.
pub struct Hashes(Vec<(&'static str, Make)>);

impl Hashes {
    /// Those of `keys` that are hashes.
    pub fn named<'k>(keys: impl Iterator<Item = &'k str>) -> Self {
        let mut wanted: Vec<(&'static str, Make)> =
            keys.filter_map(|key| ALL.iter().copied().find(|(name, _)| *name == key)).collect();
        wanted.sort_by_key(|(name, _)| *name);
        wanted.dedup_by_key(|(name, _)| *name);
        Self(wanted)
    }

    /// The hashes of a regular file; none if it is no such or can not be read, which is a warning.
    pub fn of(&self, item: &WalkItem, reader: &Reader, reporter: &Reporter) -> Result<Vec<(&'static str, String)>> {
        if self.0.is_empty() || item.entry.file_type != FileType::File {
            return Ok(Vec::new());
        }
        let mut running: Vec<_> = self.0.iter().map(|(name, make)| (*name, make())).collect();
        let read = read_content(reader, &item.entry, reporter, &mut |bytes| {
            running.iter_mut().for_each(|(_, hash)| hash.update(bytes));
            Ok(())
        });
        match read {
            Ok(()) => Ok(running.into_iter().map(|(name, hash)| (name, hash.finish())).collect()),
            // Interrupted, or the connection is lost.
            Err(error) if !is_finding(&error) => Err(error),
            Err(error) => {
                reporter.event(&Event::Warning { warning: Warning::Item, path: &item.path, error: &error });
                Ok(Vec::new())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_standards() {
        for (name, expected) in [
            ("blake3", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
            ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("blake2s", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"),
            ("xxh64", "44bc2cf5ad770999"),
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("sha3_256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
            ("sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
        ] {
            let chosen = Hashes::named(["path", name, name].into_iter());
            let [(found, make)] = &chosen.0[..] else { panic!("{name}") };
            let mut hash = make();
            hash.update(b"a");
            hash.update(b"bc");
            assert_eq!((*found, &*hash.finish()), (name, expected));
        }
        let lengths: Vec<usize> = ALL.iter().map(|(_, make)| make().finish().len()).collect();
        assert_eq!(lengths, [64, 128, 64, 32, 40, 56, 64, 96, 128, 56, 64, 96, 128, 16]);
    }
}
