//! Walking a tree.

mod entry;
mod stream;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::StatxMask;
use crate::op::stat::{How, Sync};
use crate::op::walk::{Enter, Options, Visitor, Walking};

pub use crate::op::walk::{WalkCall, WalkError, WalkNow, WalkSort, WalkStats};
pub use entry::{WalkEntry, WalkStep};
pub use stream::{Walk, WalkWatch};

type Filter = Box<dyn Fn(&WalkEntry) -> WalkStep + Send + std::marker::Sync>;

/// A walk through a tree, to be set up: [`walk`](WalkDir::walk) gives a stream of its entries.
///
/// Threads of this crate take directories off one stack, open each relative to its parent, list it 64 KiB at a time and
/// ask for attributes relative to it. So a parent that is renamed meanwhile misdirects nothing, and paths may be longer
/// than the system takes. The root comes first, a directory before what is in it; the rest has no order unless
/// [`sort`](WalkDir::sort) says so.
///
/// What cannot be seen is an error in the stream, with its path, and the walk goes on; only one that says
/// [`is_fatal`](WalkError::is_fatal) is the last. A call that does not come back has the rest of its thread's work
/// given to another within a quarter of a second, and is an error of its own when its time is over; what its threads
/// are at can be seen all the while ([`WalkWatch`]).
///
/// Memory is bounded: a buffer of names for each directory on the way down, about 8 000 entries that wait for their
/// caller, 256 open directories. Only [`WalkSort::Name`] has the names of whole directories in memory, and
/// [`hard_links_once`](WalkDir::hard_links_once) the numbers of files with several names that were told.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # tidegate::fs::write(dir.path().join("notes.txt"), "text").await?;
/// # let root = dir.path();
/// use futures::StreamExt;
/// use tidegate::fs::{FileKind, WalkDir};
/// let mut walk = WalkDir::new(root).metadata(true).walk();
/// let mut bytes = 0;
/// while let Some(entry) = walk.next().await {
///     match entry {
///         Ok(entry) if entry.kind() == FileKind::File => bytes += entry.size().unwrap_or(0),
///         Ok(_) => {}
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// assert_eq!((bytes, walk.stats().files), (4, 1));
/// # Ok(()) }
/// ```
#[must_use = "nothing is walked before `walk` is called, and its stream polled"]
pub struct WalkDir {
    root: PathBuf,
    options: Options,
    filter: Option<Filter>,
    token: Option<CancellationToken>,
}

