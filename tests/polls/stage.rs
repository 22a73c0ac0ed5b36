//! Storage that is held: a filesystem on a disk, one on top of it, one in memory, or a server.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;
use tidegate_rig::{FsKind, HeldDisk, HoldGuard, Request, Requirements, StalledFuse};

const DISK_BYTES: u64 = 4 << 30;
/// Pieces of free space in a part of the disk, and how many parts: more than one block of the tree has room for.
const SCATTER_PIECES: u64 = 300;
const SCATTER_ROUNDS: u64 = 4;
/// As large as a part.
const SCATTER_STEP_BYTES: u64 = 420 << 20;
/// The rig's own limit, for tests that died.
const HOLD_MAX: Duration = Duration::from_secs(30);
/// How long a closed file may keep its filesystem mounted: the kernel closes some a moment later.
const UNMOUNT_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fs {
    Btrfs,
    Ext4,
    Fuse,
    Overlay,
    Tmpfs,
    Xfs,
    /// In a subvolume of which there are snapshots, compressed.
    BtrfsSnapshots,
    /// All data goes through the journal.
    Ext4Journal,
    /// Times are written late; it can encrypt.
    Ext4Lazy,
    /// Every change is written at once, and every read changes an access time.
    Ext4Sync,
    /// Files that are in the lower layer only.
    OverlayLower,
}

impl Fs {
    pub(crate) const ALL: [Fs; 6] = [
        Fs::Ext4,
        Fs::Xfs,
        Fs::Btrfs,
        Fs::Overlay,
        Fs::Tmpfs,
        Fs::Fuse,
    ];

    /// What differs from these in how it is made or mounted.
    pub(crate) const VARIANTS: [Fs; 5] = [
        Fs::Ext4Journal,
        Fs::Ext4Lazy,
        Fs::Ext4Sync,
        Fs::BtrfsSnapshots,
        Fs::OverlayLower,
    ];

    /// What it is a variant of, or itself.
    pub(crate) fn base(self) -> Fs {
        match self {
            Fs::BtrfsSnapshots => Fs::Btrfs,
            Fs::Ext4Journal | Fs::Ext4Lazy | Fs::Ext4Sync => Fs::Ext4,
            Fs::OverlayLower => Fs::Overlay,
            base => base,
        }
    }

    fn mount_options(self) -> &'static str {
        match self {
            Fs::BtrfsSnapshots => "compress-force=zstd",
            Fs::Ext4Journal => "data=journal",
            Fs::Ext4Lazy => "lazytime",
            Fs::Ext4Sync => "sync,dirsync,strictatime",
            _ => "",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Fs::BtrfsSnapshots => "btrfs-snapshots",
            Fs::Ext4Journal => "ext4-journal",
            Fs::Ext4Lazy => "ext4-lazytime",
            Fs::Ext4Sync => "ext4-sync-strictatime",
            Fs::OverlayLower => "overlay-lower",
            Fs::Btrfs => "btrfs",
            Fs::Ext4 => "ext4",
            Fs::Fuse => "fuse",
            Fs::Overlay => "overlay",
            Fs::Tmpfs => "tmpfs",
            Fs::Xfs => "xfs",
        }
    }

    /// The filesystem of its disk.
    fn disk(self) -> Option<FsKind> {
        match self.base() {
            Fs::Btrfs => Some(FsKind::Btrfs),
            Fs::Ext4 | Fs::Overlay => Some(FsKind::Ext4),
            Fs::Xfs => Some(FsKind::Xfs),
            _ => None,
        }
    }

    pub(crate) fn has_disk(self) -> bool {
        self.disk().is_some()
    }

    /// Whether a poll is expected to answer what is in memory.
    pub(crate) fn is_local(self) -> bool {
        !matches!(self.base(), Fs::Fuse | Fs::Overlay)
    }

    /// What the machine lacks.
    pub(crate) fn missing(self) -> Vec<String> {
        let mut missing = match self.disk() {
            Some(kind) => Requirements::disk(kind).missing(),
            None => Requirements::fuse().missing(),
        };
        if self == Fs::BtrfsSnapshots && Command::new("btrfs").arg("version").output().is_err() {
            missing.push("btrfs (install btrfs-progs)".to_owned());
        }
        missing
    }
}

