//! Many names at a time.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Dir, Expected, File, OpenOptions, RenameMode, Statx, StatxOptions};
use crate::op::batch::{self, Change, Changes, How, Paths, Reads};
use crate::op::file::SharedFile;

/// Operations on many names at a time, each with a result of its own: what a build tool, an installer or a backup does
/// fifteen thousand times in a row.
///
/// Results come in the order of what was given, and an error of one is no error of the others. A name costs its system
/// call and little else: threads take them by the chunk, more threads where storage is slow, and each mount has its own.
/// An entry that is stuck holds up nobody: another thread goes on behind it, and when its time is over its result is
/// [`TimedOut`](std::io::ErrorKind::TimedOut).
///
/// Without [`in_turn`](Batch::in_turn) entries have no order among each other. A name that is given twice is done twice,
/// in any order: of two equal links one succeeds and the other says `AlreadyExists`.
///
/// # Cancel safety
///
/// Entries that have begun when the future is dropped may take effect; no further ones begin. Files that were opened are
/// closed.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs;
/// # let temporary = tempfile::tempdir()?;
/// # let path = temporary.path();
/// # fs::write(path.join("tool"), b"").await?;
/// let dir = fs::Dir::open(path).await?;
/// let made = dir.batch().hard_links([("tool", "a"), ("tool", "b"), ("none", "c")]).await;
/// assert!(made[0].is_ok() && made[1].is_ok());
/// assert_eq!(made[2].as_ref().unwrap_err().kind(), std::io::ErrorKind::NotFound);
/// for removed in dir.batch().remove_files(["a", "b"]).await {
///     removed?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Batch {
    dir: Option<Arc<SharedFile>>,
    to_dir: Option<Arc<SharedFile>>,
    how: How,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("how", &self.how)
            .finish_non_exhaustive()
    }
}

/// Begins a batch of operations on paths. [`Dir::batch`] begins one whose names start from an open directory.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs;
/// # let temporary = tempfile::tempdir()?;
/// # let path = temporary.path();
/// let wanted = [path.join("a"), path.join("a/b"), path.join("a/b/c")];
/// for made in fs::batch().in_turn().create_dirs(&wanted).await {
///     made?;
/// }
/// # Ok(()) }
/// ```
pub fn batch() -> Batch {
    Batch::default()
}

/// Reads the attributes of many paths, in their order. An error of one is no error of the others.
///
/// This is [`batch`] with its defaults; [`Batch::metadata`] has the same with a bound, or a limit for each.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// In each result, those of [`statx`](super::statx()).
///
/// # Backend
///
/// As for [`Batch::metadata`].
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, Follow, StatxMask, StatxOptions};
/// let options = StatxOptions::new().mask(StatxMask::BASIC).follow(Follow::No);
/// let found = fs::metadata_many(["/etc/passwd", "/no/such/file"], &options).await;
/// assert!(found[0].is_ok() && found[1].is_err());
/// # Ok(()) }
/// ```
#[doc(alias = "stat")]
pub fn metadata_many<I>(
    paths: I,
    options: &StatxOptions,
) -> impl Future<Output = Vec<io::Result<Statx>>> + Send + use<I>
where
    I: IntoIterator<Item: AsRef<Path>>,
{
    batch().metadata(paths, options)
}

impl Dir {
    /// Operations on many names of this directory.
    ///
    /// See [`Batch`].
    pub fn batch(&self) -> Batch {
        let dir = self.shared();
        Batch {
            dir: Some(dir.clone()),
            to_dir: Some(dir.clone()),
            how: How::default(),
        }
    }

    /// Reads the attributes of many names in this directory, in their order.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// In each result, those of [`Dir::statx`].
    ///
    /// # Backend
    ///
    /// As for [`Batch::metadata`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{Dir, StatxOptions};
    /// let etc = Dir::open("/etc").await?;
    /// let found = etc.metadata_many(["passwd", "group"], &StatxOptions::new()).await;
    /// assert!(found.iter().all(|found| found.is_ok()));
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fstatat")]
    pub fn metadata_many<I>(
        &self,
        names: I,
        options: &StatxOptions,
    ) -> impl Future<Output = Vec<io::Result<Statx>>> + Send + use<I>
    where
        I: IntoIterator<Item: AsRef<Path>>,
    {
        self.batch().metadata(names, options)
    }
}

