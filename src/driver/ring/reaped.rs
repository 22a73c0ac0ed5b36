//! What an engine makes of a start, a reap and a break.

use std::io;
use std::sync::Arc;

use crate::driver::job::{Job, Outcome};
use crate::driver::ring::slot::Token;
use crate::sys::request::Part;

/// What became of an operation that was offered to a ring.
pub(crate) enum Start {
    /// It is queued or in the kernel.
    Queued(Token),
    /// There is no room; it comes back.
    Full(Arc<dyn Job>),
    /// It ends so, and the kernel never had it.
    Over(Arc<dyn Job>, Outcome),
}

/// What a turn of the ring yielded.
#[derive(Default)]
pub(crate) struct Reaped {
    /// What operations are told before their end.
    pub(crate) parts: Vec<(Arc<dyn Job>, Part)>,
    /// Operations that are over, with their results.
    pub(crate) done: Vec<(Arc<dyn Job>, i32)>,
    /// Whether the lane's event was signalled.
    pub(crate) event: bool,
    /// Completions that belonged to no live operation.
    pub(crate) foreign: usize,
}

impl Reaped {
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.done.is_empty()
    }

    /// Ends the operations. Call it without a lock held (INV-8).
    pub(crate) fn deliver(self) {
        for (job, part) in self.parts {
            job.on_completion(part);
        }
        for (job, result) in self.done {
            job.end(Outcome::Result(result));
        }
    }
}

/// What was in flight when a ring broke.
#[must_use]
pub(crate) struct Broken {
    /// What the kernel never took: it can go another way.
    pub(crate) unsent: Vec<Arc<dyn Job>>,
    pub(super) lost: Vec<Arc<dyn Job>>,
    pub(super) number: i32,
}

impl Broken {
    /// Ends what the kernel took, whose memory is kept for ever (INV-7), and returns the rest. Call it
    /// without a lock held (INV-8).
    pub(crate) fn deliver(self) -> Vec<Arc<dyn Job>> {
        for job in self.lost {
            job.end(Outcome::Lost(io::Error::from_raw_os_error(self.number)));
        }
        self.unsent
    }
}
