//! The heartbeat of a handle, and the look at what takes long: when they are due, and how a beat gets to
//! those who listen.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::base::clock::NEVER;
use crate::base::fork::Born;
use crate::base::lock::{lock, wait_timeout};
use crate::limits;
use crate::observe::Heartbeat;

/// Something to be done every interval while operations are in flight. No clock is read here.
struct Pulse {
    interval_us: u64,
    /// When it is due; [`NEVER`] while nothing is in flight.
    next_us: u64,
    /// Whether it was done since something is in flight.
    done: bool,
}

impl Pulse {
    fn new(interval: Duration) -> Pulse {
        Pulse {
            interval_us: u64::try_from(interval.as_micros()).unwrap_or(NEVER),
            next_us: NEVER,
            done: false,
        }
    }

    /// Whether it is to be done now: an interval after something began, every interval from then on, and once
    /// more when all is over. What is over within an interval leaves no trace.
    fn is_due(&mut self, in_flight: bool, now_us: u64) -> bool {
        if !in_flight {
            self.next_us = NEVER;
            return std::mem::take(&mut self.done);
        }
        let is_due = self.next_us <= now_us;
        if is_due || self.next_us == NEVER {
            self.next_us = now_us.saturating_add(self.interval_us);
        }
        self.done |= is_due;
        is_due
    }
}

/// What is to be done at a tick.
pub(crate) struct Due {
    /// Look for operations that take long.
    pub(crate) look: bool,
    /// Tell the listeners.
    pub(crate) beat: bool,
}

/// See the module.
pub(crate) struct Heart {
    born: Born,
    beats: Mutex<Pulse>,
    looks: Mutex<Pulse>,
    /// When the next of both is due, in microseconds.
    next_us: AtomicU64,
    /// When the last beat was made, and what walks had found then.
    last: Mutex<Option<(u64, u64)>>,
    outlet: Arc<Outlet>,
}

impl Heart {
    pub(crate) fn new(interval: Duration, warn_after: Duration) -> Heart {
        Heart {
            born: Born::here(),
            beats: Mutex::new(Pulse::new(interval)),
            looks: Mutex::new(Pulse::new(warn_after.min(interval))),
            next_us: AtomicU64::new(NEVER),
            last: Mutex::default(),
            outlet: Arc::default(),
        }
    }

    pub(crate) fn listen(&self) -> watch::Receiver<Heartbeat> {
        self.outlet.channel.subscribe()
    }

    /// What is to be done now. Beats are made only for listeners.
    pub(crate) fn tick(&self, in_flight: bool, now_us: u64) -> Due {
        let (mut beats, mut looks) = (lock(&self.beats), lock(&self.looks));
        let due = Due {
            look: looks.is_due(in_flight, now_us) && in_flight,
            beat: beats.is_due(in_flight, now_us) && self.outlet.channel.receiver_count() > 0,
        };
        self.next_us
            .store(beats.next_us.min(looks.next_us), Ordering::SeqCst);
        due
    }

    /// When there is something to do at the earliest, as of the last tick.
    pub(crate) fn next_us(&self) -> u64 {
        self.next_us.load(Ordering::SeqCst)
    }

    /// With what walks have found, as of now. The first has no beat before it, and is an interval after something began.
    pub(crate) fn rated(&self, heartbeat: Heartbeat, entries: u64, now_us: u64) -> Heartbeat {
        let interval_us = lock(&self.beats).interval_us;
        let before = lock(&self.last).replace((now_us, entries));
        let (then_us, before) = before.unwrap_or((now_us.saturating_sub(interval_us), 0));
        let since = Duration::from_micros(now_us.saturating_sub(then_us));
        heartbeat.with_entries(entries, before, since)
    }

    /// Does not wait for any listener.
    pub(crate) fn beat(&self, heartbeat: Heartbeat) {
        self.outlet.put(heartbeat);
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        // The parent's thread tells the parent's listeners.
        if self.born.is_of_parent() {
            return;
        }
        lock(&self.outlet.next).closed = true;
        self.outlet.bell.notify_one();
    }
}

