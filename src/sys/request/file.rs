//! Requests on an open file other than reads and writes.
#![allow(
    unsafe_code,
    reason = "each request promises what its submission entry points to"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the blocking equivalents are std's"
)]

use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicBool;

use super::{FdRef, Request};
use crate::sys::errno::retry;
use crate::sys::fd::with_file;
#[cfg(target_os = "linux")]
use crate::sys::linux::sqe::Sqe;

/// Waits until the file is on its device.
pub(crate) struct Sync {
    pub(crate) fd: FdRef,
    pub(crate) data_only: bool,
}

// SAFETY: the entry points to no memory; the descriptor is held open by `fd` (INV-1).
unsafe impl Request for Sync {
    #[cfg(target_os = "linux")]
    fn sqe(&mut self) -> Option<Sqe> {
        Some(Sqe::fsync(self.fd.as_fd(), self.data_only))
    }

    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        with_file(self.fd.as_fd(), |file| {
            if self.data_only {
                file.sync_data()
            } else {
                file.sync_all()
            }
        })
        .map(|()| 0)
    }
}

/// Sets the length.
pub(crate) struct SetLen {
    pub(crate) fd: FdRef,
    pub(crate) len: u64,
}

// SAFETY: as for `Sync`.
unsafe impl Request for SetLen {
    #[cfg(target_os = "linux")]
    fn sqe(&mut self) -> Option<Sqe> {
        Some(Sqe::ftruncate(self.fd.as_fd(), self.len))
    }

    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        with_file(self.fd.as_fd(), |file| file.set_len(self.len)).map(|()| 0)
    }
}

/// Reserves space.
pub(crate) struct Allocate {
    pub(crate) fd: FdRef,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) keep_size: bool,
}

// SAFETY: as for `Sync`.
unsafe impl Request for Allocate {
    #[cfg(target_os = "linux")]
    fn sqe(&mut self) -> Option<Sqe> {
        Some(Sqe::fallocate(
            self.fd.as_fd(),
            self.offset,
            self.len,
            self.keep_size,
        ))
    }

    #[cfg(target_os = "linux")]
    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        use nix::fcntl::{FallocateFlags, fallocate};
        let flags = if self.keep_size {
            FallocateFlags::FALLOC_FL_KEEP_SIZE
        } else {
            FallocateFlags::empty()
        };
        retry(|| {
            Ok(fallocate(
                self.fd.as_fd(),
                flags,
                self.offset as libc::off_t,
                self.len as libc::off_t,
            )?)
        })?;
        Ok(0)
    }

    #[cfg(not(target_os = "linux"))]
    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        if self.keep_size {
            // A reservation beyond the end is a hint that other systems do not take.
            return Ok(0);
        }
        let end = self
            .offset
            .checked_add(self.len)
            .ok_or(io::ErrorKind::InvalidInput)?;
        retry(|| {
            with_file(self.fd.as_fd(), |file| {
                if file.metadata()?.len() < end {
                    file.set_len(end)
                } else {
                    Ok(())
                }
            })
        })?;
        Ok(0)
    }
}

/// Closes a descriptor that nobody else holds.
pub(crate) struct Close {
    number: RawFd,
    /// Whether the kernel was told to close it, by either way.
    told: bool,
}

impl Close {
    pub(crate) fn new(fd: OwnedFd) -> Close {
        Close {
            number: fd.into_raw_fd(),
            told: false,
        }
    }
}

impl Drop for Close {
    fn drop(&mut self) {
        if !self.told {
            // SAFETY: the number is this request's own and was not closed yet.
            unsafe { libc::close(self.number) };
        }
    }
}

// SAFETY: the entry points to no memory, and the number is this request's own.
unsafe impl Request for Close {
    #[cfg(target_os = "linux")]
    fn sqe(&mut self) -> Option<Sqe> {
        self.told = true;
        Some(Sqe::close(self.number))
    }

    /// Unlike `drop`, this reports what the filesystem says at the last flush. Also called for an entry
    /// that the kernel cancelled before it began, so that the number is still open.
    fn block(&mut self, _cancelled: &AtomicBool) -> io::Result<i32> {
        self.told = true;
        // SAFETY: the number is this request's own.
        if unsafe { libc::close(self.number) } == 0 {
            return Ok(0);
        }
        match io::Error::last_os_error() {
            // The descriptor is gone all the same.
            error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            error => Err(error),
        }
    }
}
