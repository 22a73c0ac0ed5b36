//! The pool of blocking threads, with mock operations.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};

use super::{Pool, ThreadCap};
use crate::base::clock::coarse_ms;
use crate::base::lock::lock;
use crate::driver::job::Job;
use crate::driver::job::mock::Mock;
use crate::limits;

type Work = Box<dyn FnOnce() + Send>;

/// Runs one closure, and another when it is dropped.
struct Closure {
    work: Mutex<Option<Work>>,
    last: Mutex<Option<Work>>,
}

impl Closure {
    fn job(work: impl FnOnce() + Send + 'static) -> Arc<dyn Job> {
        Arc::new(Closure {
            work: Mutex::new(Some(Box::new(work))),
            last: Mutex::default(),
        })
    }
}

impl Drop for Closure {
    fn drop(&mut self) {
        if let Some(last) = lock(&self.last).take() {
            last();
        }
    }
}

impl Mock for Closure {
    fn runs(&self) {
        let work = lock(&self.work).take();
        work.expect("an operation is run once")();
    }
}

fn sender() -> (Sender<usize>, Receiver<usize>) {
    channel()
}

fn pool() -> Arc<Pool> {
    Pool::new(ThreadCap::new(limits::POOL_THREADS_MAX))
}

/// Pushes operations that say their number.
fn push(pool: &Arc<Pool>, numbers: std::ops::Range<usize>, sender: &Sender<usize>) {
    for number in numbers {
        let sender = sender.clone();
        pool.push_owed(Closure::job(move || {
            let _ = sender.send(number);
        }));
    }
}

fn sorted(receiver: &Receiver<usize>, count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = receiver.iter().take(count).collect();
    numbers.sort_unstable();
    numbers
}

/// Each operation is done once, by a bounded number of threads.
#[test]
fn every_job_is_done_once_by_few_threads() {
    let (pool, (sender, receiver)) = (pool(), sender());
    push(&pool, 0..1000, &sender);
    assert_eq!(sorted(&receiver, 1000), Vec::from_iter(0..1000));
    assert!(pool.threads() <= limits::POOL_THREADS_EAGER);
    pool.close();
}

/// What waits gets more threads at once, without a tick, and no more than there may be.
#[test]
fn threads_whose_jobs_wait_are_joined_by_others_at_once() {
    const OUTSTANDING: usize = 40;
    let (pool, (sender, done)) = (pool(), sender());
    let (go, gone) = channel::<()>();
    let gone = Arc::new(Mutex::new(gone));
    let mut most = 0;
    for number in 0..2000 {
        let (sender, gone) = (sender.clone(), gone.clone());
        pool.push_owed(Closure::job(move || {
            // For the others' lock, or for the word.
            let _ = lock(&gone).recv();
            let _ = sender.send(number);
        }));
        if number >= OUTSTANDING {
            go.send(()).unwrap();
            done.recv().unwrap();
        }
        most = most.max(pool.threads());
    }
    drop(go);
    assert_eq!(sorted(&done, OUTSTANDING).len(), OUTSTANDING);
    assert!(most > limits::POOL_THREADS_EAGER, "{most}");
    assert!(most <= limits::POOL_THREADS_MAX, "{most}");
    pool.close();
}

/// A thread more is at a job, until the sender is dropped.
fn occupy(pool: &Arc<Pool>) -> Sender<()> {
    let (release, held) = channel::<()>();
    let before = lock(&pool.queue).busy.len();
    pool.push_owed(Closure::job(move || {
        let _ = held.recv();
    }));
    while lock(&pool.queue).busy.len() == before {
        std::thread::yield_now();
    }
    release
}

/// What hangs holds all of them only once no more may be added, and each has been at its job for long.
#[test]
fn threads_run_out_only_at_the_cap() {
    let pool = Pool::new(ThreadCap::new(2));
    assert!(!pool.is_out_of_threads());
    let one = occupy(&pool);
    while coarse_ms() <= limits::POOL_JOB_LONG.as_millis() as u64 {
        std::thread::yield_now();
    }
    let age = |pool: &Pool| {
        lock(&pool.queue)
            .busy
            .iter_mut()
            .for_each(|busy| busy.since = 0)
    };
    age(&pool);
    assert!(!pool.is_out_of_threads(), "there is room for another");
    let other = occupy(&pool);
    assert_eq!(pool.threads(), 2);
    age(&pool);
    assert!(pool.is_out_of_threads());
    drop((one, other));
    while !lock(&pool.queue).busy.is_empty() {
        std::thread::yield_now();
    }
    assert!(!pool.is_out_of_threads());
    pool.close();
}

