//! What is mounted where: whether the filesystem is a local one on which some calls cannot sleep, whether
//! reads update access times, whether it stalled lately, and where it is mounted.

mod answers;
mod ask;
mod known;
mod report;
mod stats;
mod table;
mod watch;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use crate::base::clock::coarse_ms;
use crate::base::global::Global;
use crate::base::lock::{lock, read, write};
use crate::limits;
use crate::sys::moving::Disks;
use crate::sys::stat::Stat;
pub use answers::{Obstacle, PollAnswer};
pub(crate) use ask::Asker;
pub(crate) use known::{learn, may_wait, may_wait_here, meet, of_fd, of_fd_with, of_name};
pub use report::{MountAnswer, MountReport, mounts};
pub use stats::{BreakerState, MountStats};
pub(crate) use table::refresh;
pub(crate) use watch::{PointNames, point_names};

/// What is known of a filesystem's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FsKind {
    /// These three answer cached metadata and resident data without sleeping.
    Btrfs,
    /// And ext2 and ext3, which are the same driver's or alike.
    Ext,
    /// tmpfs: cached metadata is answered without sleeping; its reads have no non-blocking form.
    Memory,
    /// Anything else: only lanes.
    Other,
    /// It could not be found out: only lanes.
    Unknown,
    Xfs,
}

/// Whether files of a filesystem type may be answered for at a poll.
fn is_local_type(fs_type: &str) -> bool {
    let types = ["btrfs", "devtmpfs", "ext2", "ext3", "ext4", "tmpfs", "xfs"];
    cfg!(target_os = "linux") && types.contains(&fs_type)
}

/// Whether a filesystem of this type keeps nothing anywhere: its files are made as they are read, and some wait
/// for what happens in the kernel or in other processes. tmpfs keeps its files, in memory.
fn has_no_storage(fs_type: &str) -> bool {
    const TYPES: [&str; 23] = [
        "anon_inodefs",
        "binder",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "efivarfs",
        "functionfs",
        "fusectl",
        "mqueue",
        "nfsd",
        "nsfs",
        "pidfs",
        "proc",
        "resctrl",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "sysfs",
        "tracefs",
    ];
    TYPES.contains(&fs_type)
}

/// What the kernel says of a mount.
#[derive(Clone, Copy, Debug)]
struct Nature {
    kind: FsKind,
    /// Whether reading a file never changes its access time here.
    no_atime: bool,
    /// Whether every read changes the access time.
    strict_atime: bool,
    /// Whether the attributes in memory can be had without asking anybody.
    answers_from_memory: bool,
    /// How far the kernel reads ahead of a reader, if that could be found out.
    readahead_bytes: Option<u64>,
    /// The state of the table of mounts before this was asked; options may be others since. `None` where nobody
    /// would see that.
    asked_at: Option<u64>,
}

impl Nature {
    /// Whether no mount has changed since. Where nobody looks, nothing is known to have.
    fn is_current(&self) -> bool {
        self.asked_at
            .is_none_or(|asked_at| watch::state() == Some(asked_at))
    }
}

/// Together with an id that the kernel does not give.
const PEERS_DEVICE: u64 = 1;

const UNKNOWN: Nature = Nature {
    kind: FsKind::Unknown,
    no_atime: false,
    strict_atime: false,
    answers_from_memory: false,
    readahead_bytes: None,
    asked_at: None,
};

/// One mount.
#[derive(Debug)]
pub(crate) struct Mount {
    /// The unique id, zero where the kernel does not tell.
    id: u64,
    /// The device number of its files; tells mounts apart where there is no id.
    device: u64,
    /// Filled in off the polling thread, and again when the table of mounts has changed; until then only lanes.
    nature: RwLock<Option<Nature>>,
    /// The state of the table of mounts when a regular file was opened here last; zero for never.
    opened_at: AtomicU64,
    /// When a close here was late, in coarse milliseconds; zero for never.
    late_ms: AtomicU64,
    /// Where it lies, and its type. May stay unknown.
    place: OnceLock<table::Place>,
    /// How often it was described.
    descriptions: AtomicU32,
    /// When its description was last asked for, in coarse milliseconds, and what the state of the table of mounts
    /// was; zero for never.
    asked_ms: AtomicU64,
    asked_state: AtomicU64,
    /// When it was last seen stalled, in coarse milliseconds; zero for never.
    stalled_ms: AtomicU64,
    /// The inodes of writes in flight that were accepted from files that are dropped by now, and how many
    /// there are, to be read without the lock.
    orphans: Mutex<Vec<u64>>,
    orphans_count: AtomicU64,
    /// Whether it answers, while that is being asked.
    question: ask::Question,
}

