//! What the blocks of the shared files may hold.

use std::collections::HashSet;

/// Bytes of a block, which one operation reads or writes.
pub(crate) const BLOCK: usize = 512;

/// A block's bytes: its place and who wrote it, again and again.
pub(crate) fn filled(place: usize, id: u64) -> Vec<u8> {
    word(place, id).to_le_bytes().repeat(BLOCK / 8)
}

fn word(place: usize, id: u64) -> u64 {
    (place as u64) << 48 | id
}

/// One block: which writes its words may come from.
#[derive(Clone, Default)]
pub(crate) struct Block {
    /// The last write that is over, or what was read when all were.
    base: HashSet<u64>,
    /// Writes that were given up and may take effect at any time, in part or as a whole.
    unknown: HashSet<u64>,
    /// Writes that were said to have had no effect.
    never: HashSet<u64>,
}

impl Block {
    pub(crate) fn fresh() -> Block {
        Block {
            base: HashSet::from([0]),
            ..Block::default()
        }
    }

    pub(crate) fn wrote(&mut self, id: u64) {
        self.base = HashSet::from([id]);
    }

    pub(crate) fn may_have_written(&mut self, id: u64) {
        self.unknown.insert(id);
    }

    pub(crate) fn has_not_written(&mut self, id: u64) {
        self.never.insert(id);
    }

    /// Checks what was read of it.
    pub(crate) fn check(&self, place: usize, bytes: &[u8]) {
        for found in words(bytes) {
            let known = [&self.base, &self.unknown];
            let mut known = known.into_iter().flatten();
            assert!(
                found == 0 && self.base.contains(&0) || known.any(|&id| word(place, id) == found),
                "block {place} holds {found:#x}: last {:x?}, given up {:x?}, without effect {:x?}",
                self.base,
                self.unknown,
                self.never,
            );
        }
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let words = bytes.chunks_exact(8);
    words.map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
}
