//! What a read with a kernel-picked buffer gives.
#![allow(
    unsafe_code,
    reason = "shows memory that a ring of the kernel has lent"
)]

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;

use super::{AlignedBuf, IoBuf};

/// Where lent memory comes from, and goes again.
pub(crate) trait Lender: Send + Sync {
    /// One holder of this buffer lets go.
    fn give_back(&self, id: u16);
}

/// A part of a buffer, until it is dropped. It keeps the memory of its ring, though the ring may be gone.
pub(crate) struct Lent {
    lender: Arc<dyn Lender>,
    id: u16,
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: nobody writes to the part while it is lent, as `new` asks for, and the lender is `Sync`.
unsafe impl Send for Lent {}
// SAFETY: shared access only reads.
unsafe impl Sync for Lent {}

impl Lent {
    /// # Safety
    ///
    /// Until the lender is dropped there must be `length` initialised bytes at `start`, which nobody changes
    /// until it was given `id` back.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "rings lend"))]
    pub(crate) unsafe fn new(
        lender: Arc<dyn Lender>,
        id: u16,
        start: NonNull<u8>,
        length: usize,
    ) -> Lent {
        Lent {
            lender,
            id,
            start,
            length,
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the lender is held, and has not been given the buffer back.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.lender.give_back(self.id);
    }
}

enum Place {
    Aligned(AlignedBuf),
    Lent(Lent),
    Plain(Vec<u8>),
}

/// What a read with a [`BufGroup`](super::BufGroup) gave.
///
/// It derefs to the bytes, and gives the buffer back when it is dropped, also when the group, its file or the
/// runtime is long gone. [`freeze`](ProvidedBuf::freeze) makes [`Bytes`] of it without a copy.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::buf::BufGroup;
/// let file = tidegate::fs::File::open("/etc/passwd").await?;
/// let buf = file.read_provided_at(&BufGroup::default(), 0).await?;
/// assert!(buf.starts_with(b"root:"));
/// let bytes = buf.freeze();
/// assert_eq!(bytes.slice(..5), "root:");
/// # Ok(()) }
/// ```
#[must_use = "the buffer is given back when this is dropped"]
pub struct ProvidedBuf {
    place: Place,
}

impl ProvidedBuf {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "rings lend"))]
    pub(crate) fn lent(lent: Lent) -> ProvidedBuf {
        ProvidedBuf {
            place: Place::Lent(lent),
        }
    }

    pub(crate) fn plain(bytes: Vec<u8>) -> ProvidedBuf {
        ProvidedBuf {
            place: Place::Plain(bytes),
        }
    }

    pub(crate) fn aligned(buf: AlignedBuf) -> ProvidedBuf {
        ProvidedBuf {
            place: Place::Aligned(buf),
        }
    }

    /// Whether it is memory of its own: there was no ring, none of the ring's buffers was left, or nothing was
    /// read.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::buf::BufGroup;
    /// use tidegate::{Handle, Route};
    /// Handle::builder().route(Route::Pool).install()?;
    /// let file = tidegate::fs::File::open("/etc/passwd").await?;
    /// assert!(file.read_provided_at(&BufGroup::default(), 0).await?.is_plain());
    /// # Ok(()) }
    /// ```
    pub fn is_plain(&self) -> bool {
        !matches!(self.place, Place::Lent(_))
    }

    /// The bytes, shared and without a copy. The buffer is given back when the last of them is dropped.
    ///
    /// See [`ProvidedBuf`].
    pub fn freeze(self) -> Bytes {
        match self.place {
            Place::Plain(bytes) => bytes.into(),
            _ => Bytes::from_owner(self),
        }
    }
}

impl Deref for ProvidedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.place {
            Place::Aligned(buf) => buf,
            Place::Lent(lent) => lent.bytes(),
            Place::Plain(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for ProvidedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<ProvidedBuf> for Bytes {
    fn from(buf: ProvidedBuf) -> Bytes {
        buf.freeze()
    }
}

impl fmt::Debug for ProvidedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvidedBuf")
            .field("len", &self.len())
            .field("is_plain", &self.is_plain())
            .finish()
    }
}

// SAFETY: lent memory, a heap block and an allocation all stay where they are when the value moves; all bytes are
// initialised, and nobody changes them while the value lives.
unsafe impl IoBuf for ProvidedBuf {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Lends parts of one buffer, and counts what comes back.
    struct Shelf {
        bytes: Vec<u8>,
        back: AtomicUsize,
    }

    impl Lender for Shelf {
        fn give_back(&self, id: u16) {
            assert_eq!(id, 7);
            self.back.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lend(shelf: &Arc<Shelf>) -> ProvidedBuf {
        let start = NonNull::from(&shelf.bytes[..]).cast();
        // SAFETY: the shelf holds the bytes, and changes none.
        ProvidedBuf::lent(unsafe { Lent::new(shelf.clone(), 7, start, shelf.bytes.len()) })
    }

    #[test]
    fn a_buffer_goes_back_once_when_the_last_part_of_it_is_dropped() {
        let shelf = Arc::new(Shelf {
            bytes: b"lent".to_vec(),
            back: AtomicUsize::new(0),
        });
        let back = || shelf.back.load(Ordering::Relaxed);
        let buf = lend(&shelf);
        assert_eq!((&buf[..], buf.is_plain()), (&b"lent"[..], false));
        assert_eq!(buf.stable_ptr(), shelf.bytes.as_ptr());
        drop(buf);
        assert_eq!(back(), 1);
        let bytes = lend(&shelf).freeze();
        assert_eq!(bytes.as_ptr(), shelf.bytes.as_ptr(), "nothing is copied");
        let part = Bytes::slice(&bytes, 1..3);
        drop(bytes);
        assert_eq!((&part[..], back()), (&b"en"[..], 1));
        drop(part);
        assert_eq!(back(), 2);
        let unwound = std::panic::catch_unwind(|| {
            let _held = lend(&shelf);
            panic!("on purpose");
        });
        assert!(unwound.is_err());
        assert_eq!((back(), Arc::strong_count(&shelf)), (3, 1));
    }

    #[test]
    fn memory_of_its_own_is_plain_and_not_copied_either() {
        let mut aligned = AlignedBuf::zeroed(4096, 4096);
        aligned.set_len(3);
        let mut vec = Vec::with_capacity(100);
        vec.extend_from_slice(b"abc");
        for buf in [ProvidedBuf::aligned(aligned), ProvidedBuf::plain(vec)] {
            assert!(buf.is_plain());
            let (start, length) = (buf.as_ptr(), buf.len());
            let bytes = Bytes::from(buf);
            assert_eq!((bytes.as_ptr(), bytes.len()), (start, length));
        }
    }
}
