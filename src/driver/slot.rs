//! The slots of a ring: a pure state machine without clock or kernel.
//!
//! A slot is made when an entry is pushed, and reclaimed exactly once, when its completion is reaped
//! (INV-2). The generation in its user data tells a late or foreign completion from the real one.

use std::sync::Arc;

use super::cell::Job;
use crate::sys::linux::ring::Ring;
use crate::sys::linux::sqe::Sqe;

/// Identifies one use of one slot; the `user_data` of its entry.
///
/// 8 bits of tag, 32 of generation, 24 of index. The tag keeps user data from ever being zero and
/// tells operations from the driver's own entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(u64);

const INDEX_BITS: u32 = 24;
const TAG_SHIFT: u32 = 56;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// An operation.
    Op = 1,
    /// The cancel of an operation.
    Cancel = 2,
    /// The read of a lane's event descriptor.
    Event = 3,
}

impl Token {
    fn new(index: usize, generation: u32) -> Token {
        Token((Tag::Op as u64) << TAG_SHIFT | u64::from(generation) << INDEX_BITS | index as u64)
    }

    pub(crate) fn user_data(self) -> u64 {
        self.0
    }

    /// The user data of the driver's own entries.
    pub(crate) fn own(tag: Tag) -> u64 {
        (tag as u64) << TAG_SHIFT
    }

    /// What a completion's user data says; `None` if it is not of this driver.
    pub(crate) fn decode(user_data: u64) -> Option<(Tag, Token)> {
        let tag = match user_data >> TAG_SHIFT {
            1 => Tag::Op,
            2 => Tag::Cancel,
            3 => Tag::Event,
            _ => return None,
        };
        Some((tag, Token(user_data)))
    }

    fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> INDEX_BITS) as u32
    }
}

struct Slot {
    generation: u32,
    job: Option<Arc<dyn Job>>,
    /// Whether the kernel has taken the entry.
    taken: bool,
}

/// All slots of one ring.
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
    capacity: usize,
}

impl Slots {
    pub(crate) fn new(capacity: usize) -> Slots {
        Slots {
            slots: Vec::new(),
            free: Vec::new(),
            capacity,
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.in_flight() < self.capacity
    }

    fn insert(&mut self, job: Arc<dyn Job>) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                job: None,
                taken: false,
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        debug_assert!(slot.job.is_none());
        slot.job = Some(job);
        slot.taken = false;
        Token::new(index, slot.generation)
    }

    /// Gives the operation a slot and queues its entry; back to the caller if there is no room.
    #[allow(
        unsafe_code,
        reason = "this is where an entry's memory is bound to its slot"
    )]
    pub(crate) fn push(
        &mut self,
        ring: &mut impl Ring,
        sqe: &Sqe,
        job: Arc<dyn Job>,
    ) -> Result<Token, Arc<dyn Job>> {
        if !self.has_room() {
            return Err(job);
        }
        let token = self.insert(job.clone());
        // SAFETY: the entry points to what the job owns, and the slot holds the job until `complete`
        // is called with this token, that is until the completion was reaped (INV-1, INV-2).
        if unsafe { ring.push(sqe, token.user_data()) } {
            return Ok(token);
        }
        self.release(token);
        Err(job)
    }

    /// Queues an entry of the driver's own; `false` if the queue is full.
    #[allow(unsafe_code, reason = "an entry without a slot")]
    pub(crate) fn push_own(&mut self, ring: &mut impl Ring, sqe: &Sqe, tag: Tag) -> bool {
        // SAFETY: a cancel points to nothing, and the read of an event to static memory (INV-1).
        unsafe { ring.push(sqe, Token::own(tag)) }
    }

    /// Notes that the kernel has taken the entry of this slot.
    pub(crate) fn took(&mut self, token: Token) {
        if let Some(slot) = self.live(token) {
            slot.taken = true;
        }
    }

    fn live(&mut self, token: Token) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(token.index())?;
        (slot.generation == token.generation() && slot.job.is_some()).then_some(slot)
    }

    /// Whether a cancel for this token still has a target.
    pub(crate) fn is_live(&mut self, token: Token) -> bool {
        self.live(token).is_some()
    }

    /// Reclaims the slot of a completion; `None` for a completion that is not of a live operation.
    pub(crate) fn complete(&mut self, token: Token) -> Option<Arc<dyn Job>> {
        self.live(token)?;
        Some(self.release(token))
    }

    fn release(&mut self, token: Token) -> Arc<dyn Job> {
        let slot = &mut self.slots[token.index()];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(token.index());
        slot.job.take().expect("a live slot has a job")
    }

    /// Everything in flight, with whether the kernel has taken it. For a ring that broke.
    pub(crate) fn drain(&mut self) -> Vec<(Arc<dyn Job>, bool)> {
        self.tokens()
            .into_iter()
            .map(|token| {
                let taken = self.slots[token.index()].taken;
                (self.release(token), taken)
            })
            .collect()
    }

    /// The tokens of everything in flight.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let live = |(index, slot): (usize, &Slot)| {
            slot.job
                .as_ref()
                .map(|_| Token::new(index, slot.generation))
        };
        self.slots.iter().enumerate().filter_map(live).collect()
    }

    /// The operations in flight, each with its token.
    pub(crate) fn live_jobs(&self) -> impl Iterator<Item = (Token, &Arc<dyn Job>)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let token = Token::new(index, slot.generation);
            slot.job.as_ref().map(|job| (token, job))
        })
    }

    /// The operations in flight.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Arc<dyn Job>> {
        self.slots.iter().filter_map(|slot| slot.job.as_ref())
    }
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
