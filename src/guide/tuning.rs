//! Tuning.
//!
//! The defaults choose per operation, by what was measured. Before turning anything, look which way the
//! operations go:
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # tidegate::fs::metadata("/").await?;
//! let stats = tidegate::Handle::current()?.stats();
//! for op in stats.ops() {
//!     println!("{:?}", op);
//! }
//! for (reason, count) in stats.fallbacks() {
//!     println!("{count} times not through the ring: {reason}");
//! }
//! # assert!(stats.ops().count() > 0);
//! # Ok(()) }
//! ```
//!
//! # More answers at the poll
//!
//! - A local ext4, XFS or btrfs, on Linux 6.8 or later: elsewhere no read is.
//! - No update of the access time may be due: mount with `noatime`, or open with
//!   [`no_atime`](crate::fs::OpenOptions::no_atime). With `relatime`, the default, one is due after each write
//!   and once a day.
//! - One read per record, not one per field: a read from memory costs a microsecond or two, most of it for the
//!   call.
//!
//! # Large files
//!
//! - [`File::stream`](crate::fs::File::stream): larger chunks cost less per byte and more memory; more read-ahead
//!   helps where each answer takes long, as over a network.
//! - Positional reads of one file may be on their way at the same time; on a fast disk that is what fills it.
//! - Many ranges at once are one [`read_ranges`](crate::fs::File::read_ranges).
//! - A sequential reader is read ahead for, up to 8 MiB, once its second read has to wait.
//! - [`fs::copy`](crate::fs::copy) leaves it to the kernel, which shares blocks where the filesystem can.
//!
//! # Direct I/O
//!
//! For data that is not read twice, or that the program caches itself. It wants aligned buffers and many
//! operations at a time.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("f");
//! # tidegate::fs::write(&path, vec![7; 8192]).await?;
//! use tidegate::buf::AlignedBuf;
//! use tidegate::fs::OpenOptions;
//! let opened = OpenOptions::new().read(true).direct(true).open(&path).await;
//! # // Some filesystems do not have it.
//! # let Ok(file) = opened else { return Ok(()) };
//! let (count, buf) = file.read_at(AlignedBuf::with_capacity(4096, 4096), 4096).await?;
//! assert_eq!((count, buf[0]), (4096, 7));
//! # Ok(()) }
//! ```
//!
//! # Who submits
//!
//! | [`Submit`](crate::Submit) | from | choose it |
//! |---|---|---|
//! | `Auto` | the polling thread where that cannot sleep, else a lane | unless you know better |
//! | `Isolated` | lanes | to drop a runtime whatever hangs |
//! | `Inline` | the polling thread, always | for up to a quarter more, on disks that never hang the runtime |
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
//! use tidegate::{Handle, Submit};
//! Handle::builder().submit(Submit::Isolated).install()?;
//! # Ok(()) }
//! ```
//!
//! The handle must be installed before the first operation of its runtime.
//!
//! # Batches of small things
//!
//! `fs::read` of a small file that is not in memory, and `fs::write`, make one hop each, and a few of them at a
//! time keep the threads busy. A directory is listed some 1 000 entries per hop; an entry's type is mostly known
//! then, its [`metadata`](crate::fs::DirEntry::metadata) is one operation more.
