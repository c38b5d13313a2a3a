//! What every command needs: the repository, the passphrase, the client's own places.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use gabion_backends::Location;
use gabion_backends::{Access, open};
use gabion_core::backend::Store;
use gabion_core::crypto::secret::Passphrase;
use gabion_core::repository::{Client, Repository};

use crate::args::Common;

/// The surroundings of a command.
pub struct Context {
    common: Common,
}

impl Context {
    /// A context made of the common options.
    pub fn new(common: Common) -> Self {
        Self { common }
    }

    /// The store the user named.
    pub fn store(&self, access: Access) -> Result<Store> {
        let named = self.common.repo.clone().or_else(|| std::env::var("GABION_REPO").ok());
        let named = named.context("no repository: name one by --repo or GABION_REPO")?;
        let backend = open(&Location::parse(&named)?, access)?;
        Ok(Store::new(Arc::clone(&backend))?)
    }

    /// The client's key files and memory.
    pub fn client(&self) -> Client {
        Client::default()
    }

    /// The passphrase, if one can be had.
    pub fn passphrase(&self) -> Option<Passphrase> {
        std::env::var("GABION_PASSPHRASE").ok().map(|text| Passphrase::new(text.into_bytes()))
    }

    /// Opens the repository.
    pub fn open(&self) -> Result<Repository> {
        let store = self.store(Access::Existing)?;
        let mut ask = |attempt| Ok(if attempt == 0 { self.passphrase() } else { None });
        Ok(Repository::open(store, self.client(), &mut ask)?)
    }
}
