//! Reads and writes at an offset.
#![allow(unsafe_code, reason = "hands buffer memory to the kernel")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

#[cfg(feature = "testing")]
use super::Paths;
#[cfg(target_os = "linux")]
use super::{Entry, fixed};
use super::{FdRef, Request};
use crate::base::errno::retry;
use crate::limits::RW_BYTES_MAX;
use crate::mem::{IoBuf, IoBufMut};
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
    /// Either, where a ring would do otherwise than the system's call does.
    Call(Option<u64>),
}

impl From<Option<u64>> for Place {
    fn from(offset: Option<u64>) -> Place {
        offset.map_or(Place::Stream, Place::At)
    }
}

impl Place {
    /// The position that the caller gave.
    pub(crate) fn offset(self) -> Option<u64> {
        match self {
            Place::At(offset) => Some(offset),
            Place::Call(offset) => offset,
            Place::Kernel { .. } | Place::Stream => None,
        }
    }

    /// The same for a call.
    pub(crate) fn by_call(self) -> Place {
        match self {
            Place::At(_) | Place::Stream => Place::Call(self.offset()),
            Place::Kernel { .. } | Place::Call(_) => self,
        }
    }

    /// Whether a ring may take it.
    #[cfg(target_os = "linux")]
    pub(super) fn is_for_ring(self) -> bool {
        !matches!(self, Place::Kernel { .. } | Place::Call(_))
    }

    /// The offset of an entry.
    #[cfg(target_os = "linux")]
    pub(super) fn for_ring(self) -> u64 {
        match self {
            Place::At(offset) => offset,
            Place::Kernel { .. } | Place::Stream | Place::Call(_) => NO_POSITION,
        }
    }

    /// The offset of a blocking call, which has none where the kernel's position counts.
    pub(super) fn for_call(self, fd: BorrowedFd<'_>) -> io::Result<Option<u64>> {
        match self {
            Place::At(offset) => Ok(Some(offset)),
            Place::Call(offset) => Ok(offset),
            Place::Kernel { back: 0 } | Place::Stream => Ok(None),
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
const NO_POSITION: u64 = u64::MAX;

/// Reads into an owned buffer.
pub(crate) struct Read<B> {
    pub(crate) fd: FdRef,
    pub(crate) buf: B,
    place: Place,
    /// How many bytes are asked for at most.
    bytes_max: usize,
}

impl<B: IoBufMut> Read<B> {
    pub(crate) fn new(fd: FdRef, buf: B, place: Place) -> Read<B> {
        Read {
            fd,
            buf,
            place,
            bytes_max: RW_BYTES_MAX,
        }
    }

    fn length(&self) -> usize {
        self.buf.bytes_total().min(self.bytes_max)
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

    #[cfg(feature = "testing")]
    fn shorten(&mut self, bytes: usize) {
        self.bytes_max = bytes.max(1);
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

/// What is written leaves the page cache once it is on the device (Linux 6.14).
#[cfg(target_os = "linux")]
const RWF_DONTCACHE: i32 = 0x80;

/// Writes from an owned buffer.
pub(crate) struct Write<B> {
    pub(crate) fd: FdRef,
    pub(crate) buf: B,
    place: Place,
    /// How many bytes are handed over at most.
    bytes_max: usize,
    /// Whether they leave the page cache by themselves.
    is_uncached: bool,
}

impl<B: IoBuf> Write<B> {
    pub(crate) fn new(fd: FdRef, buf: B, place: Place) -> Write<B> {
        Write {
            fd,
            buf,
            place,
            bytes_max: RW_BYTES_MAX,
            is_uncached: false,
        }
    }

    /// Whether they leave the page cache by themselves, once they are on the device (`RWF_DONTCACHE`).
    pub(crate) fn uncached(mut self, is_uncached: bool) -> Write<B> {
        self.is_uncached = is_uncached && cfg!(target_os = "linux");
        self
    }

    #[cfg(target_os = "linux")]
    fn flags(&self) -> i32 {
        if self.is_uncached { RWF_DONTCACHE } else { 0 }
    }

    fn length(&self) -> usize {
        self.buf.bytes_init().min(self.bytes_max)
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
        #[cfg(target_os = "linux")]
        if let (true, Some(offset)) = (self.is_uncached, offset) {
            let part = libc::iovec {
                iov_base: start as *mut libc::c_void,
                iov_len: length,
            };
            // The kernel puts the position together from two longs, and where one holds all of it drops the other.
            let (low, high) = (offset as libc::c_ulong, (offset >> 32) as libc::c_ulong);
            let (call, part, flags) = (libc::SYS_pwritev2, &raw const part, self.flags());
            return retry(|| {
                // SAFETY: the part is initialised memory of the buffer, which this request owns.
                let result = unsafe { libc::syscall(call, fd, part, 1, low, high, flags) };
                check(result as isize)
            });
        }
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

    #[cfg(feature = "testing")]
    fn shorten(&mut self, bytes: usize) {
        self.bytes_max = bytes.max(1);
    }
}

// SAFETY: as for `Read`.
#[cfg(target_os = "linux")]
unsafe impl<B: IoBuf> Entry for Write<B> {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        let (start, length) = (self.buf.stable_ptr(), self.length() as u32);
        let (fd, offset) = (tables.name(&self.fd), self.place.for_ring());
        Ok(match fixed::place(tables, &self.buf, code::WRITE_FIXED) {
            Some(place) => Sqe::write_fixed(fd, (start, length), place, offset, self.flags()),
            None => Sqe::write(fd, (start, length), offset, self.flags()),
        })
    }
}
