//! Advice. Errors say what is; what to do about it is said here, in one line.

use gabion_backends::ssh::errors::{REFUSED_PATH, SERVER_SENT, SERVER_SPEAKS};
use gabion_core::error::{Error, ErrorKind};

/// One line of advice for whoever got this error.
pub fn for_error(error: &Error) -> Option<&'static str> {
    for_place(error).or_else(|| for_kind(error))
}

/// What to do about where a repository is, or about who is asked there.
fn for_place(error: &Error) -> Option<&'static str> {
    let has = |fact| error.context(fact).is_some();
    Some(match error.kind() {
        _ if has(SERVER_SENT) => {
            "what the other machine says before gabion does breaks the connection: look into its shell's start-up files"
        }
        _ if has(SERVER_SPEAKS) => "update gabion on the machine with the lower version",
        _ if has(REFUSED_PATH) => {
            "the server serves other paths only (see --restrict-to-path in its authorized_keys), and no part of a \
             repository by itself"
        }
        ErrorKind::NotFound if has("bucket") => {
            "make it where its service is managed, or check its name, the endpoint and the region"
        }
        _ if has("scheme") => "`gabion help stores` says where a repository can be",
        _ => return None,
    })
}

fn for_kind(error: &Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::PassphraseWrong => {
            "looked for in GABION_PASSPHRASE, GABION_PASSCOMMAND, GABION_PASSPHRASE_FD or the terminal, in this order"
        }
        ErrorKind::RepositoryNotFound => "make one with `gabion repo-create`, or let `gabion create --init` do it",
        ErrorKind::RepositoryExists => "to make a new one, choose another place",
        ErrorKind::NotARepository => "check the place given with --repo or GABION_REPO",
        ErrorKind::RepositoryReplaced => {
            "if it was made anew, or its disk changed: confirm once by GABION_RELOCATED_REPO_ACCESS_IS_OK=yes"
        }
        ErrorKind::RepositoryMoved => "if you moved it: confirm once by GABION_RELOCATED_REPO_ACCESS_IS_OK=yes",
        ErrorKind::RepositoryUnencrypted => {
            "all can read what is stored there; if that is meant to be: confirm once by \
             GABION_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes"
        }
        ErrorKind::EncryptionChanged => "no repository does that by itself: find out what happened before you use it",
        ErrorKind::KeyNotFound => {
            "if the key was exported, bring it back with `gabion key import`; GABION_KEY_FILE names a key file"
        }
        ErrorKind::KeyInvalid => {
            "check GABION_KEY_FILE and the directory of keys, or bring an exported key back with `gabion key import`"
        }
        ErrorKind::NoSpace if error.context("quota").is_some() => {
            "the server grants no more: prune and compact with all permissions, or raise its --quota"
        }
        ErrorKind::Connection if error.context("ssh ended with").is_some_and(|status| status.ends_with(" 127")) => {
            "gabion was not found over there: name it by --remote-path or GABION_REMOTE_PATH"
        }
        ErrorKind::Connection if error.context("ssh ended with").is_some() => {
            "ssh said why, above; what was stored is safe: run the same command again when it works"
        }
        ErrorKind::PermissionDenied if error.context("permissions").is_some() => {
            "this client may only add: do it where the store is reached with all permissions"
        }
        ErrorKind::PermissionDenied => {
            "check who owns it, its permissions or the policy of these credentials, and whether its file system is mounted \
             read-only"
        }
        ErrorKind::Damaged => for_damage(error.operation(), error.context("object").unwrap_or_default()),
        ErrorKind::History => {
            "see that the store is whole; `gabion check --repair` looks for what is lost, also with --find-lost-archives; \
             `gabion compact --accept-lost-archives` gives archives up"
        }
        ErrorKind::InvalidInput if error.context("their split").is_some() => {
            "name the set by these numbers and all its stores; `gabion scrub --upgrade` gives it others where that can be done in place, `gabion transfer` by copying into another set: see `Another set` in docs/erasure.md"
        }
        ErrorKind::StoreMissing => {
            "bring the missing store back, or put an empty one in its place: `gabion scrub --repair --replace-store N`"
        }
        ErrorKind::NoSpace => "finished archives are intact: make room and run the same command again",
        ErrorKind::Overtaken => "`gabion compact` ran at the same time: run the same command again",
        ErrorKind::Locked => {
            "--lock-wait waits longer; what a program left that died goes by `gabion break-lock` (a lease) or `gabion compact` (a collection)"
        }
        ErrorKind::ArchiveAmbiguous => "name it by `aid:` and more digits of its id, see `gabion repo-list`",
        ErrorKind::PatternInvalid => "see `gabion help patterns`",
        ErrorKind::Connection | ErrorKind::TimedOut => "what was stored is safe: run the same command again",
        _ => return None,
    })
}

