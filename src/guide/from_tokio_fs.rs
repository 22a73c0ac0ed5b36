//! Moving from `tokio::fs`.
//!
//! Change the imports: `tidegate::fs` has the names and signatures.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("f");
//! use tidegate::fs::{self, File}; // was: use tokio::fs::{self, File};
//! use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
//!
//! let mut file = File::options().read(true).write(true).create(true).open(&path).await?;
//! file.write_all(b"hello").await?;
//! file.flush().await?;
//! file.rewind().await?;
//! let mut text = String::new();
//! file.read_to_string(&mut text).await?;
//! assert_eq!((text.as_str(), fs::metadata(&path).await?.len()), ("hello", 5));
//! # Ok(()) }
//! ```
//!
//! # What can hurt
//!
//! - **Limits.** An operation ends in an error of kind `TimedOut` after 30 s for names and attributes, and after 60 s
//!   for data and syncs, where tokio's waits for ever. `TIDEGATE_TIMEOUTS=metadata=off,data=off,sync=off` switches
//!   them off for a process, [`Timeouts`](crate::Timeouts) for a handle, `timeout(Duration::MAX)` for a call.
//! - **Dropped futures** are cancelled, and so are spawned ones when their runtime ends; tokio's calls go on in the
//!   background. [A table](super::dropped_futures) says for each function what is left.
//! - **Refusals.** Where a mount does not answer, operations on it end at once in
//!   [`MountUnresponsive`](crate::Error::MountUnresponsive); where too many threads are stuck, in
//!   [`Saturated`](crate::Error::Saturated). [`Breaker`](crate::Breaker) and
//!   [`stuck_threads_max`](crate::Builder::stuck_threads_max) set when.
//! - **Failed syncs stay.** After a `sync_all` that failed, further ones fail until
//!   [`acknowledge`](crate::fs::File::acknowledge), because the kernel tells of lost data once.
//! - **Late closes.** A dropped file is closed when the drop returns, but not where the disk does not answer: the drop
//!   then goes on after a millisecond, and a thread closes. [`File::close`](crate::fs::File::close) waits for it, and
//!   tells of errors.
//! - **Readahead.** Positional reads through a file that came from std or a descriptor may switch the kernel's readahead
//!   off for the open file, also for others that share it, so that they can be answered at the poll; it is on again when the
//!   file goes back, or its cursor reads.
//! - **Tasks.** `num_alive_tasks()` of a runtime counts one task of this crate's from the first operation on, which
//!   notices the runtime's end, and one for each thread with a ring. They do nothing while nothing is in flight.
//!
//! # What is the same
//!
//! - Types: [`std::fs::Metadata`], `Permissions` and `FileType` are std's; files go from and into std's.
//! - Errors: kind and `raw_os_error()`, and the text of those that have a number.
//! - Descriptors of any kind that became a file (epoll sets, events, processes, queues, terminals, sockets, folders, such
//!   without access) read, write, seek and sync as with tokio. Where a thread reads for you, it reads what comes next
//!   also when you gave up, as tokio's does.
//! - A write returns when it is in a buffer, and its error comes with the next call: `flush` before somebody else
//!   is to see what you wrote, and to be told how it went.
//! - A dropped file is closed: it can be run, its locks are free, its pipe hangs up, its filesystem can be unmounted.
//! - Memory that is borrowed for a read or a write (`poll_read`, `write_all`, `fs::write`) is copied at the poll. If it
//!   is a mapping of a file, that may wait for the disk. Owned buffers are not copied.
//! - Futures are `Send`.
//! - A test that stops tokio's clock, with `start_paused` or `tokio::time::pause`, finds that it stands while
//!   operations are in flight: a timeout does not elapse because a disk was asked.
//!
//! # What is not
//!
//! - What the system did not refuse has an error of this crate's, without a number: a timeout, a cancel, a mount
//!   that does not answer, what a handle had in flight when it was shut down. See [`Error`](crate::Error).
//! - Futures are not [`UnwindSafe`](std::panic::UnwindSafe) by themselves; files are.
//! - `sync_all` and `sync_data` tell of a write of the cursor that failed, and do not leave it to `flush`.
//! - A write that was accepted and failed is told with every `flush`, `shutdown` and sync until
//!   [`File::acknowledge`](crate::fs::File::acknowledge); tokio's tells it once, and then that all is well.
//! - `write` and `copy` of whole files tell what the filesystem answers at the close; tokio's and std's do not ask.
//! - A `copy` leaves out set-user-id and set-group-id bits where owner or group are others.
//! - A `copy` of a file onto itself is refused; tokio's empties the file.
//! - A `write` of a whole file that is dropped half-way is cancelled; tokio's goes on.
//! - The text of an error names operation and path if you choose so for the handle, see [`Errors`](crate::Errors).
//! - What a write has accepted is written, also when the file or the runtime is dropped right after. An error is
//!   then logged, since nobody is left to be told.
//! - A file that grows past `RLIMIT_FSIZE` is an error (EFBIG) in what threads write, also where SIGXFSZ was not
//!   ignored, which ends a program that writes with tokio's.
//! - A sync through a clone tells of a failed write of the cursor as [`Poisoned`](crate::Error::Poisoned), of the same
//!   kind; [`raw_os_error`](crate::raw_os_error) has its number. The first to tell, the cursor's own `flush` or sync, has it plain.
//! - `Debug` shows fields of this crate's.
//! - There is no Windows.
//! - What the kernel has in memory is answered at the first poll, so that a future may be ready at once. Loops
//!   still yield: it costs the task's budget.
//! - Threads are of this crate, per mount, and not those of `spawn_blocking`: `max_blocking_threads` has no
//!   say, and a dead mount does not take the threads of others.
//!
//! # What to use besides
//!
//! | instead of | write | because |
//! |---|---|---|
//! | `seek` and `read` | [`read_at`](crate::fs::File::read_at) | no `&mut`, no copy, several at a time |
//! | many small reads | [`read_ranges`](crate::fs::File::read_ranges) | one call; neighbours are read as one |
//! | `root.join(path)`, checked | [`Dir`](crate::fs::Dir) with [`Resolve`](crate::fs::Resolve) | no way out |
//! | `ReaderStream::new(file)` | [`File::stream`](crate::fs::File::stream) | no copy, read-ahead |
//! | `BufReader::new(file).lines()` | [`fs::lines`](crate::fs::lines) | shorter |
//! | a loop with progress | [`CopyFile`](crate::fs::CopyFile) | one hop, holes kept, progress and stop included |
//! | `spawn_blocking` around `std::fs` | the function of the same name | it may need no thread at all |
