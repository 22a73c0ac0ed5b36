//! The shared state of one operation in flight: the future on one side, the driver on the other.
//!
//! The cell owns the operation and with it everything the kernel may touch (INV-1). The driver's side
//! holds the cell until the completion; the future's side can be dropped at any time.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::core::Driver;
use super::group::Group;
use super::op::{Load, OnWorker, Op};
use super::route::Way;
use crate::error::Error;
#[cfg(target_os = "linux")]
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::clock::coarse_ms;
use crate::sys::errno;
use crate::sys::fork;
#[cfg(target_os = "linux")]
use crate::sys::linux::sqe::Sqe;
use crate::sys::lock::lock;

/// How an operation ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The ring broke while the kernel had it.
    Lost(io::Error),
    /// A result, zero or more, or less than zero an error number.
    Result(i32),
    /// It never reached the kernel.
    Refused(io::Error),
    /// A blocking thread did it.
    Returned(io::Result<i32>),
}

enum State<O> {
    /// The driver has it, or will. `None` while a blocking thread works with the operation.
    Running { op: Option<O>, waker: Option<Waker> },
    /// Over, and not yet taken by the future.
    Done(O, Outcome),
    /// Over without an operation to finish: only for [`Outcome::Lost`] and panics.
    Gone(io::Error),
    /// The future has taken the output.
    Taken,
}

/// One operation, shared by its future and the driver.
pub(crate) struct Cell<O: Op> {
    kind: Kind,
    load: Load,
    on_worker: OnWorker,
    kept: bool,
    /// Whether a future will take the output; without one, only the log can tell of an error.
    heard: AtomicBool,
    /// The number of a write whose file is gone, for which later operations wait; zero for any other.
    orphan: AtomicU64,
    inode: u64,
    driver: Arc<Driver>,
    group: Arc<Group>,
    started_ms: u64,
    /// Set when the future was dropped and nobody keeps the operation: blocking work of several steps stops between them.
    abandoned: AtomicBool,
    /// Whether the operation was sent a second way already.
    rerouted: AtomicBool,
    /// Whether the watchdog has asked the kernel for it back.
    asked_back: AtomicBool,
    /// Where a ring has it: the entry's user data; zero while no ring does.
    user_data: AtomicU64,
    /// Which way it went last, for the cancel.
    way: Mutex<Option<Way>>,
    state: Mutex<State<O>>,
}

/// The driver's view of an operation, whatever its type.
pub(crate) trait Job: Send + Sync {
    fn kind(&self) -> Kind;
    fn load(&self) -> Load;
    fn on_worker(&self) -> OnWorker;
    /// Whether it goes on without its future and without its handle.
    fn is_kept(&self) -> bool;
    /// When it was started, in coarse milliseconds.
    fn started_ms(&self) -> u64;
    fn is_abandoned(&self) -> bool;
    /// The mount that it is on.
    #[cfg(target_os = "linux")]
    fn mount(&self) -> &Arc<Mount>;
    /// Notes that the kernel is asked to give it back; `true` the first time.
    #[cfg(target_os = "linux")]
    fn ask_back(&self) -> bool;
    #[cfg(target_os = "linux")]
    fn sqe(&self) -> Option<Sqe>;
    #[cfg(target_os = "linux")]
    fn set_user_data(&self, user_data: u64);
    fn set_way(&self, way: Way);
    /// The paths that it is about, as far as they are known.
    #[cfg(feature = "testing")]
    fn paths(&self) -> Vec<std::path::PathBuf> {
        Vec::new()
    }
    /// Does it on this thread, and ends it. Does not panic.
    fn run(&self);
    /// Ends it. Does not panic.
    fn end(self: Arc<Self>, outcome: Outcome);
}

