//! How large a chunk is, and whether its write-out is waited for. Nothing here calls anything: it is fed with what
//! was measured, and says what is to be done.

use std::time::Duration;

use crate::limits;

/// A change of the size of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resized {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) p95: Duration,
}

/// Whether write-outs are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// They are not since that moment, in microseconds, as one did not end in time.
    Degraded(u64),
    Healthy,
    /// One is, to see whether it ends now.
    Trial,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Control {
    chunk: u64,
    floor: u64,
    most: u64,
    /// The last waits, in microseconds, and where the next one goes.
    window: Vec<u64>,
    next: usize,
    mode: Mode,
    /// How long a bad time lasts at least, in microseconds.
    rest_us: u64,
}

impl Control {
    /// Chunks of `chunk` bytes at first, and of these bounds.
    pub(super) fn new(chunk: u64, floor: u64, most: u64, rest: Duration) -> Control {
        Control {
            rest_us: u64::try_from(rest.as_micros()).unwrap_or(u64::MAX),
            chunk: chunk.clamp(floor, most),
            floor,
            most,
            window: Vec::new(),
            next: 0,
            mode: Mode::Healthy,
        }
    }

    pub(super) fn chunk(&self) -> u64 {
        self.chunk
    }

    pub(super) fn is_degraded(&self) -> bool {
        self.mode != Mode::Healthy
    }

    /// A write-out was waited for that long, and ended in time. Returns a change of the size.
    pub(super) fn waited(&mut self, wait: Duration) -> Option<Resized> {
        let wait_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        if self.window.len() < limits::WRITEBACK_WINDOW {
            self.window.push(wait_us);
        } else {
            self.window[self.next] = wait_us;
            self.next = (self.next + 1) % limits::WRITEBACK_WINDOW;
        }
        if self.window.len() < limits::WRITEBACK_WINDOW {
            return None;
        }
        let p95 = Duration::from_micros(self.p95_us());
        let to = if p95 > limits::WRITEBACK_WAIT_LONG {
            self.chunk.saturating_mul(2).min(self.most)
        } else if p95 < limits::WRITEBACK_WAIT_SHORT {
            (self.chunk / 2).max(self.floor)
        } else {
            self.chunk
        };
        if to == self.chunk {
            return None;
        }
        let from = std::mem::replace(&mut self.chunk, to);
        self.forget();
        Some(Resized { from, to, p95 })
    }

