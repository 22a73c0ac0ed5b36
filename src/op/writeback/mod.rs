//! Few dirty pages: what a sequential writer has written is written out chunk by chunk, on blocking threads, and the
//! writer waits only when two chunks of it are dirty.

mod control;
mod dirty;
mod out;
mod policy;
mod ways;

use std::future::poll_fn;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use self::control::Control;
use self::dirty::{Chunk, Dirty};
use self::out::{End, start};
pub use self::policy::{WritebackPolicy, WritebackStats};
pub(super) use self::ways::Ways;
use super::file::SharedFile;
use super::on_mount::OnMount;
use crate::base::clock::now_us;
use crate::base::lock::lock;
use crate::driver::Alarm;
use crate::events;
use crate::limits;
pub use crate::sys::written::WritebackClass;

/// A write-out that is not over.
#[derive(Debug)]
struct Out {
    number: u64,
    offset: u64,
    bytes: u64,
    began_us: u64,
    /// Whether it did not end in time.
    is_given_up: bool,
}

#[derive(Debug)]
struct State {
    control: Control,
    dirty: Dirty,
    /// Bytes that are being written.
    reserved: u64,
    outs: Vec<Out>,
    /// Write-outs so far.
    count: u64,
    stats: WritebackStats,
}

impl State {
    fn waited_for(&self) -> impl Iterator<Item = &Out> {
        self.outs.iter().filter(|out| !out.is_given_up)
    }

    fn load(&self) -> u64 {
        let out: u64 = self.waited_for().map(|out| out.bytes).sum();
        self.reserved + self.dirty.bytes() + out
    }

    fn note_peak(&mut self) {
        self.stats.bytes_dirty = self.load();
        self.stats.bytes_dirty_peak = self.stats.bytes_dirty_peak.max(self.stats.bytes_dirty);
    }
}

/// What bounds the dirty pages of an open file and its clones.
#[derive(Debug)]
pub(crate) struct Bounded {
    policy: WritebackPolicy,
    is_off: AtomicBool,
    class: OnceLock<WritebackClass>,
    state: Mutex<State>,
    /// How large writes go on its mount.
    ways: OnceLock<Arc<Ways>>,
    /// Something is over.
    change: Notify,
}

/// Leave to write so many bytes. Dropped without a word of what came of it, all of them may have been.
#[derive(Debug)]
pub(crate) struct Room {
    bounded: Arc<Bounded>,
    bytes: u64,
    /// Where, if that is known.
    at: Option<u64>,
    asked_us: u64,
}

impl Room {
    /// How many bytes may be written.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// So many were written there; no place is known where the kernel chose it.
    pub(crate) fn wrote(mut self, file: &Arc<SharedFile>, at: Option<u64>, bytes: usize) {
        let bounded = self.bounded.clone();
        if bytes >= limits::WRITEBACK_UNCACHED_BYTES_MIN {
            if let Some(ways) = bounded.ways(file) {
                ways.wrote(bytes as u64, now_us().saturating_sub(self.asked_us));
            }
        }
        self.settle(at, bytes as u64);
        drop(self);
        bounded.pump(file);
    }

    fn settle(&mut self, at: Option<u64>, written: u64) {
        let mut state = lock(&self.bounded.state);
        state.reserved -= std::mem::take(&mut self.bytes);
        match at {
            Some(at) => state.dirty.add(at..at.saturating_add(written)),
            None => state.dirty.add_astray(written),
        }
        state.note_peak();
        drop(state);
        self.bounded.change.notify_waiters();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.settle(self.at, self.bytes);
        }
    }
}

/// What became of asking for room.
enum Asked {
    Room(u64),
    /// Nothing before something is over, or this moment at the latest.
    NotBefore(u64),
}

