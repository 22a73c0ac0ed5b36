//! A clock that costs a few nanoseconds.
#![allow(
    unsafe_code,
    reason = "reads the coarse clock, which std does not offer"
)]

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
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}
