//! The memory of a ring of provided buffers: the entries, as the kernel reads them, and the buffers.
#![allow(unsafe_code, reason = "writes what the kernel reads")]

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use super::ledger::Entries;
use crate::base::errno;
use crate::base::memory::{Mapping, page_bytes};

/// An entry: address, length, id, and two bytes that count only in the first entry, where they are the tail.
const ENTRY_BYTES: usize = 16;
const LENGTH_AT: usize = 8;
const ID_AT: usize = 12;
const TAIL_AT: usize = 14;

/// See the module.
pub(super) struct Memory {
    mapping: Mapping,
    /// Where the buffers begin.
    buffers_at: usize,
    count: u16,
    size: u32,
}

impl Memory {
    /// Takes pages for all; they become real when they are written.
    pub(super) fn new(count: u16, size: u32) -> io::Result<Memory> {
        let page = page_bytes();
        let buffers_at = (usize::from(count) * ENTRY_BYTES).next_multiple_of(page);
        let buffers = usize::from(count).checked_mul(size as usize);
        let bytes = buffers.and_then(|bytes| bytes.checked_add(buffers_at));
        let bytes = bytes.ok_or_else(|| io::Error::from_raw_os_error(errno::ENOMEM))?;
        Ok(Memory {
            mapping: Mapping::new(bytes, page, false)?,
            buffers_at,
            count,
            size,
        })
    }

    /// What the kernel is told of where its entries are.
    pub(super) fn address(&self) -> u64 {
        self.mapping.start().addr().get() as u64
    }

    pub(super) fn count(&self) -> u16 {
        self.count
    }

    /// Where a buffer is.
    pub(super) fn buffer(&self, id: u16) -> NonNull<u8> {
        assert!(id < self.count, "buffer {id} of {}", self.count);
        let at = self.buffers_at + usize::from(id) * self.size as usize;
        debug_assert!(at + self.size as usize <= self.mapping.bytes());
        // SAFETY: the mapping has `count` buffers from `buffers_at` on.
        unsafe { self.mapping.start().add(at) }
    }
}

impl Entries for Memory {
    fn write(&self, place: u16, id: u16) {
        assert!(place < self.count, "place {place} of {}", self.count);
        let address = self.buffer(id).addr().get() as u64;
        // SAFETY: the mapping begins with `count` entries, at the start of a page. The kernel reads this one
        // only once the tail is past it, nobody else writes it (the ledger's lock), and the last two bytes,
        // which are the tail's in the first entry, are left alone.
        unsafe {
            let entry = self.mapping.start().add(usize::from(place) * ENTRY_BYTES);
            entry.cast::<u64>().write(address);
            entry.add(LENGTH_AT).cast::<u32>().write(self.size);
            entry.add(ID_AT).cast::<u16>().write(id);
        }
    }

    fn publish(&self, tail: u16) {
        // SAFETY: these two bytes of the first entry are in the mapping, aligned, and only ever written here;
        // the kernel reads them with an acquiring load.
        let place =
            unsafe { AtomicU16::from_ptr(self.mapping.start().add(TAIL_AT).cast().as_ptr()) };
        place.store(tail, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would read.
    fn entry(memory: &Memory, place: usize) -> (u64, u32, u16, u16) {
        let io_uring_entry = memory
            .mapping
            .start()
            .cast::<io_uring::types::BufRingEntry>();
        // SAFETY: the place is within the mapping, which was zeroed; nobody writes meanwhile.
        unsafe {
            let entry = io_uring_entry.add(place).as_ref();
            let tail = io_uring::types::BufRingEntry::tail(entry);
            (entry.addr(), entry.len(), entry.bid(), tail.read())
        }
    }

    /// Trap 17: the tail lies over the first entry, whose other bytes stay as they are, and the other way
    /// round. Checked against the bindings' own layout.
    #[test]
    fn the_tail_lies_over_the_first_entry() {
        let memory = Memory::new(256, 100).unwrap();
        memory.publish(0xabcd);
        memory.write(0, 255);
        memory.write(255, 1);
        let address = |id| memory.buffer(id).addr().get() as u64;
        assert_eq!(entry(&memory, 0), (address(255), 100, 255, 0xabcd));
        assert_eq!(entry(&memory, 255), (address(1), 100, 1, 0));
        memory.publish(1);
        assert_eq!(entry(&memory, 0), (address(255), 100, 255, 1));
        assert_eq!(size_of::<io_uring::types::BufRingEntry>(), ENTRY_BYTES);
    }

    #[test]
    fn buffers_lie_behind_the_entries_and_apart() {
        let memory = Memory::new(32_768, 3).unwrap();
        let start = memory.mapping.start().addr().get();
        assert_eq!(memory.buffer(0).addr().get() - start, 32_768 * ENTRY_BYTES);
        let last = memory.buffer(32_767).addr().get() + 3 - start;
        assert_eq!(last, memory.mapping.bytes());
    }

    #[test]
    fn what_no_machine_has_is_refused() {
        assert!(Memory::new(32_768, u32::MAX).is_err());
    }
}
