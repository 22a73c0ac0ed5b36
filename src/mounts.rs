//! What is mounted where, as far as a poll needs to know it: whether the filesystem is a local one on
//! which some calls cannot sleep, whether reads update access times, and whether it stalled lately.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use crate::limits;
use crate::sys::clock::coarse_ms;
use crate::sys::lock::{lock, read, write};
use crate::sys::stat::Stat;

/// What is known of a filesystem's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FsKind {
    /// ext4, XFS or btrfs: cached metadata and resident data are answered without sleeping.
    Disk,
    /// tmpfs: cached metadata is answered without sleeping; its reads have no non-blocking form.
    Memory,
    /// Anything else, and what could not be found out: only lanes.
    Other,
}

/// What the kernel says of a mount.
#[derive(Clone, Copy, Debug)]
struct Nature {
    kind: FsKind,
    /// Whether reading a file never changes its access time here.
    no_atime: bool,
    /// Whether every read changes the access time.
    strict_atime: bool,
}

/// Together with an id that the kernel does not give.
const PEERS_DEVICE: u64 = 1;

const UNKNOWN: Nature = Nature {
    kind: FsKind::Other,
    no_atime: false,
    strict_atime: false,
};

/// One mount.
#[derive(Debug)]
pub(crate) struct Mount {
    /// The unique id, zero where the kernel does not tell.
    id: u64,
    /// The device number of its files; tells mounts apart where there is no id.
    device: u64,
    /// Filled in off the polling thread; until then only lanes.
    nature: OnceLock<Nature>,
    /// When its description was last asked for, in coarse milliseconds; zero for never.
    asked_ms: AtomicU64,
    /// When it was last seen stalled, in coarse milliseconds; zero for never.
    stalled_ms: AtomicU64,
    /// The inodes of writes in flight that were accepted from files that are dropped by now, and how many
    /// there are, to be read without the lock.
    orphans: Mutex<Vec<u64>>,
    orphans_count: AtomicU64,
}

impl Mount {
    fn new(id: u64, device: u64) -> Mount {
        Mount {
            id,
            device,
            nature: OnceLock::new(),
            asked_ms: AtomicU64::new(0),
            stalled_ms: AtomicU64::new(0),
            orphans: Mutex::default(),
            orphans_count: AtomicU64::new(0),
        }
    }

    /// The mount of everything whose mount is not known (yet).
    pub(crate) fn unknown() -> Arc<Mount> {
        static UNKNOWN: OnceLock<Arc<Mount>> = OnceLock::new();
        UNKNOWN.get_or_init(|| Arc::new(Mount::new(0, 0))).clone()
    }

    /// No mount: the place of pipes, sockets and terminals, where an operation waits for a peer as long as
    /// that likes, which says nothing of any storage.
    pub(crate) fn of_peers() -> Arc<Mount> {
        static PEERS: OnceLock<Arc<Mount>> = OnceLock::new();
        PEERS
            .get_or_init(|| Arc::new(Mount::new(u64::MAX, PEERS_DEVICE)))
            .clone()
    }

    pub(crate) fn is_of_peers(&self) -> bool {
        self.key() == (u64::MAX, PEERS_DEVICE)
    }

    /// No mount: the place of what does not touch storage.
    pub(crate) fn chores() -> Arc<Mount> {
        static CHORES: OnceLock<Arc<Mount>> = OnceLock::new();
        CHORES
            .get_or_init(|| Arc::new(Mount::new(u64::MAX, 0)))
            .clone()
    }

    fn nature(&self) -> Nature {
        self.nature.get().copied().unwrap_or(UNKNOWN)
    }

