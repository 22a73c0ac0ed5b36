//! The slots of a ring: a pure state machine without clock or kernel.
//!
//! A slot is made when an entry is pushed, and reclaimed exactly once, when its completion is reaped
//! (INV-2). The generation in its user data tells a late or foreign completion from the real one.

use std::sync::Arc;

use crate::driver::job::Job;
use crate::limits;
use crate::sys::linux::ring::Ring;
use crate::sys::linux::sqe::{MEMBER_SHIFT, Sqe};

/// Identifies one use of one slot; the `user_data` of its entry.
///
/// 4 bits of member, 4 of tag, 32 of generation, 24 of index. The tag keeps user data from ever being zero
/// and tells operations from the driver's own entries; the member tells linked entries apart, and is zero in a
/// token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(u64);

const INDEX_BITS: u32 = 24;
const TAG_SHIFT: u32 = 56;
const TAG_MASK: u64 = ((1 << (MEMBER_SHIFT - TAG_SHIFT)) - 1) << TAG_SHIFT;

/// The most entries that are linked: what the bits in the user data can tell apart.
const MEMBERS_MAX: usize = 1 << (u64::BITS - MEMBER_SHIFT);

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

    /// The user data of the driver's own entry for nobody else.
    pub(crate) fn own(tag: Tag) -> u64 {
        (tag as u64) << TAG_SHIFT
    }

    /// The user data of the cancel of an entry.
    pub(crate) fn of_cancel(target: u64) -> u64 {
        target & !TAG_MASK | Token::own(Tag::Cancel)
    }

    /// The entry that a cancel of this user data is for.
    pub(crate) fn of_target(cancel: u64) -> u64 {
        cancel & !TAG_MASK | Token::own(Tag::Op)
    }

    /// What a completion's user data says, with the member; `None` if it is not of this driver.
    pub(crate) fn decode(user_data: u64) -> Option<(Tag, Token, usize)> {
        let member = user_data >> MEMBER_SHIFT;
        let token = user_data & !(u64::MAX << MEMBER_SHIFT);
        let tag = match token >> TAG_SHIFT {
            1 => Tag::Op,
            2 => Tag::Cancel,
            3 => Tag::Event,
            _ => return None,
        };
        Some((tag, Token(token), member as usize))
    }

    /// The user data of one of the linked entries.
    pub(crate) fn of_member(self, member: usize) -> u64 {
        self.0 | (member as u64) << MEMBER_SHIFT
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
    /// Whether the kernel has taken the entry, or the first of those that are linked.
    taken: bool,
    /// How many entries it has, and which of them have no last completion yet, one bit for each.
    members: usize,
    open: u16,
    /// The member that failed, the first of them, and how; else what the last one said.
    result: Option<(usize, i32)>,
}

impl Slot {
    /// Takes the last completion of a member in. The result of all, once they have all had theirs.
    fn note(&mut self, member: usize, result: i32) -> Option<i32> {
        self.open &= !(1 << member);
        let is_told = match self.result {
            None => true,
            Some((told, before)) => match (before < 0, result < 0) {
                (true, true) => member < told,
                (true, false) => false,
                (false, true) => true,
                (false, false) => member > told,
            },
        };
        if is_told {
            self.result = Some((member, result));
        }
        (self.open == 0).then(|| self.result.map_or(result, |(_, result)| result))
    }
}

/// What a completion means for its slot.
pub(crate) enum Completed {
    /// The operation is over.
    Over {
        job: Arc<dyn Job>,
        result: i32,
        is_linked: bool,
    },
    /// More completions will come.
    Part(Arc<dyn Job>),
}

/// All slots of one ring.
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
    capacity: usize,
    /// Entries in flight, of which an operation has at least one.
    entries: usize,
}

impl Slots {
    pub(crate) fn new(capacity: usize) -> Slots {
        Slots {
            slots: Vec::new(),
            free: Vec::new(),
            capacity,
            entries: 0,
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.has_room_for(1)
    }

    /// Whether there is room for an operation of however many entries.
    pub(crate) fn has_room_for_any(&self) -> bool {
        self.has_room_for(limits::LINKED_ENTRIES_MAX.min(self.capacity))
    }

    fn has_room_for(&self, members: usize) -> bool {
        self.entries + members <= self.capacity
    }

    fn insert(&mut self, job: Arc<dyn Job>, members: usize) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                job: None,
                taken: false,
                members: 0,
                open: 0,
                result: None,
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        debug_assert!(slot.job.is_none());
        debug_assert!((1..=MEMBERS_MAX).contains(&members));
        slot.job = Some(job);
        slot.taken = false;
        slot.members = members;
        slot.open = ((1u32 << members) - 1) as u16;
        slot.result = None;
        self.entries += members;
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
        if !self.has_room_for(sqe.members()) {
            return Err(job);
        }
        let token = self.insert(job.clone(), sqe.members());
        // SAFETY: the entry and its links point to what the job owns, and the slot holds the job until
        // `complete` has seen the last completion of each (INV-1, INV-2).
        if unsafe { ring.push(sqe, token.user_data()) } {
            return Ok(token);
        }
        self.release(token);
        Err(job)
    }

    /// Queues an entry of the driver's own; `false` if the queue is full.
    #[allow(unsafe_code, reason = "an entry without a slot")]
    pub(crate) fn push_own(&mut self, ring: &mut impl Ring, sqe: &Sqe, user_data: u64) -> bool {
        // SAFETY: a cancel points to nothing, and the read of an event to static memory (INV-1).
        unsafe { ring.push(sqe, user_data) }
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

    /// Takes in the completion of a member, the last of it or not, and reclaims the slot after the last of
    /// all. `None` for a completion that is not of a live operation.
    pub(crate) fn complete(
        &mut self,
        token: Token,
        member: usize,
        result: i32,
        has_more: bool,
    ) -> Option<Completed> {
        let slot = self.live(token)?;
        if member >= slot.members || slot.open & 1 << member == 0 {
            return None;
        }
        let over = if has_more {
            None
        } else {
            slot.note(member, result)
        };
        match over {
            Some(result) => {
                let is_linked = slot.members > 1;
                let job = self.release(token);
                Some(Completed::Over {
                    job,
                    result,
                    is_linked,
                })
            }
            None => slot.job.clone().map(Completed::Part),
        }
    }

    /// The entries of an operation that a cancel goes to: not to the last of linked ones, which tidies up,
    /// and not to those that are over.
    pub(crate) fn cancellable(&mut self, token: Token) -> impl Iterator<Item = usize> + use<> {
        let (members, open) = self
            .live(token)
            .map_or((0, 0), |slot| (slot.members, slot.open));
        let candidates = 0..members.min(1).max(members.saturating_sub(1));
        candidates.filter(move |member| open & 1 << member != 0)
    }

    fn release(&mut self, token: Token) -> Arc<dyn Job> {
        let slot = &mut self.slots[token.index()];
        slot.generation = slot.generation.wrapping_add(1);
        self.entries -= slot.members;
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
