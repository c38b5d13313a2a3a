//! Every command and every option of Borg 2 and Borg 1.4 is there, or there is an answer why it is not.
//!
//! The tables are those of Borg's own help. Where an option takes a value, one stands beside it.

use std::ffi::OsString;

use clap::error::ErrorKind as Usage;

use super::{Started, Translated, VARIABLE, translate};
use crate::environment::Environment;
use crate::invocation::{self, Refusal};

const BORG_2: &str = r"
analyze: --by-name --json ARCHFILT
benchmark cpu: --json --chunking --hashing --encrypting --compressing --msgpacking
benchmark crud: --json-lines
break-lock:
check: --repository-only --archives-only --verify-data --repair --find-lost-archives --max-age=3d
    --max-duration=9 --format={NL} ARCHFILT
compact: -n --dry-run -s --stats --threshold=10
completion:
create: -n --dry-run -s --stats --list --filter=A --json --stdin-name=n --stdin-user=0 --stdin-group=0
    --stdin-mode=0600 --content-from-command --paths-from-stdin --paths-from-command
    --paths-from-shell-command --paths-delimiter=x --exclude-dataless -x --one-file-system --numeric-ids
    --atime --noctime --nobirthtime --noflags --noacls --noxattrs --sparse --digests=sha256
    --files-cache=ctime,size --files-changed=mtime --read-special --read-special-timeout=9 --map=m
    --reuse-from=a --reuse-path=p --comment=c --timestamp=2026-01-01 --chunker-params=fastcdc,19,23,21,2
    -C=zstd,9 --compression=lz4 --tags=t EXCL TAGS
debug convert-profile:
debug delete-obj:
debug dump-archive:
debug dump-archive-items:
debug dump-manifest:
debug dump-repo-objs:
debug format-obj: -C=zstd,9 --compression=lz4
debug get-obj:
debug id-hash:
debug info:
debug parse-obj:
debug put-obj:
debug search-repo-objs:
delete: -n --dry-run --list ARCHFILT
diff: --numeric-ids --same-chunker-params --format={NL} --json-lines --sort-by=path --content-only EXCL
export-tar: --tar-filter=auto --list --tar-format=GNU --sparse EXCL STRIP
extract: --list -s --stats -n --dry-run --numeric-ids --noflags --noacls --noxattrs --stdout --sparse
    --continue EXCL STRIP
find: --format={NL} --json-lines ARCHFILT EXCL
help: --epilog-only --usage-only
import-tar: --tar-filter=auto -s --stats --list --filter=A --json --ignore-zeros --comment=c
    --timestamp=2026-01-01 --chunker-params=fastcdc,19,23,21,2 -C=zstd,9 --compression=lz4 --digests=sha256
info: --json ARCHFILT
key add: --label=l
key change-location: --keep
key change-passphrase:
key export: --label=l --key=1a --paper --qr-html
key import: --paper --key-location=keyfile
key list:
key remove: --label=l --key=1a --passphrase
list: --short --format={NL} --json-lines --depth=1 --sort-by=path EXCL
mount: -f --foreground -o=ro --numeric-ids ARCHFILT EXCL STRIP
prune: -n --dry-run --list --short --list-pruned --list-kept --format={NL} --json --from=2026-01-01 --keep=3
    --keep-secondly=3 --keep-minutely=3 -H=3 --keep-hourly=3 -d=3 --keep-daily=3 -w=3 --keep-weekly=3 -m=3
    --keep-monthly=3 --keep-13weekly=3 --keep-3monthly=3 -y=3 --keep-yearly=3 ARCHFILT
recreate: --list --filter=A -n --dry-run -s --stats --target=t --comment=c --timestamp=2026-01-01 -C=zstd,9
    --compression=lz4 --chunker-params=fastcdc,19,23,21,2 EXCL TAGS ARCHFILT
rename:
repo-compress: -C=zstd,9 --compression=lz4 -s --stats
repo-create: --other-repo=x --from-borg1 -e=none --encryption=none -i=blake3 --id-hash=blake3
    --key-location=keyfile --copy-crypt-key
repo-delete: -n --dry-run --list --force --cache-only --keep-security-info
repo-info: --json
repo-list: --short --from-borg1 --format={NL} --json ARCHFILT DELETED
repo-space: --reserve=1G --free
serve: --rest --backend=FILE:/x --restrict-to-path=/p --restrict-to-repository=/p --permissions=all
tag: --set=t --add=t --remove=t ARCHFILT
transfer: -n --dry-run --other-repo=x --from-borg1 --upgrader=NoOp -C=zstd,9 --compression=lz4
    --recompress=never --chunker-params=fastcdc,19,23,21,2 ARCHFILT
umount:
undelete: -n --dry-run --list ARCHFILT
version: --json
webdav: -f --foreground --port=8000 ARCHFILT
with-lock:
";

