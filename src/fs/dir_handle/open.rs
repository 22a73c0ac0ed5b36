//! Opening a directory, and files and directories from there.

use std::io;
use std::path::Path;

use super::Dir;
use crate::fs::{File, OpenOptions, Resolve};
use crate::op::at::At;
use crate::op::open::{self, flag};
use crate::opcode::Kind;

const DIRECTORY: i32 = flag::O_RDONLY | flag::O_DIRECTORY;

impl Dir {
    /// Opens a directory, which must be readable.
    ///
    /// # Cancel safety
    ///
    /// Resource reclaimed: a directory that was opened after the future was dropped is closed.
    ///
    /// # Errors
    ///
    /// Those of `open(2)`, among them `NotADirectory`.
    ///
    /// # Backend
    ///
    /// OPENAT (Linux 5.6); else `openat(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// See [`Dir`].
    #[doc(alias = "opendir")]
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Dir> {
        let path = path.as_ref().to_path_buf();
        let shared = open::open_at((&path).into(), DIRECTORY, 0, 0).await?;
        Ok(Dir { shared })
    }

    /// Opens a file, as the options say.
    ///
    /// # Cancel safety
    ///
    /// As for [`OpenOptions::open`].
    ///
    /// # Errors
    ///
    /// As for [`OpenOptions::open`].
    ///
    /// # Backend
    ///
    /// OPENAT (Linux 5.6); else `openat(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// See [`Dir`].
    #[doc(alias = "openat")]
    pub async fn open_file(
        &self,
        path: impl AsRef<Path>,
        options: &OpenOptions,
    ) -> io::Result<File> {
        self.open_file_within(path, options, Resolve::new()).await
    }

    /// Opens a file under restrictions on the way to it.
    ///
    /// # Cancel safety
    ///
    /// As for [`OpenOptions::open`].
    ///
    /// # Errors
    ///
    /// Those of `openat2(2)`: `CrossesDevices` where the way leads out of the directory or to another mount, `ELOOP`
    /// where it has a link that may not be, `WouldBlock` where renames elsewhere kept the kernel from telling
    /// for many tries, `InvalidInput` for flags that it does not know, and `Unsupported` before Linux 5.6 and
    /// on other systems.
    ///
    /// # Backend
    ///
    /// OPENAT2 (Linux 5.6); else `openat2(2)` on a blocking thread. Without restrictions as
    /// [`open_file`](Dir::open_file).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{Dir, OpenOptions, Resolve};
    /// # let temporary = tempfile::tempdir()?;
    /// # let path = temporary.path();
    /// let dir = Dir::open(path).await?;
    /// let reading = OpenOptions::new().read(true).clone();
    /// let error = dir.open_file_within("../secret", &reading, Resolve::new().beneath()).await;
    /// assert!(error.is_err());
    /// # Ok(()) }
    /// ```
    #[doc(alias = "openat2")]
    pub async fn open_file_within(
        &self,
        path: impl AsRef<Path>,
        options: &OpenOptions,
        resolve: Resolve,
    ) -> io::Result<File> {
        let path = path.as_ref().to_path_buf();
        let kind = match resolve.flags() {
            0 => Kind::Open,
            _ => Kind::OpenWithin,
        };
        let (at, mode) = (At::dir(&self.shared, &path), options.mode_bits());
        let open = |flags| open::open_at(at, flags, mode, resolve.flags());
        options.open_by(kind, &path, open).await
    }

    /// Opens a directory in this one, which must be readable.
    ///
    /// # Cancel safety
    ///
    /// As for [`open`](Dir::open).
    ///
    /// # Errors
    ///
    /// As for [`open`](Dir::open).
    ///
    /// # Backend
    ///
    /// OPENAT (Linux 5.6); else `openat(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::Dir;
    /// # let temporary = tempfile::tempdir()?;
    /// # let path = temporary.path();
    /// let dir = Dir::open(path).await?;
    /// dir.create_dir("below").await?;
    /// let below = dir.open_dir("below").await?;
    /// # Ok(()) }
    /// ```
    pub async fn open_dir(&self, path: impl AsRef<Path>) -> io::Result<Dir> {
        self.open_dir_within(path, Resolve::new()).await
    }

    /// Opens a directory under restrictions on the way to it.
    ///
    /// # Cancel safety
    ///
    /// As for [`open`](Dir::open).
    ///
    /// # Errors
    ///
    /// As for [`open_file_within`](Dir::open_file_within).
    ///
    /// # Backend
    ///
    /// OPENAT2 (Linux 5.6); else `openat2(2)` on a blocking thread. Without restrictions as
    /// [`open_dir`](Dir::open_dir).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{Dir, Resolve};
    /// # let temporary = tempfile::tempdir()?;
    /// # let path = temporary.path();
    /// let dir = Dir::open(path).await?;
    /// assert!(dir.open_dir_within("..", Resolve::new().beneath()).await.is_err());
    /// # Ok(()) }
    /// ```
    pub async fn open_dir_within(
        &self,
        path: impl AsRef<Path>,
        resolve: Resolve,
    ) -> io::Result<Dir> {
        let path = path.as_ref().to_path_buf();
        let at = At::dir(&self.shared, &path);
        let shared = open::open_at(at, DIRECTORY, 0, resolve.flags()).await?;
        Ok(Dir { shared })
    }
}
