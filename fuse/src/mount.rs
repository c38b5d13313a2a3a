//! Mounting a view, waiting for its end, and taking it down.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};
use gabion_core::error::{Error, ErrorKind, Result};
use gabion_core::ops::hold::RENEW_SECONDS;
use rustix::mount::UnmountFlags;

use crate::filesystem::ArchiveFilesystem;
use crate::leases::Leases;
use crate::view::View;

/// Threads that answer the kernel, at least: they wait for stores more than they compute.
const THREADS_MIN: usize = 4;

/// How long a mount that was taken down may take to end.
const END_WAIT: Duration = Duration::from_secs(2);

/// Who may look at a mount, beside its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    #[default]
    Owner,
    /// Root.
    Root,
    /// Everybody.
    All,
}

/// How a view is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Who may look at it.
    pub access: Access,
    /// Who may look at it may read everything, whatever the permissions of files say.
    pub ignore_permissions: bool,
    /// What is shown as the source of the mount.
    pub source: String,
    /// Devices are devices.
    pub devices: bool,
    /// Programs run as the owner of their file if it says so.
    pub set_id: bool,
    /// Programs can not be run.
    pub no_execution: bool,
    /// Further options for the kernel, as they are.
    pub others: Vec<String>,
}

/// A view that is mounted. Dropping it leaves it mounted and unserved: call [`Mounted::wait`].
#[derive(Debug)]
pub struct Mounted {
    mountpoint: PathBuf,
    unmounter: SessionUnmounter,
    events: Receiver<Event>,
    stop: Sender<Event>,
    leases: Arc<Leases>,
}

/// Ends a mount, from any thread.
#[derive(Clone, Debug)]
pub struct Stopper(Sender<Event>);

#[derive(Debug)]
enum Event {
    /// Somebody unmounted it, or the kernel gave it up.
    Ended(std::io::Result<()>),
    /// It shall be unmounted.
    Stop,
}

/// Mounts a view at a directory. When this returns `Ok`, it can be looked at.
pub fn mount(view: View, mountpoint: &Path, options: &MountOptions) -> Result<Mounted> {
    let failed = |error| Error::from_io("mount", error).with("path", mountpoint.display());
    // What lies deeper below names the place when it has gone.
    let place = mountpoint.canonicalize().map_err(failed)?;
    if !place.is_dir() {
        return Err(Error::new(ErrorKind::InvalidInput, "mount")
            .with("reason", "not a directory")
            .with("path", mountpoint.display()));
    }
    let leases = Arc::clone(view.leases());
    let filesystem = ArchiveFilesystem::new(Arc::new(view), !options.ignore_permissions);
    let mut session = Session::new(filesystem, &place, &config(options)).map_err(failed)?;
    let unmounter = session.unmount_callable();
    let (stop, events) = unbounded();
    let ended = stop.clone();
    let thread = std::thread::Builder::new().name("session".to_owned());
    let serve = move || {
        // Nobody may be waiting any more.
        let _ = ended.send(Event::Ended(session.run()));
    };
    thread.spawn(serve).map_err(failed)?;
    Ok(Mounted { mountpoint: place, unmounter, events, stop, leases })
}

impl Mounted {
    /// Something that ends the mount.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Returns when the view is no longer mounted: because somebody unmounted it, or because a [`Stopper`] said so.
    /// Programs that still have files open then can not read them any more.
    pub fn wait(mut self) -> Result<()> {
        let done = loop {
            match self.events.recv_timeout(Duration::from_secs(RENEW_SECONDS)) {
                Err(RecvTimeoutError::Timeout) => self.leases.renew(),
                Ok(Event::Ended(ended)) => break ended.map_err(|error| Error::from_io("serve mount", error)),
                Ok(Event::Stop) => break self.unmount(),
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            }
        };
        self.leases.release();
        done
    }

    /// Unmounts. Where somebody still looks, the directory is freed at once, and the rest with the end of the process.
    fn unmount(&mut self) -> Result<()> {
        if self.unmounter.unmount().is_err() {
            return unmount_lazily(&self.mountpoint);
        }
        // For a user a helper does it, lazily, and says nothing of what came of it.
        match self.events.recv_timeout(END_WAIT) {
            Ok(Event::Ended(Err(error))) => Err(Error::from_io("serve mount", error)),
            _ => Ok(()),
        }
    }
}

impl Stopper {
    /// Asks for the end.
    pub fn stop(&self) {
        // If nobody listens, it has ended already.
        let _ = self.0.send(Event::Stop);
    }
}

fn unmount_lazily(mountpoint: &Path) -> Result<()> {
    rustix::mount::unmount(mountpoint, UnmountFlags::DETACH)
        .map_err(|errno| Error::from_io("unmount", errno.into()).with("path", mountpoint.display()))
}

fn config(options: &MountOptions) -> Config {
    let mut mount_options = vec![
        MountOption::RO,
        MountOption::NoAtime,
        // The kernel refuses a mount without a source.
        MountOption::FSName(if options.source.is_empty() { "gabionfs" } else { &options.source }.to_owned()),
        MountOption::Subtype("gabionfs".to_owned()),
        if options.devices { MountOption::Dev } else { MountOption::NoDev },
        if options.set_id { MountOption::Suid } else { MountOption::NoSuid },
    ];
    if options.no_execution {
        mount_options.push(MountOption::NoExec);
    }
    if !options.ignore_permissions {
        mount_options.push(MountOption::DefaultPermissions);
    }
    mount_options.extend(options.others.iter().cloned().map(MountOption::CUSTOM));
    let mut config = Config::default();
    config.mount_options = mount_options;
    config.acl = match options.access {
        Access::Owner => SessionACL::Owner,
        Access::Root => SessionACL::RootAndOwner,
        Access::All => SessionACL::All,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    config.n_threads = Some(cores.max(THREADS_MIN));
    config.clone_fd = true;
    config
}
