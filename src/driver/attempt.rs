//! Marking a poll that is about to call the kernel, so that the watchdog sees one that sleeps.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::watchdog;
use crate::mounts::Mount;
use crate::sys::lock::lock;
use crate::sys::thread;

/// What one polling thread is doing, for the watchdog to read.
#[repr(align(128))]
pub(crate) struct Polling {
    thread: i32,
    /// Odd while inside an attempt; raised by one at its begin and at its end.
    sequence: AtomicU64,
    /// The mount of the last attempt. Written only when it changes.
    mount: Mutex<Weak<Mount>>,
}

impl Polling {
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    pub(crate) fn is_inside(&self) -> bool {
        self.sequence() % 2 == 1
    }

    /// Whether the thread sleeps in the kernel right now.
    pub(crate) fn sleeps(&self) -> bool {
        thread::sleeps(self.thread)
    }

    pub(crate) fn mount(&self) -> Option<Arc<Mount>> {
        lock(&self.mount).upgrade()
    }
}

/// The calling thread's part. No borrow is held during an attempt, so attempts may nest.
struct Local {
    shared: OnceCell<Arc<Polling>>,
    /// The key of the mount that the shared part names.
    mount: Cell<Option<(u64, u64)>>,
}

thread_local! {
    static LOCAL: Local = const { Local { shared: OnceCell::new(), mount: Cell::new(None) } };
}

fn threads() -> &'static Mutex<Vec<Weak<Polling>>> {
    static THREADS: OnceLock<Mutex<Vec<Weak<Polling>>>> = OnceLock::new();
    THREADS.get_or_init(Mutex::default)
}

/// Every thread that has made an attempt and still lives.
pub(crate) fn polling_threads() -> Vec<Arc<Polling>> {
    let mut threads = lock(threads());
    threads.retain(|thread| thread.strong_count() > 0);
    threads.iter().filter_map(Weak::upgrade).collect()
}

/// Runs calls that cannot sleep on a healthy local mount; `None` if this one is not, or the thread is
/// ending. A `mount` of `None` is for calls that cannot sleep on any filesystem.
pub(crate) fn attempt<T>(mount: Option<&Arc<Mount>>, f: impl FnOnce() -> T) -> Option<T> {
    if mount.is_some_and(|mount| !mount.is_local() || !mount.is_healthy()) {
        return None;
    }
    let inside = |local: &Local| {
        let _inside = Inside::begin(local.polling(mount));
        watchdog::call();
        f()
    };
    LOCAL.try_with(inside).ok()
}

impl Local {
    fn polling(&self, mount: Option<&Arc<Mount>>) -> &Polling {
        let shared = self.shared.get_or_init(|| {
            let shared = Arc::new(Polling {
                thread: thread::current(),
                sequence: AtomicU64::new(0),
                mount: Mutex::default(),
            });
            lock(threads()).push(Arc::downgrade(&shared));
            shared
        });
        if let Some(mount) = mount {
            if self.mount.get() != Some(mount.key()) {
                self.mount.set(Some(mount.key()));
                *lock(&shared.mount) = Arc::downgrade(mount);
            }
        }
        shared
    }
}

/// The span of an attempt; it ends also where a buffer's code panics.
struct Inside<'a>(&'a Polling);

impl Inside<'_> {
    /// Marked before the watchdog is called: either it sees the mark before it sleeps, or the call.
    fn begin(polling: &Polling) -> Inside<'_> {
        polling.sequence.fetch_add(1, Ordering::SeqCst);
        Inside(polling)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.sequence.fetch_add(1, Ordering::Relaxed);
    }
}
