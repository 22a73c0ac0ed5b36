//! One thread that looks at everything from outside: polls that are inside the kernel for too long,
//! lanes that sleep in a submission, pools that need threads, mounts that stall.
//!
//! It ticks while something goes on, ever more slowly while nothing changes, and sleeps without any
//! wake-up while the crate is idle.

pub(crate) mod alarm;
pub(crate) mod attempt;
pub(crate) mod bell;
pub(crate) mod gauge;
pub(crate) mod heart;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crate::base::clock::{NEVER, now_us, watchdog_is_called, watchdog_looks_by};
use crate::base::global::Global;
use crate::base::lock::lock;
use crate::base::released;
use crate::driver::job::registry::Registry;
use crate::events;
use crate::limits;
use attempt::{Polling, polling_threads};
use bell::Bell;

/// What it looks at from outside: a driver.
pub(crate) trait Watched: Send + Sync {
    /// Its operations that are not over.
    fn registry(&self) -> &Registry;

    /// How many they are.
    fn in_flight(&self) -> u64;

    /// Whether operations wait for a blocking thread.
    fn has_waiting(&self) -> bool;

    /// How soon to look at the rings of its polling threads again.
    fn look_within(&self) -> Option<Duration>;

    /// Tells of what takes long, and gives the sign of life, when either is due.
    fn beat(&self, now_us: u64);

    /// When the next of these is due.
    fn next_beat_us(&self) -> u64;

    /// Looks after rings, lanes and pools; whether anything goes on there.
    fn tick(&self) -> bool;
}

static POLLS_STUCK: AtomicU64 = AtomicU64::new(0);

/// How many polls were seen to be stuck in the process: they belong to threads and not to handles.
pub(crate) fn polls_stuck() -> u64 {
    POLLS_STUCK.load(Ordering::Relaxed)
}

#[derive(Default)]
struct Watchdog {
    /// Whether it has its thread.
    started: AtomicBool,
    drivers: Mutex<Vec<Weak<dyn Watched>>>,
    bell: Bell,
}

fn watchdog() -> &'static Watchdog {
    static WATCHDOG: Global<Watchdog> = Global::new();
    WATCHDOG.get_or_make(Watchdog::default)
}

/// Watches a driver for as long as it lives.
pub(crate) fn watch(driver: Arc<dyn Watched>) {
    lock(&watchdog().drivers).push(Arc::downgrade(&driver));
    start();
}

/// Starts the thread the first time.
fn start() {
    let watchdog = watchdog();
    let started = &watchdog.started;
    if started.load(Ordering::Acquire) || started.swap(true, Ordering::AcqRel) {
        return;
    }
    // What is let go of is seen to by rings that may have nothing else to do.
    released::listen(call);
    let builder = std::thread::Builder::new()
        .name("tidegate-watch".into())
        .stack_size(limits::FOREIGN_STACK_BYTES);
    match builder.spawn(|| watchdog.run()) {
        Ok(_) => watchdog_is_called(),
        Err(error) => {
            started.store(false, Ordering::Release);
            events::no_watchdog(&error);
        }
    }
}

/// Says that something begins. Cheap unless the watchdog sleeps.
pub(crate) fn call() {
    watchdog().bell.call();
}

/// Says that it has to look by then. Cheap unless that is before it would. There may be no driver yet: who waits for a
/// buffer has a limit, too.
pub(crate) fn call_by(due_us: u64) {
    start();
    watchdog().bell.call_by(due_us);
}

impl Watchdog {
    fn run(&self) {
        let mut seen = HashMap::new();
        let mut interval = limits::WATCHDOG_TICK;
        let mut quiet = 0;
        let mut released = released::count();
        loop {
            let mut sleeps = quiet >= limits::WATCHDOG_QUIET_TICKS;
            self.bell
                .want_calls(sleeps || interval > limits::WATCHDOG_TICK);
            // What began before it could know that it must call is seen by a last look.
            sleeps = sleeps && !self.something_goes_on() && released == released::count();
            if self.wait((!sleeps).then_some(interval)) {
                interval = limits::WATCHDOG_TICK;
                quiet = 0;
            }
            // What is let go of after the look is seen by the next, which that brings about.
            released = released::count();
            // What panics costs one look.
            let looked = catch_unwind(AssertUnwindSafe(|| {
                (look_at_polls(&mut seen), self.look_at_drivers())
            }));
            let (polled, in_flight) = looked.unwrap_or((true, true));
            quiet = if polled || in_flight { 0 } else { quiet + 1 };
            interval = if polled || !in_flight || self.something_waits() {
                limits::WATCHDOG_TICK
            } else {
                let rings = self.look_within().max(limits::WATCHDOG_TICK);
                (interval * 2).min(limits::WATCHDOG_TICK_MAX).min(rings)
            };
        }
    }

