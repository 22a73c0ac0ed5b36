//! Renaming with flags, which std lacks and each system spells in its own way.
#![allow(unsafe_code, reason = "makes the calls that nix lacks on some systems")]

use std::io;

use super::request::At;
use crate::base::errno::retry;

/// What a rename does with a file that has the new name.
///
/// See [`rename_with`](crate::fs::rename_with).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RenameMode {
    /// Exchanges the two names: both must be there, and neither is missing at any moment
    /// (RENAME_EXCHANGE; RENAME_SWAP on macOS).
    Exchange,
    /// Fails with `AlreadyExists` (RENAME_NOREPLACE; RENAME_EXCL on macOS).
    NoReplace,
    /// Replaces it, as [`rename`](fn@crate::fs::rename) does.
    #[default]
    Replace,
    /// Replaces it, and leaves at the old name the mark by which overlayfs hides what is below
    /// (RENAME_WHITEOUT, Linux). Most kernels ask for CAP_MKNOD.
    Whiteout,
}

impl RenameMode {
    /// The flags of `renameat2(2)`.
    #[cfg(target_os = "linux")]
    pub(crate) fn flags(self) -> u32 {
        match self {
            RenameMode::Exchange => libc::RENAME_EXCHANGE,
            RenameMode::NoReplace => libc::RENAME_NOREPLACE,
            RenameMode::Replace => 0,
            RenameMode::Whiteout => libc::RENAME_WHITEOUT,
        }
    }

    /// The flags of `renameatx_np(2)`.
    #[cfg(target_os = "macos")]
    fn flags(self) -> io::Result<u32> {
        Ok(match self {
            RenameMode::Exchange => libc::RENAME_SWAP,
            RenameMode::NoReplace => libc::RENAME_EXCL,
            RenameMode::Replace => 0,
            RenameMode::Whiteout => return Err(crate::base::errno::unsupported()),
        })
    }
}

pub(crate) fn rename(from: &At, to: &At, mode: RenameMode) -> io::Result<()> {
    if mode == RenameMode::Replace {
        let rename = || nix::fcntl::renameat(from.dir(), from.path(), to.dir(), to.path());
        return retry(|| Ok(rename()?));
    }
    retry(|| rename_with(from, to, mode))
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn rename_with(from: &At, to: &At, mode: RenameMode) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let (from_dir, to_dir) = (from.dir().as_raw_fd(), to.dir().as_raw_fd());
    let (from, to) = (from.path().as_ptr(), to.path().as_ptr());
    #[cfg(target_os = "linux")]
    let flags = mode.flags();
    #[cfg(target_os = "macos")]
    let flags = mode.flags()?;
    // By number, since not every C library has the function.
    // SAFETY: both paths are terminated, and both directories are open for the call.
    #[cfg(target_os = "linux")]
    let result = unsafe { libc::syscall(libc::SYS_renameat2, from_dir, from, to_dir, to, flags) };
    // SAFETY: as above.
    #[cfg(target_os = "macos")]
    let result = unsafe { libc::renameatx_np(from_dir, from, to_dir, to, flags) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn rename_with(_from: &At, _to: &At, _mode: RenameMode) -> io::Result<()> {
    Err(crate::base::errno::unsupported())
}
