//! What the life of an operation and the bell of the watchdog synchronise with, and what time it is there, so that a
//! model checker can put its own in this place.

use std::sync::MutexGuard;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::base::clock::NEVER;
pub(crate) use crate::base::clock::{now_us, watchdog_is_called as is_called};
pub(crate) use crate::base::lock::lock;
use crate::base::lock::{wait, wait_timeout};

/// Waits for a notification, or until then; whether it waited so long.
pub(crate) fn wait_until<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    until_us: u64,
) -> (MutexGuard<'a, T>, bool) {
    match until_us {
        NEVER => (wait(condvar, guard), false),
        _ => {
            let left = Duration::from_micros(until_us.saturating_sub(now_us()));
            wait_timeout(condvar, guard, left)
        }
    }
}
