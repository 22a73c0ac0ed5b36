//! Every operation of a handle that is not over, for whoever looks from outside: deadlines, heartbeats,
//! the list of what is in flight.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Job;
use crate::base::clock::NEVER;
use crate::base::lock::lock;
use crate::base::thread_index;

/// Shares of the list, so that threads that start operations seldom meet.
const SHARDS: usize = 16;

/// Where an operation is listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    shard: usize,
    index: usize,
}

#[derive(Default)]
struct List {
    jobs: Vec<Option<Arc<dyn Job>>>,
    free: Vec<usize>,
}

struct Shard {
    list: Mutex<List>,
    /// No later than the first of its operations is due, in microseconds.
    due_us: AtomicU64,
}

impl Default for Shard {
    fn default() -> Shard {
        Shard {
            list: Mutex::default(),
            due_us: AtomicU64::new(NEVER),
        }
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Registry {
    shards: [Shard; SHARDS],
}

impl Registry {
    /// `tell` hears where it is listed before anybody finds it there.
    pub(crate) fn insert(&self, job: Arc<dyn Job>, tell: impl FnOnce(Place)) {
        let shard = thread_index() % SHARDS;
        let mut list = lock(&self.shards[shard].list);
        let index = list.free.pop().unwrap_or_else(|| {
            list.jobs.push(None);
            list.jobs.len() - 1
        });
        tell(Place { shard, index });
        list.jobs[index] = Some(job);
    }

    /// Takes it off the list. What it returns may be the last reference, and is dropped without a lock.
    pub(crate) fn remove(&self, place: Place) -> Option<Arc<dyn Job>> {
        let mut list = lock(&self.shards[place.shard].list);
        list.free.push(place.index);
        list.jobs[place.index].take()
    }

    /// Notes that an operation is to be looked at by then, which the watchdog has to be told.
    pub(crate) fn note_due(&self, place: Place, due_us: u64) {
        self.shards[place.shard]
            .due_us
            .fetch_min(due_us, Ordering::SeqCst);
    }

    /// The operations that are due; the watchdog looks again when [`next_us`](Registry::next_us) says.
    pub(crate) fn take_due(&self, now_us: u64) -> Vec<Arc<dyn Job>> {
        let mut due = Vec::new();
        for shard in &self.shards {
            if shard.due_us.load(Ordering::SeqCst) > now_us {
                continue;
            }
            // Reset before the look: what is noted meanwhile stays noted.
            shard.due_us.store(NEVER, Ordering::SeqCst);
            let mut next = NEVER;
            for job in lock(&shard.list).jobs.iter().flatten() {
                match job.due_us() {
                    at if at <= now_us => due.push(job.clone()),
                    at => next = next.min(at),
                }
            }
            shard.due_us.fetch_min(next, Ordering::SeqCst);
        }
        due
    }

    /// When the next operation is due at the earliest, in microseconds.
    pub(crate) fn next_us(&self) -> u64 {
        let due = |shard: &Shard| shard.due_us.load(Ordering::SeqCst);
        self.shards.iter().map(due).min().unwrap_or(NEVER)
    }

    /// All of them.
    pub(crate) fn jobs(&self) -> Vec<Arc<dyn Job>> {
        let mut jobs = Vec::new();
        for shard in &self.shards {
            jobs.extend(lock(&shard.list).jobs.iter().flatten().cloned());
        }
        jobs
    }
}
