//! The edges of an operation's life: whatever meets whatever, it is over once, dropped once, and its caller
//! gets one answer and is never left asleep. A model that leaves a caller asleep ends as a deadlock.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::thread::spawn;

use super::played::{Cell, Waiting};

/// Every interleaving of two threads; of three with at most three preemptions, which reaches each order of
/// any four of their steps.
fn model(threads: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = (threads > 2).then_some(3);
    builder.check(body);
}

/// What a driver does with it.
type Driver = fn(&Cell);

const COMPLETES: Driver = |cell| {
    if cell.submit(false) {
        cell.settle(None, false);
    }
};

/// Without ring, or after the ring gave it back.
const GOES_ELSEWHERE: Driver = |cell| {
    cell.submit(false);
    cell.settle_elsewhere();
};

const COMPLETES_KEPT: Driver = |cell| {
    assert!(cell.submit(true), "nothing takes it back");
    cell.settle(None, false);
};

/// INV-11: whoever gives up while the kernel has it, or as it gets it, the kernel is asked.
#[test]
fn a_cancel_reaches_the_kernel() {
    for drops in [false, true] {
        model(2, move || {
            let cell = Cell::new(false);
            let submitting = spawn({
                let cell = cell.clone();
                move || cell.submit(false)
            });
            let asked = if drops {
                cell.drop_caller()
            } else {
                cell.give_up()
            };
            let submitted = submitting.join().unwrap();
            assert_eq!(
                asked, submitted,
                "taken back if and only if it is not there"
            );
            let cancels = cell.seen.cancels.load(Ordering::Relaxed);
            assert!(cancels > 0 || !submitted, "nobody asked the kernel");
            if submitted {
                cell.settle(None, false);
            }
            if !drops {
                block_on(Waiting(cell.clone()));
            }
            cell.seen.check(1, usize::from(!drops));
        });
    }
}

/// A caller waits while the driver ends the operation and its deadline passes.
fn waits(kept: bool, driver: Driver) {
    model(3, move || {
        let cell = Cell::new(kept);
        let driving = spawn({
            let cell = cell.clone();
            move || driver(&cell)
        });
        let expiring = spawn({
            let cell = cell.clone();
            move || {
                cell.give_up();
                cell.leave();
            }
        });
        block_on(Waiting(cell.clone()));
        driving.join().unwrap();
        expiring.join().unwrap();
        cell.seen.check(1, 1);
        if kept {
            assert_eq!(cell.seen.cancels.load(Ordering::Relaxed), 0);
        }
    });
}

#[test]
fn a_caller_gets_one_answer() {
    waits(false, COMPLETES);
}

#[test]
fn a_caller_gets_one_answer_of_what_goes_elsewhere() {
    waits(false, GOES_ELSEWHERE);
}

#[test]
fn what_is_kept_goes_on_and_its_caller_is_told() {
    waits(true, COMPLETES_KEPT);
}

/// What is taken back or left is answered though nothing ends it.
#[test]
fn a_caller_is_answered_though_the_kernel_never_does() {
    model(3, || {
        let cell = Cell::new(false);
        let submitting = spawn({
            let cell = cell.clone();
            move || cell.submit(false)
        });
        let expiring = spawn({
            let cell = cell.clone();
            move || {
                cell.give_up();
                cell.leave();
            }
        });
        block_on(Waiting(cell.clone()));
        expiring.join().unwrap();
        if submitting.join().unwrap() {
            cell.settle(None, false);
        }
        cell.seen.check(1, 1);
    });
}

/// A caller that has polled, or has not, drops the future at any moment.
fn is_dropped(kept: bool, polls: bool, driver: Driver) {
    model(3, move || {
        let cell = Cell::new(kept);
        let driving = spawn({
            let cell = cell.clone();
            move || driver(&cell)
        });
        let expiring = spawn({
            let cell = cell.clone();
            move || {
                cell.give_up();
                cell.leave();
            }
        });
        let mut waiting = Waiting(cell.clone());
        let mut answers = 0;
        if polls {
            let polled = poll(&mut waiting);
            answers = usize::from(polled.is_ready());
        }
        drop(waiting);
        driving.join().unwrap();
        expiring.join().unwrap();
        cell.seen.check(1, answers);
    });
}

fn poll(waiting: &mut Waiting) -> Poll<()> {
    Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_future_dropped_at_any_moment_leaves_nothing() {
    for polls in [false, true] {
        is_dropped(false, polls, COMPLETES);
        is_dropped(false, polls, GOES_ELSEWHERE);
        is_dropped(true, polls, COMPLETES_KEPT);
    }
}

/// INV-7: what is forgotten is never dropped, whoever comes in between, and is over once.
#[test]
fn what_is_forgotten_is_never_dropped() {
    for drops in [false, true] {
        model(3, move || {
            let cell = Cell::new(false);
            assert!(cell.submit(false));
            let breaking = spawn({
                let cell = cell.clone();
                move || cell.settle(None, true)
            });
            let expiring = spawn({
                let cell = cell.clone();
                move || {
                    cell.give_up();
                    cell.leave();
                }
            });
            let waiting = Waiting(cell.clone());
            if drops {
                drop(waiting);
            } else {
                block_on(waiting);
            }
            breaking.join().unwrap();
            expiring.join().unwrap();
            cell.seen.check(0, usize::from(!drops));
        });
    }
}

/// A ring that breaks while its completion comes: one of the two ends it.
#[test]
fn two_ends_are_one() {
    model(3, || {
        let cell = Cell::new(false);
        assert!(cell.submit(false));
        let ends: Vec<_> = (0..2)
            .map(|_| {
                let cell: Arc<Cell> = cell.clone();
                spawn(move || cell.settle(None, false))
            })
            .collect();
        block_on(Waiting(cell.clone()));
        ends.into_iter().for_each(|end| end.join().unwrap());
        cell.seen.check(1, 1);
    });
}

/// A driver that closes while a lane, or a thread, takes the operation: what is taken is not dropped before it
/// is settled (INV-1).
#[test]
fn a_close_takes_nothing_back_that_has_begun() {
    for by_thread in [false, true] {
        model(3, move || {
            let cell = Cell::new(false);
            let taking = {
                let cell: Arc<Cell> = cell.clone();
                spawn(move || {
                    let op = if by_thread { cell.take() } else { None };
                    if op.is_some() || !by_thread && cell.submit(false) {
                        assert_eq!(cell.seen.dropped.load(Ordering::Relaxed), 0);
                        cell.settle(op, false);
                    }
                })
            };
            let closing = {
                let cell: Arc<Cell> = cell.clone();
                spawn(move || cell.refuse())
            };
            block_on(Waiting(cell.clone()));
            taking.join().unwrap();
            closing.join().unwrap();
            cell.seen.check(1, 1);
        });
    }
}