/// Calls that take long are left to rings as soon as so many threads have one, and the others stay for what rings cannot
/// do.
#[test]
fn a_pool_is_quick_until_enough_threads_are_at_their_jobs_for_long() {
    let pool = Pool::new(ThreadCap::new(64));
    let mut release = Vec::new();
    while coarse_ms() <= limits::POOL_JOB_LONG.as_millis() as u64 {
        std::thread::yield_now();
    }
    for _ in 0..limits::POOL_THREADS_EAGER {
        assert!(pool.is_quick(), "{} are at work", release.len());
        release.push(occupy(&pool));
        let mut queue = lock(&pool.queue);
        queue.busy.iter_mut().for_each(|busy| busy.since = 0);
    }
    assert!(!pool.is_quick());
    release.pop();
    while lock(&pool.queue).busy.len() == limits::POOL_THREADS_EAGER {
        std::thread::yield_now();
    }
    assert!(pool.is_quick(), "one of them is over");
    drop(release);
    pool.close();
}

/// What computes, or waits for a processor, takes the next job soon, however long it has been at its own; only what sleeps
/// holds it up, nor does a thread that is on its way.
#[cfg(target_os = "linux")]
#[test]
fn a_busy_thread_holds_nothing_up() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let pool = Pool::new(ThreadCap::new(1));
    let (stop, sender) = (Arc::new(AtomicBool::new(false)), sender());
    let stopped = stop.clone();
    pool.push_owed(Closure::job(move || {
        while !stopped.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    }));
    while lock(&pool.queue).busy.is_empty() {
        std::thread::yield_now();
    }
    push(&pool, 0..1, &sender.0);
    let age = || lock(&pool.queue).busy[0].since = 0;
    while coarse_ms() <= limits::POLL_STUCK_AFTER.as_millis() as u64 {
        std::thread::yield_now();
    }
    age();
    for _ in 0..100 {
        assert!(!pool.is_held_up(), "it runs");
        assert_eq!(pool.oldest_for_ms(1000, 200), 0, "it runs");
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(sorted(&sender.1, 1), [0]);
    while !lock(&pool.queue).busy.is_empty() {
        std::thread::yield_now();
    }
    let release = occupy(&pool);
    pool.push_owed(Closure::job(|| {}));
    age();
    while !pool.is_held_up() {
        std::thread::yield_now();
    }
    assert!(pool.oldest_for_ms(1000, 200) >= 200, "it sleeps");
    lock(&pool.queue).threads += 1;
    assert!(!pool.is_held_up(), "another is on its way");
    lock(&pool.queue).threads -= 1;
    drop(release);
    pool.close();
}

/// A job that takes long keeps no other waiting for a tick, however many are at work.
#[test]
fn a_long_job_does_not_count_as_about_to_end() {
    let (pool, (sender, receiver)) = (pool(), sender());
    let release = [(); limits::POOL_THREADS_EAGER].map(|()| occupy(&pool));
    assert_eq!(pool.threads(), limits::POOL_THREADS_EAGER);
    lock(&pool.queue)
        .busy
        .iter_mut()
        .for_each(|busy| busy.since = 0);
    while coarse_ms() < limits::POOL_JOB_LONG.as_millis() as u64 {
        std::thread::yield_now();
    }
    push(&pool, 0..1, &sender);
    assert_eq!(sorted(&receiver, 1), [0]);
    drop(release);
    pool.close();
}

