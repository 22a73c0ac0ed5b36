//! Which of many numbered things are free, and how many wait for one: taken and given back without a lock.
//!
//! Whoever waits says so first and looks for a free one afterwards; whoever gives one back gives it first and
//! looks for waiters afterwards, all in one order that everybody sees. So one of the two always sees the
//! other.

use super::sync::{AtomicU64, Ordering};

/// A set of numbers below a bound, from which each member is taken by one thread only.
pub(crate) struct Bits {
    words: Box<[AtomicU64]>,
    /// How many words have had a member: those behind are not looked at.
    used: AtomicU64,
}

impl Bits {
    /// Room for the numbers below `bound`, a multiple of 64, with none of them in it.
    pub(crate) fn none(bound: usize) -> Bits {
        Bits::filled(bound, 0)
    }

    /// The numbers below `bound`, a multiple of 64.
    pub(crate) fn all(bound: usize) -> Bits {
        let bits = Bits::filled(bound, u64::MAX);
        bits.used.store(bits.words.len() as u64, Ordering::SeqCst);
        bits
    }

    fn filled(bound: usize, word: u64) -> Bits {
        Bits {
            words: (0..bound / 64).map(|_| AtomicU64::new(word)).collect(),
            used: AtomicU64::new(0),
        }
    }

    /// Puts a number in. It is the caller's, who has taken it before or was the first to have it: what the caller
    /// did with it comes before what the next one does.
    pub(crate) fn give(&self, number: usize) {
        let (word, bit) = (number / 64, 1 << (number % 64));
        if self.used.load(Ordering::SeqCst) <= word as u64 {
            self.used.fetch_max(word as u64 + 1, Ordering::SeqCst);
        }
        let before = self.words[word].fetch_or(bit, Ordering::SeqCst);
        debug_assert_eq!(before & bit, 0, "{number} was given twice");
    }

    /// Takes a number out, if there is one; `hint` tells callers apart, so that they do not all want the same.
    pub(crate) fn take(&self, hint: usize) -> Option<usize> {
        let used = self.used.load(Ordering::SeqCst) as usize;
        (0..used).find_map(|step| {
            let word = (hint + step) % used;
            let bit = take_bit(&self.words[word], (hint % 64) as u32)?;
            Some(word * 64 + bit as usize)
        })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        let words = self.words.iter();
        words
            .map(|word| word.load(Ordering::SeqCst).count_ones() as usize)
            .sum()
    }
}

/// The first bit from `from` on, going round.
fn take_bit(word: &AtomicU64, from: u32) -> Option<u32> {
    let mut seen = word.load(Ordering::SeqCst);
    while seen != 0 {
        let bit = (seen.rotate_right(from).trailing_zeros() + from) % 64;
        let before = word.fetch_and(!(1 << bit), Ordering::SeqCst);
        if before & (1 << bit) != 0 {
            return Some(bit);
        }
        seen = before;
    }
    None
}

/// How many wait for a member.
pub(crate) struct Waiting(AtomicU64);

impl Waiting {
    pub(crate) fn new() -> Waiting {
        Waiting(AtomicU64::new(0))
    }

    /// Says that somebody waits, until the mark is dropped. To be followed by a look at what is free.
    pub(crate) fn mark(&self) -> Mark<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Mark(self)
    }

    /// To be asked after something was given back, which is lost on somebody who sleeps otherwise.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Somebody who waits.
pub(crate) struct Mark<'a>(&'a Waiting);

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
