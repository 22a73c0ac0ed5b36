//! The mounts that were met so far, and how one gets there from a file.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Component, Path};
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock};

#[cfg(target_os = "linux")]
use super::FsKind;
use super::{Mount, Nature, UNKNOWN, table};
use crate::base::global::Global;
use crate::base::lock::{read, write};
use crate::limits;
#[cfg(target_os = "linux")]
use crate::sys::mounted::{Mounted, readahead_bytes};
use crate::sys::stat::Stat;

/// The mounts that were met so far. Ids are never used again by the kernel, so entries stay; what was said of a
/// mount holds until the table of mounts changes.
fn known() -> &'static RwLock<Vec<Arc<Mount>>> {
    static KNOWN: Global<RwLock<Vec<Arc<Mount>>>> = Global::new();
    KNOWN.get_or_make(RwLock::default)
}

/// The mount of a file with these attributes, if it was described before. Cannot sleep.
#[cfg(target_os = "linux")]
fn find(stat: &Stat) -> Option<Arc<Mount>> {
    met(&read(known()), stat).filter(|mount| mount.is_described())
}

/// The unique id says all; without one the device tells mounts apart.
fn key(stat: &Stat) -> (u64, u64) {
    match stat.mount_id {
        0 => (0, stat.dev),
        id => (id, 0),
    }
}

fn met(mounts: &[Arc<Mount>], stat: &Stat) -> Option<Arc<Mount>> {
    let key = key(stat);
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
    forget_one(&mut known);
    let mount = Arc::new(Mount::new(key(stat).0, key(stat).1));
    known.push(mount.clone());
    mount
}

/// Makes room past the limit, by the one met first that nothing uses. One in use stays: who met it again
/// would know nothing of its stalls and of what is still to be written there.
fn forget_one(known: &mut Vec<Arc<Mount>>) {
    if known.len() >= limits::MOUNTS_KNOWN_MAX {
        let unused = known.iter().position(|mount| Arc::strong_count(mount) == 1);
        unused.map(|index| known.remove(index));
    }
}

/// The mount of a file with these attributes, asking the kernel if need be. Not for a poll.
pub(crate) fn learn(stat: &Stat) -> Arc<Mount> {
    let mount = meet(stat);
    if !mount.is_described() {
        super::watch::begin();
        let (nature, place) = describe(stat);
        mount.set_nature(nature);
        let _ = place.map(|place| mount.place.set(place));
        mount.descriptions.fetch_add(1, Ordering::Relaxed);
    }
    mount
}

#[cfg(target_os = "linux")]
fn describe(stat: &Stat) -> (Nature, Option<table::Place>) {
    use super::watch;
    use crate::sys::linux::mount::{describe, magic};
    // Before anything is asked: what changes meanwhile is seen to.
    let asked_at = watch::state();
    // Before 6.8 there is no unique id, and an ordinary one may come to mean another filesystem.
    let Ok(description) = describe(stat.mount_id) else {
        let unknown = Nature {
            asked_at,
            ..UNKNOWN
        };
        return (unknown, place_without_unique_id(stat));
    };
    let nature = Nature {
        kind: match description.magic {
            magic::BTRFS => FsKind::Btrfs,
            magic::EXT4 => FsKind::Ext,
            magic::XFS => FsKind::Xfs,
            magic::TMPFS => FsKind::Memory,
            _ => FsKind::Other,
        },
        no_atime: description.no_atime,
        strict_atime: description.strict_atime,
        answers_from_memory: watch::answers_from_memory(&description.fs_type),
        readahead_bytes: readahead_bytes(description.device, &description.fs_type),
        asked_at,
    };
    // The table has the type with its subtype on every kernel. Ids are used again: an entry of another place
    // is of a mount that is gone.
    let is_this = |mount: &&Mounted| {
        mount.point == description.mount_point && mount.device == description.device
    };
    let listed = table::find(|table| {
        let mount = table.of_id(description.classic_id).filter(is_this);
        mount.map(table::place)
    });
    let told = (description.mount_point, description.fs_type);
    (nature, listed.or(Some(told)))
}

#[cfg(not(target_os = "linux"))]
fn describe(stat: &Stat) -> (Nature, Option<table::Place>) {
    (UNKNOWN, place_without_unique_id(stat))
}

/// By the id that is used again after an unmount, as long as it still has the device; else by the device.
fn place_without_unique_id(stat: &Stat) -> Option<table::Place> {
    table::find(|table| {
        let by_id = table.of_id(stat.more.reused_mount_id);
        let by_id = by_id.filter(|mount| mount.device == stat.dev || mount.fs_type == "btrfs");
        by_id
            .or_else(|| table.of_device(stat.dev))
            .map(table::place)
    })
}

