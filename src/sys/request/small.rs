//! Reading a small file: opened, read and closed as entries that the kernel takes together.
//!
//! The file is opened into a slot of the ring's own table, which the other entries name before it is
//! open. What cannot be read twice (a pipe, a terminal) shows by the entry between open and read, which fails
//! for a pipe: then nothing is read, and the file stays open for whoever goes on with it. A second
//! read shows where the file ends, as a short first one does not on every filesystem.
#![allow(unsafe_code, reason = "hands path and buffer to the kernel")]

use std::io;

#[cfg(feature = "testing")]
use super::Paths;
use super::{At, Entry, Part, Request};
use crate::base::errno;
use crate::limits::SMALL_FILE_BYTES;
use crate::sys::blocking;
use crate::sys::flag;
use crate::sys::linux::direct::DirectSlot;
use crate::sys::linux::sqe::{Link, Sqe};
use crate::sys::linux::tables::Tables;
use crate::sys::path::as_path;
use crate::sys::steps::Steps;

/// Members of the chain: the first, the last, and how many there are.
const OPEN: usize = 0;
const CLOSE: usize = 4;
const MEMBERS: usize = 5;
const _: () = assert!(MEMBERS <= crate::limits::LINKED_ENTRIES_MAX);

/// For the position of the open file.
const AT_CURSOR: u64 = u64::MAX;

/// Reads the file at a path.
pub(crate) struct ReadSmall {
    at: At,
    /// Whether each entry is left to a kernel worker: where a file is read that may be on another mount than that
    /// of the lane, or on one that may wait for a server.
    by_workers: bool,
    /// One byte more than is read at first, which is where the second read goes.
    buf: Vec<u8>,
    slot: Option<DirectSlot>,
    results: [Option<i32>; MEMBERS],
    /// What a blocking thread has read.
    by_thread: Option<Vec<u8>>,
    was_on_thread: bool,
    lacks_slot: bool,
}

/// What came of it.
pub(crate) enum Small {
    /// It has more than these bytes, and is closed.
    Larger(Vec<u8>),
    /// It is open and nothing was read: it cannot be read twice.
    Open(DirectSlot),
    /// The ring has no slot for it just now, or never: nothing was done.
    NoSlot,
    /// All of it.
    Whole(Vec<u8>),
}

impl ReadSmall {
    pub(crate) fn new(at: At, by_workers: bool) -> ReadSmall {
        ReadSmall {
            at,
            by_workers,
            buf: Vec::new(),
            slot: None,
            results: [None; MEMBERS],
            by_thread: None,
            was_on_thread: false,
            lacks_slot: false,
        }
    }

    /// Whether it was opened, and cannot be read twice.
    pub(crate) fn is_stream(&self) -> bool {
        let [opened, checked, ..] = self.results;
        let is_open = opened.is_some_and(|result| result >= 0);
        let was_cancelled = matches!(
            checked.map(|number| -number),
            Some(errno::ECANCELED | errno::EINTR)
        );
        is_open && checked.is_some_and(|result| result < 0) && !was_cancelled
    }

    /// What was read, once the kernel or a thread is done.
    pub(crate) fn into_output(mut self, result: io::Result<i32>) -> io::Result<Small> {
        if self.was_on_thread {
            result?;
            return Ok(Small::Whole(self.by_thread.unwrap_or_default()));
        }
        if self.lacks_slot {
            return Ok(Small::NoSlot);
        }
        let [_opened, _checked, read, more, _closed] = self.results;
        if self.is_stream() {
            return self
                .slot
                .map(Small::Open)
                .ok_or_else(|| io::ErrorKind::BrokenPipe.into());
        }
        // That the close failed is no failure of the read; the slot knows of it.
        let (Some(read @ 0..), Some(more @ 0..)) = (read, more) else {
            result?;
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (read, more) = (read as usize, more as usize);
        // SAFETY: the kernel wrote so many bytes from the start, at most `SMALL_FILE_BYTES`; the byte after
        // those is in the allocation, and is looked at only if it was written.
        unsafe {
            if more > 0 {
                let next = *self.buf.as_ptr().add(SMALL_FILE_BYTES);
                self.buf.set_len(read.min(SMALL_FILE_BYTES));
                self.buf.push(next);
                return Ok(Small::Larger(self.buf));
            }
            self.buf.set_len(read.min(SMALL_FILE_BYTES));
        }
        self.buf.shrink_to_fit();
        Ok(Small::Whole(self.buf))
    }
}

impl Request for ReadSmall {
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        Some(self)
    }

    fn block(&mut self, steps: &Steps) -> io::Result<i32> {
        self.slot = None;
        self.was_on_thread = true;
        self.by_thread = Some(blocking::read_file(as_path(self.at.path()), steps)?);
        Ok(0)
    }

    #[cfg(feature = "testing")]
    fn paths(&self, paths: &mut Paths) {
        paths.at(&self.at);
    }
}

// SAFETY: the entries point to the path's heap block and to the buffer's, neither of which is changed before
// the last of them is over; the directory that the path starts from is held open (INV-1).
unsafe impl Entry for ReadSmall {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        self.results = [None; MEMBERS];
        self.lacks_slot = false;
        let Some(slot) = tables.direct() else {
            self.lacks_slot = true;
            return Err(io::Error::from_raw_os_error(errno::ENFILE));
        };
        let slot = self.slot.insert(slot);
        slot.note_used();
        let slot = slot.number();
        self.buf.try_reserve_exact(SMALL_FILE_BYTES + 1)?;
        let start = self.buf.as_mut_ptr();
        let after = start.wrapping_add(SMALL_FILE_BYTES);
        // Tried on the submitting thread, the kernel would open a FIFO without waiting for its other end.
        let open = Sqe::openat_direct(&self.at, flag::O_RDONLY, 0, slot).for_kernel_worker();
        let read = Sqe::read_direct(slot, start, SMALL_FILE_BYTES as u32, AT_CURSOR);
        let read_on = Sqe::read_direct(slot, after, 1, AT_CURSOR);
        let chain = open
            .then(Link::Soft, Sqe::fadvise_direct(slot))
            .then(Link::Soft, read)
            .then(Link::Hard, read_on)
            .then(Link::Hard, Sqe::close_direct(slot));
        Ok(if self.by_workers {
            chain.for_kernel_worker()
        } else {
            chain
        })
    }

    fn on_completion(&mut self, part: Part) {
        if let Some(result) = self.results.get_mut(part.member) {
            *result = Some(errno::of_interrupted(part.result));
        }
        let never_opened = part.member == OPEN && part.result < 0;
        let closed = part.member == CLOSE && part.result == 0;
        if let (Some(slot), true) = (&mut self.slot, never_opened || closed) {
            slot.note_empty();
        }
    }
}

/// Makes a descriptor of what is in a slot.
pub(crate) struct Install {
    slot: DirectSlot,
}

impl Install {
    pub(crate) fn new(slot: DirectSlot) -> Install {
        Install { slot }
    }
}

impl Request for Install {
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        Some(self)
    }

    /// Only the ring whose slot it is can do it, and that is gone.
    fn block(&mut self, _steps: &Steps) -> io::Result<i32> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

// SAFETY: the entry points to no memory; the slot is this request's (INV-1).
unsafe impl Entry for Install {
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe> {
        if tables.has_direct(&self.slot) {
            return Ok(Sqe::install(self.slot.number()));
        }
        // Only the ring whose slot it is can do it, and that is gone.
        Err(io::ErrorKind::BrokenPipe.into())
    }
}
