//! What needs nothing of ours but limits: clocks, locks, error numbers, memory, and what a fork leaves.

pub(crate) mod clock;
pub(crate) mod errno;
pub(crate) mod fork;
pub(crate) mod freeing;
pub(crate) mod global;
pub(crate) mod limit;
pub(crate) mod lock;
pub(crate) mod memory;
#[cfg(target_os = "linux")]
pub(crate) mod pinned;
pub(crate) mod released;
#[cfg(target_os = "linux")]
pub(crate) mod status;
pub(crate) mod sync;

use std::sync::atomic::{AtomicUsize, Ordering};

/// A small number per thread, to pick a shard or a ring.
pub(crate) fn thread_index() -> usize {
    use std::cell::Cell;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static INDEX: Cell<usize> = const { Cell::new(usize::MAX) });
    INDEX.with(|index| {
        if index.get() == usize::MAX {
            index.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        index.get()
    })
}
