//! A lane's own thread, which has its ring.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::base::clock::coarse_ms;
use crate::base::lock::lock;
use crate::base::released;
use crate::driver::job::RingJob;
use crate::driver::job::load::OnWorker;
use crate::driver::ring::engine::{Engine, Start};
use crate::driver::ring::lane::{Lane, Owner};
use crate::driver::ring::slot::{Tag, Token};
use crate::limits;
use crate::mounts::Mount;
use crate::observe::Counters;
use crate::sys::linux::poll;
use crate::sys::linux::sqe::Sqe;
use crate::sys::linux::uring::Uring;
use crate::sys::thread;

/// What a lane's thread took from the inbox.
struct Taken {
    jobs: Vec<RingJob>,
    cancels: Vec<u64>,
    cancel_missed: bool,
    closed: bool,
    cancel_all: bool,
}

/// The thread's own side.
pub(super) struct LaneThread {
    pub(super) lane: Arc<Lane>,
    pub(super) owner: Weak<dyn Owner>,
    pub(super) engine: Engine<Uring>,
    pub(super) counters: Arc<Counters>,
    pub(super) mount: Arc<Mount>,
    /// Kernel workers that it may use.
    pub(super) workers: usize,
    /// Whether the read of the event is in flight.
    pub(super) armed: bool,
}

