//! The counters of a handle at one moment.

use std::collections::BTreeMap;

use super::buffer_groups::BgidStats;
use super::counters::{ENDS, Ended};
use super::submitted;
use super::{Latency, WAYS, Way};
use crate::mounts::MountStats;
use crate::opcode::{Form, Kind, Row, TABLE};

/// The counters of one kind of operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) ways: [u64; WAYS],
    pub(super) started: u64,
    pub(super) ended: [u64; ENDS],
    pub(super) latency: Latency,
}

impl Counts {
    fn has_any(&self) -> bool {
        self.started > 0 || self.ways.iter().chain(&self.ended).any(|&count| count > 0)
    }

    fn since(&self, earlier: &Counts) -> Counts {
        Counts {
            ways: less(self.ways, earlier.ways),
            started: self.started.saturating_sub(earlier.started),
            ended: less(self.ended, earlier.ended),
            latency: self.latency.since(&earlier.latency),
        }
    }
}

/// What a handle has done so far, at one moment.
///
/// See [`Stats::ops`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    pub(super) ops: Vec<Counts>,
    pub(super) fallbacks: BTreeMap<&'static str, u64>,
    pub(super) submitted: Vec<(Form, u64)>,
    /// The ids of groups of provided buffers.
    pub buffer_groups: BgidStats,
    /// Completions that belonged to no operation in flight: late, or somebody else's. They were ignored.
    pub foreign_completions: u64,
    /// Operations that are not over.
    pub in_flight: u64,
    /// Lanes with a ring, wedged ones included.
    pub lanes: usize,
    /// Lanes that were wedged and replaced.
    pub lanes_replaced: u64,
    /// The mounts that operations went to, and whether they answer: see
    /// [`Handle::mounts`](crate::Handle::mounts).
    pub mounts: Vec<MountStats>,
    /// Operations for which nobody waits any more, and which the kernel, or a thread, still has: they ran out
    /// of time, were cancelled or dropped. They are part of `in_flight`.
    pub orphans: u64,
    /// The most that there were at a time.
    pub orphans_max: u64,
    /// Polls that were seen inside the kernel for too long.
    pub polls_stuck: u64,
    /// Blocking threads.
    pub pool_threads: usize,
}

/// What became of one kind of operation.
///
/// Those that left the poll, because their answer was not in memory, are counted by their end as well:
/// `started` is what began, and what is not in one of the six ends is in flight.
///
/// See [`Stats::ops`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpStats {
    /// The operation's row of the op table.
    pub row: &'static Row,
    /// Answered at the first poll.
    pub at_poll: u64,
    /// Through the ring of the polling thread.
    pub worker_ring: u64,
    /// Through the ring of a lane.
    pub lane_ring: u64,
    /// On a blocking thread.
    pub pool: u64,
    /// Left the poll.
    pub started: u64,
    /// Ended well.
    pub ok: u64,
    /// Ended with an error that the kernel gave.
    pub failed: u64,
    /// Were not over within their time.
    pub timed_out: u64,
    /// Were cancelled by their token, or by the end of the handle.
    pub cancelled: u64,
    /// Lost their future before they were over.
    pub dropped: u64,
    /// Never began: no room, a mount that does not answer, a closed handle.
    pub refused: u64,
    /// How long those took that began.
    pub latency: Latency,
}

impl OpStats {
    fn new(counts: &Counts, row: &'static Row) -> OpStats {
        let way = |way: Way| counts.ways[way as usize];
        let ended = |end: Ended| counts.ended[end as usize];
        OpStats {
            row,
            at_poll: way(Way::AtPoll),
            worker_ring: way(Way::WorkerRing),
            lane_ring: way(Way::LaneRing),
            pool: way(Way::Pool),
            started: counts.started,
            ok: ended(Ended::Ok),
            failed: ended(Ended::Failed),
            timed_out: ended(Ended::TimedOut),
            cancelled: ended(Ended::Cancelled),
            dropped: ended(Ended::Dropped),
            refused: ended(Ended::Refused),
            latency: counts.latency.clone(),
        }
    }

    /// How many of them have begun, whichever way. Each counts once: for the way that it went last, where a ring
    /// could not do it and a thread did.
    ///
    /// See [`Stats::ops`].
    pub fn total(&self) -> u64 {
        self.at_poll + self.worker_ring + self.lane_ring + self.pool
    }
}

