//! The driver of one runtime: its rings, groups and counters, and the choice of the way.

use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;
use std::time::Instant;

use tokio::runtime;

use crate::base::fork::Born;
use crate::base::lock::{read, write};
use crate::driver::door::Sender;
#[cfg(target_os = "linux")]
use crate::driver::job::load::{Class, Share};
use crate::driver::job::registry::Registry;
use crate::driver::job::{Job, Outcome};
use crate::driver::mount::group::Group;
use crate::driver::mount::pool::ThreadCap;
use crate::driver::order::fence::Pass;
#[cfg(target_os = "linux")]
use crate::driver::ring::io_driver::IoDriver;
use crate::driver::ring::on_rings::OnRings;
#[cfg(target_os = "linux")]
use crate::driver::ring::worker::Worker;
use crate::driver::runtimes::Home;
use crate::driver::task::cell::Cell;
use crate::driver::task::chore::{Chore, Close};
use crate::driver::task::clock::Keeper;
use crate::driver::task::host::Host;
use crate::driver::task::in_flight::InFlight;
use crate::driver::task::op::Op;
use crate::driver::task::scope;
use crate::driver::watchdog;
use crate::driver::watchdog::Watched;
use crate::driver::watchdog::heart::Heart;
use crate::error::Error;
use crate::limits;
use crate::mounts::{Mount, MountStats};
use crate::observe::{Counters, Heartbeat, OpInFlight, SharedCounters, Stats, Way};
use crate::opcode::Kind;
use crate::settings::{Route, Settings, Submit};
use crate::sys::progress::{Progress, Waited};
use crate::sys::thread;

#[cfg(target_os = "linux")]
static DRIVERS_MADE: AtomicU64 = AtomicU64::new(0);

/// Who hears of the end of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Whoever has its future.
    ByCaller,
    /// Those whom it tells itself.
    ByOthers,
    No,
}

/// What runs the operations of one runtime, or of everything outside of one.
pub(crate) struct Driver {
    /// In a forked child, its threads, locks and rings are the parent's.
    born: Born,
    pub(crate) home: Home,
    route: Route,
    /// Whether polls may answer: the backend was not pinned. They need no ring.
    attempts: bool,
    submit: Submit,
    /// Tells drivers apart; never zero.
    #[cfg(target_os = "linux")]
    pub(crate) id: u64,
    /// Threads of the runtime that have used a ring.
    #[cfg(target_os = "linux")]
    pub(crate) threads_seen: AtomicUsize,
    #[cfg(target_os = "linux")]
    pub(crate) io_driver: IoDriver,
    #[cfg(target_os = "linux")]
    pub(crate) workers: Vec<OnceLock<Option<Arc<Worker>>>>,
    groups: RwLock<HashMap<(u64, u64), Arc<Group>>>,
    /// The group of what has nothing to do with storage, once it is used.
    pub(crate) chores: OnceLock<Arc<Group>>,
    /// A group that runs nothing, for what is refused without a look at the others.
    spare: Arc<Group>,
    closed: AtomicBool,
    #[cfg(feature = "testing")]
    pub(crate) faults: OnceLock<crate::driver::faults::Faults>,
    settings: Settings,
    /// How many blocking threads there may be.
    threads: Arc<ThreadCap>,
    pub(crate) registry: Registry,
    pub(crate) heart: Heart,
    /// Whether one thread polls, and no other.
    has_one_thread: bool,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) counters: SharedCounters,
}

