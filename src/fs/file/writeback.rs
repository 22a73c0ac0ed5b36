//! Few dirty pages.

use super::{File, WritebackPolicy, WritebackStats};

impl File {
    /// Keeps the dirty pages of this file few, for a writer of much that goes from front to back: whatever a chunk is
    /// written, its write-out begins, and the writer waits only while two chunks are dirty. So neither memory fills up,
    /// nor does the disk stall everybody once it is full. It holds for every write through this file and its clones,
    /// positional or not; of several policies, the first counts.
    ///
    /// A chunk that was written out leaves the page cache, unless the policy keeps it. Chunks grow and shrink by how long
    /// the disk takes. If one does not end in time, none is waited for any more until the disk answers.
    ///
    /// A write-out that fails is told by the next write and by every sync, until
    /// [`acknowledge`](File::acknowledge). A success proves nothing: only a sync does. [`close`](File::close) writes out
    /// what is left, and waits for it. A dropped file is closed when its write-outs are over.
    ///
    /// There is nothing of it outside of Linux (but for [`no_cache`](WritebackPolicy::no_cache) on macOS), for files in memory, and for direct I/O: writes go their way there.
    ///
    /// # Backend
    ///
    /// `sync_file_range(2)` and `posix_fadvise(2)` on blocking threads; on an overlay, `fdatasync(2)`. On local
    /// filesystems, writes of 256 KiB and more with `RWF_DONTCACHE` (Linux 6.14) where that is measured to be quicker.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{File, WritebackPolicy};
    /// use tokio::io::AsyncWriteExt;
    /// # let dir = tempfile::tempdir()?;
    /// let file = File::create(dir.path().join("backup")).await?;
    /// let mut file = file.with_writeback(WritebackPolicy::new());
    /// for part in 0..64_u8 {
    ///     file.write_all(&vec![part; 1 << 20]).await?;
    /// }
    /// file.sync_all().await?;
    /// let stats = file.writeback_stats().unwrap();
    /// assert!(stats.bytes_dirty_peak <= 2 * (32 << 20) || !stats.is_active);
    /// file.close().await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "sync_file_range")]
    #[must_use]
    pub fn with_writeback(self, policy: WritebackPolicy) -> File {
        self.shared.bound(policy);
        self
    }

    /// What [`with_writeback`](File::with_writeback) has done so far; `None` without it.
    ///
    /// # Examples
    ///
    /// See [`with_writeback`](File::with_writeback).
    pub fn writeback_stats(&self) -> Option<WritebackStats> {
        self.shared.writeback_stats()
    }
}
