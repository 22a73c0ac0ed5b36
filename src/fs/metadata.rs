//! Attributes of files.

use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use crate::op::blocking;
use crate::op::hop::hop;
use crate::op::meta::{self, How};
use crate::opcode::Kind;

/// Whether an operation on a symbolic link means the file that it leads to.
///
/// See [`set_owner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Follow {
    /// The file that the link leads to.
    Links,
    /// The link itself.
    No,
}

/// Reads the attributes of what a path leads to.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// Those of `stat(2)`, among them `NotFound` and `PermissionDenied`.
///
/// # Backend
///
/// At the poll where the kernel has path and inode in memory and the filesystem is a local one; else
/// `stat(2)` on a blocking thread. A handle that is pinned to the ring opens the path without access there, on local
/// filesystems (OPENAT, Linux 5.6): std's type can be made of nothing but a path or a descriptor.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// assert!(tidegate::fs::metadata("/").await?.is_dir());
/// # Ok(()) }
/// ```
#[doc(alias = "stat")]
#[doc(alias = "statx")]
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    meta::metadata_of_path(path, true).await
}

/// Reads the attributes of a path itself, also where it is a symbolic link.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// Those of `lstat(2)`.
///
/// # Backend
///
/// As for [`metadata`].
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// assert!(!tidegate::fs::symlink_metadata("/").await?.is_symlink());
/// # Ok(()) }
/// ```
#[doc(alias = "lstat")]
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    meta::metadata_of_path(path, false).await
}

/// Tells whether a path leads to something. A broken symbolic link does not.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// Those of [`metadata`] other than `NotFound`: then it is not known.
///
/// # Backend
///
/// At the poll as for [`metadata`]; else STATX (Linux 5.6); else `stat(2)` on a blocking thread.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// assert!(!tidegate::fs::try_exists("/no/such/file").await?);
/// # Ok(()) }
/// ```
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match meta::stat_path(Kind::TryExists, path.as_ref(), true, How::default()).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Changes the permissions of what a path leads to.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `chmod(2)`.
///
/// # Backend
///
/// `chmod(2)` on a blocking thread; the kernel has no opcode for it.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use std::os::unix::fs::PermissionsExt;
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("f");
/// # tidegate::fs::write(&path, b"").await?;
/// tidegate::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "chmod")]
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    let owned = path.clone();
    hop(Kind::SetPermissions, &path, move |_| {
        blocking::set_permissions(&owned, permissions.mode())
    })
    .await
}

/// Times to set on a file, to the nanosecond; what is not set here is left as it is.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use std::time::SystemTime;
/// use tidegate::fs::{File, FileTimes};
/// # let dir = tempfile::tempdir()?;
/// let file = File::create(dir.path().join("f")).await?;
/// let times = FileTimes::new().set_accessed(SystemTime::now()).set_modified(SystemTime::UNIX_EPOCH);
/// file.set_times(times).await?;
/// assert_eq!(file.metadata().await?.modified()?, SystemTime::UNIX_EPOCH);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "no file has these times until they are set"]
pub struct FileTimes {
    pub(super) accessed: Option<SystemTime>,
    pub(super) modified: Option<SystemTime>,
    #[cfg(target_vendor = "apple")]
    pub(super) created: Option<SystemTime>,
}

impl FileTimes {
    /// Returns a set that has none of the times yet.
    ///
    /// See [`FileTimes`].
    pub fn new() -> FileTimes {
        FileTimes::default()
    }

    /// Sets the time of the last read.
    ///
    /// See [`FileTimes`].
    pub fn set_accessed(mut self, time: SystemTime) -> FileTimes {
        self.accessed = Some(time);
        self
    }

    /// Sets the time of the last change of the content.
    ///
    /// See [`FileTimes`].
    pub fn set_modified(mut self, time: SystemTime) -> FileTimes {
        self.modified = Some(time);
        self
    }

    /// When it was made (macOS; [`set_times`] ignores it, [`File::set_times`](super::File::set_times) sets it).
    ///
    /// See [`FileTimes`].
    #[cfg(target_vendor = "apple")]
    pub fn set_created(mut self, time: SystemTime) -> FileTimes {
        self.created = Some(time);
        self
    }

    /// The same in std's type.
    pub(super) fn into_std(self) -> std::fs::FileTimes {
        let mut times = std::fs::FileTimes::new();
        if let Some(accessed) = self.accessed {
            times = times.set_accessed(accessed);
        }
        if let Some(modified) = self.modified {
            times = times.set_modified(modified);
        }
        #[cfg(target_vendor = "apple")]
        if let Some(created) = self.created {
            use std::os::darwin::fs::FileTimesExt;
            times = times.set_created(created);
        }
        times
    }
}

/// Sets the times of what a path leads to, or of a symbolic link itself.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `utimensat(2)`.
///
/// # Backend
///
/// `utimensat(2)` on a blocking thread; the kernel has no opcode for it.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, FileTimes, Follow};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("f");
/// # fs::write(&path, b"").await?;
/// let times = FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
/// fs::set_times(&path, times, Follow::Links).await?;
/// assert_eq!(fs::metadata(&path).await?.modified()?, std::time::SystemTime::UNIX_EPOCH);
/// # Ok(()) }
/// ```
#[doc(alias = "utimensat")]
pub async fn set_times(path: impl AsRef<Path>, times: FileTimes, follow: Follow) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    let owned = path.clone();
    let work = move |_: &_| {
        blocking::set_times(
            &owned,
            times.accessed,
            times.modified,
            follow == Follow::Links,
        )
    };
    hop(Kind::SetTimes, &path, work).await
}

/// Changes owner and group; `None` leaves one as it is.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `fchownat(2)`; only a privileged process may give a file away.
///
/// # Backend
///
/// `fchownat(2)` on a blocking thread; the kernel has no opcode for it.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # use tidegate::fs::{self, Follow};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("f");
/// # fs::write(&path, b"").await?;
/// fs::set_owner(&path, None, None, Follow::Links).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "chown")]
pub async fn set_owner(
    path: impl AsRef<Path>,
    uid: Option<u32>,
    gid: Option<u32>,
    follow: Follow,
) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    let owned = path.clone();
    hop(Kind::SetOwner, &path, move |_| {
        blocking::set_owner(&owned, uid, gid, follow == Follow::Links)
    })
    .await
}
