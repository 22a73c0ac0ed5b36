//! Many ranges of a file at a time.

use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::File;
use crate::op::ranges;

impl File {
    /// Reads many byte ranges, in any order and overlapping as they like; the results are in the order of
    /// the ranges. Each has the bytes that there are in its range: fewer at the end of the file, none beyond
    /// it. Who knows how long a range must be compares.
    ///
    /// Up to 32 reads are in flight at a time, and another starts as soon as one is over. Ranges that are
    /// less than 16 KiB apart are read as one, up to 1 MiB, and then share memory: one of them that is kept
    /// keeps that of all. Longer ranges are read by several reads at a time. A file that was opened for
    /// direct I/O is read by whole blocks, into aligned memory that is used again once what was read is dropped.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Those of `pread(2)`, the first that comes; `InvalidInput` for a range that ends before it begins, or
    /// beyond `i64::MAX`; `OutOfMemory` for one that is longer than memory.
    ///
    /// # Backend
    ///
    /// As for [`read_at`](File::read_at), as often as it takes.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("f");
    /// # tidegate::fs::write(&path, b"one, two, three").await?;
    /// let file = tidegate::fs::File::open(&path).await?;
    /// let words = file.read_ranges(&[10..15, 0..3, 5..8]).await?;
    /// assert_eq!(words, ["three", "one", "two"]);
    /// # Ok(()) }
    /// ```
    pub fn read_ranges(
        &self,
        ranges: &[Range<u64>],
    ) -> impl Future<Output = io::Result<Vec<Bytes>>> + Send + use<> {
        ranges::read_ranges(self.shared.clone(), ranges.to_vec())
    }
}
