//! What is counted and told of an operation, each once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::{self, NEVER, now_us};
use crate::base::lock::lock;
use crate::driver::job::load::Share;
use crate::driver::job::{Job, Outcome};
use crate::driver::task::cell::Cell;
use crate::driver::task::in_flight::left_by;
use crate::driver::task::op::Op;
use crate::driver::task::scope::Why;
use crate::error::{Error, LeftBehind};
use crate::events;
use crate::limits;
use crate::observe::{Ended, Promise};
use crate::opcode::{DeadlineClass, Kind};

/// What was done already.
#[derive(Default)]
pub(crate) struct Account {
    ended: AtomicBool,
    /// One more than the way that it was counted under; zero for none.
    way: AtomicU8,
    /// Stands for the path that was told to take long; zero while none was.
    slow: AtomicU64,
}

/// Something to tell once no lock is held.
pub(crate) struct TimedOut {
    path: Option<PathBuf>,
    left: LeftBehind,
}

/// A number for a path, other than zero.
fn stand_in(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish().max(1)
}

impl<O: Op> Cell<O> {
    /// How long it is there, without the time that the process was not running.
    pub(crate) fn age(&self) -> Duration {
        let lost = clock::lost().saturating_sub(self.lost_before);
        self.started.elapsed().saturating_sub(lost)
    }

    /// Counts how it ended for its caller: the first end counts. May be called under locks. Returns whether
    /// it was the first.
    pub(crate) fn count(&self, end: Ended) -> bool {
        let is_first = !self.account.ended.swap(true, Ordering::AcqRel);
        if is_first {
            let took = self.started.elapsed();
            self.host.counters().over(self.kind, end, took);
        }
        is_first
    }

    /// Counts the way that it goes, once it has begun there. One that began somewhere else before, which could
    /// not do it, is not counted there any more.
    pub(crate) fn count_way(&self) {
        let Some(way) = lock(&self.way).as_ref().map(|way| way.name()) else {
            return;
        };
        let before = self.account.way.swap(way as u8 + 1, Ordering::AcqRel);
        self.host.counters().went(self.kind, way);
        if let Some(before) = before.checked_sub(1) {
            self.host.counters().went_not(self.kind, before.into());
        }
    }

    /// The same, and that it is not in flight any more.
    pub(crate) fn count_over(&self, end: Ended) {
        self.count(end);
        self.host.counters().ended();
    }

    /// How an outcome ends it for a caller that still waits. `op` is what a thread hands back, or nobody took.
    pub(crate) fn end_of(&self, op: Option<&O>, outcome: &Outcome) -> Ended {
        if let (Some(why), Some(_)) = (self.life.why(), left_by(self.kind, outcome)) {
            return why.into();
        }
        let number = match outcome {
            Outcome::Result(number) => Some(-number),
            Outcome::Returned(Err(error)) => error.raw_os_error(),
            _ => None,
        };
        if let Some(number) = number.filter(|&number| number > 0) {
            let is_ordinary = match op {
                Some(op) => op.is_ordinary(number),
                None => self.life.look(|op| op.is_ordinary(number)).unwrap_or(false),
            };
            if is_ordinary {
                return Ended::Ok;
            }
        }
        match outcome {
            Outcome::Result(0..) | Outcome::Returned(Ok(_)) => Ended::Ok,
            Outcome::Lost(_)
            | Outcome::Panicked
            | Outcome::Result(_)
            | Outcome::Returned(Err(_)) => Ended::Failed,
            Outcome::Refused(error) => match Error::from_io(error) {
                Some(Error::Cancelled { .. }) => Ended::Cancelled,
                Some(Error::TimedOut { .. }) => Ended::TimedOut,
                _ => Ended::Refused,
            },
            Outcome::TakenBack => Ended::Cancelled,
        }
    }

