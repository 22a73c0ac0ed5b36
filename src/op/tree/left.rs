//! What an earlier copy has left: whole files that need not be copied again, and parts of others under temporary names.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex};

use super::TreeEvent;
use super::actor::TreeActor;
use crate::base::lock::{lock, wait_timeout};
use crate::limits;
use crate::op::walk::{Id, Node, Place, Pulse, Told, WalkCall};
use crate::sys::compare_at::{Alike, Compared, Pair, compare};
use crate::sys::copy_at;
use crate::sys::copy_left::{self, Stock, Whose};
use crate::sys::copy_temp::sum;
use crate::sys::path::as_path;
use crate::sys::stat::{How, Stat, kind};
use crate::sys::walking::{self, Reach};

/// Parts of files, by the directory that they are in and the sum of the name that each was to get.
#[derive(Default)]
pub(super) struct Left {
    parts: Mutex<HashMap<Id, HashMap<u64, CString>>>,
    /// What could not be looked through or removed, and was not told yet.
    failed: Mutex<Vec<(PathBuf, io::Error)>>,
    /// How often somebody was waited for who works in a directory.
    waits: AtomicU32,
}

impl Left {
    /// Looks for what is left in a directory that was there already; in the one that the copy itself is made in, for its
    /// own. What cannot be found out is copied anew, and told.
    pub(super) fn find(
        &self,
        actor: &TreeActor,
        dir: &Node,
        opened: &OwnedFd,
        only: Option<&OsStr>,
        pulse: Pulse<'_>,
    ) {
        let Some(id) = dir.id.get().filter(|_| actor.request.resume) else {
            return;
        };
        pulse.at(WalkCall::Enter);
        let whose = only.map_or(Whose::Any, Whose::Of);
        let go_on = || pulse.steps.go_on();
        let mut stock = Stock::default();
        let again = || self.waits() && pulse.steps.go_on();
        let found = copy_left::take_stock(opened.as_fd(), whose, &mut stock, go_on, again);
        if let Err(error) = found {
            lock(&self.failed).push((dir.path(), error));
        }
        let kept = stock.kept.into_iter();
        lock(&self.failed).extend(kept.map(|(name, error)| (dir.path_of(&name), error)));
        let mut twice = Vec::new();
        let mut parts = lock(&self.parts);
        let of_dir = parts.entry(*id).or_default();
        for (of, name) in stock.parts {
            twice.extend(of_dir.insert(of, name));
        }
        if of_dir.is_empty() {
            parts.remove(id);
        }
        drop(parts);
        for name in twice {
            self.remove(dir, opened.as_fd(), &name);
        }
    }

    /// Waits a moment for one who works in a directory, as far as that was not in vain before.
    fn waits(&self) -> bool {
        let goes_on = self.waits.fetch_add(1, Ordering::Relaxed) < limits::COPY_LEFT_WAITS_MAX;
        if goes_on {
            // Nobody rings: it is the time that passes.
            let (bell, quiet) = (Condvar::new(), Mutex::new(()));
            drop(wait_timeout(
                &bell,
                lock(&quiet),
                limits::COPY_TREE_TRY_EVERY,
            ));
        }
        goes_on
    }

    fn remove(&self, dir: &Node, opened: BorrowedFd<'_>, name: &CStr) {
        if let Err(error) = copy_at::remove_if_there(opened, name) {
            lock(&self.failed).push((dir.path_of(name), error));
        }
    }

    /// What went wrong since it was last asked, and where.
    pub(super) fn failed(&self) -> Vec<(PathBuf, io::Error)> {
        std::mem::take(&mut *lock(&self.failed))
    }

    /// Takes what there is of a file, under this name.
    pub(super) fn take(
        &self,
        place: &Place<'_>,
        to: BorrowedFd<'_>,
        into: &CStr,
        name: &Path,
    ) -> bool {
        let twin = place.dir.node.twin.get();
        let Some(id) = twin.and_then(|twin| twin.node.id.get()) else {
            return false;
        };
        let mut parts = lock(&self.parts);
        let part = parts
            .get_mut(id)
            .and_then(|of_dir| of_dir.remove(&sum(as_path(into).as_os_str())));
        drop(parts);
        part.is_some_and(|part| copy_left::take(to, &part, name))
    }

    /// A directory is full: what is left of others has no use.
    pub(super) fn clear(&self, dir: &Node, opened: BorrowedFd<'_>) {
        let parts = match dir.id.get() {
            Some(id) => lock(&self.parts).remove(id),
            None => None,
        };
        for name in parts.into_iter().flatten().map(|(_, name)| name) {
            self.remove(dir, opened, &name);
        }
    }
}

impl TreeActor {
    /// Tells what went wrong so far with what was left, by its path at the destination.
    pub(super) fn tell_left(&self, told: &mut Told<TreeEvent>) {
        for (path, error) in self.left.failed() {
            self.fail(told, path, ("resume", error));
        }
    }

    /// Whether the destination has this file already, whole and with all that goes with it; what it is there then.
    pub(super) fn is_whole(
        &self,
        place: &Place<'_>,
        to: BorrowedFd<'_>,
        into: &CStr,
        found: &Stat,
    ) -> Option<Id> {
        let there = walking::stat(to, into, Reach::NAME, How::default()).ok()?;
        // A name of another file, too, is not what a copy makes.
        let is_like = there.type_bits() == kind::FILE && there.size == found.size;
        if !is_like || there.nlink > found.nlink || (there.dev, there.ino) == (found.dev, found.ino)
        {
            return None;
        }
        let pair = Pair {
            from: (place.fd, place.name().name),
            to: (to, into),
        };
        let alike = Alike {
            preserve: self.request.file.preserve,
            may_lack_xattrs: false,
        };
        match compare(pair, kind::FILE, alike, &self.flow(place.pulse)) {
            Ok(Compared::Same(there, _)) => Some((there.dev, there.ino)),
            // Whatever is wrong: to copy it finds out, or mends it.
            Ok(Compared::Differs(_)) | Err(_) => None,
        }
    }
}