fn for_damage(operation: &str, object: &str) -> &'static str {
    if operation == "compact" {
        return "`gabion check --repair` mends what can be mended; `gabion compact --accept-damage ID` gives up what only \
                this archive needs";
    }
    if object == "config" {
        return "change nothing in the repository; a copy of this object, put in its place, opens it again";
    }
    if object.starts_with("gc/doom/") {
        return "make sure that no `gabion compact` runs on any machine, then `gabion check --repair --no-compact-runs`";
    }
    "what is intact can be extracted; `gabion check` names what is not, `gabion check --repair` mends what can be mended"
}

/// Advice for an archive that does not exist, among those that do.
pub fn for_missing_archive<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(wanted, names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "`gabion repo-list` shows what there is".to_owned(),
    }
}

/// The verb of this program for a verb of another one.
pub fn for_verb(word: &str) -> Option<&'static str> {
    Some(match word {
        "backup" | "save" => "create",
        "restore" => "extract",
        "snapshots" | "archives" => "repo-list",
        "forget" | "expire" => "prune",
        "init" => "repo-create",
        "ls" => "list",
        "gc" | "cleanup" => "compact",
        "verify" => "check",
        "copy" | "sync" => "transfer",
        "unmount" => "umount",
        "stats" | "status" => "repo-info",
        "unlock" => "break-lock",
        "passwd" => "key change-passphrase",
        _ => return None,
    })
}

const HASHES: &str = "`list --format` computes hashes of what is stored at any time";
const REUSED: &str = "the newest archive of the series is always reused";
const IMPORTED: &str = "archives of Borg 1.x come by `gabion import`";
const UNCHANGED: &str = "nothing under `debug` changes a repository";
const NO_MANIFEST: &str = "there is no manifest: `gabion repo-list --json` lists the archives";

/// What programs of this grammar have, by a command of this one and what is missing in it, and why.
const ABSENT: [(&str, &str, &str); 39] = [
    ("", "webdav", "`gabion mount` shows archives as files, which any server of files can hand on"),
    ("", "config", "what a repository is does not change"),
    ("", "upgrade", "a repository needs no upgrade; one of Borg 1.x is taken over by `gabion import`"),
    ("", "--cockpit", "--progress shows how far the work is"),
    ("", "--config", "the configuration is in a place of its own, GABION_CONFIG_DIR names another one"),
    ("", "--print_config", "`gabion help environment` says where the configuration is"),
    ("create", "--digests", HASHES),
    ("create", "--map", "which parts of a file changed is found by reading it"),
    ("create", "--reuse-from", REUSED),
    ("create", "--reuse-path", REUSED),
    ("create", "--read-special-timeout", "special files are waited for"),
    ("import-tar", "--digests", HASHES),
    (
        "extract",
        "--verify",
        "all that is restored is verified before it is written; what lies there then is compared by `gabion mount` and `diff -r`",
    ),
    ("key export", "--qr-html", "no page with a QR code is made: --paper can be typed again"),
    (
        "key remove",
        "--passphrase",
        "choose the key by --label or --key: `gabion key list --json` says which one was opened",
    ),
    ("repo-create", "--from-borg1", IMPORTED),
    ("repo-create", "--copy-crypt-key", "every repository has a key of its own"),
    ("repo-create", "--import-related-secrets", "--other-repo makes a related repository"),
    ("repo-list", "--from-borg1", IMPORTED),
    ("transfer", "--from-borg1", IMPORTED),
    ("transfer", "--upgrader", "both repositories have the same format"),
    ("serve", "--rest", "there is one protocol, and it needs no choice"),
    ("serve", "--backend", "what is served are directories of this machine: see --restrict-to-path"),
    ("help", "--epilog-only", "`gabion man --dir DIR` writes all texts"),
    ("help", "--usage-only", "`gabion man --dir DIR` writes all texts"),
    ("benchmark cpu", "--msgpacking", "records are too few and small to be measured"),
    ("debug", "convert-profile", "there are no profiles of this kind"),
    ("debug", "delete-obj", UNCHANGED),
    ("debug", "put-obj", UNCHANGED),
    ("debug", "format-obj", UNCHANGED),
    ("debug", "dump-manifest", NO_MANIFEST),
    ("debug", "search-repo-objs", "what is stored is encrypted: `gabion find` looks for files"),
    ("debug", "dump-hints", "there are no hints"),
    ("debug dump-repo-objs", "--ghost", "every object that is stored is listed"),
    ("debug dump-repo-objs", "--segment", "every object that is stored is listed"),
    ("debug dump-repo-objs", "--offset", "every object that is stored is listed"),
    ("key", "migrate-to-repokey", "`gabion key change-location repokey` moves a key into the repository"),
    ("key", "export-related-secrets", "`gabion repo-create --other-repo` makes a related repository"),
    ("debug", "refcount-obj", "nothing counts references: `gabion analyze` tells what archives need"),
];

