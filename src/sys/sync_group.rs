//! One sync for many files: that of their filesystem, where it has little else to write.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::fs::File;
use std::io;

/// Whether syncing all of the filesystem costs no more than syncing a few files: it is one whose sync is a journal
/// commit, what is dirty anywhere is little, and the kernel tells of errors there.
#[cfg(target_os = "linux")]
pub(crate) fn is_cheap(dir: &File) -> bool {
    use super::global::Kept;
    const EXT4: i64 = 0xef53;
    const XFS: i64 = 0x5846_5342;
    static TELLS: Kept<bool> = Kept::new();
    // Before 5.17 what the filesystem itself said was lost.
    let tells = || is_since(&super::linux::probe::release(), (5, 17));
    if !*TELLS.get_or_make(tells) {
        return false;
    }
    let magic = nix::sys::statfs::fstatfs(dir).map(|stats| stats.filesystem_type().0 as i64);
    matches!(magic, Ok(EXT4 | XFS)) && dirty_bytes() <= crate::limits::SYNC_GROUP_DIRTY_BYTES
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_cheap(_dir: &File) -> bool {
    false
}

/// Waits until everything that was written to the filesystem is on the device. The directory has to have been open
/// since before the first of what matters was written: errors are told of what failed since.
#[cfg(target_os = "linux")]
pub(crate) fn sync(dir: &File) -> io::Result<()> {
    super::errno::retry(|| Ok(nix::unistd::syncfs(dir)?))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn sync(_dir: &File) -> io::Result<()> {
    Err(super::errno::unsupported())
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
