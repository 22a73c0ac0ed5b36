//! A part of an owned buffer.
#![allow(
    unsafe_code,
    reason = "passes on the address promises of the buffer inside"
)]

use std::ops::Deref;
use std::sync::Arc;

use super::{IoBuf, IoBufMut, Segment};

/// Part of an owned buffer, itself a buffer: [`IoBuf::slice`] makes one.
///
/// ```
/// use tidegate::buf::IoBuf;
/// let part = b"0123456789".to_vec().slice(2..5);
/// assert_eq!((part.begin(), part.end(), &part[..]), (2, 5, &b"234"[..]));
/// assert_eq!(part.into_inner(), b"0123456789");
/// ```
#[derive(Debug)]
pub struct Slice<B> {
    buf: B,
    begin: usize,
    end: usize,
}

impl<B: IoBuf> Slice<B> {
    pub(super) fn new(buf: B, begin: usize, end: usize) -> Slice<B> {
        assert!(begin <= end, "slice starts at {begin} but ends at {end}");
        assert!(
            end <= buf.bytes_total(),
            "slice ends at {end} of {} bytes",
            buf.bytes_total()
        );
        assert!(
            begin <= buf.bytes_init(),
            "slice starts at {begin}, beyond the {} initialised bytes",
            buf.bytes_init()
        );
        Slice { buf, begin, end }
    }

    /// Where the part begins, in bytes from the start of the buffer.
    ///
    /// See [`Slice`].
    pub fn begin(&self) -> usize {
        self.begin
    }

    /// Where the part ends, in bytes from the start of the buffer.
    ///
    /// See [`Slice`].
    pub fn end(&self) -> usize {
        self.end
    }

    /// The whole buffer.
    ///
    /// See [`Slice`].
    pub fn into_inner(self) -> B {
        self.buf
    }
}

// SAFETY: the part lies within the buffer, which keeps the promises.
unsafe impl<B: IoBuf> IoBuf for Slice<B> {
    fn stable_ptr(&self) -> *const u8 {
        self.buf.stable_ptr().wrapping_add(self.begin)
    }

    fn bytes_init(&self) -> usize {
        self.buf.bytes_init().min(self.end) - self.begin
    }

    fn bytes_total(&self) -> usize {
        self.end - self.begin
    }

    fn registered(&self) -> Option<&Arc<Segment>> {
        self.buf.registered()
    }
}

// SAFETY: the part lies within the buffer, which keeps the promises.
unsafe impl<B: IoBufMut> IoBufMut for Slice<B> {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.buf.stable_mut_ptr().wrapping_add(self.begin)
    }

    unsafe fn set_init(&mut self, len: usize) {
        // SAFETY: the bytes before `begin` were initialised at construction, and `len` more now.
        unsafe { self.buf.set_init(self.begin + len) }
    }
}

impl<B: IoBuf> Deref for Slice<B> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `bytes_init` bytes from `stable_ptr` are initialised and borrowed with `self`.
        unsafe { std::slice::from_raw_parts(self.stable_ptr(), self.bytes_init()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A read into a slice never shrinks or misplaces what is before it.
    #[test]
    fn initialising_a_slice_extends_the_buffer() {
        let mut buf = Vec::with_capacity(16);
        buf.extend_from_slice(b"abcd");
        let mut part = buf.slice(4..10);
        assert_eq!(part.bytes_init(), 0);
        assert_eq!(part.bytes_total(), 6);
        // SAFETY: three bytes are written before they are declared.
        unsafe {
            part.stable_mut_ptr().copy_from(b"xyz".as_ptr(), 3);
            part.set_init(3);
        }
        assert_eq!(&part[..], b"xyz");
        assert_eq!(part.into_inner(), b"abcdxyz");
    }

    #[test]
    #[should_panic(expected = "slice starts at 3")]
    fn a_reversed_range_panics() {
        let (begin, end) = (3, 1);
        let _ = vec![0u8; 4].slice(begin..end);
    }
}
