//! The one decision where an operation goes, and the one door to each queue.
//!
//! The request says once what it is: an entry for a ring, or a call on a thread. With the mount and the handle,
//! that decides. Whatever goes anywhere comes through [`Driver::send`], or, where a ring could not do it after
//! all, through [`Driver::to_thread`]: there is no third way to a queue, and each asks whether the mount answers
//! and whether there is room.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::driver::core::Driver;
#[cfg(target_os = "linux")]
use crate::driver::job::load::OnWorker;
use crate::driver::job::load::{Class, Load, Share};
use crate::driver::job::queue::{Full, NotTaken};
use crate::driver::job::{Job, Outcome, RingJob};
use crate::driver::mount::group::Group;
use crate::driver::task::chore::Close;
use crate::driver::task::scope;
use crate::error::{Error, LeftBehind};
use crate::limits;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::settings::{Route, Submit};

/// Who sends an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// The poll that began it, whose thread's own ring may take it.
    Poll,
    /// Whoever kept it back, or lets it go again: a worker ring takes only what no future can drop meanwhile.
    Queue,
}

/// Why an operation that could be an entry is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoRing {
    /// So it is meant to be.
    ByChoice,
    /// The kernel has no such opcode.
    Opcode,
}

impl Driver {
    /// Sends an operation its way.
    pub(super) fn send(&self, group: &Arc<Group>, job: Arc<dyn Job>, sender: Sender) {
        if job.is_over() {
            // It was taken back while it was kept back.
            return;
        }
        let Some(job) = self.let_in(group, job) else {
            return;
        };
        let ring = match RingJob::of(job) {
            Err(call) => return self.to_pool(group, call),
            Ok(entry) => entry,
        };
        let (kind, load) = (ring.job().kind(), ring.job().load());
        let entry = match self.ring_for(group, kind, load) {
            Ok(()) => ring,
            Err(why) => {
                if why == NoRing::Opcode {
                    self.counters.fell_back("the kernel lacks the opcode");
                }
                return self.to_pool(group, ring.into_job());
            }
        };
        let entry = match self.to_worker(group, entry, sender) {
            Ok(()) => return,
            Err(entry) => entry,
        };
        match group.to_lane(entry) {
            Ok(()) => {}
            Err(NotTaken::Full(entry, full)) => refuse(group, entry.into_job(), full),
            Err(NotTaken::NoQueue(entry)) => {
                if !self.is_closed() {
                    self.counters.fell_back("no ring for a lane");
                }
                self.to_pool(group, entry.into_job());
            }
        }
    }

    /// Sends on a thread's way what a ring could not do.
    pub(super) fn to_thread(&self, group: &Arc<Group>, job: Arc<dyn Job>) {
        if let Some(job) = self.let_in(group, job) {
            self.to_pool(group, job);
        }
    }

    /// The same for what is to be done late, for nobody.
    #[cfg(feature = "testing")]
    pub(super) fn to_thread_late(&self, group: &Arc<Group>, job: Arc<dyn Job>) {
        job.set_way(group.pool().clone());
        group.pool().push_owed(job);
    }

    /// Refuses what would go to a mount that does not answer, and what would make a descriptor where descriptors
    /// cannot be closed.
    fn let_in(&self, group: &Arc<Group>, job: Arc<dyn Job>) -> Option<Arc<dyn Job>> {
        // What is kept was promised before; a descriptor has to be closed.
        if job.is_kept() {
            return Some(job);
        }
        if let Err(refused) = group.admits(job.kind()) {
            job.end(Outcome::Refused(refused.into()));
            return None;
        }
        if job.makes_descriptor() {
            if let Some(full) = group.cannot_close() {
                refuse(group, job, full);
                return None;
            }
        }
        Some(job)
    }

    fn to_pool(&self, group: &Arc<Group>, job: Arc<dyn Job>) {
        job.set_way(group.pool().clone());
        if job.is_kept() {
            return group.pool().push_owed(job);
        }
        if let Err((job, full)) = group.pool().push(job) {
            refuse(group, job, full);
        }
    }

    /// What an operation occupies while it goes on.
    #[cfg(feature = "testing")]
    pub(super) fn share_of(&self, group: &Group, job: &dyn Job) -> Share {
        if job.is_entry() && self.ring_for(group, job.kind(), job.load()).is_ok() {
            return Share::Lane(Class::of(job.load()));
        }
        Share::Thread
    }

    fn ring_for(&self, group: &Group, kind: Kind, load: Load) -> Result<(), NoRing> {
        if self.route() == Route::Pool || self.is_closed() {
            return Err(NoRing::ByChoice);
        }
        // What a FUSE daemon's flush answers could be ECANCELED too, as for a close that never began, and
        // the number would be closed twice.
        if kind == Kind::Close && !group.mount().is_local() {
            return Err(NoRing::ByChoice);
        }
        if self.is_sooner_by_thread(group, kind, load) {
            return Err(NoRing::ByChoice);
        }
        if crate::probe::report().has_opcode(kind) {
            Ok(())
        } else {
            Err(NoRing::Opcode)
        }
    }

