//! The counters of a handle, for the `metrics` crate.

use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};

use crate::handle::Handle;
use crate::mounts::{BreakerState, MountStats};
use crate::observe::{OpStats, Stats};

/// The names of the metrics.
mod name {
    pub(super) const BUFFER_GROUPS: &str = "tidegate_buffer_groups";
    pub(super) const BUFFER_GROUPS_EXHAUSTED: &str = "tidegate_buffer_groups_exhausted_total";
    pub(super) const BUFFER_GROUPS_PEAK: &str = "tidegate_buffer_groups_peak";
    pub(super) const BUFFER_GROUPS_REMAINING: &str = "tidegate_buffer_groups_remaining";
    pub(super) const ENDED: &str = "tidegate_operations_ended_total";
    pub(super) const FALLBACKS: &str = "tidegate_fallbacks_total";
    pub(super) const FOREIGN: &str = "tidegate_foreign_completions_total";
    pub(super) const IN_FLIGHT: &str = "tidegate_operations_in_flight";
    pub(super) const LANES: &str = "tidegate_lanes";
    pub(super) const LANES_REPLACED: &str = "tidegate_lanes_replaced_total";
    pub(super) const LATENCY: &str = "tidegate_operation_duration_seconds";
    pub(super) const MOUNT_REFUSED: &str = "tidegate_mount_refused_total";
    pub(super) const MOUNT_STATE: &str = "tidegate_mount_state";
    pub(super) const MOUNT_STUCK: &str = "tidegate_mount_stuck";
    pub(super) const MOUNT_TIMEOUTS: &str = "tidegate_mount_timeouts_total";
    pub(super) const OPERATIONS: &str = "tidegate_operations_total";
    pub(super) const ORPHANS: &str = "tidegate_orphans";
    pub(super) const ORPHANS_MAX: &str = "tidegate_orphans_max";
    pub(super) const POLLS_STUCK: &str = "tidegate_polls_stuck_total";
    pub(super) const POOL_THREADS: &str = "tidegate_pool_threads";
}

/// The names of their labels.
mod label {
    pub(super) const MOUNT_POINT: &str = "mount_point";
    pub(super) const OPERATION: &str = "operation";
    pub(super) const OUTCOME: &str = "outcome";
    pub(super) const REASON: &str = "reason";
    pub(super) const WAY: &str = "way";
}

type Describe = fn(&'static str, &'static str);

const COUNT: Describe = |name, what| describe_counter!(name, Unit::Count, what);
const STATE: Describe = |name, what| describe_gauge!(name, Unit::Count, what);
const TIME: Describe = |name, what| describe_histogram!(name, Unit::Seconds, what);

/// Every metric, with what it says.
const METRICS: &[(&str, Describe, &str)] = &[
    (
        name::BUFFER_GROUPS,
        STATE,
        "Groups of provided buffers that rings have registered",
    ),
    (
        name::BUFFER_GROUPS_EXHAUSTED,
        COUNT,
        "How often a ring had no id left for a group of provided buffers",
    ),
    (
        name::BUFFER_GROUPS_PEAK,
        STATE,
        "The most groups that one ring had at a time",
    ),
    (
        name::BUFFER_GROUPS_REMAINING,
        STATE,
        "How many more the ring may have that has the most",
    ),
    (
        name::ENDED,
        COUNT,
        "Operations that left the poll, by how they ended",
    ),
    (
        name::FALLBACKS,
        COUNT,
        "Operations that took another way than meant, by reason",
    ),
    (
        name::FOREIGN,
        COUNT,
        "Completions that belonged to no operation in flight",
    ),
    (name::IN_FLIGHT, STATE, "Operations that are not over"),
    (
        name::LANES,
        STATE,
        "Lanes with a ring, wedged ones included",
    ),
    (
        name::LANES_REPLACED,
        COUNT,
        "Lanes that were wedged and replaced",
    ),
    (
        name::LATENCY,
        TIME,
        "How long operations took that left the poll",
    ),
    (
        name::MOUNT_REFUSED,
        COUNT,
        "Operations that were refused because the mount did not answer",
    ),
    (
        name::MOUNT_STATE,
        STATE,
        "Whether operations go to the mount: 0 they do, 1 it is asked again, 2 they do not",
    ),
    (
        name::MOUNT_STUCK,
        STATE,
        "Operations on the mount that nobody waits for and that are not over",
    ),
    (
        name::MOUNT_TIMEOUTS,
        COUNT,
        "Operations on the mount that ran out of time",
    ),
    (
        name::OPERATIONS,
        COUNT,
        "Operations, by the way that they took",
    ),
    (
        name::ORPHANS,
        STATE,
        "Operations that nobody waits for and that are not over",
    ),
    (name::ORPHANS_MAX, STATE, "The most orphans at a time"),
    (
        name::POLLS_STUCK,
        COUNT,
        "Polls that were seen inside the kernel for too long",
    ),
    (name::POOL_THREADS, STATE, "Blocking threads"),
];

/// Hands the counters of a handle to the recorder of the [`metrics`] crate, under the names of the
/// [guide](crate::guide::observing).
///
/// Counters are absolute, so nothing is lost between two calls, and nothing counted twice. Times are
/// recorded at the upper bounds of their buckets, see [`Latency`](crate::Latency).
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
/// use std::time::Duration;
/// use tidegate::{Handle, MetricsExporter};
///
/// let mut exporter = MetricsExporter::new(&Handle::current()?).label("runtime", "main");
/// let task = tokio::spawn(async move {
///     loop {
///         exporter.publish();
///         tokio::time::sleep(Duration::from_secs(10)).await;
///     }
/// });
/// # task.abort();
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct MetricsExporter {
    handle: Handle,
    labels: Vec<Label>,
    /// What was published last; nothing before the first time.
    last: Option<Stats>,
}

