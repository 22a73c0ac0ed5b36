//! What is counted while operations run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use super::buffer_groups::BgidBook;
use super::latency::Histogram;
use super::stats::{Counts, Stats};
use super::submitted::Submitted;
use super::{WAYS, Way};
use crate::base::clock::now_us;
use crate::base::lock::{lock, wait_timeout};
use crate::base::thread_index;
use crate::opcode::{KINDS, Kind};

const OPS: usize = KINDS;

/// How an operation ended that had left the poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Ended {
    Ok,
    Failed,
    TimedOut,
    Cancelled,
    Dropped,
    /// It never began.
    Refused,
}

pub(super) const ENDS: usize = 6;

/// What is counted for one kind of operation once it has left the poll. Not divided among threads, as each
/// of these operations costs some microseconds anyway.
#[derive(Default)]
struct Launched {
    started: AtomicU64,
    /// By way: what began there, and then was done another way.
    left_ways: [AtomicU64; WAYS],
    ended: [AtomicU64; ENDS],
    latency: Histogram,
}

impl Launched {
    /// The ends first: there are never more of them in a snapshot than beginnings.
    fn add_to(&self, counts: &mut Counts) {
        for (sum, count) in counts.ended.iter_mut().zip(&self.ended) {
            *sum = count.load(Ordering::Acquire);
        }
        counts.started = self.started.load(Ordering::Relaxed);
        counts.latency = self.latency.snapshot();
    }
}

struct Launches([OnceLock<Box<Launched>>; OPS]);

impl Default for Launches {
    fn default() -> Launches {
        Launches([const { OnceLock::new() }; OPS])
    }
}

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
    pub(crate) buffer_groups: BgidBook,
    /// Entries that a ring's kernel took.
    pub(crate) submitted: Submitted,
    /// By kind, made when the first of its operations leaves the poll.
    launched: Launches,
    orphans: AtomicU64,
    orphans_max: AtomicU64,
    walked: AtomicU64,
    /// Set while somebody waits for the last operation to end.
    draining: Mutex<bool>,
    drained: Condvar,
}

impl Counters {
    pub(crate) fn new(buffer_groups_max: u32) -> SharedCounters {
        Arc::new(Counters {
            buffer_groups: BgidBook::new(buffer_groups_max),
            ..Counters::default()
        })
    }

