//! Waiting for a thread's call within the poll that began it, for a moment and without sleeping.
//!
//! A call that looks at memory only is over before the poll's own thread could go to sleep and be woken: those two
//! switches take longer than the call. Whether a mount's calls are such, it says itself: once some of them were not,
//! nobody waits for many of the next.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use crate::limits;
use crate::sys::thread;

/// What the last waits for one mount's threads came to.
#[derive(Debug, Default)]
pub(super) struct Moments {
    /// Above zero, how many more may fail at a time; below, how many are still to be left out.
    luck: AtomicI32,
}

impl Moments {
    const GOOD: i32 = 8;
    /// One that fails takes as much as it may; so four of five have to be worth while.
    const FAILED: i32 = -4;
    const LEFT_OUT: i32 = -256;

    /// Waits until it is over, but only for a moment; whether it is.
    pub(super) fn wait(&self, mut is_over: impl FnMut() -> bool) -> bool {
        if !self.is_worth_while() {
            return false;
        }
        let began = Instant::now();
        let mut over = is_over();
        while !over && began.elapsed() < limits::MOMENT {
            (0..limits::MOMENT_LOOK_EVERY).for_each(|_| spin_loop());
            over = is_over();
        }
        self.note(over);
        over
    }

    /// Where there is only one processor, the thread that is waited for could not run meanwhile.
    fn is_worth_while(&self) -> bool {
        let luck = self.luck.load(Ordering::Relaxed);
        if luck < 0 {
            self.luck.store(luck + 1, Ordering::Relaxed);
        }
        luck >= 0 && thread::has_others()
    }

    fn note(&self, over: bool) {
        let luck = self.luck.load(Ordering::Relaxed);
        let luck = match (over, luck + Moments::FAILED) {
            (true, _) => (luck + 1).min(Moments::GOOD),
            (false, left) if left >= 0 => left,
            (false, _) => Moments::LEFT_OUT,
        };
        self.luck.store(luck, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What never ends in time is waited for once in a while only, and what does, each time.
    #[test]
    fn who_is_late_is_waited_for_seldom() {
        let moments = Moments::default();
        let mut looks = 0;
        let mut waits = 0;
        for _ in 0..1000 {
            let before = looks;
            let over = moments.wait(|| {
                looks += 1;
                false
            });
            assert!(!over);
            waits += i32::from(looks > before);
        }
        assert!(waits <= 4, "{waits} waits");
        if !thread::has_others() {
            println!("skip: who_is_late_is_waited_for_seldom: one processor");
            return;
        }
        assert!(waits > 0, "it was never looked at");
        let moments = Moments::default();
        assert!((0..1000).all(|_| moments.wait(|| true)));
        // A single one that is late among them changes nothing.
        assert!(!moments.wait(|| false));
        assert!(moments.wait(|| true));
    }
}
