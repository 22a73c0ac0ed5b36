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
//! # What is the same
//!
//! - Types: [`std::fs::Metadata`], `Permissions` and `FileType` are std's; files go from and into std's.
//! - Kinds of errors, and the numbers that the system gave.
//! - A write returns when it is in a buffer, and its error comes with the next call: `flush` before somebody else
//!   is to see what you wrote, and to be told how it went. Dropping a file closes it in the background.
//! - Futures are `Send`.
//! - A test that stops tokio's clock, with `start_paused` or `tokio::time::pause`, finds that it stands while
//!   operations are in flight: a timeout does not elapse because a disk was asked.
//!
//! # What is not
//!
//! - `error.raw_os_error()` is `None`, because the error carries operation and path instead:
//!   [`raw_os_error`](crate::raw_os_error) has the number. Where code that you cannot change asks std's,
//!   as tower-http does, choose [`Errors::Plain`](crate::Errors) or set `TIDEGATE_ERRORS=plain`.
//! - Futures are not [`UnwindSafe`](std::panic::UnwindSafe) by themselves; files are.
//! - `sync_all` and `sync_data` tell of a write of the cursor that failed, and do not leave it to `flush`.
//! - A `copy` of a file onto itself is refused; tokio's empties the file.
//! - A `write` of a whole file that is dropped half-way is cancelled; tokio's goes on.
//! - The text of an error names operation and path. Do not compare texts; compare kinds.
//! - What a write has accepted is written, also when the file or the runtime is dropped right after. An error is
//!   then logged, since nobody is left to be told.
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
