//! The traits of a buffer that the kernel may use.
#![allow(
    unsafe_code,
    reason = "the traits promise stable addresses, which only their implementations can"
)]

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Segment, Slice};

/// A buffer to write from.
///
/// # Safety
///
/// The pointer from [`stable_ptr`](IoBuf::stable_ptr) must stay valid, and the first
/// [`bytes_init`](IoBuf::bytes_init) bytes behind it initialised and unchanged, for as long as the
/// value lives, even while it is moved. The memory must not be a file mapping: touching it may sleep
/// on storage.
///
/// # Examples
///
/// ```
/// use tidegate::buf::IoBuf;
/// let mut buf = Vec::with_capacity(8);
/// buf.extend_from_slice(b"abc");
/// assert_eq!((buf.bytes_init(), buf.bytes_total()), (3, 8));
/// ```
pub unsafe trait IoBuf: Unpin + Send + 'static {
    /// The address of the buffer; the same for as long as the value lives.
    fn stable_ptr(&self) -> *const u8;

    /// How many bytes are initialised, from the start.
    fn bytes_init(&self) -> usize;

    /// How many bytes there are, initialised or not.
    fn bytes_total(&self) -> usize;

    /// The memory that the buffer is a part of, where rings are to have it registered.
    #[doc(hidden)]
    fn registered(&self) -> Option<&Arc<Segment>> {
        None
    }

    /// A view of part of the buffer that keeps it owned. Bounds are in bytes.
    ///
    /// ```
    /// use tidegate::buf::IoBuf;
    /// let part = vec![1u8, 2, 3, 4].slice(1..3);
    /// assert_eq!(&part[..], &[2, 3]);
    /// assert_eq!(part.into_inner(), vec![1, 2, 3, 4]);
    /// ```
    ///
    /// # Panics
    ///
    /// If the range starts beyond the initialised bytes, or ends beyond the total, or before it starts.
    fn slice(self, range: impl RangeBounds<usize>) -> Slice<Self>
    where
        Self: Sized,
    {
        let begin = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.checked_add(1).expect("start of the range overflows"),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => n.checked_add(1).expect("end of the range overflows"),
            Bound::Excluded(&n) => n,
            Bound::Unbounded => self.bytes_total(),
        };
        Slice::new(self, begin, end)
    }
}

/// A buffer to read into.
///
/// # Safety
///
/// As for [`IoBuf`]; besides, the [`bytes_total`](IoBuf::bytes_total) bytes behind
/// [`stable_mut_ptr`](IoBufMut::stable_mut_ptr) must be writable by the kernel, and by nobody else.
///
/// # Examples
///
/// See [`IoBuf`].
pub unsafe trait IoBufMut: IoBuf {
    /// The address of the buffer; the same for as long as the value lives.
    fn stable_mut_ptr(&mut self) -> *mut u8;

    /// Tells the buffer that its first `len` bytes are initialised. Never shrinks it.
    ///
    /// # Safety
    ///
    /// The first `len` bytes must be initialised, and `len` at most `bytes_total`.
    unsafe fn set_init(&mut self, len: usize);
}

// SAFETY: a vector's heap block does not move with the vector, and nobody else can touch it.
unsafe impl IoBuf for Vec<u8> {
    fn stable_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }

    fn bytes_total(&self) -> usize {
        self.capacity()
    }
}

// SAFETY: as for `IoBuf`; the vector owns its capacity.
unsafe impl IoBufMut for Vec<u8> {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    unsafe fn set_init(&mut self, len: usize) {
        if self.len() < len {
            // SAFETY: the caller initialised `len` bytes within the capacity.
            unsafe { self.set_len(len) }
        }
    }
}

// SAFETY: the heap block of a boxed slice does not move with the box.
unsafe impl IoBuf for Box<[u8]> {
    fn stable_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }

    fn bytes_total(&self) -> usize {
        self.len()
    }
}

// SAFETY: as for `IoBuf`; the box owns its bytes.
unsafe impl IoBufMut for Box<[u8]> {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    unsafe fn set_init(&mut self, _len: usize) {}
}

// SAFETY: the storage of `Bytes` is immutable and does not move with the handle.
unsafe impl IoBuf for Bytes {
    fn stable_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }

    fn bytes_total(&self) -> usize {
        self.len()
    }
}

// SAFETY: the storage of `BytesMut` does not move with the handle, and the handle owns its part of it.
unsafe impl IoBuf for BytesMut {
    fn stable_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }

    fn bytes_total(&self) -> usize {
        self.capacity()
    }
}

// SAFETY: as for `IoBuf`.
unsafe impl IoBufMut for BytesMut {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    unsafe fn set_init(&mut self, len: usize) {
        if self.len() < len {
            // SAFETY: the caller initialised `len` bytes within the capacity.
            unsafe { self.set_len(len) }
        }
    }
}

macro_rules! static_buf {
    ($($type:ty),*) => { $(
        // SAFETY: static memory is valid for ever and is not changed.
        unsafe impl IoBuf for $type {
            fn stable_ptr(&self) -> *const u8 {
                self.as_ptr()
            }

            fn bytes_init(&self) -> usize {
                self.len()
            }

            fn bytes_total(&self) -> usize {
                self.len()
            }
        }
    )* };
}

static_buf!(&'static [u8], &'static str);

// SAFETY: the memory is that of the buffer in the box, which keeps it in its place wherever it is itself.
unsafe impl IoBuf for Box<dyn IoBuf> {
    fn stable_ptr(&self) -> *const u8 {
        (**self).stable_ptr()
    }

    fn bytes_init(&self) -> usize {
        (**self).bytes_init()
    }

    fn bytes_total(&self) -> usize {
        (**self).bytes_total()
    }

    fn registered(&self) -> Option<&Arc<Segment>> {
        (**self).registered()
    }
}

/// The initialised bytes.
pub(crate) fn bytes_of(buf: &dyn IoBuf) -> &[u8] {
    // SAFETY: the trait promises that so many bytes are initialised there, and do not change while the value lives.
    unsafe { std::slice::from_raw_parts(buf.stable_ptr(), buf.bytes_init()) }
}