    /// What there is to tell, if the operation ran out of time, found out while the path can still be had.
    pub(crate) fn if_timed_out(&self, end: Ended, left: Option<LeftBehind>) -> Option<TimedOut> {
        (end == Ended::TimedOut).then(|| TimedOut {
            path: self.path(),
            left: left.unwrap_or(LeftBehind::NothingHappened),
        })
    }

    /// Does not wait for the log.
    pub(crate) fn tell(&self, timed_out: TimedOut) {
        let TimedOut { path, left } = timed_out;
        let (kind, elapsed, mount_point) = (
            self.kind,
            self.started.elapsed(),
            self.group.mount().point(),
        );
        events::report_of_mount(mount_point.clone().as_deref(), move || {
            let (path, mount_point) = (path.as_deref(), mount_point.as_deref());
            events::timed_out(kind, path, mount_point, elapsed, &left);
        });
    }

    /// Tells once that it takes longer than that, if somebody waits for it. What a peer has to send or to take
    /// takes as long as it takes; an open should not, whatever it waits for.
    pub(crate) fn tell_if_slow(&self, after: Duration) {
        // A walk goes on for as long as there is something to walk, and so does a copy; what it is at now should not.
        let elapsed = || match self.kind {
            Kind::CopyFile | Kind::Walk => self.steps.still_for(self.age()),
            _ => self.age(),
        };
        let opens = matches!(self.kind, Kind::Open | Kind::OpenWithin);
        let takes_long = self.kind.row().deadline_class == DeadlineClass::Unbounded
            && !matches!(self.kind, Kind::RemoveDirAll | Kind::Walk)
            || self.group.mount().is_of_peers() && !opens;
        if elapsed() < after || takes_long || self.life.is_left() || self.life.is_over() {
            return;
        }
        let (kind, path) = (self.kind, self.path());
        // What goes on comes to other paths, each of which is told once; this one only if it is still there.
        let (told, elapsed) = (path.as_deref().map_or(1, stand_in), elapsed());
        if elapsed >= after && self.account.slow.swap(told, Ordering::AcqRel) != told {
            events::report(move || events::slow(kind, path.as_deref(), elapsed));
        }
    }

    /// Nobody waits for it, and it is not over: counted as stuck until it is.
    pub(crate) fn mark_stuck(&self) {
        if !self.life.has_begun() {
            // In a queue it holds up nothing; looked at again, as it may begin later.
            if !self.life.is_over() {
                self.set_due(now_us() + limits::STUCK_LOOK_AGAIN.as_micros() as u64);
            }
            return;
        }
        self.due_us.store(NEVER, Ordering::SeqCst);
        let mut stuck = lock(&self.stuck);
        if stuck.is_some() {
            return;
        }
        let share = lock(&self.way)
            .as_ref()
            .map_or(Share::Other, |way| way.share());
        self.group.stuck(share);
        self.host.counters().orphaned();
        *stuck = Some(share);
        drop(stuck);
        // It may have ended between the look and the count.
        if self.life.is_over() {
            self.unmark_stuck();
        }
    }

    pub(crate) fn unmark_stuck(&self) {
        if let Some(share) = lock(&self.stuck).take() {
            self.group.unstuck(share);
            self.host.counters().orphan_ended();
        }
    }

    /// What was promised to be done in the background and was not.
    pub(crate) fn complaint(&self, op: Option<&O>, outcome: &Outcome) -> Option<String> {
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
            Outcome::Panicked => Some("panicked".into()),
            Outcome::TakenBack => None,
        }
    }

    /// Tells of something that was promised to be done in the background and was not. The end of the runtime
    /// waits for it, as for the write, but no operation does.
    pub(crate) fn log_later(&self, text: String) {
        let (kind, promise) = (self.kind, Promise::new(self.host.counters()));
        events::report(move || {
            let _promise = promise;
            events::background_failure(kind, &text);
        });
    }
}

impl From<Why> for Ended {
    fn from(why: Why) -> Ended {
        match why {
            Why::Cancelled => Ended::Cancelled,
            Why::TimedOut => Ended::TimedOut,
        }
    }
}
