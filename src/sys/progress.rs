//! Waiting a little for something that a thread does: not while that sleeps in the kernel, which a disk may make it do
//! for ever, but while it, or what it waits for first, only lacks a processor.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::thread::{self, Sight};
use crate::base::clock::now_us;
use crate::base::lock::{lock, wait_timeout};
use crate::limits;

/// Nobody is at it yet.
const NOBODY: i32 = 0;
/// A thread has it and waits for others, none of which is asleep on storage.
const FOR_OTHERS: i32 = -1;

/// How far a thread has come with something.
#[derive(Default)]
pub(crate) struct Progress {
    /// The thread that is at it, or one of the above.
    thread: AtomicI32,
    over: Mutex<bool>,
    bell: Condvar,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Over,
    /// Storage, or what goes on there, takes its time.
    Slow,
    /// Nothing is known but that nobody got a processor for very long.
    Starved,
}

impl Progress {
    /// The calling thread first waits for other threads.
    pub(crate) fn wait_for_others(&self) {
        self.thread.store(FOR_OTHERS, Ordering::Relaxed);
    }

    /// The calling thread begins.
    pub(crate) fn begin(&self) {
        // Where threads have no numbers, it is one that cannot be looked at.
        let number = thread::current().max(1);
        self.thread.store(number, Ordering::Relaxed);
    }

    /// It is over.
    pub(crate) fn end(&self) {
        *lock(&self.over) = true;
        self.bell.notify_all();
    }

    /// Waits for the end. After each millisecond it gives up if the thread is stuck, or has not begun and will not soon.
    pub(crate) fn wait(&self, is_held_up: impl Fn() -> bool) -> Waited {
        // The time that the process was stopped does not count.
        let (began_us, mut first) = (now_us(), None);
        loop {
            if self.wait_once(limits::CLOSE_WAIT) {
                return Waited::Over;
            }
            let waited = Duration::from_micros(now_us().saturating_sub(began_us));
            let is_slow = match self.thread.load(Ordering::Relaxed) {
                NOBODY => is_held_up(),
                FOR_OTHERS => false,
                at_it => self.is_slow(at_it, waited, &mut first),
            };
            let ended = match is_slow {
                true => Waited::Slow,
                false if waited >= limits::CLOSE_WAIT_MAX => Waited::Starved,
                false => continue,
            };
            return if *lock(&self.over) {
                Waited::Over
            } else {
                ended
            };
        }
    }

    /// Whether the thread sleeps without moving, or moves and takes too long all the same.
    fn is_slow(&self, at_it: i32, waited: Duration, first: &mut Option<Sight>) -> bool {
        let Some(now) = thread::look(at_it) else {
            return waited >= limits::CLOSE_WAIT_UNSEEN;
        };
        let ran = now.ticks - first.get_or_insert(now).ticks;
        if ran >= limits::CLOSE_TICKS_MAX {
            return true;
        }
        now.sleeps() && (waited >= limits::CLOSE_WAIT_MOVING || self.stays_asleep(at_it))
    }

    /// Whether it is in the same sleep a moment later.
    fn stays_asleep(&self, at_it: i32) -> bool {
        let turns = thread::turns(at_it);
        if self.wait_once(limits::CLOSE_LOOK_AGAIN) {
            return false;
        }
        thread::turns(at_it) == turns && thread::sleeps(at_it)
    }

    fn wait_once(&self, bound: Duration) -> bool {
        let until = Instant::now() + bound;
        let mut over = lock(&self.over);
        while !*over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            over = wait_timeout(&self.bell, over, left).0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    #[test]
    fn an_end_is_waited_for() {
        let progress = Arc::new(Progress::default());
        let other = progress.clone();
        let thread = std::thread::spawn(move || {
            other.begin();
            other.end();
        });
        assert_eq!(progress.wait(|| false), Waited::Over);
        thread.join().unwrap();
        assert_eq!(progress.wait(|| true), Waited::Over);
    }

    /// Neither for a thread that sleeps nor for one that cannot begin, however long the whole may take.
    #[test]
    fn a_sleeper_is_not_waited_for() {
        let progress = Arc::new(Progress::default());
        assert_eq!(progress.wait(|| true), Waited::Slow);
        let (other, (stop, stopped)) = (progress.clone(), channel::<()>());
        let thread = std::thread::spawn(move || {
            other.begin();
            stopped.recv().unwrap_err();
        });
        assert_eq!(progress.wait(|| false), Waited::Slow);
        drop(stop);
        thread.join().unwrap();
    }

    /// Nobody has begun, or who has waits for others: that is no storage, however many looks it takes.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_waits_for_a_processor_is_waited_for() {
        let progress = Arc::new(Progress::default());
        let (other, (go, gone)) = (progress.clone(), channel::<()>());
        let thread = std::thread::spawn(move || {
            gone.recv().unwrap();
            other.wait_for_others();
            gone.recv().unwrap();
            other.end();
        });
        // Far more looks than the bound that once was.
        let looks = std::cell::Cell::new(0);
        let waited = progress.wait(|| {
            looks.set(looks.get() + 1);
            if looks.get() == 100 {
                go.send(()).unwrap();
                // It is asleep in what it waits for, which is seen as no storage.
                go.send(()).unwrap();
            }
            false
        });
        assert_eq!(waited, Waited::Over);
        thread.join().unwrap();
    }
}
