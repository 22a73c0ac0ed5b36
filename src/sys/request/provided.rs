//! Reads into a buffer that the kernel picks, or into memory of its own.
#![allow(unsafe_code, reason = "hands buffer memory to the kernel")]

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

#[cfg(feature = "testing")]
use super::Paths;
use super::rw::{Place, read_blocking};
#[cfg(target_os = "linux")]
use super::{Entry, Part};
use super::{FdRef, Request};
use crate::base::errno;
use crate::base::lock::lock;
use crate::base::memory::page_bytes;
use crate::mem::group::Group;
use crate::mem::{AlignedBuf, IoBufMut, ProvidedBuf};
#[cfg(target_os = "linux")]
use crate::sys::linux::{provided::ProvidedRing, sqe::Sqe, tables::Tables};
use crate::sys::steps::Steps;

/// What one entry that reads again and again has brought so far, for whoever waits for it.
#[derive(Default)]
pub(crate) struct Arrived(Mutex<VecDeque<io::Result<ProvidedBuf>>>);

impl Arrived {
    pub(crate) fn take(&self) -> Option<io::Result<ProvidedBuf>> {
        lock(&self.0).pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    #[cfg(target_os = "linux")]
    fn put(&self, buf: io::Result<ProvidedBuf>) {
        lock(&self.0).push_back(buf);
    }
}

/// What a read came to.
pub(crate) enum Took {
    /// What was read; without bytes at the end of the file.
    Read(ProvidedBuf),
    /// All that was read has arrived, and there is more to read.
    Arrived,
}

/// Memory of the request's own.
enum Plain {
    Any(Vec<u8>),
    /// For direct I/O.
    Aligned(AlignedBuf),
}

impl Plain {
    fn new(bytes: usize, is_direct: bool) -> io::Result<Plain> {
        if is_direct {
            return Ok(Plain::Aligned(AlignedBuf::with_capacity(
                bytes,
                page_bytes(),
            )));
        }
        let mut buf = Vec::new();
        buf.try_reserve_exact(bytes)?;
        Ok(Plain::Any(buf))
    }

    fn start(&mut self) -> *mut u8 {
        match self {
            Plain::Any(buf) => buf.stable_mut_ptr(),
            Plain::Aligned(buf) => buf.stable_mut_ptr(),
        }
    }

    /// The first `count` bytes, which were read.
    fn into_buf(self, count: usize) -> ProvidedBuf {
        match self {
            Plain::Any(mut buf) => {
                let count = count.min(buf.capacity());
                // SAFETY: so many bytes were written, within the capacity.
                unsafe { buf.set_init(count) };
                ProvidedBuf::plain(buf)
            }
            Plain::Aligned(mut buf) => {
                buf.set_len(count.min(buf.capacity()));
                ProvidedBuf::aligned(buf)
            }
        }
    }
}

/// Reads into a buffer of a group. Without one it reads into memory of its own.
pub(crate) struct ReadProvided {
    fd: FdRef,
    /// Held until the completion, so that the ring keeps the group.
    group: Arc<Group>,
    place: Place,
    is_direct: bool,
    /// Set where one entry reads again and again.
    many: Option<Arc<Arrived>>,
    /// Reads nothing, and only asks whether one entry may read again and again.
    asks: bool,
    plain: Option<Plain>,
    /// Not with a buffer of the ring.
    without: bool,
    /// The ring whose buffers the last entry named.
    #[cfg(target_os = "linux")]
    ring: Option<Arc<ProvidedRing>>,
    #[cfg(target_os = "linux")]
    got: Option<io::Result<ProvidedBuf>>,
    /// Whether something arrived since the last entry was made.
    has_arrived: bool,
}

impl ReadProvided {
    pub(crate) fn new(fd: FdRef, group: Arc<Group>, place: Place, is_direct: bool) -> Self {
        ReadProvided {
            fd,
            group,
            place,
            is_direct,
            many: None,
            asks: false,
            plain: None,
            without: false,
            #[cfg(target_os = "linux")]
            ring: None,
            #[cfg(target_os = "linux")]
            got: None,
            has_arrived: false,
        }
    }

    /// Reads again and again with one entry, into this.
    pub(crate) fn many(mut self, arrived: Arc<Arrived>) -> Self {
        self.many = Some(arrived);
        self
    }

    /// Reads nothing, and fails where one entry that reads again and again may never be told of the end.
    pub(crate) fn asks(mut self) -> Self {
        self.asks = true;
        self
    }

    /// Reads into memory of its own in any case.
    pub(crate) fn without(mut self) -> Self {
        self.without = true;
        self
    }

    pub(crate) fn fd(&self) -> &FdRef {
        &self.fd
    }

