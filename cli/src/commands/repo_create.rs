//! `gabion repo-create`

use anyhow::Result;
use gabion_backends::Access;
use gabion_core::clock::SystemClock;
use gabion_core::crypto::aead::Suite;
use gabion_core::crypto::id_hash::IdHash;
use gabion_core::crypto::kdf::KdfParams;
use gabion_core::repository::{KeyLocation, NewRepository, NewSlot, Repository};

use crate::context::Context;
use crate::exit_code::Warnings;

/// Make a new repository
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How data is encrypted: aes256-gcm, chacha20-poly1305, none
    #[arg(short, long, value_name = "SUITE")]
    encryption: Option<String>,
}

/// Makes the repository.
pub fn run(context: &Context, args: &Args) -> Result<Warnings> {
    let suite = args.encryption.as_deref().map_or(Ok(Suite::fastest()), str::parse)?;
    let store = context.store(Access::Create)?;
    make(context, store, suite)?;
    Ok(Warnings::default())
}

/// Makes a repository in `store`.
pub fn make(context: &Context, store: gabion_core::backend::Store, suite: Suite) -> Result<Repository> {
    let passphrase = if suite.encrypts() { Some(context.new_passphrase()?) } else { None };
    let slot = NewSlot {
        passphrase: passphrase.as_ref(),
        kdf: KdfParams::default(),
        label: String::new(),
        location: KeyLocation::Repository,
    };
    let new = NewRepository { suite, id_hash: IdHash::default(), slot };
    Ok(Repository::create(store, context.client()?, &new, &SystemClock)?)
}
