//! When an operation is to be looked at: its deadline, or the end of the grace after it.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;
#[cfg(target_os = "linux")]
use std::{ffi::CStr, os::fd::AsFd};

use super::cell::{Cell, Job};
use super::core::Driver;
use super::group::Group;
use super::op::Op;
use super::registry::NEVER;
use crate::opcode::{DeadlineClass, Kind};
use crate::sys::clock::now_us;
#[cfg(target_os = "linux")]
use crate::sys::{linux::nowait::open_path_cached, path::with_c_path};

impl<O: Op> Cell<O> {
    pub(super) fn note_due(&self) {
        let due_us = self.due_us.load(Ordering::SeqCst);
        if let (Some(place), true) = (self.place.get(), due_us != NEVER) {
            self.driver.registry.note_due(*place, due_us);
        }
    }

    pub(super) fn set_due(&self, due_us: u64) {
        self.due_us.store(due_us, Ordering::SeqCst);
        self.note_due();
    }

    /// Whoever waits for it now wants it by then.
    pub(super) fn hasten(&self, due_us: u64) {
        if due_us < self.due_us.load(Ordering::SeqCst) {
            self.is_due_by_default.store(false, Ordering::SeqCst);
            self.set_due_unless_given_up(due_us);
        }
    }

    /// Whoever waited for it waits no more, and has taken the limit along. Whether it was not given up before.
    pub(super) fn unhurry(&self) -> bool {
        let due_us = self.patience_us.map(|patience_us| now_us() + patience_us);
        self.is_due_by_default.store(true, Ordering::SeqCst);
        self.set_due_unless_given_up(due_us.unwrap_or(NEVER))
    }

    /// What was given up keeps its grace.
    fn set_due_unless_given_up(&self, due_us: u64) -> bool {
        let set = || self.due_us.store(due_us, Ordering::SeqCst);
        let is_set = self.life.unless_given_up(set);
        self.note_due();
        is_set
    }
}

impl<O: Op> Cell<O> {
    /// Whether it has turned out that it waits for something other than storage. What was not known when it
    /// began may be by now: opening a FIFO has brought its name into memory, and its mount was described.
    /// Neither can sleep: nothing is asked but what the kernel has in memory of a local filesystem.
    pub(super) fn waits_for_a_peer(&self) -> bool {
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
        let fd = open_path_cached(path, true)?;
        Ok(crate::mounts::of_fd(fd.as_fd())?.0.is_special())
    };
    with_c_path(path, look).unwrap_or(false)
}

#[cfg(not(target_os = "linux"))]
fn leads_to_a_peer(_path: &Path) -> bool {
    false
}

/// How long a handle lets an operation take of itself, in microseconds.
pub(super) fn default_patience(driver: &Driver, group: &Group, kind: Kind) -> Option<u64> {
    let timeouts = &driver.settings().timeouts;
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