impl LaneThread {
    /// Runs until the lane is closed. A panic, from a buffer's code or a log subscriber, breaks the lane
    /// like an error of its ring: what the kernel has stays allocated (INV-6).
    pub(super) fn live(mut self) {
        match catch_unwind(AssertUnwindSafe(|| self.run())) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.break_up(&error),
            Err(_) => self.break_up(&io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn run(&mut self) -> io::Result<()> {
        self.lane.thread.store(thread::current(), Ordering::Relaxed);
        loop {
            // Noted first: what is let go of meanwhile makes it look once more.
            self.lane.swept.store(released::count(), Ordering::SeqCst);
            self.at_storage(Engine::sweep);
            let taken = self.take();
            let (closed, nothing_taken) = (taken.closed, taken.jobs.is_empty());
            self.start(taken);
            if self.engine.has_queued() {
                self.submit()?;
            }
            let delivered = self.reap();
            if closed && self.engine.in_flight() == 0 {
                return Ok(());
            }
            if !nothing_taken || delivered {
                continue;
            }
            if self.engine.has_queued() {
                // The kernel has no memory or room just now, and may sleep once it has: not in `sleep`.
                poll::readable(self.lane.event.number(), limits::LANE_RETRY_AFTER);
            } else {
                self.sleep()?;
            }
        }
    }

    fn take(&mut self) -> Taken {
        let room = self.room();
        let mut inbox = lock(&self.lane.inbox);
        let count = room.min(inbox.jobs.len());
        if count > 0 {
            inbox.moved_ms = coarse_ms();
        }
        Taken {
            jobs: inbox.jobs.drain(..count).collect(),
            cancels: std::mem::take(&mut inbox.cancels),
            cancel_missed: std::mem::take(&mut inbox.cancel_missed),
            closed: inbox.closed,
            cancel_all: std::mem::take(&mut inbox.cancel_all),
        }
    }

    /// How many may begin now. Where each entry is left to a kernel worker, no more than there are workers: what is
    /// on top waits in the inbox, where it can be taken back at once. The kernel's own limit does not do it, as it
    /// takes a read for one that may wait for ever, of which there may be any number.
    fn room(&self) -> usize {
        if !self.engine.has_room_for_any() {
            return 0;
        }
        if !self.mount.may_wait_for_a_server() {
            return limits::LANE_BATCH;
        }
        let left = self.workers.saturating_sub(self.engine.in_flight());
        left.min(limits::LANE_BATCH)
    }

    fn start(&mut self, taken: Taken) {
        let mut back = Vec::new();
        for entry in taken.jobs {
            let job = entry.into_job();
            if job.is_over() {
                // It was taken back while it waited.
                continue;
            }
            // The kernel takes a batch in order, and what is behind one that sleeps cannot be taken back.
            let how = job
                .mount()
                .may_wait_for_a_server()
                .then_some(OnWorker::Async);
            match self.engine.start(job.clone(), how) {
                Start::Queued(token) => {
                    job.set_user_data(token.user_data());
                    // It may have been given up before it could be known whom to cancel (INV-11).
                    if job.is_given_up() && !job.is_kept() {
                        self.engine.cancel(token.user_data());
                    }
                }
                Start::Full(job) => back.extend(RingJob::of(job).ok()),
                Start::Over(job, outcome) => job.end(outcome),
            }
        }
        self.put_back(back);
        taken
            .cancels
            .into_iter()
            .for_each(|user_data| self.engine.cancel(user_data));
        if taken.cancel_missed {
            self.engine.cancel_missed();
        }
        if taken.cancel_all {
            self.engine.cancel_all();
        }
        self.note_load();
    }

    /// What found no room waits on in the inbox. Once that is closed nobody takes from it: it goes to a thread
    /// unless the handle is closed.
    fn put_back(&self, entries: Vec<RingJob>) {
        let mut inbox = lock(&self.lane.inbox);
        if !inbox.closed {
            let back = entries.into_iter().rev();
            return back.for_each(|entry| inbox.jobs.push_front(entry));
        }
        drop(inbox);
        for entry in entries {
            entry.into_job().instead("its lane was replaced");
        }
    }

    fn submit(&mut self) -> io::Result<()> {
        self.at_storage(|engine| engine.enter(0))
    }

    /// The only place where a lane may sleep on storage, besides its wait.
    fn at_storage<T>(&mut self, f: impl FnOnce(&mut Engine<Uring>) -> T) -> T {
        self.lane
            .submitting_since
            .store(self.engine.now_ms(), Ordering::Relaxed);
        let result = f(&mut self.engine);
        self.lane.submitting_since.store(0, Ordering::Relaxed);
        result
    }

    fn reap(&mut self) -> bool {
        let reaped = self.engine.reap();
        self.armed &= !reaped.event;
        self.counters.foreign(reaped.foreign);
        let delivered = !reaped.is_empty();
        self.note_load();
        reaped.deliver();
        delivered
    }

    fn note_load(&self) {
        self.lane
            .oldest_ms
            .store(self.engine.oldest_ms(), Ordering::Relaxed);
        self.lane
            .in_flight
            .store(self.engine.in_flight(), Ordering::Relaxed);
        self.lane
            .has_missed
            .store(self.engine.has_missed(), Ordering::Relaxed);
    }

    /// Waits for a completion or a call.
    fn sleep(&mut self) -> io::Result<()> {
        if !self.armed {
            // Nothing is queued here, so there is room.
            self.armed = self
                .engine
                .push_own(&Sqe::event(&self.lane.event), Token::own(Tag::Event));
        }
        self.lane.asleep.store(true, Ordering::SeqCst);
        let called = {
            let inbox = lock(&self.lane.inbox);
            let startable = !inbox.jobs.is_empty() && self.room() > 0;
            let over = inbox.closed && self.engine.in_flight() == 0;
            let unswept = self.lane.swept.load(Ordering::SeqCst) != released::count();
            let cancels = inbox.cancel_all || inbox.cancel_missed || !inbox.cancels.is_empty();
            startable || over || unswept || cancels
        };
        let result = if called { Ok(()) } else { self.engine.enter(1) };
        self.lane.woken.fetch_add(1, Ordering::SeqCst);
        self.lane.asleep.store(false, Ordering::SeqCst);
        result
    }

    /// The ring broke: what the kernel never took goes to the pool, and so does everything from now on.
    fn break_up(&mut self, error: &io::Error) {
        let unsent = self.engine.break_up(error).deliver();
        self.lane.give_up(&self.owner, error, unsent);
    }
}
