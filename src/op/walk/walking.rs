//! The caller's side of a walk: takes what was found, gives out threads, and looks whether they get on.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::board::Harvest;
use super::found::{WalkCall, WalkError, is_refusal};
use super::hop::{Hop, Work};
use super::node::{Files, Use};
use super::worker::{Doing, Worker};
use super::{Options, Shared, Visitor, Watched};
use crate::base::clock::{coarse_ms, now_us};
use crate::base::lock::lock;
use crate::driver::alarm::Alarm;
use crate::driver::{self, Driver, InFlight, Why, chore::Chore, refused, without_limits};
use crate::error::{Error, LeftBehind};
use crate::limits;
use crate::mounts::Mount;
use crate::op::locate::locate;
use crate::opcode::Kind;
use crate::sys::path::c_path;
use crate::sys::request;
use crate::sys::walking::{Names, Reach};

type Polled<T> = Poll<Option<Result<T, WalkError>>>;

struct Running {
    future: InFlight<Hop>,
    worker: Arc<Worker>,
}

/// Where the threads come from.
struct Threads {
    driver: Arc<Driver>,
    mount: Arc<Mount>,
    timeout: Option<Duration>,
}

/// See the module.
pub(crate) struct Walking<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    /// What was taken and not yet handed out.
    batch: std::vec::IntoIter<Result<T, WalkError>>,
    running: Vec<Running>,
    threads: Option<Threads>,
    alarm: Option<(u64, Alarm)>,
    is_over: bool,
    /// It was told that the limit is passed under which it is polled.
    told_of_limit: bool,
    /// Entries that were handed out since others had their turn.
    handed_out: usize,
}

