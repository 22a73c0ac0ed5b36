//! One ring and its slots: start, cancel, enter, reap. The same code serves lanes and workers, and the
//! simulated ring of the tests.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::base::{errno, released};
use crate::driver::job::load::OnWorker;
use crate::driver::job::{Job, Outcome};
pub(crate) use crate::driver::ring::reaped::{Broken, Reaped, Start};
use crate::driver::ring::slot::{Completed, Slots, Tag, Token};
use crate::limits;
use crate::mounts::Mount;
use crate::observe::SharedCounters;
use crate::opcode::Form;
use crate::sys::linux::ring::Ring;
use crate::sys::linux::sqe::Sqe;
use crate::sys::linux::uring::Completion;
use crate::sys::request::Part;

/// An entry that was pushed.
struct Queued {
    /// `None` for the driver's own.
    token: Option<Token>,
    form: Form,
}

/// A ring with operations in flight.
pub(crate) struct Engine<R> {
    ring: R,
    slots: Slots,
    /// Entries pushed and not yet taken by the kernel, oldest first.
    queued: VecDeque<Queued>,
    /// Cancels that found the queue full, each with the user data it is for; none is ever dropped (INV-11).
    cancels: VecDeque<u64>,
    /// Given up linked operations whose next entry begins only now: they are cancelled after the next turn,
    /// when the kernel has begun it.
    late_cancels: Vec<Token>,
    /// What a cancel may have missed, to be asked again (INV-11).
    missed_cancels: Vec<u64>,
    counters: SharedCounters,
    /// How often word was left of something to let go of, when that was last seen to.
    swept: u64,
    completions: Vec<Completion>,
    /// The error that broke the ring. Its queue may still hold entries whose memory is gone, so it is
    /// never entered again.
    broken: Option<i32>,
}

