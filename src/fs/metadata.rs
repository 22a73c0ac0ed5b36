//! Attributes of files.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::op::blocking;
use crate::op::hop::hop;
use crate::op::meta;
use crate::op::stat::{Stamp, Stat, kind};
use crate::opcode::Kind;

/// Whether an operation on a symbolic link means the file that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Follow {
    /// The file that the link leads to.
    Links,
    /// The link itself.
    No,
}

/// Attributes of a file: [`std::fs::Metadata`] with the same methods, which std cannot make from what
/// the ring returns. [`std::os::unix::fs::MetadataExt`] is implemented too.
#[derive(Clone, Debug)]
pub struct Metadata(Stat);

impl From<Stat> for Metadata {
    fn from(stat: Stat) -> Metadata {
        Metadata(stat)
    }
}

impl From<std::fs::Metadata> for Metadata {
    fn from(metadata: std::fs::Metadata) -> Metadata {
        Metadata(metadata.into())
    }
}

/// The time of a stamp, to the nanosecond, also before 1970.
fn time(stamp: Stamp) -> io::Result<SystemTime> {
    let nanos = Duration::from_nanos(u64::from(stamp.nanos));
    let seconds = Duration::from_secs(stamp.seconds.unsigned_abs());
    let whole = if stamp.seconds >= 0 {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    };
    whole
        .and_then(|whole| whole.checked_add(nanos))
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

impl Metadata {
    /// What kind of file it is.
    pub fn file_type(&self) -> FileType {
        FileType {
            bits: self.0.type_bits(),
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.0.is_dir()
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.0.is_file()
    }

    /// Whether it is a symbolic link; only [`symlink_metadata`] can say so.
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// The size in bytes.
    #[allow(clippy::len_without_is_empty, reason = "std's name")]
    pub fn len(&self) -> u64 {
        self.0.size
    }

    /// The permission bits.
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.0.mode)
    }

    /// When the content was changed last.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the system's clock type cannot represent the time.
    pub fn modified(&self) -> io::Result<SystemTime> {
        time(self.0.modified)
    }

    /// When the content was read last, as far as the mount keeps track.
    ///
    /// # Errors
    ///
    /// As for [`modified`](Metadata::modified).
    pub fn accessed(&self) -> io::Result<SystemTime> {
        time(self.0.accessed)
    }

    /// When the file was made.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the filesystem does not say.
    pub fn created(&self) -> io::Result<SystemTime> {
        match self.0.created {
            Some(stamp) => time(stamp),
            None => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "creation time is not available on this filesystem",
            )),
        }
    }
}

impl MetadataExt for Metadata {
    fn dev(&self) -> u64 {
        self.0.dev
    }

    fn ino(&self) -> u64 {
        self.0.ino
    }

    fn mode(&self) -> u32 {
        self.0.mode
    }

    fn nlink(&self) -> u64 {
        self.0.nlink
    }

    fn uid(&self) -> u32 {
        self.0.uid
    }

    fn gid(&self) -> u32 {
        self.0.gid
    }

    fn rdev(&self) -> u64 {
        self.0.rdev
    }

    fn size(&self) -> u64 {
        self.0.size
    }

    fn atime(&self) -> i64 {
        self.0.accessed.seconds
    }

    fn atime_nsec(&self) -> i64 {
        i64::from(self.0.accessed.nanos)
    }

    fn mtime(&self) -> i64 {
        self.0.modified.seconds
    }

    fn mtime_nsec(&self) -> i64 {
        i64::from(self.0.modified.nanos)
    }

    fn ctime(&self) -> i64 {
        self.0.changed.seconds
    }

    fn ctime_nsec(&self) -> i64 {
        i64::from(self.0.changed.nanos)
    }

    fn blksize(&self) -> u64 {
        self.0.blksize
    }

    fn blocks(&self) -> u64 {
        self.0.blocks
    }
}

/// What kind of file something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileType {
    bits: u32,
}

impl FileType {
    pub(super) fn from_bits(bits: u32) -> FileType {
        FileType { bits }
    }

    /// A block device.
    pub fn is_block_device(&self) -> bool {
        self.bits == kind::BLOCK
    }

    /// A character device.
    pub fn is_char_device(&self) -> bool {
        self.bits == kind::CHARACTER
    }

    /// A directory.
    pub fn is_dir(&self) -> bool {
        self.bits == kind::DIRECTORY
    }

    /// A FIFO.
    pub fn is_fifo(&self) -> bool {
        self.bits == kind::FIFO
    }

    /// A regular file.
    pub fn is_file(&self) -> bool {
        self.bits == kind::FILE
    }

    /// A socket.
    pub fn is_socket(&self) -> bool {
        self.bits == kind::SOCKET
    }

    /// A symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.bits == kind::SYMLINK
    }
}

/// The attributes of what a path leads to.
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
/// STATX (Linux 5.6); else `statx(2)` on a blocking thread.
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
    meta::of_path(path, true).await.map(Metadata)
}

/// The attributes of a path itself, also where it is a symbolic link.
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
    meta::of_path(path, false).await.map(Metadata)
}

/// Whether a path leads to something. A broken symbolic link does not.
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
/// As for [`metadata`].
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// assert!(!tidegate::fs::try_exists("/no/such/file").await?);
/// # Ok(()) }
/// ```
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match metadata(path).await {
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

/// Times to set on a file; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTimes {
    /// When it was read last.
    pub accessed: Option<SystemTime>,
    /// When its content was changed last.
    pub modified: Option<SystemTime>,
}

/// Sets the times of a file, to the nanosecond.
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
/// let times = FileTimes { modified: Some(std::time::SystemTime::UNIX_EPOCH), ..FileTimes::default() };
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