/// Where heartbeats leave for their listeners. A listener that keeps a reference into the channel blocks
/// whoever sends: that must not be the watchdog, which keeps the deadlines. So a thread of its own sends, and
/// what is not sent yet is replaced.
#[derive(Default)]
struct Outlet {
    channel: watch::Sender<Heartbeat>,
    next: Mutex<Next>,
    bell: Condvar,
}

#[derive(Default)]
struct Next {
    heartbeat: Option<Heartbeat>,
    beats: u64,
    /// Whether there is a thread.
    alive: bool,
    /// Whether the handle is gone, and the listeners are to hear of it.
    closed: bool,
}

impl Outlet {
    fn put(self: &Arc<Self>, heartbeat: Heartbeat) {
        let mut next = lock(&self.next);
        next.beats += 1;
        let beat = next.beats;
        next.heartbeat = Some(Heartbeat { beat, ..heartbeat });
        if next.alive {
            return self.bell.notify_one();
        }
        next.alive = true;
        drop(next);
        let outlet = self.clone();
        let builder = std::thread::Builder::new()
            .name("tidegate-beat".into())
            .stack_size(limits::FOREIGN_STACK_BYTES);
        if builder.spawn(move || outlet.run()).is_err() {
            // Tried again at the next beat.
            lock(&self.next).alive = false;
        }
    }

    fn run(&self) {
        while let Some(heartbeat) = self.take() {
            // A listener whose waker panics costs this beat.
            let _ = catch_unwind(AssertUnwindSafe(|| self.channel.send_replace(heartbeat)));
        }
    }

    /// The next beat; `None` when there was none for so long that the thread had better end.
    fn take(&self) -> Option<Heartbeat> {
        let mut next = lock(&self.next);
        loop {
            if let Some(heartbeat) = next.heartbeat.take() {
                return Some(heartbeat);
            }
            if next.closed {
                return None;
            }
            let (guard, timed_out) = wait_timeout(&self.bell, next, limits::HEART_IDLE);
            next = guard;
            if timed_out && next.heartbeat.is_none() {
                next.alive = false;
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_micros(100);

    /// Nothing while idle, a beat every interval, one when all is over; what is quick leaves no trace.
    #[test]
    fn it_beats_while_something_is_in_flight_and_once_more() {
        let mut pulse = Pulse::new(EVERY);
        let script = [
            (0, false, false),
            (10, true, false),
            (60, false, false),
            (70, true, false),
            (169, true, false),
            (170, true, true),
            (269, true, false),
            (300, true, true),
            (399, true, false),
            (400, true, true),
            (410, false, true),
            (600, false, false),
            (700, true, false),
        ];
        for (now_us, in_flight, expected) in script {
            assert_eq!(pulse.is_due(in_flight, now_us), expected, "at {now_us}");
            assert_eq!(pulse.next_us == NEVER, !in_flight);
        }
    }

    /// Without listeners no beat is made; the look at what takes long has its own pace.
    #[test]
    fn beats_are_for_listeners_and_looks_are_not() {
        let heart = Heart::new(EVERY, EVERY / 2);
        heart.tick(true, 0);
        assert_eq!(heart.next_us(), 50);
        let due = heart.tick(true, 100);
        assert!(due.look && !due.beat);
        let listener = heart.listen();
        let due = heart.tick(true, 200);
        assert!(due.look && due.beat);
        drop(listener);
        let due = heart.tick(false, 201);
        assert!(!due.look && !due.beat);
        assert_eq!(heart.next_us(), NEVER);
    }

    /// A listener that holds on to a beat blocks nobody who makes them, and has the latest afterwards.
    #[test]
    fn a_listener_that_holds_on_blocks_no_beat() {
        let heart = Heart::new(EVERY, EVERY);
        let listener = heart.listen();
        let held = listener.borrow();
        for in_flight in 1..=100 {
            heart.beat(Heartbeat::new(in_flight, 0, Vec::new()));
        }
        drop(held);
        while listener.borrow().beat < 100 {
            std::thread::yield_now();
        }
        assert_eq!(listener.borrow().in_flight, 100);
    }
}
