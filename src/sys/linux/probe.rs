//! What this kernel is, and what its rings do.
#![allow(unsafe_code, reason = "pushes an entry")]
#![allow(clippy::disallowed_methods, reason = "reads procfs, which is memory")]

use std::io;
use std::sync::Arc;

use super::sqe::Sqe;
use super::uring::{Completion, Issuer, Uring};

/// Makes a ring, sends a no-op through it, and asks which opcodes there are.
pub(crate) fn try_ring() -> io::Result<Vec<bool>> {
    let mut ring = Uring::new(Issuer::Worker, Arc::default())?;
    if !ring.has_no_drop() {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    // SAFETY: a no-op points to nothing.
    unsafe { ring.push(&Sqe::nop(), 7) };
    ring.enter(1)?;
    let mut completions = Vec::new();
    ring.reap(&mut completions);
    if completions
        != [Completion {
            user_data: 7,
            result: 0,
            flags: 0,
        }]
    {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    ring.opcodes()
}

/// The kernel's release, such as `6.18.44`.
pub(crate) fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |text| text.trim().into())
}
