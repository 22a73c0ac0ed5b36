//! Marking a poll that is about to call the kernel, so that the watchdog sees one that sleeps.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::base::fork::Born;
use crate::base::global::Global;
use crate::base::lock::lock;
use crate::driver::watchdog;
use crate::mounts::Mount;
use crate::sys::thread;

/// What one polling thread is doing, for the watchdog to read. Never freed, and used by another thread once its own
/// has ended.
#[repr(align(128))]
pub(crate) struct Polling {
    born: Born,
    /// Whether a thread has it.
    taken: AtomicBool,
    thread: AtomicI32,
    /// Odd while inside an attempt; raised by one at its begin and at its end.
    sequence: AtomicU64,
    /// The mount of the last attempt. Written only when it changes.
    mount: Mutex<Weak<Mount>>,
}

impl Polling {
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    /// The kernel's number of the thread that has it.
    pub(crate) fn thread(&self) -> i32 {
        self.thread.load(Ordering::Relaxed)
    }

    pub(crate) fn is_inside(&self) -> bool {
        self.sequence() % 2 == 1
    }

    /// Whether the thread sleeps in the kernel right now.
    pub(crate) fn sleeps(&self) -> bool {
        thread::sleeps(self.thread.load(Ordering::Relaxed))
    }

    pub(crate) fn mount(&self) -> Option<Arc<Mount>> {
        lock(&self.mount).upgrade()
    }

    /// One for the calling thread.
    fn take() -> &'static Polling {
        let mut threads = lock(threads());
        let free = threads
            .iter()
            .find(|polling| !polling.taken.load(Ordering::Acquire));
        let polling = match free {
            Some(polling) => polling,
            None => {
                let polling: &'static Polling = Box::leak(Box::new(Polling {
                    born: Born::here(),
                    taken: AtomicBool::new(true),
                    thread: AtomicI32::new(0),
                    sequence: AtomicU64::new(0),
                    mount: Mutex::default(),
                }));
                threads.push(polling);
                polling
            }
        };
        polling.thread.store(thread::current(), Ordering::Relaxed);
        polling.taken.store(true, Ordering::Release);
        drop(threads);
        let before = std::mem::take(&mut *lock(&polling.mount));
        drop(before);
        polling
    }
}

/// The calling thread's part. Nothing is borrowed during an attempt, so attempts may nest.
struct Local {
    shared: Cell<Option<&'static Polling>>,
    /// The key of the mount that the shared part names.
    mount: Cell<Option<(u64, u64)>>,
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(polling) = self.shared.get() {
            polling.taken.store(false, Ordering::Release);
        }
    }
}

thread_local! {
    static LOCAL: Local = const { Local { shared: Cell::new(None), mount: Cell::new(None) } };
}

fn threads() -> &'static Mutex<Vec<&'static Polling>> {
    static THREADS: Global<Mutex<Vec<&'static Polling>>> = Global::new();
    THREADS.get_or_make(Mutex::default)
}

/// Every thread that has made an attempt and still lives.
pub(crate) fn polling_threads() -> Vec<&'static Polling> {
    let threads = lock(threads());
    let taken = threads
        .iter()
        .filter(|polling| polling.taken.load(Ordering::Acquire));
    taken.copied().collect()
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

/// The calling thread's part, unless it is ending.
pub(crate) fn polling_here() -> Option<&'static Polling> {
    LOCAL.try_with(|local| local.polling(None)).ok()
}

impl Local {
    fn polling(&self, mount: Option<&Arc<Mount>>) -> &'static Polling {
        let shared = self
            .shared
            .get()
            .filter(|shared| !shared.born.is_of_parent());
        let shared = shared.unwrap_or_else(|| {
            let shared = Polling::take();
            self.shared.set(Some(shared));
            self.mount.set(None);
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
