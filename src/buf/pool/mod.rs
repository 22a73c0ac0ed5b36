//! Pools of buffers that rings have registered.

mod bits;
mod buffer;
mod builder;
mod fixed;
mod pinning;
#[cfg(test)]
mod pool_tests;
mod registration;
mod slots;
mod stats;
mod sync;

use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, Weak};

use crate::base::lock::lock;
use crate::base::memory::Mapping;
use crate::limits::SEGMENT_BYTES_MAX;
use crate::mem::Segment;
use buffer::Buffer;
pub use builder::BufPoolBuilder;
pub use fixed::FixedBuf;
use pinning::Wish;
pub use registration::Registration;
use slots::Slots;
pub use stats::PoolStats;

/// Buffers of one size that are used again and again, and that the kernel knows.
///
/// Their memory is registered with io_uring, so that the kernel need not look up its pages for each operation: this
/// is worth most for direct I/O. A [`FixedBuf`] from the pool is a buffer like any other, for
/// [`read_at`](crate::fs::File::read_at) and its kin; it goes back when it is dropped. Where the memory could not be
/// registered, or there is no ring, operations do without: [`registration`](BufPool::registration)
/// says so.
///
/// The handle is cheap to clone, and all clones are the same pool. When the last one is gone, buffers that are lent
/// stay valid until they are dropped.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("f");
/// # tidegate::fs::write(&path, "0123456789").await?;
/// let pool = tidegate::buf::BufPool::builder().count(16).size(64 << 10).build()?;
/// let file = tidegate::fs::File::open(&path).await?;
/// let (count, buf) = file.read_at(pool.acquire().await?, 4).await?;
/// assert_eq!((count, &buf[..]), (6, &b"456789"[..]));
///
/// let bytes: bytes::Bytes = buf.freeze(); // no copy: the buffer goes back with the last of its bytes
/// assert_eq!(pool.stats().in_use, 1);
/// drop(bytes);
/// assert_eq!(pool.stats().in_use, 0);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct BufPool {
    users: Arc<Users>,
}

/// What the handles of a pool share; gone with the last of them.
struct Users {
    shared: Arc<Shared>,
}

/// How the buffers of a pool are.
#[derive(Clone, Copy, Debug)]
struct Shape {
    buf_bytes: usize,
    align: usize,
    huge_pages: bool,
    /// Zero for none.
    registered_bytes_max: usize,
}

/// What the handles and the buffers share.
struct Shared {
    slots: Slots<Buffer>,
    shape: Shape,
    segments: Mutex<Vec<Weak<Segment>>>,
}

impl BufPool {
    /// A pool of 8 buffers of 64 KiB, unless it is told otherwise.
    ///
    /// See [`BufPool`].
    pub fn builder() -> BufPoolBuilder {
        BufPoolBuilder::default()
    }

    fn new(shared: Arc<Shared>) -> BufPool {
        BufPool {
            users: Arc::new(Users { shared }),
        }
    }

    /// A buffer, if one is free. Takes no lock.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = tidegate::buf::BufPool::builder().count(1).build()?;
    /// let buf = pool.try_acquire();
    /// assert!(buf.is_some() && pool.try_acquire().is_none());
    /// drop(buf);
    /// assert!(pool.try_acquire().is_some());
    /// # Ok(()) }
    /// ```
    pub fn try_acquire(&self) -> Option<FixedBuf> {
        let buf = self.take();
        self.slots().asked(buf.is_none());
        buf
    }

    /// A buffer at once: one of the pool's, or where none is free a plain one of the same size and alignment, which is
    /// freed when it is dropped. That is counted as a miss.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = tidegate::buf::BufPool::builder().count(1).build()?;
    /// let bufs = [pool.get(), pool.get()];
    /// assert_eq!(bufs.each_ref().map(|buf| buf.is_plain()), [false, true]);
    /// assert_eq!(bufs[0].capacity(), bufs[1].capacity());
    /// assert_eq!(pool.stats().misses, 1);
    /// # Ok(()) }
    /// ```
    pub fn get(&self) -> FixedBuf {
        self.try_acquire().unwrap_or_else(|| {
            let Shape {
                buf_bytes, align, ..
            } = self.users.shared.shape;
            FixedBuf::plain(buf_bytes, align)
        })
    }

    /// How many buffers there are to be: as built, or as resized last.
    ///
    /// See [`BufPoolBuilder`].
    pub fn buffer_count(&self) -> usize {
        self.stats().count
    }

    /// The size of each buffer, in bytes.
    ///
    /// See [`BufPoolBuilder`].
    pub fn buffer_size(&self) -> usize {
        self.users.shared.shape.buf_bytes
    }

    /// Changes how many buffers there are, at any time. More come with memory of their own, which is registered as the
    /// first was; fewer means that so many go, those that are lent when they come back. Blocking, as
    /// [`build`](BufPoolBuilder::build) is.
    ///
    /// Grow by much at a time: a ring has at most 64 pieces of memory registered, and does without for the others.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a count of zero or over 16 384; `OutOfMemory`, and then
    /// nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = tidegate::buf::BufPool::builder().count(2).build()?;
    /// let lent = [pool.get(), pool.get()];
    /// pool.resize(1)?;
    /// assert_eq!((pool.stats().count, pool.stats().in_use), (1, 2));
    /// drop(lent);
    /// assert!(pool.try_acquire().is_some());
    /// # Ok(()) }
    /// ```
    pub fn resize(&self, count: usize) -> io::Result<()> {
        builder::check_count(count)?;
        self.users.shared.resize(count)
    }

