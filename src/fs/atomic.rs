//! Content that a path gets all at once.

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::File;
use super::metadata::Follow;
use crate::buf::IoBuf;
use crate::error::Error;
use crate::limits;
use crate::op::commit::{Commit, Draft, Held, Replace, begin, check_own, commit};
use crate::op::elsewhere::Elsewhere;

/// How a path gets its new content.
///
/// By default a symbolic link is followed and what it leads to is replaced, the new file has the mode of the one that
/// it replaces, or that of any new file, and belongs to whoever writes it, and the call returns when all of it is on
/// the device.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// use tidegate::fs::{self, AtomicOptions};
/// let options = AtomicOptions::new().create_new(true).mode(0o600);
/// let path = dir.path().join("key");
/// fs::write_atomic(&path, "secret", options.clone()).await?;
/// let error = fs::write_atomic(&path, "other", options).await.unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is written until the options are used"]
pub struct AtomicOptions {
    how: Replace,
}

impl AtomicOptions {
    /// Returns the defaults.
    ///
    /// See [`AtomicOptions`].
    pub fn new() -> AtomicOptions {
        AtomicOptions::default()
    }

    /// Fails with `AlreadyExists` where the name exists, also if it is a symbolic link.
    ///
    /// See [`AtomicOptions`].
    pub fn create_new(mut self, create_new: bool) -> AtomicOptions {
        self.how.create_new = create_new;
        self
    }

    /// Whether a symbolic link at the path is followed, as `fs::write` follows it: the link stays, and the file that it
    /// leads to is replaced, or made. With [`Follow::No`] the new file takes the place of the link.
    ///
    /// See [`AtomicOptions`].
    pub fn follow(mut self, follow: Follow) -> AtomicOptions {
        self.how.replaces_link = follow == Follow::No;
        self
    }

    /// Gives the new file owner and group of the one that it replaces; takes root, as a rule. Fails, and leaves the old
    /// file, where that is not possible.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::fs::{self, AtomicOptions};
    /// let path = dir.path().join("config");
    /// fs::write(&path, "old").await?;
    /// let options = AtomicOptions::new().keep_owner(true).keep_xattrs(true);
    /// fs::write_atomic(&path, "new", options).await?;
    /// # Ok(()) }
    /// ```
    pub fn keep_owner(mut self, keep: bool) -> AtomicOptions {
        self.how.keep_owner = keep;
        self
    }

    /// Gives the new file the extended attributes of the one that it replaces, access control lists among them. Fails,
    /// and leaves the old file, where that is not possible.
    ///
    /// See [`keep_owner`](AtomicOptions::keep_owner).
    pub fn keep_xattrs(mut self, keep: bool) -> AtomicOptions {
        self.how.keep_xattrs = keep;
        self
    }

    /// The mode of the new file, exactly, whatever the old one and the umask say.
    ///
    /// See [`AtomicOptions`].
    pub fn mode(mut self, mode: u32) -> AtomicOptions {
        self.how.mode = Some(mode);
        self
    }

    /// Whether the call waits until content, attributes and name are on the device, as it does by default. Without,
    /// others see the old file or the new one, and after a loss of power there may be either, or an empty one.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::fs::{self, AtomicOptions};
    /// let cache = AtomicOptions::new().sync(false);
    /// fs::write_atomic(dir.path().join("cache"), "can be made again", cache).await?;
    /// # Ok(()) }
    /// ```
    pub fn sync(mut self, sync: bool) -> AtomicOptions {
        self.how.unsynced = !sync;
        self
    }

    pub(super) fn begin_held(&self, path: PathBuf, held: Held) -> AtomicFile {
        AtomicFile::made(path, self.how.clone(), Some(held))
    }

    /// Begins a file that the path becomes when it is committed. Nothing happens before something is written.
    ///
    /// See [`AtomicFile`].
    pub fn begin(&self, path: impl AsRef<Path>) -> AtomicFile {
        AtomicFile::made(path.as_ref().to_path_buf(), self.how.clone(), None)
    }
}

