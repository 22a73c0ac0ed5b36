//! Lanes without a ring: a few blocking threads per mount, bounded and named.
//!
//! A few threads work at once: short jobs are not spread over threads that only switch. How many more the mount is
//! worth, it says itself: threads whose jobs wait, rather than compute, are joined by others at once, so that a disk
//! has its queue full ([`Waits`]). What does not even end gets more threads when the watchdog sees that none of them
//! took a job for a tick while jobs wait.
//!
//! Any thread may get stuck in what it does, so all of them count for the bound, and not only those that are
//! known to be stuck: see [`ThreadCap`].

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::base::clock::coarse_ms;
use crate::base::lock::{lock, wait_timeout};
use crate::driver::job::load::Share;
use crate::driver::job::queue::{Full, extract, is_still};
use crate::driver::job::way::Way;
use crate::driver::job::{Job, Outcome};
use crate::driver::mount::queue::{Busy, Queue};
use crate::limits;
use crate::observe;
use crate::sys::thread;

/// How many blocking threads a handle may have.
///
/// A mount has no more of them than `each`, stuck or not. Its first `own` ones are its own; what it has beyond
/// those, all mounts take from the same rest. So one dead mount has `each` threads at most, of `mounts` dead ones
/// every further one `own` more, and a mount that answers has its own whatever the others have taken.
#[derive(Debug)]
pub(crate) struct ThreadCap {
    each: usize,
    own: usize,
    /// Threads beyond their mounts' own.
    lent: AtomicUsize,
}

impl ThreadCap {
    pub(crate) fn new(each: usize) -> Arc<ThreadCap> {
        let each = each.max(1);
        Arc::new(ThreadCap {
            each,
            own: each.min(limits::POOL_THREADS_OWN),
            lent: AtomicUsize::new(0),
        })
    }

