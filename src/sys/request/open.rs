//! Opening a file.
#![allow(unsafe_code, reason = "hands the path to the kernel")]

use std::ffi::CString;
use std::io;
use std::os::fd::IntoRawFd;
use std::sync::atomic::AtomicBool;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::Request;
use crate::sys::errno::retry;
#[cfg(target_os = "linux")]
use crate::sys::linux::sqe::Sqe;

/// Opens a path; the result is a descriptor number.
pub(crate) struct Open {
    pub(crate) path: CString,
    pub(crate) flags: i32,
    pub(crate) mode: u32,
}

// SAFETY: the entry points to the path's heap block, which is not changed (INV-1).
unsafe impl Request for Open {
    #[cfg(target_os = "linux")]
    fn sqe(&mut self) -> Option<Sqe> {
        // Tried on the submitting thread, the kernel would open a FIFO without waiting for its other end.
        Some(Sqe::openat(&self.path, self.flags, self.mode).for_kernel_worker())
    }

    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        let flags = OFlag::from_bits_retain(self.flags);
        let mode = Mode::from_bits_truncate(self.mode as libc::mode_t);
        retry(|| Ok(nix::fcntl::open(self.path.as_c_str(), flags, mode)?))
            .map(IntoRawFd::into_raw_fd)
    }
}
