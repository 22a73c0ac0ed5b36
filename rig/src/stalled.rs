//! A FUSE tree that stalls on command.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use tempfile::TempDir;

use crate::control::{Control, HoldGuard, Status, check_socket_path};
use crate::error::{Context, invalid};
use crate::gate::{Action, Request};
use crate::mounts::{mount_fuse, unmount_or_detach};
use crate::process::{ServerProcess, outer_namespace};
use crate::server::{Settings, backing_dir, socket_path};

/// How a [`StalledFuse`] is made; see [`StalledFuse::options`].
#[derive(Clone, Debug)]
pub struct StalledFuseOptions {
    settings: Settings,
}

impl StalledFuseOptions {
    /// How long the kernel may use attributes without asking again. Default: not at all.
    pub fn with_attr_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attr_timeout = timeout;
        self
    }

    /// How long the kernel may use a name without asking again. Default: 1 s.
    pub fn with_entry_timeout(mut self, timeout: Duration) -> Self {
        self.settings.entry_timeout = timeout;
        self
    }

    /// Files have no page cache. Default: they have one.
    pub fn with_direct_io(mut self, direct_io: bool) -> Self {
        self.settings.direct_io = direct_io;
        self
    }

    /// `O_DIRECT` requests of asynchronous callers are asynchronous. Default: they are not.
    pub fn with_async_dio(mut self, async_dio: bool) -> Self {
        self.settings.async_dio = async_dio;
        self
    }

    /// An open keeps what the page cache has of the file. Default: it drops it.
    pub fn with_keep_cache(mut self, keep_cache: bool) -> Self {
        self.settings.keep_cache = keep_cache;
        self
    }

    /// A held request ends with `EINTR` when its caller is interrupted, by a signal or by a cancel, and nothing of
    /// it is done then. Default: it stays, as with servers that do not know interrupts.
    pub fn with_interrupts(mut self, interrupts: bool) -> Self {
        self.settings.interrupts = interrupts;
        self
    }

    /// A hold ends by itself after this. Default: 10 s.
    pub fn with_max_hold(mut self, max_hold: Duration) -> Self {
        self.settings.max_hold = max_hold;
        self
    }

    /// Mounts an empty tree.
    ///
    /// # Errors
    /// `PermissionDenied` without root or without [`init`](crate::init); those of mount.
    pub fn create(mut self) -> io::Result<StalledFuse> {
        outer_namespace()?;
        self.settings.tree = true;
        let work_dir = tempfile::Builder::new()
            .prefix("tidegate-rig.")
            .tempdir()
            .context("make a work directory")?;
        let dir = work_dir.path().canonicalize()?;
        check_socket_path(&socket_path(&dir))?;
        let (mount_dir, backing) = (dir.join("mnt"), backing_dir(&dir));
        for dir in [&mount_dir, &backing] {
            fs::create_dir(dir).context(format_args!("create {}", dir.display()))?;
        }
        let device = mount_fuse(&mount_dir)?;
        let control = Control::new(socket_path(&dir));
        let mut tree = StalledFuse {
            control,
            mount_dir,
            backing,
            server: None,
            _work_dir: work_dir,
        };
        tree.server = Some(ServerProcess::start(
            device,
            &dir,
            &self.settings.to_args(),
        )?);
        Ok(tree)
    }
}

/// A FUSE tree over a plain directory, whose requests can be held, delayed or failed by path.
///
/// A path prefix names files as seen in the mount, such as `/some/file`; a rule holds for everything that
/// begins with it, and the empty prefix for everything.
///
/// All calls block: use it from a thread of its own. Dropping it releases everything and unmounts.
#[derive(Debug)]
pub struct StalledFuse {
    control: Control,
    mount_dir: PathBuf,
    backing: PathBuf,
    server: Option<ServerProcess>,
    // Dropped last, when nothing is mounted in it any more.
    _work_dir: TempDir,
}

impl StalledFuse {
    /// Mounts an empty tree.
    ///
    /// # Errors
    /// As [`StalledFuseOptions::create`].
    pub fn new() -> io::Result<StalledFuse> {
        StalledFuse::options().create()
    }

    /// The same, with choices.
    pub fn options() -> StalledFuseOptions {
        StalledFuseOptions {
            settings: Settings::default(),
        }
    }

    /// The root of the tree.
    pub fn path(&self) -> &Path {
        &self.mount_dir
    }

    /// The same files without FUSE: never stalls, for preparing and checking.
    pub fn backing_path(&self) -> &Path {
        &self.backing
    }

    /// The process that serves the tree.
    pub fn server_id(&self) -> Option<u32> {
        self.server.as_ref().map(ServerProcess::id)
    }

    /// Requests of these kinds on paths that begin with `prefix` get no answer from now on, until the guard is dropped or
    /// the longest hold is over. When this returns, the hold is in force.
    ///
    /// # Errors
    /// `InvalidInput` for an empty list or a prefix that is no path in the tree; when the server is gone.
    pub fn hold(&self, requests: &[Request], prefix: &str) -> io::Result<HoldGuard> {
        self.rule(Action::Hold, requests, prefix)
    }

    /// These requests are answered that much later.
    ///
    /// # Errors
    /// As [`hold`](StalledFuse::hold).
    pub fn delay(
        &self,
        delay: Duration,
        requests: &[Request],
        prefix: &str,
    ) -> io::Result<HoldGuard> {
        self.rule(Action::Delay(delay), requests, prefix)
    }

    /// These requests fail with this error number.
    ///
    /// # Errors
    /// As [`hold`](StalledFuse::hold).
    pub fn fail(&self, errno: i32, requests: &[Request], prefix: &str) -> io::Result<HoldGuard> {
        self.rule(Action::Fail(errno), requests, prefix)
    }

    fn rule(&self, action: Action, requests: &[Request], prefix: &str) -> io::Result<HoldGuard> {
        if !prefix.is_empty() && !prefix.starts_with('/') {
            return Err(invalid(format_args!(
                "{prefix:?}: a prefix is empty or begins with / (the root of the tree)"
            )));
        }
        self.control.rule(action, requests, prefix)
    }

    /// Ends all rules and answers everything that waits.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn release(&self) -> io::Result<()> {
        self.control.release()
    }

    /// Cuts the connection, as `umount -f` does: all that waits fails, and so does all that comes.
    pub fn abort(&self) {
        // What is open keeps it mounted, which is not what was asked for.
        let _ = umount2(&self.mount_dir, MntFlags::MNT_FORCE);
    }

    /// Waits until `count` requests wait in the server.
    ///
    /// # Errors
    /// `TimedOut` when that took too long; when the server is gone.
    pub fn wait_held(&self, count: usize, timeout: Duration) -> io::Result<()> {
        self.control.wait_held(count, timeout)
    }

    /// What waits now, and counters.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn status(&self) -> io::Result<Status> {
        self.control.status()
    }
}

impl Drop for StalledFuse {
    fn drop(&mut self) {
        if self.server.is_some() {
            let _ = self.control.close();
        }
        unmount_or_detach(&self.mount_dir);
        self.server = None;
    }
}
