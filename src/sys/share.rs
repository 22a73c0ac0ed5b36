//! Sharing the blocks of one file with another.
#![allow(unsafe_code, reason = "calls ioctl")]

use std::fs::File;
use std::io;

/// Makes `to` share all blocks of `source`, or fails.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn share(source: &File, to: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    crate::base::errno::retry(|| {
        // SAFETY: both descriptors are open, and the request takes no memory.
        let shared = unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE as _, source.as_raw_fd()) };
        if shared < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn share(_: &File, _: &File) -> io::Result<()> {
    Err(crate::base::errno::unsupported())
}
