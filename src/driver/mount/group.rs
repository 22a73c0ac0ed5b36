//! The lanes and the pool of one mount: what hangs there holds nobody elsewhere.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
#[cfg(target_os = "linux")]
use std::sync::{Mutex, Weak};

use crate::base::clock::coarse_ms;
#[cfg(target_os = "linux")]
use crate::base::lock::lock;
use crate::driver::job::load::{Class, Share};
use crate::driver::job::queue::{Full, NotTaken, is_still};
use crate::driver::job::{Job, Outcome, RingJob};
use crate::driver::mount::mount_breaker::MountBreaker;
#[cfg(feature = "testing")]
use crate::driver::mount::mount_breaker::Questioned;
use crate::driver::mount::pool::{Pool, ThreadCap};
use crate::driver::mount::progress::Progress;
use crate::driver::order::orphans::Orphans;
#[cfg(target_os = "linux")]
use crate::driver::ring::lane::{Lane, Owner};
use crate::error::Error;
#[cfg(target_os = "linux")]
use crate::events;
use crate::limits;
use crate::mounts::{Mount, MountStats};
use crate::observe::Counters;
use crate::opcode::Kind;
use crate::settings::Settings;

/// Descriptors that wait to be closed.
#[derive(Default)]
struct Closes {
    count: AtomicUsize,
    /// When the first of them began, or the last one ended, in coarse milliseconds.
    moved_ms: AtomicU64,
}

impl Closes {
    fn begin(&self) {
        if self.count.fetch_add(1, Ordering::SeqCst) == 0 {
            self.moved_ms.store(coarse_ms(), Ordering::SeqCst);
        }
    }

    fn end(&self) {
        self.moved_ms.store(coarse_ms(), Ordering::SeqCst);
        self.count.fetch_sub(1, Ordering::SeqCst);
    }

    fn pile_up(&self) -> Option<Full> {
        let stuck = self.count.load(Ordering::SeqCst);
        let is_many = stuck >= limits::CLOSES_WAITING_MAX;
        (is_many && is_still(self.moved_ms.load(Ordering::SeqCst))).then_some(Full { stuck })
    }
}

/// The lanes of one class.
#[cfg(target_os = "linux")]
#[derive(Default)]
struct Lanes {
    current: Option<Arc<Lane>>,
    /// Further ones, of those who wait for peers.
    others: Vec<Arc<Lane>>,
    wedged: Vec<Arc<Lane>>,
}

#[cfg(target_os = "linux")]
impl Lanes {
    fn all(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.current.iter().chain(&self.others).chain(&self.wedged)
    }

    /// Puts the current lane aside if it is full of operations that may wait for ever, so that there is room for
    /// those that they wait for. One that has room again takes its place.
    fn make_room(&mut self) {
        if self.current.as_ref().is_none_or(|lane| !lane.is_crowded()) {
            return;
        }
        let roomy = self.others.iter().position(|lane| !lane.is_crowded());
        if roomy.is_none() && self.others.len() >= limits::PEER_LANES_MAX {
            return;
        }
        let next = roomy.map(|at| self.others.swap_remove(at));
        self.others
            .extend(std::mem::replace(&mut self.current, next));
    }
}

/// All that runs one mount's operations for one handle.
pub(crate) struct Group {
    /// What the operations of the mount share among themselves.
    shared: OnceLock<Arc<dyn Any + Send + Sync>>,
    mount: Arc<Mount>,
    counters: Arc<Counters>,
    pool: Arc<Pool>,
    breaker: Arc<MountBreaker>,
    progress: Progress,
    /// Whether lanes with a ring can be had.
    #[cfg(target_os = "linux")]
    ring_usable: AtomicBool,
    #[cfg(target_os = "linux")]
    data: Mutex<Lanes>,
    #[cfg(target_os = "linux")]
    metadata: Mutex<Lanes>,
    orphans: Orphans,
    closes: Closes,
    /// Operations that nobody waits for and that are not over: on threads, on the data lanes, on the
    /// metadata lanes.
    stuck_threads: AtomicUsize,
    stuck_data: AtomicUsize,
    stuck_metadata: AtomicUsize,
    closed: AtomicBool,
}