impl Bounded {
    pub(crate) fn new(policy: WritebackPolicy, is_off: bool) -> Bounded {
        let WritebackPolicy {
            chunk_bytes,
            chunk_bytes_min,
            chunk_bytes_max,
            rest,
            ..
        } = policy;
        Bounded {
            policy,
            is_off: AtomicBool::new(is_off || cfg!(not(target_os = "linux"))),
            class: OnceLock::new(),
            ways: OnceLock::new(),
            state: Mutex::new(State {
                control: Control::new(chunk_bytes, chunk_bytes_min, chunk_bytes_max, rest),
                dirty: Dirty::default(),
                reserved: 0,
                outs: Vec::new(),
                count: 0,
                stats: WritebackStats {
                    class: WritebackClass::Unknown,
                    is_active: false,
                    is_degraded: false,
                    is_uncached: false,
                    degradations: 0,
                    chunk_bytes,
                    resizes: 0,
                    started: 0,
                    finished: 0,
                    failed: 0,
                    skipped: 0,
                    bytes_started: 0,
                    bytes_finished: 0,
                    bytes_dirty: 0,
                    bytes_dirty_peak: 0,
                    waited: std::time::Duration::ZERO,
                    waited_max: std::time::Duration::ZERO,
                    held_back: 0,
                },
            }),
            change: Notify::new(),
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        !self.is_off.load(Ordering::Relaxed)
    }

    pub(crate) fn stats(&self) -> WritebackStats {
        let mut state = lock(&self.state);
        state.note_peak();
        WritebackStats {
            class: self.class.get().copied().unwrap_or(WritebackClass::Unknown),
            is_active: self.is_active(),
            is_degraded: state.control.is_degraded(),
            is_uncached: self.ways.get().is_some_and(|ways| ways.is_uncached()),
            chunk_bytes: state.control.chunk(),
            ..state.stats.clone()
        }
    }

    /// Waits until bytes may be written at that place; how many, the room says.
    pub(crate) async fn room(self: Arc<Self>, at: Option<u64>, wanted: usize) -> Room {
        let asked_us = now_us();
        let mut is_first = true;
        loop {
            let mut change = pin!(self.change.notified());
            // From now on no change is missed.
            change.as_mut().enable();
            let not_before_us = match self.ask(wanted as u64, is_first) {
                Asked::Room(bytes) => {
                    return Room {
                        bounded: self.clone(),
                        bytes,
                        at,
                        asked_us,
                    };
                }
                Asked::NotBefore(us) => us,
            };
            is_first = false;
            until(change, not_before_us).await;
        }
    }

    /// The ways to write between which there is a choice: where it is known that what is written out leaves the cache of
    /// a local filesystem, and the disk answers.
    fn ways(&self, file: &SharedFile) -> Option<&Arc<Ways>> {
        let WritebackPolicy { waits, drops, .. } = self.policy;
        let is_local = self.class.get() == Some(&WritebackClass::Local);
        if !waits || !drops || !is_local || !self.is_active() {
            return None;
        }
        let driver = file.driver_ref();
        if driver.has_faults() || lock(&self.state).control.is_degraded() {
            return None;
        }
        let ways = || driver.shared::<OnMount>(&file.mount()).ways.clone();
        Some(self.ways.get_or_init(ways))
    }

    fn ask(&self, wanted: u64, is_first: bool) -> Asked {
        let mut state = lock(&self.state);
        self.give_up_overdue(&mut state);
        let chunk = state.control.chunk();
        let bytes = wanted.min(chunk).max(1);
        let most = 2 * chunk;
        let nothing_goes_on = state.reserved == 0 && state.waited_for().next().is_none();
        let is_free = !self.is_active() || !self.policy.waits;
        if is_free || nothing_goes_on || state.load() + bytes <= most {
            state.reserved += bytes;
            state.note_peak();
            return Asked::Room(bytes);
        }
        if is_first {
            state.stats.held_back += 1;
        }
        let due = state.waited_for().map(|out| out.began_us).min();
        Asked::NotBefore(due.map_or(u64::MAX, |began_us| began_us.saturating_add(self.wait_us())))
    }

    fn wait_us(&self) -> u64 {
        u64::try_from(self.policy.wait_limit.as_micros()).unwrap_or(u64::MAX)
    }

    /// What did not end in time is not waited for any more, and nothing else is for a while.
    fn give_up_overdue(&self, state: &mut State) {
        let (now, wait_us) = (now_us(), self.wait_us());
        for out in &mut state.outs {
            if !out.is_given_up && now >= out.began_us.saturating_add(wait_us) {
                out.is_given_up = true;
                if state.control.expired(now) {
                    state.stats.degradations += 1;
                    let (limit, offset, bytes) = (self.policy.wait_limit, out.offset, out.bytes);
                    events::report(move || events::writeback_degraded(limit, offset, bytes));
                }
            }
        }
    }

    /// Begins the write-outs that are due.
    fn pump(self: &Arc<Self>, file: &Arc<SharedFile>) {
        self.begin(file, false);
    }

    /// The same for what is left, however little it is.
    fn flush(self: &Arc<Self>, file: &Arc<SharedFile>) {
        self.begin(file, true);
    }

    fn begin(self: &Arc<Self>, file: &Arc<SharedFile>, all: bool) {
        if !self.is_active() {
            return;
        }
        loop {
            let next = self.next(all);
            let Some((number, chunk)) = next else { return };
            start(self, file, number, chunk);
        }
    }

    fn next(&self, all: bool) -> Option<(u64, Chunk)> {
        let mut state = lock(&self.state);
        self.give_up_overdue(&mut state);
        let is_full = state.waited_for().count() >= limits::WRITEBACK_OUTS_MAX;
        if is_full && !all {
            return None;
        }
        let bytes = state.control.chunk();
        loop {
            let chunk = match all {
                true => state.dirty.take_any(bytes),
                false => state.dirty.take(bytes),
            }?;
            let stuck = state.outs.iter().filter(|out| out.is_given_up).count();
            if !state.control.may_begin(now_us(), stuck) {
                // The kernel writes it out when it likes.
                state.stats.skipped += 1;
                continue;
            }
            state.count += 1;
            let out = Out {
                number: state.count,
                offset: chunk.range.start,
                bytes: chunk.bytes,
                began_us: now_us(),
                is_given_up: false,
            };
            state.outs.push(out);
            state.stats.started += 1;
            state.stats.bytes_started += chunk.bytes;
            return Some((state.count, chunk));
        }
    }

    /// A write-out is over. Called on a blocking thread, or where it could not begin.
    fn ended(&self, number: u64, end: End) {
        let mut state = lock(&self.state);
        self.give_up_overdue(&mut state);
        let Some(at) = state.outs.iter().position(|out| out.number == number) else {
            return;
        };
        let out = state.outs.swap_remove(at);
        let mut resized = None;
        let mut recovered = false;
        match end {
            End::Done(wait) => {
                state.stats.finished += 1;
                state.stats.bytes_finished += out.bytes;
                state.stats.waited += wait;
                state.stats.waited_max = state.stats.waited_max.max(wait);
                if !out.is_given_up {
                    recovered = state.control.ended_in_time();
                    resized = state.control.waited(wait);
                }
            }
            End::Failed => {
                state.stats.failed += 1;
                recovered = !out.is_given_up && state.control.ended_in_time();
            }
            End::NotBegun => {
                state.stats.skipped += 1;
                state.stats.started -= 1;
                state.stats.bytes_started -= out.bytes;
                state.control.never_began();
            }
            End::NothingToDo => self.is_off.store(true, Ordering::Relaxed),
        }
        state.stats.resizes += u64::from(resized.is_some());
        state.note_peak();
        drop(state);
        self.change.notify_waiters();
        if let Some(resized) = resized {
            events::report(move || {
                events::writeback_resized(resized.from, resized.to, resized.p95);
            });
        }
        if recovered {
            events::report(events::writeback_recovered);
        }
    }

    /// Whether nothing goes on that is waited for; the moment at which that is to be looked at again.
    fn rest(&self) -> Result<(), u64> {
        let mut state = lock(&self.state);
        self.give_up_overdue(&mut state);
        match state.waited_for().map(|out| out.began_us).min() {
            None => Ok(()),
            Some(began_us) => Err(began_us.saturating_add(self.wait_us())),
        }
    }
}

/// Waits for a change, or for that moment.
async fn until(mut change: Pin<&mut Notified<'_>>, moment_us: u64) {
    let mut alarm = None;
    poll_fn(|cx| {
        if change.as_mut().poll(cx).is_ready() || now_us() >= moment_us {
            return Poll::Ready(());
        }
        match &alarm {
            None => alarm = Some(Alarm::at(moment_us, cx.waker())),
            Some(alarm) => alarm.wakes(cx.waker()),
        }
        Poll::Pending
    })
    .await;
}

impl SharedFile {
    /// Bounds the dirty pages of this open file from now on; the first policy counts.
    pub(crate) fn bound(&self, policy: WritebackPolicy) {
        let is_off = self.is_direct() || !self.is_seekable() || self.is_read_only();
        let make = || {
            #[cfg(target_os = "macos")]
            if policy.no_cache {
                // A hint: with the cache it is as correct.
                let _ = crate::sys::written::set_no_cache(std::os::fd::AsFd::as_fd(self));
            }
            Arc::new(Bounded::new(policy, is_off))
        };
        self.health.bounded.get_or_init(make);
    }

