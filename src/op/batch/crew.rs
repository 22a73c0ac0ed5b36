//! How many threads each mount's part of a batch has, and what becomes of those that are stuck.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::super::hop::hop_in_work;
use super::desk::{Desk, Pace, Queue, Shared};
use super::entries::Entries;
use super::finder::{Finder, Memory};
use super::{How, refused};
use crate::base::clock::{coarse_ms, now_us};
use crate::deadline::OpExt;
use crate::driver::alarm::Alarm;
use crate::error::Error;
use crate::limits;
use crate::mounts::Mount;

/// The entries of one mount.
struct Crew {
    mount: Arc<Mount>,
    queue: Arc<Queue>,
    /// Whether the mount is where its entries lead.
    is_there: bool,
    /// Threads that it should have, without those that are stuck.
    width: usize,
    /// Those that it has.
    threads: usize,
    slow: usize,
    /// Whether it was seen yet how fast it is.
    is_known: bool,
}

impl Crew {
    fn new(mount: Arc<Mount>, is_there: bool) -> Crew {
        let width = match mount.is_local() {
            true => limits::BATCH_THREADS_LOCAL,
            false => limits::BATCH_THREADS_ELSEWHERE,
        };
        Crew {
            mount,
            queue: Arc::default(),
            is_there,
            width,
            threads: 0,
            slow: 0,
            is_known: false,
        }
    }

    fn width_max(&self) -> usize {
        match self.mount.is_local() {
            true => limits::BATCH_THREADS_LOCAL_MAX,
            false => limits::BATCH_THREADS_ELSEWHERE_MAX,
        }
    }

    /// Whether one more thread would have something to do.
    fn wants_thread(&self, waiting: usize) -> bool {
        let busy = self.threads - self.slow;
        let each = match self.mount.is_local() && !self.is_known {
            true => limits::BATCH_CHUNK_ENTRIES,
            false => 1,
        };
        busy < self.width && waiting > busy * each && self.threads < limits::BATCH_HOPS_MAX
    }
}

type Working = Pin<Box<dyn Future<Output = io::Result<Pace>> + Send>>;

/// A thread that is at work.
struct Hand<E: Entries> {
    crew: usize,
    desk: Arc<Desk<E>>,
    is_slow: bool,
    work: Working,
}

/// A batch on its way: the future that does it.
pub(super) struct Crews<E: Entries> {
    shared: Arc<Shared<E>>,
    how: How,
    at_once: usize,
    /// The first entry that belongs to no crew yet.
    next: usize,
    memory: Memory,
    crews: Vec<Crew>,
    hands: Vec<Hand<E>>,
    alarm: Option<(u64, Alarm)>,
}

impl<E: Entries> Crews<E> {
    pub(super) fn new(shared: Arc<Shared<E>>, how: How, first: usize) -> Crews<E> {
        Crews {
            shared,
            how,
            at_once: how.at_once(limits::BATCH_HOPS_MAX),
            next: first,
            memory: Memory::default(),
            crews: Vec::new(),
            hands: Vec::new(),
            alarm: None,
        }
    }

    /// Finds the mounts of some more entries.
    fn sort(&mut self) {
        let (shared, count) = (self.shared.clone(), self.shared.entries.len());
        let end = count.min(self.next + limits::BATCH_SORTED_AT_ONCE);
        let driver = &shared.driver;
        let mut runs: Vec<(Arc<Mount>, std::ops::Range<usize>)> = Vec::new();
        let mut finder = Finder::new(driver, &mut self.memory);
        for index in self.next..end {
            let mount = shared.entries.mount(&mut finder, index);
            match runs.last_mut() {
                Some((last, run)) if last.key() == mount.key() => run.end = index + 1,
                _ => runs.push((mount, index..index + 1)),
            }
        }
        self.next = end;
        for (mount, run) in runs {
            self.crew_of(mount, false).queue.push_back(run);
        }
        for index in shared.take_elsewhere() {
            let mut finder = Finder::new(driver, &mut self.memory);
            let mount = shared.entries.mount_behind(&mut finder, index);
            self.crew_of(mount, true).queue.push_back(index..index + 1);
        }
    }

    /// Where entries have an order, each run of one mount has a crew of its own.
    fn crew_of(&mut self, mount: Arc<Mount>, is_there: bool) -> &Crew {
        let is_its = |crew: &Crew| crew.mount.key() == mount.key() && crew.is_there == is_there;
        let found = match self.how.in_turn {
            true => self
                .crews
                .last()
                .filter(|crew| is_its(crew))
                .map(|_| self.crews.len() - 1),
            false => self.crews.iter().position(is_its),
        };
        let place = found.unwrap_or_else(|| {
            self.crews.push(Crew::new(mount, is_there));
            self.crews.len() - 1
        });
        &self.crews[place]
    }

    /// Sends more threads to work, where that gets more done.
    fn hire(&mut self) {
        for place in 0..self.crews.len() {
            loop {
                let (crew, slow) = (&self.crews[place], self.crews.iter().map(|crew| crew.slow));
                let busy = self.hands.len() - slow.sum::<usize>();
                let waiting = crew.queue.waiting();
                if waiting == 0 || busy >= self.at_once || !crew.wants_thread(waiting) {
                    break;
                }
                self.send(place);
            }
            // In their order, the next crew begins when this one is done.
            if self.how.in_turn && self.crews[place].queue.waiting() + self.hands.len() > 0 {
                break;
            }
        }
    }

