//! Opening and making files, as most programs do it.

use std::io;
use std::path::Path;

use super::{File, OpenOptions};

impl File {
    /// Opens a file for reading.
    ///
    /// # Cancel safety
    ///
    /// Resource reclaimed, see [`OpenOptions::open`], also for errors and backend.
    ///
    /// # Examples
    ///
    /// See [`File`].
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file for writing, empty, and makes it if it is not there.
    ///
    /// # Cancel safety
    ///
    /// Resource reclaimed, see [`OpenOptions::open`], also for errors and backend.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// file.write_all_at("content", 0).await?;
    /// # Ok(()) }
    /// ```
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .await
    }
}
