//! What a pool of threads has to do: the jobs that wait, who is at one, and how many threads they are worth.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::coarse_ms;
use crate::driver::job::Job;
use crate::driver::job::load::Load;
use crate::limits;
use crate::sys::thread;

/// How many of a mount's jobs wait for it, in parts of [`Waits::ALL`]: a mean of those looked at, in which the last
/// ones count most.
#[derive(Clone, Copy, Default)]
pub(super) struct Waits(u32);

impl Waits {
    const ALL: u32 = 1 << 10;
    /// What the mean is, the next one changes by this part.
    const MEMORY: u32 = 8;

    pub(super) fn note(&mut self, waited: bool) {
        let new = if waited { Waits::ALL } else { 0 };
        self.0 = (self.0 * (Waits::MEMORY - 1) + new) / Waits::MEMORY;
    }

    /// How many threads are worth while at a time.
    pub(super) fn threads(self) -> usize {
        let more = limits::POOL_THREADS_WAITING - limits::POOL_THREADS_EAGER;
        // Half of them waiting is as good as all: what they do in between is short.
        let part = (2 * self.0 as usize).min(Waits::ALL as usize);
        limits::POOL_THREADS_EAGER + more * part / Waits::ALL as usize
    }
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) jobs: VecDeque<Arc<dyn Job>>,
    pub(super) threads: usize,
    pub(super) idle: usize,
    /// Threads that were notified and have not woken yet.
    pub(super) called: usize,
    /// Threads that ticks have let work at a time beyond what the waits say, until nothing waits any more.
    pub(super) granted: usize,
    pub(super) waits: Waits,
    /// Jobs taken so far.
    pub(super) taken: u64,
    /// When one was taken last, or the first of those that wait came, in coarse milliseconds.
    pub(super) moved_ms: u64,
    pub(super) closed: bool,
    pub(super) busy: Vec<Busy>,
}

/// What a thread has, since when in coarse milliseconds.
pub(super) struct Busy {
    pub(super) since: u64,
    pub(super) thread: i32,
    pub(super) job: Arc<dyn Job>,
}

/// How often a thread looks whether its job waits, while others wait for a thread.
pub(super) const LOOK_ONE_IN: u64 = 4;

impl Queue {
    /// Threads that work, or were called to.
    pub(super) fn at_work(&self) -> usize {
        self.threads - self.idle.saturating_sub(self.called)
    }

    /// How many may work at a time with a job of this kind.
    pub(super) fn worth(&self, load: Load) -> usize {
        match load {
            Load::ManyNames => limits::POOL_THREADS_MAX,
            _ => (self.waits.threads() + self.granted).min(limits::POOL_THREADS_MAX),
        }
    }

    /// Whether enough threads work for jobs of this kind: of those that are not known to be stuck, and not at one job
    /// for so long that they may not take the next soon.
    pub(super) fn has_enough(&self, load: Load, stuck: usize, more: usize) -> bool {
        let (at_work, worth) = (self.at_work(), self.worth(load) + more);
        if at_work < worth {
            return false;
        }
        let long = self.busy_for(limits::POOL_JOB_LONG);
        at_work.saturating_sub(long.max(stuck)) >= worth
    }

    /// How many threads have been at their job for so long.
    pub(super) fn busy_for(&self, at_least: Duration) -> usize {
        let (now, least_ms) = (coarse_ms(), at_least.as_millis() as u64);
        let is_long = |since: u64| now.saturating_sub(since) >= least_ms;
        let long = self.busy.iter().filter(|busy| is_long(busy.since));
        long.count()
    }

    /// Whether every thread has been at its job for so long, and none rests.
    pub(super) fn is_all_busy_for(&self, at_least: Duration) -> bool {
        let long = self.busy_for(at_least);
        self.idle == 0 && long > 0 && long == self.busy.len()
    }

    /// The next job for a thread that may have done one before, and whether to look if it waits.
    pub(super) fn take(&mut self, is_first: bool, stuck: usize) -> Option<(Arc<dyn Job>, bool)> {
        let load = self.jobs.front()?.load();
        // Others do it: fewer threads are worth while than before.
        if !is_first && self.has_enough(load, stuck, 1) {
            return None;
        }
        let job = self.jobs.pop_front()?;
        self.taken += 1;
        self.moved_ms = coarse_ms();
        self.busy.push(Busy {
            since: self.moved_ms,
            thread: thread::current(),
            job: job.clone(),
        });
        let looks = !self.jobs.is_empty() && self.taken % LOOK_ONE_IN == 0;
        Some((job, looks))
    }

    pub(super) fn forget_busy(&mut self, job: &Arc<dyn Job>) -> Option<Busy> {
        let place = self
            .busy
            .iter()
            .position(|busy| Arc::ptr_eq(&busy.job, job))?;
        Some(self.busy.swap_remove(place))
    }
}
