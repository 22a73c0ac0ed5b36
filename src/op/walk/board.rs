//! What there is to do, and what is done: one stack, and a queue to the caller, under one lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use super::Shared;
use super::found::{Chunk, Found, Row, WalkError, WalkStats};
use super::node::{Node, Use};
use crate::base::clock::coarse_ms;
use crate::base::lock::{lock, wait_timeout};
use crate::limits;
use crate::sys::walking::Names;

/// Something to do.
pub(super) enum Task {
    Root,
    /// Opens a directory; its parent has to be open for that.
    Open {
        node: Arc<Node>,
        _parent: Option<Use>,
    },
    /// Gives a directory what it gets last.
    Leave(Arc<Node>),
    /// Lists what comes next.
    List(Use),
    /// Looks at names that were listed.
    Rows {
        dir: Use,
        names: Arc<Names>,
        from: usize,
        to: usize,
    },
    /// Runs the caller's closure for what was found.
    Visit {
        dir: Use,
        chunk: Arc<Chunk>,
        rows: VecDeque<Row>,
    },
}

pub(super) struct Board<T> {
    /// The last one is done first, so that a walk goes into the depth, and what waits is little.
    pub(super) stack: Vec<Task>,
    ready: VecDeque<Vec<Result<T, WalkError>>>,
    ready_count: usize,
    /// When the first of those came that the caller was not woken for, in coarse milliseconds; zero if there is none.
    quiet_ms: u64,
    /// Threads that work or wait here, without those that others took over from.
    pub(super) active: usize,
    idle: usize,
    pub(super) waker: Option<Waker>,
    /// Keeps the root open, from where all else is found again.
    pub(super) root: Option<Use>,
    pub(super) is_over: bool,
}

impl<T> Default for Board<T> {
    fn default() -> Board<T> {
        Board {
            stack: vec![Task::Root],
            ready: VecDeque::new(),
            ready_count: 0,
            quiet_ms: 0,
            active: 0,
            idle: 0,
            waker: None,
            root: None,
            is_over: false,
        }
    }
}

impl<T> Board<T> {
    /// The entries that come next.
    pub(super) fn take(&mut self) -> Option<Vec<Result<T, WalkError>>> {
        let batch = self.ready.pop_front()?;
        self.ready_count -= batch.len();
        Some(batch)
    }

    pub(super) fn is_full(&self) -> bool {
        self.ready_count >= limits::WALK_READY_MAX
    }

    /// How many more threads would have something to do.
    pub(super) fn wanted(&self, threads: usize) -> usize {
        if self.ready_count > limits::WALK_READY_MAX / 2 {
            return 0;
        }
        let free = threads.saturating_sub(self.active);
        free.min(self.stack.len().saturating_sub(self.idle))
    }
}

/// What a thread has found, before others see it.
pub(crate) struct Harvest<T> {
    pub(super) items: Vec<Result<T, WalkError>>,
    /// Directories to go into.
    pub(super) tasks: Vec<Task>,
    pub(super) numbers: WalkStats,
}

impl<T> Harvest<T> {
    pub(super) fn new(capacity: usize) -> Harvest<T> {
        Harvest {
            items: Vec::with_capacity(capacity),
            tasks: Vec::new(),
            numbers: WalkStats::default(),
        }
    }

    pub(super) fn error(&mut self, error: WalkError) {
        self.numbers.errors += 1;
        self.numbers.timeouts += u64::from(error.is_timeout());
        self.numbers.lost_directories += u64::from(error.is_directory_lost());
        self.items.push(Err(error));
    }
}

impl<T: Send> Shared<T> {
    /// The next thing to do, for a thread; `None` where it had better go.
    pub(super) fn next_task(&self) -> Option<Task> {
        let mut board = lock(&self.board);
        loop {
            if self.is_stopped() || board.is_full() {
                break;
            }
            if let Some(task) = board.stack.pop() {
                return Some(task);
            }
            // What is ready is all there is for now.
            self.wake(board.waker.take());
            board.quiet_ms = 0;
            if board.idle + 1 >= board.active {
                break;
            }
            board.idle += 1;
            let (guard, timed_out) = wait_timeout(&self.bell, board, limits::WALK_IDLE);
            board = guard;
            board.idle -= 1;
            if timed_out && board.stack.is_empty() {
                break;
            }
        }
        board.active = board.active.saturating_sub(1);
        let waker = board.waker.take();
        let is_last = board.active == 0 && board.stack.is_empty();
        let root = is_last.then(|| board.root.take()).flatten();
        drop(board);
        drop(root);
        // Those that wait have nobody left who could find anything.
        self.bell.notify_all();
        self.wake(waker);
        None
    }