const BORG_1: &str = r"
benchmark crud:
break-lock:
check: --repository-only --archives-only --verify-data --repair --save-space --max-duration=9 ARCHFILT
compact: -n --dry-run --cleanup-commits --threshold=10
config: -c --cache -d --delete -l --list
create: -n --dry-run -s --stats --quick-stats --list --filter=A --json --no-cache-sync --stdin-name=n
    --stdin-user=0 --stdin-group=0 --stdin-mode=0600 --content-from-command --paths-from-stdin
    --paths-from-command --paths-delimiter=x --exclude-nodump --exclude-dataless -x --one-file-system
    --numeric-owner --numeric-ids --noatime --atime --noctime --nobirthtime --nobsdflags --noflags --noacls
    --noxattrs --sparse --files-cache=ctime,size --files-changed=mtime --read-special --comment=c
    --timestamp=2026-01-01 -c=9 --checkpoint-interval=9 --chunker-params=fastcdc,19,23,21,2 -C=zstd,9
    --compression=lz4 EXCL TAGS
debug convert-profile:
debug delete-obj:
debug dump-archive:
debug dump-archive-items:
debug dump-hints:
debug dump-manifest:
debug dump-repo-objs: --ghost --segment=1 --offset=1
debug get-obj:
debug id-hash:
debug info:
debug put-obj:
debug refcount-obj:
debug search-repo-objs:
delete: -n --dry-run --list -s --stats --quick-stats --cache-only --force --keep-security-info --save-space
    -c=9 --checkpoint-interval=9 ARCHFILT
diff: --numeric-owner --numeric-ids --same-chunker-params --sort --sort-by=path --content-only --json-lines
    EXCL
export-tar: --tar-filter=auto --list EXCL STRIP
extract: --list -n --dry-run --numeric-owner --numeric-ids --nobsdflags --noflags --noacls --noxattrs --stdout
    --sparse EXCL STRIP
help: --epilog-only --usage-only
import-tar: --tar-filter=auto -s --stats --quick-stats --list --filter=A --json --ignore-zeros --comment=c
    --timestamp=2026-01-01 -c=9 --checkpoint-interval=9 --chunker-params=fastcdc,19,23,21,2 -C=zstd,9
    --compression=lz4
info: --json ARCHFILT
init: -e=none --encryption=none --append-only --storage-quota=5G --make-parent-dirs --import-related-secrets=p
key change-passphrase:
key export: --paper --qr-html
key export-related-secrets:
key import: --paper
list: --consider-checkpoints --short --format={NL} --json --json-lines ARCHFILT EXCL
key migrate-to-repokey:
mount: --consider-checkpoints -f --foreground -o=ro --numeric-owner --numeric-ids ARCHFILT EXCL
prune: -n --dry-run --force -s --stats --quick-stats --list --keep-within=2d --keep-last=3 --keep-secondly=3
    --keep-minutely=3 -H=3 --keep-hourly=3 -d=3 --keep-daily=3 -w=3 --keep-weekly=3 -m=3 --keep-monthly=3
    --keep-13weekly=3 --keep-3monthly=3 -y=3 --keep-yearly=3 --save-space -c=9 --checkpoint-interval=9
    ARCHFILT
recreate: --list --filter=A -n --dry-run -s --stats --target=t -c=9 --checkpoint-interval=9 --comment=c
    --timestamp=2026-01-01 -C=zstd,9 --compression=lz4 --recompress=never --chunker-params=fastcdc,19,23,21,2
    EXCL TAGS
rename:
serve: --restrict-to-path=/p --restrict-to-repository=/p --append-only --storage-quota=5G
umount:
upgrade: -n --dry-run --inplace --force --tam --check-tam --disable-tam --check-archives-tam --archives-tam
version:
with-lock:
";

/// Options that many commands share.
const GROUPS: [(&str, &str); 7] = [
    ("EXCL", "-e=x --exclude=x --exclude-from=f --pattern=+x --patterns-from=f"),
    ("TAGS", "--exclude-caches --exclude-if-present=n --keep-exclude-tags"),
    ("STRIP", "--strip-components=1"),
    (
        "ARCHFILT 2",
        "-a=x --match-archives=x --sort-by=timestamp --first=1 --last=1 --oldest=1d --newest=1d --older=1d --newer=1d",
    ),
    ("DELETED", "--deleted"),
    ("ARCHFILT 1", "-P=x --prefix=x -a=x --glob-archives=x --sort-by=timestamp --first=1 --last=1"),
    (
        "",
        "-h --help --critical --error --warning --info -v --verbose --debug --debug-topic=x -p --progress --log-json \
         --lock-wait=1 --show-version --show-rc --umask=0077",
    ),
];
const OF_2: &str = "-r=R --repo=R --config=x --print_config --cockpit";
const OF_1: &str = "--iec --bypass-lock --remote-path=b --upload-ratelimit=1 --remote-ratelimit=1 --upload-buffer=1 --remote-buffer=1 \
                    --consider-part-files --debug-profile=x --rsh=ssh";

