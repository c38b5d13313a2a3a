//! What every command needs: the repository, the passphrase, the client's own places.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gabion_backends::layer::{CachePlace, RetryOptions, Trace};
use gabion_backends::scrub::{Health, Scrub};
use gabion_backends::ssh::{SshCommand, SshOptions};
use gabion_backends::{Access, Location, OpenOptions, Opened, Sharing, Variables, open_for_scrub};
use gabion_core::archive::catalog::Catalog;
use gabion_core::archive::history::History;
use gabion_core::backend::Store;
use gabion_core::clock::{Clock as _, SystemClock, Timestamp};
use gabion_core::crypto::secret::Passphrase;
use gabion_core::error::{Error, ErrorKind};
use gabion_core::id::RepositoryId;
use gabion_core::local_state::{DirectoryState, LocalState, MemoryState};
use gabion_core::monitor::{Event, Monitor as _, Warning};
use gabion_core::ops::delete::Remover;
use gabion_core::repository::{Client, KeyFiles, Repository, Trust};
use jiff::tz::TimeZone;

use crate::args::Common;
use crate::compat::Borg;
use crate::directories::Directories;
use crate::environment::{Environment, is_yes};
use crate::exit_code::{self, Failure, Warnings};
use crate::key_file::{KeyFile, NoKeyFiles};
use crate::output::format::Manner;
use crate::output::units::Units;
use crate::passphrase::{self, Person as _, Secret, Terminal};
use crate::placeholders::Placeholders;
use crate::profile::{FILE, Profile};
use crate::progress::lines::letter;
use crate::progress::{Count, Form, Level, Reporter, Settings};
use crate::report::Advised;
use crate::requests;
use crate::signals::Signals;
use crate::words;

/// How often a person may try a passphrase.
const ATTEMPTS: u32 = 3;
/// How long to wait for who holds a lease, unless something else is asked for.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// What the process was started in.
pub struct Surroundings {
    /// What is to be told as Borg tells it, if Borg was meant.
    pub borg: Option<Borg>,
    /// The environment, completed by a profile.
    pub environment: Environment,
    /// Where the user says the repository is, if anywhere.
    pub repository: Option<String>,
}

/// All that a command needs.
pub struct Context {
    /// The common options.
    pub common: Common,
    /// The environment variables this program knows.
    pub environment: Environment,
    /// What placeholders stand for; `now` is the start of the command.
    pub placeholders: Placeholders,
    /// How sizes are shown.
    pub units: Units,
    /// Where the user says the repository is, placeholders not replaced yet.
    repository: Option<String>,
    /// What is to be told as Borg tells it, if Borg was meant.
    pub borg: Option<Borg>,
    /// What stores are asked for.
    pub trace: Trace,
    /// When the command began.
    pub started: Instant,
    signals: OnceLock<Signals>,
    /// What was counted, by every voice of the command.
    counted: Mutex<Vec<Count>>,
    /// The store that was opened, and what of it can be examined.
    opened: OnceLock<(Store, Arc<dyn Scrub>)>,
    /// Where the repository is, once that was asked.
    place: OnceLock<Location>,
}

impl Context {
    /// A context made of the common options and what the process was started in.
    pub fn new(common: Common, surroundings: Surroundings) -> Result<Self, Failure> {
        let placeholders = Placeholders::of_machine(&surroundings.environment, SystemClock.now())?;
        let units = surroundings.environment.units()?;
        Ok(Self::made(common, surroundings, placeholders, units))
    }

    fn made(common: Common, surroundings: Surroundings, placeholders: Placeholders, units: Units) -> Self {
        let Surroundings { environment, repository, borg } = surroundings;
        Self {
            common,
            environment,
            placeholders,
            units,
            repository,
            borg,
            trace: Trace::new(),
            started: Instant::now(),
            signals: OnceLock::new(),
            counted: Mutex::default(),
            opened: OnceLock::new(),
            place: OnceLock::new(),
        }
    }

