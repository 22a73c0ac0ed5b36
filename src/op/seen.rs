//! Which parts of a file were seen whole in the page cache, a moment ago.
//!
//! On a disk that is read far ahead, what a readahead mark could make a read fetch is many MiB, and to look at them takes
//! longer than the read. So what was seen is remembered until the next tick of the system's clock, of parts of the file.

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::limits;
use crate::sys::clock::system_ms;
use crate::sys::linux::nowait::{self, Pages};

/// Parts that are remembered of an open file, each in the place of its number.
const PLACES: usize = 128;

/// What is remembered of an open file.
#[derive(Default)]
pub(super) struct Seen {
    /// The number of a part and, in the lower half, when it was seen, in milliseconds.
    parts: OnceLock<Box<[AtomicU64; PLACES]>>,
    /// Until when looking costs too much, in milliseconds.
    costs_until_ms: AtomicU64,
}

impl Seen {
    /// Whether all of a range, up to the end of the file, is in memory, or was at the last tick.
    pub(super) fn is_whole(&self, fd: BorrowedFd<'_>, range: Range<u64>, size: u64) -> bool {
        let now_ms = system_ms();
        if now_ms < self.costs_until_ms.load(Ordering::Relaxed) {
            return false;
        }
        let parts = self
            .parts
            .get_or_init(|| Box::new([const { AtomicU64::new(0) }; PLACES]));
        let last = range.end.min(size).div_ceil(limits::SEEN_PART_BYTES);
        (range.start / limits::SEEN_PART_BYTES..last).all(|number| {
            let place = &parts[number as usize % PLACES];
            // One more than the number, as nothing was seen of the first part by itself.
            let word = (number + 1) << 32 | now_ms & u64::from(u32::MAX);
            place.load(Ordering::Relaxed) == word || {
                let is_there = self.look(fd, number, size, now_ms);
                if is_there {
                    place.store(word, Ordering::Relaxed);
                }
                is_there
            }
        })
    }

    /// Looks at a part, unless its beginning already takes too long.
    fn look(&self, fd: BorrowedFd<'_>, number: u64, size: u64, now_ms: u64) -> bool {
        let start = number * limits::SEEN_PART_BYTES;
        let end = size.min(start + limits::SEEN_PART_BYTES);
        let middle = end.min(start + limits::LOOK_FIRST_BYTES);
        if middle == end {
            return is_there(fd, start..end);
        }
        // Once may be that the thread lost its processor.
        let Some(first) = first_pages(fd, start).or_else(|| first_pages(fd, start)) else {
            let until_ms = now_ms + limits::LOOK_AGAIN_AFTER.as_millis() as u64;
            self.costs_until_ms.store(until_ms, Ordering::Relaxed);
            return false;
        };
        first.cached >= limits::LOOK_FIRST_BYTES / nowait::PAGE_BYTES && is_there(fd, middle..end)
    }
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
