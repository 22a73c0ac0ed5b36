//! The clock of limits, which leaves out the time that the process was not running; a coarse one of the same kind,
//! and one that only looks at the system's.
//!
//! The watchdog says when it will look next. Where that moment is long past, nobody was there to look: the process
//! was stopped or had no processor. From then on the clock shows what it did when the watchdog went to sleep, for
//! whoever asks first, and the watchdog takes the lost time off for good when it comes.
#![allow(
    unsafe_code,
    reason = "reads the coarse clock, which std does not offer"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::global::Kept;
use crate::limits;

/// A moment that does not come: no deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// The time of day in nanoseconds, as filesystems stamp files that are made now: never later than the exact time.
#[cfg(target_os = "linux")]
pub(crate) fn stamp_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is written by the call, and valid before.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut time) };
    (time.tv_sec as u64).saturating_mul(1_000_000_000) + time.tv_nsec as u64
}

/// The exact time of day in nanoseconds.
pub(crate) fn day_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// How long the calling thread has had a processor.
pub(crate) fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is written by the call, and valid before.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Elsewhere nothing depends on it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn stamp_ns() -> u64 {
    day_ns()
}

/// What all clocks here count from.
struct Epoch {
    exact: Instant,
    coarse_ms: u64,
}

fn epoch() -> &'static Epoch {
    static EPOCH: Kept<Epoch> = Kept::new();
    EPOCH.get_or_make(|| Epoch {
        exact: Instant::now(),
        coarse_ms: system_ms(),
    })
}

/// No watchdog is expected before it is called.
const NOBODY: u64 = u64::MAX;
/// There is none to call.
const GONE: u64 = u64::MAX - 1;

static RUNNING: Running = Running::new();

/// What is known of whether the process runs.
struct Running {
    /// Past this the watchdog is late, in microseconds of the clock.
    late_at_us: AtomicU64,
    /// What the clock shows then.
    stands_at_us: AtomicU64,
    /// What was taken off so far.
    lost_us: AtomicU64,
}

impl Running {
    const fn new() -> Running {
        Running {
            late_at_us: AtomicU64::new(NOBODY),
            stands_at_us: AtomicU64::new(0),
            lost_us: AtomicU64::new(0),
        }
    }

    /// Read last is what goes on by itself: whoever is stopped in between sees that the watchdog is late.
    fn now_us(&self, system_us: impl Fn() -> u64) -> u64 {
        loop {
            let late_at_us = self.late_at_us.load(Ordering::SeqCst);
            let stands_at_us = self.stands_at_us.load(Ordering::SeqCst);
            let lost_us = self.lost_us.load(Ordering::SeqCst);
            let now_us = system_us().saturating_sub(lost_us);
            if now_us <= late_at_us {
                return now_us;
            }
            let is_same = self.late_at_us.load(Ordering::SeqCst) == late_at_us
                && self.lost_us.load(Ordering::SeqCst) == lost_us;
            if is_same {
                return stands_at_us;
            }
        }
    }

    /// The watchdog is there, and looks next then. Returns whether it was late.
    fn looks_by(&self, system_us: u64, next_us: u64) -> bool {
        let lost_us = self.lost_us.load(Ordering::SeqCst);
        let mut now_us = system_us.saturating_sub(lost_us);
        let was_late = now_us > self.late_at_us.load(Ordering::SeqCst);
        if was_late {
            now_us = now_us.min(self.stands_at_us.load(Ordering::SeqCst));
            // Before the next moment is known: in between the clock goes on from where it stood.
            self.lost_us.store(system_us - now_us, Ordering::SeqCst);
        }
        if next_us == NOBODY {
            self.late_at_us.store(NOBODY, Ordering::SeqCst);
            return was_late;
        }
        let counted_us = counted_us(now_us, next_us);
        self.stands_at_us
            .store(now_us + counted_us, Ordering::SeqCst);
        let late_at_us = next_us
            .max(now_us)
            .saturating_add(micros(limits::WATCHDOG_LATE));
        self.late_at_us.store(late_at_us, Ordering::SeqCst);
        was_late
    }

    /// The watchdog slept until it would be called, and was called now.
    fn is_called(&self, system_us: impl Fn() -> u64) {
        if self.late_at_us.load(Ordering::SeqCst) == NOBODY {
            let now_us = self.now_us(system_us);
            self.stands_at_us.store(now_us, Ordering::SeqCst);
            let late_at_us = now_us + micros(limits::WATCHDOG_LATE);
            let (success, failure) = (Ordering::SeqCst, Ordering::SeqCst);
            let _ = self
                .late_at_us
                .compare_exchange(NOBODY, late_at_us, success, failure);
        }
    }
}

/// Microseconds since the first call in this process, without those in which it did not run. It may show a little
/// less than before, once it did not run.
pub(crate) fn now_us() -> u64 {
    #[cfg(test)]
    if let Some(now_us) = simulated::NOW_US.get() {
        return now_us;
    }
    RUNNING.now_us(|| us_since_epoch(Instant::now()))
}

/// When that moment is, by [`now_us`]. Later, when time was lost meanwhile, it is earlier.
pub(crate) fn due_us(at: Instant) -> u64 {
    us_since_epoch(at).saturating_sub(RUNNING.lost_us.load(Ordering::SeqCst))
}

