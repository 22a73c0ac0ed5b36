//! Copying files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::metadata::Follow;
use crate::op::copy::{self, CopyRequest, Holes, Sync};

pub use crate::op::copy::{Copied, Preserve, Reflink, Warning};

/// Copies content and permissions of a file; returns the length in bytes. Follows links; replaces the
/// content of what exists.
///
/// # Cancel safety
///
/// May take partial effect: the copy stops at the next chunk of 16 MiB.
///
/// # Errors
///
/// Those of `open(2)`, `read(2)` and `write(2)`; `InvalidInput` if the source is not a regular file, or
/// is the destination itself; that of `getxattr(2)` if the source's access list cannot be looked at, without
/// which nobody knows what its mode gives to the group.
///
/// # Backend
///
/// All steps in one hop: `copy_file_range(2)`, which shares blocks where the filesystem can, else
/// `read(2)` and `write(2)`.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// let copied = tidegate::fs::copy("/etc/passwd", dir.path().join("passwd")).await?;
/// assert!(copied > 0);
/// # Ok(()) }
/// ```
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let mut copy = CopyFile::new(from, to);
    copy.request.is_plain = true;
    Ok(copy.run().await?.bytes)
}

/// Carries mode and what `preserve` names from one path to another, neither followed if it is a link;
/// returns what could not be carried over.
///
/// For a directory, do this after its entries are made: making them changes its times.
///
/// # Cancel safety
///
/// May take partial effect.
///
/// # Errors
///
/// Those of `lstat(2)` on the source. All else is in the list that is returned.
///
/// # Backend
///
/// All steps in one hop.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, Preserve};
/// # let dir = tempfile::tempdir()?;
/// # let (from, to) = (dir.path().join("from"), dir.path().join("to"));
/// # fs::create_dir(&from).await?;
/// fs::create_dir(&to).await?;
/// let preserve = Preserve { times: true, ..Preserve::default() };
/// assert!(fs::copy_metadata(&from, &to, preserve).await?.is_empty());
/// assert_eq!(fs::metadata(&from).await?.modified()?, fs::metadata(&to).await?.modified()?);
/// # Ok(()) }
/// ```
pub async fn copy_metadata(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    preserve: Preserve,
) -> io::Result<Vec<Warning>> {
    let (from, to): (PathBuf, PathBuf) = (from.as_ref().into(), to.as_ref().into());
    copy::copy_metadata(&from, &to, preserve).await
}

/// Copies one file as a whole, in one hop, with as much of its metadata as is asked for.
///
/// A copy that succeeds has all of the source: if it is written to, grows or shrinks meanwhile, the
/// copy fails.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{CopyFile, Preserve};
/// # let dir = tempfile::tempdir()?;
/// let copied = CopyFile::new("/etc/passwd", dir.path().join("passwd"))
///     .preserve(Preserve { times: true, ..Preserve::default() })
///     .rename_into_place(true)
///     .run()
///     .await?;
/// assert!(copied.bytes > 0 && copied.warnings.is_empty());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is copied until it is run"]
pub struct CopyFile {
    request: CopyRequest,
    stop: Option<Arc<AtomicBool>>,
    progress: Option<Arc<AtomicU64>>,
}

impl CopyFile {
    /// A copy that follows links, keeps holes, gives the destination the source's mode, and replaces the
    /// content of what exists.
    ///
    /// See [`CopyFile`].
    pub fn new(from: impl AsRef<Path>, to: impl AsRef<Path>) -> CopyFile {
        let request = CopyRequest {
            from: from.as_ref().into(),
            to: to.as_ref().into(),
            is_plain: false,
            create_new: false,
            follow: true,
            holes: Holes::Source,
            mode: None,
            preserve: Preserve::default(),
            rename_into_place: false,
            sync: Sync::No,
            drop_cache: false,
            reflink: Reflink::Auto,
            temporary: None,
        };
        CopyFile {
            request,
            stop: None,
            progress: None,
        }
    }

    /// Fails with `AlreadyExists` where the destination exists.
    ///
    /// See [`CopyFile::run`].
    pub fn create_new(mut self, create_new: bool) -> CopyFile {
        self.request.create_new = create_new;
        self
    }

    /// Whether a symbolic link as source is followed, as it is by default; if not, it is an error.
    ///
    /// See [`CopyFile::run`].
    pub fn follow(mut self, follow: Follow) -> CopyFile {
        self.request.follow = follow == Follow::Links;
        self
    }

    /// Makes holes where the source has them, as it does by default.
    ///
    /// See [`CopyFile::run`].
    pub fn keep_holes(mut self, keep_holes: bool) -> CopyFile {
        self.request.holes = if keep_holes {
            Holes::Source
        } else {
            Holes::None
        };
        self
    }

    /// Makes holes of all blocks of zeros, instead of where the source has them.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    /// use tidegate::fs::{self, CopyFile};
    /// fs::write(&from, vec![0; 1 << 20]).await?;
    /// let copied = CopyFile::new(&from, &to).zeros_to_holes().run().await?;
    /// assert_eq!((copied.bytes, copied.data_bytes), (1 << 20, 0));
    /// # Ok(()) }
    /// ```
    pub fn zeros_to_holes(mut self) -> CopyFile {
        self.request.holes = Holes::Zeros;
        self
    }

