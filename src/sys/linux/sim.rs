//! A simulated kernel behind the [`Ring`] seam: seeded, with a clock of its own, and with every fault that
//! a driver must live through.
//!
//! A test keeps the [`Kernel`] and steers it while the engine has the [`SimRing`].
#![allow(unsafe_code, reason = "looks into entries, and implements a ring")]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use super::ring::Ring;
use super::sqe::{Link, MEMBER_SHIFT, Sqe};
use super::tables::Tables;
use super::uring::Completion;
use crate::base::errno;
use crate::base::lock::lock;

/// The opcode number of a cancel.
const ASYNC_CANCEL: u8 = 14;

/// How an entry says that the next one is linked to it.
const LINK_FLAGS: [(u8, Link); 2] = [(1 << 2, Link::Soft), (1 << 3, Link::Hard)];

/// Operations that move less than this moved less than they were asked to.
const SHORT_BELOW: i32 = 1024;

/// Error numbers that an operation fails with.
const FAILURES: [i32; 4] = [libc::EIO, libc::ENOSPC, libc::EINTR, errno::ECANCELED];
/// What `enter` says when it is worth trying again.
const TEMPORARY: [i32; 3] = [errno::EINTR, errno::EAGAIN, errno::EBUSY];
/// What `enter` says when the ring is of no use any more.
const FATAL: [i32; 4] = [libc::EBADR, libc::ENXIO, errno::EPERM, libc::EFAULT];

/// Small, seeded and good enough (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `bound`, which must not be zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// How often each fault strikes, in percent of the occasions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// An operation does not end by itself: only when cancelled, if it can be, or released.
    pub(crate) never: usize,
    /// An operation ends late.
    pub(crate) delayed: usize,
    /// An operation fails.
    pub(crate) failing: usize,
    /// `enter` says that it should be tried again.
    pub(crate) temporary: usize,
    /// `enter` takes only a part of the queue.
    pub(crate) partial: usize,
    /// `enter` fails for good.
    pub(crate) fatal: usize,
    /// A completion that was reaped before comes once more, or one of somebody else's.
    pub(crate) replayed: usize,
}

/// How an operation takes a cancel, as section 1 of the kernel notes has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnCancel {
    /// It ends at once: zero for the cancel, ECANCELED or EINTR for the operation.
    Ends(i32),
    /// A kernel worker runs it: EALREADY, and it goes on.
    GoesOn,
    /// A kernel worker is about to let it wait in a poll: EALREADY, and the next cancel ends it.
    Missed,
    /// The device has it: ENOENT although it is in flight.
    NotFound,
}

/// An entry that was pushed.
#[derive(Clone, Copy, Debug)]
struct Entry {
    user_data: u64,
    /// Of a cancel.
    target: Option<u64>,
    /// How the next one is linked to it.
    link: Option<Link>,
}

struct Running {
    user_data: u64,
    /// How the next one is linked to it, and what waits for it.
    link: Option<Link>,
    rest: VecDeque<Entry>,
    /// When it ends, on the clock of the kernel; `None` for when it is released.
    due_ms: Option<u64>,
    result: i32,
    on_cancel: OnCancel,
}

/// The state of the simulated kernel.
pub(crate) struct Kernel {
    random: Random,
    pub(crate) faults: Faults,
    now_ms: u64,
    capacity: usize,
    /// Entries that were pushed and not taken.
    queue: VecDeque<Entry>,
    running: Vec<Running>,
    ready: Vec<Completion>,
    reaped: Vec<u64>,
    /// User data of every operation that was ever taken.
    pub(crate) taken: Vec<u64>,
    /// The target of every cancel that was ever taken.
    pub(crate) cancels: Vec<u64>,
    /// The target of those that came while it ran.
    pub(crate) reached: Vec<u64>,
    pub(crate) enters: usize,
    pub(crate) replayed: usize,
}

impl Kernel {
    pub(crate) fn new(seed: u64, capacity: usize, faults: Faults) -> Arc<Mutex<Kernel>> {
        Arc::new(Mutex::new(Kernel {
            random: Random(seed),
            faults,
            now_ms: 1,
            capacity,
            queue: VecDeque::new(),
            running: Vec::new(),
            ready: Vec::new(),
            reaped: Vec::new(),
            taken: Vec::new(),
            cancels: Vec::new(),
            reached: Vec::new(),
            enters: 0,
            replayed: 0,
        }))
    }

    /// User data of the operations whose memory the kernel may touch.
    pub(crate) fn holds(&self) -> Vec<u64> {
        let running = self.running.iter().map(|op| op.user_data);
        let rests = self.running.iter().flat_map(|op| &op.rest);
        running
            .chain(rests.map(|entry| entry.user_data))
            .chain(self.ready.iter().map(|done| done.user_data))
            .collect()
    }