impl MetricsExporter {
    /// Nothing is published until [`publish`](MetricsExporter::publish) is called.
    ///
    /// See [`MetricsExporter`].
    pub fn new(handle: &Handle) -> MetricsExporter {
        MetricsExporter {
            handle: handle.clone(),
            labels: Vec::new(),
            last: None,
        }
    }

    /// Puts a label on everything: of several handles in a process, each needs one of its own.
    ///
    /// See [`MetricsExporter`].
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> MetricsExporter {
        self.labels.push(Label::new(key.into(), value.into()));
        self
    }

    /// Publishes what the handle has counted so far, to the recorder that is installed.
    ///
    /// See [`MetricsExporter`].
    pub fn publish(&mut self) {
        let stats = self.handle.stats();
        let new = match &self.last {
            Some(last) => stats.since(last),
            None => {
                METRICS
                    .iter()
                    .for_each(|(name, describe, what)| describe(name, what));
                stats.clone()
            }
        };
        stats.ops().for_each(|op| self.publish_op(&op));
        for op in new.ops() {
            let labels = self.labels([(label::OPERATION, op.row.name)]);
            let times = histogram!(name::LATENCY, labels);
            for (took, count) in op.latency.buckets() {
                times.record_many(took, usize::try_from(count).unwrap_or(usize::MAX));
            }
        }
        for (reason, count) in stats.fallbacks() {
            counter!(name::FALLBACKS, self.labels([(label::REASON, reason)])).absolute(count);
        }
        self.publish_totals(&stats);
        self.handle
            .mounts()
            .iter()
            .for_each(|mount| self.publish_mount(mount));
        self.last = Some(stats);
    }

    fn publish_op(&self, op: &OpStats) {
        let ways = [
            ("poll", op.at_poll),
            ("worker_ring", op.worker_ring),
            ("lane_ring", op.lane_ring),
            ("pool", op.pool),
        ];
        let ends = [
            ("ok", op.ok),
            ("failed", op.failed),
            ("timed_out", op.timed_out),
            ("cancelled", op.cancelled),
            ("dropped", op.dropped),
            ("refused", op.refused),
        ];
        // What never happened needs no time series.
        let happened = |(_, count): &(&str, u64)| *count > 0;
        for (way, count) in ways.into_iter().filter(happened) {
            let labels = self.labels([(label::OPERATION, op.row.name), (label::WAY, way)]);
            counter!(name::OPERATIONS, labels).absolute(count);
        }
        for (outcome, count) in ends.into_iter().filter(happened) {
            let labels = self.labels([(label::OPERATION, op.row.name), (label::OUTCOME, outcome)]);
            counter!(name::ENDED, labels).absolute(count);
        }
    }

    fn publish_totals(&self, stats: &Stats) {
        let groups = stats.buffer_groups;
        let counters = [
            (name::BUFFER_GROUPS_EXHAUSTED, groups.exhausted),
            (name::FOREIGN, stats.foreign_completions),
            (name::LANES_REPLACED, stats.lanes_replaced),
            (name::POLLS_STUCK, stats.polls_stuck),
        ];
        for (name, count) in counters {
            counter!(name, self.labels([])).absolute(count);
        }
        let gauges = [
            (name::BUFFER_GROUPS, groups.in_flight),
            (name::BUFFER_GROUPS_PEAK, groups.peak.into()),
            (name::BUFFER_GROUPS_REMAINING, groups.remaining.into()),
            (name::IN_FLIGHT, stats.in_flight),
            (name::LANES, stats.lanes as u64),
            (name::ORPHANS, stats.orphans),
            (name::ORPHANS_MAX, stats.orphans_max),
            (name::POOL_THREADS, stats.pool_threads as u64),
        ];
        for (name, value) in gauges {
            gauge!(name, self.labels([])).set(value as f64);
        }
    }

    /// Of a mount whose place is not known nobody could tell which it is.
    fn publish_mount(&self, mount: &MountStats) {
        let Some(point) = &mount.point else { return };
        let labels = || {
            let own = Label::new(label::MOUNT_POINT, point.display().to_string());
            self.labels.iter().cloned().chain([own]).collect::<Vec<_>>()
        };
        let state = match mount.state {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        };
        gauge!(name::MOUNT_STATE, labels()).set(state);
        gauge!(name::MOUNT_STUCK, labels()).set(mount.stuck as f64);
        counter!(name::MOUNT_TIMEOUTS, labels()).absolute(mount.timeouts);
        counter!(name::MOUNT_REFUSED, labels()).absolute(mount.refused);
    }

    fn labels<const COUNT: usize>(&self, own: [(&'static str, &'static str); COUNT]) -> Vec<Label> {
        let own = own.map(|(key, value)| Label::from_static_parts(key, value));
        self.labels.iter().cloned().chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guide has every name, and no metric is forgotten in the list.
    #[test]
    fn the_guide_names_every_metric() {
        let guide = include_str!("guide/observing.rs");
        for (name, ..) in METRICS {
            assert!(guide.contains(&format!("`{name}`")), "{name}");
        }
        let own = include_str!("exporter.rs");
        let declared = own.matches("&str = \"tidegate_").count();
        // The line above has it once more.
        assert_eq!(declared, METRICS.len());
    }
}
