//! Borg's names of encryption, of both generations, and what is nearest to them here.
//!
//! The name that was asked for is kept as the label of the key, so that it can be told again: by drivers that make sure that
//! a repository is what they would have made.

use crate::exit_code::Failure;

/// What a label of a key begins with that keeps a name.
const LABEL: &str = "borg:";

/// What a repository is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The suite; `None` for whatever this machine is fastest at.
    pub suite: Option<&'static str>,
    /// The id hash, if the name says which.
    pub id_hash: Option<&'static str>,
    /// Where the key is kept, if the name says where.
    pub key_location: Option<&'static str>,
    /// Whether Borg would not have encrypted, and this program does.
    pub encrypts_more: bool,
}

/// What a word says of the choice.
type Say = fn(&mut Choice);

/// Words names are made of.
const WORDS: [(&str, Say); 12] = [
    ("none", |choice| choice.suite = Some("none")),
    ("authenticated", |choice| choice.encrypts_more = true),
    ("repokey", |choice| choice.key_location = Some("repokey")),
    ("keyfile", |choice| choice.key_location = Some("keyfile")),
    ("blake2", |choice| choice.id_hash = Some("blake2b")),
    ("blake3", |choice| choice.id_hash = Some("blake3")),
    ("sha256", |choice| choice.id_hash = Some("hmac-sha256")),
    ("aes-ocb", |choice| choice.suite = Some("aes256-gcm")),
    ("aes256-ocb", |choice| choice.suite = Some("aes256-gcm")),
    ("aes256-gcm", |choice| choice.suite = Some("aes256-gcm")),
    ("chacha20-poly1305", |choice| choice.suite = Some("chacha20-poly1305")),
    ("blake2b", |choice| choice.id_hash = Some("blake2b")),
];

/// What is nearest to a name: of any generation, or this program's own.
pub fn nearest(name: &str) -> Result<Choice, Failure> {
    let mut choice = Choice { suite: None, id_hash: None, key_location: None, encrypts_more: false };
    let mut rest = name;
    while !rest.is_empty() {
        let fitting = WORDS.iter().filter_map(|(word, set)| {
            let after = rest.strip_prefix(word)?;
            let next = after.strip_prefix('-').filter(|next| !next.is_empty());
            Some((if after.is_empty() { "" } else { next? }, set))
        });
        let (after, set) = fitting.min_by_key(|(after, _)| after.len()).ok_or_else(|| unknown(name))?;
        set(&mut choice);
        rest = after;
    }
    let says_how = choice.suite.is_some() || choice.key_location.is_some() || choice.encrypts_more;
    if says_how { Ok(choice) } else { Err(unknown(name)) }
}

fn unknown(name: &str) -> Failure {
    Failure::command(format!(
        "unknown encryption `{}`: known are none, repokey, keyfile, authenticated, each also with -blake2, and \
         aes256-ocb, chacha20-poly1305, none-*, authenticated-* with sha256 or blake3",
        name.escape_debug()
    ))
}

/// The id hash Borg calls so.
pub fn id_hash(name: &str) -> &str {
    match name {
        "sha256" => "hmac-sha256",
        "blake2" => "blake2b",
        other => other,
    }
}

/// The label of a key that keeps `name`.
pub fn label(name: &str) -> String {
    format!("{LABEL}{name}")
}

/// The name a label keeps.
pub fn asked_for(label: &str) -> Option<&str> {
    label.strip_prefix(LABEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_generations() {
        let (aes, chacha) = (Some("aes256-gcm"), Some("chacha20-poly1305"));
        let (repokey, keyfile) = (Some("repokey"), Some("keyfile"));
        let (sha, blake2, blake3) = (Some("hmac-sha256"), Some("blake2b"), Some("blake3"));
        for (name, suite, id_hash, key_location, encrypts_more) in [
            ("none", Some("none"), None, None, false),
            ("repokey", None, None, repokey, false),
            ("keyfile", None, None, keyfile, false),
            ("repokey-blake2", None, blake2, repokey, false),
            ("keyfile-blake2", None, blake2, keyfile, false),
            ("authenticated", None, None, None, true),
            ("authenticated-blake2", None, blake2, None, true),
            ("repokey-aes-ocb", aes, None, repokey, false),
            ("keyfile-blake2-chacha20-poly1305", chacha, blake2, keyfile, false),
            ("repokey-blake3-aes-ocb", aes, blake3, repokey, false),
            ("none-sha256", Some("none"), sha, None, false),
            ("none-blake3", Some("none"), blake3, None, false),
            ("authenticated-blake3", None, blake3, None, true),
            ("aes256-ocb", aes, None, None, false),
            ("chacha20-poly1305", chacha, None, None, false),
            ("aes256-gcm", aes, None, None, false),
        ] {
            assert_eq!(nearest(name), Ok(Choice { suite, id_hash, key_location, encrypts_more }), "{name}");
        }
        for name in ["", "blake2", "repokey-", "repokey2", "rot13", "none-rot13", "sha256"] {
            assert_eq!(nearest(name).unwrap_err().code.rc, 4, "{name}");
        }
        assert_eq!((asked_for(&label("repokey")), asked_for("laptop")), (Some("repokey"), None));
    }
}
