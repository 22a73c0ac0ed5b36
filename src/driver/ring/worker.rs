//! The ring of a polling thread: only for submissions that cannot sleep, so that nobody who holds its
//! lock ever does.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;

use crate::base::clock::coarse_ms;
use crate::base::lock::lock;
use crate::driver::job::RingJob;
use crate::driver::job::load::{OnWorker, Share};
use crate::driver::job::way::Way;
use crate::driver::ring::driven::Driven;
use crate::driver::ring::engine::{Broken, Engine, Reaped, Start};
use crate::driver::ring::helpers::help;
use crate::driver::watchdog::attempt::polling_threads;
use crate::events;
use crate::limits;
use crate::mounts::Mount;
use crate::observe::{self, SharedCounters};
use crate::sys::linux::reactor;
use crate::sys::linux::uring::{Issuer, Uring};
use crate::sys::thread;

/// A ring that submits on whichever thread polls, and reaps when the runtime's reactor says so, or, where nobody
/// drives the runtime, when the watchdog sees that something is over.
pub(crate) struct Worker {
    engine: Mutex<Engine<Uring>>,
    in_flight: AtomicUsize,
    /// When the youngest operation was started, in coarse milliseconds.
    youngest_ms: AtomicU64,
    driven: Driven,
    /// A helper is about to reap.
    helped: AtomicBool,
    /// An operation that the kernel serialises has been in flight for too long.
    serial_stuck: AtomicBool,
    /// Takes no more operations: closed, or its ring broke.
    closed: AtomicBool,
    /// Cancels that found the ring in use.
    cancels: Mutex<Vec<u64>>,
    number: RawFd,
    counters: SharedCounters,
}

/// Marks the mounts of what is old, unless that may only wait for a processor.
fn mark_slow(slow: Vec<(u64, Arc<Mount>)>) {
    if slow.is_empty() {
        return;
    }
    let submitters: Vec<_> = polling_threads().iter().map(|one| one.thread()).collect();
    for (age_ms, mount) in slow {
        if !thread::may_be_starved(age_ms, &submitters) {
            mount.mark_stalled();
        }
    }
}

