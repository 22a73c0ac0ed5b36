//! Writing that lasts: what a success means, few dirty pages, and errors that come late.
//!
//! # What a success means
//!
//! | after | what is safe |
//! |---|---|
//! | `write_at`, `flush` | others see the bytes; a killed process loses nothing, a power cut all |
//! | [`sync_range`](crate::fs::File::sync_range) | nothing more: neither the device's cache nor the way to the data |
//! | [`sync_barrier`](crate::fs::File::sync_barrier) | what comes later comes later on the device, too |
//! | [`sync_data`](crate::fs::File::sync_data) | the bytes, and the length |
//! | [`sync_all`](crate::fs::File::sync_all) | the attributes as well |
//! | [`Dir::sync`](crate::fs::Dir::sync) | the names in that directory: new, renamed, removed |
//!
//! So a new file lasts once it was synced, *and* its directory. A sync covers the writes that were over when it was
//! called, and what the file's cursor had accepted, flushed or not.
//!
//! # Few dirty pages
//!
//! A program that writes much faster than the disk fills memory with dirty pages, up to a fifth of it. Then every writer
//! of the machine waits for the disk, for seconds. [`File::with_writeback`](crate::fs::File::with_writeback) writes out
//! early, on threads, and has the writer wait only while two chunks are dirty:
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! use tidegate::fs::{File, WritebackPolicy};
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("backup");
//! let file = File::create(&path).await?.with_writeback(WritebackPolicy::new());
//! for part in 0..8_u64 {
//!     file.write_all_at(vec![7; 1 << 20], part << 20).await?;
//! }
//! file.sync_all().await?;
//! file.close().await?;
//! # Ok(()) }
//! ```
//!
//! Use it for what is written once, from front to back, and not read soon. What is patched or read again is better off
//! in the page cache: `drop_cache(false)`. [`writeback_stats`](crate::fs::File::writeback_stats) says how it goes.
//!
//! # Errors that come late
//!
//! The system writes pages later, and may fail then. It says so once, to one of those that ask. This crate keeps the
//! error: the next write and every sync tell it, until [`acknowledge`](crate::fs::File::acknowledge). Do not call a sync
//! again and take its success for good: write again what was written since the last good sync, from memory or from where it
//! came.
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let file = tidegate::fs::File::create(dir.path().join("f")).await?;
//! # let since_the_last_sync = vec![7; 100];
//! if let Err(error) = file.sync_data().await {
//!     eprintln!("not kept: {error}");
//!     file.acknowledge();
//!     file.write_all_at(since_the_last_sync, 0).await?;
//!     file.sync_data().await?;
//! }
//! # Ok(()) }
//! ```
//!
//! A sync that timed out says that durability is unknown: the kernel still has it. The next sync waits for it.