impl std::fmt::Debug for WalkDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WalkDir")
            .field("root", &self.root)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl WalkDir {
    /// Begins with this directory, or file. If it is a link, what that leads to is walked.
    ///
    /// See [`WalkDir`].
    pub fn new(root: impl AsRef<Path>) -> WalkDir {
        WalkDir {
            root: root.as_ref().to_path_buf(),
            options: Options::default(),
            filter: None,
            token: None,
        }
    }

    /// Asks for the attributes of each entry, on the walking threads; [`WalkEntry::metadata`] has them.
    ///
    /// See [`WalkDir`].
    pub fn metadata(mut self, wanted: bool) -> WalkDir {
        self.options.how = wanted.then(How::default);
        self
    }

    /// The same, with more than the basic attributes.
    ///
    /// ```
    /// # #[tokio::main] async fn main() {
    /// use futures::TryStreamExt;
    /// use tidegate::fs::{StatxMask, WalkDir};
    /// let walk = WalkDir::new("/etc").max_depth(0).statx(StatxMask::MOUNT_ID).walk();
    /// let found: Vec<_> = walk.try_collect().await.unwrap();
    /// println!("on mount {:?}", found[0].metadata().unwrap().mount_id());
    /// # }
    /// ```
    pub fn statx(mut self, mask: StatxMask) -> WalkDir {
        self.options.how = Some(How {
            mask: mask.bits(),
            sync: Sync::AsStat,
        });
        self
    }

    /// Tells only entries that are at least so deep. The root has depth zero.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # tidegate::fs::create_dir_all(dir.path().join("a/b/c")).await?;
    /// # let root = dir.path();
    /// use futures::StreamExt;
    /// use tidegate::fs::WalkDir;
    /// let walk = WalkDir::new(root).min_depth(1).max_depth(2).walk();
    /// let names: Vec<_> = walk.map(|entry| entry.unwrap().file_name().to_owned()).collect().await;
    /// assert_eq!(names, ["a", "b"]);
    /// # Ok(()) }
    /// ```
    pub fn min_depth(mut self, depth: usize) -> WalkDir {
        self.options.min_depth = depth;
        self
    }

    /// Goes no deeper than that: directories there are told and not opened.
    ///
    /// See [`min_depth`](WalkDir::min_depth).
    pub fn max_depth(mut self, depth: usize) -> WalkDir {
        self.options.max_depth = depth;
        self
    }

    /// Follows symbolic links: an entry is what its link leads to. One that leads to a directory that the walk is in is
    /// an error ([`is_loop`](WalkError::is_loop)), one that leads nowhere is told as the link that it is.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let root = dir.path();
    /// # tidegate::fs::create_dir(root.join("a")).await?;
    /// use futures::StreamExt;
    /// use tidegate::fs::{self, WalkDir};
    /// fs::symlink(root, root.join("a/back")).await?;
    /// let walk = WalkDir::new(root).follow_links(true).walk();
    /// let loops = walk.filter(|entry| {
    ///     let is_loop = entry.as_ref().is_err_and(|error| error.is_loop());
    ///     async move { is_loop }
    /// });
    /// assert_eq!(loops.count().await, 1);
    /// # Ok(()) }
    /// ```
    pub fn follow_links(mut self, follow: bool) -> WalkDir {
        self.options.follow = follow;
        self
    }

    /// Stays on the mount of the root. A directory over which another filesystem is mounted is told, without attributes
    /// ([`WalkEntry::is_mount_point`]), and that filesystem is not asked for anything: it may be dead. A subvolume of btrfs
    /// is told with that mark, too, and not gone into, as it has a device number of its own. A link that is
    /// followed, and whose way leads over another mount, is told as the link that it is, with the same mark. A single
    /// file that is a mount of its own is looked at.
    ///
    /// ```
    /// # #[tokio::main] async fn main() {
    /// use futures::StreamExt;
    /// use tidegate::fs::WalkDir;
    /// let mut walk = WalkDir::new("/").same_file_system(true).metadata(true).max_depth(1).walk();
    /// while let Some(entry) = walk.next().await {
    ///     let Ok(entry) = entry else { continue };
    ///     if entry.is_mount_point() {
    ///         println!("left out: {}", entry.path().display());
    ///     }
    /// }
    /// # }
    /// ```
    #[doc(alias = "one-file-system")]
    pub fn same_file_system(mut self, same: bool) -> WalkDir {
        self.options.same_mount = same;
        self
    }

    /// Tells a directory after what is in it.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # tidegate::fs::create_dir_all(dir.path().join("a/b")).await?;
    /// # let root = dir.path();
    /// use futures::StreamExt;
    /// use tidegate::fs::WalkDir;
    /// let walk = WalkDir::new(root).contents_first(true).walk();
    /// let depths: Vec<_> = walk.map(|entry| entry.unwrap().depth()).collect().await;
    /// assert_eq!(depths, [2, 1, 0]);
    /// # Ok(()) }
    /// ```
    pub fn contents_first(mut self, contents_first: bool) -> WalkDir {
        self.options.contents_first = contents_first;
        self
    }

    /// Chooses the order of the entries.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let root = dir.path();
    /// # for name in ["c", "a", "b"] { tidegate::fs::create_dir(root.join(name)).await?; }
    /// use futures::StreamExt;
    /// use tidegate::fs::{WalkDir, WalkSort};
    /// let walk = WalkDir::new(root).min_depth(1).sort(WalkSort::Name).walk();
    /// let names: Vec<_> = walk.map(|entry| entry.unwrap().file_name().to_owned()).collect().await;
    /// assert_eq!(names, ["a", "b", "c"]);
    /// # Ok(()) }
    /// ```
    pub fn sort(mut self, sort: WalkSort) -> WalkDir {
        self.options.sort = sort;
        self
    }

    /// Tells a file with several names under the first that is found and not left out, and only counts the others. Asks
    /// for attributes.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let root = dir.path();
    /// use futures::StreamExt;
    /// use tidegate::fs::{self, WalkDir};
    /// fs::write(root.join("a"), "text").await?;
    /// fs::hard_link(root.join("a"), root.join("b")).await?;
    /// let mut walk = WalkDir::new(root).min_depth(1).hard_links_once(true).walk();
    /// assert_eq!((&mut walk).count().await, 1);
    /// assert_eq!(walk.stats().repeated_links, 1);
    /// # Ok(()) }
    /// ```
    pub fn hard_links_once(mut self, once: bool) -> WalkDir {
        self.options.links_once = once;
        if once && self.options.how.is_none() {
            self.options.how = Some(How::default());
        }
        self
    }

    /// Says of each entry what becomes of it, before a directory is gone into. Runs on the walking threads; not for
    /// entries that are less deep than [`min_depth`](WalkDir::min_depth).
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # tidegate::fs::create_dir_all(dir.path().join("target/debug")).await?;
    /// # let root = dir.path();
    /// use futures::StreamExt;
    /// use tidegate::fs::{WalkDir, WalkStep};
    /// let walk = WalkDir::new(root).min_depth(1).filter(|entry| match entry.file_name().to_str() {
    ///     Some("target") => WalkStep::Prune,
    ///     Some(name) if name.starts_with('.') => WalkStep::Skip,
    ///     _ => WalkStep::Take,
    /// });
    /// assert_eq!(walk.walk().count().await, 1);
    /// # Ok(()) }
    /// ```
    pub fn filter<F>(mut self, filter: F) -> WalkDir
    where
        F: Fn(&WalkEntry) -> WalkStep + Send + std::marker::Sync + 'static,
    {
        self.filter = Some(Box::new(filter));
        self
    }

    /// How many threads walk at a time, 32 at most. By itself one for each processor, two at least; 16 where a server is
    /// asked, over a network or in user space. One that is stuck is replaced, and does not count.
    ///
    /// ```
    /// # #[tokio::main] async fn main() {
    /// use futures::StreamExt;
    /// use std::num::NonZeroUsize;
    /// use tidegate::fs::WalkDir;
    /// let four = NonZeroUsize::new(4).unwrap();
    /// assert!(WalkDir::new("/etc").threads(four).walk().count().await > 1);
    /// # }
    /// ```
    pub fn threads(mut self, threads: NonZeroUsize) -> WalkDir {
        self.options.threads = Some(threads.get());
        self
    }

    /// How long one call of the walk may take: listing, opening, asking for attributes. By itself as the handle has it
    /// for metadata, 30 s; [`Duration::MAX`] is as long as it takes. It does not hold for closures of the caller's.
    ///
    /// ```
    /// # #[tokio::main] async fn main() {
    /// use futures::StreamExt;
    /// use std::time::Duration;
    /// use tidegate::fs::WalkDir;
    /// let mut walk = WalkDir::new("/etc").timeout(Duration::from_secs(5)).walk();
    /// while let Some(entry) = walk.next().await {
    ///     if let Err(error) = entry {
    ///         println!("{} is stuck: {}", error.path().display(), error.is_timeout());
    ///     }
    /// }
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> WalkDir {
        self.options.timeout = Some(timeout);
        self
    }

    /// Ends the walk when the token is cancelled, with an error of [`Error::Cancelled`](crate::Error::Cancelled).
    ///
    /// ```
    /// # #[tokio::main] async fn main() {
    /// use futures::StreamExt;
    /// use tidegate::fs::WalkDir;
    /// let token = tokio_util::sync::CancellationToken::new();
    /// let mut walk = WalkDir::new("/").cancel_on(&token).walk();
    /// token.cancel();
    /// assert!(walk.next().await.unwrap().unwrap_err().is_fatal());
    /// assert!(walk.next().await.is_none());
    /// # }
    /// ```
    pub fn cancel_on(mut self, token: &CancellationToken) -> WalkDir {
        self.token = Some(token.clone());
        self
    }

    /// Starts the walk, which begins when it is polled first.
    ///
    /// See [`WalkDir`].
    pub fn walk(self) -> Walk {
        let is_foreign = self.filter.is_some();
        self.begin(is_foreign, Some)
    }

    /// The walk, with something of the caller's that runs beside the listing, on the walking threads: to hash, to
    /// parse, to leave out. It may block. One that takes its time holds up no other entry; one that panics is an error
    /// of its entry.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("a"), "one\ntwo\n")?;
    /// # let root = dir.path();
    /// use futures::TryStreamExt;
    /// use tidegate::fs::{FileKind, WalkDir};
    /// let lines = WalkDir::new(root).map(|entry| {
    ///     let is_file = entry.kind() == FileKind::File;
    ///     is_file.then(|| std::fs::read_to_string(entry.path()).map_or(0, |text| text.lines().count()))
    /// });
    /// assert_eq!(lines.try_collect::<Vec<_>>().await?, [2]);
    /// # Ok(()) }
    /// ```
    pub fn map<T, F>(self, map: F) -> Walk<T>
    where
        T: Send + 'static,
        F: Fn(WalkEntry) -> Option<T> + Send + std::marker::Sync + 'static,
    {
        self.begin(true, map)
    }

    fn begin<T, F>(self, is_foreign: bool, map: F) -> Walk<T>
    where
        T: Send + 'static,
        F: Fn(WalkEntry) -> Option<T> + Send + std::marker::Sync + 'static,
    {
        let choose = |filter: Filter| -> Box<dyn Fn(_) -> _ + Send + std::marker::Sync> {
            Box::new(move |found| {
                let entry = WalkEntry(found);
                let step = filter(&entry);
                let enter = Enter {
                    keep: step != WalkStep::Skip,
                    descend: step == WalkStep::Take,
                };
                (entry.0, enter)
            })
        };
        let visitor = Visitor {
            choose: self.filter.map(choose),
            make: Box::new(move |found| map(WalkEntry(found))),
            is_foreign,
            actor: None,
        };
        let walking = Walking::new(&self.root, self.options, visitor);
        Walk::new(walking, self.root, self.token)
    }
}
