//! One group's buffers on one ring.
#![allow(unsafe_code, reason = "registers memory, and lends it")]

use std::io;
use std::sync::Arc;

use io_uring::Submitter;

use super::flags::{buffer_id, buffer_more};
use super::ledger::Ledger;
use super::memory::Memory;
use crate::mem::group::Group;
use crate::mem::{Bgid, Lender, Lent, ProvidedBuf};

/// The kernel goes on in the same buffer until it is full (Linux 6.12).
pub(crate) const INCREMENTAL: u16 = 2;

/// Memory that a ring of the kernel has registered, and who has which part of it. Held by the ring, by each
/// operation that names it, and by each buffer that is lent.
///
/// When the last of them lets go, the kernel has unregistered it before: the memory goes, and then the id.
pub(crate) struct ProvidedRing {
    ledger: Ledger<Memory>,
    id: Bgid,
}

impl ProvidedRing {
    /// Registers memory of ours. Memory that the kernel makes itself (`IOU_PBUF_RING_MMAP`) can be mapped only
    /// after it was registered.
    pub(super) fn register(
        submitter: &Submitter<'_>,
        group: &Group,
        id: Bgid,
    ) -> io::Result<Arc<ProvidedRing>> {
        let memory = Memory::new(group.count, group.size)?;
        let flags = if group.incremental { INCREMENTAL } else { 0 };
        let (address, count) = (memory.address(), memory.count());
        let ring = Arc::new(ProvidedRing {
            ledger: Ledger::new(memory, count, group.size),
            id,
        });
        // SAFETY: the memory stays until the value is dropped, and whoever registers it keeps the value until it
        // has unregistered it. What names it in flight keeps it, too (INV-1).
        unsafe { submitter.register_buf_ring_with_flags(address, count, ring.id.id(), flags) }?;
        Ok(ring)
    }

    /// The number by which entries name it.
    pub(crate) fn id(&self) -> u16 {
        self.id.id()
    }

    /// How many buffers are with the kernel.
    #[cfg(test)]
    pub(super) fn with_kernel(&self) -> usize {
        self.ledger.with_kernel()
    }

    /// The buffer that a completion hands over, whatever its result is; `None` if it hands over none. One without
    /// bytes goes back at once, and nobody needs it.
    pub(crate) fn take(
        self: &Arc<Self>,
        result: i32,
        flags: u32,
    ) -> io::Result<Option<ProvidedBuf>> {
        let Some(id) = buffer_id(flags) else {
            return Ok(None);
        };
        let length = u32::try_from(result).unwrap_or(0);
        let Some(begin) = self.ledger.take(id, length, buffer_more(flags)) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let buffer = self.ledger.entries().buffer(id);
        // SAFETY: the ledger has just checked that the bytes are in the buffer; the kernel has written them, and
        // writes there no more until the buffer was given back, as it goes on behind them.
        let lent = unsafe {
            Lent::new(
                self.clone(),
                id,
                buffer.add(begin as usize),
                length as usize,
            )
        };
        Ok((length > 0).then(|| ProvidedBuf::lent(lent)))
    }

    #[cfg(test)]
    pub(super) fn tail(&self) -> u16 {
        self.ledger.tail()
    }
}

impl Lender for ProvidedRing {
    fn give_back(&self, id: u16) {
        self.ledger.give_back(id);
    }
}
