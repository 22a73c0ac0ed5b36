//! Buffers at an aligned address, for direct I/O.
#![allow(
    unsafe_code,
    reason = "allocates with an alignment that Vec cannot give"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::{IoBuf, IoBufMut};

/// A zeroed buffer whose address is a multiple of a chosen power of two, as O_DIRECT asks for.
///
/// It derefs to the bytes that are in use: all of them after [`zeroed`](AlignedBuf::zeroed), none
/// after [`with_capacity`](AlignedBuf::with_capacity) until something was read into it.
///
/// ```
/// let buf = tidegate::buf::AlignedBuf::zeroed(8192, 4096);
/// assert_eq!(buf.as_ptr() as usize % 4096, 0);
/// assert_eq!(buf.len(), 8192);
///
/// let buf = tidegate::buf::AlignedBuf::with_capacity(8192, 4096);
/// assert_eq!((buf.len(), buf.capacity()), (0, 8192));
/// ```
pub struct AlignedBuf {
    ptr: NonNull<u8>,
    len: usize,
    layout: Layout,
}

// SAFETY: the buffer is the only owner of its memory.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// `len` zero bytes at a multiple of `align`.
    ///
    /// # Panics
    ///
    /// If `align` is not a power of two, or `len` rounded up to it overflows `isize`.
    ///
    /// # Examples
    ///
    /// See [`AlignedBuf`].
    pub fn zeroed(len: usize, align: usize) -> AlignedBuf {
        let mut buf = AlignedBuf::with_capacity(len, align);
        buf.len = len;
        buf
    }

    /// Room for `capacity` bytes at a multiple of `align`, none in use yet.
    ///
    /// # Panics
    ///
    /// As for [`zeroed`](AlignedBuf::zeroed).
    ///
    /// # Examples
    ///
    /// See [`AlignedBuf`].
    pub fn with_capacity(capacity: usize, align: usize) -> AlignedBuf {
        let layout = Layout::from_size_align(capacity.max(1), align)
            .expect("alignment must be a power of two, length within isize");
        // SAFETY: the layout has a size of at least one byte.
        let ptr = unsafe { alloc_zeroed(layout) };
        let ptr = NonNull::new(ptr).unwrap_or_else(|| handle_alloc_error(layout));
        AlignedBuf {
            ptr,
            len: 0,
            layout,
        }
    }

    /// How many bytes fit.
    ///
    /// See [`AlignedBuf`].
    pub fn capacity(&self) -> usize {
        self.layout.size()
    }

    /// Sets how many bytes are in use. All bytes are initialised from the start.
    ///
    /// # Panics
    ///
    /// If `len` is over the capacity.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut buf = tidegate::buf::AlignedBuf::with_capacity(4096, 512);
    /// buf.set_len(3);
    /// assert_eq!((&buf[..], buf.capacity()), (&[0; 3][..], 4096));
    /// ```
    pub fn set_len(&mut self, len: usize) {
        assert!(
            len <= self.capacity(),
            "length {len} is over the capacity {}",
            self.capacity()
        );
        self.len = len;
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: allocated in `with_capacity` with this layout, and freed once.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` is within the allocation, which was zeroed.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("len", &self.len)
            .field("layout", &self.layout)
            .finish()
    }
}

// SAFETY: the allocation does not move with the value, and is zeroed.
unsafe impl IoBuf for AlignedBuf {
    fn stable_ptr(&self) -> *const u8 {
        self.ptr.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len
    }

    fn bytes_total(&self) -> usize {
        self.capacity()
    }
}

// SAFETY: as for `IoBuf`; the value owns the allocation.
unsafe impl IoBufMut for AlignedBuf {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    unsafe fn set_init(&mut self, len: usize) {
        self.len = self.len.max(len);
    }
}
