//! How the program ends: return codes and message ids.
//!
//! Drivers decide by these, so the numbers and names are Borg's. A signal outweighs
//! an error, an error a warning. The first error fixes the code; warnings of one
//! kind give the code of that kind, several kinds give 1.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fmt;

use gabion_backends::ssh::errors::{CLIENT_SENT, REFUSED_PATH, SERVER_SENT, SERVER_SPEAKS};
use gabion_core::error::{Error, ErrorKind, LOCAL_PATH};
use gabion_core::monitor::Warning;

/// A return code and the name drivers know it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code {
    /// What the process returns: 2 to 99 for errors, 1 and 100 to 127 for warnings.
    pub rc: u8,
    /// The message id.
    pub msgid: &'static str,
}

/// Every code, sorted by number.
pub const TABLE: &[Code] = &[
    Code { rc: 1, msgid: "Warning" },
    Code { rc: 2, msgid: "Error" },
    Code { rc: 3, msgid: "CancelledByUser" },
    Code { rc: 4, msgid: "CommandError" },
    Code { rc: 5, msgid: "PlaceholderError" },
    Code { rc: 6, msgid: "InvalidPlaceholder" },
    Code { rc: 10, msgid: "Repository.AlreadyExists" },
    Code { rc: 12, msgid: "Repository.CheckNeeded" },
    Code { rc: 13, msgid: "Repository.DoesNotExist" },
    Code { rc: 14, msgid: "Repository.InsufficientFreeSpaceError" },
    Code { rc: 15, msgid: "Repository.InvalidRepository" },
    Code { rc: 16, msgid: "Repository.InvalidRepositoryConfig" },
    Code { rc: 17, msgid: "Repository.ObjectNotFound" },
    Code { rc: 18, msgid: "Repository.ParentPathDoesNotExist" },
    Code { rc: 19, msgid: "Repository.PathAlreadyExists" },
    Code { rc: 21, msgid: "Repository.PathPermissionDenied" },
    Code { rc: 25, msgid: "MandatoryFeatureUnsupported" },
    Code { rc: 26, msgid: "NoManifestError" },
    Code { rc: 27, msgid: "UnsupportedManifestError" },
    Code { rc: 30, msgid: "Archive.AlreadyExists" },
    Code { rc: 31, msgid: "Archive.DoesNotExist" },
    Code { rc: 32, msgid: "Archive.IncompatibleFilesystemEncodingError" },
    Code { rc: 40, msgid: "KeyfileInvalidError" },
    Code { rc: 41, msgid: "KeyfileMismatchError" },
    Code { rc: 42, msgid: "KeyfileNotFoundError" },
    Code { rc: 43, msgid: "NotABorgKeyFile" },
    Code { rc: 44, msgid: "RepoKeyNotFoundError" },
    Code { rc: 45, msgid: "RepoIdMismatch" },
    Code { rc: 46, msgid: "UnencryptedRepo" },
    Code { rc: 47, msgid: "UnknownKeyType" },
    Code { rc: 48, msgid: "UnsupportedPayloadError" },
    Code { rc: 49, msgid: "UnsupportedKeyFormatError" },
    Code { rc: 50, msgid: "NoPassphraseFailure" },
    Code { rc: 51, msgid: "PasscommandFailure" },
    Code { rc: 52, msgid: "PassphraseWrong" },
    Code { rc: 53, msgid: "PasswordRetriesExceeded" },
    Code { rc: 60, msgid: "Cache.CacheInitAbortedError" },
    Code { rc: 61, msgid: "Cache.EncryptionMethodMismatch" },
    Code { rc: 62, msgid: "Cache.RepositoryAccessAborted" },
    Code { rc: 63, msgid: "Cache.RepositoryIDNotUnique" },
    Code { rc: 64, msgid: "Cache.RepositoryReplay" },
    Code { rc: 70, msgid: "LockError" },
    Code { rc: 71, msgid: "LockErrorT" },
    Code { rc: 72, msgid: "LockFailed" },
    Code { rc: 73, msgid: "LockTimeout" },
    Code { rc: 74, msgid: "NotLocked" },
    Code { rc: 75, msgid: "NotMyLock" },
    Code { rc: 80, msgid: "ConnectionClosed" },
    Code { rc: 81, msgid: "ConnectionClosedWithHint" },
    Code { rc: 82, msgid: "InvalidRPCMethod" },
    Code { rc: 83, msgid: "PathNotAllowed" },
    Code { rc: 84, msgid: "RPCServerOutdated" },
    Code { rc: 85, msgid: "UnexpectedRPCDataFormatFromClient" },
    Code { rc: 86, msgid: "UnexpectedRPCDataFormatFromServer" },
    Code { rc: 87, msgid: "ConnectionBrokenWithHint" },
    Code { rc: 90, msgid: "IntegrityError" },
    Code { rc: 91, msgid: "FileIntegrityError" },
    Code { rc: 92, msgid: "DecompressionError" },
    Code { rc: 100, msgid: "FileChangedWarning" },
    Code { rc: 101, msgid: "IncludePatternNeverMatchedWarning" },
    Code { rc: 102, msgid: "BackupError" },
    Code { rc: 103, msgid: "BackupRaceConditionError" },
    Code { rc: 104, msgid: "BackupOSError" },
    Code { rc: 105, msgid: "BackupPermissionError" },
    Code { rc: 106, msgid: "BackupIOError" },
    Code { rc: 107, msgid: "BackupFileNotFoundError" },
    Code { rc: 111, msgid: "BackupTimeoutError" },
    Code { rc: 112, msgid: "BackupBrokenSymlinkError" },
    Code { rc: 120, msgid: "StoreMissingWarning" },
    Code { rc: 121, msgid: "DamageHealedWarning" },
    Code { rc: 122, msgid: "RepositoryHistoryWarning" },
];

