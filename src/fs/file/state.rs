//! What is known of the writes to a file, and what becomes of those that nobody waits for.

use std::io;

use super::File;
pub use crate::op::health::FileState;

/// What happens to a write, a truncation or a sync that would overtake a write to the same bytes that
/// timed out, was cancelled or dropped, and is not over.
///
/// See [`File::set_overlap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overlap {
    /// It fails with [`Error::Overlaps`](crate::Error::Overlaps), at once.
    Fail,
    /// It waits until the other is over, within its own deadline. The default.
    #[default]
    Wait,
}

impl File {
    /// Whether what was written can be relied on. Shared by clones.
    ///
    /// A write that timed out is still with the kernel, and may reach the file at any time: the file is
    /// [`Indeterminate`](FileState::Indeterminate) until it is over. A sync that failed, or a write whose
    /// failure nobody heard of, makes it [`Poisoned`](FileState::Poisoned), because the kernel tells of a failed
    /// writeback once and says nothing at the next sync.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::fs::{File, FileState};
    /// let file = File::create(dir.path().join("f")).await?;
    /// file.write_all_at("kept", 0).await?;
    /// file.sync_all().await?;
    /// assert_eq!(file.state(), FileState::Healthy);
    /// # Ok(()) }
    /// ```
    pub fn state(&self) -> FileState {
        self.shared.health.state()
    }

    /// Takes note of the error that makes the file [`Poisoned`](FileState::Poisoned), and returns it; syncs
    /// and flushes succeed again. What was written before may be lost: write it again, from memory or from where it came.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// assert!(file.acknowledge().is_none());
    /// # Ok(()) }
    /// ```
    pub fn acknowledge(&self) -> Option<io::Error> {
        self.shared.health.acknowledge()
    }

    /// What happens to operations of this file and its clones that would overtake a write that nobody waits
    /// for any more and that is not over. They never do.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::fs::{File, Overlap};
    /// let file = File::create(dir.path().join("f")).await?;
    /// file.set_overlap(Overlap::Fail);
    /// # Ok(()) }
    /// ```
    pub fn set_overlap(&self, overlap: Overlap) {
        let refuse = overlap == Overlap::Fail;
        self.shared.health.refuse_overlaps(refuse);
    }

    /// Cancels every operation in flight on this descriptor, of this handle; each of them ends with
    /// [`Error::Cancelled`](crate::Error::Cancelled). Returns how many there were. What was accepted from the
    /// cursor is not among them.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let file = tidegate::fs::File::open("/etc/passwd").await?;
    /// assert_eq!(file.cancel_in_flight(), 0);
    /// # Ok(()) }
    /// ```
    pub fn cancel_in_flight(&self) -> usize {
        self.shared.cancel_in_flight()
    }
}
