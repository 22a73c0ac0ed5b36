//! A task that ticks, and how long it could not.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
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
    /// The longest that two threads took meanwhile which do nothing but wait for each other: how slow the machine is.
    pub(crate) longest_elsewhere: Duration,
    /// How many ticks there were.
    pub(crate) ticks: u64,
}

/// When the last tick was, and what was measured up to it.
struct Clock {
    gaps: Gaps,
    schedule: Option<File>,
    last: Option<(Instant, Duration)>,
}

impl Clock {
    fn tick(&mut self) {
        let now = (Instant::now(), waited(self.schedule.as_ref()));
        if let Some(last) = self.last.replace(now) {
            let gap = now.0 - last.0;
            let asleep = gap.saturating_sub(now.1.saturating_sub(last.1));
            self.gaps.longest = self.gaps.longest.max(gap);
            self.gaps.longest_asleep = self.gaps.longest_asleep.max(asleep);
            self.gaps.ticks += 1;
        }
    }
}

/// Ticks until it is stopped.
pub(crate) struct Ticker {
    clock: Arc<Mutex<Clock>>,
    task: JoinHandle<()>,
    elsewhere: Elsewhere,
}

impl Ticker {
    /// Starts the task on the runtime of the calling thread, which has to be a current-thread one.
    pub(crate) fn start() -> Ticker {
        let mut clock = Clock {
            gaps: Gaps::default(),
            schedule: File::open("/proc/thread-self/schedstat").ok(),
            last: None,
        };
        // From here on, so that a thread that never comes to its first tick is seen as well.
        clock.tick();
        let clock = Arc::new(Mutex::new(clock));
        let task = tokio::spawn(tick(clock.clone()));
        Ticker {
            clock,
            task,
            elsewhere: Elsewhere::start(),
        }
    }

    /// On the same thread as the start; what has passed since the last tick counts.
    pub(crate) fn stop(self) -> Gaps {
        self.task.abort();
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.tick();
        clock.gaps.longest_elsewhere = self.elsewhere.stop();
        clock.gaps
    }
}

/// Two threads that hand a word to each other and back, every few milliseconds.
struct Elsewhere {
    over: Arc<AtomicBool>,
    asking: std::thread::JoinHandle<Duration>,
    answering: std::thread::JoinHandle<()>,
}

impl Elsewhere {
    fn start() -> Elsewhere {
        let over = Arc::new(AtomicBool::new(false));
        let (ask, asked) = sync_channel::<()>(0);
        let (answer, answered) = sync_channel(0);
        let answering =
            std::thread::spawn(
                move || {
                    while asked.recv().is_ok() && answer.send(()).is_ok() {}
                },
            );
        let is_over = over.clone();
        let asking = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                std::thread::sleep(TICK);
                ask.send(()).expect("the other one waits");
                answered.recv().expect("the other one answers");
                longest = longest.max(begun.elapsed());
            }
            longest
        });
        Elsewhere {
            over,
            asking,
            answering,
        }
    }

    fn stop(self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        let longest = self.asking.join().expect("it only waits");
        self.answering.join().expect("it only waits");
        longest
    }
}

async fn tick(clock: Arc<Mutex<Clock>>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        clock.lock().unwrap_or_else(PoisonError::into_inner).tick();
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
