//! What a thread of a walk does with the names of a directory.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::board::{Harvest, Task};
use super::found::{Chunk, Flags, Found, Row, WalkCall, WalkError};
use super::node::{Id, Node, Use};
use super::task::Flow;
use super::worker::{Doing, Ended, Worker};
use super::{Enter, Shared};
use crate::base::lock::lock;
use crate::error::Error;
use crate::op::statx::Statx;
use crate::opcode::Kind;
use crate::sys::stat::{Stat, kind};
use crate::sys::steps::Steps;
use crate::sys::walking::{self, Name, Names, Reach};

/// What was seen of names, before it is handed on.
#[derive(Default)]
struct Seen {
    rows: Vec<Row>,
    names: Vec<u8>,
    errors: Vec<WalkError>,
    /// Whether the last name came to one of those.
    last_is_error: bool,
    mount_points: u64,
}

/// Whether it is a directory of another filesystem. Files of one mount may have another device than its directories, as on
/// overlays.
fn leads_elsewhere(node: &Node, stat: &Stat) -> bool {
    stat.is_dir() && node.id.get().is_some_and(|id| id.0 != stat.dev)
}

impl<T: Send> Shared<T> {
    /// Looks at names, and hands on what it finds. What is more than a thread takes at a time goes back to the stack,
    /// for others.
    pub(super) fn rows(
        self: &Arc<Self>,
        me: &Worker,
        dir: Use,
        names: Arc<Names>,
        range: Range<usize>,
        steps: &Steps,
    ) -> Flow {
        if let Some(actor) = &self.visitor.actor {
            return self.act(&**actor, me, dir, names, range, steps);
        }
        let is_sorted = self.wants_sorted_names();
        let chunk = self.chunk.load(Ordering::Relaxed);
        let at_most = if is_sorted { usize::MAX } else { chunk };
        let Range { start, end } = self.take_up(me, &dir, &names, range, at_most);
        let (seen, stopped_at) = match self.files.of(&dir.node) {
            Ok(fd) => {
                let now = start..end.min(start + chunk);
                self.look_at_all(me, &dir.node, fd.as_fd(), &names, now, steps)
            }
            Err(error) => return self.cannot_look(me, &dir, error),
        };
        match me.end(&self.late) {
            Ended::Own => {}
            Ended::TakenOver => return self.late(me, &dir, &names, seen),
            Ended::GivenUp => return Flow::Gone,
        }
        if is_sorted && stopped_at < end {
            self.rest(&dir, &names, stopped_at..end);
        }
        self.deliver(me, &dir, seen);
        self.finish(&dir.node);
        Flow::GoOn
    }

    /// Has the thread begin with names, and gives those to others that are more than so many.
    pub(super) fn take_up(
        &self,
        me: &Worker,
        dir: &Use,
        names: &Arc<Names>,
        range: Range<usize>,
        at_most: usize,
    ) -> Range<usize> {
        let Range { start, end: all } = range;
        let end = all.min(start.saturating_add(at_most));
        if end < all {
            self.rest(dir, names, end..all);
        }
        me.index.store(start, Ordering::Relaxed);
        let doing = Doing::Rows {
            dir: dir.clone(),
            names: names.clone(),
            from: start,
            to: end,
        };
        me.begin(WalkCall::Stat, doing);
        start..end
    }

    /// Puts names back that somebody has yet to look at.
    pub(super) fn rest(&self, dir: &Use, names: &Arc<Names>, range: Range<usize>) {
        self.more(&dir.node);
        self.push(Task::Rows {
            dir: dir.clone(),
            names: names.clone(),
            from: range.start,
            to: range.end,
        });
    }

    /// The directory could not be opened again, so that of these names no more is known.
    pub(super) fn cannot_look(&self, me: &Worker, dir: &Use, error: io::Error) -> Flow {
        let flow = match me.end(&self.late) {
            Ended::GivenUp => return Flow::Gone,
            Ended::Own => Flow::GoOn,
            Ended::TakenOver => Flow::Late,
        };
        self.lose(&dir.node, WalkCall::Open, error);
        flow
    }

    /// Looks at names until another takes over; where they are sorted, up to the first directory to go into.
    fn look_at_all(
        &self,
        me: &Worker,
        node: &Node,
        fd: BorrowedFd<'_>,
        names: &Names,
        range: Range<usize>,
        steps: &Steps,
    ) -> (Seen, usize) {
        let mut seen = Seen {
            rows: Vec::with_capacity(range.len()),
            names: Vec::with_capacity(range.len() * 16),
            ..Seen::default()
        };
        let is_sorted = self.wants_sorted_names();
        for index in range.clone() {
            me.index.store(index, Ordering::Relaxed);
            me.tick();
            if !steps.go_on() || self.is_stopped() {
                return (seen, index);
            }
            self.look_into(node, fd, names, index, &mut seen);
            if me.was_left() {
                return (seen, index);
            }
            let last = seen.rows.last();
            if is_sorted && last.is_some_and(|row| row.type_bits == kind::DIRECTORY) {
                return (seen, index + 1);
            }
        }
        (seen, range.end)
    }