impl Group {
    pub(crate) fn new(
        mount: Arc<Mount>,
        counters: Arc<Counters>,
        settings: &Settings,
        threads: &Arc<ThreadCap>,
    ) -> Arc<Group> {
        Arc::new(Group {
            shared: OnceLock::new(),
            breaker: MountBreaker::new(mount.clone(), settings.breaker),
            progress: Progress::new(settings.timeouts.shortest()),
            mount,
            counters,
            pool: Pool::new(threads.clone()),
            closes: Closes::default(),
            #[cfg(target_os = "linux")]
            ring_usable: AtomicBool::new(true),
            #[cfg(target_os = "linux")]
            data: Mutex::default(),
            #[cfg(target_os = "linux")]
            metadata: Mutex::default(),
            orphans: Orphans::default(),
            stuck_threads: AtomicUsize::new(0),
            stuck_data: AtomicUsize::new(0),
            stuck_metadata: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        })
    }

    /// Has the fake backend take the questions to the mount, too.
    #[cfg(feature = "testing")]
    pub(crate) fn set_faults(&self, faults: Arc<dyn Questioned>) {
        let _ = self.breaker.faults.set(faults);
    }

    /// What the operations of the mount share among themselves, made by the first that asks.
    pub(crate) fn shared<T: Default + Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let shared = self.shared.get_or_init(|| Arc::new(T::default()));
        shared.clone().downcast().ok()
    }

    pub(crate) fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) fn orphans(&self) -> &Orphans {
        &self.orphans
    }

    /// Whether an operation may go to this mount: not while the mount itself does not answer.
    pub(crate) fn admits(&self, kind: Kind) -> Result<(), Error> {
        self.breaker.admits(kind)
    }

    /// An operation timed out here, at this moment in coarse milliseconds.
    pub(crate) fn note_timeout(&self, now: u64) {
        self.breaker.timed_out(now);
    }

    /// An operation is over. What is kept may have been done without asking anybody: a close, and a write
    /// into memory.
    pub(crate) fn note_end(&self, kind: Kind, kept: bool, outcome: &Outcome) {
        // The caller's own work, and reading ahead, may have asked nobody either.
        let asked = !kept && !matches!(kind, Kind::Blocking | Kind::Prefetch);
        if asked && outcome.is_answer() {
            self.breaker.operation_answered();
        }
    }

    pub(crate) fn mount_stats(&self) -> MountStats {
        self.breaker.stats()
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    fn stuck_on(&self, share: Share) -> Option<&AtomicUsize> {
        match share {
            Share::Lane(Class::Data) => Some(&self.stuck_data),
            Share::Lane(Class::Metadata) => Some(&self.stuck_metadata),
            Share::Other => None,
            Share::Thread => Some(&self.stuck_threads),
        }
    }

    pub(crate) fn stuck(&self, share: Share) {
        self.breaker.stuck();
        if let Some(stuck) = self.stuck_on(share) {
            stuck.fetch_add(1, Ordering::SeqCst);
        }
        if share == Share::Thread {
            self.pool.stuck(1);
        }
    }

    pub(crate) fn unstuck(&self, share: Share) {
        self.breaker.unstuck();
        if let Some(stuck) = self.stuck_on(share) {
            stuck.fetch_sub(1, Ordering::SeqCst);
        }
        if share == Share::Thread {
            self.pool.stuck(-1);
        }
    }

    /// Why nothing more may go there, if so: it would only be stuck as well.
    pub(crate) fn full(&self, share: Share) -> Option<Full> {
        match share {
            Share::Lane(class) => self.lane_full(class),
            Share::Other => None,
            Share::Thread => self.pool.full(),
        }
    }

    /// A descriptor is to be closed here.
    pub(crate) fn close_begins(&self) {
        self.closes.begin();
    }

    /// It is.
    pub(crate) fn close_ends(&self) {
        self.closes.end();
    }

    /// How many descriptors wait to be closed here.
    pub(crate) fn closes_waiting(&self) -> usize {
        self.closes.count.load(Ordering::SeqCst)
    }

    /// Why no descriptor may be made here, if so: many wait to be closed, and none is.
    pub(crate) fn cannot_close(&self) -> Option<Full> {
        self.closes.pile_up()
    }

    /// How many operations are stuck there.
    pub(crate) fn stuck_count(&self, share: Share) -> usize {
        self.stuck_on(share)
            .map_or(0, |stuck| stuck.load(Ordering::SeqCst))
    }

    /// Takes no more on lanes, and asks them to cancel and end. Returns what never started.
    pub(crate) fn close(&self) -> Vec<Arc<dyn Job>> {
        self.closed.store(true, Ordering::Release);
        let mut unstarted = self.close_lanes();
        unstarted.extend(self.orphans.close());
        self.pool.close();
        unstarted
    }

    /// Looks after lanes, pool and breaker; returns whether anything is in flight.
    pub(crate) fn tick(self: &Arc<Self>) -> bool {
        let now = coarse_ms();
        let lanes_active = self.tick_lanes(now);
        let pool_active = self.pool.tick();
        self.pool
            .steps(|began_ms, step_ms| self.progress.moved(began_ms, step_ms));
        let stalled_ms = limits::MOUNT_STALLED_AFTER.as_millis() as u64;
        let oldest = self
            .lanes_oldest_for_ms(now, stalled_ms)
            .max(self.pool.oldest_for_ms(now, stalled_ms));
        if oldest >= stalled_ms {
            self.mount.mark_stalled();
        }
        let breaker_active = self.breaker.tick(now);
        lanes_active || pool_active || breaker_active
    }
}

