//! How long operations took, in buckets of bounded relative width.
//!
//! Each power of two of nanoseconds is divided into [`PARTS`] buckets of equal width, so that a bucket from
//! `low` to `high` has `high - low <= low / PARTS`: what is told of a time is at most 1/16, 6.25 %, above it.
//! That holds from 512 ns to 73 minutes; shorter and longer times have one bucket each. A histogram is
//! 4 KiB, whatever is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of each power of two, as a power of two.
const PARTS_LOG2: u32 = 4;
const PARTS: usize = 1 << PARTS_LOG2;

/// The shortest time that is told apart: 512 ns. No operation that left the poll is over before.
const SHORTEST_LOG2: u32 = 9;

/// The first time that is too long to be told apart: 73 minutes.
const LONGEST_LOG2: u32 = 42;

/// One for what is shorter, and one for what is longer.
const BUCKETS: usize = 2 + (LONGEST_LOG2 - SHORTEST_LOG2) as usize * PARTS;

/// The bucket of a time.
fn bucket(nanos: u64) -> usize {
    let Some(log2) = nanos.checked_ilog2().filter(|&log2| log2 >= SHORTEST_LOG2) else {
        return 0;
    };
    if log2 >= LONGEST_LOG2 {
        return BUCKETS - 1;
    }
    let part = (nanos >> (log2 - PARTS_LOG2)) as usize - PARTS;
    1 + (log2 - SHORTEST_LOG2) as usize * PARTS + part
}

/// The longest time of a bucket, in nanoseconds.
fn longest(bucket: usize) -> u64 {
    match bucket {
        0 => (1 << SHORTEST_LOG2) - 1,
        _ if bucket >= BUCKETS - 1 => u64::MAX,
        _ => {
            let (octave, part) = ((bucket - 1) / PARTS, (bucket - 1) % PARTS);
            let width_log2 = octave as u32 + SHORTEST_LOG2 - PARTS_LOG2;
            (((PARTS + part + 1) as u64) << width_log2) - 1
        }
    }
}

/// Counts times; any thread may.
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            max: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    pub(super) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // The maximum first: who sees the count of a bucket sees a maximum that is not below it.
        if self.max.load(Ordering::Relaxed) < nanos {
            self.max.fetch_max(nanos, Ordering::Relaxed);
        }
        self.buckets[bucket(nanos)].fetch_add(1, Ordering::Release);
    }

    pub(super) fn snapshot(&self) -> Latency {
        let counts = self.buckets.iter().enumerate();
        let counts = counts.map(|(index, count)| (index as u16, count.load(Ordering::Acquire)));
        let buckets = counts.filter(|(_, count)| *count > 0).collect();
        Latency {
            buckets,
            max: self.max.load(Ordering::Relaxed),
        }
    }
}

/// How long the operations of one kind took, of those that were not answered at the first poll.
///
/// From the moment that they left the poll until they were over, or nobody waited for them any more. Times
/// are counted in buckets: what [`quantile`](Latency::quantile) tells is at most 1/16, 6.25 %, above the truth and
/// never below it, from 512 ns to 73 minutes. Shorter times are told as 511 ns, longer ones as the longest.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// tidegate::fs::write(dir.path().join("file"), "text").await?;
/// let stats = tidegate::Handle::current()?.stats();
/// for op in stats.ops().filter(|op| op.latency.count() > 0) {
///     let (half, most) = (op.latency.quantile(0.5), op.latency.quantile(0.99));
///     println!("{}: p50 {half:?}, p99 {most:?}, at most {:?}", op.row.name, op.latency.max());
/// }
/// # assert!(stats.ops().any(|op| op.latency.count() > 0 && op.latency.quantile(0.5) <= op.latency.max()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Those that have any, in their order.
    buckets: Arc<[(u16, u64)]>,
    /// In nanoseconds.
    max: u64,
}

impl Latency {
    /// How many operations were measured.
    ///
    /// See [`Latency`].
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The time within which this share of the operations was over: the upper bound of its bucket, and no
    /// more than the longest time. `None` before the first operation, and for shares outside of 0 to 1.
    ///
    /// See [`Latency`].
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 || !(0.0..=1.0).contains(&share) {
            return None;
        }
        let rank = ((share * count as f64).ceil() as u64).clamp(1, count);
        let mut below = 0;
        let reached = self.buckets.iter().find(|(_, count)| {
            below += count;
            below >= rank
        });
        reached.map(|(bucket, _)| self.told(*bucket))
    }

    /// The longest time. Of a difference ([`Stats::since`](super::Stats::since)): the upper bound of its bucket.
    ///
    /// See [`Latency`].
    pub fn max(&self) -> Option<Duration> {
        self.buckets.last().map(|(bucket, _)| self.told(*bucket))
    }

    /// The buckets that have any operations, from the shortest: their upper bounds, and how many are in each.
    /// This is what monitoring systems want, which make their own quantiles of many processes.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # tidegate::fs::write(dir.path().join("file"), "text").await?;
    /// let stats = tidegate::Handle::current()?.stats();
    /// for op in stats.ops() {
    ///     let sum: u64 = op.latency.buckets().map(|(_, count)| count).sum();
    ///     assert_eq!(sum, op.latency.count());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let told = |(bucket, count): &(u16, u64)| (self.told(*bucket), *count);
        self.buckets.iter().map(told)
    }

    fn told(&self, bucket: u16) -> Duration {
        Duration::from_nanos(longest(bucket.into()).min(self.max))
    }

    /// What was measured after the earlier snapshot.
    pub(super) fn since(&self, earlier: &Latency) -> Latency {
        let before = |bucket: u16| {
            let found = earlier.buckets.binary_search_by_key(&bucket, |(at, _)| *at);
            found.map_or(0, |index| earlier.buckets[index].1)
        };
        let now = self.buckets.iter();
        let new = now.map(|&(bucket, count)| (bucket, count.saturating_sub(before(bucket))));
        Latency {
            buckets: new.filter(|(_, count)| *count > 0).collect(),
            max: self.max,
        }
    }
}

#[cfg(test)]
#[path = "latency_tests.rs"]
mod tests;