    /// By nearest rank, so that of 32 waits one may be out of line.
    fn p95_us(&self) -> u64 {
        let mut sorted = self.window.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 95).div_ceil(100);
        sorted[rank - 1]
    }

    /// What was measured with another size says nothing of this one.
    fn forget(&mut self) {
        self.window.clear();
        self.next = 0;
    }

    /// A write-out did not end in time: none is waited for, and chunks are as small as they get. Returns whether that
    /// is news.
    pub(super) fn expired(&mut self, now_us: u64) -> bool {
        let is_news = self.mode == Mode::Healthy;
        self.mode = Mode::Degraded(now_us);
        self.chunk = self.floor;
        self.forget();
        is_news
    }

    /// Whether a write-out may begin now, and be waited for. `stuck` are those that were given up and are not over.
    pub(super) fn may_begin(&mut self, now_us: u64, stuck: usize) -> bool {
        match self.mode {
            Mode::Healthy => true,
            Mode::Trial => false,
            Mode::Degraded(since_us) => {
                let is_due = stuck == 0 && now_us >= since_us.saturating_add(self.rest_us);
                if is_due {
                    self.mode = Mode::Trial;
                }
                is_due
            }
        }
    }

    /// A write-out ended in time, well or not. Returns whether it was the trial.
    pub(super) fn ended_in_time(&mut self) -> bool {
        let was_trial = self.mode == Mode::Trial;
        if was_trial {
            self.mode = Mode::Healthy;
        }
        was_trial
    }

    /// The trial came to nothing: another one may follow at once.
    pub(super) fn never_began(&mut self) {
        if self.mode == Mode::Trial {
            self.mode = Mode::Degraded(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn control() -> Control {
        Control::new(32 * MIB, 4 * MIB, 256 * MIB, limits::WRITEBACK_REST)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Feeds so many waits; returns the changes.
    fn feed(control: &mut Control, count: usize, wait: Duration) -> Vec<(u64, u64)> {
        let changes = (0..count).filter_map(|_| control.waited(wait));
        changes.map(|one| (one.from / MIB, one.to / MIB)).collect()
    }

    /// M3: the size at first is within the bounds.
    #[test]
    fn the_first_size_is_clamped() {
        for (first, chunk) in [(1, 4 * MIB), (u64::MAX, 256 * MIB)] {
            let control = Control::new(first, 4 * MIB, 256 * MIB, limits::WRITEBACK_REST);
            assert_eq!(control.chunk(), chunk);
        }
    }

    /// M4: nothing changes before the window is full.
    #[test]
    fn nothing_changes_before_the_window_is_full() {
        let mut control = control();
        assert!(feed(&mut control, limits::WRITEBACK_WINDOW - 1, ms(9000)).is_empty());
        assert_eq!(feed(&mut control, 1, ms(9000)), [(32, 64)]);
    }

    /// M5: longer than 200 ms doubles, shorter than 20 ms halves; both bounds themselves change nothing.
    #[test]
    fn long_waits_double_and_short_ones_halve() {
        for (wait, changes) in [
            (ms(200), vec![]),
            (ms(20), vec![]),
            (ms(100), vec![]),
            (ms(200) + Duration::from_micros(1), vec![(32, 64)]),
            (ms(20) - Duration::from_micros(1), vec![(32, 16)]),
            (Duration::ZERO, vec![(32, 16)]),
            (Duration::MAX, vec![(32, 64)]),
        ] {
            let fed = feed(&mut control(), limits::WRITEBACK_WINDOW, wait);
            assert_eq!(fed, changes, "{wait:?}");
        }
    }

    /// M6: a change empties the window, so that one episode does not run to the bound.
    #[test]
    fn a_change_empties_the_window() {
        let mut control = control();
        assert_eq!(
            feed(&mut control, limits::WRITEBACK_WINDOW, ms(900)).len(),
            1
        );
        let after = feed(&mut control, limits::WRITEBACK_WINDOW - 1, ms(900));
        assert!(after.is_empty());
        assert_eq!(feed(&mut control, 1, ms(900)), [(64, 128)]);
    }

    /// The bounds are kept, and no change is told there.
    #[test]
    fn the_bounds_are_kept() {
        let mut control = control();
        let up = feed(&mut control, 10 * limits::WRITEBACK_WINDOW, ms(900));
        assert_eq!(up, [(32, 64), (64, 128), (128, 256)]);
        let down = feed(&mut control, 20 * limits::WRITEBACK_WINDOW, ms(1));
        assert_eq!(down.last(), Some(&(8, 4)));
        assert_eq!(control.chunk(), 4 * MIB);
    }

    /// M6: one wait out of line does not make a p95, two do; also once the window slides.
    #[test]
    fn one_wait_out_of_line_changes_nothing() {
        let mut control = control();
        feed(&mut control, limits::WRITEBACK_WINDOW, ms(100));
        assert!(feed(&mut control, 1, ms(9000)).is_empty());
        assert_eq!(feed(&mut control, 1, ms(9000)), [(32, 64)]);
    }

    /// An old wait leaves the window.
    #[test]
    fn the_window_slides() {
        let mut control = control();
        feed(&mut control, limits::WRITEBACK_WINDOW, ms(100));
        assert!(feed(&mut control, 1, ms(9000)).is_empty());
        assert!(feed(&mut control, limits::WRITEBACK_WINDOW, ms(100)).is_empty());
        assert!(feed(&mut control, 1, ms(9000)).is_empty());
    }

    /// M15, M16, M17: a wait that ran out is news once; then nothing begins until the stuck one is over and some time
    /// has passed, and one trial decides.
    #[test]
    fn one_trial_ends_a_bad_time() {
        let rest_us = limits::WRITEBACK_REST.as_micros() as u64;
        let mut control = control();
        assert!(control.may_begin(0, 0));
        assert!(control.expired(100));
        assert_eq!((control.chunk(), control.is_degraded()), (4 * MIB, true));
        assert!(!control.expired(200), "told once");
        assert!(!control.may_begin(199 + rest_us, 0), "too early");
        assert!(!control.may_begin(200 + rest_us, 1), "one is still stuck");
        assert!(control.may_begin(200 + rest_us, 0));
        assert!(!control.may_begin(900 + rest_us, 0), "one at a time");
        assert!(!control.expired(1000 + rest_us), "the same bad time");
        assert!(!control.may_begin(1000 + rest_us, 0));
        assert!(control.may_begin(1000 + 2 * rest_us, 0));
        assert!(control.ended_in_time());
        assert!(!control.is_degraded() && !control.ended_in_time());
        assert!(control.expired(5000 + 2 * rest_us), "news again");
    }

    /// M19: what did not run is neither a success nor a wait of no time.
    #[test]
    fn a_trial_that_did_not_run_decides_nothing() {
        let rest_us = limits::WRITEBACK_REST.as_micros() as u64;
        let mut control = control();
        control.expired(0);
        assert!(control.may_begin(rest_us, 0));
        control.never_began();
        assert!(control.is_degraded());
        assert!(control.may_begin(rest_us, 0));
    }
}
