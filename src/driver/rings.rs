//! The rings of a driver's polling threads.

#[cfg(target_os = "linux")]
use std::sync::{Arc, atomic::Ordering};
use std::time::Duration;

use crate::driver::core::Driver;
#[cfg(target_os = "linux")]
use crate::driver::ring::worker::Worker;

#[cfg(target_os = "linux")]
impl Driver {
    /// The ring of this thread, if it polls for the driver's runtime.
    pub(super) fn worker(&self) -> Option<&Arc<Worker>> {
        if self.workers.is_empty() || !self.home.is_here() {
            return None;
        }
        if !self.io_driver.is_there() {
            self.io_driver.ask();
            return None;
        }
        self.workers[self.worker_index()]
            .get_or_init(|| Worker::register(&self.counters))
            .as_ref()
            .filter(|worker| !worker.rests())
    }

    /// Which ring this thread uses: the runtime's threads are numbered as they come.
    fn worker_index(&self) -> usize {
        thread_local!(static MINE: std::cell::Cell<(u64, usize)> = const { std::cell::Cell::new((0, 0)) });
        let (driver, index) = MINE.get();
        if driver == self.id {
            return index;
        }
        let index = self.threads_seen.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        MINE.set((self.id, index));
        index
    }

    fn live_workers(&self) -> impl Iterator<Item = &Arc<Worker>> {
        self.workers
            .iter()
            .filter_map(|worker| worker.get()?.as_ref())
    }

    /// Another thread may still poll, and make its ring just now: it is waited for, and none is made later, as
    /// nobody would close it or reap from it.
    pub(super) fn close_workers(&self) {
        for worker in &self.workers {
            if let Some(worker) = worker.get_or_init(|| None) {
                worker.close();
            }
        }
    }

    /// How soon the watchdog is to look at the rings again.
    pub(crate) fn look_within(&self) -> Option<Duration> {
        self.live_workers()
            .filter_map(|worker| worker.look_within())
            .min()
    }

    /// Whether worker rings can be used is found out while other threads do the work.
    pub(crate) fn look_for_io_driver(&self) {
        if self.io_driver.is_open() && !self.home.is_here() {
            self.io_driver.look();
        }
    }

    pub(super) fn tick_workers(&self) -> bool {
        self.look_for_io_driver();
        self.live_workers()
            .map(|worker| worker.tick())
            .fold(false, |active, more| active | more)
    }
}

/// Elsewhere there are none.
#[cfg(not(target_os = "linux"))]
impl Driver {
    pub(crate) fn look_within(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn look_for_io_driver(&self) {}

    pub(super) fn tick_workers(&self) -> bool {
        false
    }
}
