//! The ids of groups of provided buffers, of all rings of a handle.

use std::sync::{Arc, Mutex};

use crate::base::lock::lock;
use crate::limits;
use crate::mem::{Bgids, Snapshot};

/// What is in use of the ids by which rings know groups of provided buffers.
///
/// Each ring has 65 536 of them for itself, or as many as
/// [`buffer_groups_max`](crate::Builder::buffer_groups_max) says. A program whose groups are all dropped and that
/// still has some in flight loses them somewhere.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// let handle = tidegate::Handle::current()?;
/// let before = handle.stats();
/// tidegate::fs::metadata("/").await?;
/// let groups = handle.stats().since(&before).buffer_groups;
/// assert_eq!((groups.exhausted, groups.in_flight_delta), (0, 0));
/// assert_eq!(groups.remaining, groups.per_ring_max);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BgidStats {
    /// How often there was none left on a ring. What wanted it used plain buffers.
    pub exhausted: u64,
    /// Ids that are in use, on all rings together.
    pub in_flight: u64,
    /// How many more are in use than at the earlier snapshot of [`Stats::since`](crate::Stats::since), or than at
    /// the beginning, when none was; less than zero if they are fewer.
    pub in_flight_delta: i64,
    /// The most that were in use on one ring at a time.
    pub peak: u32,
    /// How many are left on the ring that has the fewest.
    pub remaining: u32,
    /// How many each ring has.
    pub per_ring_max: u32,
    /// Rings that there are, or of which ids are still in use.
    pub rings: usize,
}

impl BgidStats {
    pub(super) fn since(&self, earlier: &BgidStats) -> BgidStats {
        BgidStats {
            exhausted: self.exhausted.saturating_sub(earlier.exhausted),
            in_flight_delta: self.in_flight as i64 - earlier.in_flight as i64,
            ..*self
        }
    }

    fn add(&mut self, ring: &Snapshot) {
        self.exhausted += ring.exhausted;
        self.in_flight += u64::from(ring.in_flight);
        self.in_flight_delta = self.in_flight as i64;
        self.peak = self.peak.max(ring.peak);
        self.remaining = self.remaining.min(ring.remaining);
    }
}

/// Knows the ids of every ring of a handle.
pub(crate) struct BgidBook {
    per_ring_max: u32,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    rings: Vec<Arc<Bgids>>,
    /// What those have counted that ended.
    exhausted: u64,
    peak: u32,
}

impl Pages {
    /// Closes the accounts that only the book still has: ring and groups are gone, so nothing changes any more.
    fn settle(&mut self) {
        let Pages {
            rings,
            exhausted,
            peak,
        } = self;
        rings.retain(|ring| {
            let lives = Arc::strong_count(ring) > 1;
            if !lives {
                let last = ring.snapshot();
                *exhausted += last.exhausted;
                *peak = last.peak.max(*peak);
            }
            lives
        });
    }
}

impl Default for BgidBook {
    fn default() -> BgidBook {
        BgidBook::new(limits::BUFFER_GROUPS_MAX)
    }
}

impl BgidBook {
    pub(super) fn new(per_ring_max: u32) -> BgidBook {
        BgidBook {
            per_ring_max,
            pages: Mutex::default(),
        }
    }

    /// The ids of a new ring.
    pub(crate) fn enrol(&self) -> Arc<Bgids> {
        let ring = Arc::new(Bgids::new(self.per_ring_max));
        let mut pages = lock(&self.pages);
        pages.settle();
        pages.rings.push(ring.clone());
        ring
    }

    pub(super) fn stats(&self) -> BgidStats {
        let mut pages = lock(&self.pages);
        pages.settle();
        let mut stats = BgidStats {
            exhausted: pages.exhausted,
            peak: pages.peak,
            remaining: self.per_ring_max,
            per_ring_max: self.per_ring_max,
            rings: pages.rings.len(),
            ..BgidStats::default()
        };
        pages
            .rings
            .iter()
            .for_each(|ring| stats.add(&ring.snapshot()));
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R24, R38: rings are added up, what ended is not forgotten, and what is lost shows.
    #[test]
    fn rings_are_added_up_and_remembered() {
        let book = BgidBook::new(4);
        let (one, other) = (book.enrol(), book.enrol());
        let mut held: Vec<_> = (0..4).map(|_| one.acquire(0).unwrap()).collect();
        held.push(other.acquire(0).unwrap());
        assert!(one.acquire(0).is_err());
        let before = book.stats();
        let expected = BgidStats {
            exhausted: 1,
            in_flight: 5,
            in_flight_delta: 5,
            peak: 4,
            remaining: 0,
            per_ring_max: 4,
            rings: 2,
        };
        assert_eq!(before, expected);
        drop((one, other));
        held.truncate(1);
        let after = book.stats();
        assert_eq!((after.rings, after.in_flight), (1, 1), "its id is in use");
        assert_eq!(after.since(&before).in_flight_delta, -4);
        held.clear();
        let over = book.stats();
        assert_eq!((over.rings, over.exhausted, over.peak), (0, 1, 4));
        assert_eq!((over.remaining, over.in_flight_delta), (4, 0));
        assert_eq!(over.since(&before).exhausted, 0);
        assert_eq!(before.since(&over).in_flight_delta, 5, "a leak");
    }

    /// Of many rings that come and go, none is kept.
    #[test]
    fn rings_that_ended_take_no_memory() {
        let book = BgidBook::new(8);
        for _ in 0..1000 {
            drop(book.enrol().acquire(0).unwrap());
        }
        assert!(lock(&book.pages).rings.len() <= 1);
        assert_eq!(book.stats().peak, 1);
    }
}
