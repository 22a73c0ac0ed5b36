//! What a handle has done and is doing: counters, times and their snapshots.

mod buffer_groups;
mod counters;
mod heartbeat;
mod in_flight;
mod latency;
mod stats;
mod submitted;

pub use buffer_groups::BgidStats;
pub(crate) use counters::{Counters, Ended, Promise, SharedCounters};
pub use heartbeat::Heartbeat;
pub use in_flight::{OpInFlight, OpState};
pub use latency::Latency;
pub use stats::{OpStats, Stats};

/// Which way an operation took.
///
/// See [`Stats::count`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(usize)]
pub enum Way {
    /// Answered at the first poll, without sleeping.
    AtPoll,
    /// Through the ring of the polling thread.
    WorkerRing,
    /// Through the ring of a lane.
    LaneRing,
    /// On a blocking thread.
    Pool,
}

/// How many there are.
const WAYS: usize = 4;
