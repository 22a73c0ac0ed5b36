//! Reading at the poll what the page cache holds.
//!
//! The conditions are those of `docs/design/polls.md`, each of this moment: a healthy ext4, XFS or btrfs; no access
//! time update due; no readahead from this descriptor; and the kernel has just said that the whole range is in the page
//! cache, with all that a readahead mark of another reader could make it read.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::fd::normal_readahead;

/// What is known of an open file's reads.
#[derive(Default)]
pub(super) struct Resident {
    /// Whether this descriptor was told to start no readahead.
    quiet: AtomicBool,
    /// Whether it was told to start some after all: then no read is answered at the poll.
    loud: AtomicBool,
}

impl Resident {
    /// Whether the open file was told to start no readahead.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }

    /// Lets the kernel read ahead again, until the next read that is answered at the poll.
    pub(super) fn be_loud(&self, fd: BorrowedFd<'_>) {
        if self.quiet.swap(false, Ordering::Relaxed) {
            // A hint: without it, reads are only slower.
            let _ = normal_readahead(fd);
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::ops::Range;
    use std::os::fd::AsFd;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use tokio::io::ReadBuf;

    use crate::base::errno;
    use crate::buf::IoBufMut;
    use crate::driver::attempt::attempt;
    use crate::limits;
    use crate::mounts::{self, Mount};
    use crate::op::file::SharedFile;
    use crate::op::meta::learn_later;
    use crate::op::seen::{is_there, is_whole};
    use crate::settings::Submit;
    use crate::sys::fd::status_flags;
    use crate::sys::flag;
    use crate::sys::linux::nowait;
    use crate::sys::stat::Stat;

    impl SharedFile {
        /// Reads into an owned buffer, if that cannot sleep.
        pub(crate) fn read_at_poll(
            &self,
            buf: &mut impl IoBufMut,
            offset: u64,
        ) -> Option<io::Result<usize>> {
            let length = buf.bytes_total().min(limits::RW_BYTES_MAX);
            self.read_resident(length, offset, |length| {
                nowait::read_cached(self.as_fd(), buf, length, offset)
            })
        }

        /// Reads into borrowed memory, if that cannot sleep.
        pub(crate) fn read_into_at_poll(
            &self,
            into: &mut ReadBuf<'_>,
            offset: u64,
        ) -> Option<io::Result<usize>> {
            let filled = into.filled().len();
            let read = self.read_resident(into.remaining(), offset, |_| {
                nowait::read_cached_into(self.as_fd(), into, offset)
            });
            if read.is_none() {
                // What came of it in part is read again.
                into.set_filled(filled);
            }
            read
        }

        fn read_resident(
            &self,
            length: usize,
            offset: u64,
            read: impl FnOnce(usize) -> io::Result<usize>,
        ) -> Option<io::Result<usize>> {
            let mount = self.mount_ref();
            if length == 0 || !self.may_read_at_poll() || self.health.fence.has_accepted() {
                return None;
            }
            let end = offset.saturating_add(length as u64);
            let result = attempt(Some(mount), || {
                if !self.has_its_flags() || !self.prefetch.is_behind(end) || !self.is_quiet() {
                    return None;
                }
                if self.driver_ref().submit() == Submit::Inline {
                    return Some(self.read_unlooked(length, offset, read));
                }
                let (stat, _) = mounts::of_fd(self.as_fd()).ok()?;
                let ready =
                    self.is_settled(mount, &stat) && self.is_resident(mount, offset..end, &stat);
                let left = stat.size.saturating_sub(offset).min(length as u64);
                ready.then(|| (read(length), left))
            })??;
            let (result, left) = result;
            if result.as_ref().is_ok_and(|&count| (count as u64) < left) {
                // Pages that are still being read count as cached: what comes after them is waited for.
                return None;
            }
            match result {
                // Gone from the cache meanwhile, or something this filesystem does not do without waiting.
                Err(error)
                    if !matches!(error.raw_os_error(), Some(errno::EBADF | errno::EISDIR)) =>
                {
                    None
                }
                result => Some(result),
            }
        }

        /// Reads for who submits where he polls, and so has said that his disk answers: nothing is asked before. Also how
        /// much there was to read, which matters where less came.
        fn read_unlooked(
            &self,
            length: usize,
            offset: u64,
            read: impl FnOnce(usize) -> io::Result<usize>,
        ) -> (io::Result<usize>, u64) {
            let result = read(length);
            let is_short = result.as_ref().is_ok_and(|&count| count < length);
            let left = if is_short {
                let size = mounts::of_fd(self.as_fd()).map_or(u64::MAX, |(stat, _)| stat.size);
                size.saturating_sub(offset).min(length as u64)
            } else {
                length as u64
            };
            (result, left)
        }

        /// Whether reads are answered at the poll, where what they want is in memory.
        fn may_read_at_poll(&self) -> bool {
            self.mount_ref().reads_nowait()
                && self.driver_ref().attempts()
                && self.is_regular()
                && !self.is_direct()
        }

        /// Whether the flags that matter are those of the open: who has a duplicate sets them for all.
        fn has_its_flags(&self) -> bool {
            const MATTER: i32 = flag::O_DIRECT | flag::O_NOATIME;
            let are_same = |flags: i32| flags & MATTER == self.opened_with() & MATTER;
            !self.health.on_rings.is_lent() || status_flags(self.as_fd()).is_ok_and(are_same)
        }

        /// Whether the kernel may not start readahead for this descriptor, whatever its user advises. If
        /// it may, it may from now on.
        pub(crate) fn keeps_random(&self) -> bool {
            let keeps = self.may_read_at_poll() && !self.resident.loud.load(Ordering::Relaxed);
            if !keeps {
                self.resident.loud.store(true, Ordering::Relaxed);
            }
            keeps
        }

        /// The kernel reads ahead for this open file from now on, as it does for the system's own reads; none is
        /// answered at the poll any more.
        pub(crate) fn reads_ahead(&self) {
            self.resident.loud.store(true, Ordering::Relaxed);
            self.resident.be_loud(self.as_fd());
        }

        /// The kernel was told to start no readahead.
        pub(crate) fn note_quiet(&self) {
            self.resident.quiet.store(true, Ordering::Relaxed);
        }

        /// No readahead from this descriptor: starting one sleeps when the disk's queue is full. Behind what reads
        /// ahead there is nothing left to start one.
        fn is_quiet(&self) -> bool {
            if self.prefetch.streams() {
                return true;
            }
            if self.resident.loud.load(Ordering::Relaxed) {
                return false;
            }
            if !self.resident.quiet.load(Ordering::Relaxed) {
                if nowait::no_readahead(self.as_fd()).is_err() {
                    return false;
                }
                self.resident.quiet.store(true, Ordering::Relaxed);
            }
            true
        }

        /// No access time update is due at this moment: writing one sleeps when the journal is stuck.
        fn is_settled(&self, mount: &Arc<Mount>, stat: &Stat) -> bool {
            if self.has_no_atime() {
                return true;
            }
            if !mount.is_current() {
                // The mount may have other options by now.
                learn_later(self.driver_ref(), stat.clone());
            }
            mount.atime_is_settled(stat)
        }

        /// Whether every page of the range, as far as the file goes, is in the page cache, and so much behind it that
        /// a mark which another reader's readahead has left finds nothing to read: two windows, one that is there
        /// already and the next.
        fn is_resident(&self, mount: &Mount, range: Range<u64>, stat: &Stat) -> bool {
            let end = range.end.min(stat.size);
            if range.start >= end {
                return true;
            }
            let length = end - range.start;
            let Some(window) = mount.readahead_bytes() else {
                return false;
            };
            let ahead = window.max(length).saturating_mul(2).min(stat.size - end);
            let (fd, all) = (self.as_fd(), range.start..end + ahead);
            if ahead <= limits::READ_LOOK_BYTES {
                return is_there(fd, all);
            }
            let is_near = ahead <= limits::READ_SEEN_BYTES && is_there(fd, range.start..end);
            is_near && is_whole(fd, all, stat)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::io;

    use tokio::io::ReadBuf;

    use crate::buf::IoBufMut;
    use crate::op::file::SharedFile;

    impl SharedFile {
        pub(crate) fn read_at_poll(
            &self,
            _buf: &mut impl IoBufMut,
            _offset: u64,
        ) -> Option<io::Result<usize>> {
            None
        }

        pub(crate) fn read_into_at_poll(
            &self,
            _into: &mut ReadBuf<'_>,
            _offset: u64,
        ) -> Option<io::Result<usize>> {
            None
        }

        pub(crate) fn keeps_random(&self) -> bool {
            false
        }

        pub(crate) fn reads_ahead(&self) {}

        pub(crate) fn note_quiet(&self) {}
    }
}
