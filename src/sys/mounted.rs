//! What is mounted, and whether a mount answers.
#![allow(
    clippy::disallowed_methods,
    reason = "the calls block: only threads that may sleep come here"
)]

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// One line of the system's table of mounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// The classic id, which the kernel uses again after an unmount. Zero where there are none.
    pub(crate) id: u64,
    /// The mount that this one is on; itself for the topmost.
    pub(crate) parent: u64,
    /// What its files have as `st_dev`; on btrfs each subvolume has another one.
    pub(crate) device: u64,
    /// Which directory of the filesystem is seen here: `/` unless it is a bind mount or a subvolume.
    pub(crate) root: PathBuf,
    pub(crate) point: PathBuf,
    /// With the subtype, as in `fuse.sshfs`.
    pub(crate) fs_type: String,
    pub(crate) source: OsString,
    /// Of the mount, then those of the filesystem.
    pub(crate) options: String,
}

/// The table, in the order of the system. Looks only at memory, but takes the locks of the mount table.
#[cfg(target_os = "linux")]
pub(crate) fn list() -> io::Result<Vec<Mounted>> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    Ok(super::linux::mountinfo::parse(&text))
}

#[cfg(target_os = "macos")]
pub(crate) use super::mounted_macos::list;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn list() -> io::Result<Vec<Mounted>> {
    Err(crate::base::errno::unsupported())
}

/// The table, open so that its changes can be waited for.
pub(crate) struct Watched(#[cfg(target_os = "linux")] std::fs::File);

#[cfg(target_os = "linux")]
pub(crate) fn watched() -> io::Result<Watched> {
    std::fs::File::open("/proc/self/mountinfo").map(Watched)
}

#[cfg(target_os = "linux")]
impl Watched {
    /// Waits for the next change.
    pub(crate) fn wait(&self) -> io::Result<()> {
        super::linux::poll::changed(std::os::fd::AsFd::as_fd(&self.0))
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn watched() -> io::Result<Watched> {
    Err(crate::base::errno::unsupported())
}

#[cfg(not(target_os = "linux"))]
impl Watched {
    pub(crate) fn wait(&self) -> io::Result<()> {
        Err(crate::base::errno::unsupported())
    }
}

/// How far a filesystem on this device reads ahead of a reader, in bytes: the most of what the system has for it,
/// or for any of its type where the device does not tell, as for btrfs.
#[cfg(target_os = "linux")]
pub(crate) fn readahead_bytes(device: u64, fs_type: &str) -> Option<u64> {
    let of = |name: &str| {
        let text = std::fs::read_to_string(format!("/sys/class/bdi/{name}/read_ahead_kb")).ok()?;
        let kib: u64 = text.trim().parse().ok()?;
        Some(kib << 10)
    };
    if fs_type != "btrfs" {
        return of(&format!(
            "{}:{}",
            libc::major(device as _),
            libc::minor(device as _)
        ));
    }
    let all = std::fs::read_dir("/sys/class/bdi").ok()?;
    let names = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| name.starts_with("btrfs"))
        .filter_map(|name| of(&name))
        .max()
}

/// Asks the filesystem at a mount point for its attributes: its server, where it has one. Sleeps for as
/// long as that does not answer.
#[cfg(target_os = "linux")]
pub(crate) fn ask(point: &Path) -> io::Result<()> {
    crate::base::errno::retry(|| super::linux::statx::ask(&super::path::c_path(point)?))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn ask(point: &Path) -> io::Result<()> {
    std::fs::symlink_metadata(point).map(drop)
}
