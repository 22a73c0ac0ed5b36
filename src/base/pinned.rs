//! Memory whose pages are pinned, by a small ring that does nothing else.
#![allow(unsafe_code, reason = "registers memory with a ring")]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;

use io_uring::{IoUring, Submitter};

use super::fork::Born;
use super::memory::Mapping;
use super::{errno, freeing};

/// Registers memory at a place of a ring's table that is free.
///
/// # Safety
///
/// The memory must stay until it is unregistered or the ring is gone.
pub(crate) unsafe fn register(
    submitter: &Submitter<'_>,
    place: u32,
    start: NonNull<u8>,
    bytes: usize,
) -> io::Result<()> {
    let part = libc::iovec {
        iov_base: start.as_ptr().cast(),
        iov_len: bytes,
    };
    // SAFETY: the caller keeps the memory.
    unsafe { submitter.register_buffers_update(place, &[part], None) }
}

/// A ring that does nothing but have memory registered, at the first place of its table. Whoever is the last to have it
/// unpins the pages, so rings hold on to it until they have let go of what they took over, and the end comes on a thread.
pub(crate) struct Source {
    ring: Option<Registered>,
    bytes: usize,
}

struct Registered {
    ring: IoUring,
    born: Born,
}

/// What came of registering memory.
pub(crate) struct Pinned {
    pub(crate) source: Source,
    /// How much of it, from its start.
    pub(crate) bytes: usize,
    /// Why not more, where more was wanted.
    pub(crate) refused: Option<io::Error>,
}

impl Source {
    /// Registers the memory, or as much of its start as may be: half of it each time that the system refuses to
    /// lock so much, down to one `unit`, of which it is a multiple. Fails where none can be.
    pub(crate) fn pin(memory: &Mapping, unit: usize, bytes_max: usize) -> io::Result<Pinned> {
        // Mapped in a forked child, too, so that it unmaps what is its own.
        let ring = IoUring::builder().build(1)?;
        ring.submitter().register_buffers_sparse(1)?;
        let mut source = Source {
            ring: Some(Registered {
                ring,
                born: Born::here(),
            }),
            bytes: 0,
        };
        let mut bytes = whole(memory.bytes().min(bytes_max), unit);
        let mut refused = None;
        while bytes > 0 {
            // SAFETY: the kernel pins the pages for as long as it has them registered, whatever becomes of the
            // mapping, and nobody does operations on this ring.
            match unsafe { register(&source.ring().submitter(), 0, memory.start(), bytes) } {
                Ok(()) => {
                    source.bytes = bytes;
                    return Ok(Pinned {
                        source,
                        bytes,
                        refused,
                    });
                }
                Err(error) if error.raw_os_error() == Some(errno::ENOMEM) => refused = Some(error),
                Err(error) => return Err(error),
            }
            bytes = whole(bytes / 2, unit);
        }
        Err(refused.unwrap_or_else(|| io::Error::from_raw_os_error(errno::ENOMEM)))
    }

    fn registered(&self) -> &Registered {
        self.ring
            .as_ref()
            .expect("it has its ring until it is dropped")
    }

    fn ring(&self) -> &IoUring {
        &self.registered().ring
    }

    /// The number of its ring, for those that take the memory over; none in a forked child, whose own memory is not
    /// what its parent's ring has registered.
    pub(crate) fn number(&self) -> Option<RawFd> {
        let registered = self.registered();
        (!registered.born.is_of_parent()).then(|| registered.ring.as_raw_fd())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(ring) = self.ring.take() {
            freeing::free(self.bytes, ring);
        }
    }
}

fn whole(bytes: usize, unit: usize) -> usize {
    bytes - bytes % unit
}

impl Drop for Registered {
    /// Closing a ring releases its memory some time later; this does it at once. Not in a forked child, which
    /// would take it from its parent.
    fn drop(&mut self) {
        if !self.born.is_of_parent() {
            let _ = self.ring.submitter().unregister_buffers();
        }
    }
}
