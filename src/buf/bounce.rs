//! Memory for reads past the page cache: aligned, and used again once whoever got its bytes has let go of them. Fresh
//! memory costs a page fault for each 4 KiB, which is as much as the read itself.

use std::sync::{Mutex, TryLockError};

use bytes::BytesMut;

use crate::base::global::Global;
use crate::base::memory::page_bytes;
use crate::limits;

/// Memory that was handed out, and may be ours again.
struct Lent {
    /// No bytes of it, but what keeps the memory, so that it can be taken back when nobody else does.
    keeper: BytesMut,
    bytes: usize,
}

/// The oldest first.
#[derive(Default)]
struct Bounce {
    lent: Vec<Lent>,
    bytes: usize,
}

static BOUNCE: Global<Mutex<Bounce>> = Global::new();

/// Memory of exactly this capacity, without bytes in it, that begins at a multiple of the page's size.
pub(crate) fn aligned(length: usize) -> BytesMut {
    let page = page_bytes();
    if length < limits::BOUNCE_BYTES_MIN {
        return begin_at(page, BytesMut::with_capacity(length + page), length).0;
    }
    let bounce = BOUNCE.get_or_make(Mutex::default);
    let mut bounce = match bounce.try_lock() {
        Ok(bounce) => bounce,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // Somebody else is at it: fresh memory costs less than to wait for a turn that may not come soon.
        Err(TryLockError::WouldBlock) => {
            return begin_at(page, BytesMut::with_capacity(length + page), length).0;
        }
    };
    let lent = bounce.take(length + page).unwrap_or_else(|| {
        let bytes = (length + page).next_multiple_of(limits::BOUNCE_BYTES_MIN);
        let keeper = BytesMut::with_capacity(bytes);
        Lent { keeper, bytes }
    });
    let (buf, keeper) = begin_at(page, lent.keeper, length);
    bounce.put(Lent {
        keeper,
        bytes: lent.bytes,
    });
    buf
}

/// The part of this capacity that begins at such a multiple, and what lies behind it.
fn begin_at(page: usize, mut buf: BytesMut, length: usize) -> (BytesMut, BytesMut) {
    let before = buf.as_ptr().addr().next_multiple_of(page) - buf.as_ptr().addr();
    buf.resize(before, 0);
    let mut buf = buf.split_off(before);
    let behind = buf.split_off(length);
    (buf, behind)
}

impl Bounce {
    /// Memory that nobody has any more, of which no more than half would go unused. The youngest, which is still in the
    /// processor's cache.
    fn take(&mut self, needed: usize) -> Option<Lent> {
        let fits = |lent: &Lent| needed <= lent.bytes && lent.bytes / 2 <= needed;
        let is_back = |lent: &mut Lent| fits(lent) && lent.keeper.try_reclaim(lent.bytes);
        let place = self.lent.iter_mut().rposition(is_back)?;
        let lent = self.lent.remove(place);
        self.bytes -= lent.bytes;
        Some(lent)
    }

    /// Keeps it in mind, and forgets the oldest beyond what is to be kept: that is freed by who has it last.
    fn put(&mut self, lent: Lent) {
        self.bytes += lent.bytes;
        self.lent.push(lent);
        while self.bytes > limits::BOUNCE_KEPT_BYTES || self.lent.len() > limits::BOUNCE_KEPT {
            self.bytes -= self.lent.remove(0).bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Whatever length, it is aligned and no longer than asked for.
    #[test]
    fn it_is_aligned_and_as_long_as_asked_for() {
        let mut held = Vec::new();
        for length in [0, 1, 4095, 4096, 65_535, 65_536, 65_537, 300_000, 3 * MIB] {
            for _ in 0..3 {
                let buf = aligned(length);
                assert_eq!(buf.as_ptr().addr() % page_bytes(), 0);
                assert_eq!((buf.len(), buf.capacity()), (0, length));
                held.push(buf);
            }
        }
    }

    /// What is let go of is handed out again, and never what somebody still has a part of.
    #[test]
    fn it_is_used_again_once_nobody_has_it() {
        let mut bounce = Bounce::default();
        let page = page_bytes();
        let mut hand_out = |length: usize| {
            let fresh = || Lent {
                keeper: BytesMut::with_capacity(length + page),
                bytes: length + page,
            };
            let lent = bounce.take(length + page).unwrap_or_else(fresh);
            let (mut buf, keeper) = begin_at(page, lent.keeper, length);
            bounce.put(Lent {
                keeper,
                bytes: lent.bytes,
            });
            buf.resize(length, 7);
            buf.freeze()
        };
        let first = hand_out(MIB);
        let place = first.as_ptr();
        let part = first.slice(5..9);
        drop(first);
        let other = hand_out(MIB);
        assert_ne!(other.as_ptr(), place);
        assert_eq!(&part[..], [7; 4]);
        drop(part);
        let again = hand_out(MIB - 5);
        assert_eq!((again.as_ptr(), again.len()), (place, MIB - 5));
        // Too large for what is wanted.
        drop(again);
        assert_ne!(hand_out(100_000).as_ptr(), place);
    }

    /// However much is handed out, what is kept in mind is bounded.
    #[test]
    fn what_is_kept_is_bounded() {
        let mut bounce = Bounce::default();
        for _ in 0..1000 {
            bounce.put(Lent {
                keeper: BytesMut::new(),
                bytes: MIB,
            });
            assert!(bounce.bytes <= limits::BOUNCE_KEPT_BYTES);
        }
        for _ in 0..1000 {
            bounce.put(Lent {
                keeper: BytesMut::new(),
                bytes: 1,
            });
        }
        assert_eq!(bounce.lent.len(), limits::BOUNCE_KEPT);
    }
}