impl<O: Op> Cell<O> {
    /// `heard` says whether there will be a future.
    pub(crate) fn new(op: O, driver: Arc<Driver>, group: Arc<Group>, heard: bool) -> Arc<Cell<O>> {
        driver.counters.started();
        let (kind, kept) = (op.kind(), op.is_kept());
        if kept && kind == Kind::Write {
            driver.counters.keep_write();
        }
        Arc::new(Cell {
            kind,
            load: op.load(),
            on_worker: op.on_worker(),
            kept,
            heard: AtomicBool::new(heard),
            orphan: AtomicU64::new(0),
            inode: op.inode(),
            driver,
            group,
            started_ms: coarse_ms(),
            abandoned: AtomicBool::new(false),
            rerouted: AtomicBool::new(false),
            asked_back: AtomicBool::new(false),
            user_data: AtomicU64::new(0),
            way: Mutex::new(None),
            state: Mutex::new(State::Running {
                op: Some(op),
                waker: None,
            }),
        })
    }

    /// Whether this outcome means that the ring could not do it, so that a blocking thread should.
    fn wants_another_way(&self, outcome: &Outcome) -> Option<&'static str> {
        let Outcome::Result(number) = outcome else {
            return None;
        };
        // What is kept is still owed, whoever gave it up.
        let given_up = self.abandoned.load(Ordering::Acquire) || self.driver.is_closed();
        if *number >= 0 || given_up && !self.kept {
            return None;
        }
        let reason = match -number {
            // Nobody cancelled it: no kernel worker could be made, or the submitting thread ended.
            errno::ECANCELED => "cancelled by the kernel",
            // We asked for it back, and nothing was transferred.
            errno::EINTR if self.asked_back.load(Ordering::Relaxed) => "asked back",
            // std calls these again; the blocking equivalent does the same.
            errno::EINTR if self.kept && self.kind != Kind::Close && self.driver.is_closed() => {
                "interrupted"
            }
            errno::EINTR if !is_left_to_the_caller(self.kind) => "interrupted",
            _ => return None,
        };
        (!self.rerouted.swap(true, Ordering::AcqRel)).then_some(reason)
    }

    /// Whether this result means that the shutdown of the handle cancelled it.
    fn was_shut_down(&self, number: i32) -> bool {
        number == -errno::ECANCELED && self.driver.is_closed()
    }

    /// Counts it as over and hands the outcome on. A write that the end of the runtime waits for is over
    /// only once its error was told.
    fn conclude(&self, outcome: Outcome) {
        self.driver.counters.ended();
        let (waker, complaint) = self.settle(outcome);
        complaint.into_iter().for_each(|text| self.log_later(text));
        if self.kept && self.kind == Kind::Write {
            self.driver.counters.end_kept_write();
        }
        let orphan = self.orphan.load(Ordering::Acquire);
        if orphan != 0 {
            self.driver.orphan_write_ended(&self.group, orphan);
        }
        wake(waker);
    }

    /// Stores the outcome; returns the waker, or for an abandoned operation disposes of what it made. Also
    /// what is to be logged, as nobody else hears of it.
    fn settle(&self, outcome: Outcome) -> (Option<Waker>, Option<String>) {
        let mut state = lock(&self.state);
        let State::Running { op, waker } = &mut *state else {
            return (None, None);
        };
        let heard = self.heard.load(Ordering::Acquire);
        let complaint = if heard {
            None
        } else {
            self.complaint(op.as_ref(), &outcome)
        };
        let waker = waker.take();
        let next = match (op.take(), outcome) {
            // The kernel may still write to the operation's memory: never freed (INV-7).
            (Some(op), Outcome::Lost(error)) => {
                std::mem::forget(op);
                State::Gone(error)
            }
            (Some(op), outcome) => State::Done(op, outcome),
            (None, _) => State::Gone(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the operation panicked",
            )),
        };
        *state = next;
        if self.abandoned.load(Ordering::Acquire) {
            let last = std::mem::replace(&mut *state, State::Taken);
            drop(state);
            // A buffer that panics when it is dropped takes no other operation with it (INV-6).
            let _ = catch_unwind(AssertUnwindSafe(|| self.dispose(last)));
            return (None, complaint);
        }
        (waker, complaint)
    }

    /// What was promised to be done in the background and was not.
    fn complaint(&self, op: Option<&O>, outcome: &Outcome) -> Option<String> {
        if !self.kept {
            return None;
        }
        match outcome {
            Outcome::Result(number) if *number < 0 => {
                Some(io::Error::from_raw_os_error(-number).to_string())
            }
            Outcome::Result(count) | Outcome::Returned(Ok(count)) => {
                let is_whole = op.is_none_or(|op| op.is_whole(*count));
                (!is_whole).then(|| format!("only {count} bytes were written"))
            }
            Outcome::Returned(Err(error)) | Outcome::Lost(error) | Outcome::Refused(error) => {
                Some(error.to_string())
            }
        }
    }

    /// Logs it on a thread of its own, as whoever writes the log may block or panic, and lanes may not. The
    /// end of the runtime waits for it, as for the write.
    fn log_later(&self, text: String) {
        let (kind, counters) = (self.kind, self.driver.counters.clone());
        counters.keep_write();
        self.driver.chore(kind, move || {
            log(kind, &text);
            counters.end_kept_write();
        });
    }

    /// Frees an operation whose output nobody takes; a descriptor it made is closed on a lane (INV-3).
    fn dispose(&self, state: State<O>) {
        let State::Done(op, outcome) = &state else {
            return;
        };
        let result = match outcome {
            Outcome::Result(number) | Outcome::Returned(Ok(number)) => *number,
            Outcome::Returned(Err(error)) => -error.raw_os_error().unwrap_or(errno::ECANCELED),
            Outcome::Lost(_) | Outcome::Refused(_) => return,
        };
        if result < 0 {
            op.unheard(-result);
        } else if let Some(fd) = op.unclaimed(result) {
            self.driver.close_later(fd, &self.group);
        }
    }
}