impl Mount {
    fn new(id: u64, device: u64) -> Mount {
        Mount {
            id,
            device,
            nature: RwLock::default(),
            opened_at: AtomicU64::new(0),
            late_ms: AtomicU64::new(0),
            place: OnceLock::new(),
            descriptions: AtomicU32::new(0),
            asked_ms: AtomicU64::new(0),
            asked_state: AtomicU64::new(0),
            stalled_ms: AtomicU64::new(0),
            orphans: Mutex::default(),
            orphans_count: AtomicU64::new(0),
            question: ask::Question::default(),
        }
    }

    /// The mount of everything whose mount is not known (yet).
    pub(crate) fn unknown() -> Arc<Mount> {
        static UNKNOWN: Global<Arc<Mount>> = Global::new();
        UNKNOWN.get_or_make(|| Arc::new(Mount::new(0, 0))).clone()
    }

    /// No mount: the place of pipes, sockets and terminals, where an operation waits for a peer as long as
    /// that likes, which says nothing of any storage.
    pub(crate) fn of_peers() -> Arc<Mount> {
        static PEERS: Global<Arc<Mount>> = Global::new();
        PEERS
            .get_or_make(|| Arc::new(Mount::new(u64::MAX, PEERS_DEVICE)))
            .clone()
    }

    pub(crate) fn is_of_peers(&self) -> bool {
        self.key() == (u64::MAX, PEERS_DEVICE)
    }

    /// No mount: the place of what does not touch storage.
    pub(crate) fn chores() -> Arc<Mount> {
        static CHORES: Global<Arc<Mount>> = Global::new();
        CHORES
            .get_or_make(|| Arc::new(Mount::new(u64::MAX, 0)))
            .clone()
    }

    /// No mount: the place of callers' own work that names no path. What it waits for is anybody's guess, so
    /// it holds up nothing but its like.
    pub(crate) fn apart() -> Arc<Mount> {
        static APART: Global<Arc<Mount>> = Global::new();
        APART
            .get_or_make(|| Arc::new(Mount::new(u64::MAX, 1)))
            .clone()
    }

    fn nature(&self) -> Nature {
        read(&self.nature).unwrap_or(UNKNOWN)
    }

    fn set_nature(&self, nature: Nature) {
        *write(&self.nature) = Some(nature);
    }

    fn place(&self) -> Option<&table::Place> {
        self.place.get()
    }

    /// Whether nothing is known of it yet.
    pub(crate) fn is_new(&self) -> bool {
        self.nature().asked_at.is_none()
    }

    /// Whether all is known of it that there is to know. The table of mounts may have been read just before
    /// the mount was made, so it is asked for more than once.
    fn is_described(&self) -> bool {
        let is_placed = self.place.get().is_some()
            || self.descriptions.load(Ordering::Relaxed) >= limits::MOUNT_DESCRIPTIONS_MAX;
        read(&self.nature).is_some_and(|nature| nature.is_current()) && is_placed
    }

    /// Whether what is known of its options holds at this moment.
    pub(crate) fn is_current(&self) -> bool {
        let nature = self.nature();
        nature.asked_at.is_some() && nature.is_current()
    }

    /// Where it is mounted, once that was found out.
    pub(crate) fn point(&self) -> Option<PathBuf> {
        self.place().map(|(point, _)| point.clone())
    }

    /// The disks below it; `None` where that could not be found out now. Not for a poll: it asks for the mount and
    /// reads the table of mounts.
    pub(crate) fn disks(&self) -> Option<Disks> {
        let (classic_id, device) = self.on_table()?;
        // Read anew: the table that was read last may be older than the mount.
        let source = || {
            let table = table::Table::read().ok()?;
            let mount = table.of_id(classic_id).or_else(|| table.of_device(device));
            Some(PathBuf::from(&mount?.source))
        };
        Some(Disks::of(device, source))
    }

    /// Its classic id, zero where the kernel does not tell, and the device of its filesystem.
    #[cfg(target_os = "linux")]
    fn on_table(&self) -> Option<(u64, u64)> {
        if self.id == 0 {
            return Some((0, self.device));
        }
        let described = crate::sys::linux::mount::describe(self.id).ok()?;
        Some((described.classic_id, described.device))
    }

    #[cfg(not(target_os = "linux"))]
    fn on_table(&self) -> Option<(u64, u64)> {
        Some((0, self.device))
    }

    /// The type of its filesystem, once that was found out.
    pub(crate) fn fs_type(&self) -> Option<&str> {
        self.place().map(|(_, fs_type)| fs_type.as_str())
    }

    /// Whether it shows others' files, as containers do those of their images: what it waits for is below.
    pub(crate) fn is_overlay(&self) -> bool {
        self.fs_type() == Some("overlay")
    }

    /// Whether reading or writing its files may wait for something other than a disk or a server.
    pub(crate) fn has_no_storage(&self) -> bool {
        self.fs_type().is_some_and(has_no_storage)
    }

