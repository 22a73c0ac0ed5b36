//! Waiting for the device.

use std::io;

use super::{File, Writeback};

impl File {
    /// Waits until content and attributes are on the device, of all writes that were over when this was
    /// called and of those of this file's cursor, flushed or not.
    ///
    /// # Cancel safety
    ///
    /// May take effect. An error that comes after the future was dropped is returned by the next sync of
    /// this file.
    ///
    /// # Errors
    ///
    /// Those of `fsync(2)`; that of a write of the cursor that failed and was not flushed. The kernel reports a failed writeback once: after an error, what was
    /// written since the last success may be lost, and calling again proves nothing.
    ///
    /// # Backend
    ///
    /// FSYNC (Linux 5.1); `fsync(2)` on a blocking thread without it, or where that is sooner.
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
    /// As for [`sync_all`](File::sync_all).
    ///
    /// # Errors
    ///
    /// As for [`sync_all`](File::sync_all).
    ///
    /// # Backend
    ///
    /// FSYNC (Linux 5.1); `fdatasync(2)` on a blocking thread without it, or where that is sooner.
    ///
    /// # Examples
    ///
    /// See [`sync_all`](File::sync_all).
    #[doc(alias = "fdatasync")]
    pub async fn sync_data(&self) -> io::Result<()> {
        self.cursor.lock().await.written().await?;
        self.shared.clone().sync(true).await
    }

    /// Waits until what was written is sure to be on the device before anything that is written later. On macOS that is far cheaper
    /// than [`sync_data`](File::sync_data), and a power cut may still lose it; elsewhere it is the same.
    ///
    /// # Cancel safety
    ///
    /// As for [`sync_all`](File::sync_all).
    ///
    /// # Errors
    ///
    /// As for [`sync_all`](File::sync_all).
    ///
    /// # Backend
    ///
    /// FSYNC (Linux 5.1); `fdatasync(2)` on a blocking thread without it, or where that is sooner; F_BARRIERFSYNC on macOS.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("log")).await?;
    /// file.write_all_at("entry", 0).await?;
    /// file.sync_barrier().await?;
    /// file.write_all_at("committed", 5).await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "F_BARRIERFSYNC")]
    pub async fn sync_barrier(&self) -> io::Result<()> {
        self.cursor.lock().await.written().await?;
        self.shared.clone().sync_barrier().await
    }

    /// Starts writing what is dirty in `len` bytes at `offset`, or waits for it: [`Writeback`] says which. A
    /// `len` of zero means up to the end.
    ///
    /// This spreads the work of a later [`sync_data`](File::sync_data), and proves nothing: neither the
    /// device's own cache nor the attributes that are needed to find the data are written.
    ///
    /// # Cancel safety
    ///
    /// May take effect. An error that comes after the future was dropped is returned by the next
    /// `sync_range`, `sync_data` or `sync_all` of this file.
    ///
    /// # Errors
    ///
    /// Those of `sync_file_range(2)`; `Unsupported` outside of Linux. [`Writeback::Wait`] and
    /// [`Writeback::Complete`] report a failed writeback **in place of** a later `sync_data`: the kernel
    /// tells it once, also if it failed in another range. After an error, what was written since the last
    /// successful sync may be lost, and a success afterwards proves nothing.
    ///
    /// # Backend
    ///
    /// SYNC_FILE_RANGE (Linux 5.2), for lengths under 4 GiB; else `sync_file_range(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{File, Writeback};
    /// # let dir = tempfile::tempdir()?;
    /// let file = File::create(dir.path().join("f")).await?;
    /// file.write_all_at(vec![7; 1 << 20], 0).await?;
    /// # if cfg!(target_os = "linux") {
    /// file.sync_range(0, 1 << 20, Writeback::Start).await?;
    /// # }
    /// file.sync_data().await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "sync_file_range")]
    pub fn sync_range(
        &self,
        offset: u64,
        len: u64,
        how: Writeback,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        self.shared.clone().sync_range(offset, len, how)
    }
}
