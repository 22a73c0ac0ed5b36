//! Who has each buffer of a ring of provided buffers: the kernel, or whoever holds what was read into it.
//!
//! The kernel takes entries at the head of its ring. Whoever lets go of a buffer writes an entry behind the
//! last one, and then moves the tail: under one short lock, so that the tail never goes backwards, however
//! many let go at a time. As each buffer has at most one entry, the ring is never too full.

use super::sync::{Mutex, lock};

/// The entries, in memory that the kernel reads.
pub(crate) trait Entries {
    /// Writes the entry of a buffer at a place.
    fn write(&self, place: u16, id: u16);
    /// Moves the tail; whoever sees it there sees what was written before.
    fn publish(&self, tail: u16);
}

#[derive(Clone, Copy, Default)]
struct Buffer {
    /// Whether the kernel may write into it: its entry is in the ring, or was taken and not answered.
    with_kernel: bool,
    /// How much of it was handed out, where the kernel fills it bit by bit.
    used: u32,
    /// How many hold a part of it.
    holders: u32,
}

struct State {
    /// Counts up and wraps, like the kernel's.
    tail: u16,
    buffers: Box<[Buffer]>,
}

impl State {
    fn append(&mut self, entries: &impl Entries, id: u16) {
        let mask = (self.buffers.len() - 1) as u16;
        entries.write(self.tail & mask, id);
        self.tail = self.tail.wrapping_add(1);
        self.buffers[usize::from(id)] = Buffer {
            with_kernel: true,
            ..Buffer::default()
        };
    }
}

/// See the module.
pub(crate) struct Ledger<E> {
    entries: E,
    size: u32,
    state: Mutex<State>,
}

impl<E: Entries> Ledger<E> {
    /// Gives all buffers to the kernel. `count` must be a power of two up to 32 768.
    pub(crate) fn new(entries: E, count: u16, size: u32) -> Ledger<E> {
        let mut state = State {
            tail: 0,
            buffers: vec![Buffer::default(); usize::from(count)].into(),
        };
        (0..count).for_each(|id| state.append(&entries, id));
        entries.publish(state.tail);
        Ledger {
            entries,
            size,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn entries(&self) -> &E {
        &self.entries
    }

    /// A completion says that `length` bytes are in this buffer, and whether the kernel goes on filling it.
    /// Returns where they begin; they are held until [`give_back`](Ledger::give_back). `None` for what the
    /// kernel cannot mean: a buffer that there is not, that it does not have, or that is too short.
    pub(crate) fn take(&self, id: u16, length: u32, more: bool) -> Option<u32> {
        let state = &mut *lock(&self.state);
        let buffer = state.buffers.get_mut(usize::from(id))?;
        let begin = buffer.used;
        if !buffer.with_kernel || length > self.size - begin {
            return None;
        }
        buffer.used += length;
        buffer.holders += 1;
        buffer.with_kernel = more;
        Some(begin)
    }

    /// One holder lets go. The last one gives the buffer to the kernel again, unless that still has it.
    pub(crate) fn give_back(&self, id: u16) {
        let state = &mut *lock(&self.state);
        let Some(buffer) = state.buffers.get_mut(usize::from(id)) else {
            return;
        };
        if buffer.holders == 0 {
            return;
        }
        buffer.holders -= 1;
        if buffer.holders == 0 && !buffer.with_kernel {
            state.append(&self.entries, id);
            self.entries.publish(state.tail);
        }
    }

    /// How many buffers are with the kernel.
    #[allow(dead_code, reason = "for tests and models")]
    pub(crate) fn with_kernel(&self) -> usize {
        let state = lock(&self.state);
        let with_kernel = state.buffers.iter().filter(|buffer| buffer.with_kernel);
        with_kernel.count()
    }

    /// How many entries were ever appended, modulo 65 536.
    #[allow(dead_code, reason = "for tests and models")]
    pub(crate) fn tail(&self) -> u16 {
        lock(&self.state).tail
    }
}