    /// Whether somebody should have it described now; `true` once in a while until that was done.
    pub(crate) fn wants_description(&self) -> bool {
        let (now, asked) = (coarse_ms(), self.asked_ms.load(Ordering::Relaxed));
        let due = asked == 0 || now > asked + limits::MOUNT_ASK_AGAIN.as_millis() as u64;
        self.nature.get().is_none()
            && due
            && self
                .asked_ms
                .compare_exchange(asked, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// What tells this mount's lanes from others'.
    pub(crate) fn key(&self) -> (u64, u64) {
        (self.id, self.device)
    }

    /// Whether it is a local filesystem of which it was measured what can sleep.
    pub(crate) fn is_local(&self) -> bool {
        self.nature().kind != FsKind::Other
    }

    /// Whether resident data can be read without sleeping.
    pub(crate) fn reads_nowait(&self) -> bool {
        self.nature().kind == FsKind::Disk
    }

    /// Whether a poll may try at all: local, and not seen stalled lately.
    pub(crate) fn is_healthy(&self) -> bool {
        match self.stalled_ms.load(Ordering::Relaxed) {
            0 => true,
            since if coarse_ms() > since + limits::MOUNT_STALLED_HOLD_OFF.as_millis() as u64 => {
                let _ = self.stalled_ms.compare_exchange(
                    since,
                    0,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                true
            }
            _ => false,
        }
    }

    /// Whether what a dropped file had accepted is still to be written to this inode. No attribute or
    /// content of it is told at the poll meanwhile, which would be faster than the write and not see it.
    pub(crate) fn has_orphan_write(&self, inode: u64) -> bool {
        self.orphans_count.load(Ordering::SeqCst) > 0 && lock(&self.orphans).contains(&inode)
    }

    pub(crate) fn orphan_write_begins(&self, inode: u64) {
        let mut orphans = lock(&self.orphans);
        orphans.push(inode);
        self.orphans_count
            .store(orphans.len() as u64, Ordering::SeqCst);
    }

    pub(crate) fn orphan_write_ends(&self, inode: u64) {
        let mut orphans = lock(&self.orphans);
        if let Some(index) = orphans.iter().position(|&orphan| orphan == inode) {
            orphans.swap_remove(index);
        }
        self.orphans_count
            .store(orphans.len() as u64, Ordering::SeqCst);
    }

    /// Notes that something on this mount takes too long. Returns whether that is news.
    pub(crate) fn mark_stalled(&self) -> bool {
        self.stalled_ms.swap(coarse_ms(), Ordering::Relaxed) == 0
    }

    /// Whether a read of this file, through a descriptor without O_NOATIME, changes no access time:
    /// what the kernel's `relatime_need_update` says, with a minute to spare.
    pub(crate) fn atime_is_settled(&self, stat: &Stat) -> bool {
        const DAY_S: i64 = 24 * 60 * 60;
        let nature = self.nature();
        if nature.no_atime {
            return true;
        }
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_secs() as i64);
        !nature.strict_atime
            && stat.accessed > stat.modified
            && stat.accessed > stat.changed
            && now - stat.accessed.seconds < DAY_S - 60
    }
}

/// The mounts that were met so far. Ids are never used again by the kernel, so entries stay true; only
/// remounting with other options can change one, and the flags only lean to caution.
fn known() -> &'static RwLock<Vec<Arc<Mount>>> {
    static KNOWN: OnceLock<RwLock<Vec<Arc<Mount>>>> = OnceLock::new();
    KNOWN.get_or_init(RwLock::default)
}

/// The mount of a file with these attributes, if it was described before. Cannot sleep.
#[cfg(target_os = "linux")]
fn find(stat: &Stat) -> Option<Arc<Mount>> {
    met(&read(known()), stat).filter(|mount| mount.nature.get().is_some())
}

fn met(mounts: &[Arc<Mount>], stat: &Stat) -> Option<Arc<Mount>> {
    let key = (stat.mount_id, stat.dev);
    mounts.iter().find(|mount| mount.key() == key).cloned()
}

/// The mount of a file with these attributes, described or not, so that it has lanes of its own from its
/// first operation on. Cannot sleep.
pub(crate) fn meet(stat: &Stat) -> Arc<Mount> {
    if let Some(mount) = met(&read(known()), stat) {
        return mount;
    }
    let mut known = write(known());
    if let Some(mount) = met(&known, stat) {
        return mount;
    }
    if known.len() >= limits::MOUNTS_KNOWN_MAX {
        known.remove(0);
    }
    let mount = Arc::new(Mount::new(stat.mount_id, stat.dev));
    known.push(mount.clone());
    mount
}

/// The mount of a file with these attributes, asking the kernel if need be. Not for a poll.
pub(crate) fn learn(stat: &Stat) -> Arc<Mount> {
    let mount = meet(stat);
    let _ = mount.nature.get_or_init(|| describe(stat));
    mount
}

#[cfg(target_os = "linux")]
fn describe(stat: &Stat) -> Nature {
    use crate::sys::linux::mount::{describe, magic};
    // Before 6.8 there is no unique id, and an ordinary one may come to mean another filesystem.
    let Ok(description) = describe(stat.mount_id) else {
        return UNKNOWN;
    };
    Nature {
        kind: match description.magic {
            magic::BTRFS | magic::EXT4 | magic::XFS => FsKind::Disk,
            magic::TMPFS => FsKind::Memory,
            _ => FsKind::Other,
        },
        no_atime: description.no_atime,
        strict_atime: description.strict_atime,
    }
}

#[cfg(not(target_os = "linux"))]
fn describe(_stat: &Stat) -> Nature {
    UNKNOWN
}

/// The attributes of an open file, and its mount if that is known. Cannot sleep on any filesystem; on
/// others than local ones the attributes may be old.
pub(crate) fn of_fd(fd: BorrowedFd<'_>) -> io::Result<(Stat, Option<Arc<Mount>>)> {
    of_fd_with(fd, 0)
}

/// The same with further fields of the kernel's `statx`.
#[cfg(target_os = "linux")]
pub(crate) fn of_fd_with(fd: BorrowedFd<'_>, mask: u32) -> io::Result<(Stat, Option<Arc<Mount>>)> {
    use crate::sys::linux::statx;
    let stat = statx::of_fd_in_memory(fd, statx::MASK | mask)?;
    let mount = find(&stat);
    Ok((stat, mount))
}

/// Without the calls that cannot sleep, nothing is known of an open file at a poll.
#[cfg(not(target_os = "linux"))]
pub(crate) fn of_fd_with(
    _fd: BorrowedFd<'_>,
    _mask: u32,
) -> io::Result<(Stat, Option<Arc<Mount>>)> {
    Ok((Stat::default(), None))
}
