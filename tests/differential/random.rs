//! Numbers from a seed, and how an outcome is told.

use std::fmt::Debug;
use std::io;

/// Numbers from a seed, the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn bytes(&mut self, most: u64) -> Vec<u8> {
        let (length, first) = (self.below(most + 1), self.below(256));
        (0..length).map(|n| (n + first) as u8).collect()
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// Bytes by length and sum where they are many.
pub(crate) fn brief(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0_u64, |sum, &byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    format!("{} bytes, {sum:x}", bytes.len())
}

/// With kind, number, and the text of what has a number: the other texts change with the version of std.
pub(crate) fn told<T: Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => {
            let text = error.raw_os_error().map(|_| error.to_string());
            format!("{:?}, {:?}, {text:?}", error.kind(), error.raw_os_error())
        }
    }
}

/// With the kind alone: of a write that failed in the background tokio keeps no more.
pub(crate) fn kind<T: Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}
