//! Waiting for the device.

use std::io;

use super::File;

impl File {
    /// Waits until content and attributes are on the device, of all writes that were over when this was
    /// called and of those of this file's cursor, flushed or not.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `fsync(2)`; that of a write of the cursor that failed and was not flushed. The kernel reports a failed writeback once: after an error, what was
    /// written since the last success may be lost, and calling again proves nothing.
    ///
    /// # Backend
    ///
    /// FSYNC (Linux 5.1); else `fsync(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// file.write_all_at("kept", 0).await?;
    /// file.sync_all().await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fsync")]
    pub async fn sync_all(&self) -> io::Result<()> {
        self.cursor.lock().await.written().await?;
        self.shared.clone().sync(false).await
    }

    /// Waits until the content is on the device, and those attributes that are needed to read it.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// As for [`sync_all`](File::sync_all).
    ///
    /// # Backend
    ///
    /// FSYNC (Linux 5.1); else `fdatasync(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// See [`sync_all`](File::sync_all).
    #[doc(alias = "fdatasync")]
    pub async fn sync_data(&self) -> io::Result<()> {
        self.cursor.lock().await.written().await?;
        self.shared.clone().sync(true).await
    }
}