/// A path to take that fitted nothing.
pub const NEVER_MATCHED: Code = code(101);
/// Any warning without a code of its own.
pub const WARNING: Code = code(1);
/// Any error without a code of its own.
pub const ERROR: Code = code(2);
/// A check that found damage.
pub const CHECK_FINDING: Code = code(1);
/// A store of a set is missing; everything was done without it.
pub const STORE_MISSING: Code = code(120);
/// Something was damaged, and repaired while it was read.
pub const DAMAGE_HEALED: Code = code(121);
/// A command that makes no sense.
pub const COMMAND_ERROR: Code = code(4);
/// The directory above the place of a new repository does not exist.
pub const PARENT_PATH_MISSING: Code = code(18);
/// A placeholder whose value can not be formatted as asked.
pub const PLACEHOLDER_ERROR: Code = code(5);
/// Somebody did not agree.
pub const CANCELLED: Code = code(3);
/// A placeholder that does not exist.
pub const INVALID_PLACEHOLDER: Code = code(6);
/// No way to get a passphrase.
pub const NO_PASSPHRASE: Code = code(50);
/// The command that should tell the passphrase failed.
pub const PASSCOMMAND_FAILURE: Code = code(51);
/// Too many useless answers to a question for a passphrase.
pub const PASSWORD_RETRIES_EXCEEDED: Code = code(53);

/// The entry of the table; a number that is not in it does not compile.
const fn code(rc: u8) -> Code {
    let mut index = 0;
    while TABLE[index].rc != rc {
        index += 1;
    }
    TABLE[index]
}

/// How fine return codes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// A code for each kind of error and warning.
    #[default]
    Modern,
    /// 1 for warnings and 2 for errors, as Borg 1.x has it.
    Legacy,
}

impl Scale {
    /// What the process returns on this scale.
    pub fn apply(self, rc: u8) -> u8 {
        match (self, rc) {
            (Self::Legacy, 1 | 100..=127) => 1,
            (Self::Legacy, 2..=99) => 2,
            _ => rc,
        }
    }
}

/// An error of the program itself, not of the engine.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the program ends.
    pub code: Code,
    /// What happened, one line.
    pub message: String,
}

