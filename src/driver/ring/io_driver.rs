//! Whether a runtime has an I/O driver, without which nobody would hear of a worker ring's completions.
//!
//! tokio answers that question by a panic alone, which ends a process that was built so. So the runtime is seen at
//! work: a worker of it that is parked, and sleeps in epoll, has one. Tasks of ours tell which threads are workers;
//! that they are parked, tokio's own counters do, so that code of the user's that waits in epoll of its own is not
//! taken for it. Until it was seen, and where `/proc` is hidden, lanes do everything.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use tokio::runtime;

use crate::base::clock::now_us;
use crate::base::lock::lock;
use crate::limits;
use crate::sys::linux::reactor::{Asleep, asleep};
use crate::sys::thread;

const UNKNOWN: u8 = 0;
const THERE: u8 = 1;
/// Or it could not be seen for so long that nobody looks any more.
const ABSENT: u8 = 2;

/// A thread, and by number which workers of the runtime it may be.
#[derive(Clone, Copy, Debug)]
struct Seen {
    thread: i32,
    may_be: u64,
}

/// The threads that tasks of ours ran on since the last roll call.
type Roll = Mutex<Vec<Seen>>;

struct Watched {
    runtime: runtime::Handle,
    roll: Arc<Roll>,
    called_us: u64,
    calls: u32,
    /// How often a worker was parked and not in epoll, since the last call.
    misses: u32,
}

/// See the module.
pub(crate) struct IoDriver {
    state: AtomicU8,
    watched: Mutex<Option<Watched>>,
}

impl IoDriver {
    /// Of no runtime.
    pub(crate) fn none() -> IoDriver {
        IoDriver {
            state: AtomicU8::new(ABSENT),
            watched: Mutex::new(None),
        }
    }

    pub(crate) fn of(runtime: &runtime::Handle) -> IoDriver {
        IoDriver {
            state: AtomicU8::new(UNKNOWN),
            watched: Mutex::new(Some(Watched {
                runtime: runtime.clone(),
                roll: Arc::default(),
                called_us: 0,
                calls: 0,
                misses: 0,
            })),
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.state.load(Ordering::Acquire) == THERE
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::Relaxed) == UNKNOWN
    }

    fn settle(&self, state: u8, watched: &mut Option<Watched>) {
        self.state.store(state, Ordering::Release);
        *watched = None;
    }

    /// Nobody wants to know any more.
    pub(crate) fn close(&self) {
        let mut watched = lock(&self.watched);
        if self.is_open() {
            self.settle(ABSENT, &mut watched);
        }
    }

    /// Somebody wants to know: calls the roll, if that was not done just now.
    pub(crate) fn ask(&self) {
        let Ok(mut watched) = self.watched.try_lock() else {
            return;
        };
        let Some(of) = &mut *watched else { return };
        let now_us = now_us();
        let every_us = limits::ROLL_CALL_EVERY.as_micros() as u64 * u64::from(of.calls);
        if of.calls > 0 && now_us < of.called_us.saturating_add(every_us) {
            return;
        }
        if of.calls >= limits::ROLL_CALLS_MAX {
            return self.settle(ABSENT, &mut watched);
        }
        of.calls += 1;
        of.called_us = now_us;
        of.call_roll();
    }

    /// Looks whether it is to be seen now. For other threads than the runtime's own, which are not parked while
    /// they ask.
    pub(crate) fn look(&self) {
        if !self.is_open() {
            return;
        }
        let Ok(mut watched) = self.watched.try_lock() else {
            return;
        };
        let Some(of) = &mut *watched else { return };
        if of.is_seen() {
            self.settle(THERE, &mut watched);
        } else if of.is_alone() && of.misses >= limits::IO_DRIVER_MISSES_MAX {
            self.settle(ABSENT, &mut watched);
        }
    }
}

impl Watched {
    /// Whether its only worker was seen, which has the I/O driver or nobody has.
    fn is_alone(&self) -> bool {
        self.workers() == 1 && lock(&self.roll).len() == 1
    }

    fn workers(&self) -> usize {
        match self.runtime.runtime_flavor() {
            runtime::RuntimeFlavor::CurrentThread => 1,
            _ => self.runtime.metrics().num_workers(),
        }
    }

    /// Sends a task to each worker, some of which may be asleep: each waits for the others for a moment, so that they
    /// get round.
    fn call_roll(&mut self) {
        let workers = self.workers().min(limits::WORKER_RINGS_MAX);
        self.misses = 0;
        self.roll = Arc::default();
        let end_us = now_us() + limits::ROLL_CALL_LASTS.as_micros() as u64;
        for _ in 0..workers {
            let (roll, runtime) = (self.roll.clone(), self.runtime.clone());
            self.runtime.spawn(async move {
                answer(&roll, active(&runtime));
                // Not given way to tasks: each worker is to have one of these.
                while lock(&roll).len() < workers && now_us() < end_us {
                    std::thread::yield_now();
                }
            });
        }
    }

    /// Whether a worker is parked in epoll. It may have left the thread since the roll call, if a task blocks in
    /// place there or another thread drives the runtime now, so a roll is soon too old.
    fn is_seen(&mut self) -> bool {
        let until_us = self.called_us + limits::ROLL_CALL_EVERY.as_micros() as u64;
        let is_tired = self.misses >= limits::IO_DRIVER_MISSES_MAX;
        if self.calls == 0 || is_tired || now_us() > until_us {
            return false;
        }
        for seen in lock(&self.roll).iter() {
            let Some(before) = parked(&self.runtime, seen.may_be) else {
                continue;
            };
            let place = asleep(seen.thread);
            if parked(&self.runtime, seen.may_be) != Some(before) {
                continue;
            }
            match place {
                Asleep::InEpoll => return true,
                Asleep::Elsewhere => self.misses += 1,
                Asleep::No => {}
            }
        }
        false
    }
}

/// Notes that a worker runs on this thread, one of those that are active.
fn answer(roll: &Roll, active: u64) {
    let thread = thread::current();
    let mut roll = lock(roll);
    match roll.iter_mut().find(|seen| seen.thread == thread) {
        Some(seen) => seen.may_be &= active,
        None => roll.push(Seen {
            thread,
            may_be: active,
        }),
    }
}

/// How often a worker was parked and woken: odd while it is parked.
#[cfg(target_has_atomic = "64")]
fn turns(metrics: &runtime::RuntimeMetrics, worker: usize) -> u64 {
    metrics.worker_park_unpark_count(worker)
}

/// Nobody counts it there.
#[cfg(not(target_has_atomic = "64"))]
fn turns(_metrics: &runtime::RuntimeMetrics, _worker: usize) -> u64 {
    0
}

/// The workers that are not parked, of the first 64.
fn active(runtime: &runtime::Handle) -> u64 {
    let metrics = runtime.metrics();
    let workers = 0..metrics.num_workers().min(64);
    let active = workers.filter(|worker| turns(&metrics, *worker) % 2 == 0);
    active.fold(0, |mask, worker| mask | 1 << worker)
}

/// How often these workers have turned, if all of them are parked.
fn parked(runtime: &runtime::Handle, mask: u64) -> Option<u64> {
    let metrics = runtime.metrics();
    let mut sum = 0_u64;
    for worker in (0..64).filter(|worker| mask >> worker & 1 != 0) {
        let turns = turns(&metrics, worker);
        if turns % 2 == 0 {
            return None;
        }
        sum = sum.wrapping_add(turns);
    }
    (mask != 0).then_some(sum)
}
