//! What queues have in common.

use std::collections::VecDeque;

use crate::base::clock::coarse_ms;
use crate::error::Error;
use crate::limits;
use crate::mounts::Mount;
use crate::opcode::Kind;

/// There is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// How many operations are stuck there that nobody waits for, or closes that do not end.
    pub(crate) stuck: usize,
}

impl Full {
    pub(crate) fn error(self, mount: &Mount, operation: Kind) -> Error {
        Error::Saturated {
            operation,
            mount_point: mount.point(),
            stuck: self.stuck,
        }
    }
}

/// Why a queue did not take an operation.
pub(crate) enum NotTaken<J> {
    /// There is no such queue, or no longer.
    NoQueue(J),
    Full(J, Full),
}

/// Whether what moved last at that moment, in coarse milliseconds, is taken not to move any more.
pub(crate) fn is_still(moved_ms: u64) -> bool {
    coarse_ms().saturating_sub(moved_ms) >= limits::QUEUE_STILL_AFTER.as_millis() as u64
}

/// Takes those out for which this holds.
pub(crate) fn extract<J>(jobs: &mut VecDeque<J>, mut holds: impl FnMut(&J) -> bool) -> Vec<J> {
    let mut out = Vec::new();
    for job in std::mem::take(jobs) {
        if holds(&job) {
            out.push(job);
        } else {
            jobs.push_back(job);
        }
    }
    out
}