    /// User data of what has begun and is not over.
    pub(crate) fn running(&self) -> Vec<u64> {
        self.running.iter().map(|op| op.user_data).collect()
    }

    /// User data of what goes on after its cancel, and would end by another.
    pub(crate) fn wakeable(&self) -> Vec<u64> {
        let is_wakeable = |op: &&Running| {
            matches!(op.on_cancel, OnCancel::Ends(_)) && self.reached.contains(&op.user_data)
        };
        let running = self.running.iter().filter(is_wakeable);
        running.map(|op| op.user_data).collect()
    }

    /// Lets time pass: completions come without anybody's entering.
    pub(crate) fn advance(&mut self, by_ms: u64) {
        self.now_ms += by_ms;
        self.complete();
    }

    /// Lets everything end that would not end by itself.
    pub(crate) fn release(&mut self) {
        let now = self.now_ms;
        for op in &mut self.running {
            op.due_ms.get_or_insert(now);
        }
    }

    /// How many completions of operations were reaped, without those that came twice.
    pub(crate) fn reaped(&self) -> usize {
        self.reaped
            .iter()
            .filter(|done| is_operation(**done))
            .count()
    }

    /// Takes entries. Links do not reach beyond what is taken at a time, as in the kernel.
    fn take(&mut self, count: usize) {
        let mut taken: VecDeque<Entry> = self.queue.drain(..count).collect();
        while let Some(entry) = taken.pop_front() {
            if let Some(target) = entry.target {
                self.cancels.push(target);
                let result = self.cancel(target);
                self.post(entry.user_data, result);
                continue;
            }
            let mut rest = VecDeque::new();
            let mut link = entry.link;
            while link.is_some() && !taken.is_empty() {
                let next = taken.pop_front();
                link = next.and_then(|next| next.link);
                rest.extend(next);
            }
            let all = std::iter::once(&entry).chain(&rest);
            self.taken.extend(all.map(|entry| entry.user_data));
            self.run(entry, rest);
        }
    }

    fn run(&mut self, entry: Entry, rest: VecDeque<Entry>) {
        let due_ms = match () {
            () if self.random.percent(self.faults.never) => None,
            () if self.random.percent(self.faults.delayed) => {
                Some(self.now_ms + self.random.below(50) as u64)
            }
            () => Some(self.now_ms),
        };
        let result = if self.random.percent(self.faults.failing) {
            -self.random.pick(&FAILURES)
        } else {
            // Short results are among them.
            self.random.below(4097) as i32
        };
        let on_cancel = match self.random.below(5) {
            0 => OnCancel::GoesOn,
            1 => OnCancel::NotFound,
            2 => OnCancel::Ends(-errno::EINTR),
            3 => OnCancel::Missed,
            _ => OnCancel::Ends(-errno::ECANCELED),
        };
        self.running.push(Running {
            user_data: entry.user_data,
            link: entry.link,
            rest,
            due_ms,
            result,
            on_cancel,
        });
    }

    fn cancel(&mut self, target: u64) -> i32 {
        let now = self.now_ms;
        let Some(op) = self.running.iter_mut().find(|op| op.user_data == target) else {
            return -errno::ENOENT;
        };
        self.reached.push(target);
        match op.on_cancel {
            OnCancel::GoesOn => -errno::EALREADY,
            OnCancel::Missed => {
                op.on_cancel = OnCancel::Ends(-errno::ECANCELED);
                -errno::EALREADY
            }
            OnCancel::NotFound => -errno::ENOENT,
            OnCancel::Ends(result) => {
                (op.result, op.due_ms) = (result, Some(now));
                0
            }
        }
    }

    /// Moves what is due to the completion queue, in any order, and begins what is linked to it.
    fn complete(&mut self) {
        let is_due = |op: &Running, now_ms| op.due_ms.is_some_and(|due| due <= now_ms);
        let mut index = 0;
        while index < self.running.len() {
            if !is_due(&self.running[index], self.now_ms) {
                index += 1;
                continue;
            }
            let op = self.running.swap_remove(index);
            self.post(op.user_data, op.result);
            self.go_on(op);
            // What was linked may be over already, and what was swapped in was not looked at.
            index = 0;
        }
    }

    /// Begins the next of a chain, or cancels all that is left of it.
    fn go_on(&mut self, mut op: Running) {
        if op.link == Some(Link::Soft) && op.result < SHORT_BELOW {
            for entry in op.rest {
                self.post(entry.user_data, -errno::ECANCELED);
            }
        } else if let Some(next) = op.rest.pop_front() {
            self.run(next, op.rest);
        }
    }

