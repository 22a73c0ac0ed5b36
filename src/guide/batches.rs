//! Many names at a time: attributes of a hundred thousand files, fifteen thousand links of a build.
//!
//! An operation for each name costs a wake-up each way where it cannot be answered at the poll.
//! [`fs::batch`](crate::fs::batch()) hands all of them over at once, and has a result for each:
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let (store, into) = (dir.path().join("store"), dir.path().join("into"));
//! # for dir in [&store, &into] { tidegate::fs::create_dir(dir).await?; }
//! # for at in 0..3 { tidegate::fs::write(store.join(at.to_string()), "").await?; }
//! use tidegate::fs;
//!
//! let pairs = (0..4).map(|at| (store.join(at.to_string()), into.join(at.to_string())));
//! let made = fs::batch().hard_links(pairs).await;
//! let failed: Vec<_> = made.iter().enumerate().filter(|(_, made)| made.is_err()).collect();
//! assert_eq!(failed.len(), 1);
//! assert_eq!(failed[0].0, 3);
//! # Ok(()) }
//! ```
//!
//! [`metadata_many`](crate::fs::metadata_many) is the same for attributes, and [`Dir::batch`](crate::fs::Dir::batch) has names
//! that start from an open directory, which a rename above does not misdirect.
//!
//! # What is promised
//!
//! - Results come in the order of what was given, and an error of one touches no other.
//! - Entries have no order among each other, unless [`in_turn`](crate::fs::Batch::in_turn) is said: a directory and what is in
//!   it, in one batch, need that.
//! - A name that is given twice is done twice.
//! - A batch that is dropped begins nothing more; what had begun may take effect, and files that were opened are closed.
//!
//! # What is stuck
//!
//! An entry that does not answer holds up nobody: after 50 ms another thread goes on behind it. When its own time is
//! over it is an error that says so, [`entry_timeout`](crate::fs::Batch::entry_timeout) or what the handle has by itself. A
//! limit around the whole batch is that of its future:
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! use std::time::Duration;
//! use tidegate::OpExt;
//! use tidegate::fs::{self, StatxOptions};
//!
//! let careful = fs::batch().entry_timeout(Duration::from_secs(5));
//! let found = careful.metadata(["/", "/etc", "/no/such"], &StatxOptions::new());
//! let found = async { std::io::Result::Ok(found.await) };
//! let found = found.timeout(Duration::from_secs(60)).await?;
//! assert_eq!(found.iter().filter(|found| found.is_ok()).count(), 2);
//! # Ok(()) }
//! ```
//!
//! # How many at a time
//!
//! Two threads on a local disk and eight elsewhere begin; where they wait more than they work, there are more within
//! milliseconds. [`at_once`](crate::fs::Batch::at_once) bounds it for those who share a server with others. What changes
//! names in one directory is done one after the other by the kernel, whoever asks: two threads gain little there, and the
//! gain of a batch is the wake-ups that it has not.
