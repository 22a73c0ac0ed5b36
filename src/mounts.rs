//! What is mounted where, as far as a poll needs to know it: whether the filesystem is a local one on
//! which some calls cannot sleep, whether reads update access times, and whether it stalled lately.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};

use crate::limits;
use crate::sys::clock::coarse_ms;
use crate::sys::lock::{read, write};
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

/// One mount.
#[derive(Debug)]
pub(crate) struct Mount {
    /// The unique id, zero where the kernel does not tell.
    id: u64,
    /// The device number of its files; tells mounts apart where there is no id.
    device: u64,
    kind: FsKind,
    /// Whether reading a file never changes its access time here.
    no_atime: bool,
    /// Whether every read changes the access time.
    strict_atime: bool,
    /// When it was last seen stalled, in coarse milliseconds; zero for never.
    stalled_ms: AtomicU64,
}

impl Mount {
    fn new(id: u64, device: u64) -> Mount {
        Mount {
            id,
            device,
            kind: FsKind::Other,
            no_atime: false,
            strict_atime: false,
            stalled_ms: AtomicU64::new(0),
        }
    }

    /// The mount of everything whose mount is not known (yet).
    pub(crate) fn unknown() -> Arc<Mount> {
        static UNKNOWN: OnceLock<Arc<Mount>> = OnceLock::new();
        UNKNOWN.get_or_init(|| Arc::new(Mount::new(0, 0))).clone()
    }

    /// What tells this mount's lanes from others'.
    pub(crate) fn key(&self) -> (u64, u64) {
        (self.id, self.device)
    }

    /// Whether it is a local filesystem of which it was measured what can sleep.
    pub(crate) fn is_local(&self) -> bool {
        self.kind != FsKind::Other
    }

    /// Whether resident data can be read without sleeping.
    pub(crate) fn reads_nowait(&self) -> bool {
        self.kind == FsKind::Disk
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

    /// Notes that something on this mount takes too long. Returns whether that is news.
    pub(crate) fn mark_stalled(&self) -> bool {
        self.stalled_ms.swap(coarse_ms(), Ordering::Relaxed) == 0
    }

    /// Whether a read of this file, through a descriptor without O_NOATIME, changes no access time:
    /// what the kernel's `relatime_need_update` says, with a minute to spare.
    pub(crate) fn atime_is_settled(&self, stat: &Stat) -> bool {
        const DAY_S: i64 = 24 * 60 * 60;
        if self.no_atime {
            return true;
        }
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_secs() as i64);
        !self.strict_atime
            && stat.accessed > stat.modified
            && stat.accessed > stat.changed
            && now - stat.accessed.seconds < DAY_S - 60
    }
}

/// The mounts that were described so far. Ids are never used again by the kernel, so entries stay
/// true; only remounting with other options can change one, and the flags only lean to caution.
fn known() -> &'static RwLock<Vec<Arc<Mount>>> {
    static KNOWN: OnceLock<RwLock<Vec<Arc<Mount>>>> = OnceLock::new();
    KNOWN.get_or_init(RwLock::default)
}

/// The mount of a file with these attributes, if it was described before. Cannot sleep.
pub(crate) fn find(stat: &Stat) -> Option<Arc<Mount>> {
    read(known())
        .iter()
        .find(|mount| mount.key() == (stat.mount_id, stat.dev))
        .cloned()
}

/// The mount of a file with these attributes, asking the kernel if need be. Not for a poll.
pub(crate) fn learn(stat: &Stat) -> Arc<Mount> {
    if let Some(mount) = find(stat) {
        return mount;
    }
    let mount = Arc::new(describe(stat));
    let mut known = write(known());
    if let Some(other) = known.iter().find(|other| other.key() == mount.key()) {
        return other.clone();
    }
    if known.len() >= limits::MOUNTS_KNOWN_MAX {
        known.remove(0);
    }
    known.push(mount.clone());
    mount
}

#[cfg(target_os = "linux")]
fn describe(stat: &Stat) -> Mount {
    use crate::sys::linux::mount::{describe, magic};
    let mut mount = Mount::new(stat.mount_id, stat.dev);
    // Before 6.8 there is no unique id, and an ordinary one may come to mean another filesystem.
    let Ok(description) = describe(stat.mount_id) else {
        return mount;
    };
    mount.kind = match description.magic {
        magic::BTRFS | magic::EXT4 | magic::XFS => FsKind::Disk,
        magic::TMPFS => FsKind::Memory,
        _ => FsKind::Other,
    };
    mount.no_atime = description.no_atime;
    mount.strict_atime = description.strict_atime;
    mount
}

#[cfg(not(target_os = "linux"))]
fn describe(stat: &Stat) -> Mount {
    Mount::new(0, stat.dev)
}

/// The attributes of an open file, and its mount if that is known. Cannot sleep on any filesystem; on
/// others than local ones the attributes may be old.
#[cfg(target_os = "linux")]
pub(crate) fn of_fd(fd: BorrowedFd<'_>) -> io::Result<(Stat, Option<Arc<Mount>>)> {
    let stat = crate::sys::linux::statx::of_fd_in_memory(fd)?;
    let mount = find(&stat);
    Ok((stat, mount))
}

/// Without the calls that cannot sleep, nothing is known of an open file at a poll.
#[cfg(not(target_os = "linux"))]
pub(crate) fn of_fd(_fd: BorrowedFd<'_>) -> io::Result<(Stat, Option<Arc<Mount>>)> {
    Ok((Stat::default(), None))
}