impl Batch {
    /// The most entries in work at a time, at least one; no batch has more than some fifty on one mount. By default
    /// that depends on the filesystem and on how fast it is seen to be, and entries that are stuck do not count.
    ///
    /// See [`Batch::metadata`].
    pub fn at_once(mut self, entries: usize) -> Batch {
        self.how.at_once = Some(entries.max(1));
        self
    }

    /// How long one entry may take, from when its thread takes it. By default as long as the handle lets any operation on
    /// names: see [`Timeouts`](crate::Timeouts). A limit on the whole batch is that of the future around it
    /// ([`OpExt`](crate::OpExt)).
    ///
    /// See [`Batch::metadata`].
    pub fn entry_timeout(mut self, timeout: Duration) -> Batch {
        self.how.entry_timeout = Some(timeout);
        self
    }

    /// Each entry begins when the one before is over, or has run out of time.
    ///
    /// See [`batch`].
    pub fn in_turn(mut self) -> Batch {
        self.how.in_turn = true;
        self
    }

    /// New names of links and renames start from this directory, and the old ones from that of the batch.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{self, Dir};
    /// # let temporary = tempfile::tempdir()?;
    /// # fs::create_dir(temporary.path().join("done")).await?;
    /// # fs::write(temporary.path().join("a"), b"").await?;
    /// let dir = Dir::open(temporary.path()).await?;
    /// let done = dir.open_dir("done").await?;
    /// let renamed = dir.batch().to_dir(&done).renames([("a", "a.1")]).await;
    /// assert!(renamed[0].is_ok());
    /// # Ok(()) }
    /// ```
    pub fn to_dir(mut self, dir: &Dir) -> Batch {
        self.to_dir = Some(dir.shared().clone());
        self
    }

