//! Word to the rings that somebody let go of something that they have registered.
//!
//! Only a ring's own thread may change what the ring has registered, so whoever drops the last handle
//! of a buffer pool or group leaves word here, and each ring sees to it when it comes by.

use std::sync::atomic::{AtomicU64, Ordering};

use super::global::Global;

static COUNT: AtomicU64 = AtomicU64::new(0);
static LISTENER: Global<fn()> = Global::new();

/// How often word was left.
pub(crate) fn count() -> u64 {
    COUNT.load(Ordering::SeqCst)
}

/// Leaves word.
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only rings register")
)]
pub(crate) fn note() {
    COUNT.fetch_add(1, Ordering::SeqCst);
    if let Some(listener) = LISTENER.get() {
        listener();
    }
}

/// Has this called whenever word is left in this process; the first one stays.
pub(crate) fn listen(listener: fn()) {
    LISTENER.get_or_make(|| listener);
}
