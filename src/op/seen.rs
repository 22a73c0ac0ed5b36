//! Which parts of files were seen whole in the page cache, a moment ago.
//!
//! On a disk that is read far ahead, what a readahead mark could make a read fetch is many MiB, and to look at them takes
//! longer than the read. So what was seen is remembered until the next tick of the system's clock, of parts of files,
//! whoever opened them.

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::base::clock::system_ms;
use crate::limits;
use crate::sys::linux::nowait::{self, Pages};
use crate::sys::stat::Stat;

/// Words about parts of files, each in the place that its hash says: the hash and what was seen in the upper half, and
/// in the lower when, in milliseconds. Two parts of one hash are taken for each other, once in 2^30 times.
static PARTS: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];

/// What is remembered of a part that is not whole.
const MISSING: u64 = 1 << 32;

/// What is remembered of a part that takes long to look at.
const COSTLY: u64 = 1 << 33;

/// Words about files that take long to look at: a hash and how often was asked of it in the upper half, and in the
/// lower when. A file that loses its word to another is measured anew.
static COSTLY_FILES: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// Whether it was asked often in the tick before the last one.
const OFTEN: u64 = 1 << 39;

/// A file, and the tick in which it is looked at.
struct Look<'a> {
    fd: BorrowedFd<'a>,
    stat: &'a Stat,
    now_ms: u64,
}

/// Whether all of a range, up to the end of the file, is in memory, or was at the last tick.
pub(super) fn is_whole(fd: BorrowedFd<'_>, range: Range<u64>, stat: &Stat) -> bool {
    let now_ms = u64::from(system_ms() as u32);
    let look = Look { fd, stat, now_ms };
    let last = range.end.min(stat.size).div_ceil(limits::SEEN_PART_BYTES);
    (range.start / limits::SEEN_PART_BYTES..last).all(|number| look.is_part_whole(number))
}

impl Look<'_> {
    fn is_part_whole(&self, number: u64) -> bool {
        let hash = hash([self.stat.dev, self.stat.ino, number]);
        let place = &PARTS[(hash >> 54) as usize];
        let seen_now = hash << 34 | self.now_ms;
        let seen = place.load(Ordering::Relaxed);
        if seen & !(MISSING | COSTLY) == seen_now {
            if seen & COSTLY != 0 {
                self.is_asked_often();
            }
            return seen & MISSING == 0;
        }
        let start = number * limits::SEEN_PART_BYTES;
        let end = self.stat.size.min(start + limits::SEEN_PART_BYTES);
        let is_costly = end - start > limits::LOOK_FIRST_BYTES && self.is_costly(start);
        if is_costly && !self.is_asked_often() {
            return false;
        }
        let is_whole = is_there(self.fd, start..end);
        match (is_whole, is_costly) {
            (true, false) => place.store(seen_now, Ordering::Relaxed),
            (true, true) => place.store(seen_now | COSTLY, Ordering::Relaxed),
            (false, true) => place.store(seen_now | COSTLY | MISSING, Ordering::Relaxed),
            // The next read looks again, as it costs nothing.
            (false, false) => {}
        }
        is_whole
    }

    fn word(&self) -> (&'static AtomicU64, u64) {
        let hash = hash([self.stat.dev, self.stat.ino, u64::MAX]);
        (&COSTLY_FILES[(hash >> 58) as usize], hash << 40)
    }

    /// Whether the file's pages are single ones, by the first of a part; measured anew now and then.
    fn is_costly(&self, start: u64) -> bool {
        let (place, hash) = self.word();
        let word = place.load(Ordering::Relaxed);
        let period = |ms: u64| ms / limits::LOOK_AGAIN_AFTER.as_millis() as u64;
        let is_its = word >> 40 == hash >> 40;
        if is_its && period(word & MS) == period(self.now_ms) {
            return true;
        }
        // Once may be that the thread lost its processor.
        let is_costly = (0..2).all(|_| first_pages(self.fd, start).is_none());
        if is_costly && !is_its {
            place.store(hash, Ordering::Relaxed);
        } else if is_its && !is_costly {
            place.store(0, Ordering::Relaxed);
        }
        is_costly
    }

    /// Counts a read of a costly file. Whether there are so many in a tick that one look pays for the others.
    fn is_asked_often(&self) -> bool {
        let (place, hash) = self.word();
        let (word, is_often) = count(place.load(Ordering::Relaxed), hash, self.now_ms);
        place.store(word, Ordering::Relaxed);
        is_often
    }
}

/// A costly file's word after one more read, and whether it is read often: so many times in this tick, or in the one
/// before.
fn count(word: u64, hash: u64, now_ms: u64) -> (u64, bool) {
    const ONE: u64 = 1 << 32;
    const ALL: u64 = 0x7f;
    let (asked, asked_ms) = (word >> 32 & ALL, word & MS);
    let was_often = asked >= limits::LOOK_PAYS_FROM;
    let is_its = word >> 40 == hash >> 40;
    let word = if is_its && asked_ms == now_ms {
        word + if asked < ALL { ONE } else { 0 }
    } else if is_its && was_often && now_ms.wrapping_sub(asked_ms) <= limits::TICK_MS_MAX {
        hash | OFTEN | ONE | now_ms
    } else {
        hash | ONE | now_ms
    };
    let is_often = word & OFTEN != 0 || word >> 32 & ALL >= limits::LOOK_PAYS_FROM;
    (word, is_often)
}

/// When something was seen, in a word about it.
const MS: u64 = u32::MAX as u64;

/// Mixes numbers that may differ in few bits, as splitmix64 does.
fn hash(numbers: [u64; 3]) -> u64 {
    numbers.iter().fold(0x9e37_79b9_7f4a_7c15, |hash, number| {
        let mixed = (hash ^ number).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    })
}

/// What is in memory of the first part of a range that is longer, unless to look at it takes so long that the rest is not
/// worth a look.
pub(super) fn first_pages(fd: BorrowedFd<'_>, start: u64) -> Option<Pages> {
    let began = Instant::now();
    let pages = nowait::pages(fd, start, limits::LOOK_FIRST_BYTES).ok()?;
    (began.elapsed() <= limits::LOOK_FIRST_MAX).then_some(pages)
}

/// Whether each page of a range is in memory.
pub(super) fn is_there(fd: BorrowedFd<'_>, range: Range<u64>) -> bool {
    let wanted = range.end.div_ceil(nowait::PAGE_BYTES) - range.start / nowait::PAGE_BYTES;
    nowait::pages(fd, range.start, range.end - range.start)
        .is_ok_and(|pages| pages.cached >= wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the eighth read of a tick on it is looked at, in the next tick from the first, and after a pause not.
    #[test]
    fn a_costly_file_is_looked_at_where_it_is_read_often() {
        let file = 7 << 40;
        let mut word = 0;
        let mut reads = |now_ms, times: usize| {
            let looks = (0..times).filter(|_| {
                let (next, is_often) = count(word, file, now_ms);
                word = next;
                is_often
            });
            looks.count()
        };
        assert_eq!(reads(100, 20), 13);
        assert_eq!(reads(104, 300), 300);
        assert_eq!(reads(108, 3), 3);
        assert_eq!(reads(112, 9), 2, "the tick before had few");
        assert_eq!(reads(140, 9), 2, "nothing was read for long");
        let (_, is_often) = count(word, 8 << 40, 140);
        assert!(!is_often, "another file's reads");
    }
}
