//! Walking trees.
//!
//! [`WalkDir`](crate::fs::WalkDir) goes through a tree with threads of this crate, and gives a stream of what it finds:
//!
//! ```
//! # #[tokio::main] async fn main() {
//! # let root = "/etc";
//! use futures::StreamExt;
//! use tidegate::fs::WalkDir;
//!
//! let mut walk = WalkDir::new(root).metadata(true).same_file_system(true).walk();
//! let mut bytes = 0;
//! while let Some(entry) = walk.next().await {
//!     match entry {
//!         Ok(entry) => bytes += entry.size().unwrap_or(0),
//!         Err(error) if error.is_soft() => eprintln!("left out: {error}"),
//!         Err(error) => return eprintln!("{error}"),
//!     }
//! }
//! println!("{bytes} bytes, {:?}", walk.stats());
//! # }
//! ```
//!
//! # What it costs
//!
//! Attributes are asked for on the walking threads, and only if they are wanted: without
//! [`metadata`](crate::fs::WalkDir::metadata) most filesystems tell the type with the name. Extended attributes are never
//! read; ask for them with [`read_xattrs`](crate::fs::read_xattrs) once it is known which file needs them, as
//! [incremental scans](super::incremental_scans) do. Memory is
//! bounded whatever the tree, and the walk is only a few thousand entries ahead of whoever takes them.
//!
//! # What cannot be seen
//!
//! Each error has its path and what the walk was doing, and the walk goes on. [`is_soft`](crate::fs::WalkError::is_soft)
//! says whether it belongs to one file, [`is_directory_lost`](crate::fs::WalkError::is_directory_lost) whether what is in a
//! directory is missing, and [`is_fatal`](crate::fs::WalkError::is_fatal) whether the walk ended with it. A walk without an
//! error saw everything.
//!
//! # What does not answer
//!
//! A call that takes longer than a quarter of a second gives the rest of its thread's work to another. When its own
//! time is over, 30 s by itself, it is an error that says
//! [`is_timeout`](crate::fs::WalkError::is_timeout). Twenty files on a dead server cost one timeout, and nothing else
//! waits for them. A walk that is sorted by name waits for each, as it could not keep its order.
//!
//! Meanwhile [`WalkWatch`](crate::fs::WalkWatch) says what each thread is at and since when, from any thread, and so do
//! the handle's heartbeat and its list of what is in flight.
//!
//! # Work beside the walk
//!
//! [`filter`](crate::fs::WalkDir::filter) chooses before a directory is gone into, and [`map`](crate::fs::WalkDir::map) makes
//! something of each entry; both run on the walking threads and may block. What they do has no limit but the caller's.
