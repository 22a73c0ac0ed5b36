//! One measurement in progress: shared by the tasks that work and the thread that watches.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::calls::Calls;
use crate::data::Data;
use crate::stop::Stop;
use crate::workload::{Op, Workload};

/// How much is done before measuring, as a part of the time that is measured: threads start, lanes too.
const WARM_UP_PART: u32 = 5;
const WARM_UP_MAX: Duration = Duration::from_millis(200);
/// Of short operations, one in this many is timed, at random: a fixed beat could meet the engine's own.
const TIMED_ONE_IN: u8 = 16;

/// The phases of a job.
mod phase {
    pub(super) const WARM_UP: u8 = 0;
    pub(super) const MEASURE: u8 = 1;
    pub(super) const STOP: u8 = 2;
}

/// A count of its own cache line, written by one task.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Count(AtomicU64);

/// One workload being done by one engine.
#[derive(Debug)]
pub struct Job {
    /// What is done.
    pub workload: Workload,
    /// On which files.
    pub data: Arc<Data>,
    /// An empty folder for what is made.
    pub scratch: PathBuf,
    /// Whether to end early.
    pub(crate) stop: Stop,
    seconds: Duration,
    phase: AtomicU8,
    counts: Box<[Count]>,
    calls: Option<Mutex<Calls>>,
}

impl Job {
    /// Prepares the files. `is_counted`: the process's system calls are counted, which takes time of each.
    ///
    /// # Errors
    ///
    /// Those of dropping the cold file from the page cache, or emptying the scratch folder; of counting.
    pub fn new(
        workload: Workload,
        data: &Arc<Data>,
        seconds: Duration,
        stop: &Stop,
        is_counted: bool,
    ) -> io::Result<Arc<Job>> {
        let scratch = data.scratch()?.to_path_buf();
        match workload.op {
            Op::ColdReadAt | Op::ColdStream => data.renew_cold()?,
            Op::DirectRanges | Op::DirectRead => data.forget_cold()?,
            _ if workload.is_cold() => data.forget_all()?,
            _ => {}
        }
        let phase = if workload.is_once() || workload.is_tour() {
            phase::MEASURE
        } else {
            phase::WARM_UP
        };
        Ok(Arc::new(Job {
            workload,
            data: data.clone(),
            scratch,
            stop: stop.clone(),
            seconds,
            phase: AtomicU8::new(phase),
            calls: is_counted.then(Calls::start).transpose()?.map(Mutex::new),
            counts: (0..workload.tasks).map(|_| Count::default()).collect(),
        }))
    }

    /// The file that is read or written at offsets.
    pub(crate) fn path(&self) -> &Path {
        match self.workload.op {
            Op::ColdRandom
            | Op::ColdReadAt
            | Op::ColdStream
            | Op::DirectRanges
            | Op::DirectRead => &self.data.cold,
            _ => &self.data.hot,
        }
    }

    /// What all tasks have counted.
    pub(crate) fn count(&self) -> u64 {
        let counts = self.counts.iter();
        counts.map(|count| count.0.load(Ordering::Relaxed)).sum()
    }

    /// How many system calls the process has made, if they are counted.
    pub(crate) fn calls(&self) -> Option<u64> {
        let mut calls = self
            .calls
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        calls.count().ok()
    }

    /// Lets the tasks work for their time, calling `mark` where the measured part begins and ends.
    pub(crate) fn watch(&self, mut mark: impl FnMut()) {
        self.stop
            .wait((self.seconds / WARM_UP_PART).min(WARM_UP_MAX));
        mark();
        self.phase.store(phase::MEASURE, Ordering::Relaxed);
        self.stop.wait(self.seconds);
        mark();
        self.end();
    }

    /// Lets the tasks end.
    pub(crate) fn end(&self) {
        self.phase.store(phase::STOP, Ordering::Relaxed);
    }
}

/// Counts and times one task's operations.
pub(crate) struct Pace {
    job: Arc<Job>,
    task: usize,
    pub(crate) random: fastrand::Rng,
    done: u64,
    samples_ns: Vec<u64>,
}

impl Pace {
    pub(crate) fn new(job: &Arc<Job>, task: usize) -> Pace {
        Pace {
            job: job.clone(),
            task,
            random: fastrand::Rng::with_seed(task as u64 + 7),
            done: 0,
            samples_ns: Vec::with_capacity(4096),
        }
    }

    /// Before an operation: `None` when it is time to end, and else when it began, if it is timed.
    #[inline]
    pub(crate) fn begin(&mut self) -> Option<Option<Instant>> {
        match self.job.phase.load(Ordering::Relaxed) {
            phase::STOP => None,
            phase::WARM_UP => Some(None),
            _ => {
                let timed =
                    !self.job.workload.is_short() || self.random.u8(..) < u8::MAX / TIMED_ONE_IN;
                Some(timed.then(Instant::now))
            }
        }
    }

    /// After an operation that was worth `count`.
    #[inline]
    pub(crate) fn end(&mut self, began: Option<Instant>, count: u64) {
        if let Some(began) = began {
            self.samples_ns.push(began.elapsed().as_nanos() as u64);
        }
        self.done += count;
        self.job.counts[self.task]
            .0
            .store(self.done, Ordering::Relaxed);
    }

    pub(crate) fn into_samples(self) -> Vec<u64> {
        self.samples_ns
    }
}
