//! Whether what was said of a mount still holds: the kernel tells when the table of mounts changes, which it also
//! does when a mount gets other options.
//!
//! A thread waits for that and does nothing else, so that a poll only looks at a number. It sees a change some ten
//! microseconds after the call that made it.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use crate::base::global::Global;
use crate::base::lock::{read, write};
use crate::limits;
use crate::sys::mounted;

/// The last names of the places where something is mounted.
pub(crate) type PointNames = Arc<HashSet<Box<[u8]>>>;

/// What is seen of the table.
#[derive(Default)]
struct Watch {
    begun: AtomicBool,
    /// How often it has changed. Zero while nobody looks.
    changes: AtomicU64,
    /// Whether something is mounted that may ask a server, or wait for writes, when it is asked for what it has in
    /// memory.
    asks: AtomicBool,
    /// The last names of all mount points.
    names: RwLock<Option<PointNames>>,
}

static WATCH: Global<Watch> = Global::new();

/// The state of the table, to compare with later; `None` while nobody would see it change.
pub(super) fn state() -> Option<u64> {
    let changes = WATCH.get()?.changes.load(Ordering::Acquire);
    (changes != 0).then_some(changes)
}

/// Whether some mount's attributes must not be asked for at a poll, so that each file's mount is to be found first.
pub(super) fn some_ask() -> bool {
    WATCH
        .get()
        .is_some_and(|watch| watch.asks.load(Ordering::Relaxed))
}

/// The last names of all mount points, for paths that are not to be looked up one by one; `None` where they are not
/// known.
pub(crate) fn point_names() -> Option<PointNames> {
    state()?;
    read(&WATCH.get()?.names).clone()
}

/// Has the table watched from now on. Not for a poll.
pub(super) fn begin() {
    let watch: &'static Watch = WATCH.get_or_make(Watch::default);
    if watch.begun.swap(true, Ordering::Relaxed) {
        return;
    }
    let Ok(table) = mounted::watched() else {
        // It may be for lack of descriptors, or of /proc, which may come: whoever describes the next mount tries again.
        watch.begun.store(false, Ordering::Relaxed);
        return;
    };
    watch.note_types();
    // From here on a change is seen, so that what is described from now on is known to hold.
    watch.changes.store(1, Ordering::Release);
    let builder = std::thread::Builder::new()
        .name("tidegate-watch".into())
        .stack_size(limits::THREAD_STACK_BYTES);
    let look = move || {
        while table.wait().is_ok() {
            watch.changes.fetch_add(1, Ordering::AcqRel);
            watch.note_types();
        }
        watch.changes.store(0, Ordering::Release);
    };
    if builder.spawn(look).is_err() {
        watch.changes.store(0, Ordering::Release);
        watch.begun.store(false, Ordering::Relaxed);
    }
}

impl Watch {
    fn note_types(&self) {
        let mounts = mounted::list().ok();
        let mut types = mounts.iter().flatten().map(|mount| mount.fs_type.as_str());
        let asks = types.any(|fs_type| !answers_from_memory(fs_type));
        self.asks.store(asks, Ordering::Relaxed);
        let names = mounts.map(|mounts| {
            let points = mounts.iter().filter_map(|mount| mount.point.file_name());
            Arc::new(points.map(|name| name.as_bytes().into()).collect())
        });
        *write(&self.names) = names;
    }
}

/// Whether a filesystem of this type gives the attributes that it has in memory without asking or waiting for
/// anybody, if that is what it is asked for: by the kernel's source. CIFS waits for the file's dirty pages, 9P asks,
/// cluster filesystems take locks.
pub(super) fn answers_from_memory(fs_type: &str) -> bool {
    const TYPES: &[&str] = &[
        "afs",
        "anon_inodefs",
        "autofs",
        "bdev",
        "binfmt_misc",
        "bpf",
        "btrfs",
        "ceph",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "erofs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "fuse",
        "fuseblk",
        "fusectl",
        "hfs",
        "hfsplus",
        "hugetlbfs",
        "iso9660",
        "jfs",
        "mqueue",
        "nfs",
        "nfs4",
        "nfsd",
        "nilfs2",
        "nsfs",
        "ntfs3",
        "overlay",
        "pipefs",
        "proc",
        "pstore",
        "ramfs",
        "rootfs",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "sockfs",
        "squashfs",
        "sysfs",
        "tmpfs",
        "tracefs",
        "udf",
        "vfat",
        "virtiofs",
        "xfs",
    ];
    let plain = fs_type.split('.').next().unwrap_or(fs_type);
    TYPES.contains(&plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_with_and_without_a_subtype() {
        for fs_type in ["ext4", "fuse", "fuse.sshfs", "overlay"] {
            assert!(answers_from_memory(fs_type), "{fs_type}");
        }
        for fs_type in ["cifs", "smb3", "9p", "gfs2", "ocfs2", ""] {
            assert!(!answers_from_memory(fs_type), "{fs_type}");
        }
    }
}
