//! When a mount counts as dead: a state machine without a clock, a thread or a lock.

use std::time::Duration;

use crate::mounts::BreakerState;
use crate::settings::Breaker;

/// What has to be done after something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub(crate) enum Step {
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
pub(crate) struct Machine {
    settings: Breaker,
    state: State,
}

impl Machine {
    pub(crate) fn new(settings: Breaker) -> Machine {
        Machine {
            settings,
            state: State::Closed { timeouts: 0 },
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } | State::Suspect { .. } => BreakerState::Closed,
            State::Open | State::OpenUnasked { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether operations are refused.
    pub(crate) fn refuses(&self) -> bool {
        self.state() != BreakerState::Closed
    }

    /// Whether an answer of an operation would change anything.
    pub(crate) fn is_calm(&self) -> bool {
        self.state == State::Closed { timeouts: 0 }
    }

    /// Whether time alone changes it.
    pub(crate) fn wants_ticks(&self) -> bool {
        !matches!(self.state, State::Closed { .. } | State::Open)
    }

    /// An operation there timed out.
    pub(crate) fn timed_out(&mut self, now_ms: u64) -> Step {
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
    pub(crate) fn answered(&mut self) -> Step {
        let refused = self.refuses();
        self.state = State::Closed { timeouts: 0 };
        if refused { Step::Closed } else { Step::Nothing }
    }

    /// The question came to nothing, for want of a thread or of memory here: that says nothing of the mount.
    pub(crate) fn came_to_nothing(&mut self, now_ms: u64) {
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
    pub(crate) fn tick(&mut self, now_ms: u64) -> Step {
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
