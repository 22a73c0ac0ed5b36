//! The lanes and the pool of one mount: what hangs there holds nobody elsewhere.

use std::any::Any;
#[cfg(target_os = "linux")]
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::base::clock::coarse_ms;
use crate::driver::job::load::{Class, Share};
use crate::driver::job::queue::{Full, is_still};
use crate::driver::job::{Job, Outcome};
#[cfg(target_os = "linux")]
use crate::driver::mount::lanes::Lanes;
use crate::driver::mount::mount_breaker::MountBreaker;
#[cfg(feature = "testing")]
use crate::driver::mount::mount_breaker::Questioned;
use crate::driver::mount::pool::{Pool, ThreadCap};
use crate::driver::mount::progress::Progress;
use crate::driver::order::orphans::Orphans;
use crate::error::Error;
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

/// All that runs one mount's operations for one handle.
pub(crate) struct Group {
    /// What the operations of the mount share among themselves.
    shared: OnceLock<Arc<dyn Any + Send + Sync>>,
    pub(super) mount: Arc<Mount>,
    pub(super) counters: Arc<Counters>,
    pool: Arc<Pool>,
    breaker: Arc<MountBreaker>,
    progress: Progress,
    /// Whether lanes with a ring can be had.
    #[cfg(target_os = "linux")]
    pub(super) ring_usable: AtomicBool,
    #[cfg(target_os = "linux")]
    pub(super) data: Mutex<Lanes>,
    #[cfg(target_os = "linux")]
    pub(super) metadata: Mutex<Lanes>,
    orphans: Orphans,
    closes: Closes,
    /// Operations that nobody waits for and that are not over: on threads, on the data lanes, on the
    /// metadata lanes.
    stuck_threads: AtomicUsize,
    stuck_data: AtomicUsize,
    stuck_metadata: AtomicUsize,
    pub(super) closed: AtomicBool,
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