impl Failure {
    /// An error with a code of its own.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A command that makes no sense.
    pub fn command(message: impl Into<String>) -> Self {
        Self::new(COMMAND_ERROR, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Failure {}

/// The code of an error of the engine.
pub fn of_kind(kind: ErrorKind) -> Code {
    code_of_kind(kind).unwrap_or(ERROR)
}

fn code_of_kind(kind: ErrorKind) -> Option<Code> {
    Some(match kind {
        ErrorKind::Interrupted => const { code(3) },
        ErrorKind::InvalidInput | ErrorKind::ArchiveAmbiguous | ErrorKind::PatternInvalid => COMMAND_ERROR,
        ErrorKind::RepositoryExists => const { code(10) },
        ErrorKind::RepositoryNotFound => const { code(13) },
        ErrorKind::NoSpace => const { code(14) },
        ErrorKind::NotARepository => const { code(15) },
        ErrorKind::RepositoryReplaced => const { code(45) },
        ErrorKind::RepositoryUnencrypted => const { code(46) },
        ErrorKind::EncryptionChanged => const { code(61) },
        ErrorKind::RepositoryMoved => const { code(62) },
        ErrorKind::NotFound => const { code(17) },
        ErrorKind::AlreadyExists => const { code(19) },
        ErrorKind::PermissionDenied => const { code(21) },
        ErrorKind::Unsupported => const { code(25) },
        ErrorKind::ArchiveNotFound => const { code(31) },
        ErrorKind::KeyInvalid => const { code(40) },
        ErrorKind::KeyNotFound => const { code(44) },
        ErrorKind::PassphraseWrong => const { code(52) },
        ErrorKind::Locked => const { code(73) },
        ErrorKind::Connection | ErrorKind::StoreMissing => const { code(80) },
        ErrorKind::TimedOut => const { code(87) },
        ErrorKind::Damaged => const { code(90) },
        _ => return None,
    })
}

/// The code of a warning and the error it came with.
pub fn of_warning(warning: Warning, error: &Error) -> Code {
    // The codes of files are about files of this machine, not about what is stored.
    let stored = ["chunk", "object"].into_iter().any(|fact| error.context(fact).is_some());
    match (warning, error.kind()) {
        (Warning::FileChanged, _) => const { code(100) },
        (Warning::PatternNeverMatched, _) => NEVER_MATCHED,
        (Warning::Repository, _) => WARNING,
        (Warning::History, _) => const { code(122) },
        (_, _) if stored => const { code(102) },
        (_, ErrorKind::SourceChanged) => const { code(103) },
        (_, ErrorKind::PermissionDenied) => const { code(105) },
        (_, ErrorKind::Io | ErrorKind::NoSpace) => const { code(106) },
        (_, ErrorKind::NotFound) => const { code(107) },
        (_, ErrorKind::TimedOut) => const { code(111) },
        (_, ErrorKind::AlreadyExists | ErrorKind::Unsupported | ErrorKind::System) => const { code(104) },
        (_, _) => const { code(102) },
    }
}

/// The code of whatever ended a command.
pub fn of_error(error: &anyhow::Error) -> Code {
    let code = |cause: &(dyn StdError + 'static)| {
        let own = cause.downcast_ref::<Failure>().map(|failure| failure.code);
        own.or_else(|| cause.downcast_ref::<Error>().map(of_engine))
    };
    error.chain().find_map(code).unwrap_or(ERROR)
}

/// Facts that tell more than the kind: what servers and their clients hold against each other, and files of this
/// machine that are no part of a repository.
const FACTS: [(&str, Code); 5] = [
    (REFUSED_PATH, code(83)),
    (SERVER_SPEAKS, code(84)),
    (CLIENT_SENT, code(85)),
    (SERVER_SENT, code(86)),
    (LOCAL_PATH, ERROR),
];

fn of_engine(error: &Error) -> Code {
    if let Some((_, code)) = FACTS.iter().find(|(fact, _)| error.context(fact).is_some()) {
        return *code;
    }
    match (error.kind(), error.context("object")) {
        (ErrorKind::Damaged, Some("config")) => const { code(16) },
        (kind, _) => of_kind(kind),
    }
}

/// Whether a command ended because nobody reads its output any more. That is success.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    // a store may be at the end of a broken pipe too, that is below an error of the engine
    let mut own = error.chain().take_while(|cause| !cause.is::<Error>());
    let closed = |io: &std::io::Error| io.kind() == std::io::ErrorKind::BrokenPipe;
    own.any(|cause| cause.downcast_ref().is_some_and(closed))
}

/// The warnings of a run, as far as its end depends on them.
#[derive(Clone, Debug, Default)]
pub struct Warnings(BTreeSet<Code>);

impl Warnings {
    /// Takes notice of a warning.
    pub fn add(&mut self, code: Code) {
        self.0.insert(code);
    }

    /// These and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// 0 for none, the code of the only kind, or 1.
    pub fn rc(&self) -> u8 {
        match (self.0.len(), self.0.first()) {
            (1, Some(only)) => only.rc,
            (0, _) => 0,
            _ => 1,
        }
    }
}

/// What the process returns.
pub fn exit_code(signal: Option<u8>, error: Option<Code>, warnings: &Warnings) -> u8 {
    match (signal, error) {
        (Some(signal), _) => signal.saturating_add(128),
        (None, Some(code)) => code.rc,
        (None, None) => warnings.rc(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_are_unique() {
        assert!(TABLE.windows(2).all(|pair| pair[0].rc < pair[1].rc));
        assert_eq!(TABLE.iter().map(|code| code.msgid).collect::<BTreeSet<_>>().len(), TABLE.len());
        assert!(TABLE.iter().all(|code| (1..128).contains(&code.rc)));
    }

    #[test]
    fn kinds_of_errors() {
        for (kind, rc, msgid) in [
            (ErrorKind::PassphraseWrong, 52, "PassphraseWrong"),
            (ErrorKind::RepositoryNotFound, 13, "Repository.DoesNotExist"),
            (ErrorKind::RepositoryExists, 10, "Repository.AlreadyExists"),
            (ErrorKind::RepositoryReplaced, 45, "RepoIdMismatch"),
            (ErrorKind::RepositoryUnencrypted, 46, "UnencryptedRepo"),
            (ErrorKind::EncryptionChanged, 61, "Cache.EncryptionMethodMismatch"),
            (ErrorKind::RepositoryMoved, 62, "Cache.RepositoryAccessAborted"),
            (ErrorKind::ArchiveNotFound, 31, "Archive.DoesNotExist"),
            (ErrorKind::Damaged, 90, "IntegrityError"),
            (ErrorKind::NoSpace, 14, "Repository.InsufficientFreeSpaceError"),
            (ErrorKind::PatternInvalid, 4, "CommandError"),
            (ErrorKind::Locked, 73, "LockTimeout"),
            (ErrorKind::Connection, 80, "ConnectionClosed"),
            (ErrorKind::Poisoned, 2, "Error"),
            (ErrorKind::LimitExceeded, 2, "Error"),
        ] {
            assert_eq!(of_kind(kind), Code { rc, msgid });
            let error = anyhow::Error::new(Error::new(kind, "test")).context("while testing");
            assert_eq!(of_error(&error).rc, rc);
        }
        assert_eq!(of_error(&Failure::new(NO_PASSPHRASE, "none").into()).msgid, "NoPassphraseFailure");
        assert_eq!(of_error(&anyhow::anyhow!("anything")), ERROR);
        for (fact, rc) in
            [(REFUSED_PATH, 83), (SERVER_SPEAKS, 84), (CLIENT_SENT, 85), (SERVER_SENT, 86), (LOCAL_PATH, 2)]
        {
            assert_eq!(of_error(&Error::new(ErrorKind::Connection, "test").with(fact, "x").into()).rc, rc);
        }
        assert_eq!(of_error(&Error::damaged("read config", "tail").with("object", "config").into()).rc, 16);
    }

    #[test]
    fn kinds_of_warnings() {
        for (warning, kind, rc) in [
            (Warning::FileChanged, ErrorKind::SourceChanged, 100),
            (Warning::PatternNeverMatched, ErrorKind::NotFound, 101),
            (Warning::Repository, ErrorKind::Damaged, 1),
            (Warning::History, ErrorKind::History, 122),
            (Warning::Item, ErrorKind::PermissionDenied, 105),
            (Warning::Item, ErrorKind::NotFound, 107),
            (Warning::Item, ErrorKind::Io, 106),
            (Warning::Item, ErrorKind::SourceChanged, 103),
            (Warning::Item, ErrorKind::LimitExceeded, 102),
            (Warning::Attribute, ErrorKind::Unsupported, 104),
        ] {
            assert_eq!(of_warning(warning, &Error::new(kind, "test")).rc, rc, "{warning:?} {kind:?}");
        }
        let lost = Error::new(ErrorKind::NotFound, "read chunk").with("chunk", "x");
        assert_eq!(of_warning(Warning::Item, &lost).msgid, "BackupError");
    }

    #[test]
    fn a_signal_outweighs_an_error_and_that_a_warning() {
        let mut one = Warnings::default();
        one.add(code(105));
        one.add(code(105));
        let mut two = one.clone();
        two.add(code(100));
        for (signal, error, warnings, rc) in [
            (None, None, &Warnings::default(), 0),
            (None, None, &one, 105),
            (None, None, &two, 1),
            (None, Some(code(52)), &two, 52),
            (Some(2), Some(code(3)), &one, 130),
            (Some(15), None, &one, 143),
        ] {
            assert_eq!(exit_code(signal, error, warnings), rc);
        }
    }

    #[test]
    fn scales() {
        assert_eq!([0, 1, 2, 52, 99, 100, 127, 130].map(|rc| Scale::Legacy.apply(rc)), [0, 1, 2, 2, 2, 1, 1, 130]);
        assert_eq!([0, 1, 52, 105, 130].map(|rc| Scale::Modern.apply(rc)), [0, 1, 52, 105, 130]);
    }

    #[test]
    fn only_our_own_closed_pipe_is_success() {
        let pipe = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(&anyhow::Error::new(pipe()).context("write listing")));
        assert!(!is_closed_pipe(&anyhow::Error::new(Error::from_io("put object", pipe()))));
        assert!(!is_closed_pipe(&anyhow::anyhow!("anything")));
    }
}