impl Driver {
    /// Makes a driver. `workers` is how many threads poll.
    pub(crate) fn new(
        home: Home,
        route: Route,
        submit: Submit,
        workers: usize,
        settings: Settings,
    ) -> Result<Arc<Driver>, Error> {
        crate::base::fork::watch();
        let usable = route != Route::Pool && crate::probe::report().ring_reason().is_none();
        if let (Route::Ring, Some(reason)) = (route, crate::probe::report().ring_reason()) {
            return Err(Error::RingUnavailable {
                reason: reason.clone(),
            });
        }
        let rings = if usable && submit != Submit::Isolated && home.has_runtime() {
            workers.clamp(1, limits::WORKER_RINGS_MAX)
        } else {
            0
        };
        let counters = Counters::new(settings.buffer_groups_max);
        let threads = ThreadCap::new(settings.stuck_threads_max);
        let spare = Group::new(Mount::unknown(), counters.clone(), &settings, &threads);
        let driver = Arc::new(Driver {
            born: Born::here(),
            home,
            route: if usable { route } else { Route::Pool },
            attempts: route == Route::Auto,
            submit,
            #[cfg(target_os = "linux")]
            id: DRIVERS_MADE.fetch_add(1, Ordering::Relaxed) + 1,
            #[cfg(target_os = "linux")]
            threads_seen: AtomicUsize::new(0),
            #[cfg(target_os = "linux")]
            io_driver: home
                .runtime()
                .filter(|_| rings > 0)
                .map_or_else(IoDriver::none, |runtime| IoDriver::of(&runtime)),
            #[cfg(target_os = "linux")]
            workers: (0..rings).map(|_| OnceLock::new()).collect(),
            groups: RwLock::default(),
            chores: OnceLock::new(),
            spare,
            closed: AtomicBool::new(false),
            #[cfg(feature = "testing")]
            faults: OnceLock::new(),
            settings,
            threads,
            registry: Registry::default(),
            heart: Heart::new(settings.heartbeat_interval, settings.warn_after),
            has_one_thread: home.has_runtime() && workers == 1,
            keeper: Arc::default(),
            counters,
        });
        #[cfg(not(target_os = "linux"))]
        let _ = rings;
        watchdog::watch(driver.clone());
        Ok(driver)
    }

    pub(crate) fn route(&self) -> Route {
        self.route
    }

    pub(crate) fn has_runtime(&self) -> bool {
        self.home.has_runtime()
    }

    pub(crate) fn submit(&self) -> Submit {
        self.submit
    }

    /// Whether this is a forked child's copy of its parent's driver, which does nothing.
    pub(crate) fn is_of_parent(&self) -> bool {
        self.born.is_of_parent()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// An error as this handle's callers are told of it.
    pub(crate) fn tell(&self, operation: Kind, path: Option<&Path>, error: io::Error) -> io::Error {
        self.settings.errors.tell(operation, path, error)
    }

    /// Whether polls may answer operations at once: not where the backend is pinned, nor where a limit says
    /// that nothing may begin any more, nor while the fake backend has a rule.
    pub(crate) fn attempts(&self) -> bool {
        self.attempts && !self.has_faults() && scope::refused().is_none() && !self.is_of_parent()
    }

    /// Whether the fake backend has a rule.
    pub(crate) fn has_faults(&self) -> bool {
        #[cfg(feature = "testing")]
        return self.faults.get().is_some_and(|faults| faults.are_set());
        #[cfg(not(feature = "testing"))]
        false
    }

    /// Counts an operation that was answered at the poll.
    pub(crate) fn answered(&self, kind: Kind) {
        self.counters.went(kind, Way::AtPoll);
    }

    /// The group of a mount.
    pub(crate) fn group(&self, mount: &Arc<Mount>) -> Arc<Group> {
        if let Some(group) = read(&self.groups).get(&mount.key()) {
            return group.clone();
        }
        let mut groups = write(&self.groups);
        // Past the limit, further mounts share one group.
        let mount = if groups.len() < limits::MOUNT_GROUPS_MAX {
            mount.clone()
        } else {
            Mount::unknown()
        };
        let made = || {
            let counters = self.counters.clone();
            let group = Group::new(mount.clone(), counters, &self.settings, &self.threads);
            #[cfg(feature = "testing")]
            self.faults
                .get()
                .inspect(|&faults| group.set_faults(Arc::new(faults.clone())));
            // Whoever closes the driver either finds the group under this lock, or was seen.
            if self.is_closed() {
                group.close();
            }
            group
        };
        groups.entry(mount.key()).or_insert_with(made).clone()
    }

    /// What the operations of a mount share among themselves, which is of one type.
    pub(crate) fn shared<T: Default + Send + Sync + 'static>(&self, mount: &Arc<Mount>) -> Arc<T> {
        self.group(mount).shared().unwrap_or_default()
    }

