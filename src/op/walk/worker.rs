//! A thread of a walk: what it is at, for whoever looks from outside.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::WalkNow;
use super::found::{Marker, WalkCall};
use super::node::{Node, Use};
use crate::base::clock::coarse_ms;
use crate::base::lock::lock;
use crate::sys::fd::Whereabouts;
use crate::sys::walking::Names;

/// What a thread is at. Paths are made of it only for those who ask.
pub(super) enum Doing {
    Nothing,
    /// The root, before it is known what it is.
    Root(PathBuf),
    Open(Arc<Node>),
    Leave(Arc<Node>),
    List(Use),
    /// Some of the names of a directory, of which [`Worker::index`] says the one.
    Rows {
        dir: Use,
        names: Arc<Names>,
        from: usize,
        to: usize,
    },
    /// One of them, the rest of which another thread has.
    Row {
        dir: Use,
        names: Arc<Names>,
        index: usize,
    },
    /// In the caller's closure.
    Visit(Arc<Marker>),
    /// It was told that this did not end in time.
    Over,
}

/// How a call ended for the thread that made it.
pub(super) enum Ended {
    /// As usual.
    Own,
    /// Another thread has the rest: of a row, all but this one.
    TakenOver,
    /// It was given up, and told.
    GivenUp,
}

/// How a thread goes on that does something to one name after the other.
pub(super) enum Next {
    /// These are for others, as it has been at it for long.
    Cut(Range<usize>),
    Done,
    GivenUp,
    Go(usize),
    TakenOver,
}

/// See the module.
pub(super) struct Worker {
    /// When what it is at began, in coarse milliseconds.
    pub(super) since_ms: AtomicU64,
    /// When the entry that it is at began.
    entry_ms: AtomicU64,
    call: AtomicU8,
    /// Which of the names it is at.
    pub(super) index: AtomicUsize,
    pub(super) doing: Mutex<Doing>,
    /// The rest of its work was given to another.
    pub(super) was_left: AtomicBool,
    /// The name that it was at then.
    pub(super) left_at: AtomicUsize,
}

const CALLS: [WalkCall; 9] = [
    WalkCall::Copy,
    WalkCall::Enter,
    WalkCall::Idle,
    WalkCall::Leave,
    WalkCall::List,
    WalkCall::Open,
    WalkCall::Start,
    WalkCall::Stat,
    WalkCall::Visit,
];

impl Worker {
    pub(super) fn new() -> Arc<Worker> {
        Arc::new(Worker {
            since_ms: AtomicU64::new(coarse_ms()),
            entry_ms: AtomicU64::new(coarse_ms()),
            call: AtomicU8::new(WalkCall::Idle as u8),
            index: AtomicUsize::new(0),
            doing: Mutex::new(Doing::Nothing),
            was_left: AtomicBool::new(false),
            left_at: AtomicUsize::new(0),
        })
    }

    /// It goes on to another thing.
    pub(super) fn begin(&self, call: WalkCall, doing: Doing) {
        let mut at = lock(&self.doing);
        self.tick();
        self.entry_ms.store(coarse_ms(), Ordering::Relaxed);
        self.call.store(call as u8, Ordering::Relaxed);
        *at = doing;
    }

    /// It goes on with the same thing in another way.
    pub(super) fn goes_on_with(&self, call: WalkCall) {
        self.tick();
        self.call.store(call as u8, Ordering::Relaxed);
    }

    /// It has done one of its names.
    pub(super) fn next(&self, late: &AtomicUsize, is_long: bool) -> Next {
        let mut at = lock(&self.doing);
        let index = self.index.load(Ordering::Relaxed) + 1;
        let (next, done) = match &mut *at {
            Doing::Over => (Next::GivenUp, true),
            _ if self.was_left() => {
                late.fetch_add(1, Ordering::AcqRel);
                (Next::TakenOver, true)
            }
            Doing::Rows { to, .. } if index < *to && is_long => (Next::Cut(index..*to), true),
            Doing::Rows { to, .. } if index < *to => (Next::Go(index), false),
            _ => (Next::Done, true),
        };
        if done {
            self.call.store(WalkCall::Idle as u8, Ordering::Relaxed);
            let doing = std::mem::replace(&mut *at, Doing::Nothing);
            drop(at);
            drop(doing);
        } else {
            self.index.store(index, Ordering::Relaxed);
            self.call.store(WalkCall::Stat as u8, Ordering::Relaxed);
            self.tick();
            self.entry_ms.store(coarse_ms(), Ordering::Relaxed);
        }
        next
    }

