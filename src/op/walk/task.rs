//! What a thread of a walk does: roots, opening, listing.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::acting::Told;
use super::board::{Harvest, Task};
use super::found::{Chunk, Flags, Found, Row, WalkCall, WalkError};
use super::node::{Node, Use};
use super::worker::{Doing, Ended, Worker};
use super::{Shared, WalkSort};
use crate::base::errno;
use crate::base::lock::lock;
use crate::limits;
use crate::op::statx::Statx;
use crate::sys::path::as_path;
use crate::sys::stat::{How, kind};
use crate::sys::steps::Steps;
use crate::sys::walking::{self, Reach};

/// Whether a thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    GoOn,
    /// What it was at was given up, and told.
    Gone,
    /// Another has taken over from it, and it has handed over what it came back with.
    Late,
}

impl<T: Send> Shared<T> {
    /// Works until there is nothing to do, the caller has enough, or another thread has taken over.
    pub(super) fn work(self: &Arc<Self>, me: &Worker, steps: &Steps) -> io::Result<()> {
        while let Some(task) = self.next_task() {
            if !steps.go_on() && self.visitor.actor.is_none() {
                self.stop.store(true, Ordering::Relaxed);
            }
            let flow = match task {
                Task::Root => match self.visitor.actor.clone() {
                    Some(actor) => self.begin_acting(&*actor, me, steps),
                    None => self.root(me),
                },
                Task::Leave(node) => self.leave(me, node, steps),
                Task::Open { node, .. } => self.open(me, &node, steps),
                Task::List(dir) => self.list(me, dir, steps),
                Task::Rows {
                    dir,
                    names,
                    from,
                    to,
                } => self.rows(me, dir, names, from..to, steps),
                Task::Visit { dir, chunk, rows } => {
                    self.visit(me, &dir, &chunk, rows);
                    self.finish(&dir.node);
                    Flow::GoOn
                }
            };
            match flow {
                Flow::GoOn => {}
                Flow::Gone => return Ok(()),
                Flow::Late => {
                    self.late.fetch_sub(1, Ordering::AcqRel);
                    let waker = lock(&self.board).waker.take();
                    self.wake(waker);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// An error, as it is told.
    pub(super) fn trouble(
        &self,
        path: PathBuf,
        depth: usize,
        call: WalkCall,
        source: io::Error,
    ) -> WalkError {
        WalkError {
            path,
            depth,
            call,
            source,
            fatal: depth == 0 && call != WalkCall::List,
            loops: false,
        }
    }

    /// Tells of an error of a directory, of which the rest is lost.
    pub(super) fn lose(&self, node: &Arc<Node>, call: WalkCall, error: io::Error) {
        let mut harvest = Harvest::new(1);
        let depth = node.depth.saturating_sub(1);
        let mut error = self.trouble(node.path(), depth, call, error);
        error.fatal |= depth == 0 && node.is_unlisted();
        harvest.error(error);
        if self.options.contents_first {
            // The root's own entry comes with that, and what ends the walk comes last.
            self.finish(node);
            return self.hand_over(&mut harvest);
        }
        self.hand_over(&mut harvest);
        self.finish(node);
    }

    /// How a thread goes on after a call; an error if what it came back with is not wanted any more.
    fn after(&self, me: &Worker) -> Result<Flow, Flow> {
        match me.end(&self.late) {
            Ended::Own => Ok(Flow::GoOn),
            Ended::TakenOver => Ok(Flow::Late),
            Ended::GivenUp => Err(Flow::Gone),
        }
    }

    /// Looks at what the walk was told to begin with. A link there is followed, and told as a link.
    fn root(self: &Arc<Self>, me: &Worker) -> Flow {
        let path = as_path(&self.root).to_path_buf();
        me.begin(WalkCall::Stat, Doing::Root(path.clone()));
        let how = self.options.how.unwrap_or_default();
        let looked = self.look_at_root(how);
        let flow = match self.after(me) {
            Ok(flow) => flow,
            Err(flow) => return flow,
        };
        let (row, leads_to_dir) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                let mut harvest = Harvest::new(1);
                harvest.error(self.trouble(path, 0, WalkCall::Stat, error));
                self.hand_over(&mut harvest);
                return flow;
            }
        };
        let names = self.root.to_bytes().to_vec();
        let found = Found::new(&Chunk::new(None, names), row);
        let mut harvest = Harvest::new(1);
        self.count(&found, &mut harvest);
        let (found, enter) = self.choose(found, &mut harvest);
        let descends = enter.descend && leads_to_dir && self.options.max_depth > 0;
        let node = descends.then(|| Node::new(None, &self.root, 1));
        match &node {
            Some(node) if self.options.contents_first && enter.keep => {
                *lock(&node.held) = Some(found);
            }
            _ if enter.keep => {
                let item = self.make(found, &mut harvest);
                harvest.items.extend(item.map(Ok));
            }
            _ => {}
        }
        if let Some(node) = node {
            let root = self.files.hold(&node);
            let mut board = lock(&self.board);
            if !board.is_over {
                board.root = Some(root);
            }
            drop(board);
            harvest.tasks.push(Task::Open {
                node,
                _parent: None,
            });
        }
        self.hand_over(&mut harvest);
        flow
    }

    fn look_at_root(&self, how: How) -> io::Result<(Row, bool)> {
        let look = |follow| {
            let reach = Reach {
                follow,
                ..Reach::NAME
            };
            walking::stat(walking::HERE, &self.root, reach, how)
        };
        let mut stat = look(false)?;
        let mut leads_to_dir = stat.is_dir();
        let mut flags = Flags::default();
        if stat.type_bits() == kind::SYMLINK {
            match look(true) {
                Ok(target) => {
                    leads_to_dir = target.is_dir();
                    if self.options.follow {
                        (stat, flags.followed) = (target, true);
                    }
                }
                Err(error) if self.options.follow => return Err(error),
                Err(_) => {}
            }
        }
        let row = Row {
            name_at: 0,
            name_len: self.root.count_bytes() as u32,
            type_bits: stat.type_bits(),
            ino: stat.ino,
            stat: self.options.how.is_some().then_some(Statx(stat)),
            flags,
        };
        Ok((row, leads_to_dir))
    }

    /// Opens a directory, and goes on with its names.
    fn open(self: &Arc<Self>, me: &Worker, node: &Arc<Node>, steps: &Steps) -> Flow {
        me.begin(WalkCall::Open, Doing::Open(node.clone()));
        let dir = self.files.hold(node);
        let opened = self.files.of(node).and_then(|fd| self.opened(node, &fd));
        let mut told = Told::default();
        let enters = match &opened {
            Ok(()) => self.enters(me, node, steps, &mut told),
            // It is there, and what it has is told to be lost.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.enters(me, node, steps, &mut told);
                false
            }
            Err(_) => false,
        };
        let flow = match self.after(me) {
            Ok(flow) => flow,
            Err(flow) => return flow,
        };
        let mut harvest = Harvest::new(0);
        harvest.items.extend(told.items.into_iter().map(Ok));
        self.hand_over(&mut harvest);
        match opened {
            Ok(()) if !enters => self.finish(node),
            Ok(()) => {
                self.numbers.opened.fetch_add(1, Ordering::Relaxed);
                if flow == Flow::GoOn {
                    return self.list(me, dir, steps);
                }
                self.push(Task::List(dir));
            }
            Err(error) if self.is_other_mount(&error) => {
                self.numbers.mount_points.fetch_add(1, Ordering::Relaxed);
                self.finish(node);
            }
            Err(error) => self.lose(node, WalkCall::Open, error),
        }
        flow
    }

    pub(super) fn is_other_mount(&self, error: &io::Error) -> bool {
        self.options.same_mount && error.raw_os_error() == Some(errno::EXDEV)
    }

    /// What is to be known of a directory once it is open.
    fn opened(&self, node: &Node, fd: &OwnedFd) -> io::Result<()> {
        let above = node.parent.as_deref();
        // A walk that does something begins in the directory above its root.
        let is_root = match self.visitor.actor {
            Some(_) => node.depth == 1,
            None => above.is_none(),
        };
        if is_root {
            self.adapt(fd);
        }
        let device = |node: &Node| node.id.get().map(|id| id.0);
        let is_elsewhere = above.is_some_and(|above| device(above) != device(node));
        if self.visitor.actor.is_some() {
            let is_local = match above {
                Some(above) if !is_root && !is_elsewhere => above.is_local.load(Ordering::Relaxed),
                _ => walking::magic(fd.as_fd()).is_ok_and(|magic| !walking::is_remote(magic)),
            };
            node.is_local.store(is_local, Ordering::Relaxed);
        }
        if self.options.same_mount && is_elsewhere {
            return Err(io::Error::from_raw_os_error(errno::EXDEV));
        }
        let by_inode = || match self.options.sort {
            WalkSort::Inode => true,
            WalkSort::Auto if self.options.how.is_some() || self.visitor.actor.is_some() => {
                walking::magic(fd.as_fd()).is_ok_and(walking::is_by_inode)
            }
            WalkSort::Auto | WalkSort::Name | WalkSort::None => false,
        };
        let inherited = above.and_then(|above| above.by_inode.get().copied());
        let by_inode = match inherited {
            Some(inherited) if !is_elsewhere => inherited,
            _ => by_inode(),
        };
        let _ = node.by_inode.set(by_inode);
        Ok(())
    }

    /// Where each answer comes from somewhere else, more threads wait for it.
    fn adapt(&self, root: &OwnedFd) {
        let is_remote = walking::magic(root.as_fd()).is_ok_and(walking::is_remote);
        if !is_remote {
            return;
        }
        self.chunk
            .fetch_min(limits::WALK_CHUNK_REMOTE, Ordering::Relaxed);
        if self.options.threads.is_none() && !self.wants_sorted_names() {
            let threads = limits::WALK_THREADS_REMOTE.min(self.files.threads_max());
            self.threads.fetch_max(threads, Ordering::Relaxed);
        }
    }

    /// Lists what comes next in a directory, and looks at it.
    pub(super) fn list(self: &Arc<Self>, me: &Worker, dir: Use, steps: &Steps) -> Flow {
        me.begin(WalkCall::List, Doing::List(dir.clone()));
        let node = &dir.node;
        let go_on = || {
            me.tick();
            steps.go_on() && !self.is_stopped()
        };
        let listed = self.files.of(node).and_then(|fd| {
            let position = node.position.load(Ordering::Acquire);
            if position >= 0 {
                walking::seek(fd.as_fd(), position)?;
            }
            let whole = self.wants_sorted_names();
            walking::list(fd.as_fd(), limits::WALK_LIST_BYTES, whole, go_on)
        });
        let flow = match self.after(me) {
            Ok(flow) => flow,
            Err(flow) => return flow,
        };
        let mut names = match listed {
            Ok(names) => names,
            Err(error) => {
                self.lose(node, WalkCall::List, error);
                return flow;
            }
        };
        if self.wants_sorted_names() {
            names.sort_by_name();
        } else if node.by_inode.get() == Some(&true) {
            names.sort_by_inode();
        }
        if !names.at_end && !self.is_stopped() {
            node.position.store(names.position, Ordering::Release);
            self.more(node);
            self.push(Task::List(dir.clone()));
        }
        if names.len() == 0 {
            self.finish(node);
            return flow;
        }
        let (count, names) = (names.len(), Arc::new(names));
        if flow == Flow::GoOn {
            return self.rows(me, dir, names, 0..count, steps);
        }
        self.push(Task::Rows {
            dir,
            names,
            from: 0,
            to: count,
        });
        flow
    }
}
