use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU16, Ordering};

use super::ledger::*;

/// A ring whose kernel's side is played by the test.
struct Played {
    ids: RefCell<Vec<u16>>,
    tail: Cell<u16>,
    head: Cell<u16>,
}

impl Played {
    fn new(count: u16) -> Played {
        Played {
            ids: RefCell::new(vec![u16::MAX; usize::from(count)]),
            tail: Cell::new(0),
            head: Cell::new(0),
        }
    }

    /// What the kernel takes next.
    fn consume(&self) -> Option<u16> {
        let (head, ids) = (self.head.get(), self.ids.borrow());
        if head == self.tail.get() {
            return None;
        }
        self.head.set(head.wrapping_add(1));
        Some(ids[usize::from(head) & (ids.len() - 1)])
    }
}

impl Entries for Played {
    fn write(&self, place: u16, id: u16) {
        self.ids.borrow_mut()[usize::from(place)] = id;
    }

    fn publish(&self, tail: u16) {
        let ahead = tail.wrapping_sub(self.head.get());
        let count = self.ids.borrow().len() as u16;
        assert!(ahead <= count, "{ahead} entries in a ring of {count}");
        self.tail.set(tail);
    }
}

fn ledger(count: u16) -> Ledger<Played> {
    Ledger::new(Played::new(count), count, 100)
}

#[test]
fn the_kernel_has_every_buffer_at_first_up_to_the_largest_ring() {
    for count in [1, 2, 64, 32_768] {
        let ledger = ledger(count);
        let all: Vec<u16> = std::iter::from_fn(|| ledger.entries().consume()).collect();
        assert_eq!(all, (0..count).collect::<Vec<_>>());
        assert_eq!(ledger.with_kernel(), usize::from(count));
    }
}

#[test]
fn the_tail_wraps() {
    for count in [1, 4, 32_768] {
        let ledger = ledger(count);
        for _ in 0..200_000 {
            let id = ledger.entries().consume().expect("one is there");
            assert_eq!(ledger.take(id, 100, false), Some(0));
            ledger.give_back(id);
        }
        assert_eq!(ledger.with_kernel(), usize::from(count));
        assert_eq!(
            ledger.tail(),
            (200_000u32 + u32::from(count)) as u16,
            "{count}"
        );
    }
}

/// Requirement R42: in release builds, too.
#[test]
fn what_the_kernel_cannot_mean_is_refused() {
    let ledger = ledger(4);
    assert_eq!(ledger.take(4, 1, false), None, "there is no such buffer");
    assert_eq!(ledger.take(u16::MAX, 1, false), None);
    assert_eq!(ledger.take(0, 101, false), None, "it is not that long");
    assert_eq!(ledger.take(0, 60, true), Some(0));
    assert_eq!(ledger.take(0, 41, true), None, "no more has 40 left");
    assert_eq!(ledger.take(0, 40, false), Some(60));
    assert_eq!(ledger.take(0, 0, false), None, "the kernel gave it away");
    ledger.give_back(4);
    ledger.give_back(1);
    assert_eq!(ledger.tail(), 4, "nobody held these");
}

/// Section 5.9 of the kernel notes: the flag decides, not the number of bytes.
#[test]
fn a_buffer_filled_bit_by_bit_comes_back_when_the_kernel_is_done_and_all_let_go() {
    let ledger = ledger(1);
    assert_eq!(ledger.entries().consume(), Some(0));
    assert_eq!(ledger.take(0, 10, true), Some(0));
    assert_eq!(ledger.take(0, 20, true), Some(10));
    ledger.give_back(0);
    ledger.give_back(0);
    assert_eq!(ledger.entries().consume(), None, "the kernel still has it");
    // The end of a file retires the rest.
    assert_eq!(ledger.take(0, 0, false), Some(30));
    ledger.give_back(0);
    assert_eq!(ledger.entries().consume(), Some(0));
    assert_eq!(ledger.take(0, 100, false), Some(0), "it begins anew");
}

#[test]
fn many_threads_let_go_at_once_and_the_tail_only_goes_on() {
    struct Growing(AtomicU16);
    impl Entries for Growing {
        fn write(&self, _: u16, _: u16) {}
        fn publish(&self, tail: u16) {
            let before = self.0.swap(tail, Ordering::SeqCst);
            assert!(before == 0 || tail == before.wrapping_add(1));
        }
    }
    let (threads, each) = (8u16, 4096);
    let ledger = Ledger::new(Growing(AtomicU16::new(0)), threads * each, 1);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let ledger = &ledger;
            scope.spawn(move || {
                for id in thread * each..(thread + 1) * each {
                    assert_eq!(ledger.take(id, 1, false), Some(0));
                    ledger.give_back(id);
                }
            });
        }
    });
    assert_eq!(ledger.with_kernel(), usize::from(threads * each));
    assert_eq!(ledger.tail(), 0, "65 536 were appended");
}