    /// Whether the fake backend has a rule, so that each operation has to come by it for itself.
    pub(crate) fn is_faked(&self) -> bool {
        #[cfg(feature = "testing")]
        return self.faults.get().is_some_and(|faults| faults.are_set());
        #[cfg(not(feature = "testing"))]
        false
    }

    /// Starts an operation on the best way for it.
    pub(crate) fn start<O: Op>(self: &Arc<Self>, op: O, mount: &Arc<Mount>) -> InFlight<O> {
        InFlight::new(self.launch(op, mount, Heard::ByCaller))
    }

    /// Starts an operation that nobody waits for.
    pub(crate) fn start_detached<O: Op>(self: &Arc<Self>, op: O, mount: &Arc<Mount>) {
        self.launch(op, mount, Heard::No);
    }

    /// Starts an operation that others wait for, each of whom it tells in a way of its own.
    pub(crate) fn start_for_others<O: Op>(self: &Arc<Self>, op: O, mount: &Arc<Mount>) {
        self.launch(op, mount, Heard::ByOthers);
    }

    fn launch<O: Op>(self: &Arc<Self>, op: O, mount: &Arc<Mount>, by: Heard) -> Arc<Cell<O>> {
        let heard = by == Heard::ByCaller;
        if self.is_of_parent() {
            let operation = op.kind();
            let (refused, group) = (Error::ForkedChild { operation }, self.spare.clone());
            return Cell::refused(op, self.clone(), group, refused);
        }
        let group = self.group(mount);
        // Before a limit counts from now, so that what it tells of the time is not shorter than the limit.
        let began = Instant::now();
        let due_us = if heard {
            scope::due_us(op.kind())
        } else {
            None
        };
        let cell = Cell::new(op, self.clone(), group.clone(), heard, due_us, began);
        match by {
            Heard::ByCaller => cell.clock.hold(&**self),
            Heard::ByOthers => cell.clock.hold_or_join(&**self),
            Heard::No => {}
        }
        let job: Arc<dyn Job> = cell.clone();
        // What is kept was promised before; a descriptor has to be closed.
        if !job.is_kept() {
            if let Err(refused) = self.admits(&group, job.kind(), heard, || job.path()) {
                job.end(Outcome::Refused(refused.into()));
                return cell;
            }
        }
        watchdog::call();
        cell.stand();
        let passed = match &cell.fenced {
            Some(fenced) => fenced.fence.pass(fenced, cell.fence_number, job),
            None => Pass::Goes(job),
        };
        match passed {
            Pass::Held => {}
            Pass::Goes(job) => {
                #[cfg(feature = "testing")]
                let Some(job) = self.unless_faulty(&group, job) else {
                    return cell;
                };
                if let Err(job) = group.orphans().hold(job) {
                    self.send(&group, job, Sender::Poll);
                }
            }
            Pass::Refused(job) => {
                let operation = job.kind();
                job.end(Outcome::Refused(Error::Overlaps { operation }.into()));
            }
        }
        cell
    }

    /// Sends on what was kept back.
    pub(crate) fn send_all(&self, group: &Arc<Group>, jobs: Vec<Arc<dyn Job>>) {
        for job in jobs {
            self.send(group, job, Sender::Queue);
        }
    }

    /// Whether operations on this mount's data are stuck in a ring.
    #[cfg(target_os = "linux")]
    pub(crate) fn has_stuck_data(&self, mount: &Arc<Mount>) -> bool {
        self.group(mount).stuck_count(Share::Lane(Class::Data)) > 0
    }

    /// Closes a descriptor where that may sleep: once the driver is closed, on a thread of its pool that
    /// ends with it.
    pub(crate) fn close_later(self: &Arc<Self>, fd: OwnedFd, group: &Arc<Group>) {
        self.start_detached(Close::new(fd), group.mount());
    }

