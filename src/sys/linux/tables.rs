//! What a ring has registered: the seam between requests and rings.
//!
//! Registrations belong to one ring, and what users hold belongs to none. So a request asks the ring
//! that takes it, and a ring registers what it is asked for the first time. `None` means that the request
//! has to do with less; nothing fails for it.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::direct::DirectSlot;
use super::provided::ProvidedRing;
use crate::mem::Segment;
use crate::mem::group::Group;
use crate::sys::at::FdRef;

/// A file that an entry names, which the kernel keeps from then on until some time after the completion.
#[derive(Clone, Copy)]
pub(crate) struct NamedFd<'a>(BorrowedFd<'a>);

impl<'a> NamedFd<'a> {
    /// One that is the ring's own, and no user closes.
    pub(super) fn of_ring(fd: BorrowedFd<'a>) -> NamedFd<'a> {
        NamedFd(fd)
    }

    pub(super) fn fd(self) -> BorrowedFd<'a> {
        self.0
    }
}

/// See the module.
pub(crate) trait Tables {
    /// Has an entry name a file, which is told, as its close has to wait for the thread that submits the entry.
    fn name<'a>(&mut self, file: &'a FdRef) -> NamedFd<'a> {
        file.note_on_ring(self.is_of_polls());
        NamedFd((**file).as_fd())
    }

    /// Whether polling threads submit to the ring.
    fn is_of_polls(&self) -> bool {
        false
    }

    /// Where the ring has this memory registered, registering it if need be.
    fn fixed(&mut self, _segment: &Arc<Segment>) -> Option<u16> {
        None
    }

    /// The ring's own buffers of this group, registered if need be. Whoever names them in an entry holds the
    /// group and them until the completion.
    fn provided(&mut self, _group: &Arc<Group>) -> Option<Arc<ProvidedRing>> {
        None
    }

    /// Notes why a request has to do with less than it could have had.
    fn refuse(&mut self, _reason: &'static str) {}

    /// What was noted last, once.
    fn take_refusal(&mut self) -> Option<&'static str> {
        None
    }

    /// A free slot of the ring's own table of files.
    fn direct(&mut self) -> Option<DirectSlot> {
        None
    }

    /// Whether a slot is one of this ring's.
    fn has_direct(&self, _slot: &DirectSlot) -> bool {
        false
    }

    /// Lets go of what nobody uses any more. Only on the ring's own thread.
    fn sweep(&mut self);
}