    /// The surroundings of the other repository: `repo` or `GABION_OTHER_REPO`, which may name a profile, and the
    /// passphrase for it.
    pub fn other(&self, repo: Option<&str>) -> Result<Self, Failure> {
        let mut environment = self.environment.other();
        let named = match repo {
            Some(named) => Some(named),
            None => environment.repository()?,
        };
        let missing = "which other repository? name it by --other-repo or GABION_OTHER_REPO";
        let named = named.ok_or_else(|| Failure::command(missing))?.to_owned();
        let url = match named.strip_prefix('@') {
            None => named,
            Some(name) => {
                let profile = self.profile(name)?;
                profile.complete(&mut environment)?;
                profile.url
            }
        };
        self.elsewhere(url, environment)
    }

    /// The surroundings of one more repository for which the same is done: a place, or a profile. What a profile says of its
    /// repository outweighs the environment here.
    pub fn beside(&self, named: &str) -> Result<Self, Failure> {
        let mut environment = self.environment.beside();
        let url = match named.strip_prefix('@') {
            None => named.to_owned(),
            Some(name) => {
                let profile = self.profile(name)?;
                profile.override_variables(&mut environment)?;
                profile.complete(&mut environment)?;
                profile.url
            }
        };
        environment.share_passphrase(&self.environment)?;
        self.elsewhere(url, environment)
    }

    fn elsewhere(&self, url: String, environment: Environment) -> Result<Self, Failure> {
        let placeholders = Placeholders::of_machine(&self.environment, self.now())?;
        let common = Common { repo: Some(url.clone()), ..self.common.clone() };
        let surroundings = Surroundings { environment, repository: Some(url), borg: self.borg.clone() };
        Ok(Self::made(common, surroundings, placeholders, self.units))
    }

    /// When the command began.
    pub fn now(&self) -> Timestamp {
        self.placeholders.now
    }

    /// The local zone.
    pub fn zone(&self) -> &TimeZone {
        &self.placeholders.zone
    }

    /// How values are shown on standard output.
    pub fn manner(&self) -> Manner {
        Manner { zone: self.zone().clone(), escape: std::io::stdout().is_terminal() }
    }

    /// Where the user says the repository is, placeholders replaced. Profiles are asked once: a command that they name for a
    /// secret may ask people.
    pub fn location(&self) -> Result<Location> {
        if let Some(place) = self.place.get() {
            return Ok(place.clone());
        }
        let place = self.find_location()?;
        Ok(self.place.get_or_init(|| place).clone())
    }

    fn find_location(&self) -> Result<Location> {
        let named = match &self.repository {
            Some(named) => Some(named.as_str()),
            None => self.environment.repository()?,
        };
        let named = named.ok_or_else(|| {
            let of_borg = std::env::args_os().any(|word| word.to_string_lossy().contains("::"));
            let beside = if of_borg { "; REPO::ARCHIVE is understood under the name `borg` only" } else { "" };
            Failure::command(format!("no repository: name one by --repo or GABION_REPO{beside}"))
        })?;
        self.parse_location(named)
    }

    /// Understands where a repository or store is, placeholders replaced.
    pub fn parse_location(&self, named: &str) -> Result<Location> {
        let location = Location::parse_with(&self.placeholders.replace(named)?, &|name| self.named_place(name));
        location.map_err(|error| match error.context("did you mean").map(|url| format!("did you mean `{url}`?")) {
            Some(hint) => Advised::new(error, hint).into(),
            None => error.into(),
        })
    }

    /// What a profile says of a place: where it is, and what its stores listen to. Here it outweighs the environment,
    /// because the stores of a set may need different keys.
    fn named_place(&self, name: &str) -> gabion_core::error::Result<(String, Variables)> {
        let told = |reason: String| Error::new(ErrorKind::InvalidInput, "find place").with("profile", reason);
        let profile = self.profile(name).map_err(|error| told(error.message))?;
        let mut environment = self.environment.clone();
        profile.override_variables(&mut environment).map_err(|error| told(error.message))?;
        let url = self.placeholders.replace(&profile.url).map_err(|error| told(error.message))?;
        Ok((url, environment.store_variables()))
    }

    /// The profile of this name.
    pub fn profile(&self, name: &str) -> Result<Profile, Failure> {
        let directories = Directories::new(&self.environment, None)?;
        Profile::load(&directories.config.join(FILE), name)
    }

    /// The store the user named.
    pub fn store(&self, access: Access) -> Result<Store> {
        self.store_with(access, self.open_options(self.cache()?)?)
    }

