//! Waiting for one descriptor on a thread of ours.
#![allow(unsafe_code, reason = "calls poll")]

use std::os::fd::RawFd;
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
