//! A buffer of a pool.
#![allow(unsafe_code, reason = "lends parts of a pool's memory")]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;

use super::Shared;
use super::buffer::Buffer;
use crate::buf::{AlignedBuf, IoBuf, IoBufMut};
use crate::mem::Segment;

/// A buffer of a [`BufPool`](super::BufPool), which goes back to it when it is dropped.
///
/// It derefs to the bytes that are in use: none at first, and those that were read afterwards.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let pool = tidegate::buf::BufPool::builder().build()?;
/// let mut buf = pool.get();
/// assert_eq!((buf.len(), buf.capacity()), (0, 64 << 10));
/// buf.extend_from_slice(b"content");
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

    /// Whether its memory is its own, not the pool's, because [`BufPool::get`](super::BufPool::get) found no buffer
    /// free. One of the pool's is not plain, also if its memory is not registered: that says
    /// [`is_registered`](FixedBuf::is_registered).
    ///
    /// See [`BufPool::get`](super::BufPool::get).
    pub fn is_plain(&self) -> bool {
        matches!(self.home, Home::Plain { .. })
    }

    /// Whether the kernel has the memory of this very buffer registered. It has not for a plain buffer, nor for those
    /// that a limit leaves out: see [`Registration`](super::Registration).
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use tidegate::buf::{BufPool, Registration};
    /// let pool = BufPool::builder().count(1).build()?;
    /// let bufs = [pool.get(), pool.get()];
    /// let is_enabled = matches!(pool.registration(), Registration::Enabled { .. });
    /// assert_eq!(bufs.each_ref().map(|buf| buf.is_registered()), [is_enabled, false]);
    /// # Ok(()) }
    /// ```
    pub fn is_registered(&self) -> bool {
        self.registered()
            .is_some_and(|segment| segment.covers(self.stable_ptr(), self.capacity))
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

    /// Appends all of these bytes.
    ///
    /// # Panics
    ///
    /// If they do not fit: a buffer never grows over its capacity. [`fill_from`](FixedBuf::fill_from) takes as many
    /// as fit.
    ///
    /// # Examples
    ///
    /// See [`FixedBuf`].
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let (more, left) = (bytes.len(), self.capacity - self.len);
        assert!(more <= left, "{more} bytes are over the {left} that fit");
        self.grow(more).copy_from_slice(bytes);
    }

    /// Appends as many of these bytes as fit, from the first on, and returns how many those are.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = tidegate::buf::BufPool::builder().size(4096).build()?;
    /// let content = vec![7; 10_000];
    /// let (mut bufs, mut rest) = (Vec::new(), &content[..]);
    /// while !rest.is_empty() {
    ///     let mut buf = pool.get();
    ///     rest = &rest[buf.fill_from(rest)..];
    ///     bufs.push(buf);
    /// }
    /// assert!(bufs.iter().flat_map(|buf| buf.iter()).eq(&content));
    /// # Ok(()) }
    /// ```
    #[must_use = "bytes that did not fit are not in the buffer"]
    pub fn fill_from(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.capacity - self.len);
        self.extend_from_slice(&bytes[..count]);
        count
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

impl From<FixedBuf> for Bytes {
    fn from(buf: FixedBuf) -> Bytes {
        buf.freeze()
    }
}

impl fmt::Debug for FixedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedBuf")
            .field("len", &self.len)
            .field("capacity", &self.capacity)
            .field("is_plain", &self.is_plain())
            .field("is_registered", &self.is_registered())
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