impl Stats {
    /// One entry per operation that was asked for at least once, in the order of the op table.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// tidegate::fs::metadata("/").await?;
    /// let stats = tidegate::Handle::current()?.stats();
    /// assert!(stats.ops().any(|op| op.row.name == "metadata" && op.total() > 0));
    /// # Ok(()) }
    /// ```
    pub fn ops(&self) -> impl Iterator<Item = OpStats> {
        self.ops
            .iter()
            .zip(TABLE)
            .filter(|(counts, _)| counts.has_any())
            .map(|(counts, row)| OpStats::new(counts, row))
    }

    /// How often a kind of operation took a way.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::{Way, opcode::Kind};
    /// tidegate::fs::metadata("/").await?;
    /// let stats = tidegate::Handle::current()?.stats();
    /// let ways = [Way::AtPoll, Way::WorkerRing, Way::LaneRing, Way::Pool];
    /// assert!(ways.iter().any(|way| stats.count(Kind::Metadata, *way) > 0));
    /// # Ok(()) }
    /// ```
    pub fn count(&self, kind: Kind, way: Way) -> u64 {
        self.ops
            .get(kind as usize)
            .map_or(0, |counts| counts.ways[way as usize])
    }

    /// Why operations took another way than meant, and how often.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// for (reason, count) in tidegate::Handle::current()?.stats().fallbacks() {
    ///     println!("{count} times: {reason}");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn fallbacks(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.fallbacks
            .iter()
            .map(|(reason, count)| (*reason, *count))
    }

    /// What the rings have given to the kernel, by the opcode's name, and how often. Where the kernel picks
    /// the buffer, the name goes on with `+BUFFER_SELECT`, and where a ring's own table of files is meant, with
    /// `+DIRECT`.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// tidegate::fs::metadata("/").await?;
    /// let stats = tidegate::Handle::current()?.stats();
    /// for (opcode, count) in stats.submissions() {
    ///     println!("{count} times: {opcode}");
    /// }
    /// assert_eq!(stats.submitted("READ_FIXED"), 0);
    /// # Ok(()) }
    /// ```
    pub fn submissions(&self) -> impl Iterator<Item = (String, u64)> {
        submitted::named(&self.submitted)
    }

    /// How often the rings have given one of those to the kernel.
    ///
    /// See [`Stats::submissions`].
    pub fn submitted(&self, opcode: &str) -> u64 {
        let mut all = self.submissions();
        all.find(|(name, _)| name == opcode)
            .map_or(0, |(_, count)| count)
    }

    /// What was done after the earlier snapshot of the same handle. Counts are differences; what is a state
    /// (`in_flight`, `lanes`, `orphans`, `orphans_max`, `pool_threads`) is that of the later one, as in [`BgidStats`],
    /// which also says how it changed.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::opcode::Kind;
    /// let handle = tidegate::Handle::current()?;
    /// tidegate::fs::read("/etc/passwd").await?;
    /// let before = handle.stats();
    /// tidegate::fs::read_dir("/").await?;
    /// let since = handle.stats().since(&before);
    /// assert!(since.ops().all(|op| op.row.kind != Kind::ReadFile));
    /// # Ok(()) }
    /// ```
    pub fn since(&self, earlier: &Stats) -> Stats {
        let nothing = Counts::default();
        let before = earlier.ops.iter().chain(std::iter::repeat(&nothing));
        let ops = self.ops.iter().zip(before);
        let fallbacks = self.fallbacks.iter().map(|(&reason, count)| {
            let before = earlier.fallbacks.get(reason).copied().unwrap_or(0);
            (reason, count.saturating_sub(before))
        });
        Stats {
            ops: ops.map(|(now, before)| now.since(before)).collect(),
            fallbacks: fallbacks.filter(|(_, count)| *count > 0).collect(),
            buffer_groups: self.buffer_groups.since(&earlier.buffer_groups),
            foreign_completions: self
                .foreign_completions
                .saturating_sub(earlier.foreign_completions),
            lanes_replaced: self.lanes_replaced.saturating_sub(earlier.lanes_replaced),
            mounts: self.mounts_since(earlier),
            polls_stuck: self.polls_stuck.saturating_sub(earlier.polls_stuck),
            submitted: submitted::since(&self.submitted, &earlier.submitted),
            ..*self
        }
    }

    fn mounts_since(&self, earlier: &Stats) -> Vec<MountStats> {
        let since = |now: &MountStats| {
            let mut before = earlier.mounts.iter();
            let before = before.find(|before| before.point == now.point);
            before.map_or_else(|| now.clone(), |before| now.since(before))
        };
        self.mounts.iter().map(since).collect()
    }
}

/// Each count without what was counted before.
fn less<const COUNTS: usize>(now: [u64; COUNTS], before: [u64; COUNTS]) -> [u64; COUNTS] {
    std::array::from_fn(|index| now[index].saturating_sub(before[index]))
}