    /// A place for one more thread of a pool that has so many.
    fn take(&self, threads: usize) -> bool {
        if threads >= self.each {
            return false;
        }
        let rest = self.each - self.own;
        let lend = |lent: usize| (lent < rest).then_some(lent + 1);
        threads < self.own
            || self
                .lent
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, lend)
                .is_ok()
    }

    /// A thread of a pool that has so many with it ends.
    fn give(&self, threads: usize) {
        if threads > self.own {
            self.lent.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn has_place(&self, threads: usize) -> bool {
        let has_rest = || self.lent.load(Ordering::Acquire) < self.each - self.own;
        threads < self.own || threads < self.each && has_rest()
    }
}

impl Way for Pool {
    fn name(&self) -> observe::Way {
        observe::Way::Pool
    }

    fn share(&self) -> Share {
        Share::Thread
    }

    fn cancel(&self, _user_data: u64) {}

    fn hears_cancels(&self) -> bool {
        false
    }
}

/// The blocking threads of one mount.
pub(crate) struct Pool {
    cap: Arc<ThreadCap>,
    queue: Mutex<Queue>,
    available: Condvar,
    /// Jobs taken when the watchdog looked last.
    taken_at_tick: AtomicU64,
    /// Threads in jobs that nobody waits for: others take their places.
    stuck: AtomicIsize,
}

impl Pool {
    pub(crate) fn new(cap: Arc<ThreadCap>) -> Arc<Pool> {
        Arc::new(Pool {
            cap,
            queue: Mutex::default(),
            available: Condvar::new(),
            taken_at_tick: AtomicU64::new(0),
            stuck: AtomicIsize::new(0),
        })
    }

    /// Takes a job in, or says why it would only be stuck as well.
    pub(crate) fn push(self: &Arc<Self>, job: Arc<dyn Job>) -> Result<(), (Arc<dyn Job>, Full)> {
        let queue = lock(&self.queue);
        match self.full_with(&queue) {
            Some(full) => Err((job, full)),
            None => {
                self.push_into(queue, job);
                Ok(())
            }
        }
    }

    /// Takes a job in that was promised to be done.
    pub(crate) fn push_owed(self: &Arc<Self>, job: Arc<dyn Job>) {
        self.push_into(lock(&self.queue), job);
    }

    fn push_into(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>, job: Arc<dyn Job>) {
        if queue.jobs.is_empty() {
            queue.moved_ms = coarse_ms();
        }
        let load = job.load();
        queue.jobs.push_back(job);
        if queue.has_enough(load, self.stuck_count(), 0) {
            // One of those takes it next, or the watchdog sees that none does.
            return;
        }
        if queue.idle > queue.called {
            queue.called += 1;
            drop(queue);
            return self.available.notify_one();
        }
        let is_within = self.working(&queue) < limits::POOL_THREADS_MAX;
        if is_within && self.cap.take(queue.threads) {
            queue.threads += 1;
            drop(queue);
            self.spawn(1);
        }
    }

    /// Why a job would only be stuck as well, if so.
    pub(crate) fn full(&self) -> Option<Full> {
        self.full_with(&lock(&self.queue))
    }

    /// All the threads that there may be are stuck, or very many jobs wait and none is taken.
    fn full_with(&self, queue: &Queue) -> Option<Full> {
        let stuck = self.stuck_count();
        let all_are_stuck = stuck >= self.cap.each
            || stuck > 0 && stuck >= queue.threads && !self.cap.has_place(queue.threads);
        let is_overfull = || queue.jobs.len() >= limits::QUEUED_MAX && is_still(queue.moved_ms);
        (all_are_stuck || is_overfull()).then_some(Full { stuck })
    }

    fn stuck_count(&self) -> usize {
        self.stuck.load(Ordering::SeqCst).max(0) as usize
    }

    /// Threads that are not known to be stuck.
    fn working(&self, queue: &Queue) -> usize {
        queue.threads.saturating_sub(self.stuck_count())
    }

    /// Starts threads that are already counted.
    fn spawn(self: &Arc<Self>, count: usize) {
        for _ in 0..count {
            let pool = self.clone();
            let builder = std::thread::Builder::new()
                .name("tidegate-pool".into())
                .stack_size(limits::FOREIGN_STACK_BYTES);
            if let Err(error) = builder.spawn(move || pool.work()) {
                self.cannot_spawn(&error);
            }
        }
    }

    /// Without any thread nobody would take the jobs: they end with the error. Otherwise they wait.
    fn cannot_spawn(&self, error: &std::io::Error) {
        let mut queue = lock(&self.queue);
        self.thread_ends(&mut queue);
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

    fn thread_ends(&self, queue: &mut Queue) {
        self.cap.give(queue.threads);
        queue.threads -= 1;
    }

    fn work(&self) {
        thread::shield();
        let mut queue = lock(&self.queue);
        let mut is_first = true;
        loop {
            if let Some((job, looks)) = queue.take(is_first, self.stuck_count()) {
                drop(queue);
                is_first = false;
                queue = self.run(job, looks);
                continue;
            }
            if queue.closed && queue.jobs.is_empty() {
                break;
            }
            if queue.jobs.is_empty() {
                queue.granted = 0;
            }
            queue.idle += 1;
            let (guard, timed_out) = wait_timeout(&self.available, queue, limits::POOL_THREAD_IDLE);
            queue = guard;
            queue.idle -= 1;
            queue.called = queue.called.saturating_sub(1).min(queue.idle);
            is_first = true;
            if timed_out && queue.jobs.is_empty() {
                break;
            }
        }
        self.thread_ends(&mut queue);
    }

    /// Does one job, and comes back with the lock.
    fn run(&self, job: Arc<dyn Job>, looks: bool) -> MutexGuard<'_, Queue> {
        let before = if looks { thread::waits() } else { None };
        // It ends by itself if it panics; what its parts do when they are dropped is another matter.
        let _ = catch_unwind(AssertUnwindSafe(|| job.run()));
        let after = before.and_then(|_| thread::waits());
        let mut queue = lock(&self.queue);
        if let (Some(before), Some(after)) = (before, after) {
            queue.waits.note(after > before);
        }
        let finished = queue.forget_busy(&job);
        drop(queue);
        // The last reference may close a file, which may come here for it: not under the lock.
        let _ = catch_unwind(AssertUnwindSafe(|| drop((finished, job))));
        lock(&self.queue)
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
        let room = limits::POOL_THREADS_MAX.saturating_sub(self.working(&queue));
        // What was taken back while it waited is of no use to anybody.
        let given_back: Vec<_> = if stuck {
            extract(&mut queue.jobs, |job| job.is_over())
        } else {
            Vec::new()
        };
        let wanted = queue.jobs.len().min(queue.threads.max(1));
        // Who was called is on the way.
        let wanted = if stuck && queue.called == 0 {
            wanted
        } else {
            0
        };
        // Those that are there and have been told to rest first.
        let resting = queue.idle.saturating_sub(queue.called);
        let called = wanted.min(resting);
        queue.called += called;
        let wanted = (wanted - called).min(room);
        let mut grow = 0;
        while grow < wanted && self.cap.take(queue.threads) {
            queue.threads += 1;
            grow += 1;
        }
        queue.granted = (queue.granted + called + grow).min(limits::POOL_THREADS_MAX);
        let active = !queue.jobs.is_empty() || !queue.busy.is_empty();
        drop(queue);
        drop(given_back);
        (0..called).for_each(|_| self.available.notify_one());
        self.spawn(grow);
        active
    }

    /// Tells when what is running in several steps began, and when the last of them was over.
    pub(crate) fn steps(&self, mut tell: impl FnMut(u64, u64)) {
        for busy in &lock(&self.queue).busy {
            match busy.job.last_step_ms() {
                0 => {}
                step_ms => tell(busy.job.started_ms(), step_ms),
            }
        }
    }

    /// Notes that so many threads more are stuck in jobs that nobody waits for.
    pub(crate) fn stuck(&self, more: isize) {
        self.stuck.fetch_add(more, Ordering::SeqCst);
    }

    /// Whether jobs wait for a thread.
    pub(crate) fn has_waiting(&self) -> bool {
        !lock(&self.queue).jobs.is_empty()
    }

    /// Whether jobs wait, and every thread there is sleeps in its own, and has been at it for too long to be about to take
    /// the next. One that only waits for a processor takes it as soon as it has that, and one that is being made is on its
    /// way.
    pub(crate) fn is_held_up(&self) -> bool {
        let queue = lock(&self.queue);
        let is_held_up = !queue.jobs.is_empty()
            && queue.threads == queue.busy.len()
            && queue.is_all_busy_for(limits::POLL_STUCK_AFTER);
        if !is_held_up {
            return false;
        }
        let threads: Vec<_> = queue.busy.iter().map(|busy| busy.thread).collect();
        let taken = queue.taken;
        drop(queue);
        threads.into_iter().all(thread::sleeps) && lock(&self.queue).taken == taken
    }

    /// Whether no thread is about to take another job, and none may be added: what hangs holds all of them.
    pub(crate) fn is_out_of_threads(&self) -> bool {
        let queue = lock(&self.queue);
        let may_grow =
            || self.working(&queue) < limits::POOL_THREADS_MAX && self.cap.has_place(queue.threads);
        queue.is_all_busy_for(limits::POOL_JOB_LONG) && !may_grow()
    }

    /// Whether its threads are done soon with what they have, as far as was seen, and no crowd waits for them.
    pub(crate) fn is_quick(&self) -> bool {
        let queue = lock(&self.queue);
        queue.jobs.len() < limits::POOL_THREADS_MAX
            && queue.busy_for(limits::POOL_JOB_LONG) < limits::POOL_THREADS_EAGER
    }

    /// Whether it has next to nothing to do: who hears that a job is over may be quicker than its thread.
    pub(crate) fn is_at_rest(&self) -> bool {
        let queue = lock(&self.queue);
        queue.jobs.is_empty() && queue.busy.len() <= 1
    }

    /// How long the oldest job that should be quick has been running, in milliseconds, if so long at least, and if its
    /// thread sleeps in it: one that waits for a processor says nothing of any disk.
    pub(crate) fn oldest_for_ms(&self, now: u64, at_least: u64) -> u64 {
        let queue = lock(&self.queue);
        let quick = queue.busy.iter().filter(|busy| busy.job.kind().is_quick());
        let old = quick.map(|busy| (now.saturating_sub(busy.since), busy.thread));
        let old: Vec<_> = old.filter(|(age, _)| *age >= at_least).collect();
        drop(queue);
        let asleep = |(age, at_it): &(u64, i32)| {
            // It may have ended its job before it was looked at.
            let since = now - age;
            let is_at_it = |busy: &Busy| busy.thread == *at_it && busy.since == since;
            thread::sleeps(*at_it) && lock(&self.queue).busy.iter().any(is_at_it)
        };
        let stuck = old.into_iter().filter(asleep);
        stuck.map(|(age, _)| age).max().unwrap_or(0)
    }

    pub(crate) fn threads(&self) -> usize {
        lock(&self.queue).threads
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