fn group(name: &str) -> Vec<&'static str> {
    let found = GROUPS.iter().find(|(group, _)| *group == name);
    found.map(|(_, options)| options.split_whitespace().collect()).unwrap_or_default()
}

/// The commands of a table, and the options of each. Those of all commands are tried with one.
fn rows(table: &'static str, generation: u8, common: &'static str) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut rows: Vec<(&str, Vec<&str>)> = vec![("create", [group(""), common.split_whitespace().collect()].concat())];
    for line in table.lines().filter(|line| !line.is_empty()) {
        let options = match line.strip_prefix("    ") {
            Some(more) => more,
            None => {
                let (command, options) = line.split_once(':').unwrap();
                rows.push((command, Vec::new()));
                options
            }
        };
        let row = &mut rows.last_mut().unwrap().1;
        for option in options.split_whitespace() {
            match option {
                "ARCHFILT" => row.extend(group(&format!("ARCHFILT {generation}"))),
                name if name.starts_with('-') => row.push(name),
                name => row.extend(group(name)),
            }
        }
    }
    rows
}

/// Whether a command line is understood (true), or refused with a reason (false).
fn is_there(words: &[&str], compat: &str) -> Result<bool, String> {
    let variables = [(VARIABLE, compat)].into_iter().filter(|(_, value)| !value.is_empty());
    let variables = variables.map(|(name, value)| (name.into(), value.into())).collect();
    let words = words.iter().map(OsString::from).collect();
    let told = |message: String| {
        if message.contains("is not supported: ") { Ok(false) } else { Err(message) }
    };
    match translate(Started { words, variables, borg: None }) {
        Ok(Translated::Answer(_)) => Ok(true),
        Err(failure) => told(failure.message),
        Ok(Translated::Run(started)) => {
            match invocation::read(started.words, &mut Environment::default(), !compat.is_empty()) {
                Ok(_) => Ok(true),
                Err(Refusal::Failure(failure)) => told(failure.message),
                Err(Refusal::Usage(error)) => match error.kind() {
                    Usage::DisplayHelp | Usage::DisplayVersion | Usage::MissingRequiredArgument => Ok(true),
                    // something else is needed beside it
                    Usage::ArgumentConflict | Usage::DisplayHelpOnMissingArgumentOrSubcommand => Ok(true),
                    _ => Err(error.to_string()),
                },
            }
        }
    }
}

/// What has no answer, of all commands with each of their options, whatever the words beside it are.
fn unanswered(
    program: &str,
    compat: &str,
    rows: &[(&'static str, Vec<&'static str>)],
    beside: &[&[&str]],
) -> Vec<String> {
    let mut found = Vec::new();
    for (command, options) in rows {
        let line = |option: &'static str| {
            let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
            let typed = [name].into_iter().chain(value).filter(|word| !word.is_empty());
            let words: Vec<&str> = std::iter::once(program).chain(command.split(' ')).chain(typed).collect();
            beside.iter().map(|beside| is_there(&[&words[..], *beside].concat(), compat)).collect::<Vec<_>>()
        };
        // a command that is refused with a reason needs none for its options
        let alone = line("");
        let options = options.iter().filter(|_| alone.contains(&Ok(true)));
        for option in std::iter::once(&"").chain(options) {
            let answers = line(option);
            if answers.iter().all(Result::is_err) {
                found.push(format!("{command} {option}: {answers:?}"));
            }
        }
    }
    found
}

#[test]
fn every_option_of_borg_is_there_or_answered() {
    let (two, one) = (rows(BORG_2, 2, OF_2), rows(BORG_1, 1, OF_1));
    let count = |rows: &[(&str, Vec<&str>)]| rows.iter().map(|(_, options)| options.len()).sum::<usize>();
    assert!(count(&two) > 350 && count(&one) > 250, "{} {}", count(&two), count(&one));
    let words_of_2: [&[&str]; 3] = [&["-r", "R"], &["-r", "R", "A"], &["-r", "R", "A", "B"]];
    let words_of_1: [&[&str]; 4] = [&["R"], &["R::A"], &["R::A", "B"], &[]];
    assert_eq!(unanswered("borg", "borg2", &two, &words_of_2), [""; 0], "under the name `borg`");
    assert_eq!(unanswered("borg", "borg1", &one, &words_of_1), [""; 0], "of Borg 1");
    assert_eq!(unanswered("gabion", "", &two, &words_of_2), [""; 0], "under its own name");
}

#[test]
fn what_nobody_knows_has_no_answer() {
    for words in [&["borg", "create", "--nonsense"][..], &["borg", "nonsense"], &["borg", "create", "-C", "rot13"]] {
        assert!(is_there(words, "borg").is_err() && is_there(words, "").is_err(), "{words:?}");
    }
}