    /// Where its names end by now.
    pub(super) fn end_of_rows(&self) -> Option<usize> {
        match &*lock(&self.doing) {
            Doing::Rows { to, .. } => Some(*to),
            _ => None,
        }
    }

    /// How long it has been at one entry, whether or not that gets on.
    pub(super) fn at_entry_for(&self) -> Duration {
        let since_ms = self.entry_ms.load(Ordering::Relaxed);
        Duration::from_millis(coarse_ms().saturating_sub(since_ms))
    }

    /// It comes back from a call. Where others took over, `late` counts that it has something to hand over.
    pub(super) fn end(&self, late: &AtomicUsize) -> Ended {
        let mut at = lock(&self.doing);
        self.call.store(WalkCall::Idle as u8, Ordering::Relaxed);
        match std::mem::replace(&mut *at, Doing::Nothing) {
            Doing::Over => Ended::GivenUp,
            _ if self.was_left() => {
                late.fetch_add(1, Ordering::AcqRel);
                Ended::TakenOver
            }
            _ => Ended::Own,
        }
    }

    /// Whether another has the rest.
    pub(super) fn was_left(&self) -> bool {
        self.was_left.load(Ordering::Acquire)
    }

    pub(super) fn left_at(&self) -> usize {
        self.left_at.load(Ordering::Acquire)
    }

    /// What it is at begins now.
    pub(super) fn tick(&self) {
        self.since_ms.store(coarse_ms(), Ordering::Relaxed);
    }

    pub(super) fn call(&self) -> WalkCall {
        CALLS[usize::from(self.call.load(Ordering::Relaxed))]
    }

    /// How long it has been at it; nothing while it is in no call that could be stuck.
    pub(super) fn still_for(&self) -> Duration {
        match self.call() {
            WalkCall::Idle => Duration::ZERO,
            _ => self.at_it_for(),
        }
    }

    fn at_it_for(&self) -> Duration {
        let since_ms = self.since_ms.load(Ordering::Relaxed);
        Duration::from_millis(coarse_ms().saturating_sub(since_ms))
    }

    pub(super) fn now(&self) -> Option<WalkNow> {
        let path = self.now_at()?;
        Some(WalkNow {
            path,
            call: self.call(),
            still_for: self.at_it_for(),
        })
    }
}

impl Doing {
    /// The file or directory.
    pub(super) fn path(&self, index: usize) -> Option<PathBuf> {
        let of_name = |dir: &Use, names: &Names, index: usize| match index < names.len() {
            true => dir.node.path_of(names.get(index).name),
            false => dir.node.path(),
        };
        Some(match self {
            Doing::Nothing | Doing::Over => return None,
            Doing::Root(path) => path.clone(),
            Doing::Open(node) | Doing::Leave(node) => node.path(),
            Doing::List(dir) => dir.node.path(),
            Doing::Rows { dir, names, .. } => of_name(dir, names, index),
            Doing::Row { dir, names, index } => of_name(dir, names, *index),
            Doing::Visit(marker) => marker.path(),
        })
    }

    pub(super) fn depth(&self) -> usize {
        match self {
            Doing::Nothing | Doing::Over | Doing::Root(_) => 0,
            Doing::Open(node) | Doing::Leave(node) => node.depth.saturating_sub(1),
            Doing::List(dir) => dir.node.depth.saturating_sub(1),
            Doing::Rows { dir, .. } | Doing::Row { dir, .. } => dir.node.depth,
            Doing::Visit(marker) => marker.depth(),
        }
    }
}

impl Whereabouts for Worker {
    fn now_at(&self) -> Option<PathBuf> {
        let at = lock(&self.doing);
        at.path(self.index.load(Ordering::Relaxed))
    }
}
