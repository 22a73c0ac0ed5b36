//! The future of an operation that the driver has.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::cell::{Cell, Job, Outcome};
use super::life::Given;
use super::limited::{self, Why};
use super::op::{Op, Told};
use super::route::{Route, Way};
use crate::error::{Error, LeftBehind};
use crate::opcode::{CancelLeaves, Kind};
use crate::sys::clock::now_us;
use crate::sys::errno;
use crate::sys::fd::Target;
use crate::sys::lock::lock;

/// See the module.
pub(crate) struct InFlight<O: Op> {
    cell: Arc<Cell<O>>,
    /// Whether it was polled before.
    was_polled: bool,
}

impl<O: Op> InFlight<O> {
    pub(crate) fn new(cell: Arc<Cell<O>>) -> InFlight<O> {
        InFlight {
            cell,
            was_polled: false,
        }
    }
}

impl<O: Op> InFlight<O> {
    /// Whoever waits for it wants it by then.
    pub(crate) fn hasten(&self, due_us: u64) {
        self.cell.hasten(due_us);
    }

    /// It goes on for somebody who has said nothing yet of how long it may take: the handle's default counts again.
    /// `false` where it was given up before.
    pub(crate) fn unhurry(&self) -> bool {
        self.cell.unhurry()
    }
}

impl<O: Op> Future for InFlight<O> {
    type Output = O::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O::Output> {
        let is_first = !std::mem::replace(&mut self.was_polled, true);
        let cell = &self.cell;
        if cell.born.is_of_parent() {
            let operation = cell.kind;
            return Poll::Ready(O::lost(Error::ForkedChild { operation }.into()));
        }
        if let Some(why) = limited::refused() {
            cell.give_up(why);
            // Where many share a task, this one may be polled before the watchdog has come to it.
            let now_us = now_us();
            if cell.life.is_given_up() && cell.due_us() <= now_us {
                cell.expire(now_us);
            }
        }
        if is_first {
            wait_a_moment(cell);
        }
        match cell.life.poll(cx) {
            Poll::Ready(Given::Over(Some(op), outcome)) => Poll::Ready(finish(cell, op, outcome)),
            Poll::Ready(Given::Over(None, outcome)) => {
                Poll::Ready(O::lost(lost(cell.kind, outcome)))
            }
            Poll::Ready(Given::Early(why)) => {
                let error = given_up(cell, why, LeftBehind::Detached, cell.path());
                Poll::Ready(O::lost(error))
            }
            Poll::Pending => {
                if let Some(due_us) = limited::due_us(cell.kind) {
                    cell.hasten(due_us);
                }
                Poll::Pending
            }
        }
    }
}

impl<O: Op> Drop for InFlight<O> {
    fn drop(&mut self) {
        self.cell.left_by_caller();
    }
}

/// Waits, awake, for a thread's call on an overlay or a server's mount, where no poll may answer, though most of what is
/// asked for is in memory.
fn wait_a_moment<O: Op>(cell: &Cell<O>) {
    let may = cell.group.mount().may_wait_for_a_server() && cell.driver.route() == Route::Auto;
    let is_on_thread = || matches!(*lock(&cell.way), Some(Way::Pool));
    if may && is_on_thread() {
        cell.group.pool().wait_a_moment(|| cell.life.is_over());
    }
}

/// The output of an operation that is over.
fn finish<O: Op>(cell: &Cell<O>, op: O, outcome: Outcome) -> O::Output {
    if let (Some(why), Some(left)) = (cell.life.why(), left_by(cell.kind, &outcome)) {
        let path = op.target().path();
        return op.finish(Err(given_up(cell, why, left, path)));
    }
    let errors = cell.driver.settings().errors;
    let result = match outcome {
        Outcome::Result(number) => errno::from_completion(number),
        Outcome::Returned(result) => result,
        Outcome::Refused(error) | Outcome::Lost(error) => Err(error),
        Outcome::Panicked => Err(Error::Panicked {
            operation: cell.kind,
        }
        .into()),
        Outcome::TakenBack => Err(io::ErrorKind::Interrupted.into()),
    };
    let target = match &result {
        Ok(_) => Target::Nothing,
        Err(_) => op.target(),
    };
    let tell = |error| errors.tell(cell.kind, target.given(), error);
    op.finish(result).told(tell)
}

/// What an operation that was given up has left behind; `None` if it came to an end of its own.
pub(super) fn left_by(kind: Kind, outcome: &Outcome) -> Option<LeftBehind> {
    let begun = match kind.row().cancel_leaves {
        CancelLeaves::NoEffect => LeftBehind::NothingHappened,
        _ => LeftBehind::MayHaveTakenEffect,
    };
    match outcome {
        Outcome::TakenBack => Some(LeftBehind::NothingHappened),
        Outcome::Result(number) => match -number {
            errno::ECANCELED => Some(LeftBehind::NothingHappened),
            errno::EINTR => Some(begun),
            _ => None,
        },
        Outcome::Returned(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Some(begun),
        _ => None,
    }
}

fn given_up<O: Op>(cell: &Cell<O>, why: Why, left: LeftBehind, path: Option<PathBuf>) -> io::Error {
    why.error(Some(cell.kind), path, cell.started.elapsed(), left)
        .into()
}

fn lost(operation: Kind, outcome: Outcome) -> io::Error {
    let source = match outcome {
        Outcome::Lost(source) => source,
        _ => io::ErrorKind::BrokenPipe.into(),
    };
    Error::RingLost { operation, source }.into()
}