pub(crate) struct Stage {
    pub(crate) fs: Fs,
    disk: Option<HeldDisk>,
    tree: Option<StalledFuse>,
    work: TempDir,
    root: PathBuf,
    /// Where an overlay is mounted.
    own: PathBuf,
    binds: AtomicU32,
}

impl Stage {
    pub(crate) fn new(fs: Fs) -> io::Result<Stage> {
        let disk = fs.disk().map(|kind| {
            let options = HeldDisk::options(kind, DISK_BYTES).with_max_hold(HOLD_MAX);
            let features = if fs == Fs::Ext4Lazy { "encrypt" } else { "" };
            let options = options.with_features(features);
            options.with_mount_options(fs.mount_options()).create()
        });
        let tree = (fs == Fs::Fuse).then(|| {
            let options = StalledFuse::options().with_max_hold(HOLD_MAX);
            options.with_entry_timeout(HOLD_MAX).create()
        });
        let (disk, tree) = (disk.transpose()?, tree.transpose()?);
        let work = tempfile::tempdir()?;
        let own = work.path().join("root");
        std::fs::create_dir(&own)?;
        let root = match (&disk, &tree) {
            (Some(disk), _) if fs == Fs::OverlayLower => disk.path().join("lower"),
            (Some(disk), _) if fs == Fs::BtrfsSnapshots => disk.path().join("volume"),
            (Some(disk), _) if fs != Fs::Overlay => disk.path().to_owned(),
            (_, Some(tree)) => tree.path().to_owned(),
            _ => own.clone(),
        };
        let stage = Stage {
            fs,
            disk,
            tree,
            work,
            root,
            own,
            binds: AtomicU32::new(0),
        };
        if fs == Fs::BtrfsSnapshots {
            btrfs(&["subvolume", "create"], &[&stage.root])?;
        }
        if fs == Fs::Btrfs {
            scatter(&stage.root)?;
        }
        if fs == Fs::Tmpfs {
            let none = None::<&str>;
            mount(
                Some("tmpfs"),
                &stage.root,
                Some("tmpfs"),
                MsFlags::empty(),
                none,
            )?;
        }
        if let (Fs::Overlay, Some(disk)) = (fs.base(), &stage.disk) {
            for dir in ["lower", "upper", "work"] {
                std::fs::create_dir(disk.path().join(dir))?;
            }
            stage.mount_overlay()?;
        }
        Ok(stage)
    }

    /// The root of the storage, for what prepares.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The disk's device, if it has a disk.
    pub(crate) fn device(&self) -> Option<&Path> {
        self.disk.as_ref().map(HeldDisk::device)
    }

    fn mount_overlay(&self) -> io::Result<()> {
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        let at = |dir: &str| disk.path().join(dir).display().to_string();
        let (lower, upper, work) = (at("lower"), at("upper"), at("work"));
        let data = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        let (kind, flags) = (Some("overlay"), MsFlags::empty());
        mount(kind, &self.own, kind, flags, Some(data.as_str()))?;
        Ok(())
    }

    /// Writes everything back and drops it from memory, as far as it has a disk.
    pub(crate) fn chill(&self) -> io::Result<()> {
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        if self.fs.base() == Fs::Overlay {
            unmount(&self.own)?;
        }
        if self.fs == Fs::BtrfsSnapshots {
            let number = self.binds.fetch_add(1, Ordering::Relaxed);
            let to = disk.path().join(format!("snapshot-{number}"));
            btrfs(&["subvolume", "snapshot", "-r"], &[&self.root, &to])?;
        }
        let end = Instant::now() + UNMOUNT_MAX;
        loop {
            match disk.remount() {
                Err(error)
                    if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < end => {}
                result => break result?,
            }
        }
        if self.fs.base() == Fs::Overlay {
            self.mount_overlay()?;
        }
        Ok(())
    }

