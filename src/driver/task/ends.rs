//! The end of an operation, whoever it comes from: counted, told to whoever waits, or disposed of.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::clock::coarse_ms;
use crate::base::errno;
use crate::driver::job::Outcome;
use crate::driver::task::account::TimedOut;
use crate::driver::task::cell::Cell;
#[cfg(target_os = "linux")]
use crate::driver::task::cell::wake;
use crate::driver::task::in_flight::left_by;
use crate::driver::task::life::Settled;
use crate::driver::task::op::Op;
use crate::opcode::Kind;
#[cfg(target_os = "linux")]
use crate::sys::request::Part;

impl<O: Op> Cell<O> {
    /// Counts it as over and hands the outcome on. `op` is what a thread hands back. A write that the end of
    /// the runtime waits for is over only once its error was told.
    pub(crate) fn settle(&self, op: Option<O>, outcome: Outcome) {
        self.group.note_end(self.kind, self.kept, &outcome);
        // Its runtime most likely waits for it just now.
        self.host.look_for_io_driver();
        if outcome.is_answer() {
            let progress = self.group.progress();
            progress.ended(self.kind, self.started_ms, coarse_ms());
        }
        let keep = matches!(outcome, Outcome::Lost(_));
        let end = self.end_of(op.as_ref(), &outcome);
        let timed_out = self.if_timed_out(end, left_by(self.kind, &outcome));
        let counted = || self.count_over(end);
        if keep {
            // The one report of a writeback may be lost with it.
            self.life.look(|op| op.unheard(errno::EIO));
        }
        if let Some(number) = told_by_the_system(&outcome) {
            match &op {
                Some(op) => op.failed(number),
                None => {
                    self.life.look(|op| op.failed(number));
                }
            }
        }
        let settled = self.life.settle(op, outcome, keep, counted);
        self.settled(settled, timed_out);
    }

    /// The outcome as callers know it; `None` if the ring only had no buffer for it, and it goes again.
    pub(crate) fn unless_starved(self: &Arc<Self>, outcome: Outcome) -> Option<Outcome> {
        match outcome {
            #[cfg(target_os = "linux")]
            Outcome::Result(number) if number == -errno::ENOBUFS && self.does_without() => {
                let over = self.host.is_closed() || !self.life.to_queue();
                if over {
                    // Nothing was read: as if it had been cancelled before it began.
                    return Some(Outcome::Result(-errno::ECANCELED));
                }
                self.host
                    .counters()
                    .fell_back("no provided buffer was left");
                self.host.send_again(&self.group, self.clone());
                None
            }
            Outcome::Result(number) => Some(Outcome::Result(errno::of_interrupted(number))),
            outcome => Some(outcome),
        }
    }

    /// Whether this outcome means that the ring could not do it, so that a blocking thread should.
    pub(crate) fn wants_another_way(&self, outcome: &Outcome) -> Option<&'static str> {
        let Outcome::Result(number) = outcome else {
            return None;
        };
        // What is kept is still owed, whoever gave it up.
        let given_up = self.life.is_given_up() || self.host.is_closed();
        if *number >= 0 || given_up && !self.kept {
            return None;
        }
        let reason = match -number {
            // Nobody cancelled it: no kernel worker could be made, or the submitting thread ended.
            errno::ECANCELED => "cancelled by the kernel",
            // Its memory is there: this file does not take registered memory.
            errno::EFAULT if self.kind.moves_data() => "registered memory refused",
            // We asked for it back, and nothing was transferred.
            errno::EINTR if self.asked_back.load(Ordering::Relaxed) => "asked back",
            // std calls these again; the blocking equivalent does the same.
            errno::EINTR if self.kept && self.kind != Kind::Close && self.host.is_closed() => {
                "interrupted"
            }
            errno::EINTR if !self.kind.hands_out_interruptions() => "interrupted",
            _ => return None,
        };
        Some(reason)
    }

    /// No ring could do it: a thread will. Threads pass nothing on, so it ends there.
    pub(crate) fn fall_back(self: Arc<Self>, reason: &'static str) {
        self.host.counters().fell_back(reason);
        let (host, group) = (self.host.clone(), self.group.clone());
        host.to_thread(&group, self);
    }

    /// Tells the operation of a completion, and whoever waits for it if there is something to take.
    #[cfg(target_os = "linux")]
    pub(crate) fn tell_of(&self, part: Part) {
        wake(self.life.tell(|op| {
            let Some(entry) = op.request().entry() else {
                return false;
            };
            entry.on_completion(part);
            entry.has_news()
        }));
    }

    #[cfg(target_os = "linux")]
    fn does_without(&self) -> bool {
        let mut does = false;
        self.life.tell(|op| {
            does = op.request().entry().is_some_and(|entry| entry.do_without());
            false
        });
        does
    }

    /// What the end of an operation leads to, without a lock.
    pub(crate) fn settled(&self, settled: Settled<O, Outcome>, timed_out: Option<TimedOut>) {
        match settled {
            Settled::Nothing => {}
            Settled::Wake(waker) => {
                timed_out.into_iter().for_each(|told| self.tell(told));
                self.conclude();
                self.wake_caller(waker);
            }
            Settled::Unclaimed(op, outcome) => {
                self.complain(op.as_ref(), &outcome);
                self.count(self.end_of(op.as_ref(), &outcome));
                self.conclude();
                // A buffer that panics when it is dropped takes no other operation with it (INV-6).
                let _ = catch_unwind(AssertUnwindSafe(|| self.dispose(op, &outcome)));
                // Only now: the close of a late descriptor, or of the file, is in flight before this is over.
                self.host.counters().ended();
            }
        }
    }

    /// Tells of an error that nobody takes, once: its operation, and the log if it was promised to be done in the
    /// background and was not. The only place that does; what is lost for ever was told of when it was given up.
    pub(crate) fn complain(&self, op: Option<&O>, outcome: &Outcome) {
        let complaint = self.complaint(op, outcome);
        let number = match &complaint {
            Some(_) => Some(number_of(outcome)),
            None => told_by_the_system(outcome),
        };
        if let (Some(op), Some(number)) = (op, number) {
            op.unheard(number);
        }
        if let Some(text) = complaint {
            self.log_later(text);
        }
    }

    /// Frees an operation whose output nobody takes; a descriptor it made is closed on a lane (INV-3).
    pub(crate) fn dispose(&self, op: Option<O>, outcome: &Outcome) {
        let Some(op) = op else { return };
        let (Outcome::Result(result) | Outcome::Returned(Ok(result))) = *outcome else {
            return;
        };
        if result < 0 {
            return;
        }
        if let Some(fd) = op.unclaimed(result) {
            self.host.clone().close_later(fd, &self.group);
        }
    }
}

/// The error number, if the system gave one.
fn told_by_the_system(outcome: &Outcome) -> Option<i32> {
    match outcome {
        Outcome::Result(number) if *number < 0 => Some(-number),
        Outcome::Returned(Err(error)) => error.raw_os_error(),
        _ => None,
    }
}

/// The error number of what did not come to a whole success.
fn number_of(outcome: &Outcome) -> i32 {
    match outcome {
        Outcome::Result(number) if *number < 0 => -number,
        Outcome::Returned(Err(error)) | Outcome::Refused(error) => {
            error.raw_os_error().unwrap_or(errno::EIO)
        }
        _ => errno::EIO,
    }
}
