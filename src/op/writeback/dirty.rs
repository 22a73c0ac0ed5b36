//! Which bytes of a file were written since their write-out was last begun. Nothing here calls anything.

use std::ops::Range;

use crate::limits;

/// What is to be written out together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Up to the end of the file if its end is `u64::MAX`.
    pub(super) range: Range<u64>,
    /// How many of its bytes are dirty.
    pub(super) bytes: u64,
}

impl Chunk {
    /// Whether all of it was written here: nobody else's pages are in it.
    pub(super) fn is_whole(&self) -> bool {
        self.bytes == self.range.end - self.range.start
    }
}

/// See the module. Ranges are in order and do not touch.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    chunks: Vec<Chunk>,
    /// Bytes that went where only the kernel knows: to the end, or to its own position.
    astray: u64,
}

impl Dirty {
    pub(super) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum::<u64>() + self.astray
    }

    /// These bytes were written.
    pub(super) fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self
            .chunks
            .partition_point(|chunk| chunk.range.end < range.start);
        let last = self
            .chunks
            .partition_point(|chunk| chunk.range.start <= range.end);
        let mut merged = Chunk {
            bytes: range.end - range.start,
            range,
        };
        for chunk in self.chunks.drain(first..last) {
            let overlap = chunk
                .range
                .end
                .min(merged.range.end)
                .saturating_sub(chunk.range.start.max(merged.range.start));
            merged.bytes += chunk.bytes.saturating_sub(overlap);
            merged.range.start = merged.range.start.min(chunk.range.start);
            merged.range.end = merged.range.end.max(chunk.range.end);
        }
        self.chunks.insert(first, merged);
        if self.chunks.len() > limits::WRITEBACK_RANGES_MAX {
            self.join_nearest();
        }
    }

    /// So many bytes were written, nobody knows where.
    pub(super) fn add_astray(&mut self, bytes: u64) {
        self.astray += bytes;
    }

    /// Makes one of the two neighbours with the least between them.
    fn join_nearest(&mut self) {
        let gap = |at: usize| self.chunks[at + 1].range.start - self.chunks[at].range.end;
        if let Some(at) = (0..self.chunks.len() - 1).min_by_key(|&at| gap(at)) {
            let next = self.chunks.remove(at + 1);
            self.chunks[at].range.end = next.range.end;
            self.chunks[at].bytes += next.bytes;
        }
    }

    /// A finished chunk, if there are so many bytes: of the longest run, and of what a seek has left behind once that
    /// comes to as much.
    pub(super) fn take(&mut self, chunk_bytes: u64) -> Option<Chunk> {
        if self.bytes() < chunk_bytes {
            return None;
        }
        self.take_any(chunk_bytes)
    }

    /// A chunk of at most so many bytes, finished or not.
    pub(super) fn take_any(&mut self, chunk_bytes: u64) -> Option<Chunk> {
        let most = (0..self.chunks.len()).max_by_key(|&at| self.chunks[at].bytes);
        let least = most.map_or(0, |at| self.chunks[at].bytes);
        if self.astray > 0 && self.astray >= least {
            let bytes = std::mem::take(&mut self.astray);
            return Some(Chunk {
                range: 0..u64::MAX,
                bytes,
            });
        }
        let at = most?;
        let chunk = &mut self.chunks[at];
        if chunk.bytes <= chunk_bytes || !chunk.is_whole() {
            return Some(self.chunks.remove(at));
        }
        // An end that a large page does not straddle, so that it can leave the cache.
        let end = chunk.range.start + chunk_bytes;
        let aligned = end - end % limits::WRITEBACK_ALIGN_BYTES;
        let end = if aligned > chunk.range.start {
            aligned
        } else {
            end
        };
        let taken = chunk.range.start..end;
        chunk.bytes -= end - chunk.range.start;
        chunk.range.start = end;
        Some(Chunk {
            bytes: taken.end - taken.start,
            range: taken,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn chunk(range: Range<u64>, bytes: u64) -> Option<Chunk> {
        Some(Chunk { range, bytes })
    }

    /// M8: less than a chunk is nothing to do; one large write is cut.
    #[test]
    fn a_stream_is_cut_into_chunks() {
        let mut dirty = Dirty::default();
        dirty.add(0..8 * MIB - 1);
        assert_eq!(dirty.take(8 * MIB), None);
        dirty.add(8 * MIB - 1..33 * MIB);
        for at in 0..4 {
            let range = 8 * at * MIB..8 * (at + 1) * MIB;
            assert_eq!(dirty.take(8 * MIB), chunk(range, 8 * MIB));
        }
        assert_eq!(dirty.take(8 * MIB), None);
        assert_eq!(dirty.take_any(8 * MIB), chunk(32 * MIB..33 * MIB, MIB));
        assert_eq!((dirty.take_any(1), dirty.bytes()), (None, 0));
    }

    /// The first cut of a stream that begins anywhere ends where large pages do.
    #[test]
    fn cuts_are_aligned() {
        let mut dirty = Dirty::default();
        dirty.add(MIB..10 * MIB);
        assert_eq!(dirty.take(8 * MIB), chunk(MIB..8 * MIB, 7 * MIB));
    }

    /// M9: a seek forgets nothing, and one to the same place does nothing. Writes that end in another order than they
    /// began are a stream, too.
    #[test]
    fn what_a_seek_leaves_behind_is_written_out() {
        let mut dirty = Dirty::default();
        dirty.add(0..3 * MIB);
        dirty.add(90 * MIB..92 * MIB);
        assert_eq!(dirty.take(8 * MIB), None);
        dirty.add(3 * MIB..4 * MIB);
        dirty.add(94 * MIB..96 * MIB);
        dirty.add(92 * MIB..94 * MIB);
        let first = dirty.take(8 * MIB);
        assert_eq!(first, chunk(90 * MIB..96 * MIB, 6 * MIB));
        assert_eq!(dirty.take_any(8 * MIB), chunk(0..4 * MIB, 4 * MIB));
    }

    /// What was written astray is written out with the whole file.
    #[test]
    fn what_went_astray_takes_the_whole_file() {
        let mut dirty = Dirty::default();
        dirty.add_astray(5 * MIB);
        dirty.add(0..MIB);
        assert_eq!(dirty.take(4 * MIB), chunk(0..u64::MAX, 5 * MIB));
        assert_eq!(dirty.bytes(), MIB);
    }

    /// Random writes never are more ranges than there may be, no byte is forgotten, and a chunk that has bytes of
    /// nobody's is not taken for whole.
    #[test]
    fn no_byte_is_forgotten() {
        for seed in 0..200_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut random = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let (mut dirty, mut model) = (Dirty::default(), BTreeSet::new());
            for _ in 0..300 {
                let start = random(4000);
                let end = start + random(20);
                dirty.add(start..end);
                model.extend(start..end);
                assert!(dirty.chunks.len() <= limits::WRITEBACK_RANGES_MAX);
                assert!(dirty.bytes() <= model.len() as u64, "seed {seed}");
                if random(20) == 0 {
                    check(dirty.take(64), &mut model, seed);
                }
            }
            while let Some(chunk) = dirty.take_any(64) {
                check(Some(chunk), &mut model, seed);
            }
            assert!(model.is_empty(), "seed {seed}: {model:?}");
        }
    }

    fn check(chunk: Option<Chunk>, model: &mut BTreeSet<u64>, seed: u64) {
        let Some(chunk) = chunk else { return };
        let all = chunk.range.clone().all(|byte| model.contains(&byte));
        assert!(all || !chunk.is_whole(), "seed {seed}: {chunk:?}");
        model.retain(|byte| !chunk.range.contains(byte));
    }
}
