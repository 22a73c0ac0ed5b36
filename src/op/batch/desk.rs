//! What one thread of a batch has before it, which others can look at and take away.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::entries::{Called, Entries};
use crate::base::clock::{coarse_ms, thread_cpu};
use crate::base::lock::lock;
use crate::driver::Driver;
use crate::limits;
use crate::sys::fd::Whereabouts;
use crate::sys::steps::Steps;

/// What all threads of a batch share.
pub(super) struct Shared<E: Entries> {
    pub(super) entries: E,
    pub(super) driver: Arc<Driver>,
    results: Mutex<Vec<io::Result<E::Output>>>,
    /// Entries that lead elsewhere.
    elsewhere: Mutex<Vec<usize>>,
}

impl<E: Entries> Shared<E> {
    pub(super) fn new(entries: E, driver: Arc<Driver>) -> Arc<Shared<E>> {
        let results = Mutex::new(Vec::with_capacity(entries.len()));
        Arc::new(Shared {
            entries,
            driver,
            results,
            elsewhere: Mutex::default(),
        })
    }

    /// Puts results in their places, and leaves the memory that they were in.
    pub(super) fn put(&self, start: usize, results: &mut Vec<io::Result<E::Output>>) {
        let (mut all, end) = (lock(&self.results), start + results.len());
        if all.len() == start {
            return all.append(results);
        }
        if all.len() < end {
            // Each place is filled before the batch is over.
            all.resize_with(end, || Err(io::ErrorKind::Interrupted.into()));
        }
        for (place, result) in all[start..end].iter_mut().zip(results.drain(..)) {
            *place = result;
        }
    }

    pub(super) fn put_one(&self, index: usize, result: io::Result<E::Output>) {
        self.put(index, &mut vec![result]);
    }

    pub(super) fn take_results(&self) -> Vec<io::Result<E::Output>> {
        std::mem::take(&mut *lock(&self.results))
    }

    pub(super) fn take_elsewhere(&self) -> Vec<usize> {
        std::mem::take(&mut *lock(&self.elsewhere))
    }

    /// An error of an entry, as its caller is told of it.
    pub(super) fn tell(&self, index: usize, error: io::Error) -> io::Error {
        let entries = &self.entries;
        self.driver
            .tell(entries.kind(), Some(entries.path(index)), error)
    }
}

/// Entries of one mount that no thread has.
#[derive(Default)]
pub(super) struct Queue(Mutex<VecDeque<Range<usize>>>);

impl Queue {
    pub(super) fn push_back(&self, range: Range<usize>) {
        let mut ranges = lock(&self.0);
        match ranges.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if range.is_empty() => {}
            _ => ranges.push_back(range),
        }
    }

    fn give_back(&self, range: Range<usize>) {
        if !range.is_empty() {
            lock(&self.0).push_front(range);
        }
    }

    /// As many entries as a thread takes at a time: fewer towards the end, so that all threads end together.
    fn take(&self, threads: usize) -> Option<Range<usize>> {
        let mut ranges = lock(&self.0);
        let waiting: usize = ranges.iter().take(8).map(Range::len).sum();
        let first = ranges.front_mut()?;
        let share = (waiting / (threads * 4)).clamp(1, limits::BATCH_CHUNK_ENTRIES);
        let taken = first.start..first.end.min(first.start + share);
        first.start = taken.end;
        if first.start == first.end {
            ranges.pop_front();
        }
        Some(taken)
    }

    pub(super) fn waiting(&self) -> usize {
        lock(&self.0).iter().map(Range::len).sum()
    }

    pub(super) fn drain(&self) -> Vec<Range<usize>> {
        lock(&self.0).drain(..).collect()
    }
}

/// What lies on the desk.
struct Sheet<T> {
    /// The entry in work, or to be done next, and the end of those that were taken with it.
    at: usize,
    end: usize,
    /// When it was begun, in coarse milliseconds.
    since_ms: u64,
    /// Results of those before it.
    done: Vec<io::Result<T>>,
    /// Of those, the ones that lead elsewhere. Told once these results are in their places, which would overwrite theirs.
    elsewhere: Vec<usize>,
    /// Nobody waits for this thread any more.
    is_left: bool,
}

/// See the module.
pub(super) struct Desk<E: Entries> {
    pub(super) shared: Arc<Shared<E>>,
    queue: Arc<Queue>,
    is_there: bool,
    sheet: Mutex<Sheet<E::Output>>,
}

/// How a thread got on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    pub(super) wall_us: u64,
    pub(super) cpu_us: u64,
}