impl<O: Op> Job for Cell<O> {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn load(&self) -> Load {
        self.load
    }

    fn on_worker(&self) -> OnWorker {
        self.on_worker
    }

    fn is_kept(&self) -> bool {
        self.kept
    }

    fn started_ms(&self) -> u64 {
        self.started_ms
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::SeqCst)
    }

    #[cfg(target_os = "linux")]
    fn mount(&self) -> &Arc<Mount> {
        self.group.mount()
    }

    #[cfg(target_os = "linux")]
    fn ask_back(&self) -> bool {
        !self.asked_back.swap(true, Ordering::Relaxed)
    }

    #[cfg(target_os = "linux")]
    fn sqe(&self) -> Option<Sqe> {
        match &mut *lock(&self.state) {
            // Where a buffer panics, a blocking thread tells the future.
            State::Running { op: Some(op), .. } => {
                catch_unwind(AssertUnwindSafe(|| op.request().sqe())).unwrap_or(None)
            }
            _ => None,
        }
    }

    #[cfg(target_os = "linux")]
    fn set_user_data(&self, user_data: u64) {
        // With the flag in the opposite order in `drop`: one of the two sides sees the other (INV-11).
        self.user_data.store(user_data, Ordering::SeqCst);
    }

    fn set_way(&self, way: Way) {
        *lock(&self.way) = Some(way);
    }

    #[cfg(feature = "testing")]
    fn paths(&self) -> Vec<std::path::PathBuf> {
        let mut paths = crate::sys::request::Paths::default();
        if let State::Running { op: Some(op), .. } = &mut *lock(&self.state) {
            op.paths(&mut paths);
        }
        paths.into_inner()
    }

    fn run(&self) {
        if self.is_abandoned() {
            // Its future is gone and nothing was begun: nothing happens.
            self.conclude(Outcome::Result(-errno::ECANCELED));
            return;
        }
        let taken = match &mut *lock(&self.state) {
            State::Running { op, .. } => op.take(),
            _ => None,
        };
        let Some(mut op) = taken else { return };
        // The lock is not held meanwhile (INV-8), so the future can be polled and dropped.
        let result = catch_unwind(AssertUnwindSafe(|| op.request().block(&self.abandoned)));
        let result = result.unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the operation panicked",
            ))
        });
        if let State::Running { op: place, .. } = &mut *lock(&self.state) {
            *place = Some(op);
        }
        self.conclude(Outcome::Returned(result));
    }

    fn end(self: Arc<Self>, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Result(number) => Outcome::Result(errno::of_interrupted(number)),
            outcome => outcome,
        };
        if let Some(reason) = self.wants_another_way(&outcome) {
            self.driver.counters.fell_back(reason);
            let (driver, group) = (self.driver.clone(), self.group.clone());
            return driver.to_pool(&group, self);
        }
        let outcome = match outcome {
            Outcome::Result(number) if self.was_shut_down(number) => {
                let operation = self.kind;
                Outcome::Refused(Error::Closed { operation }.into())
            }
            outcome => outcome,
        };
        let outcome = match outcome {
            // The handle was closed, and its cancel met the operation before or inside the kernel.
            Outcome::Result(number)
                if self.driver.is_closed()
                    && [errno::ECANCELED, errno::EINTR].contains(&-number) =>
            {
                let operation = self.kind;
                Outcome::Refused(Error::Closed { operation }.into())
            }
            outcome => outcome,
        };
        self.conclude(outcome);
    }
}

