//! When an operation is to be looked at: its deadline, or the end of the grace after it.

#[cfg(target_os = "linux")]
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::{NEVER, coarse_ms, now_us};
use crate::base::lock::lock;
use crate::driver::job::Job;
use crate::driver::mount::group::Group;
use crate::driver::task::cell::Cell;
use crate::driver::task::life::GivenUp;
use crate::driver::task::op::Op;
use crate::driver::task::scope::Why;
use crate::driver::watchdog;
use crate::limits;
use crate::opcode::{DeadlineClass, Kind};
use crate::settings::Settings;
use crate::sys::moving::unwritten_pages;
#[cfg(target_os = "linux")]
use crate::sys::{linux::nowait::open_path_cached, path::with_c_path};

impl<O: Op> Cell<O> {
    /// The time has come: gives up on it, or says that it is stuck. Whether it is to be seen whether it gets on.
    pub(crate) fn expire(&self, now_us: u64) -> bool {
        if self.life.is_given_up() {
            // The grace is over.
            if let GivenUp::Left(waker) = self.life.leave(|| self.raise_fence()) {
                self.leave(waker);
            } else {
                self.mark_stuck();
            }
            return false;
        }
        if let Some(look) = self.look(now_us) {
            return look;
        }
        if self.life.is_left() {
            // It goes on for nobody, and takes too long for that.
            self.mark_stuck();
            return false;
        }
        if self.by_default.load(Ordering::SeqCst) && self.waits_for_a_peer() {
            self.limit(NEVER, false);
            return false;
        }
        self.give_up(Why::TimedOut);
        false
    }

    pub(crate) fn note_due(&self) {
        let due_us = self.due_us.load(Ordering::SeqCst);
        if let (Some(place), true) = (self.place.get(), due_us != NEVER) {
            self.host.registry().note_due(*place, due_us);
            watchdog::call_by(due_us);
        }
    }

    pub(crate) fn set_due(&self, due_us: u64) {
        self.due_us.store(due_us, Ordering::SeqCst);
        self.note_due();
    }

    /// Whoever waits for it now wants it by then.
    pub(crate) fn hasten(&self, due_us: u64) {
        if due_us < self.until_us.load(Ordering::SeqCst) {
            self.limit(due_us, false);
        }
    }

    /// Whoever waited for it waits no more, and has taken the limit along. Whether it was not given up before.
    pub(crate) fn unhurry(&self) -> bool {
        let due_us = self.patience_us.map(|patience_us| now_us() + patience_us);
        self.limit(due_us.unwrap_or(NEVER), due_us.is_some())
    }

    /// What was given up keeps its grace.
    fn limit(&self, until_us: u64, by_default: bool) -> bool {
        let set = || {
            self.until_us.store(until_us, Ordering::SeqCst);
            self.by_default.store(by_default, Ordering::SeqCst);
            self.due_us.store(until_us, Ordering::SeqCst);
        };
        let is_set = self.life.unless_given_up(set);
        self.note_due();
        is_set
    }

    /// When it is to be seen how it gets on, at moments that all of the same patience have in common, so that few
    /// looks see many.
    pub(crate) fn next_look_us(&self, now_us: u64, until_us: u64) -> u64 {
        let patience_us = self.patience_us.unwrap_or(NEVER);
        let every_us = (patience_us / u64::from(limits::PROGRESS_LOOKS)).max(1000);
        until_us.min((now_us / every_us + 1).saturating_mul(every_us))
    }

    /// If its limit is its handle's and is not over, as far as can be seen: whether to look at what it waits for.
    pub(crate) fn look(&self, now_us: u64) -> Option<bool> {
        if !self.by_default.load(Ordering::SeqCst) {
            return None;
        }
        let patience_us = self.patience_us?;
        let mut until_us = self.until_us.load(Ordering::SeqCst);
        if until_us <= now_us {
            let since_us = coarse_ms().saturating_sub(self.moved_ms(patience_us)) * 1000;
            until_us = (now_us + patience_us).saturating_sub(since_us);
            if until_us <= now_us {
                return None;
            }
        }
        let look_us = self.next_look_us(now_us, until_us);
        let set = || {
            // Somebody may have hastened it meanwhile.
            if self.by_default.load(Ordering::SeqCst) {
                self.until_us.store(until_us, Ordering::SeqCst);
                self.due_us.store(look_us, Ordering::SeqCst);
            }
        };
        self.life.unless_given_up(set);
        self.note_due();
        Some(!self.life.is_left() && self.moves.wants_look())
    }

