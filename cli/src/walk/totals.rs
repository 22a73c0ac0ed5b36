//! What a walk has come to, in bounded memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;

use std::os::unix::fs::MetadataExt;
use tidegate::fs::{FileKind, WalkEntry, WalkError, WalkStats};

/// Errors that are kept to be told once more at the end.
const ERRORS_KEPT: usize = 1000;

/// An error that was met.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) path: PathBuf,
    pub(super) call: &'static str,
    pub(super) reason: String,
}

/// Entries of one type.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfKind {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) disk_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) kinds: BTreeMap<&'static str, OfKind>,
    pub(super) all: OfKind,
    largest_max: usize,
    largest: BinaryHeap<Reverse<(u64, PathBuf)>>,
    /// Files may come by links that lead to them, and not only by their own names.
    follows: bool,
    /// Files that may come again, as they have several names or links are followed. None is forgotten: other mounts show
    /// a file more often than it has names.
    links: HashSet<(u64, u64)>,
    /// Names beyond the first of a file: its bytes are counted once.
    pub(super) repeated_links: u64,
    pub(super) mount_points: u64,
    pub(super) with_xattrs: u64,
    pub(super) xattrs: u64,
    pub(super) xattrs_unread: u64,
    pub(super) errors: u64,
    pub(super) timeouts: u64,
    pub(super) lost_directories: u64,
    pub(super) is_fatal: bool,
    pub(super) failed: Vec<Failed>,
    pub(super) stats: WalkStats,
}

pub(super) fn name_of(kind: FileKind) -> &'static str {
    match kind {
        FileKind::BlockDevice => "block device",
        FileKind::CharDevice => "character device",
        FileKind::Directory => "directory",
        FileKind::Fifo => "fifo",
        FileKind::File => "file",
        FileKind::Socket => "socket",
        FileKind::Symlink => "symlink",
        _ => "other",
    }
}

impl Totals {
    pub(super) fn new(largest_max: usize, follows: bool) -> Totals {
        Totals {
            largest_max,
            follows,
            ..Totals::default()
        }
    }

    pub(super) fn add(&mut self, entry: &WalkEntry, xattrs: Option<&[OsString]>) {
        let (bytes, disk_bytes) = match self.is_told(entry) {
            true => (0, 0),
            false => (entry.size().unwrap_or(0), entry.disk_bytes().unwrap_or(0)),
        };
        let of_kind = self.kinds.entry(name_of(entry.kind())).or_default();
        for total in [of_kind, &mut self.all] {
            total.entries += 1;
            total.bytes += bytes;
            total.disk_bytes += disk_bytes;
        }
        self.mount_points += u64::from(entry.is_mount_point());
        if let Some(names) = xattrs.filter(|names| !names.is_empty()) {
            self.with_xattrs += 1;
            self.xattrs += names.len() as u64;
        }
        let is_large = self.largest.len() < self.largest_max
            || self.largest.peek().is_some_and(|least| least.0.0 < bytes);
        if entry.kind() == FileKind::File && bytes > 0 && self.largest_max > 0 && is_large {
            self.largest.push(Reverse((bytes, entry.path())));
            if self.largest.len() > self.largest_max {
                self.largest.pop();
            }
        }
    }

    /// Whether its bytes were counted under another name.
    fn is_told(&mut self, entry: &WalkEntry) -> bool {
        let metadata = entry.metadata().filter(|_| entry.kind() == FileKind::File);
        let may_come_again = |metadata: &&tidegate::fs::Statx| metadata.nlink() > 1 || self.follows;
        let Some(metadata) = metadata.filter(may_come_again) else {
            return false;
        };
        let is_told = !self.links.insert((metadata.dev(), metadata.ino()));
        self.repeated_links += u64::from(is_told);
        is_told
    }

    pub(super) fn fail(&mut self, error: &WalkError) {
        self.errors += 1;
        self.timeouts += u64::from(error.is_timeout());
        self.lost_directories += u64::from(error.is_directory_lost());
        self.is_fatal |= error.is_fatal();
        self.keep(
            error.path().to_path_buf(),
            error.call().name(),
            error.io_error(),
        );
    }

    fn keep(&mut self, path: PathBuf, call: &'static str, error: &std::io::Error) {
        if self.failed.len() < ERRORS_KEPT {
            self.failed.push(Failed {
                path,
                call,
                reason: crate::explain::cause(error),
            });
        }
    }

    pub(super) fn fail_xattrs(&mut self, path: PathBuf, error: &std::io::Error) {
        self.errors += 1;
        self.xattrs_unread += 1;
        self.timeouts += u64::from(error.kind() == std::io::ErrorKind::TimedOut);
        self.keep(path, "listxattr", error);
    }

    pub(super) fn walked(&mut self, stats: &WalkStats) {
        self.stats = *stats;
    }

    /// The largest files, the largest first.
    pub(super) fn largest(&self) -> Vec<(u64, PathBuf)> {
        let mut largest: Vec<_> = self
            .largest
            .iter()
            .map(|Reverse(file)| file.clone())
            .collect();
        largest.sort_by(|a, b| (Reverse(a.0), &a.1).cmp(&(Reverse(b.0), &b.1)));
        largest
    }
}
