//! The buffer of the ring peers, whose traits are not tidegate's.

use std::mem::MaybeUninit;
use std::slice;

use tidegate::buf::{AlignedBuf, IoBuf, IoBufMut};

/// An aligned buffer that is in use as a whole.
pub(crate) struct RingBuf(pub(super) AlignedBuf);

// SAFETY: the allocation belongs to the value, does not move with it, and is zeroed.
unsafe impl tokio_uring::buf::IoBuf for RingBuf {
    fn stable_ptr(&self) -> *const u8 {
        IoBuf::stable_ptr(&self.0)
    }

    fn bytes_init(&self) -> usize {
        self.0.len()
    }

    fn bytes_total(&self) -> usize {
        self.0.capacity()
    }
}

// SAFETY: as for `IoBuf`; `&mut self` makes the access unique.
unsafe impl tokio_uring::buf::IoBufMut for RingBuf {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        IoBufMut::stable_mut_ptr(&mut self.0)
    }

    unsafe fn set_init(&mut self, _: usize) {}
}

// SAFETY: the allocation belongs to the value, does not move with it, and is zeroed.
unsafe impl monoio::buf::IoBuf for RingBuf {
    fn read_ptr(&self) -> *const u8 {
        IoBuf::stable_ptr(&self.0)
    }

    fn bytes_init(&self) -> usize {
        self.0.len()
    }
}

// SAFETY: as for `IoBuf`; `&mut self` makes the access unique.
unsafe impl monoio::buf::IoBufMut for RingBuf {
    fn write_ptr(&mut self) -> *mut u8 {
        IoBufMut::stable_mut_ptr(&mut self.0)
    }

    fn bytes_total(&mut self) -> usize {
        self.0.capacity()
    }

    unsafe fn set_init(&mut self, _: usize) {}
}

impl compio::buf::IoBuf for RingBuf {
    fn as_init(&self) -> &[u8] {
        &self.0
    }
}

impl compio::buf::SetLen for RingBuf {
    /// All of it is in use always.
    unsafe fn set_len(&mut self, _: usize) {}
}

impl compio::buf::IoBufMut for RingBuf {
    fn as_uninit(&mut self) -> &mut [MaybeUninit<u8>] {
        let (start, len) = (IoBufMut::stable_mut_ptr(&mut self.0), self.0.capacity());
        // SAFETY: the allocation is the value's, `len` bytes long, and initialized; whoever takes the bytes may only
        // write to them, as the trait demands.
        unsafe { slice::from_raw_parts_mut(start.cast(), len) }
    }
}
