//! Waiting for one descriptor on a thread of ours.
#![allow(unsafe_code, reason = "calls poll")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// Waits until the descriptor is readable or the time is over.
pub(crate) fn readable(number: RawFd, timeout: Duration) {
    let mut entry = libc::pollfd {
        fd: number,
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one entry is passed, and one is there.
    unsafe { libc::poll(&raw mut entry, 1, timeout_ms) };
}

/// Waits until the table of mounts, open for reading, is another than when this was called last.
pub(crate) fn changed(table: BorrowedFd<'_>) -> io::Result<()> {
    let mut entry = libc::pollfd {
        fd: table.as_raw_fd(),
        events: libc::POLLPRI,
        revents: 0,
    };
    super::super::errno::retry(|| {
        // SAFETY: one entry is passed, and one is there.
        match unsafe { libc::poll(&raw mut entry, 1, -1) } {
            ..0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    })
}
