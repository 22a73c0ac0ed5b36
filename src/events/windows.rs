//! How many warnings a mount may cause: a dead one with a hundred thousand files is one fact, and not that
//! many. No clock is read here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::limits;

/// One mount's warnings since a moment.
struct Window {
    began: Instant,
    told: u32,
    suppressed: u64,
}

/// The warnings of each mount that lately had any; a mount without a known place is like one more mount.
#[derive(Default)]
pub(super) struct Windows(HashMap<Option<PathBuf>, Window>);

impl Windows {
    /// Whether a warning may be told now. If not, it is counted. What was counted in a window before this one
    /// is to be told by [`due`](Windows::due), which is to be asked first.
    pub(super) fn admit(&mut self, mount: Option<&Path>, now: Instant) -> bool {
        let mount = mount.map(Path::to_owned);
        // Past the bound, further mounts share the window of those without a place.
        let mount = if self.0.len() >= limits::MOUNTS_KNOWN_MAX && !self.0.contains_key(&mount) {
            None
        } else {
            mount
        };
        let window = self.0.entry(mount).or_insert(Window {
            began: now,
            told: 0,
            suppressed: 0,
        });
        if window.told < limits::WARNINGS_PER_MOUNT {
            window.told += 1;
            true
        } else {
            window.suppressed += 1;
            false
        }
    }

    /// Forgets the windows that are over; returns the mounts with warnings that were not told.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(Option<PathBuf>, u64)> {
        let mut due = Vec::new();
        self.0.retain(|mount, window| {
            let is_over = now.saturating_duration_since(window.began) >= limits::WARNINGS_WINDOW;
            if is_over && window.suppressed > 0 {
                due.push((mount.clone(), window.suppressed));
            }
            !is_over
        });
        due
    }

    /// When the next window is over of which something is to be told.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let counting = self.0.values().filter(|window| window.suppressed > 0);
        counting
            .map(|window| window.began + limits::WARNINGS_WINDOW)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A mount has its warnings, then a count of the others, then warnings again; each for itself.
    #[test]
    fn each_mount_has_a_few_warnings_and_then_a_count() {
        let (start, most) = (Instant::now(), u64::from(limits::WARNINGS_PER_MOUNT));
        let (dead, other) = (Some(Path::new("/dead")), Some(Path::new("/other")));
        let mut windows = Windows::default();
        let told = (0..most + 7).filter(|_| windows.admit(dead, start));
        assert_eq!(told.count() as u64, most);
        assert!(windows.admit(other, start) && windows.admit(None, start));
        let end = start + limits::WARNINGS_WINDOW;
        assert_eq!(windows.next_due(), Some(end));
        assert!(windows.due(end - Duration::from_millis(1)).is_empty());
        assert!(!windows.admit(dead, end - Duration::from_millis(1)));
        assert_eq!(windows.due(end), [(dead.map(Path::to_owned), 8)]);
        assert_eq!((windows.next_due(), windows.0.len()), (None, 0));
        assert!(windows.admit(dead, end));
    }

    /// However many mounts there are, those that are remembered are bounded, and none is silenced for that.
    #[test]
    fn mounts_past_the_bound_share_a_window() {
        let now = Instant::now();
        let mut windows = Windows::default();
        for number in 0..limits::MOUNTS_KNOWN_MAX * 2 {
            windows.admit(Some(Path::new(&format!("/{number}"))), now);
        }
        assert_eq!(windows.0.len(), limits::MOUNTS_KNOWN_MAX + 1);
        let due = windows.due(now + limits::WARNINGS_WINDOW);
        let more = limits::MOUNTS_KNOWN_MAX as u64 - u64::from(limits::WARNINGS_PER_MOUNT);
        assert_eq!(due, [(None, more)]);
    }
}
