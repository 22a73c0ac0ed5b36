//! Knowing that this process is a forked child.
#![allow(unsafe_code, reason = "registers the fork handler")]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static FORKED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
    super::clock::watchdog_is_gone();
}

/// Watches for forks from now on; called when the first driver is made.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler only stores to atomics, which is allowed between fork and exec.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// Whether this process was forked after the first driver was made: rings and threads are the parent's.
pub(crate) fn is_child() -> bool {
    FORKED.load(Ordering::Relaxed)
}
