//! What a ring may register: tried, each on a small ring of its own that is gone at once.
#![allow(unsafe_code, reason = "registers memory with rings")]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::types::CloneBuffersFlags;
use io_uring::{IoUring, Submitter};

use super::provided::INCREMENTAL;
use crate::mem::AlignedBuf;

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
    provided_buffers_of(0)
}

/// The same, to be filled bit by bit.
pub(crate) fn incremental_buffers() -> io::Result<()> {
    provided_buffers_of(INCREMENTAL)
}

fn provided_buffers_of(flags: u16) -> io::Result<()> {
    let (ring, mut memory) = (ring()?, memory());
    provide(&ring.submitter(), &mut memory, 0, flags)?;
    ring.submitter().unregister_buf_ring(0)
}

fn provide(
    submitter: &Submitter<'_>,
    memory: &mut AlignedBuf,
    group: u16,
    flags: u16,
) -> io::Result<()> {
    let (start, entries) = (memory.as_mut_ptr() as u64, 2);
    // SAFETY: no operation of these rings picks a buffer, so nobody reads or writes there; the kernel keeps the page
    // until it is unregistered.
    unsafe { submitter.register_buf_ring_with_flags(start, entries, group, flags) }
}

/// A table of files with nothing in it.
pub(crate) fn direct_descriptors() -> io::Result<()> {
    ring()?.submitter().register_files_sparse(2)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mem::Bgids;

    /// R23, R24: the kernel takes every id that is handed out, each once on each ring, and again when it was let go.
    #[test]
    fn the_kernel_takes_every_id_once_for_each_ring() {
        if let Err(error) = provided_buffers() {
            return eprintln!("skip: the_kernel_takes_every_id_once_for_each_ring: {error}");
        }
        let ids = Arc::new(Bgids::default());
        let held: Vec<_> = std::iter::from_fn(|| ids.acquire(0).ok()).collect();
        let (one, other, mut memory) = (ring().unwrap(), ring().unwrap(), memory());
        let (one, other) = (one.submitter(), other.submitter());
        let ends = [&held[0], &held[65_534], &held[65_535]];
        for id in ends.map(|id| id.id()) {
            provide(&one, &mut memory, id, 0).unwrap();
            let again = provide(&one, &mut memory, id, 0).unwrap_err();
            assert_eq!(again.raw_os_error(), Some(libc::EEXIST));
            let unknown = other.unregister_buf_ring(id).unwrap_err();
            assert_eq!(unknown.raw_os_error(), Some(libc::ENOENT));
            provide(&other, &mut memory, id, 0).unwrap();
        }
        for id in ends.map(|id| id.id()) {
            one.unregister_buf_ring(id).unwrap();
            provide(&one, &mut memory, id, 0).unwrap();
        }
    }
}
