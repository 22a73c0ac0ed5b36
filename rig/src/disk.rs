//! A real filesystem on a disk that can be made dead.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::control::{Control, HoldGuard, Status, check_socket_path};
use crate::disk_fs::DISK_NAME;
use crate::error::{Context, invalid};
use crate::freeze::FreezeGuard;
use crate::gate::{Action, Request};
use crate::loop_device::LoopDevice;
use crate::mounts::{mount_fuse, run, unmount, unmount_or_detach};
use crate::process::{ServerProcess, outer_namespace};
use crate::requirements::find_program;
use crate::server::{Settings, backing_dir, socket_path};
use crate::story::{self, Story};

/// The filesystem on a [`HeldDisk`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FsKind {
    /// btrfs; needs a disk of 256 MiB.
    Btrfs,
    /// ext4; needs a disk of 64 MiB.
    Ext4,
    /// XFS; needs a disk of 512 MiB.
    Xfs,
}

impl FsKind {
    /// Every filesystem that a disk can have.
    pub const ALL: [FsKind; 3] = [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs];

    /// Its name, as `mount` has it.
    pub fn name(self) -> &'static str {
        match self {
            FsKind::Btrfs => "btrfs",
            FsKind::Ext4 => "ext4",
            FsKind::Xfs => "xfs",
        }
    }

    /// The smallest disk it can live on, in bytes. The disk's file is sparse, so a larger one costs nothing.
    pub fn size_bytes_min(self) -> u64 {
        match self {
            FsKind::Btrfs => 256 << 20,
            FsKind::Ext4 => 64 << 20,
            FsKind::Xfs => 512 << 20,
        }
    }

    pub(crate) fn mkfs_program(self) -> String {
        format!("mkfs.{}", self.name())
    }

    /// The Debian package that has its mkfs.
    pub(crate) fn package(self) -> &'static str {
        match self {
            FsKind::Btrfs => "btrfs-progs",
            FsKind::Ext4 => "e2fsprogs",
            FsKind::Xfs => "xfsprogs",
        }
    }

    fn make(self, file: &Path, features: &str) -> io::Result<()> {
        let program = find_program(&self.mkfs_program());
        let mut mkfs = Command::new(program.unwrap_or_else(|| self.mkfs_program().into()));
        match self {
            // All of it now: what the kernel would fill in later are writes that no test asked for.
            FsKind::Ext4 => mkfs.args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
            FsKind::Btrfs | FsKind::Xfs => mkfs.args(["-q", "-f"]),
        };
        if !features.is_empty() {
            mkfs.args(["-O", features]);
        }
        run(mkfs.arg(file))
    }
}

/// How a [`HeldDisk`] is made; see [`HeldDisk::options`].
#[derive(Clone, Debug)]
pub struct HeldDiskOptions {
    kind: FsKind,
    size_bytes: u64,
    features: String,
    mount_options: String,
    settings: Settings,
}

impl HeldDiskOptions {
    /// Makes the filesystem with these features, comma-separated as `mkfs -O` takes them (ext4, btrfs). Default: none.
    pub fn with_features(mut self, features: &str) -> Self {
        features.clone_into(&mut self.features);
        self
    }

    /// Mounts with these options, comma-separated as `mount -o` takes them. Default: none.
    pub fn with_mount_options(mut self, options: &str) -> Self {
        options.clone_into(&mut self.mount_options);
        self
    }

    /// Writes down what reaches the disk, for [`HeldDisk::into_story`]. Default: it does not.
    pub fn with_story(mut self) -> Self {
        self.settings.records = true;
        self
    }

    /// A hold ends by itself after this. Default: 10 s.
    pub fn with_max_hold(mut self, max_hold: Duration) -> Self {
        self.settings.max_hold = max_hold;
        self
    }

