//! Blocking work of several steps, which can be stopped between them and shows that it gets on.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::coarse_ms;
use crate::limits;

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

    /// How long ago the last step was over, or the first began; all of the work's age where it has none.
    pub(crate) fn still_for(&self, age: Duration) -> Duration {
        match self.last_ms() {
            0 => age,
            last_ms => age.min(Duration::from_millis(coarse_ms().saturating_sub(last_ms))),
        }
    }
}

/// How many bytes a step moves: few at first, more while steps are quick, and fewer again where they are not. So
/// storage that is slow shows that it gets on, and is told apart from storage that does not answer.
pub(crate) struct Stride {
    bytes: u64,
    most: u64,
    /// When the last step began, in coarse milliseconds; zero before the first.
    begun_ms: u64,
}

impl Stride {
    pub(crate) fn new(most: u64) -> Stride {
        Stride {
            bytes: limits::COPY_STEP_BYTES.min(most),
            most,
            begun_ms: 0,
        }
    }

    /// How many bytes the step that begins now moves.
    pub(crate) fn next(&mut self) -> u64 {
        self.after(coarse_ms())
    }

    fn after(&mut self, now_ms: u64) -> u64 {
        let took_ms = now_ms.saturating_sub(self.begun_ms);
        if self.begun_ms > 0 {
            if took_ms < limits::COPY_STEP_SHORT.as_millis() as u64 {
                self.bytes = (self.bytes * 2).min(self.most);
            } else if took_ms > limits::COPY_STEP_LONG.as_millis() as u64 {
                self.bytes = (self.bytes / 2).max(limits::COPY_STEP_BYTES.min(self.most));
            }
        }
        self.begun_ms = now_ms;
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps grow to the most that there is, shrink when they take long, and never below the first.
    #[test]
    fn steps_are_as_long_as_storage_is_quick() {
        let mut stride = Stride::new(limits::COPY_STEP_BYTES * 4);
        let mut now_ms = 1;
        let mut next = |took_ms| {
            now_ms += took_ms;
            stride.after(now_ms) / limits::COPY_STEP_BYTES
        };
        let took_ms = [0, 1, 1, 1, 100, 1000, 1000, 1000, 1];
        assert_eq!(took_ms.map(&mut next), [1, 2, 4, 4, 4, 2, 1, 1, 2]);
        assert_eq!(Stride::new(7).after(1), 7);
    }
}
