//! What others see of a driver: who asks for its state, the watchdog, and its operations.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;

use crate::base::lock::read;
use crate::driver::core::Driver;
use crate::driver::door::Sender;
use crate::driver::job::Job;
use crate::driver::job::registry::Registry;
use crate::driver::mount::group::Group;
use crate::driver::runtimes::Home;
use crate::driver::task::clock::Keeper;
use crate::driver::task::host::Host;
use crate::driver::watchdog;
use crate::driver::watchdog::Watched;
use crate::mounts::MountStats;
use crate::observe::{Counters, Heartbeat, OpInFlight, SharedCounters, Stats};
use crate::settings::Settings;

impl Driver {
    /// One entry for each mount that was met, by mount point.
    pub(crate) fn mounts(&self) -> Vec<MountStats> {
        let groups: Vec<_> = read(&self.groups).values().cloned().collect();
        crate::driver::mount::mount_breaker::stats_of(&groups)
    }

    /// What is in flight, the oldest first.
    pub(crate) fn in_flight(&self) -> Vec<OpInFlight> {
        let jobs = self.registry.jobs();
        let mut seen: Vec<_> = jobs.iter().filter_map(|job| job.seen()).collect();
        seen.sort_by_key(|op| std::cmp::Reverse(op.age));
        seen
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Counters::snapshot(&self.counters);
        for group in read(&self.groups).values() {
            stats.lanes += group.lane_count();
            stats.pool_threads += group.pool().threads();
        }
        stats.mounts = self.mounts();
        stats.polls_stuck = watchdog::polls_stuck();
        stats
    }
}

impl Watched for Driver {
    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn in_flight(&self) -> u64 {
        self.counters.in_flight()
    }

    fn has_waiting(&self) -> bool {
        read(&self.groups)
            .values()
            .any(|group| group.pool().has_waiting())
    }

    fn look_within(&self) -> Option<Duration> {
        Driver::look_within(self)
    }

    fn next_beat_us(&self) -> u64 {
        self.heart.next_us()
    }

    fn beat(&self, now_us: u64) {
        let in_flight = self.counters.in_flight();
        let due = self.heart.tick(in_flight > 0, now_us);
        if due.look {
            for job in self.registry.jobs() {
                job.tell_if_slow(self.settings().warn_after);
            }
        }
        if due.beat {
            let orphans = self.counters.orphans();
            let heartbeat = Heartbeat::new(in_flight, orphans, self.in_flight());
            let entries = self.counters.entries_walked();
            self.heart
                .beat(self.heart.rated(heartbeat, entries, now_us));
        }
    }

    fn tick(&self) -> bool {
        let groups: Vec<_> = read(&self.groups).values().cloned().collect();
        let mut active = false;
        for group in &groups {
            let overdue = group.orphans().expire(group.mount());
            self.send_all(group, overdue);
            active |= group.tick();
        }
        self.tick_workers() || active
    }
}

impl Host for Driver {
    fn counters(&self) -> &SharedCounters {
        &self.counters
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    fn has_one_thread(&self) -> bool {
        self.has_one_thread
    }

    fn is_of(&self, runtime: runtime::Id) -> bool {
        self.home == Home::Runtime(runtime)
    }

    fn is_closed(&self) -> bool {
        Driver::is_closed(self)
    }

    fn is_of_parent(&self) -> bool {
        Driver::is_of_parent(self)
    }

    fn look_for_io_driver(&self) {
        Driver::look_for_io_driver(self);
    }

    /// Not to a worker ring, as for what waits for orphan writes.
    fn resume(self: Arc<Self>, group: &Arc<Group>, job: Arc<dyn Job>) {
        #[cfg(feature = "testing")]
        let Some(job) = self.unless_faulty(group, job) else {
            return;
        };
        self.send(group, job, Sender::Queue);
    }

    fn send_again(&self, group: &Arc<Group>, job: Arc<dyn Job>) {
        self.send(group, job, Sender::Queue);
    }

    fn to_thread(&self, group: &Arc<Group>, job: Arc<dyn Job>) {
        Driver::to_thread(self, group, job);
    }

    fn close_later(self: Arc<Self>, fd: OwnedFd, group: &Arc<Group>) {
        Driver::close_later(&self, fd, group);
    }
}
