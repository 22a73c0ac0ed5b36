//! Reading at the poll what the page cache holds.
//!
//! The conditions are those of `docs/design/polls.md`: a healthy ext4, XFS or btrfs; no access time
//! update due; no readahead from this descriptor; and the kernel has just said that the whole range is
//! in the page cache.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is known of an open file's reads.
#[derive(Default)]
pub(super) struct Resident {
    /// Whether this descriptor was told to start no readahead.
    quiet: AtomicBool,
    /// Whether it was told to start some after all: then no read is answered at the poll.
    loud: AtomicBool,
    /// Until when, in coarse milliseconds, no access time update is due.
    settled_until_ms: AtomicU64,
}

impl Resident {
    /// Whether the open file was told to start no readahead.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::AsFd;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use tokio::io::ReadBuf;

    use crate::buf::IoBufMut;
    use crate::driver::attempt::attempt;
    use crate::limits;
    use crate::mounts::{self, Mount};
    use crate::op::file::SharedFile;
    use crate::sys::clock::system_ms;
    use crate::sys::errno;
    use crate::sys::fd::normal_readahead;
    use crate::sys::linux::nowait;

    const PAGE_BYTES: u64 = 4096;

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
            self.read_resident(into.remaining(), offset, |_| {
                nowait::read_cached_into(self.as_fd(), into, offset)
            })
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
            let result = attempt(Some(mount), || {
                let ready = self
                    .prefetch
                    .is_behind(offset.saturating_add(length as u64))
                    && self.is_quiet()
                    && self.is_settled(mount)
                    && self.is_resident(offset, length as u64);
                ready.then(|| read(length))
            })??;
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

        /// Whether reads are answered at the poll, where what they want is in memory.
        fn may_read_at_poll(&self) -> bool {
            self.mount_ref().reads_nowait()
                && self.driver_ref().attempts()
                && self.is_regular()
                && !self.is_direct()
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
            if self.resident.quiet.swap(false, Ordering::Relaxed) {
                // A hint: without it, reads are only slower.
                let _ = normal_readahead(self.as_fd());
            }
        }

        /// The kernel was told to start no readahead.
        pub(crate) fn note_quiet(&self) {
            self.resident.quiet.store(true, Ordering::Relaxed);
        }

        /// No readahead from this descriptor: starting one sleeps when the disk's queue is full.
        fn is_quiet(&self) -> bool {
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

        /// No access time update is due: writing one sleeps when the journal is stuck.
        fn is_settled(&self, mount: &Arc<Mount>) -> bool {
            if self.has_no_atime() {
                return true;
            }
            let now = system_ms();
            if now < self.resident.settled_until_ms.load(Ordering::Relaxed) {
                return true;
            }
            let settled =
                mounts::of_fd(self.as_fd()).is_ok_and(|(stat, _)| mount.atime_is_settled(&stat));
            if settled {
                let until = now + limits::ATIME_CHECK_REUSE.as_millis() as u64;
                self.resident
                    .settled_until_ms
                    .store(until, Ordering::Relaxed);
            }
            settled
        }

        /// After a write, the next read may owe an access time update.
        pub(crate) fn note_write(&self) {
            self.resident.settled_until_ms.store(0, Ordering::Relaxed);
        }

        /// Whether every page of the range, as far as the file goes, is in the page cache.
        fn is_resident(&self, offset: u64, length: u64) -> bool {
            let pages = |length: u64| (offset + length).div_ceil(PAGE_BYTES) - offset / PAGE_BYTES;
            let Ok(cached) = nowait::pages_cached(self.as_fd(), offset, length) else {
                return false;
            };
            if cached >= pages(length) {
                return true;
            }
            // Fewer may be all there are, at the end of the file.
            let Ok((stat, _)) = mounts::of_fd(self.as_fd()) else {
                return false;
            };
            let left = stat.size.saturating_sub(offset);
            left < length && (left == 0 || cached >= pages(left))
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

        pub(crate) fn note_write(&self) {}
    }
}