/// The time that was lost so far.
pub(crate) fn lost() -> Duration {
    Duration::from_micros(RUNNING.lost_us.load(Ordering::SeqCst))
}

/// Milliseconds of the same clock as of the last timer tick (1–10 ms), never zero.
pub(crate) fn coarse_ms() -> u64 {
    let epoch_ms = epoch().coarse_ms;
    RUNNING.now_us(|| system_ms().saturating_sub(epoch_ms) * 1000) / 1000 + 1
}

fn us_since_epoch(at: Instant) -> u64 {
    let since = at.saturating_duration_since(epoch().exact);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The watchdog is there, and says when it looks next, `u64::MAX` for when it is called. Returns whether it was so
/// late that time was lost.
pub(crate) fn watchdog_looks_by(next_us: u64) -> bool {
    RUNNING.looks_by(us_since_epoch(Instant::now()), next_us)
}

/// The watchdog sleeps until it is called, and was just called.
pub(crate) fn watchdog_is_called() {
    RUNNING.is_called(|| us_since_epoch(Instant::now()));
}

/// There is no watchdog any more. Async-signal-safe.
pub(crate) fn watchdog_is_gone() {
    RUNNING.late_at_us.store(GONE, Ordering::SeqCst);
}

/// What counts of a sleep from which the watchdog came late. Never all that was due after, so that nothing is over
/// in the moment in which the process goes on; never nothing, so that everything ends where it is always late.
fn counted_us(now_us: u64, next_us: u64) -> u64 {
    let most_us = micros(limits::WATCHDOG_TICK);
    (next_us.saturating_sub(now_us) / 2).clamp(1, most_us)
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

/// Milliseconds of the system's monotonic clock as of the last timer tick, also those in which this process did
/// not run: for what is known of the system, which goes on meanwhile.
#[cfg(target_os = "linux")]
pub(crate) fn system_ms() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one timespec, which is there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    (now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000).max(1)
}

/// Milliseconds since the first call, also those in which this process did not run.
#[cfg(not(target_os = "linux"))]
pub(crate) fn system_ms() -> u64 {
    static FIRST: Kept<Instant> = Kept::new();
    FIRST.get_or_make(Instant::now).elapsed().as_millis() as u64 + 1
}

/// A time that a test makes, for its own thread.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::Cell;

    thread_local! {
        pub(crate) static NOW_US: Cell<Option<u64>> = const { Cell::new(None) };
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A clock, and the system's, which the test sets.
    struct Watched(Running, Cell<u64>);

    impl Watched {
        fn new() -> Watched {
            Watched(Running::new(), Cell::new(1_000_000))
        }

        fn pass(&self, us: u64) -> u64 {
            self.1.set(self.1.get() + us);
            self.0.now_us(|| self.1.get())
        }

        fn sleep(&self, us: u64) -> bool {
            let now_us = self.pass(0);
            self.0.looks_by(self.1.get(), now_us + us)
        }
    }

    const STOP_US: u64 = 4_000_000;

    /// However long it is stopped and whoever looks first: what was due after the sleep is due after it still.
    #[test]
    fn a_stop_counts_for_nothing() {
        for slept_us in [500, 1_000, 5_000, 160_000] {
            for watchdog_first in [false, true] {
                let clock = Watched::new();
                clock.sleep(slept_us);
                let due_us = clock.pass(0) + slept_us;
                clock.pass(slept_us / 3);
                if !watchdog_first {
                    assert!(clock.pass(STOP_US) < due_us, "{slept_us}");
                    assert!(clock.pass(10) < due_us, "it stands");
                } else {
                    clock.1.set(clock.1.get() + STOP_US);
                }
                assert!(clock.sleep(5_000), "it was late");
                let seen_us = clock.pass(0);
                assert!(seen_us < due_us, "{slept_us}");
                assert_eq!(clock.pass(3_000), seen_us + 3_000, "it goes on");
                assert!(!clock.sleep(5_000));
            }
        }
    }

    /// What a loaded machine does to a thread is no stop, and where all looks are late time goes on all the same.
    #[test]
    fn time_goes_on_where_it_is_always_late() {
        let clock = Watched::new();
        let began_us = clock.pass(0);
        clock.sleep(5_000);
        assert_eq!(clock.pass(45_000), began_us + 45_000);
        assert!(!clock.sleep(5_000));
        let mut looks = 0;
        while clock.pass(0) < began_us + 1_000_000 {
            clock.sleep(5_000);
            clock.pass(300_000);
            looks += 1;
        }
        assert!(looks < 1_000, "{looks}");
    }

    /// One that sleeps until it is called is late from the call on.
    #[test]
    fn a_stop_after_the_call_counts_for_nothing() {
        let clock = Watched::new();
        clock.0.looks_by(clock.1.get(), NOBODY);
        let called_us = clock.pass(STOP_US);
        clock.0.is_called(|| clock.1.get());
        assert_eq!(clock.pass(STOP_US), called_us);
        clock.0.looks_by(clock.1.get(), called_us);
        assert_eq!(clock.pass(20), called_us + 20);
        clock.0.late_at_us.store(GONE, Ordering::SeqCst);
        clock.0.is_called(|| clock.1.get());
        assert_eq!(clock.pass(STOP_US), called_us + 20 + STOP_US);
    }
}
