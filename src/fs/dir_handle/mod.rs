//! An open directory, and what is done from there.

mod entries;
mod names;
mod open;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use super::{Statx, StatxOptions};
use crate::op::file::SharedFile;

pub use entries::{Entries, NamedEntry};

/// An open directory. Paths start from it, wherever it is renamed or moved to meanwhile; an absolute path
/// starts from the root, unless [`Resolve`](super::Resolve) says otherwise.
///
/// A path of several names is walked by the kernel: each of them but the first may be renamed or replaced
/// by a link at any time. To stay inside, open with [`Resolve::beneath`](super::Resolve::beneath), and change
/// names in the [`Dir`] that has them.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{Dir, OpenOptions};
/// # let temporary = tempfile::tempdir()?;
/// # let path = temporary.path();
/// let dir = Dir::open(path).await?;
/// let file = dir.open_file("draft", OpenOptions::new().write(true).create(true)).await?;
/// file.write_all_at("text", 0).await?;
/// file.sync_all().await?;
/// dir.rename("draft", &dir, "final").await?;
/// dir.sync().await?;
/// # Ok(()) }
/// ```
pub struct Dir {
    shared: Arc<SharedFile>,
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dir")
            .field("fd", &self.as_raw_fd())
            .finish_non_exhaustive()
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.as_fd()
    }
}

impl AsRawFd for Dir {
    fn as_raw_fd(&self) -> RawFd {
        self.shared.as_fd().as_raw_fd()
    }
}

/// A directory that somebody else opened, also with `O_PATH`. Operations on what is no directory fail as the
/// system's do, with `NotADirectory`.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use std::os::fd::OwnedFd;
/// let dir = tidegate::fs::Dir::from(OwnedFd::from(std::fs::File::open("/etc")?));
/// assert!(dir.statx("passwd").await.is_ok());
/// let fd = OwnedFd::from(dir);
/// # Ok(()) }
/// ```
impl From<OwnedFd> for Dir {
    fn from(fd: OwnedFd) -> Dir {
        Dir {
            shared: SharedFile::adopt(fd),
        }
    }
}

/// The descriptor, to hand to others; if operations from the directory are not over, it is a duplicate.
///
/// # Panics
///
/// If they are not, and the process has no other descriptor left.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// let dir = tidegate::fs::Dir::open("/etc").await?;
/// let fd: std::os::fd::OwnedFd = dir.into();
/// # Ok(()) }
/// ```
impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> OwnedFd {
        dir.shared.into_fd().unwrap_or_else(|shared| {
            let duplicate = shared.as_fd().try_clone_to_owned();
            duplicate.expect("a descriptor to hand out while operations hold this one")
        })
    }
}

impl Dir {
    pub(super) fn shared(&self) -> &Arc<SharedFile> {
        &self.shared
    }

    /// All attributes of what a path leads to; [`StatxOptions::in_dir`](super::StatxOptions::in_dir) asks
    /// for fewer, or of links themselves.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    ///
    /// # Backend
    ///
    /// As for [`statx`](super::statx()).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{Dir, FileKind};
    /// let dir = Dir::open("/etc").await?;
    /// assert_eq!(dir.statx("passwd").await?.kind(), FileKind::File);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fstatat")]
    pub async fn statx(&self, path: impl AsRef<Path>) -> io::Result<Statx> {
        StatxOptions::new().in_dir(self, path).await
    }

    /// Waits until the names in the directory are on the device: what was made, renamed or removed in it
    /// before. The content of files has its own [`sync_all`](super::File::sync_all).
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `fsync(2)`.
    ///
    /// # Backend
    ///
    /// FSYNC (Linux 5.1); `fsync(2)` on a blocking thread without it, or where that is sooner.
    ///
    /// # Examples
    ///
    /// See [`Dir`].
    #[doc(alias = "fsync")]
    pub fn sync(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        self.shared.clone().sync(false)
    }
}
