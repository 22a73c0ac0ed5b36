//! Opening a file.
#![allow(unsafe_code, reason = "hands the path to the kernel")]

use std::io;
use std::os::fd::IntoRawFd;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

#[cfg(target_os = "linux")]
use super::Entry;
#[cfg(feature = "testing")]
use super::Paths;
use super::{At, Request};
use crate::base::errno::retry;
use crate::sys::dataless;
#[cfg(target_os = "linux")]
use crate::sys::linux::{
    openat2::{OpenHow, openat2},
    sqe::Sqe,
    tables::Tables,
};
use crate::sys::steps::Steps;

/// Opens a path; the result is a descriptor number.
pub(crate) struct Open {
    pub(crate) at: At,
    pub(crate) flags: i32,
    pub(crate) mode: u32,
}

impl Request for Open {
    /// The system call looks at the flags before it looks at the name.
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        self.at.is_path().then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        let flags = OFlag::from_bits_retain(self.flags);
        let mode = Mode::from_bits_truncate(self.mode as libc::mode_t);
        dataless::check(self.at.dir(), self.at.path(), self.flags)?;
        retry(|| Ok(openat(self.at.dir(), self.at.path(), flags, mode)?))
            .map(IntoRawFd::into_raw_fd)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.at(&self.at);
    }
}

// SAFETY: the entry points to the path's heap block, which is not changed; the directory that it
// starts from is held open (INV-1).
#[cfg(target_os = "linux")]
unsafe impl Entry for Open {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        // Tried on the submitting thread, the kernel would open a FIFO without waiting for its other end.
        Ok(Sqe::openat(&self.at, self.flags, self.mode).for_kernel_worker())
    }
}

/// Opens a path under restrictions; the result is a descriptor number.
pub(crate) struct OpenWithin {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "Linux has it"))]
    at: At,
    /// On the heap, since the kernel reads it when it begins.
    #[cfg(target_os = "linux")]
    how: Box<OpenHow>,
}

impl OpenWithin {
    /// `resolve` are the flags of `openat2(2)`.
    #[cfg(target_os = "linux")]
    pub(crate) fn new(at: At, flags: i32, mode: u32, resolve: u64) -> OpenWithin {
        let how = Box::new(OpenHow::new(flags, mode, resolve));
        OpenWithin { at, how }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new(at: At, _flags: i32, _mode: u32, _resolve: u64) -> OpenWithin {
        OpenWithin { at }
    }
}

impl Request for OpenWithin {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        self.at.is_path().then_some(self)
    }

    #[cfg(target_os = "linux")]
    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        retry(|| openat2(self.at.dir(), self.at.path(), &self.how)).map(IntoRawFd::into_raw_fd)
    }

    #[cfg(not(target_os = "linux"))]
    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        Err(crate::base::errno::unsupported())
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.at(&self.at);
    }
}

// SAFETY: as for `Open`, for path and structure.
#[cfg(target_os = "linux")]
unsafe impl Entry for OpenWithin {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        Ok(Sqe::openat2(&self.at, &self.how).for_kernel_worker())
    }
}
