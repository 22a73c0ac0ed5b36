//! Names: renames, links, removals.

use std::io;
use std::path::{Path, PathBuf};

pub use crate::op::RenameMode;
use crate::op::blocking;
use crate::op::hop::hop;
use crate::op::names;
use crate::opcode::Kind;

/// Gives a file or directory another name, replacing a file that has it.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `rename(2)`, among them `CrossesDevices`.
///
/// # Backend
///
/// RENAMEAT (Linux 5.11); else `rename(2)` on a blocking thread.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let (from, to) = (dir.path().join("a"), dir.path().join("b"));
/// # tidegate::fs::write(&from, b"").await?;
/// tidegate::fs::rename(&from, &to).await?;
/// # Ok(()) }
/// ```
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref().to_path_buf(), to.as_ref().to_path_buf());
    names::rename(&from, &to, RenameMode::Replace).await
}

/// Gives a file or directory another name, and says what becomes of a file that has it.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `renameat2(2)`: among them `AlreadyExists` for [`RenameMode::NoReplace`], `NotFound` for an
/// [`Exchange`](RenameMode::Exchange) where one is missing, `InvalidInput` where the filesystem lacks the mode,
/// and `Unsupported` where the system does.
///
/// # Backend
///
/// RENAMEAT (Linux 5.11); else `renameat2(2)` on a blocking thread, `renameatx_np(2)` on macOS.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, RenameMode};
/// # let dir = tempfile::tempdir()?;
/// # let (draft, published) = (dir.path().join("a"), dir.path().join("b"));
/// # fs::write(&draft, b"").await?;
/// # fs::write(&published, b"").await?;
/// match fs::rename_with(&draft, &published, RenameMode::NoReplace).await {
///     Ok(()) => println!("published"),
///     Err(error) => println!("left alone: {error}"),
/// }
/// # Ok(()) }
/// ```
#[doc(alias = "renameat2")]
pub async fn rename_with(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    mode: RenameMode,
) -> io::Result<()> {
    let (from, to) = (from.as_ref().to_path_buf(), to.as_ref().to_path_buf());
    names::rename(&from, &to, mode).await
}

/// Gives a file one more name.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `link(2)`.
///
/// # Backend
///
/// LINKAT (Linux 5.15); else `linkat(2)` on a blocking thread.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let (original, link) = (dir.path().join("a"), dir.path().join("b"));
/// # tidegate::fs::write(&original, b"").await?;
/// tidegate::fs::hard_link(&original, &link).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "link")]
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_path_buf(), link.as_ref().to_path_buf());
    names::hard_link(&original, &link).await
}

/// Makes a symbolic link at `link` that leads to `original`.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `symlink(2)`.
///
/// # Backend
///
/// SYMLINKAT (Linux 5.15); else `symlink(2)` on a blocking thread.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let link = dir.path().join("link");
/// tidegate::fs::symlink("somewhere", &link).await?;
/// assert_eq!(tidegate::fs::read_link(&link).await?, std::path::Path::new("somewhere"));
/// # Ok(()) }
/// ```
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_path_buf(), link.as_ref().to_path_buf());
    names::symlink(&original, &link).await
}

/// Reads where a symbolic link leads.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// Those of `readlink(2)`; `InvalidInput` if the path is no symbolic link.
///
/// # Backend
///
/// `readlink(2)` on a blocking thread; the kernel has no opcode for it.
///
/// # Examples
///
/// See [`symlink`].
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_path_buf();
    let owned = path.clone();
    hop(Kind::ReadLink, &path, move |_| blocking::read_link(&owned)).await
}

/// Resolves a path to the absolute one without symbolic links.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// Those of `realpath(3)`.
///
/// # Backend
///
/// `realpath(3)` on a blocking thread; the kernel has no opcode for it.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// assert_eq!(tidegate::fs::canonicalize("/.").await?, std::path::Path::new("/"));
/// # Ok(()) }
/// ```
#[doc(alias = "realpath")]
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_path_buf();
    let owned = path.clone();
    hop(Kind::Canonicalize, &path, move |_| {
        blocking::canonicalize(&owned)
    })
    .await
}

/// Removes a file's name, and with the last one the file.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `unlink(2)`; `IsADirectory` for a directory.
///
/// # Backend
///
/// UNLINKAT (Linux 5.11); else `unlink(2)` on a blocking thread. Freeing a large file's blocks takes
/// time there, and none here.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("f");
/// # tidegate::fs::write(&path, b"").await?;
/// tidegate::fs::remove_file(&path).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "unlink")]
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    names::remove(&path, false).await
}

/// Makes a FIFO with these permission bits, less those of the umask.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `mkfifo(3)`.
///
/// # Backend
///
/// `mkfifo(3)` on a blocking thread; the kernel has no opcode for it.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("fifo");
/// tidegate::fs::make_fifo(&path, 0o600).await?;
/// assert_eq!(tidegate::fs::statx(&path).await?.kind(), tidegate::fs::FileKind::Fifo);
/// # Ok(()) }
/// ```
#[doc(alias = "mkfifo")]
pub async fn make_fifo(path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    let owned = path.clone();
    hop(Kind::MakeFifo, &path, move |_| {
        blocking::make_fifo(&owned, mode)
    })
    .await
}
