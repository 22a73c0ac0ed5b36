//! What a driver does for nobody who waits: closes, drops, chores.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use crate::driver::core::Driver;
use crate::driver::door::Sender;
use crate::driver::mount::group::Group;
use crate::driver::ring::on_rings::OnRings;
use crate::driver::task::cell::Cell;
use crate::driver::task::chore::{Chore, Close};
use crate::driver::watchdog;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::progress::{Progress, Waited};
use crate::sys::thread;

impl Driver {
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
    pub(super) fn end_soon(
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
}
