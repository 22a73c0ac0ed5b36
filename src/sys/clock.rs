//! A clock that costs a few nanoseconds, and an exact one as a number.
#![allow(
    unsafe_code,
    reason = "reads the coarse clock, which std does not offer"
)]

use std::time::Instant;

use super::global::Kept;

/// What [`now_us`] counts from.
fn epoch() -> Instant {
    static EPOCH: Kept<Instant> = Kept::new();
    *EPOCH.get_or_make(Instant::now)
}

/// Microseconds since the first call in this process.
pub(crate) fn now_us() -> u64 {
    #[cfg(test)]
    if let Some(now_us) = simulated::NOW_US.get() {
        return now_us;
    }
    to_us(Instant::now())
}

/// The same of another moment; zero for one before the first call.
pub(crate) fn to_us(at: Instant) -> u64 {
    let since = at.saturating_duration_since(epoch());
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds of the monotonic clock, as of the last timer tick (1–10 ms), never zero.
#[cfg(target_os = "linux")]
pub(crate) fn coarse_ms() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one timespec, which is there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    (now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000).max(1)
}

/// Milliseconds since the first call, never zero.
#[cfg(not(target_os = "linux"))]
pub(crate) fn coarse_ms() -> u64 {
    epoch().elapsed().as_millis() as u64 + 1
}

/// A time that a test makes, for its own thread.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::Cell;

    thread_local! {
        pub(crate) static NOW_US: Cell<Option<u64>> = const { Cell::new(None) };
    }
}