/// Whether an interruption is the caller's to handle, as with std.
fn is_left_to_the_caller(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Close | Kind::Read | Kind::ReadVectored | Kind::Write | Kind::WriteVectored
    )
}

/// Says that something that was promised to be done in the background was not; a log that panics takes
/// nobody with it.
fn log(kind: Kind, error: &str) {
    let operation = kind.name();
    let log = || {
        tracing::warn!(target: "tidegate::driver", operation, error, "failed in the background");
    };
    let _ = catch_unwind(AssertUnwindSafe(log));
}

/// Wakes a task; a waker that panics takes nobody with it.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// The future of an operation that the driver has.
pub(crate) struct InFlight<O: Op> {
    cell: Arc<Cell<O>>,
}

impl<O: Op> InFlight<O> {
    pub(crate) fn new(cell: Arc<Cell<O>>) -> InFlight<O> {
        InFlight { cell }
    }
}

impl<O: Op> Future for InFlight<O> {
    type Output = O::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O::Output> {
        let mut state = lock(&self.cell.state);
        if let State::Running { waker, .. } = &mut *state {
            match waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        let last = std::mem::replace(&mut *state, State::Taken);
        drop(state);
        Poll::Ready(match last {
            State::Done(op, Outcome::Result(number)) => op.finish(errno::from_completion(number)),
            State::Done(op, Outcome::Returned(result)) => op.finish(result),
            State::Done(op, Outcome::Refused(error) | Outcome::Lost(error)) => {
                op.finish(Err(error))
            }
            State::Gone(source) => O::lost(
                Error::RingLost {
                    operation: self.cell.kind,
                    source,
                }
                .into(),
            ),
            State::Running { .. } | State::Taken => {
                panic!("an operation's future was polled after it was ready")
            }
        })
    }
}

impl<O: Op> Drop for InFlight<O> {
    fn drop(&mut self) {
        let mut state = lock(&self.cell.state);
        if self.cell.kept && matches!(*state, State::Running { .. }) {
            self.cell.heard.store(false, Ordering::Release);
            if self.cell.inode != 0 && !fork::is_child() {
                let group = &self.cell.group;
                let number = group.orphans().begin(group.mount(), self.cell.inode);
                self.cell.orphan.store(number, Ordering::Release);
            }
            return;
        }
        self.cell.abandoned.store(true, Ordering::SeqCst);
        match &mut *state {
            State::Running { waker, .. } => {
                let waker = waker.take();
                drop(state);
                // Not under the lock: it may be the last that holds another task.
                drop(waker);
                // The ring is the parent's, and its memory is not here.
                if fork::is_child() {
                    return;
                }
                let way = lock(&self.cell.way).clone();
                if let Some(way) = way {
                    way.cancel(self.cell.user_data.load(Ordering::SeqCst));
                }
            }
            State::Taken => {}
            State::Done(..) | State::Gone(_) => {
                let last = std::mem::replace(&mut *state, State::Taken);
                drop(state);
                if let State::Done(op, outcome) = &last {
                    let complaint = self.cell.complaint(Some(op), outcome);
                    complaint.iter().for_each(|text| log(self.cell.kind, text));
                }
                self.cell.dispose(last);
            }
        }
    }
}

#[cfg(test)]
#[path = "cell_tests.rs"]
mod tests;
