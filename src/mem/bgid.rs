//! The ids of one ring's groups of provided buffers.
//!
//! The kernel tells groups apart by a number of 16 bits, each ring for itself, and takes every one of them: no id
//! is reserved. Here is only which ids are taken: no kernel, no clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::limits;
use super::sync::{Mutex, lock};

/// Hands out the ids of one ring. Every call takes one lock, and no longer the more ids there are.
pub(crate) struct Bgids {
    /// How many may be in flight: fewer than there are only for those who want to see them run out.
    cap: u32,
    state: Mutex<State>,
}

/// How many ids are in which state, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// How often there was none.
    pub(crate) exhausted: u64,
    /// Ids that somebody has.
    pub(crate) in_flight: u32,
    /// The most that were in flight at a time.
    pub(crate) peak: u32,
    /// Ids that can still be had: none if and only if the next call finds none.
    pub(crate) remaining: u32,
}

/// What somebody should know of, for the caller to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    /// There was no id left.
    Exhausted(Snapshot),
    /// Half of the ids, or more, are in flight.
    HalfUsed(Snapshot),
}

/// No id is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// How many ids were ever handed out: all that there are.
    pub(crate) fresh_used: u32,
    /// How many of them have come back and wait: none.
    pub(crate) free_list_len: u32,
    /// Set for one caller per window.
    pub(crate) warning: Option<Warning>,
}

/// An id, until it is dropped.
///
/// Only [`Bgids::acquire`] makes one, and nothing makes one of a number: no id comes back that was not handed
/// out, and none twice. Whoever has registered a group under it drops it last, when the kernel has let go of the
/// group and no operation in flight names it any more.
pub(crate) struct Bgid {
    id: u16,
    ids: Arc<Bgids>,
    warning: Option<Warning>,
}

impl Bgids {
    /// Costs no memory until the first id is wanted.
    pub(crate) fn new(cap: u32) -> Bgids {
        Bgids {
            cap: cap.min(limits::BUFFER_GROUPS_MAX),
            state: Mutex::default(),
        }
    }

    /// The id that came back last, else one that nobody ever had. `now_ms` is for the warnings alone.
    pub(crate) fn acquire(self: &Arc<Self>, now_ms: u64) -> Result<Bgid, Exhausted> {
        let mut state = lock(&self.state);
        let Some(id) = state.take(self.cap) else {
            state.exhausted += 1;
            return Err(Exhausted {
                fresh_used: state.fresh,
                free_list_len: state.free.len() as u32,
                warning: state.warn_of_exhaustion(self.cap, now_ms),
            });
        };
        let warning = state.warn_of_half(self.cap, now_ms);
        drop(state);
        Ok(Bgid {
            id,
            ids: self.clone(),
            warning,
        })
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        lock(&self.state).snapshot(self.cap)
    }

    fn release(&self, id: u16) {
        lock(&self.state).give_back(id, self.cap);
    }

    /// As if somebody could make an id of a number.
    #[cfg(test)]
    pub(super) fn release_number(&self, id: u16) {
        self.release(id);
    }

    /// The ids that came back, and the bytes that these and the bits of all have.
    #[cfg(test)]
    pub(super) fn memory(&self) -> (Vec<u16>, usize, usize) {
        let State { free, live, .. } = &*lock(&self.state);
        (free.clone(), free.capacity() * 2, live.capacity() * 8)
    }
}

impl Default for Bgids {
    fn default() -> Bgids {
        Bgids::new(limits::BUFFER_GROUPS_MAX)
    }
}

impl Bgid {
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    /// What there is to log since this id was handed out; at most once.
    pub(crate) fn take_warning(&mut self) -> Option<Warning> {
        self.warning.take()
    }
}

impl fmt::Debug for Bgid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bgid").field(&self.id).finish()
    }
}

impl Drop for Bgid {
    fn drop(&mut self) {
        self.ids.release(self.id);
    }
}

#[derive(Default)]
struct State {
    /// How many ids were ever handed out: they are taken in order.
    fresh: u32,
    /// Ids that came back.
    free: Vec<u16>,
    /// A bit for each id: whether somebody has it.
    live: Vec<u64>,
    peak: u32,
    exhausted: u64,
    /// Whether half of the ids are in flight and nobody was told since they are.
    half_is_news: bool,
    half_told_ms: Option<u64>,
    exhaustion_told_ms: Option<u64>,
}

impl State {
    fn take(&mut self, cap: u32) -> Option<u16> {
        if self.live.is_empty() {
            self.live = vec![0; cap.div_ceil(u64::BITS) as usize];
            self.free.reserve_exact(limits::BUFFER_GROUPS_FREE);
        }
        let id = match self.free.pop() {
            Some(id) => id,
            None if self.fresh < cap => {
                let id = u16::try_from(self.fresh).ok()?;
                self.fresh += 1;
                id
            }
            None => return None,
        };
        let (word, bit) = place(id);
        self.live[word] |= bit;
        self.peak = self.peak.max(self.in_flight());
        self.half_is_news |= self.in_flight() == half(cap);
        Some(id)
    }

    /// What nobody has is not taken back.
    fn give_back(&mut self, id: u16, cap: u32) {
        let (word, bit) = place(id);
        let Some(word) = self.live.get_mut(word).filter(|word| **word & bit != 0) else {
            return;
        };
        *word &= !bit;
        self.free.push(id);
        if self.in_flight() < half(cap) {
            self.half_is_news = false;
        }
    }

    fn in_flight(&self) -> u32 {
        self.fresh - self.free.len() as u32
    }

    fn snapshot(&self, cap: u32) -> Snapshot {
        Snapshot {
            exhausted: self.exhausted,
            in_flight: self.in_flight(),
            peak: self.peak,
            remaining: cap - self.in_flight(),
        }
    }

    /// Told when half is reached from below, or at the end of the window in which that was.
    fn warn_of_half(&mut self, cap: u32, now_ms: u64) -> Option<Warning> {
        let every = limits::BUFFER_GROUPS_HALF_TOLD_EVERY;
        if !self.half_is_news || !is_due(&mut self.half_told_ms, now_ms, every) {
            return None;
        }
        self.half_is_news = false;
        Some(Warning::HalfUsed(self.snapshot(cap)))
    }

    fn warn_of_exhaustion(&mut self, cap: u32, now_ms: u64) -> Option<Warning> {
        let every = limits::BUFFER_GROUPS_EXHAUSTED_TOLD_EVERY;
        is_due(&mut self.exhaustion_told_ms, now_ms, every)
            .then(|| Warning::Exhausted(self.snapshot(cap)))
    }
}

/// Where the bit of an id is.
fn place(id: u16) -> (usize, u64) {
    let id = u32::from(id);
    ((id / u64::BITS) as usize, 1 << (id % u64::BITS))
}

fn half(cap: u32) -> u32 {
    cap.div_ceil(2)
}

/// Whether the last time is long enough ago; it is now, then.
fn is_due(last_ms: &mut Option<u64>, now_ms: u64, every: Duration) -> bool {
    let since = last_ms.map(|last| now_ms.saturating_sub(last));
    let is_due = since.is_none_or(|since| u128::from(since) >= every.as_millis());
    if is_due {
        *last_ms = Some(now_ms);
    }
    is_due
}
