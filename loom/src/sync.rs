//! What the driver synchronises with, as the model checker has it.
//!
//! The checker takes a sequentially consistent access for one that acquires and releases, but knows the
//! fence. With a fence on each side an access is as ordered as the one that it stands for.

use std::sync::PoisonError;

pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::atomic::Ordering;

use loom::cell::Cell;
use loom::sync::atomic;

fn ordered<T>(order: Ordering, access: impl FnOnce() -> T) -> T {
    if order != Ordering::SeqCst {
        return access();
    }
    atomic::fence(order);
    let value = access();
    atomic::fence(order);
    value
}

pub(crate) struct AtomicBool(atomic::AtomicBool);

impl AtomicBool {
    pub(crate) fn new(value: bool) -> AtomicBool {
        AtomicBool(atomic::AtomicBool::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        ordered(order, || self.0.load(order))
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        ordered(order, || self.0.store(value, order));
    }

    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        ordered(order, || self.0.swap(value, order))
    }
}

pub(crate) struct AtomicU64(atomic::AtomicU64);

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> AtomicU64 {
        AtomicU64(atomic::AtomicU64::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        ordered(order, || self.0.load(order))
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        ordered(order, || self.0.store(value, order));
    }

    pub(crate) fn fetch_min(&self, value: u64, order: Ordering) -> u64 {
        ordered(order, || self.0.fetch_min(value, order))
    }

    pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        ordered(order, || self.0.fetch_max(value, order))
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        ordered(order, || self.0.fetch_add(value, order))
    }

    pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        ordered(order, || self.0.fetch_sub(value, order))
    }

    pub(crate) fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
        ordered(order, || self.0.fetch_and(value, order))
    }

    pub(crate) fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        ordered(order, || self.0.fetch_or(value, order))
    }
}

/// Memory that one thread at a time uses; the checker fails where two do, or one without what the other did.
pub(crate) struct UnsafeCell<T>(Cell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(Cell::new(value))
    }

    pub(crate) fn get(&self) -> &Cell<T> {
        &self.0
    }
}

/// Wakes one who waits, or the next who does.
pub(crate) struct Notify(loom::sync::Notify);

impl Notify {
    pub(crate) fn new() -> Notify {
        Notify(loom::sync::Notify::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify();
    }

    pub(crate) fn wait(&self) {
        self.0.wait();
    }
}

/// A pool of few slots: what is in no interleaving is not looked at.
pub(crate) const SLOTS_MAX: usize = 64;
pub(crate) const SLOTS_CHUNK: usize = 2;

/// All threads want the same slot.
pub(crate) fn thread_index() -> usize {
    0
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// There is no time here: nothing is due by itself.
pub(crate) fn now_us() -> u64 {
    0
}

/// There is no watchdog either that could be late.
pub(crate) fn is_called() {}

/// Waits for a notification and for nothing else, so that one that is lost is found.
pub(crate) fn wait_until<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    _until_us: u64,
) -> (MutexGuard<'a, T>, bool) {
    let guard = condvar.wait(guard);
    (guard.unwrap_or_else(PoisonError::into_inner), false)
}
