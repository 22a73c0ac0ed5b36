//! Waiting for the device.

use std::io;

use super::File;

impl File {
    /// Waits until content and attributes are on the device. Writes that are not over when this is
    /// called are not waited for, except those of this file's own cursor: call `flush` first.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `fsync(2)`. The kernel reports a failed writeback once: after an error, what was
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
    pub fn sync_all(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        self.shared.clone().sync(false)
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
    pub fn sync_data(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        self.shared.clone().sync(true)
    }
}
