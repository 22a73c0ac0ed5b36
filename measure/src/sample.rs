//! One measurement.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::job::Job;
use crate::usage::Usage;

const MIB: f64 = 1_048_576.0;
const LATENCY_DIGITS: u8 = 3;
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// What one engine did in one round.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Operations, or MiB, per second.
    pub rate: f64,
    /// Processor time of the process, in nanoseconds per operation or MiB.
    pub cpu_ns: f64,
    /// Context switches of the process per operation or MiB.
    pub switches: f64,
    /// System calls of the process per operation or MiB, if they were counted.
    pub calls: Option<f64>,
    /// The median latency of an operation, in nanoseconds.
    pub p50_ns: f64,
    /// 99 of 100 operations took no longer.
    pub p99_ns: f64,
    /// 999 of 1000 operations took no longer.
    pub p999_ns: f64,
    /// Which way tidegate's operations took.
    pub ways: String,
}

/// The state at one moment.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    usage: Usage,
    count: u64,
    calls: Option<u64>,
}

/// Measures a job while it runs.
pub(crate) struct Meter<'a> {
    job: &'a Arc<Job>,
    started: Mark,
}

fn mark(job: &Job) -> Mark {
    Mark {
        at: Instant::now(),
        usage: Usage::now(),
        count: job.count(),
        calls: job.calls(),
    }
}

impl<'a> Meter<'a> {
    /// Before the tasks are started.
    pub(crate) fn start(job: &'a Arc<Job>) -> Meter<'a> {
        Meter {
            job,
            started: mark(job),
        }
    }

    /// Lets the tasks work, and joins them.
    pub(crate) fn watch(
        self,
        join: impl FnOnce() -> io::Result<Vec<Vec<u64>>>,
    ) -> io::Result<Sample> {
        let job = self.job;
        let (from, to, latencies);
        if job.workload.is_once() || job.workload.is_tour() {
            latencies = join()?;
            (from, to) = (self.started, mark(job));
        } else {
            let mut marks = Vec::with_capacity(2);
            job.watch(|| marks.push(mark(job)));
            (from, to) = (marks[0], marks[1]);
            latencies = join()?;
        }
        let unit = if job.workload.is_once() { MIB } else { 1.0 };
        Ok(sample(from, to, unit, &latencies))
    }
}

fn sample(from: Mark, to: Mark, unit: f64, latencies: &[Vec<u64>]) -> Sample {
    let count = (to.count - from.count) as f64 / unit;
    let used = to.usage.since(from.usage);
    let mut histogram = Histogram::<u64>::new_with_max(LATENCY_MAX_NS, LATENCY_DIGITS)
        .expect("bounds and a precision that it has");
    for &latency in latencies.iter().flatten() {
        histogram.saturating_record(latency);
    }
    let quantile = |q: f64| histogram.value_at_quantile(q) as f64;
    Sample {
        rate: count / (to.at - from.at).as_secs_f64(),
        cpu_ns: used.cpu.as_nanos() as f64 / count,
        switches: used.switches as f64 / count,
        calls: from
            .calls
            .zip(to.calls)
            .map(|(from, to)| (to - from) as f64 / count),
        p50_ns: quantile(0.5),
        p99_ns: quantile(0.99),
        p999_ns: quantile(0.999),
        ways: String::new(),
    }
}
