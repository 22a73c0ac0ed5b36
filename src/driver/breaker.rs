//! When a mount counts as dead: a state machine without a clock, a thread or a lock.

use std::time::Duration;

use crate::mounts::BreakerState;

/// When a handle leaves a mount alone that does not answer.
///
/// After so many timeouts in a row the mount itself is asked, by a `statx` of its mount point on a thread of
/// its own. Only if that gets no answer either, operations there are refused, with
/// [`Error::MountUnresponsive`](crate::Error::MountUnresponsive). An answer ends that at once. So files that
/// hang by themselves do not cut off a mount that answers.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
/// use std::time::Duration;
/// let mut breaker = tidegate::Breaker::default();
/// assert_eq!(breaker.timeouts, 3);
/// breaker.probe_patience = Duration::from_millis(200);
/// let handle = tidegate::Handle::builder().breaker(breaker).install()?;
/// # let _ = handle;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Breaker {
    /// After how many timeouts without an answer between them the mount is asked. Not zero.
    pub timeouts: u32,
    /// How long it may take to answer. Not zero.
    pub probe_patience: Duration,
    /// How long after a question that came to nothing, for want of a thread or of memory, a mount that is
    /// left alone is asked again. Not zero.
    pub probe_every: Duration,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker {
            timeouts: crate::limits::BREAKER_TIMEOUTS,
            probe_patience: crate::limits::PROBE_PATIENCE,
            probe_every: crate::limits::PROBE_EVERY,
        }
    }
}

/// What has to be done after something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub(super) enum Step {
    #[default]
    Nothing,
    /// The mount is to be asked, and [`Machine::came_to_nothing`] called if it cannot be.
    Ask,
    /// It is refused from now on.
    Opened,
    /// It is used again.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Used, with so many timeouts in a row.
    Closed { timeouts: u32 },
    /// Still used, and asked since then.
    Suspect { asked_ms: u64 },
    /// Refused, and the question is with it.
    Open,
    /// Refused, and the question came to nothing: to be put again then.
    OpenUnasked { again_ms: u64 },
    /// Refused, and asked again since then.
    HalfOpen { asked_ms: u64 },
}

/// The breaker of one mount and handle. Times are milliseconds of any clock that does not go back.
#[derive(Debug)]
pub(super) struct Machine {
    settings: Breaker,
    state: State,
}

impl Machine {
    pub(super) fn new(settings: Breaker) -> Machine {
        Machine {
            settings,
            state: State::Closed { timeouts: 0 },
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } | State::Suspect { .. } => BreakerState::Closed,
            State::Open | State::OpenUnasked { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether operations are refused.
    pub(super) fn refuses(&self) -> bool {
        self.state() != BreakerState::Closed
    }

    /// Whether an answer of an operation would change anything.
    pub(super) fn is_calm(&self) -> bool {
        self.state == State::Closed { timeouts: 0 }
    }

    /// Whether time alone changes it.
    pub(super) fn wants_ticks(&self) -> bool {
        !matches!(self.state, State::Closed { .. } | State::Open)
    }

    /// An operation there timed out.
    pub(super) fn timed_out(&mut self, now_ms: u64) -> Step {
        let State::Closed { timeouts } = &mut self.state else {
            return Step::Nothing;
        };
        *timeouts += 1;
        if *timeouts < self.settings.timeouts {
            return Step::Nothing;
        }
        self.state = State::Suspect { asked_ms: now_ms };
        Step::Ask
    }

    /// The mount answered an operation, or the question.
    pub(super) fn answered(&mut self) -> Step {
        let refused = self.refuses();
        self.state = State::Closed { timeouts: 0 };
        if refused { Step::Closed } else { Step::Nothing }
    }

    /// The question came to nothing, for want of a thread or of memory here: that says nothing of the mount.
    pub(super) fn came_to_nothing(&mut self, now_ms: u64) {
        self.state = match self.state {
            State::Open | State::OpenUnasked { .. } | State::HalfOpen { .. } => {
                let again_ms = now_ms.saturating_add(millis(self.settings.probe_every));
                State::OpenUnasked { again_ms }
            }
            // The next timeout asks again.
            State::Suspect { .. } => {
                let timeouts = self.settings.timeouts.saturating_sub(1);
                State::Closed { timeouts }
            }
            closed @ State::Closed { .. } => closed,
        };
    }

    /// Looks at the time.
    pub(super) fn tick(&mut self, now_ms: u64) -> Step {
        let patience = millis(self.settings.probe_patience);
        let is_over = |asked_ms: u64| now_ms.saturating_sub(asked_ms) >= patience;
        match self.state {
            State::Suspect { asked_ms } if is_over(asked_ms) => {
                self.state = State::Open;
                Step::Opened
            }
            State::HalfOpen { asked_ms } if is_over(asked_ms) => {
                self.state = State::Open;
                Step::Nothing
            }
            State::OpenUnasked { again_ms } if now_ms >= again_ms => {
                self.state = State::HalfOpen { asked_ms: now_ms };
                Step::Ask
            }
            _ => Step::Nothing,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
