//! Copying trees.

use std::fmt;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use super::statx::Statx;
use super::{Preserve, Reflink};
use crate::op::copy::{CopyRequest, Holes, Sync};
use crate::op::tree::{self, Temporaries, TreeRequest};
use crate::op::walk::Walking;

pub use crate::op::tree::{TreeCopied, TreeError, TreeEvent, TreeKind};

/// A copy of a tree, to be set up; the same as [`CopyTree::new`].
///
/// See [`CopyTree`].
pub fn copy_tree(from: impl AsRef<Path>, to: impl AsRef<Path>) -> CopyTree {
    CopyTree::new(from, to)
}

/// A copy of a file or a tree, to be set up: [`start`](CopyTree::start) gives a stream of what was copied.
///
/// It goes by open directories on both sides, and names relative to them. Neither side's links are followed below the
/// two paths that were given, whoever puts them there meanwhile: a directory that is swapped for a link is an error, or
/// is copied as the link that it is, and nothing is read or made elsewhere. The last names of the two paths are not
/// followed either, unless a slash ends them.
///
/// A file gets its name when it is whole, with its metadata, and what has that name is replaced in one step; FIFOs,
/// sockets and devices are not replaced by files. A file that is written to while it is copied is an error, and is not
/// at the destination. A directory in which names come, go or are changed meanwhile is copied as far as it was seen, and is an
/// error as well. Names of one file are names of one file there. What cannot be copied, or does not answer within
/// the handle's timeout for data, is a [`TreeEvent::Failed`], and the rest goes on.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use futures::StreamExt;
/// use tidegate::fs::{self, CopyTree, Preserve, TreeEvent};
/// # let dir = tempfile::tempdir()?;
/// # let (from, to) = (dir.path().join("from"), dir.path().join("to"));
/// # fs::create_dir(&from).await?;
/// # fs::write(from.join("notes.txt"), "text").await?;
/// let mut copying = CopyTree::new(&from, &to)
///     .preserve(Preserve { times: true, ..Preserve::default() })
///     .exclude(|below| below.ends_with("target"))
///     .start();
/// while let Some(event) = copying.next().await {
///     if let TreeEvent::Failed(error) = event {
///         eprintln!("{error}");
///     }
/// }
/// assert_eq!(fs::read(to.join("notes.txt")).await?, b"text");
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "nothing is copied before it is started, and its stream polled"]
pub struct CopyTree {
    request: TreeRequest,
}

impl fmt::Debug for CopyTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyTree")
            .field("from", &self.request.file.from)
            .field("to", &self.request.file.to)
            .finish_non_exhaustive()
    }
}

impl CopyTree {
    /// A copy of what is at `from` as `to`, whose parent has to exist. It keeps holes, and carries modes over.
    ///
    /// See [`CopyTree`].
    pub fn new(from: impl AsRef<Path>, to: impl AsRef<Path>) -> CopyTree {
        let file = CopyRequest {
            from: from.as_ref().into(),
            to: to.as_ref().into(),
            is_plain: false,
            create_new: false,
            follow: false,
            holes: Holes::Source,
            mode: None,
            preserve: Preserve::default(),
            rename_into_place: true,
            sync: Sync::No,
            drop_cache: false,
            reflink: Reflink::Auto,
            temporary: None,
        };
        let request = TreeRequest {
            file,
            sync_names: false,
            keep: None,
            exclude: None,
            one_file_system: false,
            dry_run: false,
            resume: false,
            verify: false,
            may_lack_xattrs: false,
            threads: None,
            stop: None,
            progress: None,
        };
        CopyTree { request }
    }

    /// Chooses which metadata besides the mode is carried over.
    ///
    /// See [`CopyTree`].
    pub fn preserve(mut self, preserve: Preserve) -> CopyTree {
        self.request.file.preserve = preserve;
        self
    }

    /// Leaves alone what exists: it is [`TreeEvent::Kept`]. Directories are gone into all the same.
    ///
    /// See [`CopyTree::keep_if`].
    pub fn keep_existing(mut self) -> CopyTree {
        self.request.file.create_new = true;
        self.request.keep = Some(Arc::new(|_, _| true));
        self
    }

