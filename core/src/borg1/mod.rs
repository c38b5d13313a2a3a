//! Repositories of Borg 1.x, read and never written.
//!
//! Such a repository is a log of puts and deletes in numbered segment files, here reached through a [`Store`]:
//! `config`, `data/<folder>/<number>`. Its index is not read but replayed from the log, which is the truth. Everything
//! is held against checksums, authentication codes and names before it is believed; what is damaged is told and
//! passed over. Facts: Borg 1.4's `repository.py`, `crypto/key.py`, `archive.py`, `item.pyx`.

mod decompress;
mod item;
mod key;
mod log;
mod manifest;
mod record;

use crate::backend::{ObjectName, Store};
use crate::error::{Error, ErrorKind, Result};

pub use item::{Borg1Chunk, Borg1Item, Items};
pub use key::{AskSecret, Unlock};
pub use manifest::{Borg1Archive, Borg1ArchiveName};

use decompress::decompress;
use key::Key;
use log::Log;
use manifest::Manifest;

/// Bytes of the largest object a segment holds.
const OBJECT_BYTES_MAX: usize = 20 << 20;
/// Bytes of the file `config`.
const CONFIG_BYTES_MAX: usize = 1 << 20;

/// The name of an object: a hash of its plaintext, except that the manifest's is all zero.
pub type Borg1Id = [u8; 32];

const MANIFEST: Borg1Id = [0; 32];

/// A repository of Borg 1.x whose key is open.
#[derive(Debug)]
pub struct Borg1Repository {
    store: Store,
    config: Config,
    log: Log,
    key: Key,
    manifest: Manifest,
    doubts: Vec<Error>,
}

impl Borg1Repository {
    /// Opens the repository in `store`.
    ///
    /// Errors: `NotARepository`, `Unsupported` for formats and features this reader does not know, `PassphraseWrong`,
    /// `KeyNotFound` if the key is in a file that was not handed in, `Damaged` if there is no committed state or no
    /// manifest. What is damaged otherwise is told by [`Borg1Repository::doubts`].
    pub fn open(store: Store, unlock: &Unlock<'_>) -> Result<Self> {
        let config = Config::read(&store)?;
        let mut doubts = Vec::new();
        let log = Log::replay(&store, &mut doubts)?;
        let sealed = log.read(&store, &MANIFEST)?;
        let key = Key::open(sealed.first().copied(), &config, unlock)?;
        let plain = decompress(&key.open_object(None, &sealed)?, None)?;
        let manifest = Manifest::decode(&plain, &key, &mut doubts)?;
        Ok(Self { store, config, log, key, manifest, doubts })
    }

    /// The repository's id.
    pub fn id(&self) -> &[u8; 32] {
        &self.config.id
    }

    /// How it is encrypted, in Borg's word.
    pub fn encryption(&self) -> &'static str {
        self.key.mode()
    }

    /// What was found damaged or can not be authenticated, though the repository could be opened.
    pub fn doubts(&self) -> &[Error] {
        &self.doubts
    }

    /// The archives, oldest first.
    pub fn archives(&self) -> &[Borg1ArchiveName] {
        &self.manifest.archives
    }

    /// What an archive says of itself. A missing or wrong authentication is told as a doubt, and the archive is read.
    pub fn archive(&self, name: &Borg1ArchiveName, doubts: &mut Vec<Error>) -> Result<Borg1Archive> {
        let plain = self.fetch(&name.id, None)?;
        Borg1Archive::decode(&plain, &self.key, doubts).map_err(|error| error.with("archive", &name.name))
    }

    /// The items of an archive in the order they were stored.
    pub fn items<'a>(&'a self, archive: &'a Borg1Archive) -> Items<'a> {
        Items::new(self, &archive.items)
    }

    /// Reads a chunk of a file and compares it with its name and length.
    pub fn chunk(&self, chunk: &Borg1Chunk) -> Result<Vec<u8>> {
        self.fetch(&chunk.id, Some(chunk.bytes as usize))
    }

    /// Whether there is an object of this name; it may still be damaged.
    pub fn holds(&self, id: &Borg1Id) -> bool {
        self.log.holds(id)
    }

    fn fetch(&self, id: &Borg1Id, plain_bytes: Option<usize>) -> Result<Vec<u8>> {
        let read = || {
            let sealed = self.log.read(&self.store, id)?;
            let plain = decompress(&self.key.open_object(Some(id), &sealed)?, plain_bytes)?;
            self.key.check_name(id, &plain)?;
            Ok(plain)
        };
        read().map_err(|error: Error| error.with("borg object", hex(id)))
    }
}

/// What the file `config` says.
#[derive(Debug)]
struct Config {
    id: [u8; 32],
    /// The key in the repository, base64.
    key: Option<String>,
}

impl Config {
    fn read(store: &Store) -> Result<Self> {
        let refuse = |why| Error::new(ErrorKind::NotARepository, "open Borg repository").with("reason", why);
        let name = ObjectName::of_part("config");
        let bytes = match store.get_bounded(&name, CONFIG_BYTES_MAX) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(refuse("no config")),
            other => other?,
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| refuse("config is no text"))?;
        let fields = repository_section(text).ok_or_else(|| refuse("config has no section [repository]"))?;
        let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        if field("version") != Some("1") {
            return Err(Error::new(ErrorKind::Unsupported, "open Borg repository")
                .with("repository version", field("version").unwrap_or("none")));
        }
        let id = field("id").and_then(from_hex).ok_or_else(|| refuse("config has no id"))?;
        Ok(Self { id, key: field("key").map(str::to_owned) })
    }
}

/// The fields of `[repository]` in a file of Python's `configparser`: indented lines go on with the value above.
fn repository_section(text: &str) -> Option<Vec<(String, String)>> {
    let mut lines = text.lines().skip_while(|line| line.trim() != "[repository]");
    lines.next()?;
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines.take_while(|line| !line.starts_with('[')) {
        match line.split_once('=') {
            _ if line.trim().is_empty() || line.starts_with(['#', ';']) => {}
            _ if line.starts_with([' ', '\t']) => {
                if let Some((_, value)) = fields.last_mut() {
                    value.push_str(line.trim());
                }
            }
            Some((name, value)) => fields.push((name.trim().to_owned(), value.trim().to_owned())),
            None => {}
        }
    }
    Some(fields)
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16);
        *byte = (value(digits[0])? * 16 + value(digits[1])?) as u8;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn damaged(what: &'static str) -> Error {
    Error::damaged("read Borg repository", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_are_read_as_python_does() {
        let text =
            "[other]\nid = x\n[repository]\nversion = 1\n# note\nkey = ab\n\tcd\n  ef\nid=00\n\n[next]\nid = y\n";
        let fields = repository_section(text).unwrap();
        let pairs: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("version", "1"), ("key", "abcdef"), ("id", "00")]);
        assert_eq!(repository_section("version = 1\n"), None);
    }

    #[test]
    fn ids_have_64_digits() {
        assert_eq!(from_hex(&"0f".repeat(32)), Some([15; 32]));
        for wrong in ["", "0f", &"0g".repeat(32), &"é".repeat(32)] {
            assert_eq!(from_hex(wrong), None);
        }
        assert_eq!(hex(&[0, 255]), "00ff");
    }
}