    /// Whether the kernel has the memory registered, and if not why. Tried once, when the memory is made: what was
    /// refused then stays plain, and a new pool, or what a [`resize`](BufPool::resize) adds, is tried anew.
    ///
    /// See [`Registration`].
    pub fn registration(&self) -> Registration {
        self.users.shared.registration()
    }

    /// How the pool stands.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = tidegate::buf::BufPool::builder().count(1).build()?;
    /// let _buf = pool.get();
    /// assert!(pool.try_acquire().is_none());
    /// let stats = pool.stats();
    /// assert_eq!((stats.count, stats.in_use, stats.waiting), (1, 1, 0));
    /// assert_eq!((stats.acquires, stats.misses, stats.miss_rate()), (2, 1, 0.5));
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> PoolStats {
        self.slots().stats()
    }

    /// A buffer, if one is free, without counting.
    fn take(&self) -> Option<FixedBuf> {
        let shared = &self.users.shared;
        let (number, buffer) = shared.slots.take()?;
        Some(FixedBuf::lent(shared.clone(), number, buffer))
    }

    fn slots(&self) -> &Slots<Buffer> {
        &self.users.shared.slots
    }

    /// Waits until a buffer is free. Whoever comes at the right moment may be faster than who has waited.
    pub(crate) async fn wait(&self) -> FixedBuf {
        let slots = self.slots();
        let _mark = slots.waiting.mark();
        loop {
            let mut returned = std::pin::pin!(slots.returned.notified());
            returned.as_mut().enable();
            // Looked at after the mark: what came before it is seen here, and what comes later notifies.
            if let Some(buf) = self.take() {
                return buf;
            }
            returned.await;
        }
    }
}

impl Drop for Users {
    /// Nobody asks for a buffer any more.
    fn drop(&mut self) {
        let none = self.shared.slots.resize(0, |_| Ok::<_, ()>(Vec::new()));
        debug_assert_eq!(none, Ok(()));
    }
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shared.shape.fmt(f)?;
        self.shared.slots.stats().fmt(f)
    }
}

impl Shared {
    fn new(shape: Shape) -> Shared {
        Shared {
            slots: Slots::new(),
            shape,
            segments: Mutex::default(),
        }
    }

    fn resize(&self, count: usize) -> io::Result<()> {
        self.slots.resize(count, |missing| self.make(missing))
    }

    /// New buffers, in as few pieces of memory as there can be.
    fn make(&self, count: usize) -> io::Result<Vec<Buffer>> {
        let buf_bytes = self.shape.buf_bytes;
        let (mut buffers, mut segments) = (Vec::with_capacity(count), Vec::new());
        let mut registered_bytes = self.registered_bytes();
        while buffers.len() < count {
            let here = (count - buffers.len()).min(SEGMENT_BYTES_MAX / buf_bytes);
            let memory = Mapping::new(here * buf_bytes, self.shape.align, self.shape.huge_pages)?;
            let left = (self.shape.registered_bytes_max).saturating_sub(registered_bytes);
            let wish = Wish {
                bytes_max: left,
                unit: buf_bytes,
            };
            let segment = Arc::new(pinning::segment(memory, wish));
            registered_bytes += segment.pinned().1;
            buffers.extend((0..here).map(|index| Buffer {
                segment: segment.clone(),
                start: part(&segment, index * buf_bytes),
            }));
            segments.push(Arc::downgrade(&segment));
        }
        let mut known = lock(&self.segments);
        known.retain(|segment| segment.strong_count() > 0);
        known.append(&mut segments);
        Ok(buffers)
    }

    fn segments(&self) -> Vec<Arc<Segment>> {
        lock(&self.segments)
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    fn registered_bytes(&self) -> usize {
        self.segments()
            .iter()
            .map(|segment| segment.pinned().1)
            .sum()
    }

    fn registration(&self) -> Registration {
        if self.shape.registered_bytes_max == 0 {
            return Registration::Disabled;
        }
        let segments = self.segments();
        let bytes: usize = segments.iter().map(|segment| segment.pinned().1).sum();
        let wished: usize = segments.iter().map(|segment| segment.wished_bytes()).sum();
        let reason = segments.iter().find_map(|segment| segment.refused());
        match reason.cloned() {
            None => Registration::Enabled { bytes },
            Some(reason) if bytes == 0 => Registration::Failed {
                bytes: wished,
                reason,
            },
            Some(reason) => Registration::Partial {
                bytes,
                refused_bytes: wished - bytes,
                reason,
            },
        }
    }
}

fn part(segment: &Segment, offset: usize) -> NonNull<u8> {
    assert!(offset < segment.bytes());
    let start = segment.start().as_ptr().wrapping_add(offset);
    NonNull::new(start).expect("an address within a mapping is none of zero")
}
