//! Reads and writes of several buffers at an offset.
#![allow(unsafe_code, reason = "hands buffer memory to the kernel")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

#[cfg(feature = "testing")]
use super::Paths;
use super::rw::{Place, check};
#[cfg(target_os = "linux")]
use super::{Entry, fixed};
use super::{FdRef, Request};
use crate::base::errno::retry;
use crate::limits::{RW_BYTES_MAX, VECTOR_PARTS_MAX};
use crate::mem::{IoBuf, IoBufMut};
#[cfg(target_os = "linux")]
use crate::sys::linux::sqe::Sqe;
#[cfg(target_os = "linux")]
use crate::sys::linux::tables::Tables;
use crate::sys::steps::Steps;

/// The parts of a vector, as the kernel takes them: on the heap, since it reads them when it begins.
struct Parts {
    parts: Vec<libc::iovec>,
    /// How many bytes they have at most.
    bytes_max: usize,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts {
            parts: Vec::new(),
            bytes_max: RW_BYTES_MAX,
        }
    }
}

// SAFETY: the addresses are those of buffers that the request owns, and buffers are `Send`.
unsafe impl Send for Parts {}

impl Parts {
    /// Lays out what is behind the first `skip` bytes, as far as one call takes it. Empty parts are left
    /// out, so that none of them takes a place from one that has bytes.
    fn lay_out(&mut self, bufs: impl Iterator<Item = (*mut u8, usize)>, mut skip: usize) {
        self.parts.clear();
        let mut room = self.bytes_max;
        for (start, length) in bufs {
            let skipped = length.min(skip);
            skip -= skipped;
            let length = (length - skipped).min(room);
            if length == 0 {
                continue;
            }
            self.parts.push(libc::iovec {
                iov_base: start.wrapping_add(skipped).cast(),
                iov_len: length,
            });
            room -= length;
            if room == 0 || self.parts.len() == VECTOR_PARTS_MAX {
                return;
            }
        }
    }

    fn shorten(&mut self, bytes: usize) {
        self.bytes_max = bytes.clamp(1, self.bytes_max);
    }

    fn total(&self) -> usize {
        self.parts.iter().map(|part| part.iov_len).sum()
    }

    /// One empty part where there are none: without any, some systems say nothing of the file, or refuse.
    fn or_nothing(&mut self) -> (*const libc::iovec, libc::c_int) {
        if self.parts.is_empty() {
            self.parts.push(libc::iovec {
                iov_base: ptr::NonNull::<u8>::dangling().as_ptr().cast(),
                iov_len: 0,
            });
        }
        (self.parts.as_ptr(), self.parts.len() as libc::c_int)
    }
}

/// Reads into owned buffers, one after the other.
pub(crate) struct ReadVectored<B> {
    pub(crate) fd: FdRef,
    bufs: Vec<B>,
    place: Place,
    parts: Parts,
}

impl<B: IoBufMut> ReadVectored<B> {
    pub(crate) fn new(fd: FdRef, bufs: Vec<B>, place: Place) -> ReadVectored<B> {
        ReadVectored {
            fd,
            bufs,
            place,
            parts: Parts::default(),
        }
    }

    #[cfg(target_os = "linux")]
    fn has_room(&self) -> bool {
        self.bufs.iter().any(|buf| buf.bytes_total() > 0)
    }

    fn lay_out(&mut self) {
        let bufs = self.bufs.iter_mut();
        self.parts
            .lay_out(bufs.map(|buf| (buf.stable_mut_ptr(), buf.bytes_total())), 0);
    }

    /// How many bytes were read, and the buffers, each of which knows of its own.
    pub(crate) fn into_parts(mut self, result: i32) -> (usize, Vec<B>) {
        let read = (result as usize).min(self.parts.total());
        let mut left = read;
        for buf in &mut self.bufs {
            if left == 0 {
                break;
            }
            let here = left.min(buf.bytes_total());
            // SAFETY: the kernel fills the buffers in order, each before it goes on to the next.
            unsafe { buf.set_init(here) };
            left -= here;
        }
        (read, self.bufs)
    }

    /// The buffers, after an error.
    pub(crate) fn into_bufs(self) -> Vec<B> {
        self.bufs
    }
}

