//! What is shown: which archives, how, and whose the files are.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gabion_core::archive::attributes::AttributesRef;
use gabion_core::archive::catalog::Archive;
use gabion_core::archive::metadata::{FileType, Metadata};
use gabion_core::archive::node_cache::NodeCache;
use gabion_core::clock::Clock;
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::limits::MIB;
use gabion_core::monitor::{Event, Monitor, Warning};
use gabion_core::pattern::Matcher;
use gabion_core::repository::{Reader, Repository};

use crate::attributes::{self, Owners};
use crate::chunks::Chunks;
use crate::directory::{Contents, Directory, Layer};
use crate::inodes::TOP;
use crate::leases::Leases;

/// Bytes of decoded nodes of directories that are kept.
const NODE_BYTES: usize = 48 * MIB;

/// How archives are laid out below the mount point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// The content of the only archive.
    Single,
    /// A directory for each archive.
    #[default]
    Directories,
    /// The trees of all archives as one, and in it for every file a directory with all its versions.
    Versions,
}

/// An archive and the name of its directory.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The name, one part; names must differ.
    pub name: Vec<u8>,
    /// The archive.
    pub archive: Archive,
}

/// How things are shown.
#[derive(Debug)]
pub struct ViewOptions {
    /// The layout.
    pub layout: Layout,
    /// Which paths; as archived.
    pub matcher: Matcher,
    /// Leading parts of the path that are dropped; entries with no more parts are left out.
    pub strip_components: usize,
    /// Whose the files are.
    pub owners: Owners,
    /// Bytes of file content that are kept in memory, beside what the kernel keeps.
    pub cache_bytes: usize,
    /// Threads that read ahead; 0 for none.
    pub read_ahead: usize,
}

impl Default for ViewOptions {
    /// Everything, as it was; 64 MiB of content, and a thread per core that reads ahead.
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            matcher: Matcher::default(),
            strip_components: 0,
            owners: Owners::default(),
            cache_bytes: 64 * MIB,
            read_ahead: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// What is shown below a mount point.
pub struct View {
    archives: Vec<Shown>,
    /// What is at the top of each archive, once somebody has looked.
    tops: Vec<Mutex<Option<Arc<[Layer]>>>>,
    /// What is at the top of all archives as one, once that is known.
    merged: OnceLock<Arc<[Layer]>>,
    options: ViewOptions,
    nodes: NodeCache<Reader>,
    chunks: Chunks,
    leases: Arc<Leases>,
    monitor: Arc<dyn Monitor>,
}

impl View {
    /// A view of archives, the oldest first. Loads the index; of the archives nothing is read yet.
    ///
    /// What can not be read later, when somebody looks, is told to `monitor`.
    ///
    /// # Errors
    /// `InvalidInput` if the layout is `Single` and there is not exactly one archive.
    pub fn new(
        repository: &Repository,
        archives: Vec<Shown>,
        options: ViewOptions,
        clock: Arc<dyn Clock>,
        monitor: Arc<dyn Monitor>,
    ) -> Result<Self> {
        if options.layout == Layout::Single && archives.len() != 1 {
            return Err(Error::new(ErrorKind::InvalidInput, "show archive").with("archives", archives.len()));
        }
        let reader = repository.session()?.reader();
        let chunks = Chunks::new(reader.clone(), options.cache_bytes, options.read_ahead)?;
        let leases = Arc::new(Leases::new(repository.clone(), clock, Arc::clone(&monitor)));
        let tops = archives.iter().map(|_| Mutex::default()).collect();
        let (merged, nodes) = (OnceLock::new(), NodeCache::new(reader, NODE_BYTES));
        Ok(Self { archives, tops, merged, options, nodes, chunks, leases, monitor })
    }

    pub(crate) fn archives(&self) -> &[Shown] {
        &self.archives
    }

    pub(crate) fn options(&self) -> &ViewOptions {
        &self.options
    }

    pub(crate) fn layout(&self) -> Layout {
        self.options.layout
    }

    pub(crate) fn nodes(&self) -> &NodeCache<Reader> {
        &self.nodes
    }