    /// Waits for the interval, or without one until called, and looks at deadlines meanwhile. Returns whether
    /// it was called.
    fn wait(&self, interval: Option<Duration>) -> bool {
        let end_us = interval.map_or(NEVER, |interval| now_us() + interval.as_micros() as u64);
        loop {
            let began_us = now_us();
            self.look_at_deadlines(began_us);
            let least_us = began_us + limits::DEADLINE_LOOK_EVERY.as_micros() as u64;
            let called = self.bell.sleep(end_us, least_us, || {
                let due_us = self.next_due_us();
                self.look_by(due_us.min(end_us).max(least_us));
                due_us
            });
            self.look_by(now_us());
            if called || now_us() >= end_us {
                return called;
            }
        }
    }

    /// Says when it looks next. If it was late, moments of the system's clock may have come meanwhile.
    fn look_by(&self, next_us: u64) {
        if watchdog_looks_by(next_us) {
            alarm::stir();
        }
    }

    /// Gives up on what is due, and gives the signs of life. Whatever panics there costs no other.
    fn look_at_deadlines(&self, now_us: u64) {
        for driver in self.drivers() {
            let mut looked_at = Vec::new();
            for job in driver.registry().take_due(now_us) {
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    if job.expire(now_us) {
                        looked_at.push(job);
                    }
                }));
            }
            gauge::ask(looked_at);
            let _ = catch_unwind(AssertUnwindSafe(|| driver.beat(now_us)));
        }
        alarm::ring(now_us);
    }

    fn next_due_us(&self) -> u64 {
        let drivers = self.drivers();
        let busy = drivers.iter().filter(|driver| driver.in_flight() > 0);
        let due = busy.map(|driver| driver.registry().next_us());
        // Also of those that have just become idle, which have one more beat.
        let beats = drivers.iter().map(|driver| driver.next_beat_us());
        let due = due.chain(beats);
        due.min().unwrap_or(NEVER).min(alarm::next_us())
    }

    /// Whether anything waits for a thread that only a tick gives it.
    fn something_waits(&self) -> bool {
        self.drivers().iter().any(|driver| driver.has_waiting())
    }

    /// How soon to look at the rings of polling threads again, which may have nobody else.
    fn look_within(&self) -> Duration {
        let drivers = self.drivers();
        let within = drivers.iter().filter_map(|driver| driver.look_within());
        within.min().unwrap_or(limits::WATCHDOG_TICK_MAX)
    }

    fn drivers(&self) -> Vec<Arc<dyn Watched>> {
        let mut drivers = lock(&self.drivers);
        drivers.retain(|driver| driver.strong_count() > 0);
        drivers.iter().filter_map(Weak::upgrade).collect()
    }

    fn something_goes_on(&self) -> bool {
        let in_flight = |driver: &Arc<dyn Watched>| driver.in_flight() > 0;
        self.drivers().iter().any(in_flight)
            || alarm::are_set()
            || polling_threads().iter().any(|thread| thread.is_inside())
    }

    fn look_at_drivers(&self) -> bool {
        // Whoever waits for nothing but a moment has to know how much of the time until then was lost.
        let mut active = alarm::are_set();
        for driver in self.drivers() {
            // Every driver is ticked, whatever the others say.
            active |= driver.tick();
            active |= driver.in_flight() > 0;
        }
        active
    }
}

/// Looks at every polling thread; returns whether any of them made an attempt since the last look.
fn look_at_polls(seen: &mut HashMap<*const Polling, (u64, u32)>) -> bool {
    let ticks_allowed =
        (limits::POLL_STUCK_AFTER.as_millis() / limits::WATCHDOG_TICK.as_millis()) as u32;
    let threads = polling_threads();
    seen.retain(|known, _| {
        threads
            .iter()
            .any(|thread| std::ptr::from_ref(*thread) == *known)
    });
    let mut polled = false;
    for thread in &threads {
        let sequence = thread.sequence();
        let (last, ticks) = seen
            .entry(std::ptr::from_ref(*thread))
            .or_insert((sequence, 0));
        if *last != sequence {
            (*last, *ticks) = (sequence, 0);
            polled = true;
        } else if sequence % 2 == 1 {
            *ticks += 1;
            polled = true;
            if *ticks == ticks_allowed {
                if thread.sleeps() {
                    report_stuck_poll(thread);
                } else {
                    // It only waits for a processor: looked at again at the next tick.
                    *ticks -= 1;
                }
            }
        }
    }
    polled
}

fn report_stuck_poll(thread: &Polling) {
    if let Some(mount) = thread.mount() {
        mount.mark_stalled();
    }
    POLLS_STUCK.fetch_add(1, Ordering::Relaxed);
    events::report(events::poll_stuck);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::simulated::NOW_US;

    /// Late, it finds a clock that stands, and has to come all the same: nobody else sets it going.
    #[test]
    fn it_comes_although_the_clock_stands() {
        NOW_US.set(Some(1_000));
        let called = Bell::new().sleep(6_000, 0, || NEVER);
        NOW_US.set(None);
        assert!(!called);
    }
}