/// Stuck operations get more threads, tick by tick, up to the bound.
#[test]
fn threads_grow_while_jobs_are_stuck_and_are_bounded() {
    let (pool, (sender, receiver)) = (pool(), sender());
    let (release, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    for number in 0..limits::POOL_THREADS_MAX + 8 {
        let (sender, held) = (sender.clone(), held.clone());
        pool.push_owed(Closure::job(move || {
            let _ = sender.send(number);
            // All wait here until the test lets them go.
            let _ = lock(&held).recv();
        }));
    }
    while pool.threads() < limits::POOL_THREADS_MAX {
        assert!(pool.tick());
    }
    for _ in 0..8 {
        pool.tick();
    }
    assert_eq!(pool.threads(), limits::POOL_THREADS_MAX);
    drop(release);
    sorted(&receiver, limits::POOL_THREADS_MAX + 8);
    pool.close();
}

/// What waits at the close is done, and so is what comes later.
#[test]
fn jobs_survive_the_close() {
    let (pool, (sender, receiver)) = (pool(), sender());
    push(&pool, 0..100, &sender);
    pool.close();
    push(&pool, 100..200, &sender);
    assert_eq!(sorted(&receiver, 200), Vec::from_iter(0..200));
}

/// Panicking operations cost no thread, and none stays listed as running.
#[test]
fn a_panicking_job_costs_no_thread() {
    let (pool, (sender, receiver)) = (pool(), sender());
    for _ in 0..limits::POOL_THREADS_EAGER * 4 {
        pool.push_owed(Closure::job(|| panic!("on purpose")));
    }
    push(&pool, 0..10, &sender);
    assert_eq!(sorted(&receiver, 10), Vec::from_iter(0..10));
    while pool.tick() {
        std::thread::yield_now();
    }
    pool.close();
}

/// The last reference to a file may close it through the same pool: its drop runs without the lock.
#[test]
fn an_operation_that_comes_back_when_dropped_does_not_lock_up() {
    let (pool, (sender, receiver)) = (pool(), sender());
    let weak: Weak<Pool> = Arc::downgrade(&pool);
    pool.push_owed(Arc::new(Closure {
        work: Mutex::new(Some(Box::new(|| {}))),
        last: Mutex::new(Some(Box::new(move || {
            let pool = weak.upgrade().expect("the test holds the pool");
            push(&pool, 7..8, &sender);
        }))),
    }));
    assert_eq!(sorted(&receiver, 1), [7]);
    pool.close();
}

/// Jobs that wait until the sender is dropped, and the number of threads once no more come.
fn fill(pool: &Arc<Pool>, count: usize) -> (Sender<()>, usize) {
    let (release, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    for _ in 0..count {
        let held = held.clone();
        pool.push_owed(Closure::job(move || {
            let _ = lock(&held).recv();
        }));
    }
    let mut still = 0;
    while still < 8 {
        let before = pool.threads();
        pool.tick();
        std::thread::yield_now();
        still = if pool.threads() == before {
            still + 1
        } else {
            0
        };
    }
    (release, pool.threads())
}

/// Threads that are known to be stuck have their place within the cap, and at the cap more is refused.
#[test]
fn the_cap_is_exact_whatever_is_stuck() {
    for cap in [1, 3, 8, limits::POOL_THREADS_MAX] {
        let pool = Pool::new(ThreadCap::new(cap));
        let (release, threads) = fill(&pool, 2 * cap);
        assert_eq!(threads, cap);
        for stuck in 1..=cap {
            assert!(
                pool.push(Closure::job(|| ())).is_ok(),
                "a thread may come free"
            );
            pool.stuck(1);
            pool.tick();
            assert_eq!((pool.threads(), pool.stuck_count()), (cap, stuck));
        }
        let Err((_, full)) = pool.push(Closure::job(|| ())) else {
            panic!("all {cap} are stuck");
        };
        assert_eq!(full.stuck, cap);
        pool.stuck(-1);
        assert!(pool.push(Closure::job(|| ())).is_ok());
        drop(release);
        pool.close();
    }
}

/// A cap over what a pool uses at a time lets others take the places of those that are stuck.
#[test]
fn the_places_of_stuck_threads_are_taken_up_to_the_cap() {
    const MORE: usize = 5;
    let pool = Pool::new(ThreadCap::new(limits::POOL_THREADS_MAX + MORE));
    let (release, threads) = fill(&pool, 3 * limits::POOL_THREADS_MAX);
    assert_eq!(threads, limits::POOL_THREADS_MAX);
    for more in [3, MORE] {
        while pool.stuck_count() < more {
            pool.stuck(1);
        }
        for _ in 0..8 {
            pool.tick();
        }
        assert_eq!(pool.threads(), limits::POOL_THREADS_MAX + more);
    }
    pool.stuck(1);
    for _ in 0..8 {
        pool.tick();
    }
    assert_eq!(pool.threads(), limits::POOL_THREADS_MAX + MORE);
    drop(release);
    pool.close();
}

/// What one mount takes leaves the others their own, and no more than that once all is taken; what ends is given
/// back.
#[test]
fn mounts_share_what_they_have_beyond_their_own() {
    let own = limits::POOL_THREADS_OWN;
    let cap = ThreadCap::new(own + 4);
    let pools = [(); 3].map(|()| Pool::new(cap.clone()));
    let (first, threads) = fill(&pools[0], 3 * own);
    assert_eq!(threads, own + 4);
    let (second, threads) = fill(&pools[1], 3 * own);
    assert_eq!(threads, own);
    drop(first);
    pools[0].close();
    while pools[0].threads() > 0 {
        std::thread::yield_now();
    }
    let (third, threads) = fill(&pools[2], 3 * own);
    assert_eq!(threads, own + 4);
    drop((second, third));
    pools[1..].iter().for_each(|pool| pool.close());
}

/// Of a queue that stands still no more than so many wait; one that moves may be longer.
#[test]
fn a_queue_that_stands_still_is_bounded() {
    let pool = Pool::new(ThreadCap::new(1));
    let (release, _) = fill(&pool, limits::QUEUED_MAX + 1);
    // However long the filling took.
    lock(&pool.queue).moved_ms = u64::MAX;
    assert!(pool.push(Closure::job(|| ())).is_ok(), "it moves");
    // The clock begins with the process.
    while coarse_ms() < limits::QUEUE_STILL_AFTER.as_millis() as u64 {
        std::thread::yield_now();
    }
    lock(&pool.queue).moved_ms = 0;
    assert!(pool.push(Closure::job(|| ())).is_err());
    pool.push_owed(Closure::job(|| ()));
    drop(release);
    pool.close();
}
