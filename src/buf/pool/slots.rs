//! The slots of a pool: each has a buffer, or has lent it, or is vacant.
//!
//! Who takes a slot's number out of the set of free ones has its buffer alone, without a lock. Only a change of
//! the pool's size takes one. A pool that shrinks owes buffers, and whoever gives one back looks whether it does.
#![allow(unsafe_code, reason = "a slot's number is the right to its buffer")]

use std::sync::OnceLock;

use super::bits::{Bits, Waiting};
use super::stats::PoolStats;
use super::sync::{
    AtomicU64, Mutex, MutexGuard, Notify, Ordering, SLOTS_CHUNK, SLOTS_MAX, UnsafeCell, lock,
    thread_index,
};

type Cell<B> = UnsafeCell<Option<B>>;

/// See the module. `B` is a buffer.
pub(crate) struct Slots<B> {
    free: Bits,
    vacant: Bits,
    cells: [OnceLock<Box<[Cell<B>]>>; SLOTS_MAX / SLOTS_CHUNK],
    /// How many buffers go as soon as they are free.
    owed: AtomicU64,
    /// How many buffers there are, less those owed. The lock is held while that changes.
    count: Mutex<usize>,
    /// Held by the one who changes it on purpose, which may take a while.
    resizing: Mutex<()>,
    pub(crate) waiting: Waiting,
    pub(crate) returned: Notify,
    acquires: AtomicU64,
    misses: AtomicU64,
}

// SAFETY: a cell is used by nobody but the thread that has its number, which `Bits` gives to one at a time, with
// all that the one before did (`give` and `take` are ordered).
unsafe impl<B: Send> Sync for Slots<B> {}

impl<B> Slots<B> {
    pub(crate) fn new() -> Slots<B> {
        Slots {
            free: Bits::none(SLOTS_MAX),
            vacant: Bits::all(SLOTS_MAX),
            cells: [const { OnceLock::new() }; SLOTS_MAX / SLOTS_CHUNK],
            owed: AtomicU64::new(0),
            count: Mutex::new(0),
            resizing: Mutex::new(()),
            waiting: Waiting::new(),
            returned: Notify::new(),
            acquires: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// A free buffer, and the number of its slot.
    pub(crate) fn take(&self) -> Option<(usize, B)> {
        let number = self.free.take(thread_index())?;
        // SAFETY: the number was just taken.
        let buffer = unsafe { self.cell(number).get().replace(None) };
        buffer.map(|buffer| (number, buffer))
    }

    /// Puts a buffer into its slot, for whoever takes it next, unless it is owed.
    pub(crate) fn give(&self, number: usize, buffer: B) {
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
    fn put(&self, number: usize, buffer: B) {
        // SAFETY: nobody else uses the cell until the number is given.
        unsafe { self.cell(number).get().replace(Some(buffer)) };
        self.free.give(number);
        if self.waiting.count() > 0 {
            self.returned.notify_one();
        }
    }

    /// Changes the number of buffers. What is missing comes from `make`, which is told how many.
    pub(crate) fn resize<E>(
        &self,
        count: usize,
        make: impl FnOnce(usize) -> Result<Vec<B>, E>,
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
            self.owed
                .fetch_add((before - count) as u64, Ordering::SeqCst);
            *now = count;
            self.settle(&now)
        } else {
            let kept = self
                .owed
                .load(Ordering::SeqCst)
                .min((count - before) as u64);
            self.owed.fetch_sub(kept, Ordering::SeqCst);
            *now += kept as usize;
            Vec::new()
        };
        drop(now);
        drop(gone);
        before
    }

    /// Empties as many free slots as are owed; what still is, is lent. The buffers are to be dropped without the
    /// lock.
    fn settle(&self, _locked: &MutexGuard<'_, usize>) -> Vec<B> {
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
    pub(crate) fn asked(&self, is_miss: bool) {
        self.acquires.fetch_add(1, Ordering::Relaxed);
        if is_miss {
            self.misses.fetch_add(1, Ordering::Release);
        }
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let count = lock(&self.count);
        let vacant = self.vacant.count();
        PoolStats {
            // In this order: there are never more misses than acquires.
            misses: self.misses.load(Ordering::Acquire),
            acquires: self.acquires.load(Ordering::Relaxed),
            in_use: (SLOTS_MAX - vacant).saturating_sub(self.free.count()),
            count: *count,
            waiting: self.waiting.count() as usize,
        }
    }

    fn make_cell(&self, number: usize) {
        self.cells[number / SLOTS_CHUNK]
            .get_or_init(|| (0..SLOTS_CHUNK).map(|_| UnsafeCell::new(None)).collect());
    }

    fn cell(&self, number: usize) -> &Cell<B> {
        let chunk = self.cells[number / SLOTS_CHUNK].get();
        let chunk = chunk.expect("a slot that had a buffer has a cell");
        &chunk[number % SLOTS_CHUNK]
    }
}
