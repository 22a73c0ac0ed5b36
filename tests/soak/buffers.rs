//! Buffers that notice what is written beside them.

use std::sync::atomic::{AtomicUsize, Ordering};

use std::sync::Mutex;

use tidegate::buf::{BufPool, IoBuf, IoBufMut};

/// Buffers that are not dropped.
pub(crate) static ALIVE: AtomicUsize = AtomicUsize::new(0);
/// Buffers that were dropped with something in them that their operation cannot have written.
pub(crate) static SPOILT: AtomicUsize = AtomicUsize::new(0);

/// Pools of registered memory that there were, each with few enough buffers to run dry.
pub(crate) static POOLS: Mutex<Vec<BufPool>> = Mutex::new(Vec::new());

pub(crate) fn pool() -> BufPool {
    let pool = BufPool::builder().count(24).size(1).build().unwrap();
    POOLS.lock().unwrap().push(pool.clone());
    pool
}

/// Buffers that are lent.
pub(crate) fn lent() -> usize {
    let pools = POOLS.lock().unwrap();
    pools.iter().map(|pool| pool.stats().in_use).sum()
}

const GUARD: usize = 64;
const GUARD_BYTE: u8 = 0x5c;
const UNTOUCHED: u8 = 0xa5;

/// What the part between the guards may hold.
#[derive(Debug)]
enum Content {
    /// What was to be written: exactly this.
    Given(Vec<u8>),
    /// What is read.
    Any,
}

/// A buffer between two guards, which are looked at when it comes back and when it is dropped.
#[derive(Debug)]
pub(crate) struct Guarded {
    bytes: Box<[u8]>,
    content: Content,
}

impl Guarded {
    fn new(inner: &[u8], content: Content) -> Guarded {
        ALIVE.fetch_add(1, Ordering::SeqCst);
        let guard = [GUARD_BYTE; GUARD];
        let bytes = [&guard[..], inner, &guard[..]].concat().into();
        Guarded { bytes, content }
    }

    pub(crate) fn to_read(length: usize) -> Guarded {
        Guarded::new(&vec![UNTOUCHED; length], Content::Any)
    }

    pub(crate) fn to_write(inner: &[u8]) -> Guarded {
        Guarded::new(inner, Content::Given(inner.to_vec()))
    }

    pub(crate) fn inner(&self) -> &[u8] {
        &self.bytes[GUARD..self.bytes.len() - GUARD]
    }

    /// Whether only the first bytes of it were touched, as its operation says.
    pub(crate) fn is_untouched_from(&self, count: usize) -> bool {
        self.is_intact() && self.inner()[count..].iter().all(|&byte| byte == UNTOUCHED)
    }

    pub(crate) fn is_intact(&self) -> bool {
        let (before, after) = (
            &self.bytes[..GUARD],
            &self.bytes[self.bytes.len() - GUARD..],
        );
        let guards = before.iter().chain(after).all(|&byte| byte == GUARD_BYTE);
        guards
            && match &self.content {
                Content::Given(given) => self.inner() == given,
                Content::Any => true,
            }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if !self.is_intact() {
            SPOILT.fetch_add(1, Ordering::SeqCst);
        }
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

// SAFETY: the boxed bytes stay where they are while the box moves, and nobody else touches them.
unsafe impl IoBuf for Guarded {
    fn stable_ptr(&self) -> *const u8 {
        self.inner().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.inner().len()
    }

    fn bytes_total(&self) -> usize {
        self.inner().len()
    }
}

// SAFETY: as above; the box owns the bytes, and all of them are initialised.
unsafe impl IoBufMut for Guarded {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.bytes[GUARD..].as_mut_ptr()
    }

    unsafe fn set_init(&mut self, _len: usize) {}
}
