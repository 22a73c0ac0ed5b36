//! A soak: random operations that are dropped, cancelled and timed out at random moments. Every buffer,
//! descriptor and thread comes back, and the files hold what some order of the operations allows.
//!
//! `TIDEGATE_SOAK_OPS` is how many operations each backend gets, `TIDEGATE_SOAK_SEED` repeats a run.
#![cfg(target_os = "linux")]

#[path = "soak/blocks.rs"]
mod blocks;
#[path = "soak/buffers.rs"]
mod buffers;
mod common;
#[path = "soak/ending.rs"]
mod ending;
#[path = "soak/worker.rs"]
mod worker;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use buffers::{ALIVE, POOLS, SPOILT, lent, pool};
use common::{routes, runtime};
use tidegate::buf::BufGroup;
use tidegate::fs::File;
use tidegate::{Handle, Route};
use worker::{BLOCKS, Stage, TASKS, Worker};

/// What is not over within this time never is. Threads of a pool end after ten seconds without work.
const BOUND: Duration = Duration::from_secs(60);
const FILES: usize = 3;
/// Runtimes that are dropped in the middle of everything.
const RUNTIMES: u64 = 40;

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

fn make_stage(dir: &Path) {
    for file in 0..FILES {
        let zeros = vec![0; BLOCKS * blocks::BLOCK];
        std::fs::write(dir.join(worker::shared(file)), zeros).unwrap();
    }
    for name in ["fifo", "pipe"] {
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::unistd::mkfifo(&dir.join(name), mode).unwrap();
    }
}

async fn open_stage(dir: &Path) -> Arc<Stage> {
    let mut both = File::options();
    both.read(true).write(true);
    let mut files = Vec::new();
    for file in 0..FILES {
        files.push(both.open(dir.join(worker::shared(file))).await.unwrap());
    }
    Arc::new(Stage {
        dir: dir.to_owned(),
        files,
        pipe: both.open(dir.join("pipe")).await.unwrap(),
        pool: pool(),
        group: BufGroup::builder()
            .count(4)
            .size(blocks::BLOCK)
            .build()
            .unwrap(),
    })
}

