//! The slots of a pool: each has a buffer, or has lent it, or is vacant.
//!
//! Who takes a slot's number out of the set of free ones has its buffer alone, without a lock. Only a change of
//! the pool's size takes one. A pool that shrinks owes buffers, and whoever gives one back looks whether it does.
#![allow(unsafe_code, reason = "a slot's number is the right to its buffer")]

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio::sync::Notify;

use super::bits::{Bits, Waiting};
use super::segment::Segment;
use super::stats::PoolStats;
use crate::limits::{POOL_BUFFERS_MAX, POOL_SLOTS_CHUNK};
use crate::observe::thread_index;
use crate::sys::lock::lock;

/// One buffer: where it begins, and the memory that it is a part of.
pub(super) struct Buffer {
    pub(super) segment: Arc<Segment>,
    pub(super) start: NonNull<u8>,
}

// SAFETY: the bytes belong to whoever has the value, and stay as long as the segment that it holds.
unsafe impl Send for Buffer {}
// SAFETY: shared, it gives away nothing but the address.
unsafe impl Sync for Buffer {}

type Cell = UnsafeCell<Option<Buffer>>;

/// See the module.
pub(super) struct Slots {
    free: Bits,
    vacant: Bits,
    cells: [OnceLock<Box<[Cell]>>; POOL_BUFFERS_MAX / POOL_SLOTS_CHUNK],
    /// How many buffers go as soon as they are free.
    owed: AtomicUsize,
    /// How many buffers there are, less those owed. The lock is held while that changes.
    count: Mutex<usize>,
    /// Held by the one who changes it on purpose, which may take a while.
    resizing: Mutex<()>,
    pub(super) waiting: Waiting,
    pub(super) returned: Notify,
    acquires: AtomicU64,
    misses: AtomicU64,
}

// SAFETY: a cell is used by nobody but the thread that has its number, which `Bits` gives to one at a time, with
// all that the one before did (`give` and `take` are ordered).
unsafe impl Sync for Slots {}

impl Slots {
    pub(super) fn new() -> Slots {
        Slots {
            free: Bits::none(POOL_BUFFERS_MAX),
            vacant: Bits::all(POOL_BUFFERS_MAX),
            cells: [const { OnceLock::new() }; POOL_BUFFERS_MAX / POOL_SLOTS_CHUNK],
            owed: AtomicUsize::new(0),
            count: Mutex::new(0),
            resizing: Mutex::new(()),
            waiting: Waiting::new(),
            returned: Notify::new(),
            acquires: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// A free buffer, and the number of its slot.
    pub(super) fn take(&self) -> Option<(usize, Buffer)> {
        let number = self.free.take(thread_index())?;
        // SAFETY: the number was just taken.
        let buffer = unsafe { (*self.cell(number)).take() };
        buffer.map(|buffer| (number, buffer))
    }

    /// Puts a buffer into its slot, for whoever takes it next, unless it is owed.
    pub(super) fn give(&self, number: usize, buffer: Buffer) {
        if self.owed.load(Ordering::SeqCst) > 0 {
            let count = lock(&self.count);
            if self.owed.load(Ordering::SeqCst) > 0 {
                self.vacate(number);
                drop(count);
                return drop(buffer);
            }
        }
        self.put(number, buffer);
        // Afterwards: either this sees what is owed, or whoever owes it sees the buffer.
        if self.owed.load(Ordering::SeqCst) > 0 {
            let count = lock(&self.count);
            let gone = self.settle(&count);
            drop(count);
            drop(gone);
        }
    }

    /// The number is the caller's from `take`, or from `vacant`, until here.
    fn put(&self, number: usize, buffer: Buffer) {
        // SAFETY: nobody else uses the cell until the number is given.
        unsafe { *self.cell(number) = Some(buffer) };
        self.free.give(number);
        if self.waiting.count() > 0 {
            self.returned.notify_one();
        }
    }

    /// Changes the number of buffers. What is missing comes from `make`, which is told how many.
    pub(super) fn resize<E>(
        &self,
        count: usize,
        make: impl FnOnce(usize) -> Result<Vec<Buffer>, E>,
    ) -> Result<(), E> {
        let _alone = lock(&self.resizing);
        let before = self.set_count(count);
        let Some(missing) = count
            .checked_sub(*lock(&self.count))
            .filter(|&some| some > 0)
        else {
            return Ok(());
        };
        // Without the other lock, which whoever gives a buffer back may want.
        let made = make(missing).inspect_err(|_| {
            self.set_count(before);
        })?;
        *lock(&self.count) += missing;
        for buffer in made {
            // Nothing is owed where something is missing, so the others are as many as are counted.
            let number = self.vacant.take(0).expect("a vacant slot for each");
            self.make_cell(number);
            self.put(number, buffer);
        }
        Ok(())
    }

    /// Comes as near to that count as it can without new memory, and returns what it was before.
    fn set_count(&self, count: usize) -> usize {
        let mut now = lock(&self.count);
        let before = *now;
        let gone = if count < before {
            self.owed.fetch_add(before - count, Ordering::SeqCst);
            *now = count;
            self.settle(&now)
        } else {
            let kept = self.owed.load(Ordering::SeqCst).min(count - before);
            self.owed.fetch_sub(kept, Ordering::SeqCst);
            *now += kept;
            Vec::new()
        };
        drop(now);
        drop(gone);
        before
    }

    /// Empties as many free slots as are owed; what still is, is lent. The buffers are to be dropped without the
    /// lock.
    fn settle(&self, _locked: &MutexGuard<'_, usize>) -> Vec<Buffer> {
        let mut gone = Vec::new();
        while self.owed.load(Ordering::SeqCst) > 0 {
            let Some((number, buffer)) = self.take() else {
                break;
            };
            self.vacate(number);
            gone.push(buffer);
        }
        gone
    }

    /// Pays one of the buffers that are owed. The lock is held.
    fn vacate(&self, number: usize) {
        self.owed.fetch_sub(1, Ordering::SeqCst);
        self.vacant.give(number);
    }

    /// Counts a request for a buffer, and whether there was none.
    pub(super) fn asked(&self, is_miss: bool) {
        self.acquires.fetch_add(1, Ordering::Relaxed);
        if is_miss {
            self.misses.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let count = lock(&self.count);
        let vacant = self.vacant.count();
        PoolStats {
            // In this order: there are never more misses than acquires.
            misses: self.misses.load(Ordering::Acquire),
            acquires: self.acquires.load(Ordering::Relaxed),
            in_use: (POOL_BUFFERS_MAX - vacant).saturating_sub(self.free.count()),
            count: *count,
            waiting: self.waiting.count() as usize,
        }
    }

    fn make_cell(&self, number: usize) {
        self.cells[number / POOL_SLOTS_CHUNK].get_or_init(|| {
            (0..POOL_SLOTS_CHUNK)
                .map(|_| UnsafeCell::new(None))
                .collect()
        });
    }

    fn cell(&self, number: usize) -> *mut Option<Buffer> {
        let chunk = self.cells[number / POOL_SLOTS_CHUNK].get();
        let chunk = chunk.expect("a slot that had a buffer has a cell");
        chunk[number % POOL_SLOTS_CHUNK].get()
    }
}
