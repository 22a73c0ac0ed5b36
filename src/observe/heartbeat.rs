//! The sign of life of a handle.

use std::time::Duration;

use super::{OpInFlight, OpState};

/// What a handle is waiting for, as of now.
///
/// It comes from a thread that takes part in no operation, so it keeps coming while everything else is stuck.
///
/// ```
/// fn line(heartbeat: &tidegate::Heartbeat) -> String {
///     let oldest = heartbeat.oldest.as_ref().and_then(|op| op.path.as_deref());
///     format!("{} in flight, the oldest of {oldest:?}", heartbeat.in_flight)
/// }
/// assert_eq!(line(&tidegate::Heartbeat::default()), "0 in flight, the oldest of None");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heartbeat {
    /// Operations that are not over.
    pub in_flight: u64,
    /// Of them, those for which nobody waits any more.
    pub orphans: u64,
    /// The oldest operation that somebody waits for; if there is none, the oldest orphan.
    pub oldest: Option<OpInFlight>,
    /// Entries that walks through this handle have found so far, copies of trees excepted.
    pub entries_walked: u64,
    /// Of them, those that came since the heartbeat before, per second.
    pub entries_per_second: u64,
    /// The number of this heartbeat; zero before the first.
    pub beat: u64,
}

impl Heartbeat {
    /// Of what is in flight.
    pub(crate) fn new(in_flight: u64, orphans: u64, ops: Vec<OpInFlight>) -> Heartbeat {
        let waited_for = |op: &OpInFlight| op.state != OpState::Orphaned;
        Heartbeat {
            in_flight,
            orphans,
            oldest: ops.into_iter().max_by_key(|op| (waited_for(op), op.age)),
            entries_walked: 0,
            entries_per_second: 0,
            beat: 0,
        }
    }

    /// With what walks have found, and the time since the heartbeat before and what they had found then.
    pub(crate) fn with_entries(mut self, entries: u64, before: u64, since: Duration) -> Heartbeat {
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX).max(1);
        let more = u128::from(entries.saturating_sub(before));
        let rate = more * 1_000_000 / u128::from(micros);
        self.entries_walked = entries;
        self.entries_per_second = u64::try_from(rate).unwrap_or(u64::MAX);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opcode::Kind;

    /// What somebody waits for comes before what is only left over.
    #[test]
    fn the_oldest_is_one_that_somebody_waits_for() {
        let op = |state, seconds| OpInFlight {
            operation: Kind::Open,
            path: None,
            age: Duration::from_secs(seconds),
            still_for: Duration::from_secs(seconds),
            way: None,
            state,
            mount_point: None,
        };
        let oldest = |ops| Heartbeat::new(0, 0, ops).oldest.map(|op| op.age.as_secs());
        let orphans = [op(OpState::Orphaned, 9), op(OpState::Orphaned, 8)];
        let waited = [op(OpState::Running, 2), op(OpState::Waiting, 3)];
        assert_eq!(oldest([&orphans[..], &waited].concat()), Some(3));
        assert_eq!(oldest(orphans.to_vec()), Some(9));
        assert_eq!(oldest(Vec::new()), None);
    }

    /// A rate is of the time since the beat before, however short that was.
    #[test]
    fn entries_have_a_rate() {
        let beat = Heartbeat::new(1, 0, Vec::new());
        let quarter = Duration::from_millis(250);
        let told = beat.clone().with_entries(1_500, 500, quarter);
        assert_eq!(
            (told.entries_walked, told.entries_per_second),
            (1_500, 4_000)
        );
        let told = beat.clone().with_entries(u64::MAX, 0, Duration::ZERO);
        assert_eq!(told.entries_per_second, u64::MAX);
        assert_eq!(beat.with_entries(7, 7, quarter).entries_per_second, 0);
    }
}
