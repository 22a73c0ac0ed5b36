//! Buffers.
//!
//! A positional read or write takes its buffer by value and gives it back with the result:
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("f");
//! # tidegate::fs::write(&path, "0123456789").await?;
//! let file = tidegate::fs::File::open(&path).await?;
//! let mut buf = Vec::with_capacity(4);
//! for offset in [0, 4] {
//!     buf.clear();
//!     (_, buf) = file.read_at(buf, offset).await?;
//! }
//! assert_eq!(buf, b"4567");
//! # Ok(()) }
//! ```
//!
//! The kernel may write into the memory until it says that it is done, and a dropped future does not stop
//! it. A borrowed buffer could be gone by then; an owned one stays with the driver for as long as it takes.
//!
//! # How much is read
//!
//! A read fills the buffer *from its start, up to its capacity*, whatever its length is; the length is then at
//! least what was read, and never less than before. So give `Vec::with_capacity(n)` to get `n` bytes and no
//! more, and `clear` a vector before using it again. A [`slice`](crate::buf::IoBuf::slice) limits an
//! operation to a part of a buffer:
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! use tidegate::buf::IoBuf;
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("f");
//! # tidegate::fs::write(&path, "0123456789").await?;
//! let file = tidegate::fs::File::open(&path).await?;
//! let (count, part) = file.read_at(vec![b'.'; 8].slice(2..5), 0).await?;
//! assert_eq!((count, part.into_inner()), (3, b"..012...".to_vec()));
//! # Ok(()) }
//! ```
//!
//! # Kinds
//!
//! | buffer | read into | written from | good for |
//! |---|---|---|---|
//! | `Vec<u8>`, `BytesMut` | yes | yes | most things |
//! | `Box<[u8]>` | yes | yes | a length that never changes |
//! | `Bytes`, `&'static [u8]`, `&'static str` | no | yes | what is shared, or constant |
//! | [`AlignedBuf`](crate::buf::AlignedBuf) | yes | yes | direct I/O |
//! | [`FixedBuf`](crate::buf::FixedBuf) of a [`BufPool`](crate::buf::BufPool) | yes | yes | direct I/O, and bounded memory |
//! | [`Slice`](crate::buf::Slice) of any of them | as the whole | as the whole | a part |
//!
//! The traits are [`IoBuf`](crate::buf::IoBuf) and [`IoBufMut`](crate::buf::IoBufMut), with the methods of
//! tokio-uring's. With the feature `tokio-uring` the same buffers go to both crates.
//!
//! # When it fails
//!
//! The error has the buffer, unless the kernel may still hold it; `?` makes an [`std::io::Error`] of it and
//! drops the buffer.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! let file = tidegate::fs::File::create(dir.path().join("f")).await?;
//! let error = file.read_at(vec![7; 3], 0).await.unwrap_err();
//! let (error, buf) = error.into_parts();
//! assert_eq!(tidegate::raw_os_error(&error), Some(9), "opened for writing only: {error}");
//! assert_eq!(buf, Some(vec![7; 3]));
//! # Ok(()) }
//! ```
//!
//! # Direct I/O
//!
//! [`OpenOptions::direct`](crate::fs::OpenOptions::direct) passes the page cache by. Address, offset and
//! length must then be multiples of what the filesystem asks, which
//! [`probe::filesystem`](crate::probe::filesystem) tells; 4096 does almost everywhere.
//! [`read_ranges`](crate::fs::File::read_ranges) and [`stream`](crate::fs::File::stream) see to it themselves, and read
//! from any place.
//!
//! # Pools
//!
//! A [`BufPool`](crate::buf::BufPool) has a number of buffers that are used again and again, and whose memory the kernel
//! has registered, so that it need not look up its pages for each operation. That is worth most for direct I/O. It also
//! bounds the memory of a server: no more is in use than the pool has, and who finds none waits. For a few reads of
//! files that are in memory a `Vec` does as well.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("f");
//! # tidegate::fs::write(&path, "0123456789").await?;
//! use std::time::Duration;
//! use tidegate::{OpExt, buf::BufPool};
//! let pool = BufPool::builder().count(64).size(128 << 10).build()?;
//! println!("registered memory: {}", pool.registration());
//!
//! let file = tidegate::fs::File::open(&path).await?;
//! let buf = pool.acquire().timeout(Duration::from_secs(1)).await?; // waits while all are lent
//! let (_, buf) = file.read_at(buf, 2).await?;
//! let bytes = buf.freeze(); // `Bytes`, without a copy
//! assert_eq!(bytes.slice(..3), "234");
//! # Ok(()) }
//! ```
//!
//! | while all are lent | |
//! |---|---|
//! | [`acquire`](crate::buf::BufPool::acquire) | waits, within the limits in force: memory is bounded, and load is held back |
//! | [`try_acquire`](crate::buf::BufPool::try_acquire) | gives none: for who has something else to do |
//! | [`get`](crate::buf::BufPool::get) | gives plain memory of the same size: nobody waits, and memory is not bounded |
//!
//! A buffer goes back when it is dropped, and a frozen one when the last of its `Bytes` is, however small a part of it
//! that is. Bytes that are kept, in a cache or for a slow client, so leave the pool dry: copy those
//! (`Bytes::copy_from_slice`), or have as many buffers as may be kept. A task that holds one buffer and waits for
//! a second one may wait for ever when others do the same: set a limit, as above.
//!
//! [`resize`](crate::buf::BufPool::resize) changes the number of buffers at any time, also while some are lent: more come
//! with memory of their own, and what is too much goes as it comes back.
//!
//! Registered memory counts as locked, of which an ordinary user has 8 MiB on most systems (`ulimit -l`), all processes
//! together. One pool takes at most half of the limit. Where that is too little, as much as may be is registered, and
//! the other buffers work without: [`registration`](crate::buf::BufPool::registration) says so for the pool, and
//! [`is_registered`](crate::buf::FixedBuf::is_registered) for a buffer. It is tried once, when the memory is made.
//!
//! # Buffers that the kernel picks
//!
//! A read that waits, of a pipe or a terminal, needs no buffer until something comes. A [`BufGroup`](crate::buf::BufGroup)
//! has some for many such reads, and the kernel picks one when it has something to put into it:
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # use std::{io::Write, os::fd::OwnedFd, os::unix::net::UnixStream};
//! use futures::TryStreamExt;
//! use tidegate::{buf::BufGroup, fs::File};
//! # let (reader, mut writer) = UnixStream::pair()?;
//! # writer.write_all(b"a line")?;
//! # drop(writer);
//! let group = BufGroup::builder().count(16).size(16 << 10).build()?;
//! let output = File::from_std(OwnedFd::from(reader).into()); // of a child process, say
//! let mut stream = output.read_provided_stream(&group);
//! while let Some(buf) = stream.try_next().await? {
//!     assert_eq!(buf.freeze(), "a line"); // `Bytes`, without a copy; its buffer is free when they are dropped
//! }
//! # Ok(()) }
//! ```
//!
//! A read that finds none left takes memory of its own, so nothing waits for whoever holds on to a buffer.
