//! A file that many tasks append to.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{FileState, Space};
use crate::buf::IoBuf;
use crate::op::append::{Appender, Content, How};

/// How a file is opened to append to it.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// use tidegate::fs::{AppendOptions, Space};
/// let log = AppendOptions::new()
///     .preallocate(16 << 20, Space::Reserve)
///     .open(dir.path().join("log"))
///     .await?;
/// log.append_sync("record\n").await?;
/// log.close().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until the options are used"]
pub struct AppendOptions {
    how: How,
}

impl Default for AppendOptions {
    fn default() -> AppendOptions {
        AppendOptions::new()
    }
}

impl AppendOptions {
    /// Appends at the end, makes no holes, and reserves nothing ahead.
    ///
    /// See [`AppendOptions`].
    pub fn new() -> AppendOptions {
        AppendOptions {
            how: How {
                mode: 0o666,
                start: None,
                ahead: None,
                makes_holes: false,
            },
        }
    }

    /// Leaves blocks of zeros out, so that the file has holes there. They read as zeros all the same.
    ///
    /// See [`AppendWriter::append_hole`].
    pub fn make_holes(mut self, make_holes: bool) -> AppendOptions {
        self.how.makes_holes = make_holes;
        self
    }

    /// The permission bits of a new file, less those of the umask.
    ///
    /// See [`AppendOptions`].
    pub fn mode(mut self, mode: u32) -> AppendOptions {
        self.how.mode = mode;
        self
    }

    /// Reserves space ahead in steps of so many bytes, so that the disk is not full in the middle of a record and a
    /// sync has less to write. With [`Space::Reserve`] the length of the file is that of its records at any time. With
    /// [`Space::ReserveExtend`] syncs are cheaper still, and after a crash the file ends with zeros: its reader has to
    /// tell them from records, and gives their end to [`start_at`](AppendOptions::start_at). What is not used goes back
    /// when the writer is closed.
    ///
    /// Nothing is reserved where the system cannot.
    ///
    /// See [`AppendOptions`].
    ///
    /// # Panics
    ///
    /// If `how` is none of these two.
    pub fn preallocate(mut self, bytes: u64, how: Space) -> AppendOptions {
        let reserves = matches!(how, Space::Reserve | Space::ReserveExtend);
        assert!(reserves, "{how:?} does not reserve space ahead");
        self.how.ahead = (bytes > 0).then_some((bytes, how));
        self
    }

    /// Cuts the file off at an offset, and appends there: for a log whose last record was torn by a crash.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::fs::{self, AppendOptions};
    /// let path = dir.path().join("log");
    /// fs::write(&path, "one\ntwo\nthr").await?;
    /// let log = AppendOptions::new().start_at(8).open(&path).await?;
    /// assert_eq!(log.append_sync("three\n").await?, 8);
    /// assert_eq!(fs::read(&path).await?, b"one\ntwo\nthree\n");
    /// # Ok(()) }
    /// ```
    pub fn start_at(mut self, offset: u64) -> AppendOptions {
        self.how.start = Some(offset);
        self
    }

    /// Opens the file, and makes it if it is not there. What is in it and its name are on the device then.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `open(2)` and `fsync(2)`, also for the directory; `InvalidInput` for what is not a regular file, or
    /// ends before [`start_at`](AppendOptions::start_at); `ResourceBusy` where this process has a writer for it.
    ///
    /// # Backend
    ///
    /// All steps in one hop.
    ///
    /// # Examples
    ///
    /// See [`AppendOptions`].
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<AppendWriter> {
        let path = path.as_ref().to_path_buf();
        let appender = Appender::open(&path, self.how.clone()).await?;
        Ok(AppendWriter { appender })
    }
}

