//! Changing the names in an open directory.

use std::io;
use std::path::{Path, PathBuf};

use super::Dir;
use crate::error::Error;
use crate::fs::RenameMode;
use crate::op::at::At;
use crate::op::{blocking, hop, names};
use crate::opcode::Kind;

impl Dir {
    /// Makes a directory, with the permissions that the umask leaves of `rwxrwxrwx`.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `mkdirat(2)`.
    ///
    /// # Backend
    ///
    /// MKDIRAT (Linux 5.15); else `mkdirat(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let temporary = tempfile::tempdir()?;
    /// # let path = temporary.path();
    /// let dir = tidegate::fs::Dir::open(path).await?;
    /// dir.create_dir("below").await?;
    /// dir.remove_dir("below").await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "mkdirat")]
    pub async fn create_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref().to_path_buf();
        names::create_dir(At::dir(&self.shared, &path), 0o777).await
    }

    /// Removes a file's name, and with the last one the file.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `unlinkat(2)`; `IsADirectory` for a directory.
    ///
    /// # Backend
    ///
    /// UNLINKAT (Linux 5.11); else `unlinkat(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let temporary = tempfile::tempdir()?;
    /// # let path = temporary.path();
    /// # tidegate::fs::write(path.join("old"), b"").await?;
    /// let dir = tidegate::fs::Dir::open(path).await?;
    /// dir.remove_file("old").await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "unlinkat")]
    pub async fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref().to_path_buf();
        names::remove(At::dir(&self.shared, &path), false).await
    }

    /// Removes an empty directory.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `unlinkat(2)`, among them `DirectoryNotEmpty`.
    ///
    /// # Backend
    ///
    /// UNLINKAT (Linux 5.11); else `unlinkat(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// See [`create_dir`](Dir::create_dir).
    #[doc(alias = "unlinkat")]
    pub async fn remove_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref().to_path_buf();
        names::remove(At::dir(&self.shared, &path), true).await
    }

    /// Gives a file or directory another name, in this or another directory, replacing a file that has it.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `renameat(2)`, among them `CrossesDevices`.
    ///
    /// # Backend
    ///
    /// RENAMEAT (Linux 5.11); else `renameat(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// See [`Dir`].
    #[doc(alias = "renameat")]
    pub async fn rename(
        &self,
        from: impl AsRef<Path>,
        to_dir: &Dir,
        to: impl AsRef<Path>,
    ) -> io::Result<()> {
        self.rename_with(from, to_dir, to, RenameMode::Replace)
            .await
    }

    /// Renames, and says what becomes of a file that has the new name.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// As for [`rename_with`](crate::fs::rename_with).
    ///
    /// # Backend
    ///
    /// RENAMEAT (Linux 5.11); else `renameat2(2)` on a blocking thread, `renameatx_np(2)` on macOS.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{self, Dir, RenameMode};
    /// # let temporary = tempfile::tempdir()?;
    /// # let path = temporary.path();
    /// # fs::write(path.join("a"), b"").await?;
    /// # fs::write(path.join("b"), b"").await?;
    /// let dir = Dir::open(path).await?;
    /// let renamed = dir.rename_with("a", &dir, "b", RenameMode::NoReplace).await;
    /// assert!(renamed.is_err());
    /// # Ok(()) }
    /// ```
    #[doc(alias = "renameat2")]
    pub async fn rename_with(
        &self,
        from: impl AsRef<Path>,
        to_dir: &Dir,
        to: impl AsRef<Path>,
        mode: RenameMode,
    ) -> io::Result<()> {
        let (from, to) = (from.as_ref().to_path_buf(), to.as_ref().to_path_buf());
        let from = At::dir(&self.shared, &from);
        names::rename(from, At::dir(&to_dir.shared, &to), mode).await
    }

    /// Gives a file of this directory one more name, in this or another directory.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `linkat(2)`.
    ///
    /// # Backend
    ///
    /// LINKAT (Linux 5.15); else `linkat(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let temporary = tempfile::tempdir()?;
    /// # let path = temporary.path();
    /// # tidegate::fs::write(path.join("a"), b"").await?;
    /// let dir = tidegate::fs::Dir::open(path).await?;
    /// dir.hard_link("a", &dir, "also-a").await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "linkat")]
    pub async fn hard_link(
        &self,
        original: impl AsRef<Path>,
        link_dir: &Dir,
        link: impl AsRef<Path>,
    ) -> io::Result<()> {
        let (original, link) = (original.as_ref().to_path_buf(), link.as_ref().to_path_buf());
        let original = At::dir(&self.shared, &original);
        names::hard_link(original, At::dir(&link_dir.shared, &link)).await
    }

    /// Makes a symbolic link at `link` that leads to `original`, which is not looked at.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `symlinkat(2)`.
    ///
    /// # Backend
    ///
    /// SYMLINKAT (Linux 5.15); else `symlinkat(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let temporary = tempfile::tempdir()?;
    /// # let path = temporary.path();
    /// let dir = tidegate::fs::Dir::open(path).await?;
    /// dir.symlink("somewhere", "link").await?;
    /// assert_eq!(dir.read_link("link").await?, std::path::Path::new("somewhere"));
    /// # Ok(()) }
    /// ```
    #[doc(alias = "symlinkat")]
    pub async fn symlink(
        &self,
        original: impl AsRef<Path>,
        link: impl AsRef<Path>,
    ) -> io::Result<()> {
        let (original, link) = (original.as_ref().to_path_buf(), link.as_ref().to_path_buf());
        names::symlink(&original, At::dir(&self.shared, &link)).await
    }

    /// Reads where a symbolic link leads.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Those of `readlinkat(2)`; `InvalidInput` if the path is no symbolic link.
    ///
    /// # Backend
    ///
    /// `readlinkat(2)` on a blocking thread; the kernel has no opcode for it.
    ///
    /// # Examples
    ///
    /// See [`symlink`](Dir::symlink).
    #[doc(alias = "readlinkat")]
    pub async fn read_link(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let (path, dir) = (path.as_ref().to_path_buf(), self.shared.clone());
        let owned = path.clone();
        let work = move |_: &_| blocking::read_link_at(&*dir, &owned);
        hop::hop_on_file(&self.shared, Kind::ReadLink, work)
            .await
            .map_err(|error| Error::on_path(error, &path))
    }
}