    /// The store the user named, without copies that are kept here.
    pub fn uncached_store(&self, access: Access) -> Result<Store> {
        self.store_with(access, self.open_options(None)?)
    }

    /// The store that is open already, or else the one the user named, without copies that are kept here.
    pub fn opened_store(&self) -> Result<Store> {
        self.opened.get().map_or_else(|| self.uncached_store(Access::Existing), |(store, _)| Ok(store.clone()))
    }

    fn store_with(&self, access: Access, options: OpenOptions) -> Result<Store> {
        let Opened { backend, scrub } = open_for_scrub(&self.location()?, access, &options)?;
        let store = Store::new(backend)?;
        // A set with too few stores is told as such, before anybody misses an object in it.
        store.wait_for(scrub.health())?;
        self.opened.get_or_init(|| (store.clone(), scrub));
        Ok(store)
    }

    /// How stores are opened.
    pub fn open_options(&self, cache: Option<CachePlace>) -> Result<OpenOptions> {
        Ok(OpenOptions {
            connections: self.common.connections.map(usize::from),
            upload_limit: self.common.upload_limit(),
            download_limit: self.common.download_limit,
            trace: self.trace.clone(),
            retry: match self.common.patience {
                Some(seconds) => {
                    RetryOptions { budget: Duration::from_secs(seconds.into()), ..RetryOptions::default() }
                }
                None => RetryOptions::default(),
            },
            cache,
            read_ahead: false,
            require_all_stores: self.common.require_all_stores,
            sharing: Sharing::Umask,
            permissions: self.environment.permissions()?,
            ssh: self.ssh()?,
            variables: self.environment.store_variables(),
        })
    }

    /// What the store that was opened is examined with.
    pub fn scrub(&self, access: Access) -> Result<(Store, Arc<dyn Scrub>)> {
        let store = self.uncached_store(access)?;
        let scrub = self.opened.get().map(|(_, scrub)| Arc::clone(scrub));
        Ok((store, scrub.context("open store")?))
    }

    /// How the store that was opened is protected, and which parts of it are missing.
    pub fn health(&self) -> Result<Option<Health>> {
        match self.opened.get() {
            Some((store, scrub)) => Ok(Some(store.wait_for(scrub.health())?)),
            None => Ok(None),
        }
    }

    /// Warns of stores that are missing and of damage that reading went around.
    pub fn tell_health(&self) -> Warnings {
        let mut warnings = Warnings::default();
        // That it can not be told is told by whatever the command met.
        let Ok(Some(health)) = self.health() else { return warnings };
        let speaker = self.speaker();
        for missing in health.missing.iter().chain(&health.missing_inside) {
            speaker.log(Level::Warning, Some(exit_code::STORE_MISSING), &missing.to_string());
            warnings.add(exit_code::STORE_MISSING);
        }
        if health.healed_reads > 0 {
            let objects = health.healed_reads;
            let message = format!(
                "damage was repaired while reading, {objects} times; `gabion scrub --repair` repairs it in the store"
            );
            speaker.log(Level::Warning, Some(exit_code::DAMAGE_HEALED), &message);
            warnings.add(exit_code::DAMAGE_HEALED);
        }
        warnings
    }

    /// How other machines are reached.
    fn ssh(&self) -> Result<SshOptions> {
        let mut command = SshCommand::default();
        if let Some(rsh) = self.common.rsh.as_deref().map_or_else(|| self.environment.rsh(), |rsh| Ok(Some(rsh)))? {
            let program = words::split(rsh)?;
            if program.is_empty() {
                return Err(Failure::command("--rsh and GABION_RSH name no command").into());
            }
            command.program = program.into_iter().map(Into::into).collect();
        }
        let remote = self.common.remote_path.as_deref();
        if let Some(remote) = remote.map_or_else(|| self.environment.remote_path(), |remote| Ok(Some(remote)))? {
            command.remote_program = remote.to_owned();
        }
        Ok(SshOptions { command, ..SshOptions::default() })
    }

    /// Where copies of stored objects are kept, if they are.
    fn cache(&self) -> Result<Option<CachePlace>, Failure> {
        let bytes_max = self.environment.cache_size()?;
        // Without a home there is no cache, which costs time at most.
        let place = self.directories().ok().map(|directories| directories.objects());
        Ok(place
            .filter(|_| bytes_max > 0 && !self.common.no_cache)
            .map(|directory| CachePlace { directory, bytes_max }))
    }

