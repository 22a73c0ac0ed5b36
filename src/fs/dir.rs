//! Directories.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::limits;
use crate::op::blocking::{self, Entry, Listing};
use crate::op::elsewhere::Elsewhere;
use crate::op::entry::{self, Ahead};
use crate::op::hop::{hop, remove_dir_all as remove_dir_all_of};
use crate::op::names;
use crate::opcode::Kind;

/// Makes a directory, with the permissions that the umask leaves of `rwxrwxrwx`.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `mkdir(2)`.
///
/// # Backend
///
/// MKDIRAT (Linux 5.15); else `mkdir(2)` on a blocking thread.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// tidegate::fs::create_dir(dir.path().join("new")).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "mkdir")]
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().create(path).await
}

/// Makes a directory and all its parents that are missing. One that is there already is no error.
///
/// # Cancel safety
///
/// May take partial effect.
///
/// # Errors
///
/// Those of `mkdir(2)`.
///
/// # Backend
///
/// `mkdir(2)` on a blocking thread, all in one hop.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// tidegate::fs::create_dir_all(dir.path().join("a/b/c")).await?;
/// # Ok(()) }
/// ```
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path).await
}

/// How a directory is made.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// use tidegate::fs::DirBuilder;
/// DirBuilder::new().recursive(true).mode(0o700).create(dir.path().join("a/b/c")).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct DirBuilder {
    recursive: bool,
    mode: u32,
}

impl Default for DirBuilder {
    fn default() -> DirBuilder {
        DirBuilder::new()
    }
}

impl DirBuilder {
    /// One directory, with the permissions that the umask leaves of `rwxrwxrwx`.
    ///
    /// See [`DirBuilder`].
    pub fn new() -> DirBuilder {
        DirBuilder {
            recursive: false,
            mode: 0o777,
        }
    }

    /// Makes all parents that are missing, too, with the same permissions. A directory that is there
    /// already is no error then.
    ///
    /// See [`DirBuilder`].
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.recursive = recursive;
        self
    }

    /// The permission bits, less those of the umask; `0o777` by default.
    ///
    /// See [`DirBuilder`].
    pub fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.mode = mode;
        self
    }

    /// Makes the directory. Cancel safety, errors and backend are those of [`create_dir`], and if
    /// recursive those of [`create_dir_all`].
    ///
    /// See [`DirBuilder`].
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (path, mode) = (path.as_ref().to_path_buf(), self.mode);
        if !self.recursive {
            return names::create_dir(&path, mode).await;
        }
        let owned = path.clone();
        hop(Kind::CreateDirAll, &path, move |_| {
            blocking::create_dir_all(&owned, mode)
        })
        .await
    }
}

/// Removes an empty directory.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `rmdir(2)`, among them `DirectoryNotEmpty`.
///
/// # Backend
///
/// UNLINKAT (Linux 5.11); else `rmdir(2)` on a blocking thread.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("new");
/// # tidegate::fs::create_dir(&path).await?;
/// tidegate::fs::remove_dir(&path).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "rmdir")]
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    names::remove(&path, true).await
}

/// Removes a directory and all that is in it, however deep that is. Symbolic links are removed and not followed, also those
/// that are put there meanwhile.
///
/// # Cancel safety
///
/// May take partial effect.
///
/// # Errors
///
/// Those of `unlinkat(2)`; what was removed before the error stays removed.
///
/// # Backend
///
/// `unlinkat(2)` on a blocking thread, all in one hop.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("tree");
/// # tidegate::fs::create_dir_all(path.join("a/b")).await?;
/// tidegate::fs::remove_dir_all(&path).await?;
/// # Ok(()) }
/// ```
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    let owned = path.clone();
    hop(Kind::RemoveDirAll, &path, move |steps| {
        remove_dir_all_of(&owned, steps)
    })
    .await
}

/// Lists a directory, in the order of the filesystem, without `.` and `..`.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// Those of `opendir(3)`; [`ReadDir::next_entry`] gives those of reading it.
///
/// # Backend
///
/// `getdents64(2)` on a blocking thread, about a thousand entries in one hop; the kernel has no
/// opcode for it.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// let mut entries = tidegate::fs::read_dir("/").await?;
/// while let Some(entry) = entries.next_entry().await? {
///     println!("{}", entry.path().display());
/// }
/// # Ok(()) }
/// ```
#[doc(alias = "getdents")]
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path: Arc<Path> = path.as_ref().into();
    let owned = path.clone();
    let work = move |_: &_| {
        let listing = Listing::open(&owned)?;
        Ok(next_batch(listing, || Listing::look(&owned).map(Arc::new)))
    };
    let batch = hop(Kind::ReadDir, &path, work).await?;
    Ok(ReadDir {
        path,
        state: State::Ready(batch),
    })
}

/// `look` has the directory open without access; it is asked for if the directory stays open.
fn next_batch(mut listing: Listing, look: impl FnOnce() -> Option<Arc<OwnedFd>>) -> Batch {
    let (entries, at_end) = listing.next_batch(limits::READ_DIR_BATCH_BYTES);
    let first = entries.iter().flatten().next();
    let look = if at_end && first.is_none() {
        None
    } else {
        look()
    };
    let open = first.map(|entry| {
        let entry = entry.std.clone();
        Arc::new(Elsewhere::directory(entry, look.clone()))
    });
    let ahead = Ahead::of(entries.iter().flatten().map(|entry| entry.std.clone()));
    Batch {
        entries: entries.into(),
        ahead,
        given: 0,
        rest: (!at_end).then(|| Elsewhere::directory(listing, look)),
        open,
    }
}

