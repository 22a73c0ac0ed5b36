//! Waiting for one descriptor on a thread of ours, and whether one can be waited for.
#![allow(unsafe_code, reason = "calls poll and epoll")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
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

/// Whether the file has a way to say that it is ready, so that it may not be: the kernel takes it into a set of
/// what is waited for. Files of disks it refuses. Where it cannot be asked, the answer is yes. May ask a server:
/// not for files of those at a poll.
pub(crate) fn can_be_waited_for(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: it takes a flag.
    let set = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if set < 0 {
        return true;
    }
    // SAFETY: the call before has just made this descriptor, and nobody else has it.
    let set = unsafe { OwnedFd::from_raw_fd(set) };
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: both descriptors are open, and the event is one.
    let added = unsafe {
        libc::epoll_ctl(
            set.as_raw_fd(),
            libc::EPOLL_CTL_ADD,
            fd.as_raw_fd(),
            &raw mut event,
        )
    };
    added == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EPERM)
}

/// Waits until the table of mounts, open for reading, is another than when this was called last.
pub(crate) fn changed(table: BorrowedFd<'_>) -> io::Result<()> {
    let mut entry = libc::pollfd {
        fd: table.as_raw_fd(),
        events: libc::POLLPRI,
        revents: 0,
    };
    crate::base::errno::retry(|| {
        // SAFETY: one entry is passed, and one is there.
        match unsafe { libc::poll(&raw mut entry, 1, -1) } {
            ..0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    })
}