    /// Chooses whether blocks are shared with the source; by default as the kernel likes.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    /// use tidegate::fs::{self, CopyFile, Reflink};
    /// fs::write(&from, "blocks of its own").await?;
    /// CopyFile::new(&from, &to).reflink(Reflink::Never).run().await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "FICLONE")]
    pub fn reflink(mut self, reflink: Reflink) -> CopyFile {
        self.request.reflink = reflink;
        self
    }

    /// Writes out what was copied, and drops it and the source from the page cache: for a copy of more than the
    /// memory holds, whose data nobody reads soon.
    ///
    /// See [`CopyFile::run`].
    #[doc(alias = "posix_fadvise")]
    pub fn drop_cache(mut self, drop_cache: bool) -> CopyFile {
        self.request.drop_cache = drop_cache;
        self
    }

    /// Sets the mode of the destination, instead of the source's.
    ///
    /// See [`CopyFile::run`].
    pub fn mode(mut self, mode: u32) -> CopyFile {
        self.request.mode = Some(mode);
        self
    }

    /// What is carried over besides content and mode. What cannot be is in [`Copied::warnings`].
    ///
    /// See [`CopyFile`].
    pub fn preserve(mut self, preserve: Preserve) -> CopyFile {
        self.request.preserve = preserve;
        self
    }

    /// A counter that grows by the bytes moved. Several copies may share it.
    ///
    /// See [`CopyFile::run`].
    pub fn progress(mut self, progress: Arc<AtomicU64>) -> CopyFile {
        self.progress = Some(progress);
        self
    }

    /// Writes under a temporary name beside the destination (`.tidegate-*.tmp`) and renames it at the end,
    /// so that the destination is never there in part. The temporary file of a copy that fails, is stopped
    /// or is dropped is removed.
    ///
    /// See [`CopyFile`].
    pub fn rename_into_place(mut self, rename_into_place: bool) -> CopyFile {
        self.request.rename_into_place = rename_into_place;
        self
    }

    /// A flag that ends the copy at the next chunk with [`Error::Cancelled`](crate::Error::Cancelled) once it is set.
    ///
    /// See [`CopyFile::run`].
    pub fn stop(mut self, stop: Arc<AtomicBool>) -> CopyFile {
        self.stop = Some(stop);
        self
    }

    /// Waits until the device has content, metadata and, with a rename into place, the name.
    ///
    /// See [`CopyFile::run`].
    pub fn sync(mut self, sync: bool) -> CopyFile {
        self.request.sync = if sync { Sync::Name } else { Sync::No };
        self
    }

    /// Waits until the device has content and metadata before the destination gets its name, and not for the name:
    /// for many files of a directory that is synced once.
    ///
    /// See [`CopyFile::run`].
    pub fn sync_content(mut self) -> CopyFile {
        self.request.sync = Sync::Content;
        self
    }

    /// The temporary name of a rename into place, instead of one that is made up: beside the destination, and
    /// of a file that does not exist. Who gives up on a copy that hangs can remove it by this name.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::fs::CopyFile;
    /// let (to, temporary) = (dir.path().join("passwd"), dir.path().join(".passwd.new"));
    /// let copy = CopyFile::new("/etc/passwd", &to).rename_into_place(true).temporary(&temporary);
    /// copy.run().await?;
    /// assert!(to.exists() && !temporary.exists());
    /// # Ok(()) }
    /// ```
    pub fn temporary(mut self, name: impl AsRef<Path>) -> CopyFile {
        self.request.temporary = Some(name.as_ref().into());
        self
    }

    /// Copies the file.
    ///
    /// # Cancel safety
    ///
    /// May take partial effect: the copy stops at the next chunk of 16 MiB. With a rename into place the
    /// destination is either not touched or whole; else it may be left in part.
    ///
    /// # Errors
    ///
    /// Those of `open(2)`, `read(2)`, `write(2)`, `close(2)` and `rename(2)`; named ones have the path of the side they are about;
    /// `InvalidInput` if the source is not a regular file, or is the destination itself;
    /// `UnexpectedEof` if it shrinks, `ResourceBusy` if it is changed, as far as its size and times tell: not what is written through a mapping; [`Error::Cancelled`](crate::Error::Cancelled) if stopped.
    ///
    /// # Backend
    ///
    /// All steps in one hop: `copy_file_range(2)`, which shares blocks where the filesystem can, else
    /// `read(2)` and `write(2)`; `lseek(2)` with SEEK_DATA finds the holes.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    /// use tidegate::fs::{CopyFile, Follow};
    ///
    /// let (stop, progress) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    /// let copied = CopyFile::new("/etc/passwd", dir.path().join("passwd"))
    ///     .create_new(true)
    ///     .follow(Follow::No)
    ///     .keep_holes(false)
    ///     .mode(0o600)
    ///     .sync(true)
    ///     .stop(stop)
    ///     .progress(progress.clone())
    ///     .run()
    ///     .await?;
    /// assert_eq!(progress.load(Ordering::Relaxed), copied.bytes);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "copy_file_range")]
    pub async fn run(self) -> io::Result<Copied> {
        copy::copy(self.request, self.stop, self.progress).await
    }
}