/// Why a command has not an option, or a command of its own, that other programs have.
pub fn for_absent(command: &str, what: &str) -> Option<String> {
    let fits = |absent: &&(&str, &str, &str)| (absent.0.is_empty() || absent.0 == command) && absent.1 == what;
    ABSENT.iter().find(fits).map(|(_, _, why)| format!("{what} is not supported: {why}"))
}

/// The candidate that differs least from `wanted`, if it is near: at most one change in three characters.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wanted.chars().count() / 3).max(1);
    let rated = candidates.into_iter().map(|candidate| (distance(wanted, candidate), candidate));
    rated.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// How many characters must be put in, taken out, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    // three rows of the table: swaps look back two
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &left) in a.iter().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for (j, &right) in b.iter().enumerate() {
            let mut best = (row[j] + usize::from(left != right)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && left == b[j - 1] && a[i - 1] == right {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("crate", "create", 1),
            ("lsit", "list", 1),
            ("ca", "abc", 3),
            ("Ärger", "Arger", 1),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn near_names_are_proposed() {
        let names = ["laptop-2026", "server", "docs"];
        assert_eq!(nearest("labtop-2026", names), Some("laptop-2026"));
        assert_eq!(nearest("sevrer", names), Some("server"));
        assert_eq!(nearest("photos", names), None);
        assert_eq!(nearest("x", []), None);
        assert_eq!(for_missing_archive("dosc", names), "did you mean `docs`?");
        assert_eq!(for_missing_archive("zzz", names), "`gabion repo-list` shows what there is");
    }

    #[test]
    fn verbs_of_others() {
        for (word, verb) in [
            ("backup", Some("create")),
            ("restore", Some("extract")),
            ("snapshots", Some("repo-list")),
            ("forget", Some("prune")),
            ("init", Some("repo-create")),
            ("create", None),
        ] {
            assert_eq!(for_verb(word), verb);
        }
    }

    #[test]
    fn what_is_absent_is_told_and_is_not_there() {
        use clap::CommandFactory as _;
        assert!(for_absent("extract", "--verify").is_some_and(|told| told.starts_with("--verify is not supported: ")));
        assert!(for_absent("create", "--config").is_some(), "no command has it");
        assert_eq!((for_absent("create", "--verify"), for_absent("", "xyz")), (None, None));
        let mut root = crate::args::Cli::command();
        root.build();
        for (command, what, _) in ABSENT {
            let names = command.split(' ').filter(|name| !name.is_empty());
            let found = names.fold(&root, |found, name| found.find_subcommand(name).unwrap());
            let mut options = found.get_arguments().filter_map(|argument| argument.get_long());
            let is_there = found.find_subcommand(what).is_some() || options.any(|long| what == format!("--{long}"));
            assert!(!is_there, "`{command} {what}` is there: take it out of the list");
        }
    }

    #[test]
    fn errors_people_can_do_something_about_have_a_hint() {
        for (kind, word) in [
            (ErrorKind::PassphraseWrong, "GABION_PASSCOMMAND"),
            (ErrorKind::RepositoryNotFound, "--init"),
            (ErrorKind::NoSpace, "make room"),
            (ErrorKind::Damaged, "--repair"),
            (ErrorKind::History, "--accept-lost-archives"),
        ] {
            assert!(for_error(&Error::new(kind, "test")).unwrap().contains(word), "{kind:?}");
        }
        for (object, word) in [("config", "change nothing"), ("gc/doom/0a", "--no-compact-runs")] {
            assert!(for_error(&Error::damaged("test", "x").with("object", object)).unwrap().contains(word));
        }
        assert_eq!(for_error(&Error::new(ErrorKind::System, "test")), None);
    }
}
