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
//! Two things follow. A write that was dropped may still reach the file *after* you wrote something else to
//! the same place: await writes whose order matters, or spawn them. And a blocking call, where there is no
//! ring or no opcode, cannot be interrupted: it has its thread until it returns, and others take more threads.
//!
//! # Timeouts
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("pipe");
//! # tidegate::fs::make_fifo(&path, 0o600).await?;
//! use std::time::Duration;
//! use tidegate::fs::OpenOptions;
//!
//! // A pipe that nobody writes to.
//! let pipe = OpenOptions::new().read(true).write(true).open(&path).await?;
//! let read = pipe.read_at(Vec::with_capacity(16), 0);
//! let gave_up = tokio::time::timeout(Duration::from_millis(10), read).await;
//! assert!(gave_up.is_err());
//! # Ok(()) }
//! ```
//!
//! It says that you no longer wait, not that the kernel no longer works. The buffer is not handed back.
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
//! assert_eq!(report.left_behind, 0);
//! # Ok(()) }
//! ```
//!
//! The kernel does not let a thread end that submitted an operation which still runs. A multi-thread runtime
//! waits for its threads, and so for a disk that hangs; [`Submit::Isolated`](crate::Submit::Isolated) keeps
//! submissions off the runtime's threads.