impl<R: Ring> Engine<R> {
    /// An engine that may use so many kernel workers.
    pub(crate) fn new(mut ring: R, counters: SharedCounters, workers: u32) -> Engine<R> {
        // Refused before 5.15, where the kernel's default stays.
        let _ = ring.limit_kernel_workers(workers);
        let slots = Slots::new(ring.capacity());
        Engine {
            ring,
            slots,
            queued: VecDeque::new(),
            cancels: VecDeque::new(),
            late_cancels: Vec::new(),
            missed_cancels: Vec::new(),
            counters,
            swept: 0,
            completions: Vec::new(),
            broken: None,
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slots.in_flight()
    }

    #[cfg(test)]
    fn has_room(&self) -> bool {
        self.slots.has_room()
    }

    /// Whether there is room for an operation of however many entries.
    pub(crate) fn has_room_for_any(&self) -> bool {
        self.slots.has_room_for_any()
    }

    /// The user data of everything in flight.
    #[cfg(test)]
    fn live(&self) -> Vec<u64> {
        let tokens = self.slots.tokens().into_iter();
        tokens.map(Token::user_data).collect()
    }

    /// Whether entries or cancels wait for the kernel to take them.
    pub(crate) fn has_queued(&self) -> bool {
        let has_cancels = !self.cancels.is_empty() || !self.late_cancels.is_empty();
        !self.queued.is_empty() || has_cancels
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.ring.now_ms()
    }

    /// When the oldest operation in flight that should be quick was started; zero if there is none.
    pub(crate) fn oldest_ms(&self) -> u64 {
        let quick = self.slots.jobs().filter(|job| job.kind().is_quick());
        quick.map(|job| job.started_ms()).min().unwrap_or(0)
    }

    /// Tells of operations that should be quick and are not, with their age in milliseconds, and sees to those that
    /// wait in the kernel behind another mount's: they are asked back, and what comes back goes to a blocking thread.
    /// Returns whether any operation that the kernel serialises is stuck.
    pub(crate) fn look_at_old(&mut self, slow: &mut Vec<(u64, Arc<Mount>)>) -> bool {
        let now = self.now_ms();
        let is_old = |job: &Arc<dyn Job>, bound: std::time::Duration| {
            now.saturating_sub(job.started_ms()) >= bound.as_millis() as u64
        };
        let jobs: Vec<_> = self.slots.live_jobs().collect();
        let quick = jobs
            .iter()
            .filter(|(_, job)| job.kind().is_quick() && is_old(job, limits::MOUNT_STALLED_AFTER));
        slow.extend(quick.map(|(_, job)| {
            let age_ms = now.saturating_sub(job.started_ms());
            (age_ms, job.mount().clone())
        }));
        let serialised = jobs.iter().filter(|(_, job)| {
            job.kind().is_serialised() && is_old(job, limits::SERIALISED_STUCK_AFTER)
        });
        let Some((_, any)) = serialised.clone().next() else {
            return false;
        };
        // On one mount they share its fate. On several, which of them is stuck is not to be told; asking
        // for what runs has no effect.
        let key = any.mount().key();
        if serialised.clone().any(|(_, job)| job.mount().key() != key) {
            let asked = serialised.filter(|(_, job)| job.ask_back());
            let tokens: Vec<_> = asked.map(|(token, _)| *token).collect();
            tokens
                .into_iter()
                .for_each(|token| self.cancel_token(token));
        }
        true
    }

    /// Queues an operation. `on_worker` says how the polling thread may submit it; a lane passes `None` where its
    /// submission may sleep.
    pub(crate) fn start(&mut self, job: Arc<dyn Job>, on_worker: Option<OnWorker>) -> Start {
        // Asked before the entry is made, since making one may give up what it names (a close).
        let full = !self.slots.has_room() || self.ring.queued() >= self.ring.capacity();
        if full || self.broken.is_some() {
            return Start::Full(job);
        }
        let sqe = job.sqe(&mut self.ring);
        if let Some(reason) = self.ring.take_refusal() {
            self.counters.fell_back(reason);
        }
        let mut sqe = match sqe {
            Ok(sqe) => sqe,
            Err(outcome) => return Start::Over(job, outcome),
        };
        if on_worker == Some(OnWorker::Async) {
            sqe = sqe.for_kernel_worker();
        }
        match self.slots.push(&mut self.ring, &sqe, job) {
            Ok(token) => {
                self.note_queued(&sqe, Some(token));
                Start::Queued(token)
            }
            Err(job) => {
                if job.back() {
                    return Start::Full(job);
                }
                Start::Over(job, Outcome::Result(-errno::ECANCELED))
            }
        }
    }

    fn note_queued(&mut self, sqe: &Sqe, token: Option<Token>) {
        let queued = sqe.forms().map(|form| Queued { token, form });
        self.queued.extend(queued);
    }

    /// Asks the kernel to cancel an operation, now or as soon as the queue has room.
    pub(crate) fn cancel(&mut self, user_data: u64) {
        if let Some((Tag::Op, token, _)) = Token::decode(user_data) {
            self.cancel_token(token);
        }
    }

    fn cancel_token(&mut self, token: Token) {
        let members = self.slots.cancellable(token);
        self.cancels
            .extend(members.map(|member| token.of_member(member)));
    }

    /// Asks the kernel to cancel everything in flight.
    pub(crate) fn cancel_all(&mut self) {
        let tokens = self.slots.tokens().into_iter();
        tokens.for_each(|token| self.cancel_token(token));
    }

    /// Has the ring let go of what nobody uses any more, if there is word of such. Only on the ring's thread.
    pub(crate) fn sweep(&mut self) {
        let count = released::count();
        if count != self.swept {
            self.swept = count;
            self.ring.sweep();
        }
    }

    /// Queues an entry of the driver's own, which points to nothing that could be freed; `false` if
    /// the queue is full.
    pub(crate) fn push_own(&mut self, sqe: &Sqe, user_data: u64) -> bool {
        let pushed = self.slots.push_own(&mut self.ring, sqe, user_data);
        if pushed {
            self.note_queued(sqe, None);
        }
        pushed
    }

    /// EALREADY: a kernel worker has the target. It sees the cancel where it sleeps and may be woken, but not while
    /// it hands a pipe's read over to wait in a poll: that waits on as if nobody had asked.
    fn note_cancel(&mut self, completion: Completion) {
        let target = Token::of_target(completion.user_data);
        let is_running = completion.result == -errno::EALREADY;
        if is_running && !self.missed_cancels.contains(&target) {
            self.missed_cancels.push(target);
        }
    }

    /// Whether there are operations that a cancel may have missed.
    pub(crate) fn has_missed(&self) -> bool {
        !self.missed_cancels.is_empty()
    }

    /// Asks once more for what a cancel may have missed. For every tick: what cannot be woken is asked in vain.
    pub(crate) fn cancel_missed(&mut self) {
        self.cancels.extend(self.missed_cancels.drain(..));
    }

    fn push_cancels(&mut self) {
        while let Some(user_data) = self.cancels.pop_front() {
            let is_live =
                Token::decode(user_data).is_some_and(|(_, token, _)| self.slots.is_live(token));
            let own = Token::of_cancel(user_data);
            if is_live && !self.push_own(&Sqe::cancel(user_data), own) {
                return self.cancels.push_front(user_data);
            }
        }
    }

    /// Submits what is queued and waits for `completions`. An error means that the ring is broken:
    /// what is temporary is left queued for the next turn.
    pub(crate) fn enter(&mut self, completions: u32) -> io::Result<()> {
        loop {
            if let Some(number) = self.broken {
                return Err(io::Error::from_raw_os_error(number));
            }
            self.push_cancels();
            // Cancels that found no room go in as soon as the kernel has made some (INV-11).
            let late = std::mem::take(&mut self.late_cancels);
            let more = !self.cancels.is_empty() || !late.is_empty();
            match self.ring.enter(if more { 0 } else { completions }) {
                Ok(taken) => {
                    self.note_taken(taken);
                    let none_late = late.is_empty();
                    late.into_iter().for_each(|token| self.cancel_token(token));
                    if !more || taken == 0 && none_late {
                        return Ok(());
                    }
                }
                Err(error) => match error.raw_os_error() {
                    // A signal, or no memory or room just now: entries stay queued, and reaping makes room.
                    Some(errno::EINTR | errno::EAGAIN | errno::EBUSY) => {
                        self.late_cancels = late;
                        return Ok(());
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    fn note_taken(&mut self, taken: usize) {
        for queued in self.queued.drain(..taken.min(self.queued.len())) {
            self.counters.submitted.count(queued.form);
            queued.token.inspect(|token| self.slots.took(*token));
        }
    }

    /// Whether anything is over and not reaped.
    pub(crate) fn has_completions(&mut self) -> bool {
        self.ring.has_completions()
    }

    /// Takes the completions that are there.
    pub(crate) fn reap(&mut self) -> Reaped {
        let mut reaped = Reaped::default();
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.reap(&mut completions);
        for completion in completions.drain(..) {
            match Token::decode(completion.user_data) {
                Some((Tag::Op, token, member)) => {
                    self.complete(token, member, completion, &mut reaped);
                }
                // The target has its own completion, unless the cancel missed it.
                Some((Tag::Cancel, ..)) => self.note_cancel(completion),
                Some((Tag::Event, ..)) => reaped.event = true,
                None => reaped.foreign += 1,
            }
        }
        self.completions = completions;
        reaped
    }

    fn complete(&mut self, token: Token, member: usize, completion: Completion, into: &mut Reaped) {
        let Completion { result, flags, .. } = completion;
        let has_more = completion.has_more();
        let part = Part {
            member,
            result,
            flags,
        };
        match self.slots.complete(token, member, result, has_more) {
            Some(Completed::Part(job)) => {
                // What is linked to it begins only now, out of reach of an earlier cancel (INV-11).
                if !has_more && job.is_given_up() && !job.is_kept() {
                    self.late_cancels.push(token);
                }
                into.parts.push((job, part));
            }
            Some(Completed::Over {
                job,
                result,
                is_linked,
            }) => {
                if is_linked || completion.has_buffer() {
                    into.parts.push((job.clone(), part));
                }
                into.done.push((job, result));
            }
            None => into.foreign += 1,
        }
    }

    /// Gives up a broken ring: what the kernel never took comes back to go another way; what it took
    /// is lost. A completion that comes all the same is counted as foreign.
    pub(crate) fn break_up(&mut self, error: &io::Error) -> Broken {
        let number = error.raw_os_error().unwrap_or(errno::EINVAL);
        self.broken = Some(number);
        self.queued.clear();
        self.cancels.clear();
        self.late_cancels.clear();
        self.missed_cancels.clear();
        let (lost, unsent): (Vec<_>, Vec<_>) = self
            .slots
            .drain()
            .into_iter()
            .partition(|(_, taken)| *taken);
        let jobs = |of: Vec<(Arc<dyn Job>, bool)>| of.into_iter().map(|(job, _)| job).collect();
        Broken {
            unsent: jobs(unsent),
            lost: jobs(lost),
            number,
        }
    }
}

impl<R> Drop for Engine<R> {
    /// Closing a ring does not stop the kernel, so what is in flight is never freed: this comes to pass
    /// only when a panic unwinds the ring's thread (INV-6).
    fn drop(&mut self) {
        self.slots
            .drain()
            .into_iter()
            .filter(|(_, taken)| *taken)
            .for_each(std::mem::forget);
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