impl<B: IoBufMut> Request for ReadVectored<B> {
    /// As for a single buffer, the ring does not ask the file where there is nothing to read.
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        (self.has_room() && self.place.is_for_ring()).then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        self.lay_out();
        let fd = self.fd.as_fd().as_raw_fd();
        let offset = self.place.for_call(self.fd.as_fd())?;
        let (parts, count) = self.parts.or_nothing();
        retry(|| {
            // SAFETY: each part is memory of a buffer that this request owns.
            check(unsafe {
                match offset {
                    Some(offset) => libc::preadv(fd, parts, count, offset as libc::off_t),
                    None => libc::readv(fd, parts, count),
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
        self.parts.shorten(bytes);
    }
}

// SAFETY: the entry points to the heap block of the parts, which is made anew only for an entry or a call,
// and these to the buffers, whose addresses `IoBufMut` keeps stable and which only the finished
// operation gives back; the descriptor is held open by `fd` (INV-1).
#[cfg(target_os = "linux")]
unsafe impl<B: IoBufMut> Entry for ReadVectored<B> {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        self.lay_out();
        let (parts, offset) = (&self.parts.parts, self.place.for_ring());
        let fd = tables.name(&self.fd);
        Ok(match fixed::place_to_read(tables, &self.bufs) {
            Some(place) => Sqe::readv_fixed(fd, parts, place, offset),
            None => Sqe::readv(fd, parts, offset),
        })
    }
}

/// Writes from owned buffers, one after the other.
pub(crate) struct WriteVectored<B> {
    pub(crate) fd: FdRef,
    pub(crate) bufs: Vec<B>,
    /// How many of the buffers' bytes were written before.
    skip: usize,
    place: Place,
    parts: Parts,
}

impl<B: IoBuf> WriteVectored<B> {
    pub(crate) fn new(fd: FdRef, bufs: Vec<B>, skip: usize, place: Place) -> WriteVectored<B> {
        WriteVectored {
            fd,
            bufs,
            skip,
            place,
            parts: Parts::default(),
        }
    }

    /// No more than so many bytes, but some.
    pub(crate) fn at_most(mut self, bytes: usize) -> WriteVectored<B> {
        self.parts.shorten(bytes);
        self
    }

    /// Whether there is anything to write behind what was written before.
    #[cfg(target_os = "linux")]
    fn has_bytes(&self) -> bool {
        let all = self.bufs.iter().map(IoBuf::bytes_init);
        all.fold(0, usize::saturating_add) > self.skip
    }

    fn lay_out(&mut self) {
        let bufs = self.bufs.iter();
        let bufs = bufs.map(|buf| (buf.stable_ptr().cast_mut(), buf.bytes_init()));
        self.parts.lay_out(bufs, self.skip);
    }
}

impl<B: IoBuf> Request for WriteVectored<B> {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        (self.has_bytes() && self.place.is_for_ring()).then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        self.lay_out();
        let fd = self.fd.as_fd().as_raw_fd();
        let offset = self.place.for_call(self.fd.as_fd())?;
        let (parts, count) = self.parts.or_nothing();
        retry(|| {
            // SAFETY: each part is initialised memory of a buffer that this request owns.
            check(unsafe {
                match offset {
                    Some(offset) => libc::pwritev(fd, parts, count, offset as libc::off_t),
                    None => libc::writev(fd, parts, count),
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
        self.parts.shorten(bytes);
    }
}

// SAFETY: as for `ReadVectored`; the kernel only reads from the parts.
#[cfg(target_os = "linux")]
unsafe impl<B: IoBuf> Entry for WriteVectored<B> {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        self.lay_out();
        let (parts, offset) = (&self.parts.parts, self.place.for_ring());
        let fd = tables.name(&self.fd);
        Ok(match fixed::place_to_write(tables, &self.bufs) {
            Some(place) => Sqe::writev_fixed(fd, parts, place, offset),
            None => Sqe::writev(fd, parts, offset),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(lengths: &[usize], skip: usize) -> Vec<(usize, usize)> {
        let mut parts = Parts::default();
        let bufs = lengths.iter().enumerate();
        // Addresses that are never used: the length of the part says all.
        let bufs = bufs.map(|(index, &length)| (ptr::without_provenance_mut(index << 40), length));
        parts.lay_out(bufs, skip);
        let parts = parts.parts.iter();
        parts
            .map(|part| (part.iov_base.addr(), part.iov_len))
            .collect()
    }

    /// Empty parts take no place, and what was written before is left out.
    #[test]
    fn parts_begin_behind_what_is_skipped() {
        assert_eq!(laid_out(&[], 0), []);
        assert_eq!(laid_out(&[0, 0], 0), []);
        assert_eq!(laid_out(&[0, 3, 0, 4], 0), [(1 << 40, 3), (3 << 40, 4)]);
        assert_eq!(laid_out(&[3, 4], 3), [(1 << 40, 4)]);
        assert_eq!(laid_out(&[3, 4], 5), [((1 << 40) + 2, 2)]);
        assert_eq!(laid_out(&[3, 4], 7), []);
    }

    /// Neither the number of parts nor their total is over what one call takes, and none wraps.
    #[test]
    fn what_is_too_much_for_one_call_is_clamped() {
        let many = laid_out(&[1; 3 * VECTOR_PARTS_MAX], 5);
        assert_eq!(many.len(), VECTOR_PARTS_MAX);
        assert_eq!(many[0].0, 5 << 40);
        let huge = laid_out(&[RW_BYTES_MAX - 1, 9, 9], 0);
        assert_eq!(huge, [(0, RW_BYTES_MAX - 1), (1 << 40, 1)]);
        assert_eq!(laid_out(&[isize::MAX as usize; 3], 0), [(0, RW_BYTES_MAX)]);
        let behind = laid_out(&[isize::MAX as usize; 3], isize::MAX as usize - 1);
        assert_eq!(behind.len(), 2);
        assert_eq!(behind[0].1, 1);
        assert_eq!(behind[1].1, RW_BYTES_MAX - 1);
    }
}
