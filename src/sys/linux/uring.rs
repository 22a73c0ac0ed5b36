//! The ring of the kernel.
#![allow(unsafe_code, reason = "pushes entries and enters the ring")]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use io_uring::{EnterFlags, IoUring};

use super::direct::{DirectSlot, DirectTable};
use super::fixed::FixedTable;
use super::provided::{ProvidedRing, ProvidedTable, flags};
use super::sqe::Sqe;
use super::tables::Tables;
use crate::base::fork::Born;
use crate::limits;
use crate::mem::group::Group;
use crate::mem::{Bgids, Segment};

/// Who submits to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Issuer {
    /// One thread of ours, which also reaps.
    Lane,
    /// Whichever thread polls.
    Worker,
}

/// A completion: whose, and with what result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) user_data: u64,
    pub(crate) result: i32,
    /// What the kernel says besides: whether more come, and which buffer it took.
    pub(crate) flags: u32,
}

impl Completion {
    /// Whether the same entry will have more completions.
    pub(crate) fn has_more(&self) -> bool {
        flags::has_more(self.flags)
    }

    /// Whether it comes with a buffer that the kernel picked.
    pub(crate) fn has_buffer(&self) -> bool {
        flags::buffer_id(self.flags).is_some()
    }
}

/// A ring, with the optional features that this kernel has.
pub(crate) struct Uring {
    /// Its mappings are not in a forked child, where other memory may have come to their place.
    ring: ManuallyDrop<IoUring>,
    born: Born,
    issuer: Issuer,
    fixed: FixedTable,
    provided: ProvidedTable,
    direct: DirectTable,
    /// Why a request had to do with less.
    refusal: Option<&'static str>,
}

impl Uring {
    /// Makes a ring, dropping optional features that the kernel refuses.
    pub(crate) fn new(issuer: Issuer, groups: Arc<Bgids>) -> io::Result<Uring> {
        let mut result = Err(io::Error::from_raw_os_error(libc::EINVAL));
        for level in 0..3 {
            let mut builder = IoUring::builder();
            builder.setup_clamp().dontfork();
            if level < 2 {
                builder.setup_submit_all();
            }
            // A worker computes between its polls, so its completions must not wait for it.
            if level < 2 && issuer == Issuer::Lane {
                builder.setup_coop_taskrun();
            }
            if level < 1 && issuer == Issuer::Lane {
                builder.setup_single_issuer().setup_defer_taskrun();
            }
            if level < 1 {
                builder.setup_no_sqarray();
            }
            result = builder.build(limits::RING_ENTRIES);
            match &result {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                _ => break,
            }
        }
        Ok(Uring {
            ring: ManuallyDrop::new(result?),
            born: Born::here(),
            issuer,
            fixed: FixedTable::default(),
            provided: ProvidedTable::new(groups),
            direct: DirectTable::default(),
            refusal: None,
        })
    }

    /// Sets how many bounded workers may serve the submitting thread (Linux 5.15).
    pub(crate) fn limit_kernel_workers(&mut self, count: u32) -> io::Result<()> {
        self.ring
            .submitter()
            .register_iowq_max_workers(&mut [count, 0])
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring keeps its descriptor open while it is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }

    pub(crate) fn has_no_drop(&self) -> bool {
        self.ring.params().is_feature_nodrop()
    }

    pub(crate) fn entries(&self) -> usize {
        self.ring.params().sq_entries() as usize
    }

    /// Queues all of the entry's members; `false`, and none, if the submission queue has no room for them.
    ///
    /// # Safety
    ///
    /// What they point to must stay valid until their last completion was reaped (INV-1).
    pub(crate) unsafe fn push(&mut self, sqe: &Sqe, user_data: u64) -> bool {
        let mut queue = self.ring.submission();
        let has_room = queue.capacity() - queue.len() >= sqe.members();
        has_room
            && sqe.entries(user_data).all(|entry| {
                // SAFETY: the caller keeps the memory valid.
                unsafe { queue.push(&entry) }.is_ok()
            })
    }

    /// Entries that the kernel has not taken yet.
    pub(crate) fn queued(&mut self) -> usize {
        self.ring.submission().len()
    }

    /// Submits what is queued and waits for `completions`. Returns how many entries the kernel took.
    pub(crate) fn enter(&mut self, completions: u32) -> io::Result<usize> {
        let queued = self.queued() as u32;
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: no argument is passed, and the entries were vouched for when they were pushed.
        unsafe {
            self.ring
                .submitter()
                .enter::<libc::sigset_t>(queued, completions, flags, None)
        }
    }

    /// Takes the completions that are there.
    pub(crate) fn reap(&mut self, into: &mut Vec<Completion>) {
        into.extend(self.ring.completion().map(|cqe| Completion {
            user_data: cqe.user_data(),
            result: cqe.result(),
            flags: cqe.flags(),
        }));
    }

    pub(crate) fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// Which opcodes this kernel has, by number.
    pub(crate) fn opcodes(&self) -> io::Result<Vec<bool>> {
        let mut probe = io_uring::Probe::new();
        self.ring.submitter().register_probe(&mut probe)?;
        Ok((0..=u8::MAX).map(|code| probe.is_supported(code)).collect())
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if !self.born.is_of_parent() {
            // SAFETY: it is dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.ring) };
        }
    }
}

impl Tables for Uring {
    fn is_of_polls(&self) -> bool {
        self.issuer == Issuer::Worker
    }

    fn fixed(&mut self, segment: &Arc<Segment>) -> Option<u16> {
        let place = self.fixed.place(&self.ring.submitter(), segment);
        if place.is_none() {
            self.refuse("registered memory refused");
        }
        place
    }

    fn provided(&mut self, group: &Arc<Group>) -> Option<Arc<ProvidedRing>> {
        let ring = self.provided.ring(&self.ring.submitter(), group);
        if ring.is_none() {
            self.refuse("no provided buffers could be registered");
        }
        ring
    }

    fn refuse(&mut self, reason: &'static str) {
        self.refusal = Some(reason);
    }

    fn take_refusal(&mut self) -> Option<&'static str> {
        self.refusal.take()
    }

    fn direct(&mut self) -> Option<DirectSlot> {
        self.direct.slot(&self.ring.submitter())
    }

    fn has_direct(&self, slot: &DirectSlot) -> bool {
        self.direct.has(slot)
    }

    fn sweep(&mut self) {
        self.fixed.sweep(&self.ring.submitter());
        self.provided.sweep(&self.ring.submitter());
        self.direct.sweep(&self.ring.submitter());
    }
}