/// A log: a file that one process appends records to, from many tasks.
///
/// Records that come together are written by one call, and their syncs are one: each is acknowledged after the sync
/// that has it. Each has its offset, in the order in which they were taken, without gaps between them.
///
/// A write or a sync that fails fails every record that depends on it and all that wait, and from then on each, until
/// [`acknowledge`](AppendWriter::acknowledge): the kernel tells of a failure once, and what it told of may be lost. The
/// file is cut there, so that no record that is acknowledged later has a hole before it: after a failed write behind
/// the last record that was written whole, after a failed sync behind the last one that is known to be on the device.
///
/// What was taken is written, whether its task waits or not, also when the writer is dropped; the end of the runtime
/// waits for it; so does whoever opens the file to append to it again. While a writer is there, a second one for its file
/// is refused in the same process; nobody else may write to the file meanwhile, either, and a forked child may not append to its parent's log:
/// it gets [`Error::ForkedChild`](crate::Error::ForkedChild).
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// use std::sync::Arc;
/// use tidegate::fs::AppendWriter;
/// let log = Arc::new(AppendWriter::open(dir.path().join("log")).await?);
/// let tasks: Vec<_> = (0..8).map(|_| {
///     let log = log.clone();
///     tokio::spawn(async move { log.append_sync("a record\n").await })
/// }).collect();
/// for task in tasks {
///     assert_eq!(task.await?? % 9, 0);
/// }
/// assert_eq!((log.end(), log.synced()), (72, 72));
/// # Ok(()) }
/// ```
pub struct AppendWriter {
    appender: Arc<Appender>,
}

impl fmt::Debug for AppendWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppendWriter")
            .field("end", &self.end())
            .field("synced", &self.synced())
            .finish_non_exhaustive()
    }
}

impl Drop for AppendWriter {
    fn drop(&mut self) {
        self.appender.let_go();
        if self.appender.has_reserved() {
            self.appender.trim_detached();
        }
    }
}

impl AppendWriter {
    /// Opens a file with the default [`AppendOptions`].
    ///
    /// # Cancel safety
    ///
    /// As for [`AppendOptions::open`], also for errors and backend.
    ///
    /// # Examples
    ///
    /// See [`AppendWriter`].
    pub async fn open(path: impl AsRef<Path>) -> io::Result<AppendWriter> {
        AppendOptions::new().open(path).await
    }

    /// Appends a record, and returns its offset once it is written: the kernel has it, and a loss of power may take
    /// it until a sync.
    ///
    /// # Cancel safety
    ///
    /// May take effect: once there was room for it, it is in the file as a whole, in its place. While it waits for
    /// room, behind 64 MiB of others, it is not.
    ///
    /// # Errors
    ///
    /// Those of `write(2)`; [`Error::Poisoned`](crate::Error::Poisoned) after any error of this writer, until it is
    /// acknowledged. A record that failed is not in the file, but where the file could not be cut either.
    ///
    /// # Backend
    ///
    /// `pwritev(2)` in a hop that many records share.
    ///
    /// # Examples
    ///
    /// See [`AppendWriter`].
    #[doc(alias = "pwritev")]
    pub async fn append(&self, record: impl IoBuf) -> io::Result<u64> {
        let record = Content::Bytes(Box::new(record));
        self.appender.append(record, false).await
    }

    /// Appends a record, and returns its offset once it is on the device, with all that came before it.
    ///
    /// # Cancel safety
    ///
    /// As for [`append`](AppendWriter::append).
    ///
    /// # Errors
    ///
    /// As for [`append`](AppendWriter::append), and those of `fdatasync(2)`. After one of those the record may be in
    /// the file until the next append after the acknowledgement, and may be found there after a crash.
    ///
    /// # Backend
    ///
    /// `pwritev(2)` and `fdatasync(2)` in a hop that many records share.
    ///
    /// # Examples
    ///
    /// See [`AppendWriter`].
    #[doc(alias = "fdatasync")]
    pub async fn append_sync(&self, record: impl IoBuf) -> io::Result<u64> {
        let record = Content::Bytes(Box::new(record));
        self.appender.append(record, true).await
    }

