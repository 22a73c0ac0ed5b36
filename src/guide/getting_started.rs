//! Getting started.
//!
//! Nothing has to be set up. The first operation of a tokio runtime finds out whether there is a ring, and
//! makes what it needs; it ends with the runtime.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("greeting");
//! use tidegate::fs::{self, File};
//!
//! fs::write(&path, "hello, disk").await?;
//! assert_eq!(fs::read_to_string(&path).await?, "hello, disk");
//!
//! // At an offset, with a buffer that goes in by value and comes back. No `&mut`: any number of reads
//! // and writes of one file may be on their way.
//! let file = File::open(&path).await?;
//! let (count, buf) = file.read_at(Vec::with_capacity(5), 7).await?;
//! assert_eq!((count, &buf[..]), (4, &b"disk"[..]));
//! # Ok(()) }
//! ```
//!
//! A file is also a reader, a writer and a stream:
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("numbers");
//! # tidegate::fs::write(&path, "1\n2\n3\n").await?;
//! use futures::TryStreamExt;
//! use tidegate::fs::{self, File};
//! use tokio::io::AsyncReadExt;
//!
//! let mut text = String::new();
//! File::open(&path).await?.read_to_string(&mut text).await?;
//!
//! let mut lines = fs::lines(&path).await?;
//! assert_eq!(lines.next_line().await?.as_deref(), Some("1"));
//!
//! // In chunks, with read-ahead and without a copy.
//! let mut stream = File::open(&path).await?.stream(..);
//! while let Some(chunk) = stream.try_next().await? {
//!     assert_eq!(&chunk[..], text.as_bytes());
//! }
//! # Ok(()) }
//! ```
//!
//! # Which way it went
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! tidegate::fs::metadata("/").await?;
//! for op in tidegate::Handle::current()?.stats().ops() {
//!     println!("{}: {} at the poll, {} in all", op.row.name, op.at_poll, op.total());
//! }
//! # Ok(()) }
//! ```
//!
//! - *At the poll*: the kernel had the answer in memory, and it could be had without a risk to sleep.
//! - *Worker ring*, *lane ring*: through io_uring, submitted by the polling thread or by a thread of its own.
//! - *Pool*: a blocking thread, because the kernel has no opcode for it, because there is no ring, or because
//!   one hop for several steps is cheaper.
//!
//! # Errors
//!
//! They are [`std::io::Error`] with the kind and the number that std gives. A handle can be told to name them, so
//! that they say the operation, the path, and often what to do:
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
//! tidegate::Handle::builder().errors(tidegate::Errors::Named).install()?;
//! let error = tidegate::fs::read("/no/such/file").await.unwrap_err();
//! assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
//! assert_eq!(tidegate::raw_os_error(&error), Some(2));
//! assert!(error.to_string().contains("/no/such/file"));
//! # Ok(()) }
//! ```
//!
//! Outside of tokio everything works as well: futures of this crate can be awaited on any executor.
