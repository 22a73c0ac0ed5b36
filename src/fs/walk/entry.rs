//! What a walk finds.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::fs::{FileKind, Statx};
use crate::op::walk::Found;

/// One entry of a walk.
///
/// It is small, and shares its names with those that were found with it: one that is kept keeps up to 255 others'
/// names in memory. Its path is made when it is asked for.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let root = dir.path();
/// # std::fs::write(root.join("a"), "text")?;
/// use futures::TryStreamExt;
/// use tidegate::fs::{FileKind, WalkDir};
/// let entries: Vec<_> = WalkDir::new(root).metadata(true).walk().try_collect().await?;
/// let entry = &entries[1];
/// assert_eq!((entry.path(), entry.depth()), (root.join("a"), 1));
/// assert_eq!((entry.file_name().to_str(), entry.kind()), (Some("a"), FileKind::File));
/// assert_eq!((entry.size(), entry.disk_bytes().is_some()), (Some(4), true));
/// assert_eq!(entry.metadata().unwrap().kind(), entry.kind());
/// assert!(entry.ino() > 0 && !entry.is_followed() && !entry.is_mount_point());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct WalkEntry(pub(super) Found);

impl fmt::Debug for WalkEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalkEntry")
            .field("path", &self.path())
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

impl WalkEntry {
    /// The path: that of the root as it was given, and the names. It may be longer than the system takes.
    ///
    /// See [`WalkEntry`].
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// The name; of the root, the last of its path.
    ///
    /// See [`WalkEntry`].
    pub fn file_name(&self) -> &OsStr {
        self.0.name()
    }

    /// How far below the root.
    ///
    /// See [`WalkEntry`].
    pub fn depth(&self) -> usize {
        self.0.depth()
    }

    /// What kind of file it is; where links are followed, what the link leads to is.
    ///
    /// See [`WalkEntry`].
    pub fn kind(&self) -> FileKind {
        FileKind::of(self.0.type_bits)
    }

    /// The inode number.
    ///
    /// See [`WalkEntry`].
    pub fn ino(&self) -> u64 {
        self.0.ino
    }

    /// The attributes, if the walk was told to ask for them; none of what is mounted where it was told not to go.
    ///
    /// See [`WalkEntry`].
    pub fn metadata(&self) -> Option<&Statx> {
        self.0.stat.as_ref()
    }

    /// Its bytes, where attributes were asked for.
    ///
    /// See [`WalkEntry`].
    pub fn size(&self) -> Option<u64> {
        self.metadata().map(MetadataExt::size)
    }

    /// The bytes that it takes on disk, where attributes were asked for.
    ///
    /// See [`WalkEntry`].
    pub fn disk_bytes(&self) -> Option<u64> {
        self.metadata()
            .map(|found| found.blocks().saturating_mul(512))
    }

    /// Whether it was reached through a link, and is told as what that leads to.
    ///
    /// See [`WalkEntry`].
    pub fn is_followed(&self) -> bool {
        self.0.flags.followed
    }

    /// Whether another filesystem is mounted there, or begins there as a subvolume does, and the walk stays on its own.
    ///
    /// See [`WalkEntry`].
    pub fn is_mount_point(&self) -> bool {
        self.0.flags.mount_point
    }
}

/// What becomes of an entry.
///
/// See [`WalkDir::filter`](super::WalkDir::filter).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WalkStep {
    /// It is told; if it is a directory, what is in it is not.
    Prune,
    /// Neither it nor anything in it is told.
    Skip,
    /// It is told, and so is what is in it.
    Take,
}