/// The mount that a path leads to by its name alone, for where the kernel does not tell: symbolic links are
/// not followed, which costs a path through one its own lanes, no more. `refresh` is called where the table
/// of mounts should be read again. Cannot sleep.
pub(crate) fn of_name(path: &Path, refresh: impl FnOnce()) -> Option<Arc<Mount>> {
    let is_plain = |part| !matches!(part, Component::ParentDir);
    if !path.is_absolute() || !path.components().all(is_plain) {
        return None;
    }
    let (table, is_old) = table::read_lately();
    if is_old {
        refresh();
    }
    let table = table?;
    let mounted = table.of_path(path).filter(|mounted| mounted.device != 0)?;
    let mount = meet(&Stat {
        dev: mounted.device,
        ..Stat::default()
    });
    mount.set_nature(UNKNOWN);
    let _ = mount.place.get_or_init(|| table::place(mounted));
    Some(mount)
}

/// The attributes of an open file, and its mount if that is known. Cannot sleep on any filesystem; on others than
/// local ones the attributes may be old. Where asking might wait, they are empty but for the mount.
pub(crate) fn of_fd(fd: BorrowedFd<'_>) -> io::Result<(Stat, Option<Arc<Mount>>)> {
    of_fd_with(fd, 0)
}

/// The same with further fields of the kernel's `statx`.
#[cfg(target_os = "linux")]
pub(crate) fn of_fd_with(fd: BorrowedFd<'_>, mask: u32) -> io::Result<(Stat, Option<Arc<Mount>>)> {
    use crate::sys::linux::{nowait, statx};
    if super::watch::some_ask() {
        let only_id = Stat {
            mount_id: nowait::mount_id(fd)?,
            ..Stat::default()
        };
        let mount = find(&only_id);
        if !mount
            .as_ref()
            .is_some_and(|mount| mount.answers_from_memory())
        {
            return Ok((only_id, mount));
        }
    }
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

/// Whether reading or writing this open file may wait for something other than storage, as far as that is known.
/// Cannot sleep.
pub(crate) fn may_wait_here(fd: BorrowedFd<'_>, stat: &Stat, mount: Option<&Mount>) -> bool {
    stat.is_special()
        || stat.is_file() && mount.is_some_and(Mount::has_no_storage) && can_be_waited_for(fd)
}

/// The same, once all is asked that can be. Not for a poll.
pub(crate) fn may_wait(fd: BorrowedFd<'_>) -> bool {
    let Ok((stat, mount)) = of_fd(fd) else {
        return false;
    };
    if stat.mode == 0 {
        return crate::sys::blocking::stat_fd(fd).is_ok_and(|stat| stat.is_special());
    }
    // What is made as it is read does not know how long it is; and a server's file need not be described.
    let mount = mount.or_else(|| (stat.is_file() && stat.blocks == 0).then(|| learn(&stat)));
    may_wait_here(fd, &stat, mount.as_deref())
}

#[cfg(target_os = "linux")]
use crate::sys::linux::poll::can_be_waited_for;

/// Elsewhere there are no such filesystems.
#[cfg(not(target_os = "linux"))]
fn can_be_waited_for(_fd: BorrowedFd<'_>) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Past the limit the first one that nothing uses is forgotten; one in use never is.
    #[test]
    fn a_mount_in_use_is_not_forgotten() {
        let mut known: Vec<_> = (1..=limits::MOUNTS_KNOWN_MAX as u64)
            .map(|id| Arc::new(Mount::new(id, 0)))
            .collect();
        let used = [known[0].clone(), known[2].clone()];
        forget_one(&mut known);
        assert_eq!(known.len(), limits::MOUNTS_KNOWN_MAX - 1);
        assert!(
            used.iter()
                .all(|mount| known.iter().any(|k| Arc::ptr_eq(k, mount)))
        );
        assert!(known.iter().all(|mount| mount.key().0 != 2));
        forget_one(&mut known);
        assert_eq!(known.len(), limits::MOUNTS_KNOWN_MAX - 1);
        known.push(Arc::new(Mount::new(1000, 0)));
        let all = known.clone();
        forget_one(&mut known);
        assert_eq!(known.len(), all.len(), "all are in use");
    }

    /// By its name a path is found once the table was read; not one that may lead anywhere.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_path_is_found_by_its_name() {
        table::refresh();
        // A test at the same time may hold the table for a moment.
        let found = loop {
            if let Some(found) = of_name(Path::new("/proc/self"), || ()) {
                break found;
            }
        };
        assert_eq!(found.point().as_deref(), Some(Path::new("/proc")));
        assert_eq!(found.fs_type(), Some("proc"));
        assert!(!found.is_local());
        for path in ["relative", "/proc/../sys"] {
            assert!(of_name(Path::new(path), || ()).is_none(), "{path}");
        }
    }

    /// What a file's mount is called is found without the file's name.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_mount_is_found_by_what_a_file_tells() {
        let root = crate::sys::blocking::open_path("/".as_ref()).unwrap();
        let (stat, _) = of_fd(std::os::fd::AsFd::as_fd(&root)).unwrap();
        let (point, _) = place_without_unique_id(&stat).unwrap();
        assert!(point.is_absolute());
        if stat.mount_id != 0 {
            let mount = learn(&stat);
            assert_eq!(mount.point().as_deref(), Some("/".as_ref()));
            assert!(mount.fs_type().is_some_and(|fs_type| !fs_type.is_empty()));
        }
    }
}
