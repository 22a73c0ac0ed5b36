//! Where a file is read and written next, and the reads, writes and seeks that go there.
//!
//! While nobody else can have the open file, the position is kept here and not in the kernel, where asking for
//! it can sleep while another thread reads. It is that of the next byte to be read into the cursor's buffer or
//! to be written. An operation reserves its bytes when it starts, and gives back what it did not use: two
//! clones never read or write the same.
//!
//! From the moment that somebody else can have it, the position is the kernel's, and each operation is the
//! system's own `read`, `write` or `lseek` on a blocking thread: a ring would not take the position's lock.

use std::io::SeekFrom;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::file::SharedFile;
use super::seek;
use crate::base::lock::lock;
use crate::sys::blocking;

/// No position that a file can have.
const IN_KERNEL: u64 = u64::MAX;

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    /// Whether the kernel's may be anywhere else than where an open leaves it: each operation before has its own.
    is_moved: AtomicBool,
    /// Held by whoever hands it over.
    handing_over: Mutex<()>,
}

/// The next byte's position, of a file and its clones: here, or the kernel's.
#[derive(Clone, Default)]
pub(crate) struct Position(Arc<Shared>);

impl Position {
    /// That of an open file which others may have.
    pub(crate) fn of_kernel() -> Position {
        let position = Position::default();
        position.0.next.store(IN_KERNEL, Ordering::Release);
        position
    }

    /// Where it is; `None` where only the kernel knows.
    pub(crate) fn get(&self) -> Option<u64> {
        let next = self.0.next.load(Ordering::Acquire);
        (next != IN_KERNEL).then_some(next)
    }

    /// Goes there, unless only the kernel knows from where; whether it did.
    pub(crate) fn set(&self, position: u64) -> bool {
        let next = |next| (next != IN_KERNEL).then_some(position);
        let (order, failed) = (Ordering::AcqRel, Ordering::Acquire);
        self.0.next.fetch_update(order, failed, next).is_ok()
    }

    /// Steps back over what was not handed out, and takes so many bytes; returns where they begin. Nothing is
    /// done where only the kernel knows that.
    pub(crate) fn reserve(&self, unread: u64, length: u64) -> Option<u64> {
        let begin = |position: u64| position.saturating_sub(unread);
        let next =
            |position: u64| (position != IN_KERNEL).then(|| begin(position).saturating_add(length));
        let (order, failed) = (Ordering::AcqRel, Ordering::Acquire);
        let before = self.0.next.fetch_update(order, failed, next);
        before.ok().map(begin)
    }

    /// Goes from one place to another, unless a clone moved it meanwhile.
    pub(crate) fn advance(&self, from: u64, to: u64) -> bool {
        let next = &self.0.next;
        next.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Goes back from the end of what was reserved to the end of what was used. Where the position became the
    /// kernel's meanwhile, it does, by the difference: whoever has it may have moved it, too.
    pub(crate) async fn settle(&self, file: &Arc<SharedFile>, reserved: u64, used: u64) {
        if reserved == used || self.advance(reserved, used) || self.get().is_some() {
            return;
        }
        let back = SeekFrom::Current((used as i64).wrapping_sub(reserved as i64));
        // Where that cannot be, somebody else has moved it further back.
        let _ = seek::in_kernel(file, back).await;
    }

    /// Goes to the kernel, which goes on from there: a file that takes no reads or writes at a position may still have
    /// one. Whether it has.
    pub(crate) async fn leave_to_kernel(&self, file: &Arc<SharedFile>, at: u64) -> bool {
        let sought = seek::in_kernel(file, SeekFrom::Start(at)).await;
        if sought.is_ok() {
            self.0.next.store(IN_KERNEL, Ordering::Release);
        }
        sought.is_ok()
    }

    /// Hands it over beforehand, where setting the kernel's position may wait.
    pub(crate) async fn hand_over_later(&self, file: &Arc<SharedFile>) {
        let Some(position) = self.get().filter(|position| *position != 0) else {
            return;
        };
        self.0.is_moved.store(true, Ordering::Release);
        let set = seek::in_kernel(file, SeekFrom::Start(position)).await;
        if set.is_ok() {
            self.advance(position, IN_KERNEL);
        }
    }

    /// From now on somebody else can have the open file: the kernel's position is where this one was, and is
    /// the only one. Waits for no operation: nobody of this crate holds the lock of the kernel's position until
    /// then.
    pub(crate) fn hand_over(&self, fd: BorrowedFd<'_>) {
        if self.get().is_none() {
            return;
        }
        let _alone = lock(&self.0.handing_over);
        // Until the kernel has it, operations still go by this one, and may move it.
        while let Some(position) = self.get() {
            // Some files are locked for it: those of an overlay.
            let is_moved = self.0.is_moved.swap(true, Ordering::AcqRel);
            if position != 0 || is_moved || cfg!(not(target_os = "linux")) {
                let _ = blocking::seek(fd, SeekFrom::Start(position));
            }
            if self.advance(position, IN_KERNEL) {
                return;
            }
        }
    }
}