    pub(crate) fn writeback_stats(&self) -> Option<WritebackStats> {
        self.health.bounded.get().map(|bounded| bounded.stats())
    }

    /// What bounds its dirty pages, if anything does.
    pub(crate) fn bounded(&self) -> Option<&Arc<Bounded>> {
        self.health
            .bounded
            .get()
            .filter(|bounded| bounded.is_active())
    }

    /// Who is to be told if a write of so many bytes cannot leave the page cache by itself; `None` where it should not.
    pub(super) fn uncached(&self, bytes: usize) -> Option<Arc<Ways>> {
        let bounded = self.bounded()?;
        if bytes < limits::WRITEBACK_UNCACHED_BYTES_MIN {
            return None;
        }
        bounded
            .ways(self)
            .filter(|ways| ways.is_uncached())
            .cloned()
    }

    /// Writes out what is left, as far as that pays.
    pub(super) fn write_out_for_a_sync(self: &Arc<Self>) {
        if let Some(bounded) = self.bounded() {
            if lock(&bounded.state).dirty.bytes() >= limits::WRITEBACK_TAIL_BYTES {
                bounded.flush(self);
            }
        }
    }

    /// Writes out what is left, and waits for all that goes on, as long as a write would.
    pub(crate) async fn write_out(self: &Arc<Self>) {
        let Some(bounded) = self.bounded() else {
            return;
        };
        bounded.flush(self);
        loop {
            let mut change = pin!(bounded.change.notified());
            change.as_mut().enable();
            let Err(not_before_us) = bounded.rest() else {
                return;
            };
            until(change, not_before_us).await;
        }
    }
}

/// The bytes that a chunk of the whole file stands for.
fn offset_and_length(range: &Range<u64>) -> (u64, u64) {
    match range.end {
        u64::MAX => (range.start, 0),
        end => (range.start, end - range.start),
    }
}