    /// Hands over what was found, and what is to be done for it.
    pub(super) fn hand_over(&self, harvest: &mut Harvest<T>) {
        self.numbers.add(&std::mem::take(&mut harvest.numbers));
        if harvest.items.is_empty() && harvest.tasks.is_empty() {
            return;
        }
        let items = std::mem::take(&mut harvest.items);
        let mut board = lock(&self.board);
        if board.is_over {
            // Nobody wants any of it; its descriptors are closed here, on a walking thread.
            drop(board);
            return harvest.tasks.clear();
        }
        if !items.is_empty() {
            board.ready_count += items.len();
            board.ready.push_back(items);
            if board.quiet_ms == 0 {
                board.quiet_ms = coarse_ms();
            }
        }
        let tasks = harvest.tasks.len();
        // The first that was found is the first that is gone into.
        board.stack.extend(harvest.tasks.drain(..).rev());
        let wake = self.is_to_be_told(&mut board, tasks);
        let waker = wake.then(|| board.waker.take()).flatten();
        let idle = board.idle;
        drop(board);
        for _ in 0..idle.min(tasks) {
            self.bell.notify_one();
        }
        self.wake(waker);
    }

    /// One more thing to do.
    pub(super) fn push(&self, task: Task) {
        let mut board = lock(&self.board);
        if board.is_over {
            drop(board);
            return drop(task);
        }
        board.stack.push(task);
        let wake = board.idle == 0 && board.active < self.threads.load(Ordering::Relaxed);
        let waker = wake.then(|| board.waker.take()).flatten();
        let idle = board.idle;
        drop(board);
        if idle > 0 {
            self.bell.notify_one();
        }
        self.wake(waker);
    }

    /// Whether the caller is to be woken: there is much, it has waited, or a thread more would have something to do.
    fn is_to_be_told(&self, board: &mut Board<T>, tasks: usize) -> bool {
        // Each wake-up takes a processor from a thread. What is copied waits a while, what is listed for a tick of the clock.
        let quiet_ms = match self.visitor.actor {
            Some(_) => limits::COPY_TREE_QUIET.as_millis() as u64,
            None => 0,
        };
        let is_late = board.quiet_ms != 0 && coarse_ms() > board.quiet_ms + quiet_ms;
        let is_much = board.ready_count >= limits::WALK_WAKE_AT;
        let threads = self.threads.load(Ordering::Relaxed);
        let is_work = tasks > board.idle && board.active < threads;
        if is_late || is_much {
            board.quiet_ms = 0;
        }
        is_late || is_much || is_work
    }

    pub(super) fn wake(&self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            // The caller's, who may do in it what he likes.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake()));
        }
    }

    /// One thing less is left of a directory. Where nothing is, and its entry comes after what is in it, it comes now.
    pub(super) fn finish(&self, node: &Arc<Node>) {
        if self.visitor.actor.is_some() {
            // It takes its time, and is done where somebody looks.
            if node.left.fetch_sub(1, Ordering::AcqRel) == 1 && node.parent.is_some() {
                self.push(Task::Leave(node.clone()));
            }
            return;
        }
        if !self.options.contents_first {
            return;
        }
        let mut harvest = Harvest::new(0);
        let mut at = Some(node.clone());
        while let Some(node) = at {
            if node.left.fetch_sub(1, Ordering::AcqRel) != 1 {
                break;
            }
            let held: Option<Found> = lock(&node.held).take();
            if let Some(item) = held.and_then(|found| self.make(found, &mut harvest)) {
                harvest.items.push(Ok(item));
            }
            at = node.parent.clone();
        }
        self.hand_over(&mut harvest);
    }

    /// One thing more is left of a directory.
    pub(super) fn more(&self, node: &Node) {
        node.left.fetch_add(1, Ordering::AcqRel);
    }
}