    /// The last sign that it, or what it waits behind, gets on, in coarse milliseconds.
    fn moved_ms(&self, patience_us: u64) -> u64 {
        let progress = self.group.progress();
        let signs = [
            self.started_ms,
            self.last_step_ms(),
            progress.in_order_ms(self.started_ms),
            self.moves.written_ms.load(Ordering::Relaxed),
        ];
        let own_ms = signs.into_iter().max().unwrap_or(0);
        if lock(&self.way).as_ref().is_some_and(|way| way.is_no_disk()) {
            return own_ms;
        }
        let by_disk_ms = progress.by_disk_ms(self.kind, self.started_ms);
        // Where the pages of a file cannot be counted, its sync has no other sign.
        let counts_alone = self.kind.row().deadline_class == DeadlineClass::Sync
            && !self.moves.are_counted.load(Ordering::Relaxed);
        let most_ms = u64::from(limits::DISK_LIMITS_MAX) * (patience_us / 1000);
        let by_disk_ms = match counts_alone {
            true => by_disk_ms,
            false => by_disk_ms.min(own_ms.saturating_add(most_ms)),
        };
        own_ms.max(by_disk_ms)
    }
}

/// What is seen of the file that an operation writes back.
#[derive(Default)]
pub(crate) struct Moves {
    file: Option<Weak<dyn AsFd + Send + Sync>>,
    /// Whether it waits for being looked at.
    is_asked: AtomicBool,
    pages: AtomicU64,
    /// Whether there is a number of them.
    are_counted: AtomicBool,
    /// When pages were last seen to have been written, in coarse milliseconds; zero for never.
    written_ms: AtomicU64,
}

impl Moves {
    pub(crate) fn new(file: Option<Weak<dyn AsFd + Send + Sync>>) -> Moves {
        Moves {
            file,
            ..Moves::default()
        }
    }

    fn wants_look(&self) -> bool {
        !self.is_asked.swap(true, Ordering::AcqRel)
    }

    /// Looks at the pages, and at the disk.
    pub(crate) fn look(&self, group: &Group) {
        let file = self.file.as_ref().and_then(Weak::upgrade);
        if let Some(pages) = file.and_then(|file| unwritten_pages(file.as_fd())) {
            self.are_counted.store(true, Ordering::Relaxed);
            if pages < self.pages.swap(pages, Ordering::Relaxed) {
                self.written_ms.store(coarse_ms(), Ordering::Relaxed);
            }
        }
        group.progress().look_at_disk(group.mount());
        self.is_asked.store(false, Ordering::Release);
    }
}

impl<O: Op> Cell<O> {
    /// Whether it has turned out that it waits for something other than storage. What was not known when it
    /// began may be by now: opening a FIFO has brought its name into memory, and its mount was described.
    /// Neither can sleep: nothing is asked but what the kernel has in memory of a local filesystem.
    pub(crate) fn waits_for_a_peer(&self) -> bool {
        let mount = self.group.mount();
        let opens = matches!(
            self.kind,
            Kind::Open | Kind::OpenWithin | Kind::ReadFile | Kind::WriteFile | Kind::ReadSmallFile
        );
        if !opens {
            return mount.has_no_storage();
        }
        mount.is_local() && self.path().is_some_and(|path| leads_to_a_peer(&path))
    }
}

#[cfg(target_os = "linux")]
fn leads_to_a_peer(path: &Path) -> bool {
    let look = |path: &CStr| {
        let fd = open_path_cached(None, path, true, 0)?;
        Ok(crate::mounts::of_fd(fd.as_fd())?.0.is_special())
    };
    with_c_path(path, look).unwrap_or(false)
}

#[cfg(not(target_os = "linux"))]
fn leads_to_a_peer(_path: &Path) -> bool {
    false
}

/// How long a handle lets an operation take of itself, in microseconds.
pub(crate) fn default_patience(settings: &Settings, group: &Group, kind: Kind) -> Option<u64> {
    let timeouts = &settings.timeouts;
    let patience = match kind.row().deadline_class {
        // A peer takes as long as it takes.
        _ if group.mount().is_of_peers() => None,
        DeadlineClass::Data => timeouts.data,
        _ if kind == Kind::Prefetch => timeouts.data,
        DeadlineClass::Metadata => timeouts.metadata,
        DeadlineClass::Sync => timeouts.sync,
        DeadlineClass::Unbounded => None,
    };
    patience.map(|patience: Duration| u64::try_from(patience.as_micros()).unwrap_or(NEVER / 2))
}