    /// Leaves alone what exists and is such: the closure sees the source and what is at the destination.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use std::os::unix::fs::MetadataExt;
    /// use tidegate::fs::{self, CopyTree, TreeEvent};
    /// # let dir = tempfile::tempdir()?;
    /// # let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    /// # fs::write(&from, "older").await?;
    /// # fs::write(&to, "newer").await?;
    /// let mut copying = CopyTree::new(&from, &to)
    ///     .keep_if(|found, there| there.mtime() >= found.mtime())
    ///     .start();
    /// assert!(matches!(copying.next_event().await, Some(TreeEvent::Kept(_))));
    /// # Ok(()) }
    /// ```
    pub fn keep_if(
        mut self,
        keep: impl Fn(&Statx, &Statx) -> bool + Send + std::marker::Sync + 'static,
    ) -> CopyTree {
        self.request.keep = Some(Arc::new(keep));
        self
    }

    /// Leaves alone what exists and is as new as its source, as far as its filesystem keeps times.
    ///
    /// See [`CopyTree::keep_if`].
    pub fn keep_newer(self) -> CopyTree {
        self.keep_if(tree::is_as_new)
    }

    /// Goes on where an earlier copy was killed. A file that the destination has is compared with its source, and stays
    /// if all of it is the same ([`TreeEvent::Kept`]). Of what was left under a temporary name all is compared, never
    /// trusted by its size, and what is the same is not written again ([`TreeCopied::reused_bytes`]); what has no use any
    /// more is removed. Where another copy works in a directory, its temporary files are left alone.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{CopyTree, TreeEvent};
    /// # let dir = tempfile::tempdir()?;
    /// # let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    /// # std::fs::write(&from, "text")?;
    /// let mut copying = CopyTree::new(&from, &to).start();
    /// while copying.next_event().await.is_some() {}
    /// let mut again = CopyTree::new(&from, &to).resume(true).start();
    /// assert!(matches!(again.next_event().await, Some(TreeEvent::Kept(_))));
    /// # Ok(()) }
    /// ```
    pub fn resume(mut self, resume: bool) -> CopyTree {
        self.request.resume = resume;
        self
    }

    /// Copies nothing, and compares what is at the destination with the source instead: kinds, content, where links
    /// lead, which names are one file, modes, and what is to be preserved. What is the same is [`TreeEvent::Verified`],
    /// and what is not is [`TreeEvent::Failed`].
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{CopyTree, TreeEvent};
    /// # let dir = tempfile::tempdir()?;
    /// # let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    /// # std::fs::write(&from, "text")?;
    /// # std::fs::write(&to, "test")?;
    /// let mut comparing = CopyTree::new(&from, &to).verify(true).start();
    /// let Some(TreeEvent::Failed(error)) = comparing.next_event().await else { panic!() };
    /// assert_eq!(error.operation, "verify");
    /// # Ok(()) }
    /// ```
    pub fn verify(mut self, verify: bool) -> CopyTree {
        self.request.verify = verify;
        self
    }

    /// Whether a copy that is verified may lack attributes of its source, as one on a filesystem without them does.
    ///
    /// See [`CopyTree::verify`].
    pub fn may_lack_xattrs(mut self, may_lack: bool) -> CopyTree {
        self.request.may_lack_xattrs = may_lack;
        self
    }

    /// Leaves out what is such, by its path below the root, with all that is in it.
    ///
    /// See [`CopyTree`].
    pub fn exclude(
        mut self,
        exclude: impl Fn(&Path) -> bool + Send + std::marker::Sync + 'static,
    ) -> CopyTree {
        self.request.exclude = Some(Arc::new(exclude));
        self
    }

    /// Whether directories of other filesystems than the root's stay empty.
    ///
    /// See [`CopyTree`].
    pub fn one_file_system(mut self, one_file_system: bool) -> CopyTree {
        self.request.one_file_system = one_file_system;
        self
    }

    /// Changes nothing, and tells what would be copied: [`TreeEvent::Planned`].
    ///
    /// See [`TreeEvent`].
    pub fn dry_run(mut self, dry_run: bool) -> CopyTree {
        self.request.dry_run = dry_run;
        self
    }

    /// Chooses whether blocks are shared with the source.
    ///
    /// See [`CopyTree`].
    pub fn reflink(mut self, reflink: Reflink) -> CopyTree {
        self.request.file.reflink = reflink;
        self
    }

    /// Chooses whether holes stay holes.
    ///
    /// See [`CopyTree`].
    pub fn keep_holes(mut self, keep: bool) -> CopyTree {
        self.request.file.holes = if keep { Holes::Source } else { Holes::None };
        self
    }

    /// Makes holes of all that is zero.
    ///
    /// See [`CopyTree`].
    pub fn zeros_to_holes(mut self) -> CopyTree {
        self.request.file.holes = Holes::Zeros;
        self
    }

