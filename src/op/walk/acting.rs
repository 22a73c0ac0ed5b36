//! What a thread of a walk does with names where something is done to each of them, instead of looking at it.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Shared;
use super::board::{Harvest, Task};
use super::found::WalkCall;
use super::node::{Node, Use};
use super::task::Flow;
use super::worker::{Doing, Ended, Next, Worker};
use crate::base::clock::coarse_ms;
use crate::base::lock::lock;
use crate::limits;
use crate::opcode::Kind;
use crate::sys::steps::Steps;
use crate::sys::walking::{Name, Names};

/// Does something to each entry, on the walking threads.
pub(crate) trait Actor<T>: Send + Sync {
    /// What its threads are called where somebody looks.
    fn kind(&self) -> Kind;

    /// The name of what the walk is of, in the directory that is its root.
    fn first(&self) -> Names;

    /// The root is open.
    fn begin(&self, root: &Arc<Node>, pulse: Pulse<'_>) -> io::Result<()>;

    /// A directory is open; whether its entries are wanted.
    fn enter(&self, node: &Arc<Node>, pulse: Pulse<'_>, told: &mut Told<T>) -> bool;

    /// Does what there is to do.
    fn act(&self, place: &Place<'_>, told: &mut Told<T>);

    /// All of what is in a directory is done. Where it cannot be opened, the one that it is in is `above`.
    fn leave(
        &self,
        node: &Arc<Node>,
        fd: io::Result<Arc<OwnedFd>>,
        above: Option<Arc<OwnedFd>>,
        pulse: Pulse<'_>,
        told: &mut Told<T>,
    );

    /// It was told that something of this did not end in time.
    fn gave_up(&self, dir: &Arc<Node>, index: usize) -> Vec<Waiting>;
}

/// What came of an entry, or a directory.
pub(crate) struct Told<T> {
    pub(crate) items: Vec<T>,
    /// It is a directory to go into.
    pub(crate) descends: bool,
    /// What waited for it.
    pub(crate) again: Vec<Waiting>,
}

impl<T> Default for Told<T> {
    fn default() -> Told<T> {
        Told {
            items: Vec::new(),
            descends: false,
            again: Vec::new(),
        }
    }
}

/// An entry that waits for another.
pub(crate) struct Waiting {
    dir: Use,
    names: Arc<Names>,
    index: usize,
}

/// Says what a thread is at.
#[derive(Clone, Copy)]
pub(crate) struct Pulse<'a> {
    worker: &'a Worker,
    pub(crate) steps: &'a Steps,
}

impl<'a> Pulse<'a> {
    /// This begins now.
    pub(crate) fn at(&self, call: WalkCall) {
        self.steps.go_on();
        self.worker.goes_on_with(call);
    }

    /// For whoever tells of steps by himself.
    pub(crate) fn since_ms(&self) -> &'a AtomicU64 {
        &self.worker.since_ms
    }
}

/// An entry, and where it is.
pub(crate) struct Place<'a> {
    pub(crate) dir: &'a Use,
    pub(crate) fd: BorrowedFd<'a>,
    names: &'a Arc<Names>,
    pub(crate) index: usize,
    pub(crate) pulse: Pulse<'a>,
}

impl Place<'_> {
    pub(crate) fn name(&self) -> Name<'_> {
        self.names.get(self.index)
    }

    /// For whoever it waits for. Its directory is not done before it is.
    pub(crate) fn waiting(&self) -> Waiting {
        self.dir.node.left.fetch_add(1, Ordering::AcqRel);
        Waiting {
            dir: self.dir.clone(),
            names: self.names.clone(),
            index: self.index,
        }
    }
}

impl<T: Send> Shared<T> {
    /// Opens the directory that the first name is in.
    pub(super) fn begin_acting(
        self: &Arc<Self>,
        actor: &dyn Actor<T>,
        me: &Worker,
        steps: &Steps,
    ) -> Flow {
        let node = Node::new(None, &self.root, 0);
        me.begin(WalkCall::Open, Doing::Open(node.clone()));
        let dir = self.files.hold(&node);
        let opened = self
            .files
            .of(&node)
            .map_err(|error| (WalkCall::Open, error));
        let opened = opened.and_then(|_| {
            let begun = actor.begin(&node, Pulse { worker: me, steps });
            begun.map_err(|error| (WalkCall::Enter, error))
        });
        let flow = match me.end(&self.late) {
            Ended::Own => Flow::GoOn,
            Ended::TakenOver => Flow::Late,
            Ended::GivenUp => return Flow::Gone,
        };
        match opened {
            Ok(()) => {
                let names = Arc::new(actor.first());
                {
                    let mut board = lock(&self.board);
                    if !board.is_over {
                        board.root = Some(dir.clone());
                    }
                }
                self.rows_of_own(dir, names);
            }
            Err((call, error)) => {
                let mut harvest = Harvest::new(1);
                let path = self.told_root(&node);
                harvest.error(self.trouble(path, 0, call, error));
                self.hand_over(&mut harvest);
            }
        }
        flow
    }

