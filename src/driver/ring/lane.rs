//! A lane: an expendable thread with a ring of its own, and so with kernel workers of its own.
//!
//! A lane may sleep in a submission; the runtime never does. What it has not taken from its inbox can
//! move to another lane, so a batch is small. A lane that is inside one submission for too long is
//! *wedged*: it is quarantined, never joined or torn down, and ends by itself once the kernel lets go.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::base::clock::coarse_ms;
use crate::base::lock::lock;
use crate::base::released;
use crate::driver::job::load::{Class, Share};
use crate::driver::job::queue::{Full, NotTaken, extract, is_still};
use crate::driver::job::way::Way;
use crate::driver::job::{Job, RingJob};
use crate::driver::ring::engine::Engine;
use crate::driver::ring::lane_thread::LaneThread;
use crate::limits;
use crate::mounts::Mount;
use crate::observe::{self, Counters};
use crate::sys::linux::eventfd::EventFd;
use crate::sys::linux::uring::{Issuer, Uring};
use crate::sys::thread;

#[derive(Default)]
pub(super) struct Inbox {
    pub(super) jobs: VecDeque<RingJob>,
    /// When one was taken last, or the first of these came, in coarse milliseconds.
    pub(super) moved_ms: u64,
    pub(super) cancels: Vec<u64>,
    /// What cancels may have missed is to be cancelled again.
    pub(super) cancel_missed: bool,
    /// No more jobs are taken in: the handle was closed, or the lane quarantined.
    pub(super) closed: bool,
    /// At the end, cancel what is in flight.
    pub(super) cancel_all: bool,
}

impl Inbox {
    /// Whether very many wait, and none goes on.
    fn is_overfull(&self) -> bool {
        self.jobs.len() >= limits::QUEUED_MAX && is_still(self.moved_ms)
    }
}

/// What other threads see of a lane.
pub(crate) struct Lane {
    pub(super) inbox: Mutex<Inbox>,
    pub(super) event: EventFd,
    /// The lane waits for completions and must be signalled.
    pub(super) asleep: AtomicBool,
    /// How often word was left of something to let go of, when the thread last saw to it.
    pub(super) swept: AtomicU64,
    /// When the submission began that the thread is in, in coarse milliseconds; zero when in none.
    pub(super) submitting_since: AtomicU64,
    /// How often it has come out of its wait.
    pub(super) woken: AtomicU64,
    /// The wait that it was called out of last, and when, in coarse milliseconds.
    pub(super) called: AtomicU64,
    pub(super) called_ms: AtomicU64,
    pub(super) in_flight: AtomicUsize,
    /// Whether cancels may have missed something.
    pub(super) has_missed: AtomicBool,
    /// The kernel's number of the lane's thread.
    pub(super) thread: AtomicI32,
    /// When the oldest operation in flight was started, in coarse milliseconds; zero when none is.
    pub(super) oldest_ms: AtomicU64,
    pub(super) class: Class,
}

impl Way for Lane {
    fn name(&self) -> observe::Way {
        observe::Way::LaneRing
    }

    fn share(&self) -> Share {
        Share::Lane(self.class)
    }

    fn cancel(&self, user_data: u64) {
        if user_data != 0 {
            lock(&self.inbox).cancels.push(user_data);
            self.call();
        }
    }
}

/// Whom a lane tells that it cannot have a ring, or has it no longer: its mount's group.
pub(crate) trait Owner: Send + Sync {
    fn ring_broke(&self, error: &io::Error);
}

impl Lane {
    /// Starts a lane for one class of a mount's operations, which may use so many kernel workers.
    pub(crate) fn start(
        owner: Weak<dyn Owner>,
        mount: Arc<Mount>,
        counters: Arc<Counters>,
        class: Class,
        workers: u32,
    ) -> io::Result<Arc<Lane>> {
        let lane = Arc::new(Lane {
            inbox: Mutex::default(),
            event: EventFd::new()?,
            asleep: AtomicBool::new(false),
            swept: AtomicU64::new(0),
            submitting_since: AtomicU64::new(0),
            woken: AtomicU64::new(0),
            called: AtomicU64::new(u64::MAX),
            called_ms: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            has_missed: AtomicBool::new(false),
            thread: AtomicI32::new(0),
            oldest_ms: AtomicU64::new(0),
            class,
        });
        let shared = lane.clone();
        // The ring is made on its thread: it belongs to that thread alone. Nobody waits for that, since who
        // starts a lane may be a poll, and the thread runs only when it gets a CPU.
        let body = move || {
            thread::shield();
            match Uring::new(Issuer::Lane, counters.buffer_groups.enrol()) {
                Ok(ring) => LaneThread {
                    lane: shared,
                    owner,
                    engine: Engine::new(ring, counters.clone(), workers),
                    counters,
                    mount,
                    workers: workers as usize,
                    armed: false,
                }
                .live(),
                Err(error) => shared.give_up(&owner, &error, Vec::new()),
            }
        };
        std::thread::Builder::new()
            .name(format!("tidegate-{}", class.name()))
            .stack_size(limits::FOREIGN_STACK_BYTES)
            .spawn(body)?;
        Ok(lane)
    }

