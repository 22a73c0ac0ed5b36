//! What a handle has done: counters and their snapshot.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::opcode::{KINDS, Kind, Row, TABLE};
use crate::sys::lock::{lock, wait_timeout};

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

const WAYS: usize = 4;
const OPS: usize = KINDS;

/// Counters that several threads raise without sharing a cache line.
const SHARDS: usize = 16;

#[repr(align(128))]
struct Shard([[AtomicU64; WAYS]; OPS]);

impl Default for Shard {
    fn default() -> Shard {
        Shard([const { [const { AtomicU64::new(0) }; WAYS] }; OPS])
    }
}

/// The counters of one handle.
#[derive(Default)]
pub(crate) struct Counters {
    shards: Box<[Shard; SHARDS]>,
    in_flight: AtomicU64,
    /// Of them, the writes that go on without their futures.
    kept_writes: AtomicU64,
    lanes_replaced: AtomicU64,
    foreign_completions: AtomicU64,
    fallbacks: Mutex<BTreeMap<&'static str, u64>>,
    /// Set while somebody waits for the last operation to end.
    draining: Mutex<bool>,
    drained: Condvar,
}

/// A small number per thread, to pick a shard or a ring.
pub(crate) fn thread_index() -> usize {
    use std::cell::Cell;
    use std::sync::atomic::AtomicUsize;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static INDEX: Cell<usize> = const { Cell::new(usize::MAX) });
    INDEX.with(|index| {
        if index.get() == usize::MAX {
            index.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        index.get()
    })
}

impl Counters {
    pub(crate) fn went(&self, kind: Kind, way: Way) {
        let shard = &self.shards[thread_index() % SHARDS];
        shard.0[kind as usize][way as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fell_back(&self, reason: &'static str) {
        *lock(&self.fallbacks).entry(reason).or_default() += 1;
    }

    /// Counted before the watchdog is called: either it sees the count before it sleeps, or the call.
    pub(crate) fn started(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn ended(&self) {
        if self.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tell_drained();
        }
    }

    pub(crate) fn keep_write(&self) {
        self.kept_writes.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn end_kept_write(&self) {
        if self.kept_writes.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tell_drained();
        }
    }

    fn tell_drained(&self) {
        if *lock(&self.draining) {
            self.drained.notify_all();
        }
    }

    pub(crate) fn lane_replaced(&self) {
        self.lanes_replaced.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts completions that belonged to no live operation.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "only rings have them")
    )]
    pub(crate) fn foreign(&self, count: usize) {
        self.foreign_completions
            .fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Waits on this thread until nothing is in flight, or the time is over.
    pub(crate) fn wait_drained(&self, bound: Duration) {
        self.wait_for(&self.in_flight, bound);
    }

    /// Waits on this thread until no write is kept, or the time is over.
    pub(crate) fn wait_kept_writes(&self, bound: Duration) {
        self.wait_for(&self.kept_writes, bound);
    }

    fn wait_for(&self, count: &AtomicU64, bound: Duration) {
        let end = Instant::now() + bound;
        let mut draining = lock(&self.draining);
        while count.load(Ordering::SeqCst) > 0 {
            *draining = true;
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                break;
            };
            // A short wait besides the notification: the count may fall between the two looks.
            draining = wait_timeout(&self.drained, draining, left.min(Duration::from_millis(20))).0;
        }
        *draining = false;
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let mut ops = vec![[0; WAYS]; OPS];
        for shard in self.shards.iter() {
            for (sum, counts) in ops.iter_mut().zip(&shard.0) {
                sum.iter_mut()
                    .zip(counts)
                    .for_each(|(sum, count)| *sum += count.load(Ordering::Relaxed));
            }
        }
        Stats {
            ops,
            fallbacks: lock(&self.fallbacks).clone(),
            foreign_completions: self.foreign_completions.load(Ordering::Relaxed),
            in_flight: self.in_flight(),
            lanes: 0,
            lanes_replaced: self.lanes_replaced.load(Ordering::Relaxed),
            polls_stuck: 0,
            pool_threads: 0,
        }
    }
}

/// What a handle has done so far, at one moment.
///
/// See [`Stats::ops`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    ops: Vec<[u64; WAYS]>,
    fallbacks: BTreeMap<&'static str, u64>,
    /// Completions that belonged to no operation in flight: late, or somebody else's. They were ignored.
    pub foreign_completions: u64,
    /// Operations that are not over.
    pub in_flight: u64,
    /// Lanes with a ring, wedged ones included.
    pub lanes: usize,
    /// Lanes that were wedged and replaced.
    pub lanes_replaced: u64,
    /// Polls that were seen inside the kernel for too long.
    pub polls_stuck: u64,
    /// Blocking threads.
    pub pool_threads: usize,
}

/// How often one kind of operation took which way.
///
/// See [`Stats::ops`].
#[derive(Clone, Copy, Debug)]
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
}

impl OpStats {
    /// How often the operation was asked for, whichever way it took.
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
            .filter(|(counts, _)| counts.iter().any(|&count| count > 0))
            .map(|(counts, row)| OpStats {
                row,
                at_poll: counts[Way::AtPoll as usize],
                worker_ring: counts[Way::WorkerRing as usize],
                lane_ring: counts[Way::LaneRing as usize],
                pool: counts[Way::Pool as usize],
            })
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
            .map_or(0, |counts| counts[way as usize])
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
}

/// Shared by everything that counts for one handle.
pub(crate) type SharedCounters = Arc<Counters>;

#[cfg(test)]
mod tests {
    use super::*;

    /// What several threads count comes together, by kind and way.
    #[test]
    fn counts_of_all_threads_are_summed() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| counters.went(Kind::Read, Way::Pool));
            }
        });
        counters.fell_back("a reason");
        counters.fell_back("a reason");
        let stats = counters.snapshot();
        assert_eq!(stats.count(Kind::Read, Way::Pool), 40);
        assert_eq!(stats.count(Kind::Read, Way::AtPoll), 0);
        assert_eq!(stats.ops().map(|op| op.total()).sum::<u64>(), 40);
        assert_eq!(stats.fallbacks().collect::<Vec<_>>(), [("a reason", 2)]);
    }

    /// A drain ends with the last operation, or with its bound.
    #[test]
    fn a_drain_waits_for_the_last_operation_and_no_longer() {
        let counters = Counters::default();
        counters.started();
        counters.wait_drained(Duration::ZERO);
        assert_eq!(counters.in_flight(), 1);
        std::thread::scope(|scope| {
            scope.spawn(|| counters.ended());
            counters.wait_drained(Duration::from_secs(3600));
        });
        assert_eq!(counters.in_flight(), 0);
    }
}