impl Worker {
    /// Makes a ring and registers it with the runtime of the calling thread, which has an I/O driver. `None`
    /// without a ring: lanes do everything then.
    pub(crate) fn register(counters: &SharedCounters) -> Option<Arc<Worker>> {
        let ring = Uring::new(Issuer::Worker, counters.buffer_groups.enrol()).ok()?;
        // A descriptor of its own for the reactor, which outlives neither more nor less than its task.
        let descriptor = ring.fd().try_clone_to_owned().ok()?;
        let number = ring.fd().as_raw_fd();
        let worker = Arc::new(Worker {
            engine: Mutex::new(Engine::new(
                ring,
                counters.clone(),
                limits::KERNEL_WORKERS_MAX,
            )),
            in_flight: AtomicUsize::new(0),
            youngest_ms: AtomicU64::new(0),
            driven: Driven::default(),
            helped: AtomicBool::new(false),
            serial_stuck: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            cancels: Mutex::default(),
            number,
            counters: counters.clone(),
        });
        let readable = reactor::register(descriptor)?;
        tokio::spawn(drive(Driving(worker.clone()), readable));
        Some(worker)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it is left alone for a while, as nobody drives its runtime.
    pub(crate) fn rests(&self) -> bool {
        self.driven.rests()
    }

    /// How soon the watchdog is to look again.
    pub(crate) fn look_within(&self) -> Option<Duration> {
        let age_ms = coarse_ms().saturating_sub(self.youngest_ms.load(Ordering::Relaxed));
        (self.in_flight() > 0).then(|| Duration::from_millis(age_ms) / limits::RING_LOOK_PART)
    }

    /// Whether writes had better go elsewhere, lest the kernel queues them behind one that is stuck.
    pub(crate) fn is_serial_stuck(&self) -> bool {
        self.serial_stuck.load(Ordering::Relaxed)
    }

    /// Submits an operation; back to the caller if the ring has no room for it.
    pub(crate) fn start(self: &Arc<Self>, entry: RingJob, how: OnWorker) -> Result<(), RingJob> {
        entry.job().set_way(self.clone());
        let mut engine = lock(&self.engine);
        // Asked under the lock: what is in before `close` has it is seen there, and nothing comes after.
        if self.closed.load(Ordering::Acquire) {
            return Err(entry);
        }
        let job = entry.job().clone();
        match engine.start(job.clone(), Some(how)) {
            Start::Queued(token) => {
                job.set_user_data(token.user_data());
                // It may have been given up before it could be known whom to cancel (INV-11).
                if job.is_given_up() && !job.is_kept() {
                    engine.cancel(token.user_data());
                }
            }
            Start::Full(_) => return Err(entry),
            Start::Over(job, outcome) => {
                drop(engine);
                job.end(outcome);
                return Ok(());
            }
        }
        self.youngest_ms.store(job.started_ms(), Ordering::Relaxed);
        drop((job, entry));
        self.turn(engine);
        Ok(())
    }

    /// Enters the ring once, reaps, and ends what is over without the lock.
    fn turn(&self, mut engine: std::sync::MutexGuard<'_, Engine<Uring>>) {
        for user_data in std::mem::take(&mut *lock(&self.cancels)) {
            engine.cancel(user_data);
        }
        engine.sweep();
        let result = engine.enter(0);
        let reaped = engine.reap();
        self.counters.foreign(reaped.foreign);
        let broken = result.err().map(|error| {
            self.closed.store(true, Ordering::Release);
            engine.break_up(&error)
        });
        self.in_flight.store(engine.in_flight(), Ordering::Relaxed);
        drop(engine);
        reaped.deliver();
        for job in broken.into_iter().flat_map(Broken::deliver) {
            job.instead("the ring broke");
        }
    }

    fn reap(&self) -> Reaped {
        let mut engine = lock(&self.engine);
        let reaped = engine.reap();
        self.counters.foreign(reaped.foreign);
        self.in_flight.store(engine.in_flight(), Ordering::Relaxed);
        reaped
    }

    /// Looks for what takes too long, enters again if the kernel had no room for an entry, and has reaped what is
    /// over; nobody else may. Returns whether anything is in flight.
    pub(crate) fn tick(self: &Arc<Self>) -> bool {
        self.driven.look();
        let (mut is_wanted, mut slow) = (false, Vec::new());
        if let Ok(mut engine) = self.engine.try_lock() {
            self.serial_stuck
                .store(engine.look_at_old(&mut slow), Ordering::Relaxed);
            engine.sweep();
            engine.cancel_missed();
            let is_over = engine.has_completions();
            is_wanted = is_over || engine.has_queued() || !lock(&self.cancels).is_empty();
            drop(engine);
            if is_over {
                // Any of these may be among it.
                slow.clear();
                self.driven.ask();
            }
        }
        mark_slow(slow);
        // On another thread: what is over wakes and drops what is other people's.
        if is_wanted && !self.helped.swap(true, Ordering::AcqRel) {
            let worker = self.clone();
            help(move || {
                worker.helped.store(false, Ordering::Release);
                worker.turn(lock(&worker.engine));
            });
        }
        self.in_flight() > 0
    }

    /// Cancels everything and waits for the completions on a thread of its own: the ring and what the
    /// kernel holds are freed only after the last of them (INV-7).
    pub(crate) fn close(self: &Arc<Self>) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut engine = lock(&self.engine);
        if engine.in_flight() == 0 {
            return;
        }
        engine.cancel_all();
        self.turn(engine);
        if self.in_flight() == 0 {
            return;
        }
        let worker = self.clone();
        let builder = std::thread::Builder::new()
            .name("tidegate-drain".into())
            .stack_size(limits::FOREIGN_STACK_BYTES);
        if builder.spawn(move || worker.drain()).is_err() {
            // Without a thread to wait, the memory stays for ever.
            std::mem::forget(self.clone());
        }
    }

    fn drain(&self) {
        let began = Instant::now();
        let mut told = false;
        while self.in_flight() > 0 {
            if !told && began.elapsed() > limits::DRAIN_BOUND {
                told = true;
                let in_flight = self.in_flight();
                events::report(move || events::left_behind(in_flight));
            }
            // Not longer, as whoever drops a future meanwhile may reap the last completion.
            let wait = began.elapsed() / limits::RING_LOOK_PART;
            let wait = wait.clamp(limits::DRAIN_LOOK_EVERY, limits::DRAIN_BOUND / 2);
            crate::sys::linux::poll::readable(self.number, wait);
            let mut engine = lock(&self.engine);
            engine.cancel_missed();
            self.turn(engine);
        }
    }
}

impl Way for Worker {
    fn name(&self) -> observe::Way {
        observe::Way::WorkerRing
    }

    fn share(&self) -> Share {
        Share::Other
    }

    /// Now or, if the ring is in use, at the next turn or tick.
    fn cancel(&self, user_data: u64) {
        if user_data == 0 {
            return;
        }
        lock(&self.cancels).push(user_data);
        if let Ok(engine) = self.engine.try_lock() {
            self.turn(engine);
        }
    }
}

/// Reaps whenever the reactor sees a completion. Ends with the runtime.
async fn drive(driving: Driving, readable: AsyncFd<OwnedFd>) -> io::Result<()> {
    poll_fn(|cx| driving.0.poll_drive(cx, &readable)).await
}

/// Held by the task of a ring, and so dropped with it.
struct Driving(Arc<Worker>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.driven.forget();
    }
}

impl Worker {
    fn poll_drive(
        &self,
        cx: &mut Context<'_>,
        readable: &AsyncFd<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        self.driven.note(cx.waker());
        loop {
            let mut guard = ready!(readable.poll_read_ready(cx))?;
            // Cleared first: a completion that comes after the reap makes it readable again.
            guard.clear_ready();
            let reaped = self.reap();
            if !reaped.is_empty() {
                self.driven.works();
            }
            reaped.deliver();
        }
    }
}