    pub(crate) fn went(&self, kind: Kind, way: Way) {
        let shard = &self.shards[thread_index() % SHARDS];
        shard.0[kind as usize][way as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// An operation that was counted under this way is done another way after all, and counted there.
    pub(crate) fn went_not(&self, kind: Kind, way: usize) {
        self.launched(kind).left_ways[way].fetch_add(1, Ordering::Release);
    }

    pub(crate) fn fell_back(&self, reason: &'static str) {
        *lock(&self.fallbacks).entry(reason).or_default() += 1;
    }

    /// Counted before the watchdog is called: either it sees the count before it sleeps, or the call.
    pub(crate) fn started(&self, kind: Kind) {
        self.launched(kind).started.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn ended(&self) {
        if self.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tell_drained();
        }
    }

    /// An operation that had left the poll is over, for whoever asked for it: once for each, with the time
    /// since it was launched.
    pub(crate) fn over(&self, kind: Kind, end: Ended, took: Duration) {
        let launched = self.launched(kind);
        // What never began took no time that says anything.
        if end != Ended::Refused {
            launched.latency.record(took);
        }
        launched.ended[end as usize].fetch_add(1, Ordering::Release);
    }

    /// About how many operations of a kind are in flight.
    pub(crate) fn in_flight_of(&self, kind: Kind) -> u64 {
        let Some(launched) = self.launched.0[kind as usize].get() else {
            return 0;
        };
        let ended = launched.ended.iter();
        let ended: u64 = ended.map(|count| count.load(Ordering::Relaxed)).sum();
        let started = launched.started.load(Ordering::Relaxed);
        started.saturating_sub(ended)
    }

    fn launched(&self, kind: Kind) -> &Launched {
        self.launched.0[kind as usize].get_or_init(Box::default)
    }

    /// Nobody waits any more for an operation that the kernel, or a thread, still has.
    pub(crate) fn orphaned(&self) {
        let now = self.orphans.fetch_add(1, Ordering::AcqRel) + 1;
        self.orphans_max.fetch_max(now, Ordering::AcqRel);
    }

    pub(crate) fn orphan_ended(&self) {
        self.orphans.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn orphans(&self) -> u64 {
        self.orphans.load(Ordering::Acquire)
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

    /// Counts entries that walks found.
    pub(crate) fn walked(&self, entries: u64) {
        self.walked.fetch_add(entries, Ordering::Relaxed);
    }

    pub(crate) fn entries_walked(&self) -> u64 {
        self.walked.load(Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Waits on this thread until nothing is in flight, or the time is over.
    #[cfg(test)]
    pub(crate) fn wait_drained(&self, bound: Duration) {
        self.wait_for(&self.in_flight, bound);
    }

    /// Waits on this thread until no write is kept, or the time is over.
    pub(crate) fn wait_kept_writes(&self, bound: Duration) {
        self.wait_for(&self.kept_writes, bound);
    }

    fn wait_for(&self, count: &AtomicU64, bound: Duration) {
        let end_us = now_us().saturating_add(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX));
        let mut draining = lock(&self.draining);
        while count.load(Ordering::SeqCst) > 0 {
            *draining = true;
            let left = Duration::from_micros(end_us.saturating_sub(now_us()));
            if left.is_zero() {
                break;
            }
            // A short wait besides the notification: the count may fall between the two looks.
            draining = wait_timeout(&self.drained, draining, left.min(Duration::from_millis(20))).0;
        }
        *draining = false;
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let mut ops = vec![Counts::default(); OPS];
        // What left a way first: there is never more of it than of what went there.
        let left: Vec<_> = self
            .launched
            .0
            .iter()
            .map(|launched| {
                let ways = launched.get().map(|launched| &launched.left_ways)?;
                Some(std::array::from_fn::<u64, WAYS, _>(|way| {
                    ways[way].load(Ordering::Acquire)
                }))
            })
            .collect();
        for shard in self.shards.iter() {
            for (sum, counts) in ops.iter_mut().zip(&shard.0) {
                let counts = counts.iter().map(|count| count.load(Ordering::Relaxed));
                sum.ways
                    .iter_mut()
                    .zip(counts)
                    .for_each(|(sum, count)| *sum += count);
            }
        }
        for (counts, left) in ops.iter_mut().zip(left) {
            for (way, left) in counts.ways.iter_mut().zip(left.unwrap_or_default()) {
                *way -= left;
            }
        }
        for (counts, launched) in ops.iter_mut().zip(&self.launched.0) {
            if let Some(launched) = launched.get() {
                launched.add_to(counts);
            }
        }
        Stats {
            ops,
            fallbacks: lock(&self.fallbacks).clone(),
            buffer_groups: self.buffer_groups.stats(),
            foreign_completions: self.foreign_completions.load(Ordering::Relaxed),
            in_flight: self.in_flight(),
            lanes: 0,
            lanes_replaced: self.lanes_replaced.load(Ordering::Relaxed),
            mounts: Vec::new(),
            orphans: self.orphans(),
            orphans_max: self.orphans_max.load(Ordering::Acquire),
            polls_stuck: 0,
            submitted: self.submitted.snapshot(),
            pool_threads: 0,
        }
    }
}

/// Something that the end of the runtime waits for, as for a write that was accepted.
pub(crate) struct Promise(SharedCounters);

impl Promise {
    pub(crate) fn new(counters: &SharedCounters) -> Promise {
        counters.keep_write();
        Promise(counters.clone())
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.end_kept_write();
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

    /// The ends that several threads count at the same time all arrive, each under its name, with their times.
    #[test]
    fn ends_of_all_threads_are_counted() {
        const EACH: u64 = 1000;
        let ends = [
            Ended::Ok,
            Ended::Failed,
            Ended::TimedOut,
            Ended::Cancelled,
            Ended::Dropped,
            Ended::Refused,
        ];
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for end in ends {
                let counters = &counters;
                scope.spawn(move || {
                    for number in 0..EACH {
                        counters.over(Kind::Open, end, Duration::from_micros(number));
                    }
                });
            }
        });
        let stats = counters.snapshot();
        let op = stats.ops().find(|op| op.row.kind == Kind::Open).unwrap();
        let ended = [
            op.ok,
            op.failed,
            op.timed_out,
            op.cancelled,
            op.dropped,
            op.refused,
        ];
        assert_eq!(ended, [EACH; ENDS]);
        assert_eq!(op.latency.count(), EACH * 5);
        assert_eq!(op.latency.max(), Some(Duration::from_micros(EACH - 1)));
        assert_eq!(stats.ops().count(), 1);
    }

    /// What a ring could not do counts for the thread that did it.
    #[test]
    fn what_goes_another_way_counts_once() {
        let counters = Counters::default();
        for way in [Way::LaneRing, Way::LaneRing, Way::Pool] {
            counters.went(Kind::Read, way);
        }
        counters.went_not(Kind::Read, Way::LaneRing as usize);
        let stats = counters.snapshot();
        assert_eq!(stats.count(Kind::Read, Way::LaneRing), 1);
        assert_eq!(stats.count(Kind::Read, Way::Pool), 1);
        assert_eq!(stats.ops().map(|op| op.total()).sum::<u64>(), 2);
    }

    /// The high-water mark stays when the orphans are gone.
    #[test]
    fn the_most_orphans_at_a_time_are_remembered() {
        let counters = Counters::default();
        for _ in 0..3 {
            counters.orphaned();
        }
        for _ in 0..3 {
            counters.orphan_ended();
        }
        counters.orphaned();
        let stats = counters.snapshot();
        assert_eq!((stats.orphans, stats.orphans_max), (1, 3));
    }

    /// A difference counts what came later; what is a state, and not a count, is that of the later one.
    #[test]
    fn a_difference_counts_what_came_later() {
        let counters = Counters::default();
        let count = |reason| {
            counters.went(Kind::Read, Way::Pool);
            counters.over(Kind::Read, Ended::Ok, Duration::from_millis(1));
            counters.fell_back(reason);
            counters.lane_replaced();
            counters.started(Kind::Read);
            counters.orphaned();
        };
        count("first");
        let before = counters.snapshot();
        count("second");
        counters.went(Kind::Open, Way::AtPoll);
        let since = counters.snapshot().since(&before);
        assert_eq!(since.count(Kind::Read, Way::Pool), 1);
        assert_eq!(since.count(Kind::Open, Way::AtPoll), 1);
        assert_eq!(since.fallbacks().collect::<Vec<_>>(), [("second", 1)]);
        assert_eq!(
            (since.lanes_replaced, since.in_flight, since.orphans),
            (1, 2, 2)
        );
        let read = since.ops().find(|op| op.row.kind == Kind::Read).unwrap();
        assert_eq!((read.ok, read.latency.count()), (1, 1));
        let nothing = before.since(&before);
        assert_eq!((nothing.ops().count(), nothing.fallbacks().count()), (0, 0));
    }

    /// A drain ends with the last operation, or with its bound.
    #[test]
    fn a_drain_waits_for_the_last_operation_and_no_longer() {
        let counters = Counters::default();
        counters.started(Kind::Read);
        counters.wait_drained(Duration::ZERO);
        assert_eq!(counters.in_flight(), 1);
        std::thread::scope(|scope| {
            scope.spawn(|| counters.ended());
            counters.wait_drained(Duration::from_secs(3600));
        });
        assert_eq!(counters.in_flight(), 0);
    }
}