/// Lets go, again and again, what waits for a peer or for data and was given up on a thread.
struct Releases {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Releases {
    fn start(dir: &Path) -> Releases {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, dir) = (stop.clone(), dir.to_owned());
        let thread = std::thread::spawn(move || {
            let mut options = std::fs::File::options();
            let options = options.read(true).write(true);
            let mut pipe = options
                .custom_flags(nix::libc::O_NONBLOCK)
                .open(dir.join("pipe"))
                .unwrap();
            while !stopped.load(Ordering::Relaxed) {
                drop(options.open(dir.join("fifo")).unwrap());
                // A full pipe has enough for everybody.
                let _ = pipe.write(b"something to read");
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Releases {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Releases {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("joined once");
        let _ = thread.join();
    }
}

/// Lanes of the process's own handle, which stay: it runs what begins while a runtime ends. Far fewer than
/// runtimes that end.
const LANES: usize = 8;
/// Descriptors of what the process has one of, the table of mounts and tokio's signals, and of the driver that this
/// thread used last.
const OTHERS: usize = 8;

/// What the process holds: descriptors, and threads by name.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    descriptors: usize,
    threads: BTreeMap<String, usize>,
}

impl Held {
    fn now() -> Held {
        let mut threads = BTreeMap::new();
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let name = std::fs::read_to_string(task.unwrap().path().join("comm"));
            let name = name.unwrap_or_default().trim().to_owned();
            // The crate's own, except those of which the process has one: they stay, or end when idle.
            let one = [
                "tidegate-help",
                "tidegate-heart",
                "tidegate-log",
                "tidegate-watch",
            ];
            if name.starts_with("tidegate") && !one.contains(&&*name) {
                *threads.entry(name).or_default() += 1;
            }
        }
        Held {
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            threads,
        }
    }

    fn is_within(&self, before: &Held) -> bool {
        let threads = |held: &Held| held.threads.values().sum::<usize>();
        self.descriptors <= before.descriptors + 2 * LANES + OTHERS
            && threads(self) <= threads(before) + LANES
    }

    /// Waits until no more is held than then.
    fn returns(&self, what: &str) {
        let start = Instant::now();
        while !Held::now().is_within(self) {
            let late = start.elapsed() > BOUND;
            assert!(
                !late,
                "{what}: {self:?} became {:?}: {:?}",
                Held::now(),
                descriptors()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What they are of.
fn descriptors() -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    let of = |fd: std::io::Result<std::fs::DirEntry>| std::fs::read_link(fd.unwrap().path());
    all.filter_map(|fd| of(fd).ok()).collect()
}

fn soak(route: Route) {
    // One backend at a time: what the process holds is counted.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    if !routes().contains(&route) {
        return;
    }
    let operations = from_environment("TIDEGATE_SOAK_OPS").unwrap_or(24_000) as usize;
    let seed = from_environment("TIDEGATE_SOAK_SEED").unwrap_or(u64::from(std::process::id()));
    eprintln!("{route:?}: {operations} operations, TIDEGATE_SOAK_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    make_stage(dir.path());
    let before = Held::now();
    let releases = Releases::start(dir.path());
    let began = Instant::now();
    let workers = runtime(true).block_on(whole_soak(route, dir.path(), operations, seed));
    eprintln!(
        "{route:?}: over after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    workers.iter().for_each(Worker::check);
    for round in 0..RUNTIMES {
        cut_off(route, dir.path(), seed + round);
    }
    let start = Instant::now();
    while ALIVE.load(Ordering::SeqCst) + lent() > 0 {
        let alive = ALIVE.load(Ordering::SeqCst) + lent();
        assert!(start.elapsed() < BOUND, "{alive} buffers were never freed");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(SPOILT.load(Ordering::SeqCst), 0, "buffers were spoilt");
    POOLS.lock().unwrap().clear();
    drop((workers, releases));
    before.returns(&format!("{route:?}"));
}

/// All operations, and the end of the last of them; returns what the files may hold.
async fn whole_soak(route: Route, dir: &Path, operations: usize, seed: u64) -> Vec<Worker> {
    let handle = Handle::builder().route(route).install().unwrap();
    let stage = open_stage(dir).await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|index| {
            let mut worker = Worker::new(index, stage.clone(), seed);
            tokio::spawn(async move {
                worker.work(operations / TASKS).await;
                worker
            })
        })
        .collect();
    let mut workers = Vec::new();
    for task in tasks {
        let ended = tokio::time::timeout(BOUND, task).await;
        let ended = ended.unwrap_or_else(|_| panic!("it stopped: {:#?}", handle.in_flight()));
        workers.push(ended.unwrap());
    }
    let end = Instant::now() + BOUND;
    while handle.stats().in_flight > 0 || !handle.in_flight().is_empty() {
        assert!(Instant::now() < end, "{:#?}", handle.in_flight());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let stats = handle.stats();
    assert_eq!(stats.orphans, 0);
    assert_eq!(stats.foreign_completions, 0);
    report(route, &stats);
    workers
}

/// What was done, for the audit.
fn report(route: Route, stats: &tidegate::Stats) {
    let sum = |count: fn(&tidegate::OpStats) -> u64| stats.ops().map(|op| count(&op)).sum::<u64>();
    eprintln!(
        "{route:?}: {} at the poll, {} on worker rings, {} on lanes, {} on threads; {} lanes replaced",
        sum(|op| op.at_poll),
        sum(|op| op.worker_ring),
        sum(|op| op.lane_ring),
        sum(|op| op.pool),
        stats.lanes_replaced,
    );
    let fallbacks: Vec<_> = stats.fallbacks().collect();
    eprintln!("{route:?}: {fallbacks:?}");
}

/// A runtime that is dropped while everything goes on.
fn cut_off(route: Route, dir: &Path, seed: u64) {
    let runtime = runtime(seed % 3 > 0);
    runtime.block_on(async {
        Handle::builder().route(route).install().unwrap();
        let stage = open_stage(dir).await;
        for index in 0..TASKS {
            let mut worker = Worker::unchecked(index, stage.clone(), seed);
            tokio::spawn(async move { worker.work(usize::MAX).await });
        }
        for _ in 0..seed % 50 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_micros(seed % 7 * 300)).await;
    });
}

#[test]
fn everything_ends_on_the_ring() {
    soak(Route::Ring);
}

#[test]
fn everything_ends_on_threads() {
    soak(Route::Pool);
}

#[test]
fn everything_ends_as_users_get_it() {
    soak(Route::Auto);
}
