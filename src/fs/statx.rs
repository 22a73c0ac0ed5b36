//! All attributes that the kernel has of a file.

use std::io;
use std::ops::BitOr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Dir, File, Follow};
use crate::op::at::At;
use crate::op::batch::{Attributes, Paths};
use crate::op::file::SharedFile;
use crate::op::meta::{self, How};
use crate::op::stat::{Stamp, Sync, bits, kind};
pub use crate::op::statx::Statx;
use crate::opcode::Kind;
use crate::probe::DirectAlign;

/// All attributes of what a path leads to. [`StatxOptions`] asks for fewer, of links themselves, or of
/// many paths at a time.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// Those of `statx(2)`, among them `NotFound` and `PermissionDenied`.
///
/// # Backend
///
/// At the poll where the kernel has path and inode in memory and the filesystem is a local one; else
/// `statx(2)` on a blocking thread; on other filesystems, and for a handle that is pinned to the ring, STATX (Linux 5.6).
/// On other systems `stat(2)`, on a blocking thread.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// let root = tidegate::fs::statx("/").await?;
/// assert_eq!(root.kind(), tidegate::fs::FileKind::Directory);
/// # Ok(()) }
/// ```
pub async fn statx(path: impl AsRef<Path>) -> io::Result<Statx> {
    StatxOptions::new().path(path).await
}

/// Which attributes to ask for, of what, and how fresh.
///
/// # Examples
///
/// Of many paths, each with its own error, in the order of the paths:
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{StatxMask, StatxOptions};
/// let found = StatxOptions::new().mask(StatxMask::BASIC).paths(["/", "/no/such/file"]).await;
/// assert!(found[0].is_ok() && found[1].is_err());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StatxOptions {
    follow: Follow,
    freshness: Freshness,
    mask: StatxMask,
}

impl Default for StatxOptions {
    fn default() -> StatxOptions {
        StatxOptions::new()
    }
}

impl StatxOptions {
    /// Everything that the kernel has, as fresh as `stat(2)` gives it, of what links lead to.
    ///
    /// See [`StatxOptions`].
    pub fn new() -> StatxOptions {
        StatxOptions {
            follow: Follow::Links,
            freshness: Freshness::AsStat,
            mask: StatxMask::ALL,
        }
    }

    /// Chooses whether a symbolic link is followed.
    ///
    /// See [`StatxOptions::path`].
    pub fn follow(mut self, follow: Follow) -> StatxOptions {
        self.follow = follow;
        self
    }

    /// Chooses whether a filesystem with a server asks it.
    ///
    /// See [`StatxOptions::path`].
    pub fn freshness(mut self, freshness: Freshness) -> StatxOptions {
        self.freshness = freshness;
        self
    }

    /// What to ask for besides the basic attributes, which always come.
    ///
    /// See [`StatxOptions`].
    pub fn mask(mut self, mask: StatxMask) -> StatxOptions {
        self.mask = mask;
        self
    }

    /// Reads the attributes of a path. Cancel safety, errors and backend are those of [`statx`].
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{Follow, Freshness, StatxMask, StatxOptions};
    /// let mut options = StatxOptions::new().follow(Follow::No).freshness(Freshness::Cached);
    /// options = options.mask(StatxMask::DIRECT_ALIGN | StatxMask::MOUNT_ID);
    /// println!("{:?}", options.path("/").await?.direct_align());
    /// # Ok(()) }
    /// ```
    pub async fn path(&self, path: impl AsRef<Path>) -> io::Result<Statx> {
        let follow = self.follow == Follow::Links;
        let stat = meta::stat_path(Kind::Statx, path.as_ref(), follow, self.how()).await?;
        Ok(Statx(stat))
    }

    /// The attributes of a path that starts from an open directory. Cancel safety, errors and backend are
    /// those of [`statx`].
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{Dir, FileKind, StatxOptions};
    /// let etc = Dir::open("/etc").await?;
    /// let found = StatxOptions::new().in_dir(&etc, "passwd").await?;
    /// assert_eq!(found.kind(), FileKind::File);
    /// # Ok(()) }
    /// ```
    pub async fn in_dir(&self, dir: &Dir, path: impl AsRef<Path>) -> io::Result<Statx> {
        let follow = self.follow == Follow::Links;
        let at = At::dir(dir.shared(), path.as_ref());
        let stat = meta::stat_path(Kind::Statx, at, follow, self.how()).await?;
        Ok(Statx(stat))
    }

    /// Reads the attributes of an open file. Cancel safety, errors and backend are those of [`File::statx`].
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{File, StatxMask, StatxOptions};
    /// let file = File::open("/etc/passwd").await?;
    /// let found = StatxOptions::new().mask(StatxMask::DIRECT_ALIGN).file(&file).await?;
    /// println!("{:?}", found.direct_align());
    /// # Ok(()) }
    /// ```
    pub async fn file(&self, file: &File) -> io::Result<Statx> {
        let stat = meta::stat_file(&file.shared, self.how()).await?;
        Ok(Statx(stat))
    }