/// Gives a path new content all at once: whoever opens it finds the old file, or the new one whole, also after a
/// crash or a loss of power at any moment. When this returns, the new one is on the device.
///
/// # Cancel safety
///
/// May take effect: the path has the old file or the new one, and nothing else is left behind.
///
/// # Errors
///
/// Those of `open(2)`, `write(2)`, `fsync(2)` and `rename(2)`; `IsADirectory` for a directory and `InvalidInput` for
/// what is neither that nor a regular file; `PermissionDenied` where the directory cannot be read, which its sync
/// takes. After any of them the old file is there, but for an error of the directory's sync: then either may be.
///
/// # Backend
///
/// All steps in one hop, together with other files that are committed on the same mount: a file without a name
/// (O_TMPFILE, Linux 3.11) that gets one at the end, or, in the place of another, one that is renamed over it. Only in
/// between those two calls, or where the filesystem has no files without names, a crash leaves a `.tidegate-*.tmp`.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// use tidegate::fs::{self, AtomicOptions};
/// let path = dir.path().join("settings.json");
/// fs::write_atomic(&path, r#"{"depth": 3}"#, AtomicOptions::new()).await?;
/// assert_eq!(fs::read_to_string(&path).await?, r#"{"depth": 3}"#);
/// # Ok(()) }
/// ```
#[doc(alias = "rename")]
pub async fn write_atomic(
    path: impl AsRef<Path>,
    content: impl IoBuf,
    options: AtomicOptions,
) -> io::Result<()> {
    let file = Commit {
        path: path.as_ref().to_path_buf(),
        how: options.how,
        draft: None,
        content: vec![Box::new(content)],
        offset: 0,
        held: None,
    };
    commit(file)?.await
}

/// A file that replaces another, or appears, when it is committed; dropped before that, it leaves nothing behind.
///
/// It is written from start to end, by owned buffers or as an [`AsyncWrite`]. Up to 256 KiB stay in memory until the
/// commit, which then takes one hop; what is larger is written meanwhile.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// use tidegate::fs::{self, AtomicFile};
/// use tokio::io::AsyncWriteExt;
/// let path = dir.path().join("report");
/// let mut file = AtomicFile::new(&path);
/// file.write("owned buffers, ").await?;
/// file.write_all(b"or tokio's traits").await?;
/// assert!(!fs::try_exists(&path).await?);
/// file.commit().await?;
/// assert_eq!(fs::read(&path).await?, b"owned buffers, or tokio's traits");
/// # Ok(()) }
/// ```
pub struct AtomicFile {
    path: PathBuf,
    how: Replace,
    /// What is not written yet.
    staged: Vec<Box<dyn IoBuf>>,
    /// What came through the trait, behind the above.
    tail: Vec<u8>,
    staged_bytes: usize,
    /// All that was taken.
    bytes: u64,
    state: State,
    held: Option<Held>,
}

enum State {
    /// Nothing is on its way; it has a file once something was written to it.
    Idle(Option<Box<Begun>>),
    Writing(Pin<Box<dyn Future<Output = io::Result<Box<Begun>>> + Send>>),
    Failed(io::Error),
}

/// A file in the filesystem, still without its name.
struct Begun {
    draft: Elsewhere<Draft>,
    file: File,
}

impl std::fmt::Debug for AtomicFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtomicFile")
            .field("path", &self.path)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

// What panics is a future of ours, which is not polled again.
impl std::panic::UnwindSafe for AtomicFile {}

impl AtomicFile {
    /// Makes one with the default [`AtomicOptions`].
    ///
    /// See [`AtomicFile`].
    pub fn new(path: impl AsRef<Path>) -> AtomicFile {
        AtomicOptions::new().begin(path)
    }

    pub(super) fn made(path: PathBuf, how: Replace, held: Option<Held>) -> AtomicFile {
        AtomicFile {
            path,
            how,
            staged: Vec::new(),
            tail: Vec::new(),
            staged_bytes: 0,
            bytes: 0,
            state: State::Idle(None),
            held,
        }
    }