    /// Appends zeros without writing them: the file has a hole there.
    ///
    /// # Cancel safety
    ///
    /// As for [`append`](AppendWriter::append).
    ///
    /// # Errors
    ///
    /// As for [`append`](AppendWriter::append), with those of `ftruncate(2)`.
    ///
    /// # Backend
    ///
    /// `ftruncate(2)` in a hop that many records share.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::fs::{self, AppendOptions};
    /// let path = dir.path().join("image");
    /// let image = AppendOptions::new().make_holes(true).open(&path).await?;
    /// image.append(vec![0; 1 << 20]).await?;
    /// image.append_hole(1 << 20).await?;
    /// assert_eq!(image.append("the end").await?, 2 << 20);
    /// image.close().await?;
    /// assert_eq!(fs::metadata(&path).await?.len(), (2 << 20) + 7);
    /// # Ok(()) }
    /// ```
    pub async fn append_hole(&self, bytes: u64) -> io::Result<u64> {
        self.appender.append(Content::Hole(bytes), false).await
    }

    /// Waits until all that was appended before is on the device.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// As for [`append_sync`](AppendWriter::append_sync).
    ///
    /// # Backend
    ///
    /// `fdatasync(2)` in a hop that many records share.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let log = tidegate::fs::AppendWriter::open(dir.path().join("log")).await?;
    /// log.append("one\n").await?;
    /// log.append("two\n").await?;
    /// log.sync().await?;
    /// assert_eq!(log.synced(), 8);
    /// # Ok(()) }
    /// ```
    pub async fn sync(&self) -> io::Result<()> {
        let nothing = Content::Hole(0);
        self.appender.append(nothing, true).await.map(drop)
    }

    /// Where the next record goes.
    ///
    /// See [`AppendWriter`].
    pub fn end(&self) -> u64 {
        self.appender.end()
    }

    /// Up to where everything is on the device.
    ///
    /// See [`AppendWriter`].
    pub fn synced(&self) -> u64 {
        self.appender.synced()
    }

    /// Whether what was appended can be relied on.
    ///
    /// See [`acknowledge`](AppendWriter::acknowledge).
    pub fn state(&self) -> FileState {
        self.appender.file.health.state()
    }

    /// Takes note of the error that stopped the writer, and returns it. Records go on at [`end`](AppendWriter::end),
    /// which is where the last good one ended: what was appended and not synced before may have to be appended again.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::{Handle, fs::{AppendWriter, FileState}, opcode::Kind, testing::Faults};
    /// let faults = Faults::new();
    /// Handle::builder().faults(faults.clone()).install()?;
    /// let log = AppendWriter::open(dir.path().join("log")).await?;
    /// log.append_sync("one\n").await?;
    /// // The disk is full (ENOSPC) for a moment.
    /// let full = faults.on(Kind::Append).times(1).fail(28);
    /// assert!(log.append_sync("two\n").await.is_err());
    /// assert!(log.append_sync("three\n").await.is_err() && log.state() == FileState::Poisoned);
    /// assert_eq!(log.acknowledge().unwrap().raw_os_error(), Some(28));
    /// assert_eq!(log.append_sync("two\n").await?, 4);
    /// # drop(full);
    /// # Ok(()) }
    /// ```
    pub fn acknowledge(&self) -> Option<io::Error> {
        self.appender.acknowledge()
    }

    /// Waits until all that was appended is on the device, gives back what was reserved, and closes the file.
    ///
    /// # Cancel safety
    ///
    /// May take effect; the file is closed all the same.
    ///
    /// # Errors
    ///
    /// As for [`sync`](AppendWriter::sync).
    ///
    /// # Backend
    ///
    /// As for [`sync`](AppendWriter::sync), and `close(2)`.
    ///
    /// # Examples
    ///
    /// See [`AppendOptions`].
    pub async fn close(self) -> io::Result<()> {
        self.sync().await?;
        if self.appender.has_reserved() {
            self.appender.trimmed().await?;
        }
        Ok(())
    }
}
