//! Blocking work of several steps, which can be stopped between them and shows that it gets on.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::clock::coarse_ms;

/// What the work and who watches it share.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    stop: AtomicBool,
    /// When the last step was over, in coarse milliseconds; zero before the first.
    last_ms: AtomicU64,
}

impl Steps {
    /// Notes that a step is over; `false` if nobody wants the next one.
    pub(crate) fn go_on(&self) -> bool {
        self.last_ms.store(coarse_ms(), Ordering::Relaxed);
        !self.stop.load(Ordering::Relaxed)
    }

    /// The same, as a result for `?`.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.go_on() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::Interrupted,
            "stopped between two steps",
        ))
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// When the last step was over, in coarse milliseconds; zero before the first.
    pub(crate) fn last_ms(&self) -> u64 {
        self.last_ms.load(Ordering::Relaxed)
    }
}
