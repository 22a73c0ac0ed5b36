//! Moving bytes inside the kernel, without a buffer of this process.

use std::io;

use super::File;
use crate::op::splice;

/// Moves up to `len` bytes from one open file to another, of which at least one is a pipe: a FIFO, or the
/// descriptor of one. Each comes with its offset in bytes: `None` for a pipe, and for a file the position of
/// its descriptor, which the cursor of a [`File`] leaves alone but for seeks from the end. Returns how many
/// bytes were moved; none mean the end.
///
/// The kernel does splices into files one after the other where they meet in one of its 64 queues, those into
/// one file always: one that waits for its pipe holds up the next, until it is dropped.
///
/// # Cancel safety
///
/// May take partial effect: bytes that were taken from a pipe are gone, and how many is not known.
///
/// # Errors
///
/// Those of `splice(2)`: among them `InvalidInput` where neither is a pipe, where one was opened for
/// appending, or where an offset is over `i64::MAX`, and `NotSeekable` for an offset in a pipe.
/// `Unsupported` outside of Linux.
///
/// # Backend
///
/// SPLICE (Linux 5.7); else `splice(2)` on a blocking thread. It waits for the other end of the pipe.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # if cfg!(not(target_os = "linux")) { return Ok(()) }
/// use tidegate::fs::{self, File, OpenOptions};
/// # let dir = tempfile::tempdir()?;
/// # let (path, fifo) = (dir.path().join("f"), dir.path().join("fifo"));
/// # fs::write(&path, "content").await?;
/// # fs::make_fifo(&fifo, 0o600).await?;
/// let pipe = OpenOptions::new().read(true).write(true).open(&fifo).await?;
/// let file = File::open(&path).await?;
/// assert_eq!(fs::splice((&file, Some(0)), (&pipe, None), 1 << 16).await?, 7);
/// # Ok(()) }
/// ```
pub fn splice(
    from: (&File, Option<u64>),
    to: (&File, Option<u64>),
    len: usize,
) -> impl Future<Output = io::Result<usize>> + Send + use<> {
    let from = (from.0.shared().clone(), from.1);
    let to = (to.0.shared().clone(), to.1);
    splice::splice(from, to, len)
}

/// Copies up to `len` bytes of what is in a pipe to another pipe, and leaves them where they are. Returns how
/// many; none mean the end.
///
/// # Cancel safety
///
/// May take partial effect.
///
/// # Errors
///
/// Those of `tee(2)`: among them `InvalidInput` where one is no pipe, or both are the same. `Unsupported` outside
/// of Linux.
///
/// # Backend
///
/// TEE (Linux 5.8); else `tee(2)` on a blocking thread. It waits for the other ends of the pipes.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, File, OpenOptions};
/// let from = File::open("fifo").await?;
/// let to = OpenOptions::new().write(true).open("log-fifo").await?;
/// let copied = fs::tee(&from, &to, 1 << 16).await?;
/// # Ok(()) }
/// ```
pub fn tee(
    from: &File,
    to: &File,
    len: usize,
) -> impl Future<Output = io::Result<usize>> + Send + use<> {
    splice::tee(from.shared().clone(), to.shared().clone(), len)
}
