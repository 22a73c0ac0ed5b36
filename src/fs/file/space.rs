//! Length and space.

use std::io;

use super::{Advice, File, Space};
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
            let invalid = io::ErrorKind::InvalidInput.into();
            return Err(self.shared.tell(Kind::SetLen, invalid));
        }
        let mut cursor = self.cursor.lock().await;
        cursor.idle().await;
        // What was read ahead of the caller may be cut off now.
        cursor.give_all_back(&self.shared).await?;
        self.shared.clone().set_len(len).await
    }

    /// Reserves, frees or zeroes the space of `len` bytes at `offset`, takes it out or puts it in:
    /// [`Space`] says which.
    ///
    /// # Cancel safety
    ///
    /// May take partial effect.
    ///
    /// # Errors
    ///
    /// Those of `fallocate(2)`, among them `StorageFull`, and `Unsupported` where the filesystem or the system
    /// cannot: nothing is done in its place.
    ///
    /// # Backend
    ///
    /// FALLOCATE (Linux 5.6); else `fallocate(2)` on a blocking thread. FreeBSD has
    /// [`Space::ReserveExtend`] alone, macOS none.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{File, Space};
    /// # let dir = tempfile::tempdir()?;
    /// let file = File::create(dir.path().join("f")).await?;
    /// match file.allocate(0, 1 << 20, Space::Reserve).await {
    ///     Ok(()) => assert_eq!(file.metadata().await?.len(), 0),
    ///     Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
    /// }
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fallocate")]
    pub fn allocate(
        &self,
        offset: u64,
        len: u64,
        how: Space,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        self.shared.clone().allocate(offset, len, how)
    }

    /// Tells how `len` bytes at `offset` will be used; a `len` of zero means up to the end.
    ///
    /// Where reads are answered at the poll, the kernel may not read ahead for this file, and this
    /// crate does: for these files `Sequential` makes it read ahead from the next miss on, `Random` makes it
    /// stop, and `Normal` makes it watch the reads again. To the kernel they stay random, also to other
    /// holders of the descriptor. All else goes to the kernel as it is.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `posix_fadvise(2)`; `Unsupported` on macOS.
    ///
    /// # Backend
    ///
    /// FADVISE (Linux 5.6), for lengths under 4 GiB; else `posix_fadvise(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{Advice, File};
    /// let file = File::open("/etc/passwd").await?;
    /// # if cfg!(not(target_os = "macos")) {
    /// file.advise(0, 0, Advice::WillNeed).await?;
    /// # }
    /// # Ok(()) }
    /// ```
    #[doc(alias = "posix_fadvise")]
    pub fn advise(
        &self,
        offset: u64,
        len: u64,
        advice: Advice,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        self.shared.clone().advise(offset, len, advice)
    }
}
