//! Signs that a mount gets on, by which a default limit is told from a queue: which operations ended, in the order
//! of their beginnings, and what the disk has done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::base::clock::coarse_ms;
use crate::base::lock::lock;
use crate::limits;
use crate::mounts::Mount;
use crate::opcode::{CancelLeaves, DeadlineClass, Kind};
use crate::sys::moving::Disks;

/// Shares of the moments at which operations began.
const SHARES: usize = 64;
/// The unit of the moments at which they ended, so that half a word has room for years.
const UNIT_MS: u64 = 16;

/// What an operation waits for of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Changes,
    Looks,
    Syncs,
}

impl Sort {
    fn of(kind: Kind) -> Sort {
        let row = kind.row();
        match row.cancel_leaves {
            _ if row.deadline_class == DeadlineClass::Sync => Sort::Syncs,
            CancelLeaves::NoEffect | CancelLeaves::ResourceReclaimed => Sort::Looks,
            _ => Sort::Changes,
        }
    }
}

/// See the module. Moments are in coarse milliseconds.
pub(crate) struct Progress {
    /// How long a share is; zero where there are no default limits.
    share_ms: u64,
    /// By when they began: which share that was, and when the last of it ended.
    ended: [AtomicU64; SHARES],
    /// When the youngest began that has ended, by sort.
    youngest_ms: [AtomicU64; 3],
    disk: Disk,
}

#[derive(Default)]
struct Disk {
    disks: OnceLock<Disks>,
    last: Mutex<Option<Sample>>,
    /// When it was last seen to have done something of any kind, and a change; zero for never.
    moved_ms: AtomicU64,
    changed_ms: AtomicU64,
}

#[derive(Clone, Copy)]
struct Sample {
    at_ms: u64,
    done: (u64, u64),
}

impl Progress {
    /// `patience` is the shortest default limit there is.
    pub(crate) fn new(patience: Option<Duration>) -> Progress {
        let share = patience.map(|patience| patience / limits::PROGRESS_SHARES);
        Progress {
            share_ms: share.map_or(0, |share| (share.as_millis() as u64).max(1)),
            ended: [const { AtomicU64::new(0) }; SHARES],
            youngest_ms: [const { AtomicU64::new(0) }; 3],
            disk: Disk::default(),
        }
    }

    fn share_of(&self, began_ms: u64) -> u64 {
        began_ms / self.share_ms + 1
    }

    /// One that began then has ended, or one of its steps has. An older share that has the same place is of no use
    /// to anybody by then, unless operations end in the reverse of the order in which they begin.
    pub(crate) fn moved(&self, began_ms: u64, at_ms: u64) {
        if self.share_ms == 0 {
            return;
        }
        let share = self.share_of(began_ms);
        let ended = share << 32 | (at_ms / UNIT_MS) & u64::from(u32::MAX);
        let place = &self.ended[share as usize % SHARES];
        // A step may be told late.
        let before = place.load(Ordering::Relaxed);
        if before >> 32 != share || before < ended {
            place.store(ended, Ordering::Relaxed);
        }
    }

    pub(crate) fn ended(&self, kind: Kind, began_ms: u64, at_ms: u64) {
        self.moved(began_ms, at_ms);
        let youngest = &self.youngest_ms[Sort::of(kind) as usize];
        if youngest.load(Ordering::Relaxed) < began_ms {
            youngest.fetch_max(began_ms, Ordering::Relaxed);
        }
    }

    /// When the last of those ended that began before this one or at about the same time. What came later and is
    /// done is no sign: a file can be stuck among others that are not.
    pub(crate) fn in_order_ms(&self, began_ms: u64) -> u64 {
        if self.share_ms == 0 {
            return 0;
        }
        let share = self.share_of(began_ms) + 1;
        let ended = self.ended.iter().map(|ended| ended.load(Ordering::Relaxed));
        let before = ended.filter(|ended| ended >> 32 <= share);
        let last = before.map(|ended| ended & u64::from(u32::MAX)).max();
        last.unwrap_or(0) * UNIT_MS
    }

