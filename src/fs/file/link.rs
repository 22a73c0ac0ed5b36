//! Giving an open file a name.

use std::io;
use std::path::Path;

use super::File;
use crate::fs::Dir;
use crate::op::at::At;
use crate::op::names;

impl File {
    /// Gives the open file a name: its first, if it was opened with
    /// [`OpenOptions::unnamed`](crate::fs::OpenOptions::unnamed), or one more. A file that has the name is not
    /// replaced.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `linkat(2)`: among them `AlreadyExists`, and `NotFound` where all names of the file were
    /// removed, or where `/proc` is not mounted. `Unsupported` outside of Linux.
    ///
    /// # Backend
    ///
    /// LINKAT (Linux 5.15); else `linkat(2)` on a blocking thread. Both by way of `/proc/self/fd`, which
    /// needs no privilege.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::OpenOptions;
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let opened = OpenOptions::new().write(true).unnamed(true).open(&dir).await;
    /// # if opened.is_err() { return Ok(()) }
    /// let file = opened?;
    /// file.write_all_at("whole, or not there", 0).await?;
    /// file.sync_all().await?;
    /// file.link(dir.join("report")).await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "linkat")]
    pub async fn link(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref().to_path_buf();
        names::link_file(&self.shared, &path).await
    }

    /// Gives the file a name, by a path that starts from an open directory.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// As for [`link`](File::link).
    ///
    /// # Backend
    ///
    /// As for [`link`](File::link).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{Dir, OpenOptions};
    /// # let dir = tempfile::tempdir()?;
    /// let dir = Dir::open(dir.path()).await?;
    /// let opened = dir.open_file(".", OpenOptions::new().write(true).unnamed(true)).await;
    /// # if opened.is_err() { return Ok(()) }
    /// opened?.link_in(&dir, "report").await?;
    /// # Ok(()) }
    /// ```
    pub async fn link_in(&self, dir: &Dir, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref().to_path_buf();
        names::link_file(&self.shared, At::dir(dir.shared(), &path)).await
    }
}
