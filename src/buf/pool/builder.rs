//! How a pool is to be.

use std::io;
use std::sync::Arc;

use super::{BufPool, Shape, Shared};
use crate::base::{fork, memory};
use crate::error::Error;
use crate::limits::{
    POOL_ALIGN_MAX, POOL_BUFFER_BYTES, POOL_BUFFERS, POOL_BUFFERS_MAX, POOL_LARGE_BUFFER_BYTES,
    POOL_LARGE_BUFFERS, SEGMENT_BYTES_MAX,
};
use crate::probe;

/// Makes a [`BufPool`].
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use tidegate::buf::BufPool;
/// let pool = BufPool::builder().count(32).size(100_000).alignment(4096).build()?;
/// assert_eq!(pool.buffer_count(), 32);
/// assert!(pool.buffer_size() >= 100_000 && pool.buffer_size() % 4096 == 0);
///
/// let error = BufPool::builder().count(0).build().unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct BufPoolBuilder {
    count: usize,
    size: usize,
    alignment: usize,
    huge_pages: bool,
    register: bool,
    registered_bytes_max: usize,
}

impl Default for BufPoolBuilder {
    fn default() -> BufPoolBuilder {
        BufPoolBuilder {
            count: POOL_BUFFERS,
            size: POOL_BUFFER_BYTES,
            alignment: 1,
            huge_pages: false,
            register: true,
            registered_bytes_max: usize::MAX,
        }
    }
}

impl BufPoolBuilder {
    /// 4 MiB, in 16 buffers of 256 KiB: for large files.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = tidegate::buf::BufPool::builder().large().build()?;
    /// assert_eq!((pool.buffer_count(), pool.buffer_size()), (16, 256 << 10));
    /// # Ok(()) }
    /// ```
    pub fn large(self) -> BufPoolBuilder {
        self.count(POOL_LARGE_BUFFERS).size(POOL_LARGE_BUFFER_BYTES)
    }

    /// How many buffers; 8 by default, and at most 16 384.
    ///
    /// See [`BufPoolBuilder`].
    pub fn count(mut self, count: usize) -> BufPoolBuilder {
        self.count = count;
        self
    }

    /// Bytes of a buffer, rounded up to whole pages and to the alignment; 64 KiB by default.
    ///
    /// See [`BufPoolBuilder`].
    pub fn size(mut self, bytes: usize) -> BufPoolBuilder {
        self.size = bytes;
        self
    }

    /// What the addresses are multiples of: a power of two, at most 2 MiB. A page is the least.
    ///
    /// See [`BufPoolBuilder`].
    pub fn alignment(mut self, bytes: usize) -> BufPoolBuilder {
        self.alignment = bytes;
        self
    }

    /// Whether to use huge pages where the system has some: those that it keeps ready, or else those that it
    /// makes. Not by default. A pool of less than 2 MiB gains nothing.
    ///
    /// See [`BufPoolBuilder`].
    pub fn huge_pages(mut self, wanted: bool) -> BufPoolBuilder {
        self.huge_pages = wanted;
        self
    }

    /// Whether to register the memory with the kernel, which then counts as locked; so by default. How that went says
    /// [`BufPool::registration`].
    ///
    /// See [`BufPoolBuilder`].
    pub fn register(mut self, wanted: bool) -> BufPoolBuilder {
        self.register = wanted;
        self
    }

    /// The most memory to register; as much as the pool has by default. The buffers that this leaves out work
    /// without.
    ///
    /// Whatever this allows, a piece of memory takes at most half of RLIMIT_MEMLOCK, unless the process has
    /// CAP_IPC_LOCK: some kernels count the rings themselves, too. So to have 8 MiB registered takes a limit of 16 MiB. A
    /// pool is one such piece, and so is what each [`resize`](BufPool::resize) adds; over 1 GiB there are several.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use tidegate::buf::{BufPool, Registration};
    /// let pool = BufPool::builder().count(64).registered_bytes_max(1 << 20).build()?;
    /// if let Registration::Enabled { bytes } = pool.registration() {
    ///     assert_eq!(bytes, 1 << 20);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn registered_bytes_max(mut self, bytes: usize) -> BufPoolBuilder {
        self.registered_bytes_max = bytes;
        self
    }

    /// Makes the pool. Blocking: the system makes and locks all of the memory, which may take tenths of a second for
    /// 100 MiB; call it off the runtime, or at the start.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], of kind `InvalidInput`, for what makes no sense; `OutOfMemory`. That memory is not
    /// registered is no error.
    ///
    /// # Examples
    ///
    /// See [`BufPoolBuilder`].
    pub fn build(self) -> io::Result<BufPool> {
        fork::watch();
        let shared = Arc::new(Shared::new(self.shape()?));
        shared.resize(self.count)?;
        Ok(BufPool::new(shared))
    }

    fn shape(&self) -> Result<Shape, Error> {
        check_count(self.count)?;
        let wrong = |name, value: usize, expected| Error::OutOfRange {
            name,
            value: value as u64,
            expected,
        };
        if !self.alignment.is_power_of_two() || self.alignment > POOL_ALIGN_MAX {
            let expected = "a power of two up to 2097152";
            return Err(wrong("alignment", self.alignment, expected));
        }
        let align = self.alignment.max(memory::page_bytes());
        let buf_bytes = self.size.checked_next_multiple_of(align);
        let fits = |bytes: &usize| (1..=SEGMENT_BYTES_MAX).contains(bytes);
        let expected = "1 up to 1073741824 bytes";
        let buf_bytes = buf_bytes.filter(fits);
        let buf_bytes = buf_bytes.ok_or_else(|| wrong("size", self.size, expected))?;
        let registers = self.register && !probe::is_ring_forbidden();
        Ok(Shape {
            buf_bytes,
            align,
            huge_pages: self.huge_pages,
            registered_bytes_max: if registers {
                self.registered_bytes_max
            } else {
                0
            },
        })
    }
}

pub(super) fn check_count(count: usize) -> Result<(), Error> {
    if (1..=POOL_BUFFERS_MAX).contains(&count) {
        return Ok(());
    }
    Err(Error::OutOfRange {
        name: "count",
        value: count as u64,
        expected: "1 up to 16384",
    })
}