    /// Reads the attributes of each.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// In each result, those of [`statx`](super::statx()), and of the limits.
    ///
    /// # Backend
    ///
    /// A few at the poll, where the kernel has path and inode in memory and the filesystem is a local one. Else `statx(2)`
    /// by the chunk on blocking threads; on a handle that is pinned to the ring STATX (Linux 5.6), 64 at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    /// use tidegate::fs::{self, StatxOptions};
    /// let careful = fs::batch().at_once(4).entry_timeout(Duration::from_secs(5));
    /// for found in careful.metadata(["/", "/etc", "/usr"], &StatxOptions::new()).await {
    ///     println!("{:?}", found?.kind());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn metadata<I>(
        &self,
        paths: I,
        options: &StatxOptions,
    ) -> impl Future<Output = Vec<io::Result<Statx>>> + Send + use<I>
    where
        I: IntoIterator<Item: AsRef<Path>>,
    {
        let attributes = options.many(self.dir.clone(), paths.into_iter().collect());
        batch::run(attributes, self.how)
    }

    /// Opens each, as the options say.
    ///
    /// # Cancel safety
    ///
    /// Resource reclaimed: files that were opened are closed.
    ///
    /// # Errors
    ///
    /// In each result, those of [`OpenOptions::open`], and of the limits.
    ///
    /// # Backend
    ///
    /// `openat(2)` by the chunk on blocking threads; on a handle that is pinned to the ring OPENAT (Linux 5.6), 64 at a
    /// time.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{self, OpenOptions};
    /// let reading = OpenOptions::new().read(true).clone();
    /// let opened = fs::batch().open_files(["/etc/passwd", "/etc/group"], &reading).await;
    /// assert!(opened.iter().all(|opened| opened.is_ok()));
    /// # Ok(()) }
    /// ```
    #[doc(alias = "openat")]
    pub fn open_files<I>(
        &self,
        paths: I,
        options: &OpenOptions,
    ) -> impl Future<Output = Vec<io::Result<File>>> + Send + use<I>
    where
        I: IntoIterator<Item: AsRef<Path>>,
    {
        let paths: Paths = paths.into_iter().collect();
        let (count, how) = (paths.len(), self.how);
        let opens = options.many(self.dir.clone(), paths);
        async move {
            match opens {
                Ok(opens) => {
                    let opened = batch::run(opens, how).await;
                    let file = |opened: io::Result<_>| opened.map(File::from_shared);
                    opened.into_iter().map(file).collect()
                }
                Err(error) => batch::refused(count, &error),
            }
        }
    }

    /// The whole content of each file, if it is the file that was seen and did not change since: see
    /// [`read_unchanged`](super::read_unchanged). A backup reads what a walk has found so, some hundred small files at a
    /// time.
    ///
    /// All content is in memory until the last file is read: a [`ByteBudget`](super::ByteBudget) bounds what several
    /// batches hold.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// In each result, those of [`read_unchanged`](super::read_unchanged), and of the limits.
    ///
    /// # Backend
    ///
    /// A few small files at the poll, where the kernel has everything of them in memory and the filesystem is a local one.
    /// Else `statx(2)`, `openat(2)`, `read(2)` and `close(2)` by the chunk on blocking threads; on a handle that is pinned
    /// to the ring each as an operation of its own, of 64 files at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let temporary = tempfile::tempdir()?;
    /// # let root = temporary.path();
    /// # for name in ["a", "b"] { std::fs::write(root.join(name), name)?; }
    /// use tidegate::fs::{self, Expected, FileKind, WalkDir};
    /// let mut walk = WalkDir::new(root).metadata(true).walk();
    /// let mut files = Vec::new();
    /// while let Some(entry) = walk.next_entry().await {
    ///     let entry = entry?;
    ///     if let (FileKind::File, Some(metadata)) = (entry.kind(), entry.metadata()) {
    ///         files.push((entry.path(), Expected::from(metadata)));
    ///     }
    /// }
    /// let mut bytes = 0;
    /// for content in fs::batch().read_unchanged(files).await {
    ///     bytes += content?.len();
    /// }
    /// assert_eq!(bytes, 2);
    /// # Ok(()) }
    /// ```
    pub fn read_unchanged<I, P>(
        &self,
        files: I,
    ) -> impl Future<Output = Vec<io::Result<Vec<u8>>>> + Send + use<I, P>
    where
        I: IntoIterator<Item = (P, Expected)>,
        P: AsRef<Path>,
    {
        let (mut paths, mut seen) = (Paths::default(), Vec::new());
        for (path, expected) in files {
            paths.push(path.as_ref());
            seen.push(expected.0);
        }
        let dir = self.dir.clone();
        batch::run(Reads { dir, paths, seen }, self.how)
    }

    /// Makes each directory, with the permissions that the umask leaves of `rwxrwxrwx`.
    ///
    /// # Cancel safety
    ///
    /// May take effect, each.
    ///
    /// # Errors
    ///
    /// In each result, those of [`create_dir`](super::create_dir), and of the limits.
    ///
    /// # Backend
    ///
    /// `mkdirat(2)` by the chunk on blocking threads; on a handle that is pinned to the ring MKDIRAT (Linux 5.15), 64 at a
    /// time.
    ///
    /// # Examples
    ///
    /// See [`batch`].
    #[doc(alias = "mkdirat")]
    pub fn create_dirs<I>(
        &self,
        paths: I,
    ) -> impl Future<Output = Vec<io::Result<()>>> + Send + use<I>
    where
        I: IntoIterator<Item: AsRef<Path>>,
    {
        let names = paths.into_iter().collect();
        self.change(Change::CreateDir(0o777), names, Paths::default())
    }

    /// Removes each file's name.
    ///
    /// # Cancel safety
    ///
    /// May take effect, each.
    ///
    /// # Errors
    ///
    /// In each result, those of [`remove_file`](super::remove_file), and of the limits.
    ///
    /// # Backend
    ///
    /// `unlinkat(2)` by the chunk on blocking threads; on a handle that is pinned to the ring UNLINKAT (Linux 5.11), 64 at
    /// a time.
    ///
    /// # Examples
    ///
    /// See [`Batch`].
    #[doc(alias = "unlinkat")]
    pub fn remove_files<I>(
        &self,
        paths: I,
    ) -> impl Future<Output = Vec<io::Result<()>>> + Send + use<I>
    where
        I: IntoIterator<Item: AsRef<Path>>,
    {
        let names = paths.into_iter().collect();
        self.change(Change::RemoveFile, names, Paths::default())
    }

    /// Gives the first of each pair the second as one more name.
    ///
    /// # Cancel safety
    ///
    /// May take effect, each.
    ///
    /// # Errors
    ///
    /// In each result, those of [`hard_link`](super::hard_link), and of the limits.
    ///
    /// # Backend
    ///
    /// `linkat(2)` by the chunk on blocking threads; on a handle that is pinned to the ring LINKAT (Linux 5.15), 64 at a
    /// time.
    ///
    /// # Examples
    ///
    /// See [`Batch`].
    #[doc(alias = "linkat")]
    pub fn hard_links<I, P, Q>(
        &self,
        originals_and_links: I,
    ) -> impl Future<Output = Vec<io::Result<()>>> + Send + use<I, P, Q>
    where
        I: IntoIterator<Item = (P, Q)>,
        P: AsRef<Path>,
        Q: AsRef<Path>,
    {
        let (originals, links) = split(originals_and_links);
        self.change(Change::HardLink, links, originals)
    }

    /// Makes a symbolic link at the second of each pair that leads to the first.
    ///
    /// # Cancel safety
    ///
    /// May take effect, each.
    ///
    /// # Errors
    ///
    /// In each result, those of [`symlink`](super::symlink), and of the limits.
    ///
    /// # Backend
    ///
    /// `symlinkat(2)` by the chunk on blocking threads; on a handle that is pinned to the ring SYMLINKAT (Linux 5.15), 64
    /// at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let temporary = tempfile::tempdir()?;
    /// let dir = tidegate::fs::Dir::open(temporary.path()).await?;
    /// let links = (0..100).map(|index| (format!("../store/{index}"), index.to_string()));
    /// for made in dir.batch().symlinks(links).await {
    ///     made?;
    /// }
    /// # Ok(()) }
    /// ```
    #[doc(alias = "symlinkat")]
    pub fn symlinks<I, P, Q>(
        &self,
        originals_and_links: I,
    ) -> impl Future<Output = Vec<io::Result<()>>> + Send + use<I, P, Q>
    where
        I: IntoIterator<Item = (P, Q)>,
        P: AsRef<Path>,
        Q: AsRef<Path>,
    {
        let (originals, links) = split(originals_and_links);
        self.change(Change::Symlink, links, originals)
    }

    /// Renames the first of each pair to the second, replacing a file that has that name.
    ///
    /// # Cancel safety
    ///
    /// May take effect, each.
    ///
    /// # Errors
    ///
    /// In each result, those of [`rename`](super::rename), and of the limits.
    ///
    /// # Backend
    ///
    /// `renameat(2)` by the chunk on blocking threads; on a handle that is pinned to the ring RENAMEAT (Linux 5.11), 64 at
    /// a time.
    ///
    /// # Examples
    ///
    /// See [`to_dir`](Batch::to_dir).
    #[doc(alias = "renameat")]
    pub fn renames<I, P, Q>(
        &self,
        from_and_to: I,
    ) -> impl Future<Output = Vec<io::Result<()>>> + Send + use<I, P, Q>
    where
        I: IntoIterator<Item = (P, Q)>,
        P: AsRef<Path>,
        Q: AsRef<Path>,
    {
        let (from, to) = split(from_and_to);
        self.change(Change::Rename(RenameMode::Replace), from, to)
    }

    fn change(
        &self,
        change: Change,
        names: Paths,
        others: Paths,
    ) -> impl Future<Output = Vec<io::Result<()>>> + Send + use<> {
        let changes = Changes {
            change,
            dir: self.dir.clone(),
            to_dir: self.to_dir.clone(),
            names,
            others,
        };
        batch::run(changes, self.how)
    }
}

fn split<P: AsRef<Path>, Q: AsRef<Path>>(
    pairs: impl IntoIterator<Item = (P, Q)>,
) -> (Paths, Paths) {
    let (mut first, mut second) = (Paths::default(), Paths::default());
    for (one, other) in pairs {
        first.push(one.as_ref());
        second.push(other.as_ref());
    }
    (first, second)
}
