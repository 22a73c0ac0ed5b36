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
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;

#[cfg(target_os = "linux")]
use super::Entry;
#[cfg(feature = "testing")]
use super::Paths;
use super::{FdRef, Request};
use crate::sys::fd::{close, with_file};
#[cfg(target_os = "linux")]
use crate::sys::linux::sqe::Sqe;
#[cfg(target_os = "linux")]
use crate::sys::linux::tables::Tables;
use crate::sys::progress::Progress;
use crate::sys::range::{self, Advice, Space, Writeback};
use crate::sys::steps::Steps;
use crate::sys::written;

/// Waits until the file is on its device.
pub(crate) struct Sync {
    pub(crate) fd: FdRef,
    pub(crate) data_only: bool,
}

impl Request for Sync {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        Some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        with_file(self.fd.as_fd(), |file| {
            let synced = match self.data_only {
                true => file.sync_data(),
                false => file.sync_all(),
            };
            written::or_as_far_as_it_goes(file, synced)
        })
        .map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.fd);
    }
}

// SAFETY: the entry points to no memory; the descriptor is held open by `fd` (INV-1).
#[cfg(target_os = "linux")]
unsafe impl Entry for Sync {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        Ok(Sqe::fsync(tables.name(&self.fd), self.data_only))
    }
}

/// Has what comes later come later on the device, too.
pub(crate) struct Barrier {
    pub(crate) fd: FdRef,
}

impl Request for Barrier {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        Some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        with_file(self.fd.as_fd(), written::barrier).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.fd);
    }
}

// SAFETY: as for `Sync`.
#[cfg(target_os = "linux")]
unsafe impl Entry for Barrier {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        Ok(Sqe::fsync(tables.name(&self.fd), true))
    }
}

/// Sets the length.
pub(crate) struct SetLen {
    pub(crate) fd: FdRef,
    pub(crate) len: u64,
}

impl Request for SetLen {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        Some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        with_file(self.fd.as_fd(), |file| file.set_len(self.len)).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.fd);
    }
}

// SAFETY: as for `Sync`.
#[cfg(target_os = "linux")]
unsafe impl Entry for SetLen {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        Ok(Sqe::ftruncate(tables.name(&self.fd), self.len))
    }
}

/// Reserves, frees, zeroes, takes out or puts in space.
pub(crate) struct Allocate {
    pub(crate) fd: FdRef,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) how: Space,
}

impl Request for Allocate {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        Some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        range::allocate(self.fd.as_fd(), self.offset, self.len, self.how).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.fd);
    }
}

// SAFETY: as for `Sync`.
#[cfg(target_os = "linux")]
unsafe impl Entry for Allocate {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        let (fd, mode) = (tables.name(&self.fd), self.how.mode());
        Ok(Sqe::fallocate(fd, self.offset, self.len, mode))
    }
}

/// Tells how a range will be used.
pub(crate) struct Advise {
    pub(crate) fd: FdRef,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) advice: Advice,
}

impl Request for Advise {
    /// The entry of most kernels has 32 bits for the length.
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        u32::try_from(self.len).is_ok().then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        range::advise(self.fd.as_fd(), self.offset, self.len, self.advice).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.fd);
    }
}

// SAFETY: as for `Sync`.
#[cfg(target_os = "linux")]
unsafe impl Entry for Advise {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        let len = self.len as u32;
        let (fd, number) = (tables.name(&self.fd), self.advice.number());
        Ok(Sqe::fadvise(fd, self.offset, len, number))
    }
}

/// Starts the writeback of a range, or waits for it.
pub(crate) struct SyncRange {
    pub(crate) fd: FdRef,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) how: Writeback,
}

impl Request for SyncRange {
    /// The entry has 32 bits for the length.
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        u32::try_from(self.len).is_ok().then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        range::sync_range(self.fd.as_fd(), self.offset, self.len, self.how).map(|()| 0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.fd);
    }
}

// SAFETY: as for `Sync`.
#[cfg(target_os = "linux")]
unsafe impl Entry for SyncRange {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        let len = self.len as u32;
        let (fd, flags) = (tables.name(&self.fd), self.how.flags());
        Ok(Sqe::sync_file_range(fd, self.offset, len, flags))
    }
}

/// Closes a descriptor that nobody else holds.
pub(crate) struct Close {
    number: RawFd,
    /// Whether the kernel was told to close it, by either way.
    told: bool,
    /// Who waits for it. It is for a blocking thread then: where the kernel closes for a ring, it may be done a little
    /// later.
    watched: Option<Arc<Progress>>,
    /// What comes first, and may wait: then it is for a blocking thread, too.
    before: Option<Before>,
}

/// See [`Close`].
type Before = Box<dyn FnOnce(BorrowedFd<'_>, Option<&Progress>) + Send>;

impl Close {
    pub(crate) fn new(fd: OwnedFd, before: Option<Before>) -> Close {
        Close {
            number: fd.into_raw_fd(),
            told: false,
            watched: None,
            before,
        }
    }

    pub(crate) fn watched(mut self, progress: Option<Arc<Progress>>) -> Close {
        self.watched = progress;
        self
    }
}

impl Drop for Close {
    fn drop(&mut self) {
        if !self.told {
            // SAFETY: the number is this request's own and was not closed yet.
            unsafe { libc::close(self.number) };
        }
        self.watched.as_ref().inspect(|watched| watched.end());
    }
}

impl Request for Close {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        let is_plain = self.watched.is_none() && self.before.is_none();
        is_plain.then_some(self as &mut dyn Entry)
    }

    /// Unlike `drop`, this reports what the filesystem says at the last flush. Also called for an entry
    /// that the kernel cancelled before it began, so that the number is still open.
    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        self.told = true;
        if let Some(before) = self.before.take() {
            let watched = self.watched.as_deref();
            watched.inspect(|watched| watched.wait_for_others());
            // SAFETY: the number is this request's own, and open until it is closed below.
            before(unsafe { BorrowedFd::borrow_raw(self.number) }, watched);
        }
        self.watched.as_ref().inspect(|watched| watched.begin());
        // SAFETY: the number is this request's own.
        let closed = close(unsafe { OwnedFd::from_raw_fd(self.number) }).map(|()| 0);
        self.watched.as_ref().inspect(|watched| watched.end());
        closed
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        // SAFETY: the number is this request's own; where it was closed, the borrow ends unused.
        let fd = unsafe { BorrowedFd::borrow_raw(self.number) };
        paths.fd(fd);
    }
}

// SAFETY: the entry points to no memory, and the number is this request's own.
#[cfg(target_os = "linux")]
unsafe impl Entry for Close {
    fn sqe(&mut self, _tables: &mut dyn Tables) -> io::Result<Sqe> {
        self.told = true;
        Ok(Sqe::close(self.number))
    }
}
