//! One sync for many files: that of the one that was changed last, where a journal is one for all of them, or that of
//! their filesystem, where it has none and little else to write.
#![allow(unsafe_code, reason = "calls ioctl")]
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::fs::File;
use std::io;

/// What many files of a filesystem may have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Journal {
    /// There is none: a sync writes each file's own blocks, and empties the device's cache.
    Absent,
    /// It is written in order, so that `fsync` of a file that was changed last brings everything to the device that the
    /// journal has heard of before, and empties the cache of the device that has the data.
    Shared,
    /// Nothing that is known.
    Unknown,
}

/// What it is here: `Shared` with ext4 that has a journal, and XFS without a device for what happens in real time.
#[cfg(target_os = "linux")]
pub(crate) fn of(file: &File) -> Journal {
    const EXT4: u32 = 0xef53;
    const XFS: u32 = 0x5846_5342;
    let stats = nix::sys::statfs::fstatfs(file);
    match stats.map(|stats| stats.filesystem_type().0 as u32) {
        Ok(EXT4) => match has_journal(file) {
            Some(true) => Journal::Shared,
            Some(false) => Journal::Absent,
            None => Journal::Unknown,
        },
        Ok(XFS) if has_one_data_device(file) => Journal::Shared,
        _ => Journal::Unknown,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn of(_file: &File) -> Journal {
    Journal::Unknown
}

/// Whether syncing all of a filesystem costs no more than syncing a few files: what is dirty anywhere is little, and the
/// kernel tells of errors there.
#[cfg(target_os = "linux")]
pub(crate) fn is_cheap() -> bool {
    use crate::base::global::Kept;
    static TELLS: Kept<bool> = Kept::new();
    // Before 5.17 what the filesystem itself said was lost.
    let tells = || is_since(&super::linux::probe::release(), (5, 17));
    *TELLS.get_or_make(tells) && dirty_bytes() <= crate::limits::SYNC_GROUP_DIRTY_BYTES
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_cheap() -> bool {
    false
}

/// Whether the filesystem, which is of ext4's kind, has a journal; `None` where that is not told.
#[cfg(target_os = "linux")]
fn has_journal(file: &File) -> Option<bool> {
    use std::os::unix::fs::MetadataExt;
    let device = crate::base::errno::retry(|| file.metadata()).ok()?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let device = std::fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    let known = std::path::Path::new("/sys/fs/ext4").join(device.file_name()?);
    let thread = std::fs::read_to_string(known.join("journal_task")).ok()?;
    // Else its number, which is none of another namespace.
    Some(!thread.contains("none"))
}

/// Whether files of an XFS all have their data on one device.
#[cfg(target_os = "linux")]
fn has_one_data_device(file: &File) -> bool {
    use std::os::fd::AsRawFd;
    /// `XFS_IOC_FSGEOMETRY_V1`, which fills in a struct of this size.
    const GEOMETRY: u32 = 0x8070_5864;
    const REALTIME_BLOCKS: usize = 5;
    let mut geometry = [0_u64; 14];
    let into = geometry.as_mut_ptr();
    // SAFETY: the request writes a struct of 112 bytes, for which there is room.
    let told = unsafe { libc::ioctl(file.as_raw_fd(), GEOMETRY as _, into) };
    told == 0 && geometry[REALTIME_BLOCKS] == 0
}

/// Waits until everything that was written to the filesystem is on the device. The directory has to have been open
/// since before the first of what matters was written: errors are told of what failed since.
#[cfg(target_os = "linux")]
pub(crate) fn sync_as_a_whole(dir: &File) -> io::Result<()> {
    crate::base::errno::retry(|| Ok(nix::unistd::syncfs(dir)?))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_as_a_whole(_dir: &File) -> io::Result<()> {
    Err(crate::base::errno::unsupported())
}

/// What of all filesystems waits to be written, or is being.
#[cfg(target_os = "linux")]
fn dirty_bytes() -> u64 {
    let table = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    match (of("Dirty:"), of("Writeback:")) {
        (Some(dirty), Some(writeback)) => (dirty + writeback) << 10,
        _ => u64::MAX,
    }
}

#[cfg(target_os = "linux")]
fn is_since(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse::<u32>().ok();
    matches!((next(), next()), (Some(major), Some(minor)) if (major, minor) >= wanted)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        for (release, is) in [
            ("5.17.0-generic", true),
            ("6.1.192", true),
            ("10.0", true),
            ("5.16.20", false),
            ("4.19", false),
            ("", false),
            ("x", false),
        ] {
            assert_eq!(is_since(release, (5, 17)), is, "{release}");
        }
    }

    #[test]
    fn what_is_dirty_is_known() {
        assert!(dirty_bytes() < u64::MAX);
    }
}