#[cfg(target_os = "linux")]
impl Group {
    fn lanes(&self, class: Class) -> &Mutex<Lanes> {
        match class {
            Class::Data => &self.data,
            Class::Metadata => &self.metadata,
        }
    }

    /// Sends an operation to the lane of its class; back to the caller if there can be none.
    pub(crate) fn to_lane(self: &Arc<Self>, entry: RingJob) -> Result<(), NotTaken<RingJob>> {
        let class = Class::of(entry.job().load());
        let (is_kept, stuck) = (entry.job().is_kept(), self.stuck_count(Share::Lane(class)));
        if !is_kept && stuck >= limits::KERNEL_WORKERS_MAX as usize {
            return Err(NotTaken::Full(entry, Full { stuck }));
        }
        let Some(lane) = self.lane(class) else {
            return Err(NotTaken::NoQueue(entry));
        };
        entry.job().set_way(lane.clone());
        lane.push(entry, is_kept).map_err(|not| match not {
            NotTaken::Full(entry, _) => NotTaken::Full(entry, Full { stuck }),
            no_queue => no_queue,
        })
    }

    /// Whether its lane of that class has something to do.
    pub(crate) fn lane_is_busy(&self, class: Class) -> bool {
        let lane = lock(self.lanes(class)).current.clone();
        lane.is_some_and(|lane| lane.in_flight() > 0 || lane.waiting() > 0)
    }

    fn lane_full(&self, class: Class) -> Option<Full> {
        let stuck = self.stuck_count(Share::Lane(class));
        let is_full = || {
            let lanes = lock(self.lanes(class));
            lanes
                .current
                .as_ref()
                .is_some_and(|lane| lane.is_overfull())
        };
        (stuck >= limits::KERNEL_WORKERS_MAX as usize || is_full()).then_some(Full { stuck })
    }

    fn lane(self: &Arc<Self>, class: Class) -> Option<Arc<Lane>> {
        if !self.ring_usable.load(Ordering::Relaxed) {
            return None;
        }
        let mut lanes = lock(self.lanes(class));
        // Asked under the lock, so that no lane starts after `close` has looked for them.
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        if self.mount.is_of_peers() {
            lanes.make_room();
        }
        if lanes.current.is_none() {
            let started = self.start_lane(class, self.workers_left(0));
            let error = match started {
                Ok(lane) => return Some(lanes.current.insert(lane).clone()),
                Err(error) => error,
            };
            drop(lanes);
            self.ring_broke(&error);
            return None;
        }
        lanes.current.clone()
    }

    fn start_lane(self: &Arc<Self>, class: Class, workers: u32) -> std::io::Result<Arc<Lane>> {
        let me: Weak<Group> = Arc::downgrade(self);
        let (mount, counters) = (self.mount.clone(), self.counters.clone());
        Lane::start(me, mount, counters, class, workers)
    }

    fn tick_lanes(self: &Arc<Self>, now: u64) -> bool {
        [Class::Data, Class::Metadata]
            .into_iter()
            .map(|class| self.tick_class(class, now))
            .fold(false, |active, more| active | more)
    }

