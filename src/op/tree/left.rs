//! What an earlier copy has left: whole files that need not be copied again, and parts of others under temporary names.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;

use super::actor::TreeActor;
use crate::op::walk::{Id, Node, Place, Pulse, WalkCall};
use crate::sys::compare_at::{Alike, Compared, Pair, compare};
use crate::sys::copy_at;
use crate::sys::copy_left::{self, Whose};
use crate::sys::copy_temp::sum;
use crate::sys::lock::lock;
use crate::sys::path::as_path;
use crate::sys::stat::{How, Stat, kind};
use crate::sys::walking::{self, Reach};

/// Parts of files, by the directory that they are in and the sum of the name that each was to get.
#[derive(Default)]
pub(super) struct Left {
    parts: Mutex<HashMap<Id, HashMap<u64, CString>>>,
}

impl Left {
    /// Looks for what is left in a directory that was there already; in the one that the copy itself is made in, for its
    /// own. What cannot be found out is copied anew.
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
        let found = copy_left::take_stock(opened.as_fd(), whose, go_on);
        let mut twice = Vec::new();
        let mut parts = lock(&self.parts);
        let of_dir = parts.entry(*id).or_default();
        for (of, name) in found.unwrap_or_default() {
            twice.extend(of_dir.insert(of, name));
        }
        if of_dir.is_empty() {
            parts.remove(id);
        }
        drop(parts);
        for name in twice {
            let _ = copy_at::remove(opened.as_fd(), &name);
        }
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
            let _ = copy_at::remove(opened, &name);
        }
    }
}

impl TreeActor {
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
