//! An operation between a caller and a driver that a model plays, as `src/driver/task/cell.rs` has it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use super::life::{Dropped, Given, GivenUp, Life, Settled};
use super::sync::AtomicU64;

/// What happened, counted outside of the model: looked at when all threads have ended.
#[derive(Default)]
pub(crate) struct Seen {
    /// Operations that were dropped.
    pub(crate) dropped: AtomicUsize,
    /// How often it was counted as over.
    pub(crate) over: AtomicUsize,
    /// How often the kernel was asked for it.
    pub(crate) cancels: AtomicUsize,
    /// Answers that a caller got.
    pub(crate) answers: AtomicUsize,
}

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl Seen {
    pub(crate) fn check(&self, dropped: usize, answers: usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        assert_eq!(of(&self.over), 1, "counted as over");
        assert_eq!(of(&self.dropped), dropped, "dropped");
        assert_eq!(of(&self.answers), answers, "answers");
    }
}

pub(crate) struct Operation(Arc<Seen>);

impl Drop for Operation {
    fn drop(&mut self) {
        add(&self.0.dropped);
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    TakenBack,
}

#[derive(Clone, Copy)]
pub(crate) struct Expired;

pub(crate) struct Cell {
    life: Life<Operation, End, Expired>,
    user_data: AtomicU64,
    pub(crate) seen: Arc<Seen>,
}

impl Cell {
    pub(crate) fn new(kept: bool) -> Arc<Cell> {
        let seen = Arc::<Seen>::default();
        Arc::new(Cell {
            life: Life::new(Operation(seen.clone()), kept, true),
            user_data: AtomicU64::new(0),
            seen,
        })
    }

    /// The driver queues it; `false` if there is nothing to queue any more.
    pub(crate) fn submit(&self, kept: bool) -> bool {
        if self.life.to_kernel(|_| Some(())).is_none() {
            return false;
        }
        self.user_data.store(1, Ordering::SeqCst);
        if self.life.is_given_up() && !kept {
            add(&self.seen.cancels);
        }
        true
    }

    /// The kernel or a thread is done with it, or never will be.
    pub(crate) fn settle(&self, op: Option<Operation>, keep: bool) {
        let over = || add(&self.seen.over);
        match self.life.settle(op, End::Completed, keep, over) {
            Settled::Nothing => {}
            Settled::Wake(waker) => wake(waker),
            Settled::Unclaimed(op, _) => {
                drop(op);
                over();
            }
        }
    }

    /// A thread takes it, if there is anything to take.
    pub(crate) fn take(&self) -> Option<Operation> {
        self.life.to_thread()
    }

    /// The driver closes, and ends what never began.
    pub(crate) fn refuse(&self) {
        let over = || add(&self.seen.over);
        match self.life.refuse(End::TakenBack, over) {
            Settled::Nothing => {}
            Settled::Wake(waker) => wake(waker),
            Settled::Unclaimed(op, _) => {
                drop(op);
                over();
            }
        }
    }

    /// The kernel gave it back, and a thread is to do it.
    pub(crate) fn settle_elsewhere(&self) {
        if !self.life.to_queue() {
            return self.settle(None, false);
        }
        // It may have been taken back meanwhile.
        if let Some(op) = self.life.to_thread() {
            self.settle(Some(op), false);
        }
    }

    fn ask(&self) {
        if self.user_data.load(Ordering::SeqCst) != 0 {
            add(&self.seen.cancels);
        }
    }

    /// The time has come; returns whether the kernel was to be asked.
    pub(crate) fn give_up(&self) -> bool {
        let over = || add(&self.seen.over);
        let given_up = self.life.give_up(Expired, End::TakenBack, over, || ());
        let asked = matches!(given_up, GivenUp::Asked);
        match given_up {
            GivenUp::Nothing => {}
            GivenUp::TakenBack(waker) | GivenUp::Left(waker) => wake(waker),
            GivenUp::Asked => self.ask(),
        }
        asked
    }

    /// The grace after it is over too.
    pub(crate) fn leave(&self) {
        if let GivenUp::Left(waker) = self.life.leave(|| ()) {
            wake(waker);
        }
    }

    /// The future is dropped; returns whether the kernel was to be asked.
    pub(crate) fn drop_caller(&self) -> bool {
        match self.life.drop_caller() {
            Dropped::Asked(_waker) => {
                self.ask();
                return true;
            }
            Dropped::TakenBack(op) => {
                add(&self.seen.over);
                drop(op);
            }
            Dropped::Unclaimed(op, _) => drop(op),
            Dropped::Kept(_) | Dropped::Nothing => {}
        }
        false
    }
}

fn wake(waker: Option<Waker>) {
    waker.into_iter().for_each(Waker::wake);
}

/// The caller's future.
pub(crate) struct Waiting(pub(crate) Arc<Cell>);

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.0.life.poll(cx) {
            Poll::Ready(Given::Over(..) | Given::Early(_)) => {
                add(&self.0.seen.answers);
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.drop_caller();
    }
}