    /// Has the disk take the content of each file before it gets its name.
    ///
    /// See [`CopyTree::sync_all`].
    pub fn sync_content(mut self) -> CopyTree {
        self.request.file.sync = Sync::Content;
        self
    }

    /// The same, and the names in a directory before it is told.
    ///
    /// See [`CopyTree`].
    pub fn sync_all(mut self) -> CopyTree {
        self.request.sync_names = true;
        self.sync_content()
    }

    /// Leaves no more in the page cache than was there.
    ///
    /// See [`CopyTree`].
    pub fn drop_cache(mut self, drop_cache: bool) -> CopyTree {
        self.request.file.drop_cache = drop_cache;
        self
    }

    /// Threads that copy at a time, without those that are stuck: as many as there are processors if nothing is said,
    /// and more where each answer comes from a server.
    ///
    /// See [`CopyTree`].
    pub fn threads(mut self, threads: NonZeroUsize) -> CopyTree {
        self.request.threads = Some(threads.get());
        self
    }

    /// Grows by the bytes moved, also of files that are not done.
    ///
    /// See [`CopyTree`].
    pub fn progress(mut self, bytes: Arc<AtomicU64>) -> CopyTree {
        self.request.progress = Some(bytes);
        self
    }

    /// Ends the copy early once it is set: what is in work stops at its next step, and nothing else begins. What ends
    /// so is not told.
    ///
    /// See [`CopyTree`].
    pub fn stop(mut self, stop: Arc<AtomicBool>) -> CopyTree {
        self.request.stop = Some(stop);
        self
    }

    /// Begins: the stream is to be polled, or nothing goes on.
    ///
    /// See [`CopyTree`].
    pub fn start(self) -> CopyingTree {
        let (walking, temporaries) = tree::start(self.request);
        CopyingTree {
            walking,
            temporaries,
        }
    }
}

/// A copy of a tree that goes on: a stream of what was copied and what could not be, without an order.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::CopyTree;
/// # let dir = tempfile::tempdir()?;
/// # let (from, to) = (dir.path().join("from"), dir.path().join("to"));
/// # std::fs::write(&from, "text")?;
/// let mut copying = CopyTree::new(&from, &to).start();
/// let leftovers = copying.leftovers();
/// while copying.next_event().await.is_some() {}
/// assert!(leftovers.remove(std::time::Duration::from_secs(2)).await.is_empty());
/// # Ok(()) }
/// ```
///
/// # Cancel safety
///
/// Dropped, it stops: files in work stop at their next step and are not at the destination, and nothing else begins.
///
/// # Backend
///
/// Blocking threads of the source's mount, each for as long as it has something to do.
pub struct CopyingTree {
    walking: Walking<TreeEvent>,
    temporaries: Arc<Temporaries>,
}

impl fmt::Debug for CopyingTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyingTree").finish_non_exhaustive()
    }
}

impl CopyingTree {
    /// Returns what was done next; `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// No event is lost if a future that waits for the next one is dropped.
    ///
    /// # Errors
    ///
    /// None: they are events.
    ///
    /// # Backend
    ///
    /// See [`CopyingTree`].
    ///
    /// # Examples
    ///
    /// See [`CopyingTree`].
    pub async fn next_event(&mut self) -> Option<TreeEvent> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The temporary names of files whose copies hang, also after the stream is dropped.
    ///
    /// See [`CopyingTree`].
    pub fn leftovers(&self) -> TreeLeftovers {
        TreeLeftovers(self.temporaries.clone())
    }
}

impl Stream for CopyingTree {
    type Item = TreeEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TreeEvent>> {
        let next = self.walking.poll_next(cx);
        next.map(|next| next.map(|next| next.unwrap_or_else(tree::told)))
    }
}

/// The temporary files that a copy of a tree could not remove, because it hangs or because it may not.
///
/// See [`CopyingTree`].
#[derive(Clone)]
pub struct TreeLeftovers(Arc<Temporaries>);

impl fmt::Debug for TreeLeftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeLeftovers").finish_non_exhaustive()
    }
}

impl TreeLeftovers {
    /// Removes what is left, and gives each that time; returns what could not be removed.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// None: what could not be removed is returned.
    ///
    /// # Backend
    ///
    /// `unlinkat(2)` in the open directory, on a blocking thread.
    ///
    /// # Examples
    ///
    /// See [`CopyingTree`].
    pub async fn remove(&self, bound: Duration) -> Vec<PathBuf> {
        self.0.remove_all(bound).await
    }
}
