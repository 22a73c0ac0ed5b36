//! Waking a task at a moment, by the watchdog's thread and not by a runtime.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use crate::base::clock::NEVER;
use crate::base::global::Global;
use crate::base::lock::lock;
use crate::driver::watchdog;

/// When, and a number of its own.
type Key = (u64, u64);

fn alarms() -> &'static Mutex<BTreeMap<Key, Waker>> {
    static ALARMS: Global<Mutex<BTreeMap<Key, Waker>>> = Global::new();
    ALARMS.get_or_make(Mutex::default)
}

/// One task to be woken; dropped, it is not.
#[derive(Debug)]
pub(crate) struct Alarm(Key);

impl Alarm {
    /// Wakes the task once, at that moment in microseconds.
    pub(crate) fn at(due_us: u64, waker: &Waker) -> Alarm {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let key = (due_us, NEXT.fetch_add(1, Ordering::Relaxed));
        lock(alarms()).insert(key, waker.clone());
        watchdog::call_by(due_us);
        Alarm(key)
    }

    /// Wakes this task instead.
    pub(crate) fn wakes(&self, waker: &Waker) {
        let replaced = lock(alarms())
            .get_mut(&self.0)
            .filter(|old| !old.will_wake(waker))
            .map(|old| std::mem::replace(old, waker.clone()));
        drop(replaced);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let waker = lock(alarms()).remove(&self.0);
        drop(waker);
    }
}

/// Wakes those whose time has come.
pub(crate) fn ring(now_us: u64) {
    let due = {
        let mut alarms = lock(alarms());
        let later = alarms.split_off(&(now_us + 1, 0));
        std::mem::replace(&mut *alarms, later)
    };
    for waker in due.into_values() {
        // A waker that panics takes nobody with it.
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// Wakes all of them, so that they look again when they are due: the clock has changed.
pub(crate) fn stir() {
    let wakers: Vec<_> = lock(alarms()).values().cloned().collect();
    for waker in wakers {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// Whether anybody waits for one.
pub(crate) fn are_set() -> bool {
    next_us() != NEVER
}

/// When the next one is due, in microseconds.
pub(crate) fn next_us() -> u64 {
    lock(alarms()).keys().next().map_or(NEVER, |key| key.0)
}
