//! What the kernel counts of storage while it works: the requests that a disk has done, the pages of a file that it
//! has not. None of it asks the storage.
#![cfg_attr(
    target_os = "linux",
    allow(clippy::disallowed_methods, reason = "sysfs answers from memory")
)]

#[cfg(target_os = "linux")]
mod counted {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::fd::BorrowedFd;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};

    use crate::sys::linux::nowait::pages;

    /// The disks under a filesystem, as files of counters.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Disks(Vec<PathBuf>);

    impl Disks {
        /// Those of a filesystem whose files have this device number, and which is mounted from there.
        pub(crate) fn of(device: u64, source: impl FnOnce() -> Option<PathBuf>) -> Disks {
            if nix::sys::stat::major(device) != 0 {
                return Disks(counters_of(device).into_iter().collect());
            }
            // A number of the filesystem's own.
            let device = source().and_then(|source| fs::metadata(source).ok());
            let Some(device) = device.map(|source| source.rdev()).filter(|rdev| *rdev != 0) else {
                return Disks::default();
            };
            match btrfs_disks(device) {
                Some(disks) => Disks(disks),
                None => Disks(counters_of(device).into_iter().collect()),
            }
        }

        /// How many reads they have done, and how many requests of other kinds; `None` where nobody tells.
        pub(crate) fn done(&self) -> Option<(u64, u64)> {
            let done: Vec<_> = self.0.iter().filter_map(|path| done(path)).collect();
            let sum = |sum: (u64, u64), one: &(u64, u64)| {
                (sum.0.wrapping_add(one.0), sum.1.wrapping_add(one.1))
            };
            (!done.is_empty()).then(|| done.iter().fold((0, 0), sum))
        }
    }

    fn folder_of(device: u64) -> PathBuf {
        let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
        PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))
    }

    fn counters_of(device: u64) -> Option<PathBuf> {
        let path = folder_of(device).join("stat");
        path.exists().then_some(path)
    }

    /// All disks of the btrfs that this one belongs to.
    fn btrfs_disks(device: u64) -> Option<Vec<PathBuf>> {
        let link = fs::read_link(folder_of(device)).ok()?;
        let name: &OsStr = link.file_name()?;
        let all = fs::read_dir("/sys/fs/btrfs").ok()?.flatten();
        let mut folders = all.map(|filesystem| filesystem.path().join("devices"));
        let folder = folders.find(|folder| folder.join(name).exists())?;
        let disks = fs::read_dir(folder).ok()?.flatten();
        Some(disks.map(|disk| disk.path().join("stat")).collect())
    }

    fn done(path: &Path) -> Option<(u64, u64)> {
        let text = fs::read_to_string(path).ok()?;
        Some(parse(&text))
    }

    /// Reads are the first column; writes, discards and flushes the fifth, twelfth and sixteenth.
    pub(super) fn parse(text: &str) -> (u64, u64) {
        let columns: Vec<u64> = text
            .split_ascii_whitespace()
            .map(|column| column.parse().unwrap_or(0))
            .collect();
        let column = |index: usize| columns.get(index).copied().unwrap_or(0);
        let changes = [4, 11, 15].map(column);
        (
            column(0),
            changes.iter().fold(0, |sum, one| sum.wrapping_add(*one)),
        )
    }

    /// Pages of the file that are not on the disk yet; `None` where the kernel does not tell.
    pub(crate) fn unwritten_pages(fd: BorrowedFd<'_>) -> Option<u64> {
        let pages = pages(fd, 0, 0).ok()?;
        Some(pages.dirty + pages.writeback)
    }
}

#[cfg(target_os = "linux")]
pub(crate) use counted::{Disks, unwritten_pages};

/// Elsewhere nobody tells.
#[cfg(not(target_os = "linux"))]
mod unknown {
    use std::os::fd::BorrowedFd;
    use std::path::PathBuf;

    #[derive(Clone, Debug, Default)]
    pub(crate) struct Disks;

    impl Disks {
        pub(crate) fn of(_device: u64, _source: impl FnOnce() -> Option<PathBuf>) -> Disks {
            Disks
        }

        pub(crate) fn done(&self) -> Option<(u64, u64)> {
            None
        }
    }

    pub(crate) fn unwritten_pages(_fd: BorrowedFd<'_>) -> Option<u64> {
        None
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) use unknown::{Disks, unwritten_pages};

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::counted::parse;

    /// Lines of today's kernel and of an old one.
    #[test]
    fn counters_are_read() {
        let line = "  7 1 56 9  11 3 88 4  0 5 6  13 0 1 2  17 8\n";
        assert_eq!(parse(line), (7, 11 + 13 + 17));
        assert_eq!(parse("7 1 56 9 11 3 88 4 0 5 6"), (7, 11));
        assert_eq!(parse(""), (0, 0));
    }
}
