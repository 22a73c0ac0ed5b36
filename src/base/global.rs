//! Values that the whole process shares, made without a lock: a fork may come while another thread makes one, and
//! its child would wait for that thread for ever.
#![allow(
    unsafe_code,
    reason = "hands out references to what is never freed once it is published"
)]

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::fork::{self, Born};

struct Made<T> {
    born: Born,
    value: T,
}

/// One value for the process, made when it is first wanted. A forked child makes its own, since the parent's may
/// be locked for ever there; the parent's stays as it was, and is forgotten. `KEPT` ones go on as they are: for
/// what never changes once it is made.
pub(crate) struct Global<T, const KEPT: bool = false> {
    current: AtomicPtr<Made<T>>,
}

/// A value that is the same in a forked child.
pub(crate) type Kept<T> = Global<T, true>;

impl<T: Send + Sync + 'static, const KEPT: bool> Global<T, KEPT> {
    pub(crate) const fn new() -> Global<T, KEPT> {
        Global {
            current: AtomicPtr::new(null_mut()),
        }
    }

    /// The value, if there is one.
    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: what was published is never freed, and never changed but through what is shared safely.
        let made = unsafe { self.current.load(Ordering::Acquire).as_ref() }?;
        (KEPT || !made.born.is_of_parent()).then_some(&made.value)
    }

    /// The value. Several threads may make one at a time: the first is kept, and the others are dropped.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        fork::watch();
        let mut new = Box::new(Made {
            born: Born::here(),
            value: make(),
        });
        loop {
            let current = self.current.load(Ordering::Acquire);
            if let Some(value) = self.get() {
                return value;
            }
            let made = Box::into_raw(new);
            let swapped =
                self.current
                    .compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire);
            if swapped.is_ok() {
                // SAFETY: it is published now, and never freed.
                return unsafe { &(*made).value };
            }
            // SAFETY: it was made by a box above, and nobody else has seen it.
            new = unsafe { Box::from_raw(made) };
        }
    }

    /// What a parent left here, if this process has not made its own yet.
    pub(crate) fn of_parent(&self) -> Option<&T> {
        // SAFETY: as in `get`.
        let made = unsafe { self.current.load(Ordering::Acquire).as_ref() }?;
        made.born.is_of_parent().then_some(&made.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// All threads get the same, however many make one.
    #[test]
    fn there_is_one() {
        static VALUE: Global<usize> = Global::new();
        static MADE: AtomicUsize = AtomicUsize::new(0);
        assert!(VALUE.get().is_none());
        let make = || MADE.fetch_add(1, Ordering::Relaxed);
        let seen: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| *VALUE.get_or_make(make)))
                .collect();
            threads.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(seen.iter().all(|value| *value == seen[0]), "{seen:?}");
        assert_eq!(VALUE.get(), Some(&seen[0]));
        assert!(VALUE.of_parent().is_none());
    }
}
