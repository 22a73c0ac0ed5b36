//! Whether large writes go by the page cache as ever, or leave it by themselves (`RWF_DONTCACHE`): whichever was measured
//! to be quicker on that mount. Which one that is depends on the kernel and on the load.

use std::sync::Mutex;

use crate::base::lock::lock;
use crate::limits;

/// A way to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Cached,
    Uncached,
}

impl Way {
    fn other(self) -> Way {
        match self {
            Way::Cached => Way::Uncached,
            Way::Uncached => Way::Cached,
        }
    }
}

/// The choice. It is fed with what was measured, and calls nothing.
#[derive(Debug)]
struct Choice {
    /// The one that was the better.
    home: Way,
    way: Way,
    /// Bytes since it changed, and those that count, with the time that they took in microseconds.
    seen: u64,
    bytes: u64,
    took_us: u64,
    /// What 1 MiB took at home, in nanoseconds.
    cost_home: Option<u64>,
    /// Bytes since the other one was tried; at first it is tried at once.
    since_trial: u64,
    is_refused: bool,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice {
            home: Way::Uncached,
            way: Way::Uncached,
            seen: 0,
            bytes: 0,
            took_us: 0,
            cost_home: None,
            since_trial: limits::WRITEBACK_TRIAL_EVERY_BYTES,
            is_refused: false,
        }
    }
}

impl Choice {
    fn turn_to(&mut self, way: Way) {
        self.way = way;
        (self.seen, self.bytes, self.took_us) = (0, 0, 0);
    }

    /// So much was written, which took that long, with the wait for room.
    fn wrote(&mut self, bytes: u64, took_us: u64) {
        if self.is_refused {
            return;
        }
        self.seen += bytes;
        if self.seen <= limits::WRITEBACK_TRIAL_SKIPPED_BYTES {
            // What went the other way is still on its way.
            return;
        }
        self.bytes += bytes;
        self.took_us = self.took_us.saturating_add(took_us);
        if self.bytes < limits::WRITEBACK_TRIAL_BYTES {
            return;
        }
        let cost = self.took_us.saturating_mul(1000) / (self.bytes >> 20).max(1);
        if self.way == self.home {
            self.cost_home = Some(cost);
            self.since_trial = self.since_trial.saturating_add(self.bytes);
            let is_due = self.since_trial >= limits::WRITEBACK_TRIAL_EVERY_BYTES;
            return self.turn_to(if is_due { self.way.other() } else { self.way });
        }
        // By a twentieth at least, so that it does not go to and fro.
        if cost.saturating_add(cost / 20) < self.cost_home.unwrap_or(u64::MAX) {
            self.home = self.way;
        }
        self.since_trial = 0;
        self.turn_to(self.home);
    }
}

/// The choice for all streams of a mount.
#[derive(Debug, Default)]
pub(crate) struct Ways(Mutex<Choice>);

impl Ways {
    pub(super) fn is_uncached(&self) -> bool {
        let choice = lock(&self.0);
        choice.way == Way::Uncached && !choice.is_refused
    }

    pub(super) fn wrote(&self, bytes: u64, took_us: u64) {
        lock(&self.0).wrote(bytes, took_us);
    }

    /// The filesystem or the kernel has no such write.
    pub(in crate::op) fn refuse(&self) {
        lock(&self.0).is_refused = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Writes as much as a decision takes, at so many microseconds for a MiB.
    fn write(choice: &mut Choice, cost_us: u64) {
        let bytes = limits::WRITEBACK_TRIAL_SKIPPED_BYTES + limits::WRITEBACK_TRIAL_BYTES;
        (0..bytes / MIB).for_each(|_| choice.wrote(MIB, cost_us));
    }

    #[test]
    fn the_quicker_way_is_taken() {
        for (uncached, cached, taken) in [
            (400, 700, Way::Uncached),
            (700, 400, Way::Cached),
            // As good as the same.
            (700, 690, Way::Uncached),
            (0, 0, Way::Uncached),
        ] {
            let mut choice = Choice::default();
            write(&mut choice, uncached);
            assert_eq!(choice.way, Way::Cached, "tried");
            write(&mut choice, cached);
            assert_eq!(choice.way, taken, "{uncached} {cached}");
        }
    }

    /// What is measured is looked at again, as loads change; but seldom.
    #[test]
    fn the_other_way_is_tried_again() {
        let mut choice = Choice::default();
        write(&mut choice, 400);
        write(&mut choice, 700);
        let mut written = 0;
        while choice.way == Way::Uncached {
            choice.wrote(MIB, 900);
            written += MIB;
        }
        assert!(written >= limits::WRITEBACK_TRIAL_EVERY_BYTES);
        write(&mut choice, 500);
        assert_eq!((choice.home, choice.way), (Way::Cached, Way::Cached));
    }

    /// What the first writes of a way take says as much of the other.
    #[test]
    fn the_first_bytes_do_not_count() {
        let mut choice = Choice::default();
        for _ in 0..limits::WRITEBACK_TRIAL_SKIPPED_BYTES / MIB {
            choice.wrote(MIB, 1_000_000);
        }
        for _ in 0..limits::WRITEBACK_TRIAL_BYTES / MIB {
            choice.wrote(MIB, 400);
        }
        assert_eq!(choice.cost_home, Some(400_000));
    }

    #[test]
    fn what_is_refused_is_not_tried_again() {
        let ways = Ways::default();
        assert!(ways.is_uncached());
        ways.refuse();
        (0..1000).for_each(|_| ways.wrote(100 * MIB, 1));
        assert!(!ways.is_uncached());
    }
}
