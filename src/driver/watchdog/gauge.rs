//! The thread that looks whether storage moves: the calls cannot block on it, but take too long for the watchdog.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};

use crate::base::global::Global;
use crate::base::lock::{lock, wait_timeout};
use crate::driver::job::Job;
use crate::limits;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Arc<dyn Job>>,
    has_thread: bool,
}

#[derive(Default)]
struct Gauge {
    queue: Mutex<Queue>,
    comes: Condvar,
}

fn gauge() -> &'static Gauge {
    static GAUGE: Global<Gauge> = Global::new();
    GAUGE.get_or_make(Gauge::default)
}

/// Has what these wait for looked at, none of which waits for that already. Does not block.
pub(crate) fn ask(jobs: Vec<Arc<dyn Job>>) {
    if jobs.is_empty() {
        return;
    }
    let mut queue = lock(&gauge().queue);
    queue.jobs.extend(jobs);
    if std::mem::replace(&mut queue.has_thread, true) {
        return gauge().comes.notify_one();
    }
    drop(queue);
    let builder = std::thread::Builder::new()
        .name("tidegate-watch".into())
        .stack_size(limits::FOREIGN_STACK_BYTES);
    if builder.spawn(run).is_err() {
        // Tried again at the next look: each operation waits here once.
        lock(&gauge().queue).has_thread = false;
    }
}

fn run() {
    while let Some(job) = next() {
        // The last reference may close a file, in which anything may panic.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            job.look_whether_it_moves();
            drop(job);
        }));
    }
}

fn next() -> Option<Arc<dyn Job>> {
    let mut queue = lock(&gauge().queue);
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            return Some(job);
        }
        let (guard, timed_out) = wait_timeout(&gauge().comes, queue, limits::GAUGE_IDLE);
        queue = guard;
        if timed_out && queue.jobs.is_empty() {
            queue.has_thread = false;
            return None;
        }
    }
}
