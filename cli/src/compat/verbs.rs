//! Commands of either generation, and what their words mean.
//!
//! Borg 1 names the repository, or the archive in it, by the first word: `REPO`, `REPO::ARCHIVE`, or `::ARCHIVE` if
//! `BORG_REPO` names the repository. Borg 2 names it by `--repo` or `BORG_REPO`, and what follows the verb is an archive.

use std::ffi::{OsStr, OsString};

use super::line::Given;
use super::options::Rewriting;
use super::{MOUNT_SOURCE, keys, location};

/// What the first word is, as Borg 1 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// The repository.
    Repository,
    /// The repository, and then any paths or words: where `BORG_REPO` is set, it may be left out.
    RepositoryAndMore,
    /// The repository or an archive in it.
    Either,
    /// The same, and then any paths.
    EitherAndMore,
    /// An archive.
    Archive,
}

/// A command that Borg 1 calls otherwise, or whose words it takes otherwise.
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// The commands of this program it may become.
    pub natives: &'static [&'static str],
    first: First,
}

const fn verb(name: &'static str, natives: &'static [&'static str], first: First) -> Verb {
    Verb { name, natives, first }
}

/// All of them.
pub const VERBS: [Verb; 35] = [
    verb("init", &["repo-create"], First::Repository),
    verb("repo-create", &["repo-create"], First::Repository),
    verb("rcreate", &["repo-create"], First::Repository),
    verb("list", &["list", "repo-list"], First::Either),
    verb("rlist", &["repo-list"], First::Repository),
    verb("repo-list", &["repo-list"], First::Repository),
    verb("info", &["info", "repo-info"], First::Either),
    verb("rinfo", &["repo-info"], First::Repository),
    verb("repo-info", &["repo-info"], First::Repository),
    verb("delete", &["delete", "repo-delete"], First::Either),
    verb("rdelete", &["repo-delete"], First::Repository),
    verb("repo-delete", &["repo-delete"], First::Repository),
    verb("create", &["create"], First::Archive),
    verb("extract", &["extract"], First::Archive),
    verb("rename", &["rename"], First::Archive),
    verb("diff", &["diff"], First::Archive),
    verb("export-tar", &["export-tar"], First::Archive),
    verb("import-tar", &["import-tar"], First::Archive),
    verb("check", &["check"], First::Either),
    verb("prune", &["prune"], First::Repository),
    verb("compact", &["compact"], First::Repository),
    verb("recreate", &["recreate"], First::EitherAndMore),
    verb("mount", &["mount"], First::EitherAndMore),
    verb("break-lock", &["break-lock"], First::Repository),
    verb("with-lock", &["with-lock"], First::RepositoryAndMore),
    verb("key export", &["key export"], First::RepositoryAndMore),
    verb("key import", &["key import"], First::RepositoryAndMore),
    verb("key change-passphrase", &["key change-passphrase"], First::Repository),
    verb("debug dump-archive", &["debug dump-archive"], First::Archive),
    verb("debug dump-archive-items", &["debug dump-archive-items"], First::Archive),
    verb("debug dump-repo-objs", &["debug dump-repo-objs"], First::Repository),
    verb("debug get-obj", &["debug get-obj"], First::RepositoryAndMore),
    verb("debug id-hash", &["debug id-hash"], First::RepositoryAndMore),
    verb("benchmark crud", &["benchmark crud"], First::RepositoryAndMore),
    verb("version", &["version"], First::Repository),
];

/// What makes `info` and `delete` mean archives.
const FILTERS: [&str; 8] =
    ["--match-archives", "--sort-by", "--first", "--last", "--oldest", "--newest", "--older", "--newer"];

impl Verb {
    /// The command of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        VERBS.iter().find(|verb| verb.name == name)
    }
}

/// Puts the words in their places, and gives the command its name.
pub fn settle(to: &mut Rewriting, variables: &[(OsString, OsString)]) {
    let name = to.line.verb.join(" ");
    let Some(verb) = Verb::find(&name) else { return };
    let by_word = verb.takes_repository(to, variables);
    let archive = if by_word { take_location(to) } else { None };
    let own = match verb.name {
        "list" if archive.is_none() && (by_word || to.line.words.is_empty()) => "repo-list",
        "info" if archive.is_none() && by_word && !to.line.has(&FILTERS) => "repo-info",
        "delete" if archive.is_none() && to.line.has(&["--cache-only"]) => "repo-delete",
        "delete" if archive.is_none() && by_word && to.line.words.is_empty() && !to.line.has(&FILTERS) => "repo-delete",
        _ => verb.natives[0],
    };
    to.line.verb = own.split(' ').map(str::to_owned).collect();
    if let Some(archive) = archive {
        place(archive, own, to);
    }
    complete(own, to);
}

impl Verb {
    /// Whether the first word names the repository.
    fn takes_repository(&self, to: &Rewriting, variables: &[(OsString, OsString)]) -> bool {
        let Some(word) = to.line.words.first().filter(|_| !to.line.has(&["--repo"])) else { return false };
        let named = variables.iter().any(|(name, value)| name == "GABION_REPO" && !value.is_empty());
        match self.first {
            First::Archive => word.to_str().is_some_and(|text| text.contains("::")),
            _ if !named => true,
            First::Repository | First::Either => location::is_likely(word),
            First::RepositoryAndMore | First::EitherAndMore => location::is_certain(word),
        }
    }
}

/// Takes the first word for what it is, and returns the archive it names.
fn take_location(to: &mut Rewriting) -> Option<OsString> {
    let (repository, archive) = location::split(&to.line.words.remove(0));
    if !repository.is_empty() {
        to.line.options.push(Given::new("--repo", repository));
    }
    archive
}

/// Puts the archive where the command of this program takes it.
fn place(archive: OsString, own: &str, to: &mut Rewriting) {
    match own {
        "check" | "recreate" => {
            let id = archive.to_str().is_some_and(|text| text.starts_with("aid:"));
            let mut selector = OsString::from(if id { "" } else { "name:id:" });
            selector.push(archive);
            to.line.options.push(Given::new("--match-archives", selector));
        }
        "mount" => to.line.options.push(Given::new("--archive", archive)),
        _ => to.line.words.insert(0, archive),
    }
}

/// Adds what drivers expect and do not ask for, takes away what has no meaning here.
fn complete(own: &str, to: &mut Rewriting) {
    match own {
        "list" if to.line.has(&["--json-lines"]) => {
            let mut format = to.line.value(&["--format"]).map_or_else(OsString::new, OsStr::to_owned);
            format.push(keys::IN_JSON);
            to.line.options.retain(|given| given.name != "--format");
            to.line.options.push(Given::new("--format", format));
        }
        "delete" => {
            to.line.options.retain(|given| given.name != "--keep-security-info" && given.name != "--cache-only");
        }
        "mount" => to.line.options.push(Given::new("-o", format!("fsname={MOUNT_SOURCE}"))),
        "repo-list" => {
            for given in to.line.options.iter_mut().filter(|given| given.name == "--format") {
                given.value = given.value.take().map(|format| keys::of_archives(&format));
            }
        }
        "key import" => to.line.words.retain(|word| word != "-"),
        _ => {}
    }
}