    pub(crate) fn reader(&self) -> &Reader {
        self.nodes.source()
    }

    pub(crate) fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    pub(crate) fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    /// Something can not be read; the mount goes on.
    pub(crate) fn complain(&self, path: &[u8], error: &Error) {
        self.monitor.event(&Event::Warning { warning: Warning::Item, path, error });
    }

    /// The directory at the mount point.
    pub(crate) fn top(&self) -> Directory {
        match self.options.layout {
            Layout::Single => self.top_of(0, TOP, TOP),
            Layout::Directories | Layout::Versions => None,
        }
        .unwrap_or_else(|| {
            let newest = self.archives.iter().map(|shown| shown.archive.record.start).max();
            let modified = newest.unwrap_or(gabion_core::clock::Timestamp::new(0, 0));
            let contents = match self.options.layout {
                Layout::Versions => Contents::AllTops,
                _ => Contents::Archives,
            };
            let metadata = own_metadata(modified);
            let attr = attributes::of_metadata(TOP, FileType::Directory, &metadata, &self.options.owners);
            Directory { number: TOP, parent: TOP, name: Vec::new(), attr, attributes: AttributesRef::None, contents }
        })
    }

    /// The directory that shows an archive.
    pub(crate) fn top_of(&self, archive: usize, number: u64, parent: u64) -> Option<Directory> {
        let shown = self.archives.get(archive)?;
        let record = &shown.archive.record;
        let whole = self.options.strip_components == 0;
        let top = record.top.as_ref().filter(|_| whole);
        let metadata = top.map_or_else(|| own_metadata(record.start), |top| top.metadata.clone());
        let attributes = top.filter(|top| !top.attributes.0.is_empty());
        let attributes = attributes.map_or(AttributesRef::None, |top| AttributesRef::Inline(top.attributes.clone()));
        let attr = attributes::of_metadata(number, FileType::Directory, &metadata, &self.options.owners);
        let contents = Contents::Top(archive);
        Some(Directory { number, parent, name: shown.name.clone(), attr, attributes, contents })
    }

    /// The directories of archives that a directory shows.
    pub(crate) fn layers(&self, directory: &Directory) -> Result<Arc<[Layer]>> {
        match &directory.contents {
            Contents::Archives => Ok(Arc::default()),
            Contents::Entries { layers, .. } => Ok(Arc::clone(layers)),
            Contents::Top(archive) => self.layers_at_top(*archive),
            Contents::AllTops => self.merged(),
        }
    }

    /// What is at the top of all archives as one; of equal directories the newest.
    fn merged(&self) -> Result<Arc<[Layer]>> {
        if let Some(merged) = self.merged.get() {
            return Ok(Arc::clone(merged));
        }
        let mut all: Vec<Layer> = Vec::new();
        for archive in 0..self.archives.len() {
            for layer in &*self.layers_at_top(archive)? {
                all.retain(|known| known.directory.root != layer.directory.root);
                all.push(layer.clone());
            }
        }
        Ok(Arc::clone(self.merged.get_or_init(|| all.into())))
    }

    /// What is at the top of an archive. From then on it is leased.
    fn layers_at_top(&self, archive: usize) -> Result<Arc<[Layer]>> {
        let missing = || Error::new(ErrorKind::ArchiveNotFound, "show archive");
        let (shown, top) = self.archives.get(archive).zip(self.tops.get(archive)).ok_or_else(missing)?;
        let mut top = top.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layers) = &*top {
            return Ok(Arc::clone(layers));
        }
        self.leases.take(&shown.archive).inspect_err(|error| self.complain(&shown.name, error))?;
        let root = Layer { archive, directory: shown.archive.record.root, path: Arc::default() };
        let layers: Arc<[Layer]> = self.stripped(archive, root, self.options.strip_components).into();
        *top = Some(Arc::clone(&layers));
        Ok(layers)
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("archives", &self.archives.len()).field("options", &self.options).finish()
    }
}

/// Of directories that are in no archive.
fn own_metadata(modified: gabion_core::clock::Timestamp) -> Metadata {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Metadata { uid, gid, ..Metadata::of_directory(modified) }
}
