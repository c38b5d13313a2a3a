//! `gabion repo-create`

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use gabion_backends::{Access, Location};
use gabion_core::backend::Store;
use gabion_core::clock::SystemClock;
use gabion_core::crypto::aead::Suite;
use gabion_core::crypto::id_hash::IdHash;
use gabion_core::crypto::kdf::KdfParams;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::repository::{KeyLocation, NewRepository, NewSlot, Repository};

use crate::context::Context;
use crate::exit_code::{Failure, PARENT_PATH_MISSING, Warnings};
use crate::progress::{Level, Reporter};

/// Make a new repository.
///
/// Everything in it is encrypted and authenticated, unless `--encryption none` says otherwise: that protects
/// against accident only, needs no passphrase, and lets everybody who can read the store read the data.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gabion -r /mnt/disk/backup repo-create\n  gabion -r ssh://backup@nas/./laptop repo-create --key-location keyfile\n  gabion -r 's3://my-backups/laptop?region=eu-central-1' repo-create"
)]
pub struct Args {
    /// How data is encrypted: aes256-gcm, chacha20-poly1305, none [default: what this machine is fastest at]
    #[arg(short, long, value_name = "SUITE")]
    encryption: Option<Suite>,
    /// The hash that names pieces of data: blake3, blake2b, hmac-sha256 [default: blake3, or that of --other-repo]
    #[arg(short, long, value_name = "HASH")]
    id_hash: Option<IdHash>,
    /// Where the key is kept, protected by the passphrase
    #[arg(long, value_name = "LOCATION", default_value = "repokey")]
    key_location: Place,
    /// How hard guessing the passphrase is made; strong takes about a second each time
    #[arg(long, value_name = "COST", default_value = "default")]
    kdf: Cost,
    /// A label for the key
    #[arg(long, value_name = "LABEL", default_value = "")]
    label: String,
    /// Make the directories above it, too, if the repository is a directory of this machine
    #[arg(long)]
    make_parent_dirs: bool,
    /// Cut and name pieces of data as in this repository, so that `transfer` between both is quick. Who has the keys of
    /// one can then tell which data of the other is the same; nothing else is shared [env: GABION_OTHER_REPO]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    other_repo: Option<String>,
}

/// Where a key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// In the repository
    Repokey,
    /// In a file on this machine
    Keyfile,
}

impl From<Place> for KeyLocation {
    fn from(place: Place) -> Self {
        match place {
            Place::Repokey => Self::Repository,
            Place::Keyfile => Self::KeyFile,
        }
    }
}

/// How hard a passphrase is to guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cost {
    /// Argon2id with 64 MiB
    Default,
    /// Argon2id with up to 1 GiB and about a second
    Strong,
}

impl Cost {
    /// The parameters.
    pub fn params(self) -> gabion_core::error::Result<KdfParams> {
        match self {
            Self::Default => Ok(KdfParams::default()),
            Self::Strong => KdfParams::calibrate_strong(memory_kib()),
        }
    }
}

/// What a derivation may take: a quarter of this machine, 1 GiB at most, since others must open the key too.
fn memory_kib() -> u32 {
    let system = rustix::system::sysinfo();
    let bytes = (system.totalram as u64).saturating_mul(u64::from(system.mem_unit.max(1)));
    u32::try_from(bytes / 4 / 1024).unwrap_or(u32::MAX).min(1024 * 1024)
}

/// Makes the repository.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let other = args.other_repo.as_deref().map(|url| open_other(context, url)).transpose()?;
    let id_hash = match (&other, args.id_hash) {
        (Some(other), None) => other.config().id_hash()?,
        (_, chosen) => chosen.unwrap_or_default(),
    };
    let choice = Choice {
        suite: args.encryption.unwrap_or_else(Suite::fastest),
        id_hash,
        place: args.key_location,
        cost: args.kdf,
        label: args.label.clone(),
        other,
    };
    if let (true, Location::Local(path)) = (args.make_parent_dirs, context.location()?)
        && let Some(above) = path.parent()
    {
        std::fs::create_dir_all(above).with_context(|| format!("make {}", above.display()))?;
    }
    make(context, &choice)?;
    Ok(Warnings::default())
}

fn open_other(context: &Context, url: &str) -> Result<Repository> {
    context.other(Some(url).filter(|url| !url.is_empty()))?.open()
}

/// What a new repository shall be.
#[derive(Debug)]
pub struct Choice {
    suite: Suite,
    id_hash: IdHash,
    place: Place,
    cost: Cost,
    label: String,
    /// Where pieces of data are cut and named alike.
    other: Option<Repository>,
}

impl Default for Choice {
    /// What nobody has to think about.
    fn default() -> Self {
        Self {
            suite: Suite::fastest(),
            id_hash: IdHash::default(),
            place: Place::Repokey,
            cost: Cost::Default,
            label: String::new(),
            other: None,
        }
    }
}

/// Makes a repository where the context says, and tells what to remember.
pub fn make(context: &Context, choice: &Choice) -> Result<Repository> {
    let store = place(context)?;
    refuse_existing(&store)?;
    let passphrase = if choice.suite.encrypts() { Some(context.new_passphrase()?) } else { None };
    let slot = NewSlot {
        passphrase: passphrase.as_ref(),
        kdf: choice.cost.params()?,
        label: choice.label.clone(),
        location: choice.place.into(),
    };
    let new = NewRepository { suite: choice.suite, id_hash: choice.id_hash, slot };
    let repository = match &choice.other {
        None => Repository::create(store, context.client()?, &new, &SystemClock)?,
        Some(other) => Repository::create_related(store, context.client()?, &new, other, &SystemClock)?,
    };
    tell(context, choice, &repository)?;
    Ok(repository)
}

fn place(context: &Context) -> Result<Store> {
    context.store(Access::Create).map_err(|error| match error.downcast_ref::<Error>() {
        Some(missing) if missing.kind() == ErrorKind::NotFound => {
            let above = missing.context("path").unwrap_or_default();
            let message = format!("the directory above the repository does not exist: {above}");
            Failure::new(PARENT_PATH_MISSING, message).into()
        }
        _ => error,
    })
}

/// Nobody shall invent a passphrase for a repository that exists. The engine checks again.
fn refuse_existing(store: &Store) -> Result<()> {
    match gabion_core::repository::is_there(store)? {
        true => {
            let error = Error::new(ErrorKind::RepositoryExists, "create repository");
            Err(error.with("repository", store.location()).into())
        }
        false => Ok(()),
    }
}

fn tell(context: &Context, choice: &Choice, repository: &Repository) -> Result<()> {
    let reporter: Reporter = context.reporter(context.settings())?;
    let say = |line: &str| reporter.log(Level::Warning, None, line);
    let location = repository.object_store().location();
    say(&format!("Repository {location} made, encryption {}, id {}.", choice.suite, repository.id()));
    if !choice.suite.encrypts() {
        say("It is not encrypted: whoever can read the store can read the data.");
        return Ok(());
    }
    match choice.place {
        Place::Repokey => say("Its key is in the repository, protected by the passphrase."),
        Place::Keyfile => {
            let path = context.key_file_place(repository.id())?;
            say(&format!("Its key is in {}, protected by the passphrase.", path.display()));
        }
    }
    say("Without key and passphrase nobody can read the data: export the key with `gabion key export`, and keep \
         both safe, apart from the repository.");
    Ok(())
}