    /// Reads the attributes of many paths: [`metadata_many`](super::metadata_many) by another name.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// In each result, those of [`statx`].
    ///
    /// # Backend
    ///
    /// As for [`Batch::metadata`](super::Batch::metadata).
    ///
    /// # Examples
    ///
    /// See [`StatxOptions`].
    pub fn paths<I>(&self, paths: I) -> impl Future<Output = Vec<io::Result<Statx>>> + Send + use<I>
    where
        I: IntoIterator<Item: AsRef<Path>>,
    {
        super::metadata_many(paths, self)
    }

    /// To ask for those of many paths.
    pub(super) fn many(&self, dir: Option<Arc<SharedFile>>, paths: Paths) -> Attributes<Statx> {
        let follow = self.follow == Follow::Links;
        Attributes::new(dir, paths, follow, self.how())
    }

    fn how(&self) -> How {
        How {
            mask: self.mask.0,
            sync: match self.freshness {
                Freshness::AsStat => Sync::AsStat,
                Freshness::Cached => Sync::Never,
                Freshness::Server => Sync::Force,
            },
        }
    }
}

/// How fresh the attributes of a file on a network filesystem must be. On local ones they always are.
///
/// See [`StatxOptions::path`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Freshness {
    /// As `stat(2)` has it: each filesystem decides whether to ask its server.
    #[default]
    AsStat,
    /// What is in memory, however old: no server is asked (AT_STATX_DONT_SYNC).
    Cached,
    /// The server is asked (AT_STATX_FORCE_SYNC).
    Server,
}

/// Which attributes to ask for. They can be combined with `|`.
///
/// See [`StatxOptions::path`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatxMask(u32);

impl StatxMask {
    /// Everything.
    pub const ALL: StatxMask =
        StatxMask(bits::ATOMIC_WRITE | bits::DIRECT_ALIGN | bits::MOUNT_ID | bits::SUBVOLUME);
    /// What `stat(2)` gives, the time of creation and the unique mount id: always there.
    pub const BASIC: StatxMask = StatxMask(0);
    /// The alignment for direct I/O (Linux 6.1).
    pub const DIRECT_ALIGN: StatxMask = StatxMask(bits::DIRECT_ALIGN);
    /// The mount id also where it is not a unique one (Linux 5.8).
    pub const MOUNT_ID: StatxMask = StatxMask(bits::MOUNT_ID);
    /// The subvolume, on filesystems that have such (Linux 6.10).
    pub const SUBVOLUME: StatxMask = StatxMask(bits::SUBVOLUME);
    /// Which writes are never torn (Linux 6.11).
    pub const ATOMIC_WRITE: StatxMask = StatxMask(bits::ATOMIC_WRITE);

    pub(super) fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for StatxMask {
    type Output = StatxMask;

    fn bitor(self, other: StatxMask) -> StatxMask {
        StatxMask(self.0 | other.0)
    }
}

/// What kind of file something is.
///
/// See [`statx`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A directory.
    Directory,
    /// A FIFO.
    Fifo,
    /// A regular file.
    File,
    /// Something that has no name here.
    Other,
    /// A socket.
    Socket,
    /// A symbolic link.
    Symlink,
}

impl FileKind {
    /// Of the type bits of a mode.
    pub(super) fn of(type_bits: u32) -> FileKind {
        match type_bits {
            kind::BLOCK => FileKind::BlockDevice,
            kind::CHARACTER => FileKind::CharDevice,
            kind::DIRECTORY => FileKind::Directory,
            kind::FIFO => FileKind::Fifo,
            kind::FILE => FileKind::File,
            kind::SOCKET => FileKind::Socket,
            kind::SYMLINK => FileKind::Symlink,
            _ => FileKind::Other,
        }
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

impl Statx {
    pub(super) fn stat(&self) -> &crate::op::stat::Stat {
        &self.0
    }

    /// What kind of file it is.
    ///
    /// See [`Statx`].
    pub fn kind(&self) -> FileKind {
        FileKind::of(self.0.type_bits())
    }

    /// When the content was changed last.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the system's clock type cannot represent the time.
    ///
    /// # Examples
    ///
    /// See [`Statx`].
    pub fn modified(&self) -> io::Result<SystemTime> {
        time(self.0.modified)
    }

    /// When the content was read last, as far as the mount keeps track.
    ///
    /// # Errors
    ///
    /// As for [`modified`](Statx::modified).
    ///
    /// # Examples
    ///
    /// See [`Statx`].
    pub fn accessed(&self) -> io::Result<SystemTime> {
        time(self.0.accessed)
    }

    /// When the attributes were changed last.
    ///
    /// # Errors
    ///
    /// As for [`modified`](Statx::modified).
    ///
    /// # Examples
    ///
    /// See [`Statx`].
    pub fn changed(&self) -> io::Result<SystemTime> {
        time(self.0.changed)
    }

    /// When the file was made.
    ///
    /// # Errors
    ///
    /// As for [`modified`](Statx::modified); `Unsupported` if the filesystem does not say.
    ///
    /// # Examples
    ///
    /// See [`Statx`].
    #[doc(alias = "btime")]
    pub fn created(&self) -> io::Result<SystemTime> {
        match self.0.created {
            Some(stamp) => time(stamp),
            None => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "creation time is not available on this filesystem",
            )),
        }
    }