    /// With --debug, tells what the stores were asked for.
    pub fn tell_requests(&self) {
        if self.common.level() != Level::Debug {
            return;
        }
        let speaker = self.speaker();
        for line in requests::lines(&self.trace.stores(), self.units) {
            speaker.log(Level::Debug, None, &line);
        }
    }

    /// The directories of this user.
    pub fn directories(&self) -> Result<Directories> {
        Ok(Directories::new(&self.environment, None)?)
    }

    /// The client's key files and memory.
    pub fn client(&self) -> Result<Client> {
        let (key_files, state): (KeyFiles, Arc<dyn LocalState>) = match self.directories() {
            Ok(found) => (Arc::new(DirectoryState::new(found.keys)), Arc::new(DirectoryState::new(found.data))),
            Err(error) => {
                let without = if self.environment.key_file().is_some() { "" } else { "without key files, and " };
                let message = format!("{error}; going on {without}with nothing remembered");
                self.speaker().log(Level::Warning, None, &message);
                (Arc::new(NoKeyFiles { reason: error.to_string() }), Arc::new(MemoryState::default()))
            }
        };
        let key_files: KeyFiles = match self.environment.key_file() {
            Some(path) => Arc::new(KeyFile::new(path)),
            None => key_files,
        };
        Ok(Client { key_files, state, trust: self.environment.trust()? })
    }

    /// Where the key of a repository is when it is kept outside.
    pub fn key_file_place(&self, id: &RepositoryId) -> Result<PathBuf> {
        match self.environment.key_file() {
            Some(path) => Ok(path),
            None => Ok(self.directories()?.keys.join(format!("{id}.*"))),
        }
    }

    /// Opens the repository; asks for its passphrase if it needs one, and whether to go on if it is not what it was.
    pub fn open(&self) -> Result<Repository> {
        self.open_in(self.store(Access::Existing)?)
    }

    /// Opens the repository for a command that only reads archives, in large pieces where it is far away.
    pub fn open_to_read(&self) -> Result<Repository> {
        let options = OpenOptions { read_ahead: true, ..self.open_options(self.cache()?)? };
        self.open_in(self.store_with(Access::Existing, options)?)
    }

    /// Opens the repository for a command that wants to see what is really stored.
    pub fn open_uncached(&self) -> Result<Repository> {
        self.open_in(self.uncached_store(Access::Existing)?)
    }

    /// Opens the repository in a store that is open already: some can not be opened twice.
    pub fn open_in(&self, store: Store) -> Result<Repository> {
        let mut client = self.client()?;
        loop {
            match self.open_as(store.clone(), client.clone()) {
                Err(error) if self.is_accepted(&error, &mut client.trust) => {}
                done => return done,
            }
        }
    }

    /// Asks a person about a repository that was refused for what it is; notes in `trust` what they accept.
    fn is_accepted(&self, error: &anyhow::Error, trust: &mut Trust) -> bool {
        let kind = error.downcast_ref::<Error>().map(Error::kind);
        let accepted = match kind {
            Some(ErrorKind::RepositoryUnencrypted) => {
                Trust { unknown_unencrypted: true, no_longer_encrypted: true, ..*trust }
            }
            Some(ErrorKind::RepositoryReplaced | ErrorKind::RepositoryMoved) => Trust { moved: true, ..*trust },
            _ => return false,
        };
        let mut person = Terminal;
        // Standard input that is no terminal may be what is to be backed up.
        if self.common.log_json || accepted == *trust || !std::io::stdin().is_terminal() {
            return false;
        }
        person.tell(&format!("Warning: {error}"));
        if !person.ask("Do you want to continue? [yN] ").is_ok_and(|answer| is_yes(&answer)) {
            return false;
        }
        *trust = accepted;
        true
    }

