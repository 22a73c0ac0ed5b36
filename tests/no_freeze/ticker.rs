//! A task that ticks, and how long it could not.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

const TICK: Duration = Duration::from_millis(5);

/// The largest gaps between two ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gaps {
    /// By the clock.
    pub(crate) longest: Duration,
    /// Less the time in which the thread could run and had no CPU.
    pub(crate) longest_asleep: Duration,
    /// How many ticks there were.
    pub(crate) ticks: u64,
}

/// Ticks until it is stopped.
pub(crate) struct Ticker {
    gaps: Arc<Mutex<Gaps>>,
    task: JoinHandle<()>,
}

impl Ticker {
    /// Starts the task on the runtime of the calling thread, which has to be a current-thread one.
    pub(crate) fn start() -> Ticker {
        let gaps = Arc::new(Mutex::new(Gaps::default()));
        let task = tokio::spawn(tick(gaps.clone()));
        Ticker { gaps, task }
    }

    pub(crate) fn stop(self) -> Gaps {
        self.task.abort();
        *self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn tick(gaps: Arc<Mutex<Gaps>>) {
    let schedule = File::open("/proc/thread-self/schedstat").ok();
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval.tick().await;
    let mut last = (Instant::now(), waited(schedule.as_ref()));
    loop {
        interval.tick().await;
        let now = (Instant::now(), waited(schedule.as_ref()));
        let gap = now.0 - last.0;
        let asleep = gap.saturating_sub(now.1.saturating_sub(last.1));
        last = now;
        let mut gaps = gaps.lock().unwrap_or_else(PoisonError::into_inner);
        gaps.longest = gaps.longest.max(gap);
        gaps.longest_asleep = gaps.longest_asleep.max(asleep);
        gaps.ticks += 1;
    }
}

/// How long this thread has waited for a CPU so far; nothing where the kernel does not count it.
fn waited(schedule: Option<&File>) -> Duration {
    let mut text = [0; 64];
    let count = schedule.map_or(0, |file| file.read_at(&mut text, 0).unwrap_or(0));
    let text = String::from_utf8_lossy(&text[..count]);
    let nanos = text
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
