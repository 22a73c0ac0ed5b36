//! Length and space.

use std::io;

use super::File;
use crate::error::Error;
use crate::opcode::Kind;

impl File {
    /// Sets the length in bytes: cuts the file off, or lengthens it with a hole.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `ftruncate(2)`.
    ///
    /// # Backend
    ///
    /// FTRUNCATE (Linux 6.9); else `ftruncate(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// file.set_len(1 << 30).await?;
    /// assert_eq!(file.metadata().await?.len(), 1 << 30);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "ftruncate")]
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        if i64::try_from(len).is_err() {
            return Err(Error::io(
                Kind::SetLen,
                None,
                io::ErrorKind::InvalidInput.into(),
            ));
        }
        let mut cursor = self.cursor.lock().await;
        cursor.idle().await;
        // What was read ahead of the caller may be cut off now.
        cursor.give_back();
        self.shared.clone().set_len(len).await
    }

    /// Reserves space for `len` bytes at `offset`, so that writing there cannot run out of it. The
    /// length of the file grows if the range ends beyond it.
    ///
    /// # Cancel safety
    ///
    /// May take partial effect.
    ///
    /// # Errors
    ///
    /// Those of `fallocate(2)`, among them `StorageFull` and `Unsupported`.
    ///
    /// # Backend
    ///
    /// FALLOCATE (Linux 5.6); else `fallocate(2)` on a blocking thread, and outside of Linux only the
    /// length is set.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// if let Err(error) = file.allocate(0, 1 << 20).await {
    ///     assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    /// }
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fallocate")]
    pub async fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.shared.clone().allocate(offset, len, false).await
    }
}
