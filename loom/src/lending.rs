//! The slots of a pool of buffers: each is with one thread at a time, whoever waits for one gets it, and a pool that
//! shrinks loses as many as it owes. A waiter that nobody wakes ends the model as a deadlock.
//!
//! What `src/buf/pool/slots.rs` does with the sets is played here in a few lines, over the sets themselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::cell::Cell;
use loom::sync::{Mutex, Notify};
use loom::thread::spawn;

use super::bits::{Bits, Waiting};
use super::sync::{AtomicU64, lock};

const BOUND: usize = 64;

fn check(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// A pool of at most two slots, in whose cells is how often they were lent.
struct Pool {
    free: Bits,
    cells: [Cell<u64>; 2],
    owed: AtomicU64,
    count: Mutex<u64>,
    waiting: Waiting,
    returned: Notify,
}

#[allow(
    clippy::arc_with_non_send_sync,
    reason = "the checker looks who uses a cell"
)]
fn pool(slots: usize) -> Arc<Pool> {
    let pool = Pool {
        free: Bits::none(BOUND),
        cells: [Cell::new(0), Cell::new(0)],
        owed: AtomicU64::new(0),
        count: Mutex::new(slots as u64),
        waiting: Waiting::new(),
        returned: Notify::new(),
    };
    (0..slots).for_each(|number| pool.free.give(number));
    Arc::new(pool)
}

impl Pool {
    fn take(&self, hint: usize) -> Option<usize> {
        let number = self.free.take(hint)?;
        // The checker fails where two threads have it.
        let cell = &self.cells[number];
        cell.set(cell.get() + 1);
        Some(number)
    }

    fn give(&self, number: usize) {
        if self.owed.load(Ordering::SeqCst) > 0 {
            let _locked = lock(&self.count);
            if self.owed.load(Ordering::SeqCst) > 0 {
                self.owed.fetch_sub(1, Ordering::SeqCst);
                return;
            }
        }
        self.free.give(number);
        if self.waiting.count() > 0 {
            self.returned.notify();
        }
        if self.owed.load(Ordering::SeqCst) > 0 {
            let _locked = lock(&self.count);
            self.settle();
        }
    }

    fn settle(&self) {
        while self.owed.load(Ordering::SeqCst) > 0 && self.take(0).is_some() {
            self.owed.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn shrink(&self) {
        let mut count = lock(&self.count);
        *count -= 1;
        self.owed.fetch_add(1, Ordering::SeqCst);
        self.settle();
    }

    /// As `BufPool::wait`.
    fn wait(&self) -> usize {
        let _mark = self.waiting.mark();
        loop {
            if let Some(number) = self.take(0) {
                return number;
            }
            self.returned.wait();
        }
    }

    fn lent(&self) -> u64 {
        // All threads have ended, or the checker fails.
        self.cells.iter().map(Cell::get).sum()
    }
}

/// R50, R56: what one owner did with a slot is over before the next one has it.
#[test]
fn a_slot_is_with_one_thread_at_a_time() {
    check(|| {
        let pool = pool(2);
        let lending = |hint: usize| {
            let pool = pool.clone();
            spawn(move || {
                let number = pool.take(hint);
                number.map(|number| pool.give(number)).is_some()
            })
        };
        let others = [lending(0), lending(0)];
        let here = pool.take(1);
        let mut had = u64::from(here.is_some());
        here.into_iter().for_each(|number| pool.give(number));
        for other in others {
            had += u64::from(other.join().unwrap());
        }
        assert_eq!((pool.lent(), pool.free.count()), (had, 2));
        assert!(had >= 2, "two are enough for two");
    });
}

/// Whoever waits while the last slot is lent gets it, however close the return.
#[test]
fn whoever_waits_is_woken() {
    check(|| {
        let pool = pool(1);
        let number = pool.take(0).unwrap();
        let returning = spawn({
            let pool = pool.clone();
            move || pool.give(number)
        });
        let thieving = spawn({
            let pool = pool.clone();
            move || {
                let stolen = pool.take(0);
                stolen.into_iter().for_each(|number| pool.give(number));
            }
        });
        let number = pool.wait();
        pool.give(number);
        returning.join().unwrap();
        thieving.join().unwrap();
        assert_eq!((pool.free.count(), pool.waiting.count()), (1, 0));
    });
}

/// A pool that shrinks while its slots come back ends with as many as it is to have.
#[test]
fn what_is_owed_goes() {
    check(|| {
        let pool = pool(2);
        let numbers = [pool.take(0).unwrap(), pool.take(0).unwrap()];
        let returning = numbers.map(|number| {
            let pool = pool.clone();
            spawn(move || pool.give(number))
        });
        pool.shrink();
        returning
            .into_iter()
            .for_each(|other| other.join().unwrap());
        assert_eq!(
            (pool.free.count(), pool.owed.load(Ordering::SeqCst)),
            (1, 0)
        );
    });
}
