//! A buffer of a pool.
#![allow(unsafe_code, reason = "lends parts of a pool's memory")]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;

use super::slots::Buffer;
use super::{Segment, Shared};
use crate::buf::{AlignedBuf, IoBuf, IoBufMut};

/// A buffer of a [`BufPool`](super::BufPool), which goes back to it when it is dropped.
///
/// It derefs to the bytes that are in use: none at first, and those that were read afterwards.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let pool = tidegate::buf::BufPool::builder().build()?;
/// let mut buf = pool.get();
/// assert_eq!((buf.len(), buf.capacity()), (0, 64 << 10));
/// assert_eq!(buf.extend_from_slice(b"content"), 7);
/// assert_eq!(&buf[..], b"content");
/// # Ok(()) }
/// ```
pub struct FixedBuf {
    start: NonNull<u8>,
    len: usize,
    capacity: usize,
    home: Home,
}

/// Whose the memory is.
enum Home {
    /// The pool's; none once it was given back.
    Pool(Arc<Shared>, usize, Option<Buffer>),
    Plain {
        _memory: AlignedBuf,
    },
}

// SAFETY: the value is the only one with this part of the memory, which its home keeps.
unsafe impl Send for FixedBuf {}
// SAFETY: shared access only reads.
unsafe impl Sync for FixedBuf {}

impl FixedBuf {
    pub(super) fn lent(pool: Arc<Shared>, number: usize, buffer: Buffer) -> FixedBuf {
        FixedBuf {
            start: buffer.start,
            len: 0,
            capacity: pool.shape.buf_bytes,
            home: Home::Pool(pool, number, Some(buffer)),
        }
    }

    pub(super) fn plain(bytes: usize, align: usize) -> FixedBuf {
        let mut memory = AlignedBuf::with_capacity(bytes, align);
        FixedBuf {
            start: NonNull::new(memory.stable_mut_ptr()).expect("an allocation has an address"),
            len: 0,
            capacity: memory.capacity(),
            home: Home::Plain { _memory: memory },
        }
    }

    /// How many bytes fit.
    ///
    /// See [`FixedBuf`].
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether it is none of the pool's, because [`BufPool::get`](super::BufPool::get) found none free.
    ///
    /// See [`BufPool::get`](super::BufPool::get).
    pub fn is_plain(&self) -> bool {
        matches!(self.home, Home::Plain { .. })
    }

    /// Has no byte in use any more, so that the next read fills it from its start.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let mut buf = tidegate::buf::BufPool::builder().build()?.get();
    /// buf.extend_from_slice(b"content");
    /// buf.clear();
    /// assert!(buf.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends bytes, as many as fit, and returns how many those are.
    ///
    /// See [`FixedBuf`].
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> usize {
        let fitting = &bytes[..bytes.len().min(self.capacity - self.len)];
        self.grow(fitting.len()).copy_from_slice(fitting);
        fitting.len()
    }

    /// Has so many bytes in use: the first ones, or further ones of this value.
    ///
    /// # Panics
    ///
    /// If `len` is over the capacity.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let mut buf = tidegate::buf::BufPool::builder().build()?.get();
    /// buf.extend_from_slice(b"block");
    /// buf.resize(4096, 0); // a whole block, for direct I/O
    /// assert_eq!((&buf[..5], &buf[4000..]), (&b"block"[..], &[0; 96][..]));
    /// # Ok(()) }
    /// ```
    pub fn resize(&mut self, len: usize, value: u8) {
        let capacity = self.capacity;
        assert!(
            len <= capacity,
            "length {len} is over the capacity {capacity}"
        );
        match len.checked_sub(self.len) {
            Some(more) => self.grow(more).fill(value),
            None => self.len = len,
        }
    }

    /// The bytes in use, without a copy. The buffer goes back when the last of them is dropped.
    ///
    /// See [`BufPool`](super::BufPool).
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// So many further bytes, which are in use from now on.
    fn grow(&mut self, more: usize) -> &mut [u8] {
        debug_assert!(more <= self.capacity - self.len);
        let before = self.len;
        self.len += more;
        &mut self[before..]
    }
}

impl Drop for FixedBuf {
    fn drop(&mut self) {
        if let Home::Pool(pool, number, buffer) = &mut self.home {
            if let Some(buffer) = buffer.take() {
                pool.slots.give(*number, buffer);
            }
        }
    }
}

impl Deref for FixedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` is within the part, and all pages were zeroed when they were made.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for FixedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for FixedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for FixedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedBuf")
            .field("len", &self.len)
            .field("capacity", &self.capacity)
            .field("is_plain", &self.is_plain())
            .finish()
    }
}

// SAFETY: the part of the memory does not move with the value, and is this value's until it is dropped.
unsafe impl IoBuf for FixedBuf {
    fn stable_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len
    }

    fn bytes_total(&self) -> usize {
        self.capacity
    }

    fn registered(&self) -> Option<&Arc<Segment>> {
        match &self.home {
            Home::Pool(_, _, Some(buffer)) => Some(&buffer.segment),
            _ => None,
        }
        .filter(|segment| segment.is_wished(self.start))
    }
}

// SAFETY: as for `IoBuf`; nobody else has the part.
unsafe impl IoBufMut for FixedBuf {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    unsafe fn set_init(&mut self, len: usize) {
        self.len = self.len.max(len);
    }
}
