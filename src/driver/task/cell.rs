//! The shared state of one operation in flight: the future on one side, the driver on the other.
//!
//! The cell owns the operation and with it everything the kernel may touch (INV-1). The driver's side
//! holds the cell until the completion; the future's side can be dropped at any time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::host::Host;
use crate::base::clock::{self, NEVER, coarse_ms, now_us};
use crate::base::fork::Born;
use crate::base::lock::lock;
use crate::driver::job::Outcome;
use crate::driver::job::load::{Load, OnWorker, Share};
use crate::driver::job::registry::Place;
use crate::driver::job::way::Way;
use crate::driver::mount::group::Group;
use crate::driver::order::fence::Fenced;
use crate::driver::task::account::Account;
use crate::driver::task::due::{Moves, default_patience};
use crate::driver::task::life::{Dropped, GivenUp, Life};
use crate::driver::task::op::{Op, is_entry};
use crate::driver::task::scope::Why;
use crate::error::{Error, LeftBehind};
use crate::limits;
use crate::observe::Ended;
use crate::opcode::Kind;
use crate::sys::fd::Target;
use crate::sys::steps::Steps;

/// One operation, shared by its future and the driver.
pub(crate) struct Cell<O: Op> {
    /// In a forked child nobody ends what was begun in the parent.
    pub(crate) born: Born,
    pub(crate) kind: Kind,
    pub(super) load: Load,
    pub(super) on_worker: OnWorker,
    pub(crate) kept: bool,
    /// The number of a write whose file is gone, for which later operations wait; zero for any other.
    pub(crate) orphan: AtomicU64,
    pub(crate) inode: u64,
    /// The fence of its file.
    pub(crate) fenced: Option<Fenced>,
    /// Its number there, and whether what comes after it waits for it, as nobody else does.
    pub(crate) fence_number: u64,
    pub(crate) is_fence_up: AtomicBool,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) group: Arc<Group>,
    pub(crate) started: Instant,
    pub(crate) started_ms: u64,
    /// What time was lost before.
    pub(crate) lost_before: Duration,
    /// When it is to be looked at, in microseconds: its deadline, or the end of the grace after it.
    pub(crate) due_us: AtomicU64,
    /// Its limit: what a caller said, or else when its handle's is over as far as was seen.
    pub(crate) until_us: AtomicU64,
    /// Whether that is the handle's, which does not count while what it waits for gets on.
    pub(crate) by_default: AtomicBool,
    pub(crate) moves: Moves,
    /// How long its handle lets it take of itself, in microseconds.
    pub(crate) patience_us: Option<u64>,
    /// Where the registry has it.
    pub(crate) place: OnceLock<Place>,
    pub(crate) steps: Steps,
    /// What it counts as stuck on, once nobody waits for it and it is not over.
    pub(crate) stuck: Mutex<Option<Share>>,
    /// Whether a ring can take it.
    pub(super) is_entry: bool,
    /// Whether the watchdog has asked the kernel for it back.
    pub(crate) asked_back: AtomicBool,
    /// Where a ring has it: the entry's user data; zero while no ring does.
    pub(super) user_data: AtomicU64,
    /// Which way it went last, for the cancel.
    pub(crate) way: Mutex<Option<Arc<dyn Way>>>,
    /// What it is about, while a thread has it.
    pub(super) target: Mutex<Target>,
    pub(crate) account: Account,
    /// Its hold on a clock that a test has stopped.
    pub(crate) clock: Clock,
    pub(crate) life: Life<O, Outcome, Why>,
}

impl<O: Op> Cell<O> {
    /// `heard` says whether there will be a future; `due_us` is what a caller has said of its deadline.
    pub(crate) fn new(
        op: O,
        host: Arc<dyn Host>,
        group: Arc<Group>,
        heard: bool,
        due_us: Option<u64>,
        began: Instant,
    ) -> Arc<Cell<O>> {
        let (kind, kept, fenced) = (op.kind(), op.is_kept(), op.fenced());
        host.counters().started(kind);
        if kept && kind == Kind::Write {
            host.counters().keep_write();
        }
        if kept && kind == Kind::Close {
            group.close_begins();
        }
        let patience = default_patience(host.settings(), &group, kind);
        let (by_default, now_us) = (due_us.is_none() && patience.is_some(), now_us());
        let until_us = due_us.or(patience.map(|patience| now_us + patience));
        let until_us = until_us.unwrap_or(NEVER);
        let file = op.writes_back();
        let mut cell = Cell::made(op, host, group, |op| Life::new(op, kept, heard));
        cell.fence_number = fenced.as_ref().map_or(0, |fenced| fenced.fence.number());
        cell.fenced = fenced;
        cell.patience_us = patience;
        cell.until_us = AtomicU64::new(until_us);
        cell.by_default = AtomicBool::new(by_default);
        cell.moves = Moves::new(file);
        cell.due_us = AtomicU64::new(match by_default {
            true => cell.next_look_us(now_us, until_us),
            false => until_us,
        });
        cell.started = began;
        let cell = Arc::new(cell);
        cell.host.registry().insert(cell.clone(), |place| {
            let _ = cell.place.set(place);
        });
        cell.note_due();
        cell
    }