    /// When the disk last did something that one which began then may wait for. What only looks and is overtaken by
    /// younger ones is stuck by itself.
    pub(crate) fn by_disk_ms(&self, kind: Kind, began_ms: u64) -> u64 {
        let reads_are_others = self.is_overtaken(Sort::Looks, began_ms);
        let seen = match (reads_are_others, Sort::of(kind)) {
            (true, Sort::Looks) => return 0,
            (true, Sort::Changes | Sort::Syncs) => &self.disk.changed_ms,
            // What changes reads, too.
            (false, _) => &self.disk.moved_ms,
        };
        seen.load(Ordering::Relaxed)
    }

    /// Whether one of that sort has ended that began later.
    fn is_overtaken(&self, by: Sort, began_ms: u64) -> bool {
        let youngest_ms = self.youngest_ms[by as usize].load(Ordering::Relaxed);
        youngest_ms > began_ms + 2 * self.share_ms
    }

    /// Looks at the disk's counters, unless that was done just now. Not for the watchdog.
    pub(crate) fn look_at_disk(&self, mount: &Arc<Mount>) {
        let now_ms = coarse_ms();
        let mut last = lock(&self.disk.last);
        if last.is_some_and(|last| now_ms.saturating_sub(last.at_ms) < self.share_ms) {
            return;
        }
        if self.disk.disks.get().is_none() {
            if let Some(disks) = mount.disks() {
                let _ = self.disk.disks.set(disks);
            }
        }
        let Some(disks) = self.disk.disks.get() else {
            return;
        };
        let Some(done) = disks.done() else { return };
        if let Some(last) = *last {
            if last.done != done {
                self.disk.moved_ms.store(now_ms, Ordering::Relaxed);
            }
            if last.done.1 != done.1 {
                self.disk.changed_ms.store(now_ms, Ordering::Relaxed);
            }
        }
        *last = Some(Sample {
            at_ms: now_ms,
            done,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE_MS: u64 = 1600;

    fn progress() -> Progress {
        Progress::new(Some(Duration::from_millis(PATIENCE_MS)))
    }

    /// Whatever ended of those that began before is a sign, whatever began later is none.
    #[test]
    fn only_what_began_before_is_a_sign() {
        let progress = progress();
        assert_eq!(progress.in_order_ms(1000), 0);
        progress.ended(Kind::Read, 1000, 1600);
        assert_eq!(progress.in_order_ms(1000), 1600, "at the same time");
        assert_eq!(progress.in_order_ms(5000), 1600, "before");
        assert_eq!(progress.in_order_ms(500), 0, "long after");
        progress.ended(Kind::Read, 4000, 4800);
        assert_eq!(progress.in_order_ms(1000), 1600);
        assert_eq!(progress.in_order_ms(4000), 4800);
        // A long queue: what ends began long before.
        for number in 0..100_000 {
            let began_ms = 10_000 + number;
            progress.ended(Kind::Read, began_ms, began_ms + 600_000);
            assert!(progress.in_order_ms(began_ms + 1) >= began_ms + 600_000 - UNIT_MS);
            assert!(progress.in_order_ms(9_000) <= 4800);
        }
        assert_eq!(Progress::new(None).in_order_ms(10), 0);
    }

    /// A moving disk is a sign, but not for what younger ones of its sort overtake.
    #[test]
    fn a_moving_disk_is_no_sign_for_what_is_overtaken() {
        let progress = progress();
        progress.disk.moved_ms.store(90_000, Ordering::Relaxed);
        progress.disk.changed_ms.store(80_000, Ordering::Relaxed);
        let by_disk = |kind| progress.by_disk_ms(kind, 1000);
        assert_eq!(by_disk(Kind::Read), 90_000);
        assert_eq!(by_disk(Kind::Write), 90_000);
        assert_eq!(by_disk(Kind::SyncAll), 90_000, "it reads, too");
        progress.ended(Kind::Read, 1100, 1200);
        assert_eq!(by_disk(Kind::Read), 90_000, "at about the same time");
        progress.ended(Kind::Read, 2000, 2100);
        assert_eq!(by_disk(Kind::Read), 0);
        assert_eq!(by_disk(Kind::SyncAll), 80_000, "the reads are of others");
    }
}
