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
//! With buffers of a [`BufPool`](crate::buf::BufPool) the kernel need not look up their pages each time. Those are
//! aligned to a page, which is enough for direct I/O almost everywhere:
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("f");
//! # tidegate::fs::write(&path, vec![7; 300_000]).await?;
//! use tidegate::buf::BufPool;
//! use tidegate::fs::OpenOptions;
//! let pool = BufPool::builder().large().build()?; // 16 of 256 KiB, for large files
//! let opened = OpenOptions::new().read(true).direct(true).open(&path).await;
//! # // Some filesystems do not have it.
//! # let Ok(file) = opened else { return Ok(()) };
//! let (count, buf) = file.read_fixed_at(pool.acquire().await?, 0).await?;
//! assert_eq!((count, buf[0]), (256 << 10, 7));
//! # Ok(()) }
//! ```
//!
//! - As many buffers as operations are to be under way: with fewer, tasks wait for buffers while the disk is idle.
//! - [`huge_pages`](crate::buf::BufPoolBuilder::huge_pages) makes fewer pages of pools of many MiB, where the system has
//!   some to give. Each counts as locked in whole, also for a small pool.
//! - `read_at` looks at the page cache first, unless the file was opened for direct I/O;
//!   [`read_fixed_at`](crate::fs::File::read_fixed_at) never does.
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
//! `fs::write`, and `fs::read` of a file that is not in memory, make one hop each, and a few of them at a time keep the
//! threads busy. Beside eight such reads, a small file on a local disk is one submission of linked entries instead,
//! which open, read and close it without a thread (Linux 6.8). A directory is listed some 1 000 entries per hop; an entry's type is mostly known
//! then, its [`metadata`](crate::fs::DirEntry::metadata) is one operation more.