/// Keeps the directory open that std's entries share, until it can be closed where that may sleep. To be
/// dropped after them.
type Open = Arc<Elsewhere<Arc<fs::DirEntry>>>;

#[derive(Debug)]
struct Batch {
    entries: VecDeque<io::Result<Entry>>,
    /// The directory, unless it was read to its end.
    rest: Option<Elsewhere<Listing>>,
    ahead: Arc<Ahead>,
    /// Entries that were given out.
    given: usize,
    open: Option<Open>,
}

enum State {
    Ready(Batch),
    Reading(Pin<Box<dyn Future<Output = io::Result<Batch>> + Send + Sync>>),
}

/// The entries of a directory: [`read_dir`] makes one.
///
/// See [`read_dir`].
pub struct ReadDir {
    path: Arc<Path>,
    state: State,
}

impl std::fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadDir")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl ReadDir {
    /// Returns the next entry, or `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// No entry is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of `getdents64(2)`, for single entries or for the rest of the directory.
    ///
    /// # Examples
    ///
    /// See [`read_dir`].
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        std::future::poll_fn(|cx| self.poll_next_entry(cx)).await
    }

    /// Polls for the next entry, as [`next_entry`](ReadDir::next_entry) waits for it.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let mut entries = tidegate::fs::read_dir("/").await?;
    /// let first = std::future::poll_fn(|cx| entries.poll_next_entry(cx)).await?;
    /// assert!(first.is_some());
    /// # Ok(()) }
    /// ```
    pub fn poll_next_entry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> {
        loop {
            match &mut self.state {
                State::Ready(batch) => {
                    if let Some(entry) = batch.entries.pop_front() {
                        return Poll::Ready(entry.map(|entry| {
                            batch.given += 1;
                            Some(DirEntry {
                                std: entry.std,
                                file_type: entry.file_type,
                                ahead: batch.ahead.clone(),
                                place: batch.given - 1,
                                _open: batch.open.clone(),
                            })
                        }));
                    }
                    let Some(rest) = batch.rest.take() else {
                        return Poll::Ready(Ok(None));
                    };
                    let path = self.path.clone();
                    self.state = State::Reading(Box::pin(async move {
                        let work = move |_: &_| {
                            let (listing, look) = rest.into_parts();
                            Ok(next_batch(listing, || look))
                        };
                        hop(Kind::ReadDir, &path, work).await
                    }));
                }
                State::Reading(reading) => {
                    let batch = ready!(reading.as_mut().poll(cx));
                    let empty = Batch {
                        entries: VecDeque::new(),
                        rest: None,
                        ahead: Arc::default(),
                        given: 0,
                        open: None,
                    };
                    self.state = State::Ready(empty);
                    self.state = State::Ready(batch?);
                }
            }
        }
    }
}

/// The entries as a stream, as tokio-stream's `ReadDirStream` has them.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use futures::TryStreamExt;
/// let entries = tidegate::fs::read_dir("/").await?;
/// let names: Vec<_> = entries.map_ok(|entry| entry.file_name()).try_collect().await?;
/// assert!(!names.is_empty());
/// # Ok(()) }
/// ```
impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_entry(cx).map(Result::transpose)
    }
}

/// One entry of a directory.
///
/// # Examples
///
/// See [`read_dir`].
pub struct DirEntry {
    std: Arc<fs::DirEntry>,
    file_type: Option<FileType>,
    /// Those that were listed with it, and its place among them.
    ahead: Arc<Ahead>,
    place: usize,
    _open: Option<Open>,
}

impl std::fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.std.fmt(f)
    }
}

impl DirEntry {
    /// Returns the path: that of the directory as it was given, and the name.
    ///
    /// See [`DirEntry::metadata`].
    pub fn path(&self) -> PathBuf {
        self.std.path()
    }

    /// Returns the name, without the directory.
    ///
    /// See [`read_dir`].
    pub fn file_name(&self) -> OsString {
        self.std.file_name()
    }

    /// Returns the inode number.
    ///
    /// See [`DirEntry::metadata`].
    pub fn ino(&self) -> u64 {
        self.std.ino()
    }

    /// Reads the attributes of the entry; of the link itself for a symbolic link.
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
    /// At the first poll where the path still leads to the entry and its attributes are in memory; else
    /// `fstatat(2)` on a blocking thread, from the directory that was listed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # tidegate::fs::write(dir.path().join("f"), "content").await?;
    /// use std::os::unix::fs::MetadataExt;
    /// let mut entries = tidegate::fs::read_dir(dir.path()).await?;
    /// while let Some(entry) = entries.next_entry().await? {
    ///     let metadata = entry.metadata().await?;
    ///     assert_eq!((metadata.len(), metadata.ino()), (7, entry.ino()));
    ///     assert!(entry.file_type().await?.is_file(), "{}", entry.path().display());
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let ahead = Some((&self.ahead, self.place));
        entry::metadata(self.std.clone(), &self.path(), ahead).await
    }

    /// Tells what kind of file it is; asks the file only where the directory does not say.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Those of [`metadata`](DirEntry::metadata).
    ///
    /// # Backend
    ///
    /// Known from the listing, else as for [`metadata`](DirEntry::metadata).
    ///
    /// # Examples
    ///
    /// See [`metadata`](DirEntry::metadata).
    pub async fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => Ok(self.metadata().await?.file_type()),
        }
    }
}