impl Pace {
    /// Whether it waited more than it worked, so that more threads get more done.
    pub(super) fn waited(self) -> bool {
        self.wall_us > 2 * self.cpu_us
    }
}

impl<E: Entries> Desk<E> {
    pub(super) fn new(shared: Arc<Shared<E>>, queue: Arc<Queue>, is_there: bool) -> Arc<Desk<E>> {
        let sheet = Sheet {
            at: 0,
            end: 0,
            since_ms: 0,
            done: Vec::new(),
            elsewhere: Vec::new(),
            is_left: false,
        };
        Arc::new(Desk {
            shared,
            queue,
            is_there,
            sheet: Mutex::new(sheet),
        })
    }

    /// Does entries until there are none, or the time is over.
    pub(super) fn work(&self, steps: &Steps, threads: usize, slice_ms: u64) -> Pace {
        let (begun, begun_cpu, until_ms) = (Instant::now(), thread_cpu(), coarse_ms() + slice_ms);
        while let Some(taken) = self.queue.take(threads) {
            if !self.lay_out(taken) || !self.work_off(steps, until_ms) {
                break;
            }
            if coarse_ms() >= until_ms {
                break;
            }
        }
        Pace {
            wall_us: begun.elapsed().as_micros() as u64,
            cpu_us: thread_cpu().saturating_sub(begun_cpu).as_micros() as u64,
        }
    }

    fn lay_out(&self, taken: Range<usize>) -> bool {
        let mut sheet = lock(&self.sheet);
        if sheet.is_left {
            drop(sheet);
            self.queue.give_back(taken);
            return false;
        }
        (sheet.at, sheet.end) = (taken.start, taken.end);
        sheet.since_ms = coarse_ms();
        true
    }

    /// Whether to take more.
    fn work_off(&self, steps: &Steps, until_ms: u64) -> bool {
        let shared = &self.shared;
        let mut at = lock(&self.sheet).at;
        loop {
            let called = shared
                .entries
                .call(&shared.driver, at, self.is_there, steps);
            let (result, leads_elsewhere) = match called {
                Called::Done(result) => (result.map_err(|error| shared.tell(at, error)), false),
                Called::Elsewhere => (Err(io::ErrorKind::Interrupted.into()), true),
            };
            let (mut sheet, now_ms) = (lock(&self.sheet), coarse_ms());
            if sheet.is_left {
                drop(sheet);
                // It came too late; a descriptor is closed here, where that may take its time.
                drop(result);
                return false;
            }
            sheet.done.push(result);
            if leads_elsewhere {
                sheet.elsewhere.push(at);
            }
            sheet.at += 1;
            sheet.since_ms = now_ms;
            at = sheet.at;
            let goes_on = steps.go_on();
            if at == sheet.end || !goes_on || now_ms >= until_ms {
                self.clear(&mut sheet);
                return goes_on;
            }
        }
    }

    /// Puts everything where it belongs.
    fn clear(&self, sheet: &mut Sheet<E::Output>) {
        let start = sheet.at - sheet.done.len();
        self.shared.put(start, &mut sheet.done);
        lock(&self.shared.elsewhere).append(&mut sheet.elsewhere);
        self.queue.give_back(sheet.at..sheet.end);
        sheet.end = sheet.at;
    }

    /// The thread is not waited for any more. Returns the entry that it is in, whose result will not be heard.
    pub(super) fn leave(&self) -> Option<usize> {
        let mut sheet = lock(&self.sheet);
        sheet.is_left = true;
        let in_work = (sheet.at < sheet.end).then_some(sheet.at);
        let start = sheet.at - sheet.done.len();
        self.shared.put(start, &mut sheet.done);
        lock(&self.shared.elsewhere).append(&mut sheet.elsewhere);
        if in_work.is_some() {
            self.queue.give_back(sheet.at + 1..sheet.end);
            sheet.end = sheet.at + 1;
        }
        in_work
    }

    /// Whether it is in one entry for longer than that. What was taken with it goes back for others.
    pub(super) fn is_slow(&self, now_ms: u64, after_ms: u64) -> bool {
        let mut sheet = lock(&self.sheet);
        let is_slow = sheet.at < sheet.end && now_ms > sheet.since_ms + after_ms;
        if is_slow {
            self.queue.give_back(sheet.at + 1..sheet.end);
            sheet.end = sheet.at + 1;
        }
        is_slow
    }
}

/// The entry in work.
impl<E: Entries> Whereabouts for Desk<E> {
    fn now_at(&self) -> Option<PathBuf> {
        let sheet = lock(&self.sheet);
        let is_any = sheet.at < sheet.end;
        is_any.then(|| self.shared.entries.path(sheet.at).to_path_buf())
    }
}
