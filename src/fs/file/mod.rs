//! An open file.

// Documentation has the methods in this order: first what is used most.
mod open;

mod positional;

mod attributes;
#[cfg(feature = "http-body")]
mod body;
mod convert;
mod cursor;
mod durable;
mod fixed;
mod foreign;
mod link;
pub(super) mod places;
mod provided;
mod ranges;
mod raw_fd;
mod space;
mod state;
mod stream;
mod vectored;
mod writeback;
mod xattr;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::UnwindSafe;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::AsyncWrite;
use tokio::sync::Mutex;

use self::cursor::Cursor;
pub use self::provided::ProvidedStream;
pub use self::state::{FileState, Overlap};
pub use self::stream::FileStream;
use super::OpenOptions;
use crate::limits;
use crate::op::file::SharedFile;
use crate::op::position::Position;
pub use crate::op::writeback::{WritebackClass, WritebackPolicy, WritebackStats};
pub use crate::op::{Advice, Space, Writeback};
use crate::opcode::Kind;

/// An open file.
///
/// It is both: positional operations with owned buffers, which work on a shared reference and at the
/// same time, and tokio's [`AsyncRead`](tokio::io::AsyncRead), [`AsyncWrite`](tokio::io::AsyncWrite)
/// and [`AsyncSeek`](tokio::io::AsyncSeek) with a cursor of their own.
///
/// Dropping it closes it: when the drop returns, nobody has the file open through it any more, so that it can be run,
/// unmounted or locked by others. Where that may sleep (what was cut off and written again, a file without a name, a
/// filesystem with a server) a thread does it, and the drop waits for it: for a millisecond at most if it sleeps, and
/// not at all for a second after that, or while the disk is stalled. It is then closed as soon as it can be. Operations
/// that are in flight keep the file open until they end. [`close`](File::close) waits without holding up its thread,
/// and tells how it went.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::File;
/// let file = File::open("/etc/passwd").await?;
/// let (count, buf) = file.read_at(Vec::with_capacity(64), 0).await?;
/// assert_eq!(count, buf.len());
/// # Ok(()) }
/// ```
pub struct File {
    pub(super) shared: Arc<SharedFile>,
    /// Locked by what waits for the cursor through a shared reference.
    cursor: Mutex<Cursor>,
    /// The cursor's, for whoever takes a look at the descriptor.
    position: Position,
    max_buf_bytes: usize,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("fd", &self.shared.as_fd().as_raw_fd())
            .finish_non_exhaustive()
    }
}

// The cursor's operations end with an error where something panicked.
impl UnwindSafe for File {}

/// Whoever has the descriptor shares its position: the cursor's is the kernel's from then on, as tokio's always
/// is, and reads and writes at it cost what they cost there.
impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.hand_over();
        self.shared.as_fd()
    }
}

/// As for [`AsFd`].
impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl File {
    pub(super) fn shared(&self) -> &Arc<SharedFile> {
        &self.shared
    }

    pub(super) fn from_shared(shared: Arc<SharedFile>) -> File {
        let position = match shared.is_block_device() {
            // Setting the kernel's later would wait for whoever writes to the device.
            true => Position::of_kernel(),
            false => Position::default(),
        };
        File::from_parts(shared, position)
    }

    fn from_parts(shared: Arc<SharedFile>, position: Position) -> File {
        let cursor = Cursor::new(&shared, position.clone());
        File {
            shared,
            cursor: Mutex::new(cursor),
            position,
            max_buf_bytes: limits::FILE_BUFFER_BYTES,
        }
    }

    /// Somebody else can have the open file from now on.
    fn hand_over(&self) {
        self.shared.lend();
        if self.shared.is_seekable() {
            self.position.hand_over(self.shared.as_fd());
        }
    }

    fn parts(&mut self) -> (&Arc<SharedFile>, &mut Cursor) {
        (&self.shared, self.cursor.get_mut())
    }

    /// Makes a file for reading and writing, and fails if it is there.
    ///
    /// # Cancel safety
    ///
    /// Resource reclaimed, see [`OpenOptions::open`], also for errors and backend.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::fs::File;
    /// let path = dir.path().join("f");
    /// File::create_new(&path).await?;
    /// let error = File::create_new(&path).await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    /// # Ok(()) }
    /// ```
    pub async fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .await
    }

    /// Returns options to open a file with, all off.
    ///
    /// See [`OpenOptions`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Waits for what the cursor has not written yet, closes the file, and says how that went.
    ///
    /// # Cancel safety
    ///
    /// May take effect; the file is closed all the same.
    ///
    /// # Errors
    ///
    /// Those of writing and of `close(2)`: some filesystems report there what they could not write. That of a failed
    /// write-out or sync of which nobody was told before.
    /// Positional operations that are not over keep the file open, and the close then tells nothing.
    ///
    /// # Backend
    ///
    /// CLOSE (Linux 5.6); else `close(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// tidegate::fs::File::open("/etc/passwd").await?.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn close(mut self) -> io::Result<()> {
        let flushed = poll_fn(|cx| Pin::new(&mut self).poll_flush(cx)).await;
        let File { shared, cursor, .. } = self;
        drop(cursor);
        shared.write_out().await;
        let written_out = shared.health.check_untold(Kind::Close);
        let closed = shared.close().await;
        flushed.and(written_out).and(closed)
    }
}
