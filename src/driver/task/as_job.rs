//! An operation as queues, rings and threads see it.

use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::cell::Cell;
use crate::base::errno;
use crate::base::lock::lock;
use crate::driver::job::load::{Load, OnWorker};
use crate::driver::job::way::Way;
use crate::driver::job::{Job, Outcome};
use crate::driver::task::op::Op;
use crate::driver::task::scope::Why;
use crate::error::Error;
#[cfg(target_os = "linux")]
use crate::mounts::Mount;
use crate::observe::{OpInFlight, OpState};
use crate::opcode::Kind;
#[cfg(target_os = "linux")]
use crate::sys::linux::{sqe::Sqe, tables::Tables};
#[cfg(target_os = "linux")]
use crate::sys::request::Part;

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

    fn is_entry(&self) -> bool {
        self.is_entry
    }

    fn makes_descriptor(&self) -> bool {
        self.kind.row().returns_fd || self.kind == Kind::Metadata && self.is_entry
    }

    fn started_ms(&self) -> u64 {
        self.started_ms
    }

    fn last_step_ms(&self) -> u64 {
        match self.kind.has_steps() {
            true => self.steps.last_ms(),
            false => 0,
        }
    }

    fn is_given_up(&self) -> bool {
        self.life.is_given_up()
    }

    fn is_over(&self) -> bool {
        self.life.is_over()
    }

    fn back(&self) -> bool {
        self.life.to_queue()
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
    fn sqe(&self, tables: &mut dyn Tables) -> Result<Sqe, Outcome> {
        // Of what was given up before, nobody hears it.
        let mut instead = Outcome::Result(-errno::ECANCELED);
        let mut make = |op: &mut O| match op.request().entry() {
            Some(entry) => entry.sqe(tables),
            None => Err(io::ErrorKind::InvalidInput.into()),
        };
        let make = |op: &mut O| {
            instead = match catch_unwind(AssertUnwindSafe(|| make(op))) {
                Ok(Ok(sqe)) => return Some(sqe),
                Ok(Err(error)) => Outcome::Refused(error),
                Err(_) => Outcome::Panicked,
            };
            None
        };
        self.life.to_kernel(make).ok_or(instead)
    }

    #[cfg(target_os = "linux")]
    fn on_completion(&self, part: Part) {
        self.tell_of(part);
    }

    #[cfg(target_os = "linux")]
    fn set_user_data(&self, user_data: u64) {
        self.count_way();
        // With the flag in the opposite order in `ask`: one of the two sides sees the other (INV-11).
        self.user_data.store(user_data, Ordering::SeqCst);
    }

    fn set_way(&self, way: Arc<dyn Way>) {
        *lock(&self.way) = Some(way);
    }

    #[cfg(feature = "testing")]
    fn fakeable(&self) -> Option<&dyn crate::driver::job::fakeable::Fakeable> {
        Some(self)
    }

    fn run(&self) {
        let Some(mut op) = self.life.to_thread() else {
            // Given up before it began, or over.
            return;
        };
        *lock(&self.target) = op.target();
        self.count_way();
        self.steps.go_on();
        // The lock is not held meanwhile (INV-8), so the future can be polled and dropped.
        let policy = self.host.settings().dataless;
        let block = || policy.heed(self.kind, || op.request().block(&self.steps));
        let result = catch_unwind(AssertUnwindSafe(block));
        let outcome = result.map_or(Outcome::Panicked, Outcome::Returned);
        self.settle(Some(op), outcome);
    }

    fn instead(self: Arc<Self>, reason: &'static str) {
        let is_over = self.host.is_closed() && !self.kept;
        if is_over || !self.life.to_queue() {
            return self.end(Outcome::Result(-errno::ECANCELED));
        }
        self.fall_back(reason);
    }

    fn end(self: Arc<Self>, outcome: Outcome) {
        let Some(outcome) = self.unless_starved(outcome) else {
            return;
        };
        if let Some(reason) = self.wants_another_way(&outcome) {
            if self.life.to_queue() {
                return self.fall_back(reason);
            }
        }
        let outcome = match outcome {
            // The handle was closed, and its cancel met the operation before or inside the kernel.
            Outcome::Result(number)
                if self.host.is_closed() && [errno::ECANCELED, errno::EINTR].contains(&-number) =>
            {
                let operation = self.kind;
                Outcome::Refused(Error::Closed { operation }.into())
            }
            outcome => outcome,
        };
        self.settle(None, outcome);
    }

    fn refuse(&self, error: io::Error) {
        let outcome = Outcome::Refused(error);
        let end = self.end_of(None, &outcome);
        let counted = || self.count_over(end);
        let settled = self.life.refuse(outcome, counted);
        self.settled(settled, None);
    }

    fn due_us(&self) -> u64 {
        self.due_us.load(Ordering::SeqCst)
    }

    fn expire(&self, now_us: u64) -> bool {
        Cell::expire(self, now_us)
    }

    fn look_whether_it_moves(&self) {
        self.moves.look(&self.group);
    }

    fn cancel_on(&self, fd: BorrowedFd<'_>) -> bool {
        let target = self.life.look(|op| op.target());
        let target = target.unwrap_or_else(|| lock(&self.target).clone());
        let is_its = !self.kept && !self.life.is_over() && target.is(fd);
        if is_its {
            self.give_up(Why::Cancelled);
        }
        is_its
    }

    fn path(&self) -> Option<PathBuf> {
        self.life
            .look(|op| op.target().path())
            .unwrap_or_else(|| lock(&self.target).path())
    }

    fn tell_if_slow(&self, after: Duration) {
        Cell::tell_if_slow(self, after);
    }

    fn seen(&self) -> Option<OpInFlight> {
        let state = match (self.life.has_begun(), self.life.is_left()) {
            _ if self.life.is_over() => return None,
            (true, true) => OpState::Orphaned,
            (true, false) => OpState::Running,
            (false, _) => OpState::Waiting,
        };
        Some(OpInFlight {
            operation: self.kind,
            path: self.path(),
            age: self.age(),
            still_for: self.steps.still_for(self.age()),
            way: lock(&self.way).as_ref().map(|way| way.name()),
            state,
            mount_point: self.group.mount().point(),
        })
    }
}