    /// Whether somebody should have it described now; `true` once in a while until that was done.
    pub(crate) fn wants_description(&self) -> bool {
        if self.is_described() {
            return false;
        }
        let (now, asked) = (coarse_ms(), self.asked_ms.load(Ordering::Relaxed));
        let state = watch::state().unwrap_or(0);
        let changed = self.asked_state.swap(state, Ordering::Relaxed) != state;
        let due = asked == 0 || now > asked + limits::MOUNT_ASK_AGAIN.as_millis() as u64;
        let exchange = || {
            let set =
                self.asked_ms
                    .compare_exchange(asked, now, Ordering::Relaxed, Ordering::Relaxed);
            set.is_ok()
        };
        changed || due && exchange()
    }

    /// What tells this mount's lanes from others'.
    pub(crate) fn key(&self) -> (u64, u64) {
        (self.id, self.device)
    }

    /// Whether it is a local filesystem of which it was measured what can sleep.
    pub(crate) fn is_local(&self) -> bool {
        self.reads_nowait() || self.nature().kind == FsKind::Memory
    }

    /// Whether the attributes that it has in memory can be had without asking or waiting for anybody.
    pub(crate) fn answers_from_memory(&self) -> bool {
        self.nature().answers_from_memory
    }

    /// Whether opening a directory that is in memory looks at nothing else: btrfs searches its tree then, and XFS
    /// reads extents.
    pub(crate) fn opens_directories(&self) -> bool {
        matches!(self.nature().kind, FsKind::Ext | FsKind::Memory)
    }

    /// Whether opening a file that is in memory looks at nothing else. The first open after ext4 was mounted, or
    /// became writable, writes to its superblock.
    pub(crate) fn opens_files(&self) -> bool {
        self.nature().kind != FsKind::Ext
            || watch::state().is_some_and(|now| self.opened_at.load(Ordering::Relaxed) == now)
    }

    /// A regular file was opened here, on a thread that may sleep.
    pub(crate) fn note_opened(&self) {
        let now = watch::state().unwrap_or(0);
        if self.opened_at.load(Ordering::Relaxed) != now {
            self.opened_at.store(now, Ordering::Relaxed);
        }
    }

    /// What keeps polls from answering here, of what holds for all its files.
    #[cfg(target_os = "linux")]
    pub(crate) fn obstacle(&self, answer: PollAnswer) -> Option<Obstacle> {
        let nature = self.nature();
        let is_seen = watch::state().is_some();
        if !self.is_local() {
            return Some(Obstacle::Filesystem);
        }
        if !self.is_healthy() {
            return Some(Obstacle::Stalled);
        }
        match answer {
            PollAnswer::Attributes => None,
            PollAnswer::Opens => (!self.opens_files() && !is_seen).then_some(Obstacle::MountTable),
            PollAnswer::Reads if !self.reads_nowait() => Some(Obstacle::NoSuchRead),
            PollAnswer::Reads if nature.readahead_bytes.is_none() => Some(Obstacle::Readahead),
            PollAnswer::Reads if !is_seen => Some(Obstacle::MountTable),
            PollAnswer::Reads => {
                let is_strict = nature.strict_atime && !nature.no_atime;
                is_strict.then_some(Obstacle::AccessTimes)
            }
        }
    }

    /// How far the kernel reads ahead of a reader.
    pub(crate) fn readahead_bytes(&self) -> Option<u64> {
        self.nature().readahead_bytes
    }

    /// Whether closes here end soon, as far as is known.
    pub(crate) fn closes_in_time(&self) -> bool {
        let late = self.late_ms.load(Ordering::Relaxed);
        let is_over = || coarse_ms() > late + limits::MOUNT_STALLED_HOLD_OFF.as_millis() as u64;
        self.is_healthy() && (late == 0 || is_over())
    }

    /// One did not.
    pub(crate) fn note_late_close(&self) {
        self.late_ms.store(coarse_ms(), Ordering::Relaxed);
    }

    /// Whether blocks behind a file's end are to be freed when a descriptor that may write is closed.
    pub(crate) fn frees_at_close(&self) -> bool {
        self.nature().kind == FsKind::Xfs
    }

    /// Whether each operation may wait for a server as long as that likes: then none is handed to the kernel
    /// in a way in which it can hold up those behind it.
    pub(crate) fn may_wait_for_a_server(&self) -> bool {
        self.nature().kind == FsKind::Other
    }

    /// Whether resident data can be read without sleeping.
    pub(crate) fn reads_nowait(&self) -> bool {
        let kind = self.nature().kind;
        matches!(kind, FsKind::Btrfs | FsKind::Ext | FsKind::Xfs)
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

    /// Whether a read of this file, through a descriptor without O_NOATIME, changes no access time at this moment:
    /// what the kernel's `relatime_need_update` says, with a minute to spare.
    pub(crate) fn atime_is_settled(&self, stat: &Stat) -> bool {
        const DAY_S: i64 = 24 * 60 * 60;
        let nature = self.nature();
        if nature.asked_at.is_none() || !nature.is_current() {
            return false;
        }
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
