//! Our buffers in tokio-uring's operations.
#![allow(
    unsafe_code,
    reason = "promises another crate what the buffers promise here"
)]

use ::tokio_uring::buf::{IoBuf as TheirBuf, IoBufMut as TheirBufMut};

use super::{AlignedBuf, FixedBuf, IoBuf, IoBufMut, Slice};

macro_rules! theirs_too {
    ($($type:ty),*) => { $(
// SAFETY: its promises of address and initialisation are those of our trait, which holds here.
unsafe impl TheirBuf for $type {
    fn stable_ptr(&self) -> *const u8 {
        IoBuf::stable_ptr(self)
    }

    fn bytes_init(&self) -> usize {
        IoBuf::bytes_init(self)
    }

    fn bytes_total(&self) -> usize {
        IoBuf::bytes_total(self)
    }
}

// SAFETY: as for its `IoBuf`; the value owns the memory.
unsafe impl TheirBufMut for $type {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        IoBufMut::stable_mut_ptr(self)
    }

    unsafe fn set_init(&mut self, len: usize) {
        // SAFETY: the caller promises the same of `len` as our trait asks for.
        unsafe { IoBufMut::set_init(self, len) }
    }
}
    )* };
}

theirs_too!(AlignedBuf, FixedBuf);

// SAFETY: its promises of address and initialisation are those of our trait, which holds here.
unsafe impl<B: IoBuf> TheirBuf for Slice<B> {
    fn stable_ptr(&self) -> *const u8 {
        IoBuf::stable_ptr(self)
    }

    fn bytes_init(&self) -> usize {
        IoBuf::bytes_init(self)
    }

    fn bytes_total(&self) -> usize {
        IoBuf::bytes_total(self)
    }
}

// SAFETY: as for its `IoBuf`; the buffer inside owns the bytes.
unsafe impl<B: IoBufMut> TheirBufMut for Slice<B> {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        IoBufMut::stable_mut_ptr(self)
    }

    unsafe fn set_init(&mut self, len: usize) {
        // SAFETY: the caller promises the same of `len` as our trait asks for.
        unsafe { IoBufMut::set_init(self, len) }
    }
}
