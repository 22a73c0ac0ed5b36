//! What a ring may register: tried, each on a small ring of its own that is gone at once.
#![allow(unsafe_code, reason = "registers memory with rings")]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::types::CloneBuffersFlags;
use io_uring::{IoUring, Submitter};

use crate::buf::AlignedBuf;

/// As large as the largest page, and as well aligned.
const MEMORY_BYTES: usize = 64 << 10;

/// What of it is registered: a page of most machines.
const REGISTERED_BYTES: usize = 4096;

fn ring() -> io::Result<IoUring> {
    IoUring::builder().dontfork().build(2)
}

fn memory() -> AlignedBuf {
    AlignedBuf::zeroed(MEMORY_BYTES, MEMORY_BYTES)
}

/// Fills the first of two places of the ring's table.
fn register(submitter: &Submitter<'_>, memory: &mut AlignedBuf) -> io::Result<()> {
    submitter.register_buffers_sparse(2)?;
    let part = libc::iovec {
        iov_base: memory.as_mut_ptr().cast(),
        iov_len: REGISTERED_BYTES,
    };
    // SAFETY: no operation of these rings uses it, and the kernel keeps the pages for as long as it has them
    // registered.
    unsafe { submitter.register_buffers_update(0, &[part], None) }
}

/// One page, as the memory of a pool.
pub(crate) fn registered_buffers() -> io::Result<()> {
    let (ring, mut memory) = (ring()?, memory());
    register(&ring.submitter(), &mut memory)?;
    // Closing a ring releases its memory some time later; this does it at once.
    ring.submitter().unregister_buffers()
}

/// One page, taken over into the table of another ring.
pub(crate) fn cloned_buffers() -> io::Result<()> {
    let (source, ring, mut memory) = (ring()?, ring()?, memory());
    register(&source.submitter(), &mut memory)?;
    let submitter = ring.submitter();
    submitter.register_buffers_sparse(2)?;
    let (from, to, count) = (0, 1, 1);
    let replace = CloneBuffersFlags::DST_REPLACE;
    submitter.register_buffers_clone_offset(source.as_raw_fd(), from, to, count, replace)?;
    submitter.unregister_buffers()?;
    source.submitter().unregister_buffers()
}

/// A ring of two provided buffers.
pub(crate) fn provided_buffers() -> io::Result<()> {
    let (ring, mut memory) = (ring()?, memory());
    let submitter = ring.submitter();
    let (start, entries, group) = (memory.as_mut_ptr() as u64, 2, 0);
    // SAFETY: no operation of this ring picks a buffer, so nobody reads or writes there; the kernel keeps the page
    // until it is unregistered.
    unsafe { submitter.register_buf_ring_with_flags(start, entries, group, 0) }?;
    submitter.unregister_buf_ring(group)
}

/// A table of files with nothing in it.
pub(crate) fn direct_descriptors() -> io::Result<()> {
    ring()?.submitter().register_files_sparse(2)
}