    /// There is no ring, or no longer: what the kernel never took goes to the pool, and so does everything
    /// from now on.
    pub(super) fn give_up(
        &self,
        owner: &Weak<dyn Owner>,
        error: &io::Error,
        unsent: Vec<Arc<dyn Job>>,
    ) {
        if let Some(owner) = owner.upgrade() {
            owner.ring_broke(error);
        }
        let waiting = self.close(false).into_iter().map(RingJob::into_job);
        for job in unsent.into_iter().chain(waiting) {
            job.instead("no ring for a lane");
        }
    }

    /// Takes an operation in; back to the caller if the lane takes no more, or has no room and need not.
    pub(crate) fn push(&self, entry: RingJob, is_owed: bool) -> Result<(), NotTaken<RingJob>> {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            return Err(NotTaken::NoQueue(entry));
        }
        if !is_owed && inbox.is_overfull() {
            return Err(NotTaken::Full(entry, Full { stuck: 0 }));
        }
        if inbox.jobs.is_empty() {
            inbox.moved_ms = coarse_ms();
        }
        inbox.jobs.push_back(entry);
        drop(inbox);
        self.call();
        Ok(())
    }

    /// Ends the lane once nothing is in flight. Returns what was still in the inbox.
    pub(crate) fn close(&self, cancel_all: bool) -> VecDeque<RingJob> {
        let mut inbox = lock(&self.inbox);
        inbox.closed = true;
        inbox.cancel_all |= cancel_all;
        let jobs = std::mem::take(&mut inbox.jobs);
        drop(inbox);
        self.call();
        jobs
    }

    /// Has the thread let go of what nobody uses any more, if it has not, and cancel again what cancels missed.
    pub(crate) fn tick(&self) {
        drop(self.take_what_is_over());
        if self.has_missed.load(Ordering::Relaxed) {
            lock(&self.inbox).cancel_missed = true;
            self.call();
        }
        if self.swept.load(Ordering::SeqCst) != released::count() {
            self.call();
        }
    }

    /// What was taken back while it waited is of no use to anybody, and nobody takes it from here while nothing
    /// goes on.
    fn take_what_is_over(&self) -> Vec<RingJob> {
        let mut inbox = lock(&self.inbox);
        if inbox.jobs.is_empty() || !is_still(inbox.moved_ms) {
            return Vec::new();
        }
        extract(&mut inbox.jobs, |entry| entry.job().is_over())
    }

    /// Whether very many wait here, and none goes on.
    pub(crate) fn is_overfull(&self) -> bool {
        lock(&self.inbox).is_overfull()
    }

    /// Wakes the thread. It may sleep on storage where it waits, in what goes on there of linked entries: from
    /// now on it is expected to come.
    fn call(&self) {
        let wait = self.woken.load(Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.event.signal();
            // Only from now on: before, whoever calls may have had no processor.
            self.called_ms.store(coarse_ms(), Ordering::SeqCst);
            self.called.store(wait, Ordering::SeqCst);
        }
    }

    pub(crate) fn class(&self) -> Class {
        self.class
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn waiting(&self) -> usize {
        lock(&self.inbox).jobs.len()
    }

    /// Whether it has enough of operations that may wait for ever.
    pub(crate) fn is_crowded(&self) -> bool {
        self.in_flight() + self.waiting() >= limits::PEERS_PER_LANE
    }

    /// Whether the thread has slept inside one submission for too long.
    pub(crate) fn is_wedged(&self, now: u64) -> bool {
        let expected = self.expected_since();
        let too_long =
            |since| now.saturating_sub(since) >= limits::LANE_WEDGED_AFTER.as_millis() as u64;
        // Asked again, as it may have come and gone to sleep elsewhere before it was looked at.
        expected.is_some_and(too_long)
            && thread::sleeps(self.thread.load(Ordering::Relaxed))
            && self.expected_since() == expected
    }

    /// Since when it is in a submission, or was called out of a wait in which it still is.
    fn expected_since(&self) -> Option<u64> {
        let is_called = self.called.load(Ordering::SeqCst) == self.woken.load(Ordering::SeqCst);
        match self.submitting_since.load(Ordering::Relaxed) {
            0 => is_called.then(|| self.called_ms.load(Ordering::SeqCst)),
            since => Some(since),
        }
    }

    /// How old the oldest operation in flight is, in milliseconds, if so old at least, and unless it may only wait for a
    /// processor.
    pub(crate) fn oldest_for_ms(&self, now: u64, at_least: u64) -> u64 {
        let since = self.oldest_ms.load(Ordering::Relaxed);
        let age = now.saturating_sub(since);
        let number = self.thread.load(Ordering::Relaxed);
        if since == 0 || age < at_least || thread::may_be_starved(age, &[number]) {
            return 0;
        }
        // It may have ended before its thread was looked at.
        match self.oldest_ms.load(Ordering::Relaxed) {
            now if now == since => age,
            _ => 0,
        }
    }
}
