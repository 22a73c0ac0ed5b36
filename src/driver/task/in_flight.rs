//! The future of an operation that the driver has.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::base::clock::now_us;
use crate::base::errno;
use crate::driver::job::{Job, Outcome};
use crate::driver::task::cell::Cell;
use crate::driver::task::life::Given;
use crate::driver::task::op::{Op, Told};
use crate::driver::task::scope::{self, Why};
use crate::error::{Error, LeftBehind};
use crate::opcode::{CancelLeaves, Kind};
use crate::sys::fd::Target;

/// See the module.
pub(crate) struct InFlight<O: Op> {
    cell: Arc<Cell<O>>,
}

impl<O: Op> InFlight<O> {
    pub(crate) fn new(cell: Arc<Cell<O>>) -> InFlight<O> {
        InFlight { cell }
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

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O::Output> {
        let cell = &self.cell;
        if cell.born.is_of_parent() {
            let operation = cell.kind;
            return Poll::Ready(O::lost(Error::ForkedChild { operation }.into()));
        }
        if let Some(why) = scope::refused() {
            cell.give_up(why);
            // Where many share a task, this one may be polled before the watchdog has come to it.
            let now_us = now_us();
            if cell.life.is_given_up() && cell.due_us() <= now_us {
                cell.expire(now_us);
            }
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
                if let Some(due_us) = scope::due_us(cell.kind) {
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

/// The output of an operation that is over.
fn finish<O: Op>(cell: &Cell<O>, op: O, outcome: Outcome) -> O::Output {
    if let (Some(why), Some(left)) = (cell.life.why(), left_by(cell.kind, &outcome)) {
        let path = op.target().path();
        return op.finish(Err(given_up(cell, why, left, path)));
    }
    let errors = cell.host.settings().errors;
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
pub(crate) fn left_by(kind: Kind, outcome: &Outcome) -> Option<LeftBehind> {
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
