//! Cancellation.
//!
//! A future can be dropped at any time: by a timeout, by `select!`, with its task. That is always sound. What
//! the kernel may still use (buffer, path, descriptor) belongs to the driver until the kernel is done with it.
//!
//! # What a dropped future leaves behind
//!
//! A cancel is sent to the kernel, always. What it can still stop it stops: what waits in a queue, a read of a
//! pipe. What it is in the middle of goes on. So each function says under *Cancel safety* which of these holds:
//!
//! | | means | for example |
//! |---|---|---|
//! | No effect | nothing was changed, whenever it is dropped | `read_at`, `metadata` |
//! | May take effect | it happened as a whole, or not at all | `rename`, `remove_file` |
//! | May take partial effect | a part may be there, or may come later | `write_at`, `copy` |
//! | Resource reclaimed | what was opened meanwhile is closed | `File::open` |
//!
//! A blocking call, where there is no ring or no opcode, cannot be interrupted: it has its thread until it
//! returns, and others take more threads. And a write that was dropped may still reach the file later; no later
//! write to the same bytes through the same [`File`](crate::fs::File) or its clones overtakes it, see
//! [`File::state`](crate::fs::File::state). Through another descriptor it may.
//!
//! # Timeouts
//!
//! [`OpExt`](crate::OpExt) gives every operation a deadline, which also says what is left behind:
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("pipe");
//! # tidegate::fs::make_fifo(&path, 0o600).await?;
//! use std::time::Duration;
//! use tidegate::fs::OpenOptions;
//! use tidegate::{Error, OpExt};
//!
//! // A pipe that nobody writes to.
//! let pipe = OpenOptions::new().read(true).write(true).open(&path).await?;
//! let read = pipe.read_at(Vec::with_capacity(16), 0).timeout(Duration::from_millis(10));
//! let error = read.await.unwrap_err().into();
//! let Some(Error::TimedOut { operation, elapsed, left, .. }) = Error::from_io(&error) else { panic!() };
//! println!("{operation:?} after {elapsed:?}: {left}");
//! # // Lets a blocking thread go that may still read.
//! # pipe.write_at("x", 0).await?;
//! # Ok(()) }
//! ```
//!
//! An `async` block of several operations has one budget. `cancel_on` takes a token of tokio-util instead of a
//! time. `tokio::time::timeout` works as well: it drops the future, and nobody is told what became of it.
//!
//! Operations have a limit also where nobody sets one: [`Timeouts`](crate::Timeouts) of the handle, 30 s for
//! metadata and 60 s for data and syncs, unless they go through a tree or may wait for something other than
//! storage: opening a FIFO, and reading and writing pipes, sockets, terminals and other devices of characters,
//! events and timers, and those files of procfs and its like that can be waited for. `timeout(Duration::MAX)` takes the
//! limit away.
//!
//! # Streams and copies
//!
//! Dropping a [`FileStream`](crate::fs::FileStream) cancels all its reads. A copy that is dropped stops at the
//! next 16 MiB; with [`rename_into_place`](crate::fs::CopyFile::rename_into_place) the destination is then as
//! it was.
//!
//! # The end of a runtime
//!
//! A runtime that is dropped takes its handle along: what is in flight is cancelled, and what the kernel does
//! not let go of stays allocated. To wait for the end, and to be told what is left:
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
//! # use std::time::Duration;
//! let report = tidegate::Handle::current()?.shutdown(Duration::from_secs(5)).await;
//! assert_eq!(report.left_behind, 0, "{report}");
//! # Ok(()) }
//! ```
//!
//! The kernel does not let a thread end that submitted an operation which still runs. A multi-thread runtime
//! waits for its threads, and so for a disk that hangs; [`Submit::Isolated`](crate::Submit::Isolated) keeps
//! submissions off the runtime's threads.
