//! The limits that are in force on a polling thread.
//!
//! They are set while a limited future is polled, and whatever begins meanwhile takes them over.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::base::clock::{self, NEVER, now_us};
use crate::error::{Error, LeftBehind};
use crate::opcode::Kind;

/// Until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Until {
    /// The handle's default decides.
    #[default]
    Default,
    /// So long after the first operation begins to wait.
    After(Duration),
    /// That moment of the system's clock, whatever the process did meanwhile.
    At(Instant),
    /// By the clock of limits, in microseconds.
    By(u64),
    /// As long as it takes.
    Forever,
}

impl Until {
    /// The moment itself, from now on.
    pub(crate) fn fixed(self) -> Until {
        match self {
            Until::After(after) => {
                // The part of a microsecond counts too: never too soon.
                let after_us = u64::try_from(after.as_micros()).unwrap_or(NEVER);
                match now_us().saturating_add(after_us).saturating_add(1) {
                    NEVER => Until::Forever,
                    by => Until::By(by),
                }
            }
            other => other,
        }
    }

    /// The earlier of the two.
    fn within(self, outer: Until) -> Until {
        if outer == Until::Default {
            return self;
        }
        let (inner, outer) = (self.fixed(), outer.fixed());
        match (inner.due_us(), outer.due_us()) {
            (Some(inner_us), Some(outer_us)) if inner_us <= outer_us => inner,
            _ => outer,
        }
    }

    /// When that is, by the clock of limits; [`NEVER`] for as long as it takes.
    pub(crate) fn due_us(self) -> Option<u64> {
        match self.fixed() {
            Until::At(at) => Some(clock::due_us(at).saturating_add(1)),
            Until::By(by) => Some(by),
            Until::Default => None,
            Until::After(_) | Until::Forever => Some(NEVER),
        }
    }
}

/// Why an operation is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Cancelled,
    TimedOut,
}

impl Why {
    pub(crate) fn error(
        self,
        operation: Option<Kind>,
        path: Option<PathBuf>,
        elapsed: Duration,
        left: LeftBehind,
    ) -> Error {
        match self {
            Why::Cancelled => Error::Cancelled {
                operation,
                path,
                elapsed,
                left,
            },
            Why::TimedOut => Error::TimedOut {
                operation,
                path,
                elapsed,
                left,
            },
        }
    }
}

/// The limits in force.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) until: Until,
    /// Nothing may begin any more.
    pub(crate) refuses: Option<Why>,
    /// What began last, or is waited for.
    pub(crate) last: Option<Kind>,
}

thread_local! {
    static SCOPE: Cell<Scope> = const {
        Cell::new(Scope { until: Until::Default, refuses: None, last: None })
    };
}

/// When an operation that begins or is waited for here is due, in microseconds, if a caller has said so;
/// [`NEVER`] if it may take as long as it takes.
pub(crate) fn due_us(kind: Kind) -> Option<u64> {
    let mut scope = SCOPE.get();
    // Also where only a token limits it: what the limit leaves behind depends on it.
    scope.last = Some(kind);
    scope.until = scope.until.fixed();
    SCOPE.set(scope);
    scope.until.due_us()
}

/// Whether a caller has said here until when.
pub(crate) fn is_limited() -> bool {
    SCOPE.get().until != Until::Default
}

/// Runs something that no limit of this poll is for.
pub(crate) fn without_limits<T>(run: impl FnOnce() -> T) -> T {
    struct Back(Scope);
    impl Drop for Back {
        fn drop(&mut self) {
            SCOPE.set(self.0);
        }
    }
    let _back = Back(SCOPE.replace(Scope::default()));
    run()
}

/// Why nothing may begin here, if so.
pub(crate) fn refused() -> Option<Why> {
    SCOPE.get().refuses
}

/// Puts the limits in force for the time of a poll, within those that are already.
pub(crate) struct InForce<'a> {
    inner: &'a mut Scope,
    outer: Scope,
}

impl<'a> InForce<'a> {
    pub(crate) fn enter(inner: &'a mut Scope) -> InForce<'a> {
        let mut outer = SCOPE.get();
        if outer.until != Until::Default {
            // The moment that the outer limit means is the same for all that it contains.
            outer.until = outer.until.fixed();
            inner.until = inner.until.within(outer.until);
        }
        let refuses = inner.refuses.or(outer.refuses);
        SCOPE.set(Scope { refuses, ..*inner });
        InForce { inner, outer }
    }
}

impl Drop for InForce<'_> {
    fn drop(&mut self) {
        let Scope { until, last, .. } = SCOPE.get();
        (self.inner.until, self.inner.last) = (until, last);
        self.outer.last = last.or(self.outer.last);
        SCOPE.set(self.outer);
    }
}
