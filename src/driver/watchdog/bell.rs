//! How the watchdog is woken: for what begins while it sleeps, and for a deadline that comes before it would
//! look again.
//!
//! Each side says its own first and looks at the other's afterwards, all in one order that everybody sees, so
//! that one of the two always sees the other.

use crate::base::sync::{
    AtomicBool, AtomicU64, Condvar, Mutex, Ordering, is_called, lock, now_us, wait_until,
};

/// See the module.
pub(crate) struct Bell {
    /// Whether the watchdog sleeps, or ticks slowly, and wants to be called when something begins.
    wants_call: AtomicBool,
    /// When the watchdog looks next, in microseconds; zero while it looks.
    looks_at_us: AtomicU64,
    /// Whether a call is waiting to be noticed.
    called: Mutex<bool>,
    /// Whether a deadline is nearer than it was. Set under the lock of `called`.
    nudged: AtomicBool,
    rings: Condvar,
}

impl Default for Bell {
    fn default() -> Bell {
        Bell::new()
    }
}

impl Bell {
    pub(crate) fn new() -> Bell {
        Bell {
            wants_call: AtomicBool::new(false),
            looks_at_us: AtomicU64::new(0),
            called: Mutex::new(false),
            nudged: AtomicBool::new(false),
            rings: Condvar::new(),
        }
    }

    /// Says that something has begun. Costs one load unless the watchdog sleeps.
    pub(crate) fn call(&self) {
        if self.wants_call.load(Ordering::SeqCst) && self.wants_call.swap(false, Ordering::AcqRel) {
            is_called();
            *lock(&self.called) = true;
            self.rings.notify_one();
        }
    }

    /// Says that there is something to do by then, which was noted before. Costs one load unless that is before
    /// the watchdog would look.
    pub(crate) fn call_by(&self, due_us: u64) {
        if due_us < self.looks_at_us.load(Ordering::SeqCst) {
            self.looks_at_us.store(0, Ordering::SeqCst);
            is_called();
            let called = lock(&self.called);
            self.nudged.store(true, Ordering::SeqCst);
            drop(called);
            self.rings.notify_one();
        }
    }

    /// Whether calls are wanted from now on. What began before is seen by whoever looks after this.
    pub(crate) fn want_calls(&self, wanted: bool) {
        self.wants_call.store(wanted, Ordering::SeqCst);
    }

    /// Sleeps until then, or until what `next_due_us` says, but not before `least_us`; or until somebody
    /// calls. Returns whether somebody did for more than a deadline.
    pub(crate) fn sleep(
        &self,
        end_us: u64,
        least_us: u64,
        next_due_us: impl FnOnce() -> u64,
    ) -> bool {
        // Published first, then looked at once more: what is due earlier is seen here, or calls.
        self.looks_at_us.store(end_us, Ordering::SeqCst);
        let look_us = next_due_us().min(end_us);
        self.looks_at_us.store(look_us, Ordering::SeqCst);
        let called = self.doze(look_us.max(least_us));
        self.looks_at_us.store(0, Ordering::SeqCst);
        called
    }

    fn doze(&self, until_us: u64) -> bool {
        let mut called = lock(&self.called);
        // Where it comes so late that the clock stands, the clock does not tell it.
        let mut is_over = false;
        loop {
            if std::mem::take(&mut *called) {
                return true;
            }
            let nudged = self.nudged.swap(false, Ordering::SeqCst);
            if nudged || is_over || now_us() >= until_us {
                return false;
            }
            (called, is_over) = wait_until(&self.rings, called, until_us);
        }
    }
}