    fn open_as(&self, store: Store, client: Client) -> Result<Repository> {
        let prompt = format!("Enter passphrase for {}: ", store.location());
        let asked_by_person = !self.environment.tells_passphrase()?;
        let mut failure = None;
        let mut ask = |attempt: u32| {
            if attempt > 0 && !(asked_by_person && attempt < ATTEMPTS) {
                return Ok(None);
            }
            match passphrase::existing(&self.environment, &mut Terminal, &prompt) {
                Ok(secret) => Ok(Some(to_passphrase(&secret))),
                Err(why) => {
                    failure = Some(why);
                    Err(Error::new(ErrorKind::PassphraseWrong, "ask for passphrase"))
                }
            }
        };
        let opened = Repository::open(store, client, &mut ask);
        match failure {
            Some(why) => Err(why.into()),
            None => Ok(opened?),
        }
    }

    /// A passphrase for something new.
    pub fn new_passphrase(&self) -> Result<Passphrase> {
        self.warned(&passphrase::new(&self.environment, &mut Terminal)?)
    }

    /// A passphrase that replaces another one.
    pub fn changed_passphrase(&self) -> Result<Passphrase> {
        self.warned(&passphrase::changed(&self.environment, &mut Terminal)?)
    }

    /// People are asked again for an empty passphrase; what the environment says is taken.
    fn warned(&self, secret: &Secret) -> Result<Passphrase> {
        if secret.is_empty() {
            let message = "the new passphrase is empty: whoever has the key can use it";
            self.speaker().log(Level::Warning, None, message);
        }
        Ok(to_passphrase(secret))
    }

    /// How a command speaks, as far as the common options say.
    pub fn settings(&self) -> Settings {
        Settings {
            form: Form::choose(self.common.log_json),
            progress: self.common.progress,
            level: self.common.level(),
            units: self.units,
            letters: self.borg.as_ref().map_or(letter, Borg::letters),
            ..Settings::default()
        }
    }

    /// A voice for what is said before and after the work, when a signal still ends the process.
    pub fn speaker(&self) -> Reporter {
        Reporter::new(Settings { progress: false, ..self.settings() }, Signals::default())
    }

    /// The voice of a command. From now on a first signal asks to stop; before, it ends the process,
    /// so nobody is stuck at the question for a passphrase.
    pub fn reporter(&self, settings: Settings) -> Result<Reporter> {
        let signals = match self.signals.get() {
            Some(signals) => signals,
            None => {
                let installed = Signals::install().context("listen to signals")?;
                self.signals.get_or_init(|| installed)
            }
        };
        let reporter = Reporter::new(settings, signals.clone());
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).push(reporter.count());
        Ok(reporter)
    }

    /// Files, bytes in them, new bytes, and bytes stored for these.
    pub fn counted(&self) -> [u64; 4] {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.iter().map(Count::get).fold([0; 4], |sum, count| std::array::from_fn(|at| sum[at] + count[at]))
    }

    /// The signal that asked to stop.
    pub fn signal(&self) -> Option<u8> {
        self.signals.get().and_then(Signals::number)
    }

    /// Who removes archives, for their removal records.
    pub fn remover(&self, reason: &str) -> Remover {
        let Placeholders { hostname, user, .. } = &self.placeholders;
        Remover { host: hostname.clone(), user: user.clone(), reason: reason.to_owned() }
    }

    /// How long to wait for who holds a lease.
    pub fn lock_wait(&self) -> Result<Duration, Failure> {
        let seconds = match self.common.lock_wait {
            Some(seconds) => Some(seconds),
            None => self.environment.lock_wait()?,
        };
        match seconds {
            None => Ok(LOCK_WAIT),
            // beyond this a duration has no room: for ever
            Some(seconds) if seconds.is_finite() && seconds >= 0.0 => {
                Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
            }
            Some(seconds) => Err(Failure::command(format!("can not wait for {seconds} seconds"))),
        }
    }

    /// All archives; what can not be read is a warning, and so is what is not there any more.
    pub fn catalog(&self, repository: &Repository, reporter: &Reporter) -> Result<Catalog> {
        let catalog = Catalog::load(repository)?;
        History::of(repository).compare(&catalog, reporter)?;
        for (id, error) in &catalog.unreadable {
            let path = format!("archive {id}");
            reporter.event(&Event::Warning { warning: Warning::Repository, path: path.as_bytes(), error });
        }
        Ok(catalog)
    }
}

fn to_passphrase(secret: &Secret) -> Passphrase {
    Passphrase::new(secret.to_vec())
}
