//! Reads and writes at an offset.
#![allow(unsafe_code, reason = "hands buffer memory to the kernel")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

#[cfg(feature = "testing")]
use super::Paths;
#[cfg(target_os = "linux")]
use super::{Entry, fixed};
use super::{FdRef, Request};
use crate::buf::{IoBuf, IoBufMut};
use crate::limits::RW_BYTES_MAX;
use crate::sys::errno::retry;
#[cfg(target_os = "linux")]
use crate::sys::linux::sqe::{Sqe, code};
#[cfg(target_os = "linux")]
use crate::sys::linux::tables::Tables;
use crate::sys::steps::Steps;

pub(super) fn check(result: isize) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as i32)
    }
}

/// Where in its file a read or a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    At(u64),
    /// At the kernel's own position, after so many bytes back, for a file that others have too. Not by a ring,
    /// which takes the position without its lock, so that bytes of others would be lost.
    Kernel {
        back: u64,
    },
    /// Files that have no positions.
    Stream,
    /// The same, where nothing is to be waited for: a ring would wait.
    StreamNow,
}

impl From<Option<u64>> for Place {
    fn from(offset: Option<u64>) -> Place {
        offset.map_or(Place::Stream, Place::At)
    }
}

impl Place {
    /// Whether a ring may take it.
    #[cfg(target_os = "linux")]
    fn is_for_ring(self) -> bool {
        !matches!(self, Place::Kernel { .. } | Place::StreamNow)
    }

    /// The offset of an entry.
    #[cfg(target_os = "linux")]
    fn for_ring(self) -> u64 {
        match self {
            Place::At(offset) => offset,
            Place::Kernel { .. } | Place::Stream | Place::StreamNow => NO_POSITION,
        }
    }

    /// The offset of a blocking call, which has none where the kernel's position counts.
    fn for_call(self, fd: BorrowedFd<'_>) -> io::Result<Option<u64>> {
        match self {
            Place::At(offset) => Ok(Some(offset)),
            Place::Kernel { back: 0 } | Place::Stream | Place::StreamNow => Ok(None),
            Place::Kernel { back } => {
                let back = io::SeekFrom::Current(-(back as i64));
                crate::sys::blocking::seek(fd, back).map(|_| None)
            }
        }
    }
}

/// Reads once on this thread; without an offset for files that have no positions.
///
/// # Safety
///
/// There must be room for `length` bytes at `start`, which nobody else uses meanwhile.
pub(super) unsafe fn read_blocking(
    fd: BorrowedFd<'_>,
    start: *mut u8,
    length: usize,
    offset: Option<u64>,
) -> io::Result<i32> {
    let (fd, start) = (fd.as_raw_fd(), start.cast());
    retry(|| {
        // SAFETY: the caller vouches for the memory.
        check(unsafe {
            match offset {
                Some(offset) => libc::pread(fd, start, length, offset as libc::off_t),
                None => libc::read(fd, start, length),
            }
        })
    })
}

/// What the kernel takes for 'no position'. A position can never have this value: offsets over
/// `i64::MAX` are refused before they come here.
#[cfg(target_os = "linux")]
pub(super) const NO_POSITION: u64 = u64::MAX;

/// Reads into an owned buffer.
pub(crate) struct Read<B> {
    pub(crate) fd: FdRef,
    pub(crate) buf: B,
    pub(crate) place: Place,
}

impl<B: IoBufMut> Read<B> {
    fn length(&self) -> usize {
        self.buf.bytes_total().min(RW_BYTES_MAX)
    }

    /// How many bytes were read, and the buffer, which knows of them.
    pub(crate) fn into_parts(mut self, result: i32) -> (usize, B) {
        let read = (result as usize).min(self.length());
        // SAFETY: the kernel initialised that many bytes from the start.
        unsafe { self.buf.set_init(read) };
        (read, self.buf)
    }
}

impl<B: IoBufMut> Request for Read<B> {
    /// Reading nothing still says whether the file can be read, but the ring does not ask it.
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        (self.length() > 0 && self.place.is_for_ring()).then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        let (length, start) = (self.length(), self.buf.stable_mut_ptr());
        let offset = self.place.for_call(self.fd.as_fd())?;
        // SAFETY: the buffer has room for `length` bytes, and this request owns it.
        unsafe { read_blocking(self.fd.as_fd(), start, length, offset) }
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.fd);
    }
}

// SAFETY: the entry points to the buffer, whose address `IoBufMut` keeps stable and which only the
// finished operation gives back; the descriptor is held open by `fd` (INV-1).
#[cfg(target_os = "linux")]
unsafe impl<B: IoBufMut> Entry for Read<B> {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        let (start, length) = (self.buf.stable_mut_ptr(), self.length() as u32);
        let (fd, offset) = (tables.name(&self.fd), self.place.for_ring());
        Ok(match fixed::place(tables, &self.buf, code::READ_FIXED) {
            Some(place) => Sqe::read_fixed(fd, (start, length), place, offset),
            None => Sqe::read(fd, start, length, offset),
        })
    }
}

/// Writes from an owned buffer.
pub(crate) struct Write<B> {
    pub(crate) fd: FdRef,
    pub(crate) buf: B,
    pub(crate) place: Place,
}

impl<B: IoBuf> Write<B> {
    fn length(&self) -> usize {
        self.buf.bytes_init().min(RW_BYTES_MAX)
    }
}

impl<B: IoBuf> Request for Write<B> {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        self.place.is_for_ring().then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        let fd = self.fd.as_fd().as_raw_fd();
        let (start, length) = (self.buf.stable_ptr().cast(), self.length());
        let offset = self.place.for_call(self.fd.as_fd())?;
        retry(|| {
            // SAFETY: the first `length` bytes of the buffer are initialised, and this request owns it.
            check(unsafe {
                match offset {
                    Some(offset) => libc::pwrite(fd, start, length, offset as libc::off_t),
                    None => libc::write(fd, start, length),
                }
            })
        })
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.fd);
    }
}

// SAFETY: as for `Read`.
#[cfg(target_os = "linux")]
unsafe impl<B: IoBuf> Entry for Write<B> {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        let (start, length) = (self.buf.stable_ptr(), self.length() as u32);
        let (fd, offset) = (tables.name(&self.fd), self.place.for_ring());
        Ok(match fixed::place(tables, &self.buf, code::WRITE_FIXED) {
            Some(place) => Sqe::write_fixed(fd, (start, length), place, offset),
            None => Sqe::write(fd, start, length, offset),
        })
    }
}
