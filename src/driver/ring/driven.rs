//! Whether anybody drives the runtime that a ring belongs to.
//!
//! The watchdog asks it by waking the ring's task. A runtime whose thread is parked elsewhere, or is inside code of the
//! user's, does not run it; its ring is then left alone for a while, as lanes need nobody.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use crate::base::clock::now_us;
use crate::base::lock::lock;
use crate::limits;

/// See the module.
#[derive(Default)]
pub(crate) struct Driven {
    /// How often the task was polled.
    polls: AtomicU64,
    /// The task's waker, while it waits.
    waker: Mutex<Option<Waker>>,
    asked: Mutex<Asked>,
    /// Until when the ring is left alone, in microseconds; zero for not.
    rests_until_us: AtomicU64,
    /// How long it is the next time, in microseconds; zero for the first.
    next_rest_us: AtomicU64,
}

/// What was asked and not answered.
#[derive(Default)]
struct Asked {
    /// When; zero while nothing is.
    at_us: u64,
    /// How often the task had been polled.
    polls: u64,
}

impl Driven {
    /// The task is polled.
    pub(crate) fn note(&self, waker: &Waker) {
        self.polls.fetch_add(1, Ordering::Relaxed);
        let mut place = lock(&self.waker);
        match &mut *place {
            Some(known) => known.clone_from(waker),
            None => *place = Some(waker.clone()),
        }
    }

    /// The task is gone, and with it its runtime, which its waker would keep.
    pub(crate) fn forget(&self) {
        lock(&self.waker).take();
    }

    /// The task has something to do, and does it.
    pub(crate) fn works(&self) {
        self.next_rest_us.store(0, Ordering::Relaxed);
    }

    pub(crate) fn rests(&self) -> bool {
        match self.rests_until_us.load(Ordering::Relaxed) {
            0 => false,
            until_us if now_us() < until_us => true,
            _ => {
                self.rests_until_us.store(0, Ordering::Relaxed);
                false
            }
        }
    }

    /// Something is over that the task has not reaped: is it asleep, or slow?
    pub(crate) fn ask(&self) {
        let waker = lock(&self.waker).clone();
        let Some(waker) = waker else { return };
        let mut asked = lock(&self.asked);
        if asked.at_us == 0 {
            *asked = Asked {
                at_us: now_us(),
                polls: self.polls.load(Ordering::Relaxed),
            };
            drop(asked);
            waker.wake();
        }
    }

    /// Looks for the answer.
    pub(crate) fn look(&self) {
        let mut asked = lock(&self.asked);
        if asked.at_us == 0 {
            return;
        }
        if self.polls.load(Ordering::Relaxed) != asked.polls {
            asked.at_us = 0;
        } else if now_us().saturating_sub(asked.at_us) >= limits::UNDRIVEN_AFTER.as_micros() as u64
        {
            asked.at_us = 0;
            drop(asked);
            self.rest();
        }
    }

    fn rest(&self) {
        let least_us = limits::UNDRIVEN_REST.as_micros() as u64;
        let most_us = limits::UNDRIVEN_REST_MAX.as_micros() as u64;
        let rest_us = self
            .next_rest_us
            .load(Ordering::Relaxed)
            .clamp(least_us, most_us);
        self.next_rest_us.store(rest_us * 2, Ordering::Relaxed);
        self.rests_until_us
            .store(now_us() + rest_us, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::simulated::NOW_US;
    use std::time::Duration;

    fn at(ms: u64) {
        NOW_US.set(Some(ms * 1000));
    }

    /// A ring whose task does not run is left alone, longer each time, until the task works again.
    #[test]
    fn a_ring_that_nobody_drives_rests() {
        let driven = Driven::default();
        at(1);
        driven.ask();
        driven.look();
        assert!(!driven.rests(), "there is no task yet");
        driven.note(Waker::noop());
        let mut now = 1;
        for rest in [1000, 2000, 4000] {
            at(now);
            driven.ask();
            at(now + 49);
            driven.look();
            assert!(!driven.rests(), "it may only be slow");
            at(now + 50);
            driven.look();
            assert!(driven.rests());
            at(now + 50 + rest - 1);
            assert!(driven.rests());
            now += 50 + rest;
            at(now);
            assert!(!driven.rests());
        }
        driven.works();
        driven.ask();
        at(now + 50);
        driven.look();
        at(now + 50 + limits::UNDRIVEN_REST.as_millis() as u64);
        assert!(!driven.rests(), "it begins anew");
    }

    /// One that is polled in time is driven.
    #[test]
    fn a_task_that_is_polled_answers() {
        let driven = Driven::default();
        driven.note(Waker::noop());
        at(1);
        driven.ask();
        at(40);
        driven.note(Waker::noop());
        at(1 + Duration::from_secs(1).as_millis() as u64);
        driven.look();
        assert!(!driven.rests());
    }
}
