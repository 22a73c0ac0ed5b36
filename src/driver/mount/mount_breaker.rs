//! The breaker of one mount for one handle: the state machine with its lock, its counters and its questions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::base::clock::coarse_ms;
use crate::base::lock::lock;
use crate::driver::mount::breaker::{Machine, Step};
use crate::driver::mount::group::Group;
use crate::driver::watchdog;
use crate::error::Error;
use crate::events;
use crate::mounts::{Asker, Mount, MountStats};
use crate::opcode::Kind;
use crate::settings::Breaker;

/// A question to a mount, to be put.
#[cfg(feature = "testing")]
pub(crate) type Ask = Box<dyn FnOnce() + Send>;

/// Who may take the questions to a mount before they are put: the fake backend.
#[cfg(feature = "testing")]
pub(crate) trait Questioned: Send + Sync {
    /// Gives the question back if it shall be put.
    fn take_question(&self, mount: &Mount, asker: &Weak<dyn Asker>, ask: Ask) -> Option<Ask>;
}

pub(crate) struct MountBreaker {
    mount: Arc<Mount>,
    /// This, for the thread that asks: a dead mount keeps no handle alive.
    me: Weak<MountBreaker>,
    machine: Mutex<Machine>,
    /// Of the machine, to be read without the lock: whether operations are refused, and whether an answer
    /// changes anything.
    refuses: AtomicBool,
    calm: AtomicBool,
    stuck: AtomicU64,
    timeouts: AtomicU64,
    refused: AtomicU64,
    #[cfg(feature = "testing")]
    pub(crate) faults: std::sync::OnceLock<Arc<dyn Questioned>>,
}

impl MountBreaker {
    pub(crate) fn new(mount: Arc<Mount>, settings: Breaker) -> Arc<MountBreaker> {
        Arc::new_cyclic(|me| MountBreaker {
            mount,
            me: me.clone(),
            machine: Mutex::new(Machine::new(settings)),
            refuses: AtomicBool::new(false),
            calm: AtomicBool::new(true),
            stuck: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            #[cfg(feature = "testing")]
            faults: std::sync::OnceLock::new(),
        })
    }

    /// Whether an operation may go there. Costs one load while the mount answers.
    pub(crate) fn admits(&self, operation: Kind) -> Result<(), Error> {
        if !self.refuses.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(Error::MountUnresponsive {
            operation,
            mount_point: self.mount.point().unwrap_or_default(),
        })
    }

    /// An operation there timed out.
    pub(crate) fn timed_out(&self, now_ms: u64) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
        // Without a mount point there is nothing to ask, and without an answer nothing is refused.
        if self.mount.point().is_some() {
            self.act(|machine| machine.timed_out(now_ms), now_ms);
            watchdog::call();
        }
    }

    /// An operation there was answered. Costs one load unless something timed out before.
    pub(crate) fn operation_answered(&self) {
        if !self.calm.load(Ordering::Relaxed) {
            self.act(Machine::answered, coarse_ms());
        }
    }

    /// The kernel, or a thread, keeps an operation that nobody waits for.
    pub(crate) fn stuck(&self) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
    }

    /// It has let one of them go.
    pub(crate) fn unstuck(&self) {
        self.stuck.fetch_sub(1, Ordering::Relaxed);
    }

    /// Looks at the time; returns whether to look again soon.
    pub(crate) fn tick(&self, now_ms: u64) -> bool {
        if self.calm.load(Ordering::Relaxed) {
            return false;
        }
        self.act(|machine| machine.tick(now_ms), now_ms);
        lock(&self.machine).wants_ticks()
    }

    pub(crate) fn stats(&self) -> MountStats {
        MountStats {
            point: self.mount.point(),
            fs_type: self.mount.fs_type().map(str::to_owned),
            state: lock(&self.machine).state(),
            stuck: self.stuck.load(Ordering::Relaxed),
            timeouts: self.timeouts.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Tells the machine something, and does what it says: not under its lock.
    fn act(&self, tell: impl FnOnce(&mut Machine) -> Step, now_ms: u64) {
        let step = self.change(tell);
        match step {
            Step::Nothing => {}
            Step::Ask => self.ask(now_ms),
            Step::Opened => {
                let point = self.mount.point();
                events::report(move || events::mount_unresponsive(point.as_deref()));
            }
            Step::Closed => {
                let point = self.mount.point();
                events::report(move || events::mount_answers(point.as_deref()));
            }
        }
    }

    fn ask(&self, now_ms: u64) {
        let (mount, me) = (self.mount.clone(), self.me.clone());
        let ask = move || {
            let asker: Weak<dyn Asker> = me.clone();
            if mount.ask(asker).is_err() {
                me.upgrade().inspect(|me| me.nothing_came(now_ms));
            }
        };
        #[cfg(feature = "testing")]
        let Some(ask) = self.unless_faulty(ask) else {
            return;
        };
        ask();
    }

    /// Gives the question back if no rule of the fake backend takes it.
    #[cfg(feature = "testing")]
    fn unless_faulty(&self, ask: impl FnOnce() + Send + 'static) -> Option<Ask> {
        let asker: Weak<dyn Asker> = self.me.clone();
        match self.faults.get() {
            Some(faults) => faults.take_question(&self.mount, &asker, Box::new(ask)),
            None => Some(Box::new(ask)),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = lock(&self.machine);
        let changed = change(&mut machine);
        self.refuses.store(machine.refuses(), Ordering::Relaxed);
        self.calm.store(machine.is_calm(), Ordering::Relaxed);
        changed
    }

    fn nothing_came(&self, now_ms: u64) {
        self.change(|machine| machine.came_to_nothing(now_ms));
        watchdog::call();
    }
}

/// What was seen of the mounts of these groups, by mount point.
pub(crate) fn stats_of(groups: &[Arc<Group>]) -> Vec<MountStats> {
    let is_storage = |mount: &Mount| !mount.is_of_peers() && mount.key() != Mount::chores().key();
    let groups = groups.iter().filter(|group| is_storage(group.mount()));
    let mut mounts: Vec<_> = groups.map(|group| group.mount_stats()).collect();
    mounts.sort_by(|one, other| one.point.cmp(&other.point));
    mounts
}

impl Asker for MountBreaker {
    fn answered(&self) {
        self.act(Machine::answered, coarse_ms());
    }

    fn came_to_nothing(&self) {
        self.nothing_came(coarse_ms());
    }
}