    /// Writes the disk's own blocks back and drops them from memory, but no inode and no content.
    pub(crate) fn evict(&self) -> io::Result<()> {
        let Some(device) = self.device() else {
            return Ok(());
        };
        let done = Command::new("blockdev")
            .arg("--flushbufs")
            .arg(device)
            .status()?;
        if done.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("blockdev: {done}")))
        }
    }

    /// From now on nothing answers, until the guard is dropped.
    pub(crate) fn hold(&self) -> io::Result<Option<HoldGuard>> {
        let requests = [Request::Read, Request::Write, Request::Fsync];
        match (&self.disk, &self.tree) {
            (Some(disk), _) => disk.hold(&requests).map(Some),
            (_, Some(tree)) => tree.hold(&Request::ALL, "").map(Some),
            _ => Ok(None),
        }
    }

    /// Whether a hold holds anything: memory always answers.
    pub(crate) fn hold_is_real(&self) -> bool {
        self.disk.is_some() || self.tree.is_some()
    }

    /// Waits until the disk has been asked for something that it does not answer.
    pub(crate) fn wait_held(&self) -> io::Result<()> {
        let bound = Duration::from_secs(3);
        self.disk
            .as_ref()
            .map_or(Ok(()), |disk| disk.wait_held(1, bound))
    }

    /// One more mount of the storage, which nobody has seen before.
    pub(crate) fn bind(&self, what: &Path, flags: MsFlags) -> io::Result<Bind> {
        let number = self.binds.fetch_add(1, Ordering::Relaxed);
        let at = self.work.path().join(number.to_string());
        std::fs::create_dir(&at)?;
        let none = None::<&str>;
        // Files of a lower layer are seen through the overlay.
        let below = what.strip_prefix(&self.root).ok();
        let seen = below.filter(|_| self.fs == Fs::OverlayLower);
        let seen = seen.map(|below| self.own.join(below));
        let what = seen.as_deref().unwrap_or(what);
        mount(Some(what), &at, none, MsFlags::MS_BIND, none)?;
        let bind = Bind { at };
        if !flags.is_empty() {
            bind.change(flags)?;
        }
        Ok(bind)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if matches!(self.fs.base(), Fs::Overlay | Fs::Tmpfs) && unmount(&self.own).is_err() {
            let _ = umount2(&self.own, MntFlags::MNT_DETACH);
        }
    }
}

/// Leaves the free space of a btrfs in so many pieces, far apart, that its tree has leaves of its own, which are cold
/// on a new mount. A new filesystem has one block of it, which each mount reads.
fn scatter(root: &Path) -> io::Result<()> {
    use nix::fcntl::{FallocateFlags, fallocate};
    use std::os::unix::fs::{FileExt, OpenOptionsExt};

    let open = |name: &str| {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        options.custom_flags(libc::O_DIRECT).open(root.join(name))
    };
    let (stays, goes, fills) = (open("stays")?, open("goes")?, open("fills")?);
    let memory = vec![7_u8; 8192];
    let skip = memory.as_ptr().align_offset(4096);
    for round in 0..SCATTER_ROUNDS {
        for piece in 0..SCATTER_PIECES {
            let offset = (round * SCATTER_PIECES + piece) * 4096;
            stays.write_all_at(&memory[skip..skip + 4096], offset)?;
            goes.write_all_at(&memory[skip..skip + 4096], offset)?;
        }
        let (offset, none) = (round * SCATTER_STEP_BYTES, FallocateFlags::empty());
        fallocate(&fills, none, offset as i64, SCATTER_STEP_BYTES as i64)?;
    }
    std::fs::remove_file(root.join("goes"))
}

fn btrfs(what: &[&str], paths: &[&Path]) -> io::Result<()> {
    let output = Command::new("btrfs").args(what).args(paths).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("btrfs {what:?}: {text}")))
}

/// A further mount of what is mounted already.
pub(crate) struct Bind {
    at: PathBuf,
}

impl Bind {
    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    /// Changes its options.
    pub(crate) fn change(&self, flags: MsFlags) -> io::Result<()> {
        let none = None::<&str>;
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags;
        mount(none, &self.at, none, flags, none)?;
        Ok(())
    }

    /// Unmounts it, which needs every file on it closed.
    pub(crate) fn end(self) -> io::Result<()> {
        unmount(&self.at)
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}

fn unmount(at: &Path) -> io::Result<()> {
    let end = Instant::now() + UNMOUNT_MAX;
    loop {
        match umount2(at, MntFlags::empty()) {
            Err(Errno::EBUSY) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(2));
            }
            result => return Ok(result?),
        }
    }
}