    /// Makes a completion, anywhere in the queue but before another one of the same chain.
    fn post(&mut self, user_data: u64, result: i32) {
        let is_of_same = |done: &Completion| chain(done.user_data) == chain(user_data);
        let after = self.ready.iter().rposition(is_of_same);
        let first = after.map_or(0, |place| place + 1);
        let place = first + self.random.below(self.ready.len() - first + 1);
        self.ready.insert(
            place,
            Completion {
                user_data,
                result,
                flags: 0,
            },
        );
    }

    fn enter(&mut self, completions: u32) -> io::Result<usize> {
        self.enters += 1;
        if self.random.percent(self.faults.fatal) {
            return Err(io::Error::from_raw_os_error(self.random.pick(&FATAL)));
        }
        if self.random.percent(self.faults.temporary) {
            self.complete();
            return Err(io::Error::from_raw_os_error(self.random.pick(&TEMPORARY)));
        }
        let mut count = self.queue.len();
        if count > 0 && self.random.percent(self.faults.partial) {
            count = self.random.below(count);
        }
        self.take(count);
        self.complete();
        if self.queue.is_empty() && self.ready.len() < completions as usize {
            // Time passes until something is due; a signal ends a wait for nothing.
            if let Some(due) = self.running.iter().filter_map(|op| op.due_ms).min() {
                self.now_ms = self.now_ms.max(due);
                self.complete();
            }
        }
        Ok(count)
    }

    fn has_completions(&mut self) -> bool {
        !self.ready.is_empty()
    }

    fn reap(&mut self, into: &mut Vec<Completion>) {
        let count = if self.ready.is_empty() {
            0
        } else {
            1 + self.random.below(self.ready.len())
        };
        self.reaped
            .extend(self.ready[..count].iter().map(|done| done.user_data));
        into.extend(self.ready.drain(..count));
        if self.random.percent(self.faults.replayed) {
            let reaped = self.reaped.iter().copied();
            let old: Vec<u64> = reaped
                .filter(|&user_data| is_operation(user_data))
                .collect();
            let user_data = match old.as_slice() {
                [] => 0xfe << 56 | self.random.next() >> 8,
                old => self.random.pick(old),
            };
            self.replayed += 1;
            let place = self.random.below(into.len() + 1);
            into.insert(
                place,
                Completion {
                    user_data,
                    result: -libc::EIO,
                    flags: 0,
                },
            );
        }
    }
}

/// An operation's user data begins with 1, after the member; 2 and 3 are the driver's own.
fn is_operation(user_data: u64) -> bool {
    user_data >> 56 & 0xf == 1
}

/// What the user data of the linked entries of one operation has in common.
pub(crate) fn chain(user_data: u64) -> u64 {
    user_data & !(u64::MAX << MEMBER_SHIFT)
}

/// The ring that the engine has.
pub(crate) struct SimRing(pub(crate) Arc<Mutex<Kernel>>);

/// It has nothing registered.
impl Tables for SimRing {
    fn sweep(&mut self) {}
}

impl Ring for SimRing {
    fn now_ms(&self) -> u64 {
        lock(&self.0).now_ms
    }

    fn limit_kernel_workers(&mut self, _count: u32) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(errno::EINVAL))
    }

    fn capacity(&self) -> usize {
        lock(&self.0).capacity
    }

    unsafe fn push(&mut self, sqe: &Sqe, user_data: u64) -> bool {
        const _: () = assert!(size_of::<io_uring::squeue::Entry>() == 64);
        let mut kernel = lock(&self.0);
        let has_room = kernel.queue.len() + sqe.members() <= kernel.capacity;
        for entry in sqe.entries(user_data).filter(|_| has_room) {
            // SAFETY: an entry is the kernel's 64-byte structure of integers, zeroed before it is filled.
            let bytes: [u8; 64] = unsafe { std::mem::transmute_copy(&entry) };
            let address = bytes[16..24].try_into().expect("eight bytes");
            let target = (bytes[0] == ASYNC_CANCEL).then_some(u64::from_ne_bytes(address));
            let flags = LINK_FLAGS.iter().find(|(flag, _)| bytes[1] & flag != 0);
            kernel.queue.push_back(Entry {
                user_data: entry.get_user_data(),
                target,
                link: flags.map(|(_, link)| *link),
            });
        }
        has_room
    }

    fn queued(&mut self) -> usize {
        lock(&self.0).queue.len()
    }

    fn enter(&mut self, completions: u32) -> io::Result<usize> {
        lock(&self.0).enter(completions)
    }

    fn reap(&mut self, into: &mut Vec<Completion>) {
        lock(&self.0).reap(into);
    }

    fn has_completions(&mut self) -> bool {
        lock(&self.0).has_completions()
    }
}