    fn send(&mut self, place: usize) {
        let crew = &mut self.crews[place];
        crew.threads += 1;
        let slice = match crew.is_known {
            true => limits::BATCH_SLICE,
            false => limits::BATCH_SLICE_FIRST,
        };
        let (shared, threads) = (self.shared.clone(), crew.width.min(self.at_once));
        let desk = Desk::new(shared.clone(), crew.queue.clone(), crew.is_there);
        let (mount, target, slice_ms) =
            (crew.mount.clone(), desk.clone(), slice.as_millis() as u64);
        let worker = desk.clone();
        let hop = async move {
            let kind = shared.entries.kind();
            let work = move |steps: &_| Ok(worker.work(steps, threads, slice_ms));
            hop_in_work(&shared.driver, &mount, kind, target, work).await
        };
        let work: Working = match self.how.entry_timeout {
            Some(Duration::ZERO) => Box::pin(hop.timeout(Duration::ZERO)),
            // What it did before the entry that is stuck is no part of its time.
            Some(timeout) => Box::pin(hop.timeout(timeout.saturating_add(slice))),
            None => Box::pin(hop),
        };
        self.hands.push(Hand {
            crew: place,
            desk,
            is_slow: false,
            work,
        });
    }

    /// Hears those who are done, or given up; whether there were any.
    fn hear(&mut self, cx: &mut Context<'_>) -> bool {
        let (mut at, mut heard) = (0, false);
        while let Some(hand) = self.hands.get_mut(at) {
            match hand.work.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(ended) => {
                    let hand = self.hands.swap_remove(at);
                    self.ended(&hand, ended);
                    heard = true;
                }
            }
        }
        heard
    }

    fn ended(&mut self, hand: &Hand<E>, ended: io::Result<Pace>) {
        let crew = &mut self.crews[hand.crew];
        crew.threads -= 1;
        crew.slow -= usize::from(hand.is_slow);
        match ended {
            Ok(pace) => {
                crew.is_known = true;
                if pace.waited() {
                    crew.width = (crew.width * 2).min(crew.width_max());
                }
            }
            Err(error) => match hand.desk.leave() {
                Some(index) => {
                    let path = self.shared.entries.path(index);
                    let error = Error::of_entry(error, path);
                    self.shared.put_one(index, Err(error));
                }
                // It did not begin. Those who are at work may get on; without any, there is nobody.
                None if crew.threads == 0 => self.give_up(hand.crew, &error),
                None => {}
            },
        }
    }

    /// No thread can be had: what is left of a mount's part is not done.
    fn give_up(&self, crew: usize, error: &io::Error) {
        for range in self.crews[crew].queue.drain() {
            for index in range {
                let path = self.shared.entries.path(index);
                let error = Error::of_entry(Error::same(error), path);
                self.shared.put_one(index, Err(error));
            }
        }
    }

    /// Finds those who are in one entry for long, and whose places others take.
    fn look(&mut self) {
        if self
            .alarm
            .as_ref()
            .is_none_or(|(due_us, _)| *due_us > now_us())
        {
            return;
        }
        self.alarm = None;
        let after_ms = limits::BATCH_SLOW_AFTER.as_millis() as u64;
        for hand in self.hands.iter_mut().filter(|hand| !hand.is_slow) {
            if hand.desk.is_slow(coarse_ms(), after_ms) {
                hand.is_slow = true;
                self.crews[hand.crew].slow += 1;
            }
        }
    }

    /// Has the task woken to look again. Under a bound of the caller's, those who are slow count like all others.
    fn watch(&mut self, cx: &Context<'_>) {
        let is_bound = self.how.in_turn || self.how.at_once.is_some();
        if is_bound || self.hands.iter().all(|hand| hand.is_slow) {
            self.alarm = None;
            return;
        }
        if let Some((_, alarm)) = &self.alarm {
            return alarm.wakes(cx.waker());
        }
        let due_us = now_us() + limits::BATCH_SLOW_AFTER.as_micros() as u64;
        self.alarm = Some((due_us, Alarm::at(due_us, cx.waker())));
    }
}

impl<E: Entries> Unpin for Crews<E> {}

impl<E: Entries> Future for Crews<E> {
    type Output = Vec<io::Result<E::Output>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let count = this.shared.entries.len();
        if this.shared.driver.is_of_parent() {
            let operation = this.shared.entries.kind();
            return Poll::Ready(refused(count, &Error::ForkedChild { operation }.into()));
        }
        this.sort();
        loop {
            this.look();
            this.hire();
            if !this.hear(cx) {
                break;
            }
            this.sort();
        }
        this.watch(cx);
        if !this.hands.is_empty() && this.next == count {
            return Poll::Pending;
        }
        if this.next < count || this.crews.iter().any(|crew| crew.queue.waiting() > 0) {
            // More is to be sorted, or begun, after others had their turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(this.shared.take_results())
    }
}