    /// Returns how many bytes it has taken.
    ///
    /// See [`AtomicFile`].
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes a buffer behind what was written before. It may return before that is done; an error of it is told by
    /// the next write or the commit.
    ///
    /// # Cancel safety
    ///
    /// May take effect: the buffer is taken at the first poll that does not have to wait for earlier ones.
    ///
    /// # Errors
    ///
    /// Those of `open(2)` and `write(2)`, from then on each time.
    ///
    /// # Backend
    ///
    /// None for what stays in memory; else a hop that makes the file, and WRITEV (Linux 5.1).
    ///
    /// # Examples
    ///
    /// See [`AtomicFile`].
    pub async fn write(&mut self, buf: impl IoBuf) -> io::Result<()> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        self.bytes += buf.bytes_init() as u64;
        self.staged_bytes += buf.bytes_init();
        self.seal_tail();
        self.staged.push(Box::new(buf));
        self.write_if_full();
        Ok(())
    }

    /// Gives the path this content; returns when all of it is on the device, unless the options say otherwise.
    ///
    /// # Cancel safety
    ///
    /// As for [`write_atomic`].
    ///
    /// # Errors
    ///
    /// As for [`write_atomic`]; that of an earlier write.
    ///
    /// # Backend
    ///
    /// As for [`write_atomic`].
    ///
    /// # Examples
    ///
    /// See [`AtomicFile`].
    pub async fn commit(self) -> io::Result<()> {
        self.submit().await?.await
    }

    /// Waits for what is being written, and hands the file over to be committed.
    pub(super) async fn submit(
        mut self,
    ) -> io::Result<impl Future<Output = io::Result<()>> + Send + use<>> {
        poll_fn(|cx| self.poll_idle(cx)).await?;
        self.seal_tail();
        let State::Idle(begun) = std::mem::replace(&mut self.state, State::Idle(None)) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut draft = None;
        if let Some(begun) = begun {
            begun.file.close().await?;
            draft = Some(begun.draft);
        }
        let written = self.bytes - self.staged_bytes as u64;
        commit(Commit {
            path: self.path,
            how: self.how,
            draft,
            content: self.staged,
            offset: written,
            held: self.held,
        })
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.staged.push(Box::new(tail));
        }
    }

    /// Writes what is staged, if that is as much as may stay in memory.
    fn write_if_full(&mut self) {
        let is_idle = matches!(self.state, State::Idle(_));
        if !is_idle || self.staged_bytes <= limits::COMMIT_STAGED_BYTES {
            return;
        }
        self.seal_tail();
        let offset = self.bytes - self.staged_bytes as u64;
        let staged = std::mem::take(&mut self.staged);
        self.staged_bytes = 0;
        if let State::Idle(begun) = std::mem::replace(&mut self.state, State::Idle(None)) {
            let (path, how) = (self.path.clone(), self.how.clone());
            self.state = State::Writing(Box::pin(write_staged(path, how, begun, staged, offset)));
        }
    }

    /// Waits for what is being written.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Writing(writing) = &mut self.state {
            self.state = match ready!(writing.as_mut().poll(cx)) {
                Ok(begun) => State::Idle(Some(begun)),
                Err(error) => State::Failed(error),
            };
        }
        Poll::Ready(match &self.state {
            State::Failed(error) => Err(Error::on_path(Error::same(error), &self.path)),
            State::Idle(_) | State::Writing(_) => Ok(()),
        })
    }

    /// Waits until more can be taken: what was staged while something was being written goes next.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let is_idle = match self.poll_idle(cx) {
                Poll::Ready(idle) => idle.map(|()| true)?,
                Poll::Pending => false,
            };
            if self.staged_bytes <= limits::COMMIT_STAGED_BYTES {
                return Poll::Ready(Ok(()));
            }
            if !is_idle {
                return Poll::Pending;
            }
            self.write_if_full();
        }
    }
}

/// Writes staged buffers to the file, which is made first where there is none.
async fn write_staged(
    path: PathBuf,
    how: Replace,
    begun: Option<Box<Begun>>,
    staged: Vec<Box<dyn IoBuf>>,
    offset: u64,
) -> io::Result<Box<Begun>> {
    let begun = match begun {
        Some(begun) => {
            check_own(&begun.draft)?;
            begun
        }
        None => {
            let (draft, file) = begin(&path, &how).await?;
            let file = File::from_shared(file);
            Box::new(Begun { draft, file })
        }
    };
    let written = begun.file.writev_all_at(staged, offset).await;
    written.map_err(|error| Error::on_path(error.into(), &path))?;
    Ok(begun)
}

impl AsyncWrite for AtomicFile {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        let count = from.len().min(limits::COMMIT_STAGED_BYTES);
        self.tail.extend_from_slice(&from[..count]);
        self.bytes += count as u64;
        self.staged_bytes += count;
        self.write_if_full();
        Poll::Ready(Ok(count))
    }

    /// Nobody sees anything of it before the commit.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_idle(cx)
    }

    /// Does not commit it.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
