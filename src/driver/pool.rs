//! Lanes without a ring: a few blocking threads per mount, bounded and named.
//!
//! A few threads start at once. More come only when the watchdog sees that none of them took a job for
//! a tick while jobs wait, so short jobs are not spread over threads that only switch.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::cell::{Job, Outcome};
use crate::limits;
use crate::sys::clock::coarse_ms;
use crate::sys::lock::{lock, wait_timeout};
use crate::sys::thread;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Arc<dyn Job>>,
    threads: usize,
    idle: usize,
    /// Threads that were notified and have not woken yet.
    called: usize,
    /// Jobs taken so far.
    taken: u64,
    closed: bool,
    /// What each busy thread has, since when in coarse milliseconds.
    busy: Vec<(u64, Arc<dyn Job>)>,
}

impl Queue {
    fn forget_busy(&mut self, job: &Arc<dyn Job>) -> Option<(u64, Arc<dyn Job>)> {
        let place = self
            .busy
            .iter()
            .position(|(_, busy)| Arc::ptr_eq(busy, job))?;
        Some(self.busy.swap_remove(place))
    }
}

/// Takes those out for which this holds.
pub(super) fn extract(
    jobs: &mut VecDeque<Arc<dyn Job>>,
    mut holds: impl FnMut(&Arc<dyn Job>) -> bool,
) -> Vec<Arc<dyn Job>> {
    let mut out = Vec::new();
    for job in std::mem::take(jobs) {
        if holds(&job) {
            out.push(job);
        } else {
            jobs.push_back(job);
        }
    }
    out
}

/// The blocking threads of one mount.
#[derive(Default)]
pub(crate) struct Pool {
    queue: Mutex<Queue>,
    available: Condvar,
    /// Jobs taken when the watchdog looked last.
    taken_at_tick: AtomicU64,
    /// Threads in jobs that nobody waits for: others take their places.
    stuck: AtomicIsize,
}

impl Pool {
    pub(crate) fn push(self: &Arc<Self>, job: Arc<dyn Job>) {
        let mut queue = lock(&self.queue);
        queue.jobs.push_back(job);
        if queue.idle > queue.called {
            queue.called += 1;
            drop(queue);
            return self.available.notify_one();
        }
        if queue.threads < limits::POOL_THREADS_EAGER {
            queue.threads += 1;
            drop(queue);
            self.spawn(1);
        }
    }

    /// Starts threads that are already counted.
    fn spawn(self: &Arc<Self>, count: usize) {
        for _ in 0..count {
            let pool = self.clone();
            let builder = std::thread::Builder::new()
                .name("tidegate-pool".into())
                .stack_size(limits::THREAD_STACK_BYTES);
            if let Err(error) = builder.spawn(move || pool.work()) {
                self.cannot_spawn(&error);
            }
        }
    }

    /// Without any thread nobody would take the jobs: they end with the error. Otherwise they wait.
    fn cannot_spawn(&self, error: &std::io::Error) {
        let mut queue = lock(&self.queue);
        queue.threads -= 1;
        let stranded = if queue.threads == 0 {
            std::mem::take(&mut queue.jobs)
        } else {
            VecDeque::new()
        };
        drop(queue);
        for job in stranded {
            let source = error
                .raw_os_error()
                .map_or_else(|| error.kind().into(), std::io::Error::from_raw_os_error);
            let refused = crate::error::Error::Thread {
                operation: job.kind(),
                source,
            };
            job.end(Outcome::Refused(refused.into()));
        }
    }

    fn work(&self) {
        thread::shield();
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                queue.taken += 1;
                queue.busy.push((coarse_ms(), job.clone()));
                drop(queue);
                // It ends by itself if it panics; what its parts do when they are dropped is another matter.
                let _ = catch_unwind(AssertUnwindSafe(|| job.run()));
                let finished = lock(&self.queue).forget_busy(&job);
                // The last reference may close a file, which may come here for it: not under the lock.
                let _ = catch_unwind(AssertUnwindSafe(|| drop((finished, job))));
                queue = lock(&self.queue);
                continue;
            }
            if queue.closed {
                break;
            }
            queue.idle += 1;
            let (guard, timed_out) = wait_timeout(&self.available, queue, limits::POOL_THREAD_IDLE);
            queue = guard;
            queue.idle -= 1;
            queue.called = queue.called.saturating_sub(1).min(queue.idle);
            if timed_out && queue.jobs.is_empty() {
                break;
            }
        }
        queue.threads -= 1;
    }

    /// Lets the threads end once the queue is empty. Later jobs still run, on new threads.
    pub(crate) fn close(&self) {
        lock(&self.queue).closed = true;
        self.available.notify_all();
    }

    /// Adds threads if jobs wait and none was taken since the last call. Returns whether any job is
    /// queued or running.
    pub(crate) fn tick(self: &Arc<Self>) -> bool {
        let mut queue = lock(&self.queue);
        let stuck = self.taken_at_tick.swap(queue.taken, Ordering::Relaxed) == queue.taken;
        let most = limits::POOL_THREADS_MAX + self.stuck.load(Ordering::SeqCst).max(0) as usize;
        let room = most.saturating_sub(queue.threads);
        // What was taken back while it waited is of no use to anybody.
        let given_back: Vec<_> = if stuck {
            extract(&mut queue.jobs, |job| job.is_over())
        } else {
            Vec::new()
        };
        let wanted = queue.jobs.len().min(queue.threads.max(1)).min(room);
        let grow = if stuck && queue.idle == 0 { wanted } else { 0 };
        queue.threads += grow;
        let active = !queue.jobs.is_empty() || !queue.busy.is_empty();
        drop(queue);
        drop(given_back);
        self.spawn(grow);
        active
    }

    /// Notes that so many threads more are stuck in jobs that nobody waits for.
    pub(crate) fn stuck(&self, more: isize) {
        self.stuck.fetch_add(more, Ordering::SeqCst);
    }

    /// Whether jobs wait for a thread.
    pub(crate) fn has_waiting(&self) -> bool {
        !lock(&self.queue).jobs.is_empty()
    }

    /// How long the oldest job that should be quick has been running, in milliseconds.
    pub(crate) fn oldest_for_ms(&self, now: u64) -> u64 {
        lock(&self.queue)
            .busy
            .iter()
            .filter(|(_, job)| job.kind().is_quick())
            .map(|(since, _)| now.saturating_sub(*since))
            .max()
            .unwrap_or(0)
    }

    pub(crate) fn threads(&self) -> usize {
        lock(&self.queue).threads
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