    fn tick_class(self: &Arc<Self>, class: Class, now: u64) -> bool {
        let mut lanes = lock(self.lanes(class));
        // A thread that ended holds its lane no longer.
        lanes.wedged.retain(|lane| Arc::strong_count(lane) > 1);
        lanes.all().for_each(|lane| lane.tick());
        let Some(lane) = lanes.current.clone() else {
            return false;
        };
        let is_busy = |lane: &Arc<Lane>| lane.in_flight() + lane.waiting() > 0;
        let active = lanes.all().any(is_busy) || !lanes.wedged.is_empty();
        if !lane.is_wedged(now) {
            return active;
        }
        self.mount.mark_stalled();
        if lanes.wedged.len() < limits::LANES_WEDGED_MAX && !self.closed.load(Ordering::Acquire) {
            let busy: usize = lanes.wedged.iter().map(|lane| lane.in_flight()).sum();
            let workers = self.workers_left(busy + lane.in_flight());
            if workers == 0 {
                return active;
            }
            let replaced = self.replace(&mut lanes, &lane, workers);
            drop(lanes);
            match replaced {
                Ok((moved, rest)) => {
                    for entry in rest {
                        entry.into_job().instead("no ring for a lane");
                    }
                    let (class, in_flight) = (class.name(), lane.in_flight());
                    events::report(move || events::lane_replaced(class, in_flight, moved));
                }
                Err(error) => {
                    self.ring_broke(&error);
                    for entry in lane.close(false) {
                        entry.into_job().instead("no ring for a lane");
                    }
                }
            }
        }
        active
    }

    /// Kernel workers for a lane, where other lanes of its class have so many operations in flight: together they
    /// have no more than one alone. On a disk of ours, where submissions sleep and lanes are replaced though no
    /// worker is busy, each replacement has one kept for it.
    fn workers_left(&self, busy: usize) -> u32 {
        let kept = if self.mount.is_local() {
            limits::LANES_WEDGED_MAX as u32
        } else {
            0
        };
        let left = limits::KERNEL_WORKERS_MAX.saturating_sub(kept + busy as u32);
        left.max(kept.min(1))
    }

    /// Puts a new lane in the place of a wedged one; returns how many operations moved, and those that it did
    /// not take.
    fn replace(
        self: &Arc<Self>,
        lanes: &mut Lanes,
        wedged: &Arc<Lane>,
        workers: u32,
    ) -> std::io::Result<(usize, Vec<RingJob>)> {
        let fresh = self.start_lane(wedged.class(), workers)?;
        let moved = wedged.close(false);
        let count = moved.len();
        self.counters.lane_replaced();
        let push = |entry: RingJob| {
            entry.job().set_way(fresh.clone());
            match fresh.push(entry, true) {
                Ok(()) => None,
                Err(NotTaken::NoQueue(entry) | NotTaken::Full(entry, _)) => Some(entry),
            }
        };
        let rest = moved.into_iter().filter_map(push).collect();
        lanes.wedged.push(wedged.clone());
        lanes.current = Some(fresh);
        Ok((count, rest))
    }

    fn all_lanes(&self) -> Vec<Arc<Lane>> {
        let both = [Class::Data, Class::Metadata].map(|class| lock(self.lanes(class)));
        both.iter().flat_map(|lanes| lanes.all()).cloned().collect()
    }

    pub(crate) fn lane_count(&self) -> usize {
        self.all_lanes().len()
    }

    fn lanes_oldest_for_ms(&self, now: u64, at_least: u64) -> u64 {
        self.all_lanes()
            .iter()
            .map(|lane| lane.oldest_for_ms(now, at_least))
            .max()
            .unwrap_or(0)
    }

    fn close_lanes(&self) -> Vec<Arc<dyn Job>> {
        self.all_lanes()
            .iter()
            .flat_map(|lane| lane.close(true))
            .map(RingJob::into_job)
            .collect()
    }
}

#[cfg(target_os = "linux")]
impl Owner for Group {
    /// No more rings for this mount: the pool does everything.
    fn ring_broke(&self, error: &std::io::Error) {
        if self.ring_usable.swap(false, Ordering::Relaxed) {
            let error = error.to_string();
            events::report(move || events::lane_without_ring(&error));
        }
    }
}

/// Without a ring there are no lanes, only the pool.
#[cfg(not(target_os = "linux"))]
impl Group {
    pub(crate) fn to_lane(&self, entry: RingJob) -> Result<(), NotTaken<RingJob>> {
        Err(NotTaken::NoQueue(entry))
    }

    fn lane_full(&self, _class: Class) -> Option<Full> {
        None
    }

    pub(crate) fn lane_count(&self) -> usize {
        0
    }

    fn lanes_oldest_for_ms(&self, _now: u64, _at_least: u64) -> u64 {
        0
    }

    fn tick_lanes(&self, _now: u64) -> bool {
        false
    }

    fn close_lanes(&self) -> Vec<Arc<dyn Job>> {
        Vec::new()
    }
}