    /// Whether it read again and again, until no buffer was left. What ends a plain read so is the file's own error.
    pub(crate) fn has_run_dry(&self, number: i32) -> bool {
        #[cfg(target_os = "linux")]
        let named_buffers = self.ring.is_some() && self.plain.is_none();
        #[cfg(not(target_os = "linux"))]
        let named_buffers = false;
        number == errno::ENOBUFS && named_buffers && self.has_arrived
    }

    /// Whether this error number is an answer like others, of which the caller hears nothing.
    pub(crate) fn is_ordinary(&self, number: i32) -> bool {
        let has_no_positions = number == errno::ESPIPE && self.place.offset().is_some();
        let is_for_one = (self.asks || self.many.is_some()) && is_for_one_by_one(number);
        let is_not_yet = self.asks && number == errno::EAGAIN;
        has_no_positions || is_for_one || is_not_yet || self.has_run_dry(number)
    }

    /// What came of a read of `count` bytes.
    pub(crate) fn into_took(mut self, count: i32) -> io::Result<Took> {
        #[cfg(target_os = "linux")]
        if self.ring.is_some() && self.plain.is_none() {
            return match self.got.take() {
                Some(got) => got.map(Took::Read),
                None if count == 0 => Ok(Took::Read(ProvidedBuf::plain(Vec::new()))),
                None if self.many.is_some() => Ok(Took::Arrived),
                None => Err(io::ErrorKind::InvalidData.into()),
            };
        }
        let buf = match self.plain.take() {
            Some(plain) => plain.into_buf(count as usize),
            None => ProvidedBuf::plain(Vec::new()),
        };
        Ok(Took::Read(buf))
    }

    fn length(&self) -> usize {
        self.group.size as usize
    }

    /// Memory of its own, made the first time.
    fn plain(&mut self) -> io::Result<*mut u8> {
        let plain = match self.plain.take() {
            Some(plain) => plain,
            None => Plain::new(self.length(), self.is_direct)?,
        };
        Ok(self.plain.insert(plain).start())
    }
}

/// Whether this error of a read that goes on, or of the question for one, says that there is nothing to wait for, or
/// no way to try without waiting.
pub(crate) fn is_for_one_by_one(number: i32) -> bool {
    #[cfg(target_os = "linux")]
    let has_nothing_to_wait_for = number == errno::EBADFD;
    #[cfg(not(target_os = "linux"))]
    let has_nothing_to_wait_for = false;
    has_nothing_to_wait_for || [errno::EINVAL, errno::EOPNOTSUPP].contains(&number)
}

impl Request for ReadProvided {
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        self.place.is_for_ring().then_some(self)
    }

    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        #[cfg(target_os = "linux")]
        {
            self.ring = None;
        }
        if self.asks {
            return Ok(0);
        }
        let (start, length) = (self.plain()?, self.length());
        let offset = self.place.for_call(self.fd.as_fd())?;
        // SAFETY: the memory has room for `length` bytes, and this request owns it.
        unsafe { read_blocking(self.fd.as_fd(), start, length, offset) }
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.file(&self.fd);
    }
}

// SAFETY: the entry names buffers of a ring, which `ring` and `group` keep, or points to memory of the request's
// own, on the heap; the descriptor is held open by `fd` (INV-1).
#[cfg(target_os = "linux")]
unsafe impl Entry for ReadProvided {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        if self.asks {
            return Ok(Sqe::read_nothing(tables.name(&self.fd)));
        }
        let offset = self.place.for_ring();
        self.has_arrived = false;
        self.ring = None;
        if !self.without {
            self.ring = tables.provided(&self.group);
        }
        if let Some(ring) = &self.ring {
            let (fd, id) = (tables.name(&self.fd), ring.id());
            self.plain = None;
            return Ok(match self.many {
                Some(_) => Sqe::read_multishot(fd, id),
                None => Sqe::read_select(fd, id, offset),
            });
        }
        let start = self.plain()?;
        let length = self.length() as u32;
        Ok(Sqe::read(tables.name(&self.fd), start, length, offset))
    }

    /// A buffer is taken whenever there is one, whatever the result says.
    fn on_completion(&mut self, part: Part) {
        let Some(ring) = &self.ring else { return };
        let Some(took) = ring.take(part.result, part.flags).transpose() else {
            return;
        };
        match &self.many {
            Some(arrived) => {
                self.has_arrived = true;
                arrived.put(took);
            }
            None => self.got = Some(took),
        }
    }

    fn has_news(&self) -> bool {
        self.has_arrived
    }

    /// Where something has arrived, whoever takes it gives buffers back, and a new entry finds them.
    fn do_without(&mut self) -> bool {
        let was_with = !std::mem::replace(&mut self.without, !self.has_arrived);
        was_with && self.without && self.ring.is_some()
    }
}