    /// Makes the filesystem and mounts it.
    ///
    /// # Errors
    /// `InvalidInput` for a size below [`FsKind::size_bytes_min`]; `PermissionDenied` without root or without
    /// [`init`](crate::init); those of mkfs, loop device and mount.
    pub fn create(self) -> io::Result<HeldDisk> {
        if self.size_bytes < self.kind.size_bytes_min() {
            let (name, min) = (self.kind.name(), self.kind.size_bytes_min());
            return Err(invalid(format_args!(
                "{name} needs a disk of {min} bytes at least"
            )));
        }
        // Checked first: without a namespace of its own, a mount would be everybody's.
        outer_namespace()?;
        let work_dir = tempfile::Builder::new()
            .prefix("tidegate-rig.")
            .tempdir()
            .context("make a work directory")?;
        let dir = work_dir.path().canonicalize()?;
        check_socket_path(&socket_path(&dir))?;
        let (fuse_dir, mount_dir, backing) = (dir.join("fuse"), dir.join("mnt"), backing_dir(&dir));
        for dir in [&fuse_dir, &mount_dir, &backing] {
            fs::create_dir(dir).context(format_args!("create {}", dir.display()))?;
        }
        let image = backing.join(DISK_NAME);
        File::create(&image)
            .and_then(|file| file.set_len(self.size_bytes))
            .context("create the disk's file")?;
        self.kind.make(&image, &self.features)?;
        if self.settings.records {
            story::copy(&image, &backing.join(story::BASE_NAME))?;
        }
        let device = mount_fuse(&fuse_dir)?;
        let mut disk = HeldDisk {
            control: Control::new(socket_path(&dir)),
            options: self,
            mount_dir,
            fuse_dir,
            loop_device: None,
            server: None,
            work_dir,
        };
        disk.server = Some(ServerProcess::start(
            device,
            &dir,
            &disk.options.settings.to_args(),
        )?);
        disk.mount(&disk.fuse_dir.join(DISK_NAME), "loop")?;
        disk.loop_device = Some(LoopDevice::mounted_at(&disk.mount_dir)?);
        Ok(disk)
    }
}

/// A real filesystem on a loop device whose disk can be made dead.
///
/// The loop device hands its requests on one by one, so a held disk usually has one request waiting in the server and
/// the others in its queue of 128: `wait_held(1, ..)` is the event to wait for. Since what comes next waits behind it,
/// holding reads also stops the writes that come after a read.
///
/// All calls block: use it from a thread of its own, and never touch [`path`](HeldDisk::path) by accident while it is
/// held. Dropping it releases everything and unmounts.
#[derive(Debug)]
pub struct HeldDisk {
    control: Control,
    options: HeldDiskOptions,
    mount_dir: PathBuf,
    fuse_dir: PathBuf,
    loop_device: Option<LoopDevice>,
    server: Option<ServerProcess>,
    // Dropped last, when nothing is mounted in it any more.
    work_dir: TempDir,
}

impl HeldDisk {
    /// Makes a filesystem on a new disk of `size_bytes`, and mounts it.
    ///
    /// # Errors
    /// As [`HeldDiskOptions::create`].
    pub fn new(kind: FsKind, size_bytes: u64) -> io::Result<HeldDisk> {
        HeldDisk::options(kind, size_bytes).create()
    }

    /// The same, with choices.
    pub fn options(kind: FsKind, size_bytes: u64) -> HeldDiskOptions {
        HeldDiskOptions {
            kind,
            size_bytes,
            features: String::new(),
            mount_options: String::new(),
            settings: Settings::default(),
        }
    }

    /// Mounts it again with these options, comma-separated as `mount -o` takes them.
    ///
    /// # Errors
    /// As [`remount`](HeldDisk::remount).
    pub fn with_mount_options(mut self, options: &str) -> io::Result<HeldDisk> {
        options.clone_into(&mut self.options.mount_options);
        self.remount()?;
        Ok(self)
    }

    /// How much had reached the disk by now: what is promised now has to be true of it from here on. With a story only.
    ///
    /// # Errors
    /// When there is none.
    pub fn moment(&self) -> io::Result<u64> {
        let log = backing_dir(self.work_dir.path()).join(story::LOG_NAME);
        Ok(fs::metadata(log).context("look at the disk's log")?.len())
    }

