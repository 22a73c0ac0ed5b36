//! Many let go of provided buffers at once while the kernel takes entries: it gets each buffer once, with its
//! entry written, and the tail never goes backwards.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU16, Ordering};
use loom::thread::{spawn, yield_now};

use super::ledger::{Entries, Ledger};

/// The memory of the ring; relaxed, so that an entry which is not ordered before its tail shows.
struct Memory {
    ids: Vec<AtomicU16>,
    tail: AtomicU16,
}

/// No id of a buffer: what an entry must not be when the kernel reads it.
const UNWRITTEN: u16 = u16::MAX;

impl Entries for Memory {
    fn write(&self, place: u16, id: u16) {
        self.ids[usize::from(place)].store(id, Ordering::Relaxed);
    }

    fn publish(&self, tail: u16) {
        let before = self.tail.load(Ordering::Relaxed);
        assert!(tail.wrapping_sub(before) <= 4, "the tail went back");
        self.tail.store(tail, Ordering::Release);
    }
}

impl Memory {
    fn new(count: usize) -> Memory {
        Memory {
            ids: (0..count).map(|_| AtomicU16::new(UNWRITTEN)).collect(),
            tail: AtomicU16::new(0),
        }
    }

    /// The kernel takes an entry, and with it what was written there.
    fn consume(&self, head: u16) -> Option<u16> {
        if self.tail.load(Ordering::Acquire) == head {
            return None;
        }
        let place = usize::from(head) & (self.ids.len() - 1);
        let id = self.ids[place].swap(UNWRITTEN, Ordering::Relaxed);
        assert_ne!(id, UNWRITTEN, "the tail was moved before its entry");
        Some(id)
    }
}

/// A ring of two whose buffers were both read into.
fn both_held() -> Arc<Ledger<Memory>> {
    let ledger = Arc::new(Ledger::new(Memory::new(2), 2, 1));
    for (head, id) in [(0, 0), (1, 1)] {
        assert_eq!(ledger.entries().consume(head), Some(id));
        assert_eq!(ledger.take(id, 1, false), Some(0));
    }
    ledger
}

#[test]
fn the_kernel_gets_each_buffer_once_whoever_lets_go_first() {
    loom::model(|| {
        let ledger = both_held();
        let others: Vec<_> = [0, 1]
            .map(|id| {
                let ledger = ledger.clone();
                spawn(move || ledger.give_back(id))
            })
            .into();
        let mut got = Vec::new();
        while got.len() < 2 {
            match ledger.entries().consume(2 + got.len() as u16) {
                Some(id) => got.push(id),
                None => yield_now(),
            }
        }
        others.into_iter().for_each(|other| other.join().unwrap());
        got.sort_unstable();
        assert_eq!(got, [0, 1]);
        assert_eq!(ledger.tail(), 4);
    });
}

/// A buffer that the kernel fills bit by bit: it comes back once, after the last of all holders, while a
/// further part of it may just be taken.
#[test]
fn the_last_holder_gives_back_what_the_kernel_retires_meanwhile() {
    loom::model(|| {
        let ledger = Arc::new(Ledger::new(Memory::new(1), 1, 2));
        assert_eq!(ledger.entries().consume(0), Some(0));
        assert_eq!(ledger.take(0, 1, true), Some(0));
        let holder = spawn({
            let ledger = ledger.clone();
            move || ledger.give_back(0)
        });
        assert_eq!(ledger.take(0, 1, false), Some(1));
        ledger.give_back(0);
        holder.join().unwrap();
        assert_eq!(ledger.entries().consume(1), Some(0));
        assert_eq!(ledger.entries().consume(2), None, "it comes back once");
    });
}