    /// Looks at one name.
    fn look_into(
        &self,
        node: &Node,
        fd: BorrowedFd<'_>,
        names: &Names,
        index: usize,
        seen: &mut Seen,
    ) {
        let name = names.get(index);
        let mut flags = Flags::default();
        let looked = match self.look(node, fd, name, &mut flags) {
            Ok(looked) => looked,
            Err(error) => {
                let path = node.path().join(OsStr::from_bytes(name.name.to_bytes()));
                let error = self.trouble(path, node.depth, WalkCall::Stat, error);
                seen.errors.push(error);
                seen.last_is_error = true;
                return;
            }
        };
        seen.last_is_error = false;
        let (type_bits, stat) = looked;
        seen.mount_points += u64::from(flags.mount_point);
        let bytes = name.name.to_bytes();
        flags.id = stat.as_ref().map(|stat| (stat.dev, stat.ino));
        seen.rows.push(Row {
            name_at: seen.names.len() as u32,
            name_len: bytes.len() as u32,
            type_bits,
            ino: stat.as_ref().map_or(name.ino, |stat| stat.ino),
            stat: stat.filter(|_| self.options.how.is_some()).map(Statx),
            flags,
        });
        seen.names.extend_from_slice(bytes);
    }

    /// The type of an entry, and its attributes as far as they are needed.
    fn look(
        &self,
        node: &Node,
        fd: BorrowedFd<'_>,
        name: Name<'_>,
        flags: &mut Flags,
    ) -> io::Result<(u32, Option<Stat>)> {
        let is_link = name.type_bits == Some(kind::SYMLINK);
        let follows = self.options.follow && (is_link || name.type_bits.is_none());
        let (how, wanted) = (self.options.how.unwrap_or_default(), self.options.how);
        match name.type_bits {
            Some(type_bits) if wanted.is_none() && !follows => return Ok((type_bits, None)),
            _ => {}
        }
        // Another filesystem is mounted over directories nearly always, and opening one to ask it costs little.
        let may_be_mount = matches!(name.type_bits, None | Some(kind::DIRECTORY));
        let stays = self.options.same_mount && may_be_mount;
        let stat = match self.ask(fd, name.name, false, stays, how) {
            Err(error) if self.is_other_mount(&error) => {
                flags.mount_point = true;
                return Ok((name.type_bits.unwrap_or(kind::DIRECTORY), None));
            }
            stat => stat?,
        };
        if !(self.options.follow && stat.type_bits() == kind::SYMLINK) {
            // A subvolume is not mounted, and is a filesystem of its own all the same.
            flags.mount_point = stays && leads_elsewhere(node, &stat);
            return Ok((stat.type_bits(), Some(stat)));
        }
        match self.ask(fd, name.name, true, self.options.same_mount, how) {
            Ok(target) => {
                flags.followed = true;
                flags.mount_point = self.options.same_mount && leads_elsewhere(node, &target);
                Ok((target.type_bits(), Some(target)))
            }
            // Its way leads over another filesystem, which may be dead.
            Err(error) if self.is_other_mount(&error) => {
                flags.mount_point = true;
                Ok((stat.type_bits(), Some(stat)))
            }
            // It leads nowhere: the link itself is all there is.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok((stat.type_bits(), Some(stat)))
            }
            Err(error) => Err(error),
        }
    }

    fn ask(
        &self,
        fd: BorrowedFd<'_>,
        name: &CStr,
        follow: bool,
        same_mount: bool,
        how: crate::sys::stat::How,
    ) -> io::Result<Stat> {
        let reach = Reach { follow, same_mount };
        self.files.sparing(|| walking::stat(fd, name, reach, how))
    }

    /// A call came back after another thread had taken over: of all that this one saw, the others have seen nothing of
    /// the name that it was at then.
    fn late(self: &Arc<Self>, me: &Worker, dir: &Use, names: &Arc<Names>, mut seen: Seen) -> Flow {
        let index = me.left_at();
        if me.index.load(Ordering::Relaxed) != index {
            // It had just gone on to the next one.
            self.push(Task::Rows {
                dir: dir.clone(),
                names: names.clone(),
                from: index,
                to: index + 1,
            });
            return Flow::Late;
        }
        match seen.last_is_error {
            true => seen.rows.clear(),
            false => {
                seen.errors.clear();
                seen.rows = seen.rows.pop().into_iter().collect();
            }
        }
        seen.errors = seen.errors.pop().into_iter().collect();
        self.deliver(me, dir, seen);
        self.finish(&dir.node);
        Flow::Late
    }

    /// Hands on what was seen in a directory.
    fn deliver(self: &Arc<Self>, me: &Worker, dir: &Use, seen: Seen) {
        let chunk = Chunk::new(Some(dir.node.clone()), seen.names);
        let mut harvest = Harvest::new(seen.rows.len() + seen.errors.len());
        harvest.numbers.mount_points = seen.mount_points;
        for error in seen.errors {
            harvest.error(error);
        }
        if self.visitor.is_foreign {
            self.hand_over(&mut harvest);
            return self.visit(me, dir, &chunk, seen.rows.into());
        }
        for row in seen.rows {
            self.consider(dir, Found::new(&chunk, row), &mut harvest);
        }
        self.hand_over(&mut harvest);
    }

    /// What becomes of an entry.
    pub(super) fn consider(&self, dir: &Use, found: Found, harvest: &mut Harvest<T>) {
        let link = self.one_of_several(&found);
        if link.is_some_and(|link| lock(&self.links).contains(&link)) {
            harvest.numbers.repeated_links += 1;
            return;
        }
        let above = || Some((found.stat.as_ref()?.0.dev, found.ino));
        if found.flags.followed && found.is_dir() {
            let id = found.flags.id.or_else(above);
            if id.is_some_and(|id| dir.node.above_that_is(id).is_some()) {
                let depth = found.depth();
                let text = "the link leads back to a directory that it is in";
                let source = io::Error::new(io::ErrorKind::InvalidInput, text);
                let mut error = self.trouble(found.path(), depth, WalkCall::Stat, source);
                error.loops = true;
                return harvest.error(error);
            }
        }
        let (found, enter) = self.choose(found, harvest);
        // Its first name that is told, and not one that the caller leaves out.
        if let Some(link) = link.filter(|_| enter.keep) {
            if !lock(&self.links).insert(link) {
                harvest.numbers.repeated_links += 1;
                return;
            }
        }
        self.count(&found, harvest);
        let may_descend =
            found.is_dir() && !found.flags.mount_point && found.depth() < self.options.max_depth;
        let node = (enter.descend && may_descend).then(|| {
            self.more(&dir.node);
            let name = CString::new(found.name().as_bytes()).unwrap_or_default();
            Node::new(Some(dir.node.clone()), &name, found.depth() + 1)
        });
        match &node {
            Some(node) if self.options.contents_first && enter.keep => {
                *lock(&node.held) = Some(found);
            }
            _ if enter.keep => {
                let item = self.make(found, harvest);
                harvest.items.extend(item.map(Ok));
            }
            _ => {}
        }
        harvest.tasks.extend(node.map(|node| Task::Open {
            node,
            _parent: Some(dir.clone()),
        }));
    }

    /// What it is known by, if it may be told under other names. It is never forgotten: links that are followed and
    /// mounts lead to it more often than it has names.
    fn one_of_several(&self, found: &Found) -> Option<Id> {
        if !self.options.links_once || found.is_dir() {
            return None;
        }
        let stat = found.stat.as_ref().map(|stat| &stat.0);
        let stat = stat.filter(|stat| stat.nlink > 1)?;
        Some((stat.dev, stat.ino))
    }

    pub(super) fn count(&self, found: &Found, harvest: &mut Harvest<T>) {
        let numbers = &mut harvest.numbers;
        numbers.entries += 1;
        match found.type_bits {
            kind::DIRECTORY => numbers.directories += 1,
            kind::FILE => numbers.files += 1,
            kind::SYMLINK => numbers.symlinks += 1,
            _ => numbers.others += 1,
        }
    }

    /// What the caller wants of an entry. One that is not deep enough is none of his.
    pub(super) fn choose(&self, found: Found, harvest: &mut Harvest<T>) -> (Found, Enter) {
        let (keep, descend) = (found.depth() >= self.options.min_depth, true);
        let Some(choose) = self.visitor.choose.as_ref().filter(|_| keep) else {
            return (found, Enter { keep, descend });
        };
        let copy = found.clone();
        let chosen = catch_unwind(AssertUnwindSafe(|| choose(found)));
        chosen.unwrap_or_else(|_| {
            // Nothing said that what is in it is not wanted.
            harvest.error(self.panicked(&copy));
            let keep = false;
            (copy, Enter { keep, descend })
        })
    }

    /// The caller's closure panicked at that entry.
    fn panicked(&self, at: &Found) -> WalkError {
        let operation = Kind::Walk;
        let panicked = Error::Panicked { operation };
        let mut error = self.trouble(at.path(), at.depth(), WalkCall::Visit, panicked.into());
        error.fatal = false;
        error
    }

    /// What the caller makes of an entry.
    pub(super) fn make(&self, found: Found, harvest: &mut Harvest<T>) -> Option<T> {
        if !self.visitor.is_foreign {
            return (self.visitor.make)(found);
        }
        let copy = found.clone();
        let made = catch_unwind(AssertUnwindSafe(|| (self.visitor.make)(found)));
        made.unwrap_or_else(|_| {
            harvest.error(self.panicked(&copy));
            None
        })
    }
}