    /// The first of a directory's names.
    fn rows_of_own(&self, dir: Use, names: Arc<Names>) {
        let to = names.len();
        self.push(Task::Rows {
            dir,
            names,
            from: 0,
            to,
        });
    }

    /// The path of what the walk is of.
    pub(super) fn told_root(&self, node: &Node) -> std::path::PathBuf {
        match &self.visitor.actor {
            Some(actor) if actor.first().len() > 0 => node.path_of(actor.first().get(0).name),
            _ => node.path(),
        }
    }

    /// Does what there is to do with names. What is done is handed over one by one, as the next may not come back.
    pub(super) fn act(
        self: &Arc<Self>,
        actor: &dyn Actor<T>,
        me: &Worker,
        dir: Use,
        names: Arc<Names>,
        range: Range<usize>,
        steps: &Steps,
    ) -> Flow {
        let at_most = limits::COPY_TREE_CHUNK;
        let Range { start, .. } = self.take_up(me, &dir, &names, range, at_most);
        let fd = match self.files.of(&dir.node) {
            Ok(fd) => fd,
            Err(error) => return self.cannot_look(me, &dir, error),
        };
        let until_ms = coarse_ms() + limits::COPY_TREE_SLICE.as_millis() as u64;
        let mut index = start;
        loop {
            if !steps.go_on() || self.is_stopped() {
                return self.break_off(me, &dir, &names, index);
            }
            let mut told = Told::default();
            let place = Place {
                dir: &dir,
                fd: fd.as_fd(),
                names: &names,
                index,
                pulse: Pulse { worker: me, steps },
            };
            actor.act(&place, &mut told);
            let next = me.next(&self.late, coarse_ms() > until_ms);
            if let Next::GivenUp = next {
                self.again(told.again);
                return Flow::Gone;
            }
            self.tell(&dir, names.get(index).name, told);
            let flow = match next {
                Next::Go(next) => {
                    index = next;
                    continue;
                }
                Next::Cut(rest) => {
                    self.rest(&dir, &names, rest);
                    Flow::GoOn
                }
                Next::TakenOver => Flow::Late,
                Next::Done | Next::GivenUp => Flow::GoOn,
            };
            self.finish(&dir.node);
            return flow;
        }
    }

    /// Nobody waits for this thread any more: others have what it did not come to.
    fn break_off(&self, me: &Worker, dir: &Use, names: &Arc<Names>, index: usize) -> Flow {
        let end = me.end_of_rows();
        match me.end(&self.late) {
            Ended::Own if !self.is_stopped() => {
                self.rest(dir, names, index..end.unwrap_or(index));
                self.finish(&dir.node);
                Flow::Gone
            }
            Ended::Own | Ended::GivenUp => Flow::Gone,
            Ended::TakenOver => {
                if me.left_at() == index {
                    self.rest(dir, names, index..index + 1);
                }
                self.finish(&dir.node);
                Flow::Late
            }
        }
    }

    /// Hands on what came of an entry.
    fn tell(&self, dir: &Use, name: &std::ffi::CStr, told: Told<T>) {
        let mut harvest = Harvest::new(0);
        harvest.items.extend(told.items.into_iter().map(Ok));
        if told.descends {
            self.more(&dir.node);
            let node = Node::new(Some(dir.node.clone()), name, dir.node.depth + 1);
            harvest.tasks.push(Task::Open {
                node,
                _parent: Some(dir.clone()),
            });
        }
        self.hand_over(&mut harvest);
        self.again(told.again);
    }

    /// Those count as not done already.
    pub(super) fn again(&self, waiting: Vec<Waiting>) {
        for Waiting { dir, names, index } in waiting {
            self.push(Task::Rows {
                dir,
                names,
                from: index,
                to: index + 1,
            });
        }
    }

    /// A directory was opened: whether to go on with its names.
    pub(super) fn enters(
        &self,
        me: &Worker,
        node: &Arc<Node>,
        steps: &Steps,
        told: &mut Told<T>,
    ) -> bool {
        match &self.visitor.actor {
            Some(actor) => {
                self.files.keep(node);
                actor.enter(node, Pulse { worker: me, steps }, told)
            }
            None => true,
        }
    }

    /// All that is in a directory is done.
    pub(super) fn leave(self: &Arc<Self>, me: &Worker, node: Arc<Node>, steps: &Steps) -> Flow {
        let mut told = Told::default();
        me.begin(WalkCall::Leave, Doing::Leave(node.clone()));
        if let Some(actor) = &self.visitor.actor {
            let fd = self.files.of(&node);
            let parent = node.parent.as_ref().filter(|_| fd.is_err());
            let above = parent.and_then(|parent| self.files.of(parent).ok());
            actor.leave(&node, fd, above, Pulse { worker: me, steps }, &mut told);
        }
        self.files.let_go(&node);
        let flow = match me.end(&self.late) {
            Ended::Own => Flow::GoOn,
            Ended::TakenOver => Flow::Late,
            Ended::GivenUp => return Flow::Gone,
        };
        let mut harvest = Harvest::new(0);
        harvest.items.extend(told.items.into_iter().map(Ok));
        self.hand_over(&mut harvest);
        if let Some(parent) = &node.parent {
            self.finish(parent);
        }
        flow
    }
}
