//! The table of what is mounted: read when something is not found in it, and kept.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::base::clock::coarse_ms;
use crate::base::global::Global;
use crate::base::lock::lock;
use crate::events;
use crate::limits;
use crate::sys::mounted::{self, Mounted};

/// The mounts at one moment.
#[derive(Debug, Default)]
pub(crate) struct Table {
    mounts: Vec<Mounted>,
    /// For each, whether its point leads to it.
    reachable: Vec<bool>,
}

impl Table {
    pub(crate) fn new(mounts: Vec<Mounted>) -> Table {
        let reachable = Places::of(&mounts).reachable();
        Table { mounts, reachable }
    }

    /// Reads it. Not for a poll.
    pub(crate) fn read() -> io::Result<Table> {
        mounted::list().map(Table::new)
    }

    /// Those that a path leads to: no other mount lies over them.
    pub(crate) fn reachable(&self) -> impl Iterator<Item = &Mounted> {
        let both = self.mounts.iter().zip(&self.reachable);
        both.filter(|(_, reachable)| **reachable)
            .map(|(mount, _)| mount)
    }

    /// The mount with this classic id.
    pub(crate) fn of_id(&self, id: u64) -> Option<&Mounted> {
        self.mounts.iter().find(|mount| mount.id == id && id != 0)
    }

    /// A mount whose files have this device number: of several, the last that shows the whole filesystem.
    pub(crate) fn of_device(&self, device: u64) -> Option<&Mounted> {
        let of_device = || self.reachable().filter(|mount| mount.device == device);
        let whole = of_device().filter(|mount| mount.root == Path::new("/"));
        whole.last().or_else(|| of_device().last())
    }

    /// The mount that an absolute path without symbolic links leads to.
    pub(crate) fn of_path(&self, path: &Path) -> Option<&Mounted> {
        let above = self
            .reachable()
            .filter(|mount| path.starts_with(&mount.point));
        above.max_by_key(|mount| mount.point.components().count())
    }
}

/// Which mount lies where.
struct Places<'a> {
    mounts: &'a [Mounted],
    by_id: HashMap<u64, usize>,
    /// By the mount below and the point, the last that was mounted there.
    last: HashMap<(u64, &'a Path), usize>,
}

impl<'a> Places<'a> {
    fn of(mounts: &'a [Mounted]) -> Places<'a> {
        let indexed = || mounts.iter().enumerate();
        Places {
            mounts,
            by_id: indexed().map(|(index, mount)| (mount.id, index)).collect(),
            last: indexed()
                .map(|(index, mount)| ((mount.parent, mount.point.as_path()), index))
                .collect(),
        }
    }

    fn reachable(&self) -> Vec<bool> {
        let all = 0..self.mounts.len();
        all.map(|index| !self.is_covered(index) && self.is_placed(index))
            .collect()
    }

    /// Whether another mount lies on its root.
    fn is_covered(&self, index: usize) -> bool {
        let mount = &self.mounts[index];
        let over = self.last.get(&(mount.id, mount.point.as_path()));
        mount.id != 0 && over.is_some_and(|&over| over != index)
    }

    /// Whether its point can be reached on the mount that it lies on, and so on to the top.
    fn is_placed(&self, index: usize) -> bool {
        let mut at = index;
        // No chain is longer than the table, and a table read while it changed may have a circle.
        for _ in 0..self.mounts.len() {
            let mount = &self.mounts[at];
            let hides = |point| {
                let other = self.last.get(&(mount.parent, point));
                other.is_some_and(|&other| other != at && self.mounts[other].id != mount.parent)
            };
            if mount.point.ancestors().any(hides) {
                return false;
            }
            match self.by_id.get(&mount.parent) {
                Some(&parent) if parent != at && mount.parent != 0 => at = parent,
                _ => return true,
            }
        }
        true
    }
}

/// The table that was read last.
struct Cache {
    table: Option<Arc<Table>>,
    read_at: Option<Instant>,
}

impl Cache {
    /// What is wanted, from a table that is read again if it does not have it and is not quite new.
    fn find<T>(
        &mut self,
        now: Instant,
        read: impl FnOnce() -> io::Result<Table>,
        wanted: impl Fn(&Table) -> Option<T>,
    ) -> Option<T> {
        if let Some(found) = self.table.as_deref().and_then(&wanted) {
            return Some(found);
        }
        let is_new = |at| now.saturating_duration_since(at) < limits::MOUNT_TABLE_KEPT;
        if self.read_at.is_some_and(is_new) {
            return None;
        }
        self.read_at = Some(now);
        match read() {
            Ok(table) => wanted(self.table.insert(Arc::new(table))),
            Err(error) => {
                events::report(move || events::mounts_unknown(&error));
                None
            }
        }
    }
}

fn cache() -> &'static Mutex<Cache> {
    static CACHE: Global<Mutex<Cache>> = Global::new();
    CACHE.get_or_make(|| {
        Mutex::new(Cache {
            table: None,
            read_at: None,
        })
    })
}

/// Finds something in the table. Not for a poll: it may have to be read.
pub(crate) fn find<T>(wanted: impl Fn(&Table) -> Option<T>) -> Option<T> {
    lock(cache()).find(Instant::now(), Table::read, wanted)
}

/// Reads the table again, for [`read_lately`]. Not for a poll.
pub(crate) fn refresh() {
    let _: Option<()> = find(|_| None);
}

/// The table as it was read last; `None` where it is being read. Also whether to [`refresh`] it, as it is
/// old; `true` once in a while until that was done. Cannot sleep.
pub(crate) fn read_lately() -> (Option<Arc<Table>>, bool) {
    static ASKED_MS: AtomicU64 = AtomicU64::new(0);
    let Ok(cache) = cache().try_lock() else {
        return (None, false);
    };
    let is_new = |at: Instant| at.elapsed() < limits::MOUNT_TABLE_OLD;
    if cache.read_at.is_some_and(is_new) {
        return (cache.table.clone(), false);
    }
    let (now, asked) = (coarse_ms(), ASKED_MS.load(Ordering::Relaxed));
    let is_due = asked == 0 || now > asked + limits::MOUNT_ASK_AGAIN.as_millis() as u64;
    if is_due {
        ASKED_MS.store(now, Ordering::Relaxed);
    }
    (cache.table.clone(), is_due)
}

/// Where the mount of a file lies, and its type.
pub(crate) type Place = (PathBuf, String);

pub(crate) fn place(mount: &Mounted) -> Place {
    (mount.point.clone(), mount.fs_type.clone())
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