    /// Whether a thread's call is one wake-up less than an entry, which the kernel leaves to a worker of its own, whatever
    /// is in memory. On a local disk no cancel ends either; behind an overlay it would have to reach what is below.
    fn is_sooner_by_thread(&self, group: &Group, kind: Kind, load: Load) -> bool {
        let mount = group.mount();
        let is_sooner = match kind {
            Kind::Statx | Kind::TryExists => mount.is_local() || mount.is_overlay(),
            Kind::Open | Kind::OpenWithin => load == Load::OfStorage && mount.is_overlay(),
            // Of many at a time a lane takes less for each.
            Kind::Read | Kind::ReadVectored => mount.is_overlay() && group.pool().is_at_rest(),
            // Many that take long are better left to kernel workers, so that others have the threads.
            _ if kind.is_left_to_workers() && load != Load::Direct => {
                let is_calm = mount.is_local() && mount.is_healthy();
                is_calm && self.submit() != Submit::Inline && group.pool().is_quick()
            }
            _ => false,
        };
        // What holds all threads, as writes do while a disk is frozen, does not hold attributes.
        is_sooner && self.route() == Route::Auto && !group.pool().is_out_of_threads()
    }

    /// The polling thread's own ring, where a submission cannot sleep and few are in flight.
    #[cfg(target_os = "linux")]
    fn to_worker(&self, group: &Arc<Group>, entry: RingJob, sender: Sender) -> Result<(), RingJob> {
        let (mount, job) = (group.mount(), entry.job());
        let inline = self.submit() == Submit::Inline;
        let cannot_sleep = mount.is_local() && mount.is_healthy();
        let never = sender == Sender::Queue || job.on_worker() == OnWorker::Never;
        if never || !(inline || cannot_sleep) {
            return Err(entry);
        }
        let Some(worker) = self.worker() else {
            return Err(entry);
        };
        let depth = match job.load() {
            _ if inline => usize::MAX,
            Load::Direct => limits::WORKER_DEPTH_DIRECT,
            Load::Buffered | Load::ManyNames | Load::Metadata | Load::OfStorage => {
                limits::WORKER_DEPTH_BUFFERED
            }
        };
        // One that waits behind another file's stuck one may be out of reach of any cancel: only those go
        // here that most filesystems do not serialise.
        if !inline && job.kind().is_serialised() && job.load() != Load::Direct {
            return Err(entry);
        }
        // Where a crowd waits, a lane submits it at once, which takes less processor time than as many entries that are
        // each left to a kernel worker.
        let is_direct = job.load() == Load::Direct;
        if !inline && !is_direct && group.lane_is_busy(Class::of(job.load())) {
            return Err(entry);
        }
        if worker.in_flight() >= depth || job.kind().is_serialised() && worker.is_serial_stuck() {
            return Err(entry);
        }
        let how = if inline {
            OnWorker::Plain
        } else {
            job.on_worker()
        };
        worker.start(entry, how)
    }

    #[cfg(not(target_os = "linux"))]
    fn to_worker(&self, _: &Arc<Group>, entry: RingJob, _: Sender) -> Result<(), RingJob> {
        Err(entry)
    }

    /// Whether what hangs on this mount holds all the threads that it may have.
    pub(crate) fn is_out_of_threads(&self, mount: &Arc<Mount>) -> bool {
        self.group(mount).pool().is_out_of_threads()
    }

    /// Whether something may begin that nothing ends once it has: not under a limit that is passed, nor on a
    /// mount that does not answer or has too much that is stuck.
    pub(crate) fn may_begin(&self, kind: Kind, mount: &Arc<Mount>) -> Result<(), Error> {
        let group = self.group(mount);
        self.admits(&group, kind, true, || None)?;
        let full = match self.ring_for(&group, kind, Load::Metadata) {
            Ok(()) => group.full(Share::Lane(Class::Data)),
            Err(_) => group.full(Share::Thread),
        };
        full.map_or(Ok(()), |full| Err(full.error(group.mount(), kind)))
    }

    /// Whether a poll may make a descriptor there: not where many wait to be closed, and none is.
    pub(crate) fn may_open(&self, kind: Kind, mount: &Arc<Mount>) -> Result<(), Error> {
        let group = self.group(mount);
        let full = group.cannot_close();
        full.map_or(Ok(()), |full| Err(full.error(group.mount(), kind)))
    }

    /// Whether as many descriptors that polls have opened only to look wait for a thread to close them as may. Polls
    /// are faster than threads: each that polls for the first time on a mount would have one open.
    pub(crate) fn has_many_look_ups(&self) -> bool {
        let waiting = self.chores.get().map_or(0, |group| group.closes_waiting());
        waiting >= limits::LOOK_UPS_CLOSING_MAX
    }

    /// Closes what a poll has opened only to look at it, on a thread that has nothing to do with its mount, behind
    /// whose stuck operations descriptors would pile up.
    pub(crate) fn close_look_up(self: &Arc<Self>, fd: OwnedFd) {
        let group = self.chores.get_or_init(|| self.group(&Mount::chores()));
        self.close_later(fd, group);
    }

    /// The same, and waits for it, but only so long.
    pub(crate) fn close_look_up_soon(self: &Arc<Self>, fd: OwnedFd) {
        let group = self.chores.get_or_init(|| self.group(&Mount::chores()));
        self.end_soon(group.mount(), |watched| {
            self.start_detached(Close::new(fd).watched(watched), group.mount());
        });
    }

    /// Whether an operation may begin: not under a limit that is passed, if a caller waits for it, nor on a
    /// mount that does not answer.
    pub(super) fn admits(
        &self,
        group: &Group,
        kind: Kind,
        heard: bool,
        path: impl FnOnce() -> Option<PathBuf>,
    ) -> Result<(), Error> {
        if let (true, Some(why)) = (heard, scope::refused()) {
            let left = LeftBehind::NothingHappened;
            return Err(why.error(Some(kind), path(), Duration::ZERO, left));
        }
        group.admits(kind)
    }
}

/// Refuses what would only be stuck as well.
pub(super) fn refuse(group: &Group, job: Arc<dyn Job>, full: Full) {
    let refused = full.error(group.mount(), job.kind());
    job.end(Outcome::Refused(refused.into()));
}
