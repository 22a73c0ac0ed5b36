//! The driver of one runtime: its rings, groups and counters, and the choice of the way.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Instant;

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
#[cfg(target_os = "linux")]
use crate::driver::ring::worker::Worker;
use crate::driver::runtimes::Home;
use crate::driver::task::cell::Cell;
use crate::driver::task::clock::Keeper;
use crate::driver::task::in_flight::InFlight;
use crate::driver::task::op::Op;
use crate::driver::task::scope;
use crate::driver::watchdog;
use crate::driver::watchdog::heart::Heart;
use crate::error::Error;
use crate::limits;
use crate::mounts::Mount;
use crate::observe::{Counters, SharedCounters, Way};
use crate::opcode::Kind;
use crate::settings::{Route, Settings, Submit};

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
    pub(super) home: Home,
    route: Route,
    /// Whether polls may answer: the backend was not pinned. They need no ring.
    attempts: bool,
    submit: Submit,
    /// Tells drivers apart; never zero.
    #[cfg(target_os = "linux")]
    pub(super) id: u64,
    /// Threads of the runtime that have used a ring.
    #[cfg(target_os = "linux")]
    pub(super) threads_seen: AtomicUsize,
    #[cfg(target_os = "linux")]
    pub(super) io_driver: IoDriver,
    #[cfg(target_os = "linux")]
    pub(super) workers: Vec<OnceLock<Option<Arc<Worker>>>>,
    pub(super) groups: RwLock<HashMap<(u64, u64), Arc<Group>>>,
    /// The group of what has nothing to do with storage, once it is used.
    pub(super) chores: OnceLock<Arc<Group>>,
    /// A group that runs nothing, for what is refused without a look at the others.
    spare: Arc<Group>,
    closed: AtomicBool,
    #[cfg(feature = "testing")]
    pub(crate) faults: OnceLock<crate::driver::faults::Faults>,
    pub(super) settings: Settings,
    /// How many blocking threads there may be.
    threads: Arc<ThreadCap>,
    pub(super) registry: Registry,
    pub(crate) heart: Heart,
    /// Whether one thread polls, and no other.
    pub(super) has_one_thread: bool,
    pub(super) keeper: Arc<Keeper>,
    pub(crate) counters: SharedCounters,
}

impl Driver {
    /// Makes a driver. `workers` is how many threads poll.
    pub(super) fn new(
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

    /// Whether the fake backend has a rule, so that each operation has to come by it for itself.
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
    pub(super) fn send_all(&self, group: &Arc<Group>, jobs: Vec<Arc<dyn Job>>) {
        for job in jobs {
            self.send(group, job, Sender::Queue);
        }
    }

    /// Whether operations on this mount's data are stuck in a ring.
    #[cfg(target_os = "linux")]
    pub(crate) fn has_stuck_data(&self, mount: &Arc<Mount>) -> bool {
        self.group(mount).stuck_count(Share::Lane(Class::Data)) > 0
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
}