    /// Closes a descriptor on a thread, and waits for that, but only so long. Not for a thread of ours, which might
    /// wait for itself, nor where a close was late before.
    pub(crate) fn close_soon(
        self: &Arc<Self>,
        fd: OwnedFd,
        mount: &Arc<Mount>,
        on_rings: &Arc<OnRings>,
    ) {
        let close = Close::of_shared(fd, on_rings);
        self.end_soon(mount, |watched| {
            self.start_detached(close.watched(watched), mount);
        });
    }

    /// The same for something else that has descriptors, which are closed as it is dropped.
    pub(crate) fn drop_soon<T: Send + 'static>(self: &Arc<Self>, kind: Kind, what: T) {
        let mount = &Mount::unknown();
        self.end_soon(mount, |watched| {
            self.start_detached(Chore::dropping(kind, what, watched), mount);
        });
    }

    /// Starts what ends something, and waits for it where that may be: it is watched then.
    pub(crate) fn end_soon(
        self: &Arc<Self>,
        mount: &Arc<Mount>,
        start: impl FnOnce(Option<Arc<Progress>>),
    ) {
        if !mount.closes_in_time() || thread::is_ours() {
            return start(None);
        }
        let group = self.group(mount);
        let progress = Arc::new(Progress::default());
        start(Some(progress.clone()));
        let is_held_up = || group.pool().is_held_up();
        // One that only lacked a processor says nothing of the mount.
        if progress.wait(is_held_up) == Waited::Slow {
            mount.note_late_close();
        }
    }

    /// Runs something that nobody waits for on a blocking thread that has nothing to do with storage.
    pub(crate) fn chore(self: &Arc<Self>, kind: Kind, work: impl FnOnce() + Send + 'static) {
        let driver = self.live();
        if driver.is_of_parent() {
            return;
        }
        let group = driver.group(&Mount::chores());
        let chore = Chore::new(kind, work);
        let cell = Cell::new(
            chore,
            driver.clone(),
            group.clone(),
            false,
            None,
            Instant::now(),
        );
        watchdog::call();
        driver.send(&group, cell, Sender::Queue);
    }

    /// This driver, or the one for everything outside of a runtime once this one is closed.
    pub(crate) fn live(self: &Arc<Self>) -> Arc<Driver> {
        if self.is_of_parent() || self.is_closed() {
            crate::driver::runtimes::outside().unwrap_or_else(|_| self.clone())
        } else {
            self.clone()
        }
    }

    /// Takes no more operations, cancels what is in flight, and lets threads and rings end once the
    /// kernel is done with them. Returns at once.
    pub(crate) fn close(self: &Arc<Self>) {
        // In a forked child, rings and lanes are the parent's: untouched.
        if self.is_of_parent() || self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.keeper.close();
        #[cfg(target_os = "linux")]
        {
            self.io_driver.close();
            self.close_workers();
        }
        let groups: Vec<_> = read(&self.groups).values().cloned().collect();
        for group in groups {
            for job in group.close() {
                // What is not kept never began.
                if job.is_kept() {
                    self.to_thread(&group, job);
                } else {
                    let refused: io::Error = Error::Closed {
                        operation: job.kind(),
                    }
                    .into();
                    job.end(Outcome::Refused(refused));
                }
            }
        }
        // What waits behind a fence, or for a thread, never began either.
        for job in self.registry.jobs() {
            if !job.is_kept() {
                let operation = job.kind();
                job.refuse(Error::Closed { operation }.into());
            }
        }
    }

    /// Cancels what is in flight on a descriptor; returns how many operations that were.
    pub(crate) fn cancel_on(&self, fd: BorrowedFd<'_>) -> usize {
        let jobs = self.registry.jobs();
        jobs.iter().filter(|job| job.cancel_on(fd)).count()
    }

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
        self.rings_look_within()
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
        self.look_for_rings();
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