impl<T: Send + 'static> Walking<T> {
    pub(crate) fn new(root: &Path, options: Options, visitor: Visitor<T>) -> Walking<T> {
        let path = c_path(root);
        let is_bad = path.is_err();
        let reach = Reach {
            follow: options.follow,
            same_mount: options.same_mount,
        };
        let shared = Arc::new(Shared {
            files: Files::new(reach),
            options,
            visitor,
            root: path.unwrap_or_default(),
            board: std::sync::Mutex::default(),
            bell: Condvar::new(),
            stop: AtomicBool::new(false),
            numbers: Default::default(),
            links: Default::default(),
            visits: Default::default(),
            workers: Default::default(),
            chunk: AtomicUsize::new(limits::WALK_CHUNK),
            threads: AtomicUsize::new(1),
            late: AtomicUsize::new(0),
            began_ms: coarse_ms(),
        });
        let mut walking = Walking {
            shared,
            batch: Vec::new().into_iter(),
            running: Vec::new(),
            threads: None,
            alarm: None,
            is_over: false,
            told_of_limit: false,
            handed_out: 0,
        };
        if is_bad {
            let text = "file name contained an unexpected NUL byte";
            let error = io::Error::new(io::ErrorKind::InvalidInput, text);
            walking.end_with(root.to_path_buf(), error);
        }
        walking
    }

    pub(crate) fn watched(&self) -> Arc<dyn Watched + 'static> {
        self.shared.clone()
    }

    /// Nothing more begins, and nothing more comes.
    pub(crate) fn stop(&mut self) {
        self.is_over = true;
        self.batch = Vec::new().into_iter();
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.bell.notify_all();
        self.running.clear();
        self.alarm = None;
        if self.is_of_parent() {
            // What its threads were in the middle of stays as it is.
            return;
        }
        let (stack, root) = {
            let mut board = lock(&self.shared.board);
            board.is_over = true;
            (std::mem::take(&mut board.stack), board.root.take())
        };
        if !stack.is_empty() || root.is_some() {
            let shared = self.shared.clone();
            // Descriptors are closed where that may sleep, also those that stuck threads have.
            self.elsewhere(move || {
                drop((stack, root));
                shared.files.close_all();
            });
        }
    }

    /// Ends with an error, which is the last that comes.
    pub(crate) fn end_with(&mut self, path: PathBuf, source: io::Error) {
        self.stop();
        let error = self.shared.trouble(path, 0, WalkCall::Start, source);
        let mut harvest: Harvest<T> = Harvest::new(1);
        harvest.error(error);
        self.shared.numbers.add(&harvest.numbers);
        self.batch = harvest.items.into_iter();
    }

    fn root(&self) -> PathBuf {
        let node = super::Node::new(None, &self.shared.root, 0);
        self.shared.told_root(&node)
    }

    fn kind(&self) -> Kind {
        let actor = self.shared.visitor.actor.as_ref();
        actor.map_or(Kind::Walk, |actor| actor.kind())
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled<T> {
        match refused() {
            Some(why) if !self.is_over => {
                if let Some(told) = self.poll_refused(why) {
                    return told;
                }
            }
            Some(_) => {}
            None => self.told_of_limit = false,
        }
        loop {
            // Whoever takes a batch in a loop lets others have their turn, and hears of a limit that passes meanwhile.
            if self.handed_out < limits::WALK_ENTRIES_A_TURN {
                if let Some(item) = self.batch.next() {
                    self.handed_out += 1;
                    return Poll::Ready(Some(item));
                }
            }
            if self.is_over && self.batch.len() == 0 {
                return Poll::Ready(None);
            }
            let turn = match tokio::task::coop::poll_proceed(cx) {
                Poll::Ready(turn) => turn,
                Poll::Pending => return Poll::Pending,
            };
            self.handed_out = 0;
            if self.batch.len() > 0 {
                turn.made_progress();
                continue;
            }
            // The time that a caller gives to one entry is none of the threads'.
            let got = without_limits(|| self.advance(cx));
            match got {
                Ok(true) => turn.made_progress(),
                Ok(false) => return Poll::Pending,
                Err(error) => self.end_with(self.root(), error),
            }
        }
    }

    /// The limit is passed under which it is polled. A cancel is for good and ends it. Time that is over may be that
    /// of one entry alone: this is told once, and then nothing, until it is polled without such a limit.
    fn poll_refused(&mut self, why: Why) -> Option<Polled<T>> {
        let left = match self.acts() && self.threads.is_some() {
            true => LeftBehind::MayHaveTakenEffect,
            false => LeftBehind::NothingHappened,
        };
        let elapsed = self.shared.age();
        let source = why.error(Some(self.kind()), None, elapsed, left).into();
        if why == Why::Cancelled {
            self.end_with(self.root(), source);
            return None;
        }
        if std::mem::replace(&mut self.told_of_limit, true) {
            return Some(Poll::Pending);
        }
        let mut error = self.shared.trouble(self.root(), 0, WalkCall::Start, source);
        error.fatal = false;
        self.shared.numbers.errors.fetch_add(1, Ordering::Relaxed);
        Some(Poll::Ready(Some(Err(error))))
    }

    /// Gets more entries, or sees to it that they come; whether there is something to hand out.
    fn advance(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        self.begin()?;
        if self.is_of_parent() {
            let operation = self.kind();
            return Err(Error::ForkedChild { operation }.into());
        }
        let shared = self.shared.clone();
        let mut board = lock(&shared.board);
        let taken = board.take();
        if taken.is_none() {
            board.waker = Some(cx.waker().clone());
        }
        drop(board);
        if let Some(batch) = taken {
            self.start();
            self.batch = batch.into_iter();
            return Ok(true);
        }
        // Whoever ended may have left something that another thread can do.
        while self.start() && self.poll_threads(cx)? {}
        self.poll_threads(cx)?;
        self.look_at_threads();
        let mut board = lock(&shared.board);
        // In this order: what is late is on the board before it counts as being in time.
        let is_done = self.running.is_empty()
            && board.stack.is_empty()
            && shared.late.load(Ordering::Acquire) == 0;
        if let Some(batch) = board.take() {
            drop(board);
            self.batch = batch.into_iter();
            return Ok(true);
        }
        if is_done {
            board.is_over = true;
            drop(board);
            self.stop();
            return Ok(true);
        }
        let has_work = board.wanted(shared.threads.load(Ordering::Relaxed)) > 0;
        drop(board);
        if has_work && self.running.is_empty() {
            cx.waker().wake_by_ref();
        }
        self.set_alarm(cx);
        Ok(false)
    }

    /// Finds out where the walk is to go on. How far the files are is known once the root is open.
    fn begin(&mut self) -> io::Result<()> {
        if self.threads.is_some() {
            return Ok(());
        }
        let driver = driver::current()?;
        let (shared, options) = (&self.shared, &self.shared.options);
        let mount = match self.acts() {
            true => locate(&driver, &c_path(&self.root())?, false),
            false => locate(&driver, &shared.root, true),
        };
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let threads = match options.sort {
            super::WalkSort::Name => 1,
            _ => options.threads.unwrap_or(processors.max(2)),
        };
        let most = limits::WALK_THREADS_MAX.min(shared.files.threads_max());
        let threads = threads.clamp(1, most);
        shared.threads.store(threads, Ordering::Relaxed);
        shared.numbers.of_handle(driver.counters.clone());
        if shared.visitor.is_foreign {
            let chunk = limits::WALK_CHUNK_REMOTE;
            shared.chunk.store(chunk, Ordering::Relaxed);
        }
        let timeout = options.timeout.or(driver.settings().timeouts.metadata);
        self.threads = Some(Threads {
            driver,
            mount,
            timeout,
        });
        Ok(())
    }

    /// Starts as many threads as have something to do; whether any was.
    fn start(&mut self) -> bool {
        let wanted = {
            let threads = self.shared.threads.load(Ordering::Relaxed);
            let mut board = lock(&self.shared.board);
            let wanted = board.wanted(threads);
            board.active += wanted;
            wanted
        };
        for _ in 0..wanted {
            let Some(threads) = &self.threads else {
                break;
            };
            let worker = Worker::new();
            let (shared, me) = (self.shared.clone(), worker.clone());
            let work: Work = Box::new(move |steps| shared.work(&me, steps));
            let hop = Hop {
                kind: self.kind(),
                worker: worker.clone(),
                #[cfg(feature = "testing")]
                root: self.root(),
                request: request::Hop::new(work),
            };
            lock(&self.shared.workers).push(worker.clone());
            let future = threads.driver.start(hop, &threads.mount);
            self.running.push(Running { future, worker });
        }
        wanted > 0
    }

    /// Lets go of threads that have ended; whether any has. What refuses or breaks the last one ends the walk.
    fn poll_threads(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let (mut at, before) = (0, self.running.len());
        while at < self.running.len() {
            let Poll::Ready(result) = Pin::new(&mut self.running[at].future).poll(cx) else {
                at += 1;
                continue;
            };
            let worker = self.running.swap_remove(at).worker;
            lock(&self.shared.workers).retain(|other| !Arc::ptr_eq(other, &worker));
            let Err(error) = result else {
                continue;
            };
            let is_over = error.kind() == io::ErrorKind::TimedOut;
            if is_over && self.acts() && !worker.was_left() {
                self.take_over(&worker, Duration::ZERO);
            }
            if worker.was_left() && is_over {
                self.give_up(&worker);
                continue;
            }
            if !worker.was_left() {
                let mut board = lock(&self.shared.board);
                board.active = board.active.saturating_sub(1);
            }
            if self.running.is_empty() || !is_refusal(&error) {
                return Err(error);
            }
            // The others go on, and one more is tried later.
            return Ok(false);
        }
        Ok(self.running.len() < before)
    }

    /// Tells of a call that did not end in time. What it still comes back with is not wanted.
    fn give_up(&self, worker: &Worker) {
        let doing = {
            let mut at = lock(&worker.doing);
            if matches!(*at, Doing::Nothing | Doing::Over | Doing::Visit(_)) {
                return;
            }
            std::mem::replace(&mut *at, Doing::Over)
        };
        let Some(path) = doing.path(worker.left_at()) else {
            return;
        };
        let timed_out = Error::TimedOut {
            operation: Some(self.kind()),
            path: None,
            elapsed: worker.still_for(),
            left: crate::error::LeftBehind::Detached,
        };
        let shared = &self.shared;
        let call = worker.call();
        let mut error = shared.trouble(path, doing.depth(), call, timed_out.into());
        if let Doing::List(dir) = &doing {
            error.fatal |= error.depth == 0 && dir.node.is_unlisted();
        }
        let mut harvest = Harvest::new(1);
        harvest.error(error);
        if !shared.options.contents_first {
            shared.hand_over(&mut harvest);
        }
        if let (Some(actor), Some((dir, index))) = (
            &shared.visitor.actor,
            match &doing {
                Doing::Row { dir, index, .. } => Some((dir, *index)),
                _ => None,
            },
        ) {
            shared.again(actor.gave_up(&dir.node, index));
        }
        match &doing {
            Doing::Open(node) => shared.finish(node),
            Doing::Leave(node) => node.parent.iter().for_each(|parent| shared.finish(parent)),
            Doing::List(dir) | Doing::Row { dir, .. } | Doing::Rows { dir, .. } => {
                shared.finish(&dir.node);
            }
            _ => {}
        }
        // What ends the walk comes after the root's own entry.
        shared.hand_over(&mut harvest);
        // Descriptors are closed where that may sleep.
        self.elsewhere(move || drop(doing));
    }

    /// Gives the rest of a thread's work to another where a call takes long, and the call itself until its time is
    /// over.
    fn look_at_threads(&self) {
        let Some(threads) = &self.threads else {
            return;
        };
        self.shared.share_visits();
        let timeout = threads.timeout.unwrap_or(limits::SETTING_DURATION_MAX);
        let after = match self.shared.wants_sorted_names() {
            // Nobody else may go on, or the order would be another.
            true => timeout,
            false => limits::WALK_STUCK_AFTER.min(timeout),
        };
        for running in &self.running {
            let worker = &running.worker;
            if self.acts() {
                self.look_at_acting(worker);
                continue;
            }
            let still_for = worker.still_for();
            let is_ours = worker.call() != WalkCall::Visit && !worker.was_left();
            if is_ours && still_for >= after && self.take_over(worker, after) {
                let left = timeout.saturating_sub(still_for);
                let left_us = u64::try_from(left.as_micros()).unwrap_or(u64::MAX / 4);
                running.future.hasten(now_us().saturating_add(left_us));
            }
        }
    }

    fn is_of_parent(&self) -> bool {
        let threads = self.threads.as_ref();
        threads.is_some_and(|threads| threads.driver.is_of_parent())
    }

    fn acts(&self) -> bool {
        self.shared.visitor.actor.is_some()
    }

    /// Its hop has a limit for each of its steps. What waits behind a long entry is for others; where it does not get
    /// on, so is the thread's place.
    fn look_at_acting(&self, worker: &Worker) {
        let after = limits::COPY_TREE_STUCK_AFTER;
        if worker.was_left() || worker.at_entry_for() < after {
            return;
        }
        if worker.still_for() >= after {
            self.take_over(worker, after);
            return;
        }
        let mut at = lock(&worker.doing);
        let index = worker.index.load(Ordering::Relaxed);
        let rest = match &mut *at {
            Doing::Rows { dir, names, to, .. } if worker.at_entry_for() >= after => {
                let rest = (index + 1).min(*to)..*to;
                *to = rest.start;
                (dir.clone(), names.clone(), rest)
            }
            _ => return,
        };
        drop(at);
        let (dir, names, rest) = rest;
        self.split(&dir, &names, [rest, 0..0]);
    }

    fn take_over(&self, worker: &Worker, after: Duration) -> bool {
        let shared = &self.shared;
        let mut at = lock(&worker.doing);
        if worker.still_for() < after {
            // It has just come back.
            return false;
        }
        let mut rest = None;
        match &*at {
            Doing::Nothing | Doing::Over | Doing::Visit(_) => return false,
            Doing::Rows {
                dir,
                names,
                from,
                to,
            } => {
                let index = worker.index.load(Ordering::Relaxed);
                worker.left_at.store(index, Ordering::Release);
                // What was done to names is told already.
                let seen = if self.acts() { 0..0 } else { *from..index };
                rest = Some((dir.clone(), names.clone(), [index + 1..*to, seen]));
            }
            Doing::Root(_)
            | Doing::Open(_)
            | Doing::Leave(_)
            | Doing::List(_)
            | Doing::Row { .. } => {}
        }
        worker.was_left.store(true, Ordering::Release);
        {
            let mut board = lock(&shared.board);
            board.active = board.active.saturating_sub(1);
        }
        shared.numbers.taken_over.fetch_add(1, Ordering::Relaxed);
        if let Some((dir, names, ranges)) = rest {
            let (dir_of_row, names_of_row) = (dir.clone(), names.clone());
            let index = worker.left_at();
            let row = Doing::Row {
                dir: dir_of_row,
                names: names_of_row,
                index,
            };
            let rows = std::mem::replace(&mut *at, row);
            drop(at);
            // Not the last of either.
            drop(rows);
            self.split(&dir, &names, ranges);
        }
        true
    }

    fn split(&self, dir: &Use, names: &Arc<Names>, ranges: [Range<usize>; 2]) {
        for range in ranges {
            if !range.is_empty() {
                self.shared.rest(dir, names, range);
            }
        }
    }

    /// Has the task woken to look at the threads, also where none of them ever comes back.
    fn set_alarm(&mut self, cx: &mut Context<'_>) {
        let now_us = now_us();
        match &self.alarm {
            Some((due_us, alarm)) if *due_us > now_us => alarm.wakes(cx.waker()),
            _ => {
                let due_us = now_us + limits::WALK_LOOK_EVERY.as_micros() as u64;
                self.alarm = Some((due_us, Alarm::at(due_us, cx.waker())));
            }
        }
    }

    fn elsewhere(&self, work: impl FnOnce() + Send + 'static) {
        if let Some(threads) = &self.threads {
            let work = Chore::new(Kind::Close, work);
            threads.driver.live().start_detached(work, &threads.mount);
        }
    }
}

impl<T: Send + 'static> Drop for Walking<T> {
    fn drop(&mut self) {
        self.stop();
    }
}
