//! The thread that tells what others have to say, so that a log that blocks or panics holds up nobody.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::windows::Windows;
use super::{reports_lost, timeouts_suppressed};
use crate::base::global::Global;
use crate::base::lock::{lock, wait_timeout};
use crate::limits;

type Report = Box<dyn FnOnce() + Send>;

/// Has `tell` called on the log's thread, soon. It may be dropped without a call, if the log is slow.
pub(crate) fn report(tell: impl FnOnce() + Send + 'static) {
    reporter().report(Box::new(tell));
}

/// The same for warnings of which one mount may cause many: most of them are only counted.
pub(crate) fn report_of_mount(mount_point: Option<&Path>, tell: impl FnOnce() + Send + 'static) {
    reporter().report_of_mount(mount_point, Instant::now(), Box::new(tell));
}

/// Waits until all of it was told, but no longer than `bound`: a process may be about to end.
pub(crate) fn wait_told(bound: Duration) {
    reporter().wait_told(bound);
}

fn reporter() -> &'static Reporter {
    static REPORTER: Global<Reporter> = Global::new();
    REPORTER.get_or_make(|| Reporter::new(limits::REPORTER_IDLE))
}

struct Reporter {
    state: Mutex<State>,
    bell: Condvar,
    /// Rung whenever a report was told.
    told: Condvar,
    /// How long the thread waits for more before it ends.
    idle: Duration,
}

#[derive(Default)]
struct State {
    reports: VecDeque<Report>,
    /// Reports that found no room, and were not told of.
    lost: u64,
    windows: Windows,
    /// Whether there is a thread.
    alive: bool,
    /// Whether it is telling one.
    is_telling: bool,
}

impl State {
    /// Queues a report; one that finds no room is counted and given back, as what it holds may be anything.
    fn queue(&mut self, report: Report) -> Option<Report> {
        if self.reports.len() >= limits::REPORTS_MAX {
            self.lost += 1;
            return Some(report);
        }
        self.reports.push_back(report);
        None
    }

    /// Queues the counts of what was not told of each mount, once their time has come.
    fn queue_due(&mut self, now: Instant) {
        for (mount, count) in self.windows.due(now) {
            let tell = move || timeouts_suppressed(mount.as_deref(), count);
            // A count that finds no room is one of those that were lost.
            let _ = self.queue(Box::new(tell));
        }
    }

    /// The next thing to tell.
    fn next(&mut self, now: Instant) -> Option<Report> {
        self.queue_due(now);
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            return Some(Box::new(move || reports_lost(lost)));
        }
        self.reports.pop_front()
    }
}

impl Reporter {
    fn new(idle: Duration) -> Reporter {
        Reporter {
            state: Mutex::default(),
            bell: Condvar::new(),
            told: Condvar::new(),
            idle,
        }
    }

    fn report(&'static self, report: Report) {
        let mut state = lock(&self.state);
        let refused = state.queue(report);
        self.call(state);
        drop(refused);
    }

    fn report_of_mount(&'static self, mount: Option<&Path>, now: Instant, report: Report) {
        let mut state = lock(&self.state);
        state.queue_due(now);
        let refused = match state.windows.admit(mount, now) {
            true => state.queue(report),
            false => Some(report),
        };
        self.call(state);
        drop(refused);
    }

    /// Wakes the thread, or starts one. Without any, what is queued is lost, and counted.
    fn call(&'static self, mut state: MutexGuard<'_, State>) {
        if state.alive {
            return self.bell.notify_one();
        }
        state.alive = true;
        drop(state);
        // With the usual stack: what runs on it is the user's.
        let builder = std::thread::Builder::new().name("tidegate-log".into());
        if builder.spawn(|| self.run()).is_err() {
            let mut state = lock(&self.state);
            state.alive = false;
            state.lost += state.reports.len() as u64;
            let lost = std::mem::take(&mut state.reports);
            drop(state);
            drop(lost);
        }
    }

    fn wait_told(&self, bound: Duration) {
        let end = Instant::now() + bound;
        let mut state = lock(&self.state);
        while state.alive && (state.is_telling || !state.reports.is_empty()) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = wait_timeout(&self.told, state, left).0;
        }
    }

    fn run(&self) {
        while let Some(tell) = self.wait() {
            // A subscriber that panics costs its own report.
            let _ = catch_unwind(AssertUnwindSafe(tell));
        }
    }

    /// The next report; `None` when there was none for so long that the thread had better end.
    fn wait(&self) -> Option<Report> {
        let mut state = lock(&self.state);
        let patience = Instant::now() + self.idle;
        state.is_telling = false;
        self.told.notify_all();
        loop {
            let now = Instant::now();
            if let Some(report) = state.next(now) {
                state.is_telling = true;
                return Some(report);
            }
            let until = state.windows.next_due().unwrap_or(patience);
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                state.alive = false;
                return None;
            }
            state = wait_timeout(&self.bell, state, left).0;
        }
    }
}

#[cfg(test)]
#[path = "reporter_tests.rs"]
mod tests;