    /// What has reached the disk until now. What the unmount writes is no part of it.
    ///
    /// # Errors
    /// When there is no story; those of making a copy of the disk.
    pub fn into_story(self) -> io::Result<Story> {
        let backing = backing_dir(self.work_dir.path());
        Story::take(&backing, self.kind(), &self.options.mount_options)
    }

    /// The root of the mounted filesystem.
    pub fn path(&self) -> &Path {
        &self.mount_dir
    }

    /// The loop device, such as `/dev/loop0`.
    pub fn device(&self) -> &Path {
        self.loop_device
            .as_ref()
            .map_or(Path::new(""), LoopDevice::path)
    }

    /// The filesystem it has.
    pub fn kind(&self) -> FsKind {
        self.options.kind
    }

    /// The process that answers for the disk.
    pub fn server_id(&self) -> Option<u32> {
        self.server.as_ref().map(ServerProcess::id)
    }

    /// Requests of these kinds get no answer from now on, until the guard is dropped or the longest hold is over.
    /// The disk knows `Read`, `Write` and `Fsync`. When this returns, the hold is in force.
    ///
    /// # Errors
    /// `InvalidInput` for an empty list; when the server is gone.
    pub fn hold(&self, requests: &[Request]) -> io::Result<HoldGuard> {
        self.control.rule(Action::Hold, requests, "")
    }

    /// Requests of these kinds are answered that much later.
    ///
    /// # Errors
    /// As [`hold`](HeldDisk::hold).
    pub fn delay(&self, delay: Duration, requests: &[Request]) -> io::Result<HoldGuard> {
        self.control.rule(Action::Delay(delay), requests, "")
    }

    /// Requests of these kinds fail with this error number; to the filesystem that is an I/O error of its disk.
    ///
    /// # Errors
    /// As [`hold`](HeldDisk::hold).
    pub fn fail(&self, errno: i32, requests: &[Request]) -> io::Result<HoldGuard> {
        self.control.rule(Action::Fail(errno), requests, "")
    }

    /// Takes no writes from now on, as for a snapshot, until the guard is dropped or the longest hold is over. Needs the
    /// program `fsfreeze`.
    ///
    /// # Errors
    /// Those of `fsfreeze`.
    pub fn freeze(&self) -> io::Result<FreezeGuard> {
        FreezeGuard::freeze(&self.mount_dir, self.options.settings.max_hold)
    }

    /// Ends all rules and answers everything that waits.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn release(&self) -> io::Result<()> {
        self.control.release()
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

    /// Unmounts, drops what is cached of the device, and mounts again: data and metadata are cold, those of this disk only.
    ///
    /// # Errors
    /// `ResourceBusy` while a file on it is open; those of mount. Do not call it while the disk is held.
    pub fn remount(&self) -> io::Result<()> {
        unmount(&self.mount_dir)?;
        let Some(device) = &self.loop_device else {
            return Ok(());
        };
        device.drop_cache()?;
        self.mount(device.path(), "")
    }

    fn mount(&self, source: &Path, option: &str) -> io::Result<()> {
        let program = find_program("mount").unwrap_or_else(|| "mount".into());
        let mut mount = Command::new(program);
        mount.args(["-t", self.options.kind.name()]);
        let options = [option, &self.options.mount_options];
        for option in options.into_iter().filter(|option| !option.is_empty()) {
            mount.args(["-o", option]);
        }
        run(mount.arg(source).arg(&self.mount_dir))
    }
}

impl Drop for HeldDisk {
    fn drop(&mut self) {
        if self.server.is_some() {
            let _ = self.control.close();
            unmount_or_detach(&self.mount_dir);
        }
        // The device frees itself here, and with it the file on FUSE.
        self.loop_device = None;
        unmount_or_detach(&self.fuse_dir);
        self.server = None;
    }
}
