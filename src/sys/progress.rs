//! Waiting a little for something that a thread does: not while that sleeps in the kernel, which a disk may make it do
//! for ever, but while it only waits for a processor.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::lock::{lock, wait_timeout};
use super::thread;

/// How far a thread has come with something.
#[derive(Default)]
pub(crate) struct Progress {
    /// The thread that is at it; zero before it begins.
    thread: AtomicI32,
    over: Mutex<bool>,
    bell: Condvar,
}

impl Progress {
    /// The calling thread begins.
    pub(crate) fn begin(&self) {
        self.thread.store(thread::current(), Ordering::Relaxed);
    }

    /// It is over.
    pub(crate) fn end(&self) {
        *lock(&self.over) = true;
        self.bell.notify_all();
    }

    /// Waits for the end; returns whether it came. After each `look` it gives up if the thread sleeps, or has not
    /// begun and will not soon; after `most` in any case.
    pub(crate) fn wait(
        &self,
        look: Duration,
        most: Duration,
        is_held_up: impl Fn() -> bool,
    ) -> bool {
        let began = Instant::now();
        loop {
            if self.wait_once(look) {
                return true;
            }
            let hopeless = match self.thread.load(Ordering::Relaxed) {
                0 => is_held_up(),
                at_it => thread::sleeps(at_it),
            };
            if hopeless || began.elapsed() >= most {
                return *lock(&self.over);
            }
        }
    }

    fn wait_once(&self, bound: Duration) -> bool {
        let until = Instant::now() + bound;
        let mut over = lock(&self.over);
        while !*over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            over = wait_timeout(&self.bell, over, left).0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    const LOOK: Duration = Duration::from_millis(1);
    const MOST: Duration = Duration::from_secs(60);

    #[test]
    fn an_end_is_waited_for() {
        let progress = Arc::new(Progress::default());
        let other = progress.clone();
        let thread = std::thread::spawn(move || {
            other.begin();
            other.end();
        });
        assert!(progress.wait(LOOK, MOST, || false));
        thread.join().unwrap();
        assert!(progress.wait(LOOK, MOST, || true));
    }

    /// Neither for a thread that sleeps nor for one that cannot begin, however long the whole may take.
    #[test]
    fn a_sleeper_is_not_waited_for() {
        let progress = Arc::new(Progress::default());
        assert!(!progress.wait(LOOK, MOST, || true));
        let (other, (stop, stopped)) = (progress.clone(), channel::<()>());
        let thread = std::thread::spawn(move || {
            other.begin();
            stopped.recv().unwrap_err();
        });
        assert!(!progress.wait(LOOK, MOST, || false));
        drop(stop);
        thread.join().unwrap();
    }
}