    /// One that is over already, and that nobody counts or lists: in a forked child, which has the locks of its
    /// parent as they were.
    pub(crate) fn refused(
        op: O,
        host: Arc<dyn Host>,
        group: Arc<Group>,
        error: Error,
    ) -> Arc<Cell<O>> {
        let outcome = Outcome::Refused(error.into());
        Arc::new(Cell::made(op, host, group, |op| Life::over(op, outcome)))
    }

    fn made(
        mut op: O,
        host: Arc<dyn Host>,
        group: Arc<Group>,
        life: impl FnOnce(O) -> Life<O, Outcome, Why>,
    ) -> Cell<O> {
        let is_entry = is_entry(&mut op);
        Cell {
            born: Born::here(),
            kind: op.kind(),
            load: op.load(),
            on_worker: op.on_worker(),
            kept: op.is_kept(),
            orphan: AtomicU64::new(0),
            inode: op.inode(),
            fence_number: 0,
            fenced: None,
            is_fence_up: AtomicBool::new(false),
            host,
            group,
            started: Instant::now(),
            started_ms: coarse_ms(),
            lost_before: clock::lost(),
            due_us: AtomicU64::new(NEVER),
            until_us: AtomicU64::new(NEVER),
            by_default: AtomicBool::new(false),
            moves: Moves::new(None),
            patience_us: None,
            place: OnceLock::new(),
            steps: Steps::default(),
            stuck: Mutex::new(None),
            is_entry,
            asked_back: AtomicBool::new(false),
            user_data: AtomicU64::new(0),
            way: Mutex::new(None),
            target: Mutex::new(Target::Nothing),
            account: Account::default(),
            clock: Clock::default(),
            life: life(op),
        }
    }

    /// Lets go of all that knows it as in flight.
    pub(crate) fn conclude(&self) {
        if let Some(place) = self.place.get() {
            drop(self.host.registry().remove(*place));
        }
        self.unmark_stuck();
        if self.kept && self.kind == Kind::Close {
            self.group.close_ends();
        }
        if self.kept && self.kind == Kind::Write {
            self.host.counters().end_kept_write();
        }
        self.lower_fence();
        let orphan = self.orphan.swap(0, Ordering::SeqCst);
        if orphan != 0 {
            self.orphan_write_ended(orphan);
        }
    }

    /// Asks whoever has it to let go.
    fn ask(&self) {
        self.steps.stop();
        let way = lock(&self.way).clone();
        // A thread in a single call does not hear.
        let hears = self.kind.has_steps() || way.as_ref().is_none_or(|way| way.hears_cancels());
        let grace = match hears {
            true => limits::CANCEL_GRACE,
            false => Duration::ZERO,
        };
        self.set_due(now_us() + grace.as_micros() as u64);
        if let Some(way) = way {
            way.cancel(self.user_data.load(Ordering::SeqCst));
        }
    }

    /// Gives up on it for the caller. Does not block.
    pub(crate) fn give_up(&self, why: Why) {
        let timed_out = self.if_timed_out(why.into(), None);
        let counted = || self.count_over(why.into());
        let leaving = || self.raise_fence();
        let given_up = self.life.give_up(why, Outcome::TakenBack, counted, leaving);
        if why == Why::TimedOut && !matches!(given_up, GivenUp::Nothing) {
            self.group.note_timeout(coarse_ms());
        }
        match given_up {
            GivenUp::Nothing => {}
            GivenUp::TakenBack(waker) => {
                timed_out.into_iter().for_each(|told| self.tell(told));
                self.conclude();
                self.wake_caller(waker);
            }
            GivenUp::Asked => self.ask(),
            GivenUp::Left(waker) => self.leave(waker),
        }
    }

    /// Tells its caller that it goes on.
    pub(crate) fn leave(&self, waker: Option<Waker>) {
        if let Some(why) = self.life.why() {
            let timed_out = self.if_timed_out(why.into(), Some(LeftBehind::Detached));
            if self.count(why.into()) {
                timed_out.into_iter().for_each(|told| self.tell(told));
            }
        }
        self.mark_stuck();
        self.wake_caller(waker);
    }

    /// There is something for its caller.
    pub(crate) fn wake_caller(&self, waker: Option<Waker>) {
        wake(waker);
        self.clock.let_go();
    }

    /// The future is dropped.
    pub(crate) fn left_by_caller(&self) {
        // Whoever has it in the parent ends it there; its locks may be held here for ever.
        if self.born.is_of_parent() {
            return;
        }
        let dropped = self.life.drop_caller();
        self.clock.let_go();
        match dropped {
            Dropped::Nothing => {}
            Dropped::TakenBack(op) => {
                self.count(Ended::Dropped);
                self.host.counters().ended();
                self.conclude();
                drop(op);
            }
            Dropped::Kept(waker) => {
                self.raise_fence_late();
                self.now_orphan();
                drop(waker);
            }
            Dropped::Asked(waker) => {
                self.count(Ended::Dropped);
                self.raise_fence_late();
                // Not under a lock: it may be the last that holds another task.
                drop(waker);
                self.ask();
            }
            Dropped::Unclaimed(op, outcome) => {
                self.complain(op.as_ref(), &outcome);
                self.dispose(op, &outcome);
            }
        }
    }
}

/// Wakes a task; a waker that panics takes nobody with it.
pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

#[cfg(test)]
#[path = "cell_tests.rs"]
mod tests;
