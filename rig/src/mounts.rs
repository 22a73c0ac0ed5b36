//! Mounting and unmounting in the namespace of the test.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};

use crate::error::Context;

/// How often a busy mount is tried again: a task that has just been released needs a moment to close its files,
/// and the kernel reports no event for that.
const BUSY_TRIES_MAX: u32 = 40;
const BUSY_PAUSE: Duration = Duration::from_millis(25);

/// Mounts a FUSE filesystem; whoever gets the returned device has to serve it.
pub(crate) fn mount_fuse(at: &Path) -> io::Result<OwnedFd> {
    let device: File = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .context("open /dev/fuse")?;
    let data = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
        device.as_raw_fd()
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    nix::mount::mount(
        Some("tidegate-rig"),
        at,
        Some("fuse.tidegate-rig"),
        flags,
        Some(data.as_str()),
    )
    .context("mount FUSE")?;
    Ok(device.into())
}

/// Runs a program and turns its complaint into an error.
pub(crate) fn run(command: &mut Command) -> io::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().context(format_args!("run {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "{program}: {}: {}",
        output.status,
        complaint.trim()
    )))
}

/// Unmounts; a mount that stays busy is an error.
pub(crate) fn unmount(at: &Path) -> io::Result<()> {
    for _ in 1..BUSY_TRIES_MAX {
        match umount2(at, MntFlags::empty()) {
            Err(Errno::EBUSY) => std::thread::sleep(BUSY_PAUSE),
            other => return other.context(format_args!("unmount {}", at.display())),
        }
    }
    let what = format_args!("unmount {}: close every file on it first", at.display());
    umount2(at, MntFlags::empty()).context(what)
}

/// Unmounts now, or when its last user is gone.
pub(crate) fn unmount_or_detach(at: &Path) {
    if unmount(at).is_err() {
        let _ = umount2(at, MntFlags::MNT_DETACH);
    }
}