    /// The id of the mount that the file was reached through. From Linux 6.8 on no other mount ever gets
    /// it, see [`is_mount_id_unique`](Statx::is_mount_id_unique).
    ///
    /// See [`Statx`].
    pub fn mount_id(&self) -> Option<u64> {
        [self.0.mount_id, self.0.more.reused_mount_id]
            .into_iter()
            .find(|&id| id != 0)
    }

    /// Whether the mount id is never used again while the system runs.
    ///
    /// See [`Statx`].
    pub fn is_mount_id_unique(&self) -> bool {
        self.0.mount_id != 0
    }

    /// The alignment that direct I/O on the file needs, if it can be done at all.
    ///
    /// See [`Statx`].
    #[doc(alias = "O_DIRECT")]
    pub fn direct_align(&self) -> Option<DirectAlign> {
        let more = self.has(bits::DIRECT_ALIGN)?;
        (more.direct_offset_align != 0).then_some(DirectAlign {
            memory_bytes: more.direct_memory_align,
            offset_bytes: more.direct_offset_align,
        })
    }

    /// The subvolume that the file is in.
    ///
    /// See [`Statx`].
    pub fn subvolume(&self) -> Option<u64> {
        Some(self.has(bits::SUBVOLUME)?.subvolume)
    }

    /// The least and the most bytes of a direct write that is never torn, both powers of two.
    ///
    /// See [`Statx`].
    pub fn atomic_write_bytes(&self) -> Option<(u32, u32)> {
        let more = self.has(bits::ATOMIC_WRITE)?;
        (more.atomic_write_max != 0).then_some((more.atomic_write_min, more.atomic_write_max))
    }

    /// Whether the file cannot be changed (`chattr +i`), where the filesystem says.
    ///
    /// See [`Statx`].
    pub fn is_immutable(&self) -> Option<bool> {
        self.attribute(bits::ATTR_IMMUTABLE)
    }

    /// Whether the file can only be appended to (`chattr +a`), where the filesystem says.
    ///
    /// See [`Statx`].
    pub fn is_append_only(&self) -> Option<bool> {
        self.attribute(bits::ATTR_APPEND)
    }

    /// Whether the filesystem compresses the file, where it says.
    ///
    /// See [`Statx`].
    pub fn is_compressed(&self) -> Option<bool> {
        self.attribute(bits::ATTR_COMPRESSED)
    }

    /// Whether the filesystem encrypts the file, where it says.
    ///
    /// See [`Statx`].
    pub fn is_encrypted(&self) -> Option<bool> {
        self.attribute(bits::ATTR_ENCRYPTED)
    }

    /// Whether the content is verified when it is read (fs-verity), where the filesystem says.
    ///
    /// See [`Statx`].
    pub fn is_verity(&self) -> Option<bool> {
        self.attribute(bits::ATTR_VERITY)
    }

    /// Whether the file bypasses the page cache on memory that is storage (DAX), where the kernel says.
    ///
    /// See [`Statx`].
    pub fn is_dax(&self) -> Option<bool> {
        self.attribute(bits::ATTR_DAX)
    }

    /// Whether it is the root of a mount, where the kernel says.
    ///
    /// See [`Statx`].
    pub fn is_mount_root(&self) -> Option<bool> {
        self.attribute(bits::ATTR_MOUNT_ROOT)
    }

    /// Whether its content is elsewhere, and is fetched when somebody reads it, as a cloud drive keeps it on macOS
    /// (SF_DATALESS). On other systems no file is.
    ///
    /// See [`Dataless`](crate::Dataless) for what opening such a file does.
    #[doc(alias = "SF_DATALESS")]
    pub fn is_dataless(&self) -> bool {
        self.0.dataless
    }

    fn has(&self, bit: u32) -> Option<crate::op::stat::More> {
        (self.0.more.mask & bit != 0).then_some(self.0.more)
    }

    fn attribute(&self, bit: u64) -> Option<bool> {
        let more = self.0.more;
        (more.attributes_mask & bit != 0).then_some(more.attributes & bit != 0)
    }
}

impl MetadataExt for Statx {
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
