//! Moving bytes between pipes and files inside the kernel.
#![allow(
    unsafe_code,
    reason = "each request promises what its submission entry points to"
)]

use std::io;

#[cfg(target_os = "linux")]
use super::Entry;
#[cfg(feature = "testing")]
use super::Paths;
use super::{FdRef, Request};
#[cfg(target_os = "linux")]
use crate::base::errno::retry;
#[cfg(not(target_os = "linux"))]
use crate::base::errno::unsupported;
#[cfg(target_os = "linux")]
use crate::limits::RW_BYTES_MAX;
use crate::sys::steps::Steps;
#[cfg(target_os = "linux")]
use crate::sys::{
    linux::sqe::Sqe,
    linux::tables::{NamedFd, Tables},
};

/// One end: a file and where in it, or a pipe.
pub(crate) struct End {
    pub(crate) fd: FdRef,
    /// `None` for what has no positions.
    pub(crate) offset: Option<u64>,
}

#[cfg(target_os = "linux")]
impl End {
    /// Whether the entry can say it, which has -1 for 'no position': the call itself refuses what is over
    /// `i64::MAX`.
    fn is_position(&self) -> bool {
        self.offset
            .is_none_or(|offset| i64::try_from(offset).is_ok())
    }

    fn for_entry(&self, tables: &mut dyn Tables) -> (NamedFd<'_>, i64) {
        (
            tables.name(&self.fd),
            self.offset.map_or(-1, |offset| offset as i64),
        )
    }
}

/// Moves bytes from one end to the other, one of which is a pipe.
pub(crate) struct Splice {
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) len: usize,
}

impl Request for Splice {
    /// The call does not even look at the files where there is nothing to move.
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        let is_for_ring = self.len > 0 && self.from.is_position() && self.to.is_position();
        is_for_ring.then_some(self)
    }

    #[cfg(target_os = "linux")]
    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        use nix::fcntl::{SpliceFFlags, splice};
        let length = self.len.min(RW_BYTES_MAX);
        let moved = retry(|| {
            let mut from = self.from.offset.map(|at| at as libc::loff_t);
            let mut to = self.to.offset.map(|at| at as libc::loff_t);
            let (source, sink) = (self.from.fd.as_fd(), self.to.fd.as_fd());
            let flags = SpliceFFlags::empty();
            Ok(splice(
                source,
                from.as_mut(),
                sink,
                to.as_mut(),
                length,
                flags,
            )?)
        })?;
        Ok(moved as i32)
    }

    #[cfg(not(target_os = "linux"))]
    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        Err(unsupported())
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.from.fd);
        paths.file(&self.to.fd);
    }
}

// SAFETY: the entry points to no memory; the descriptors are held open by the ends (INV-1).
#[cfg(target_os = "linux")]
unsafe impl Entry for Splice {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        let length = self.len.min(RW_BYTES_MAX) as u32;
        let (from, to) = (self.from.for_entry(tables), self.to.for_entry(tables));
        Ok(Sqe::splice(from, to, length))
    }
}

/// Copies what is in a pipe to another one.
pub(crate) struct Tee {
    pub(crate) from: FdRef,
    pub(crate) to: FdRef,
    pub(crate) len: usize,
}

impl Request for Tee {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        (self.len > 0).then_some(self)
    }

    #[cfg(target_os = "linux")]
    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        use nix::fcntl::{SpliceFFlags, tee};
        let length = self.len.min(RW_BYTES_MAX);
        let flags = SpliceFFlags::empty();
        let copied = retry(|| Ok(tee(self.from.as_fd(), self.to.as_fd(), length, flags)?))?;
        Ok(copied as i32)
    }

    #[cfg(not(target_os = "linux"))]
    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        Err(unsupported())
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.from);
        paths.file(&self.to);
    }
}

// SAFETY: as for `Splice`.
#[cfg(target_os = "linux")]
unsafe impl Entry for Tee {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        let length = self.len.min(RW_BYTES_MAX) as u32;
        Ok(Sqe::tee(
            tables.name(&self.from),
            tables.name(&self.to),
            length,
        ))
    }
}
